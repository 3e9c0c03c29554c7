/* What only SQLite files do: the process lock, refusals at open, checkpoints, disks that fill or
 * fail. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../tests/power/vfs_torn.c"
#include "base/test.h"
#include "db/db.h"

struct fix {
    struct arena arena;
    struct rng rng;
    struct ctx c;
    struct db *d;
    struct db_conn *w;
    char dir[64];
    char path[80];
};

static const struct sql q_create = { "CREATE TABLE t (k {id}, b {blob})" };
static const struct sql q_insert = { "INSERT INTO t (k, b) VALUES ($1, $2)" };
static const struct sql q_count = { "SELECT COUNT(*) FROM t" };
static const struct sql q_max_pages = { "PRAGMA max_page_count = 100" };
static const struct sql q_synchronous = { "PRAGMA synchronous" };

static void assert_ok(struct fix *f, err_t e, int line)
{
    if (e == ERR_OK)
        return;
    print_error("line %d: error %d: %s\n", line, (int)e, f->c.err.text);
    fail();
}
#define ok(call) assert_ok(f, (call), __LINE__)

static struct db_opts opts_of(const struct fix *f)
{
    return (struct db_opts){ .path = str_from(f->path) };
}

static void connect_db(struct fix *f, struct db_opts o)
{
    ok(db_open(&f->c, &o, &f->d));
    ok(db_conn_open(&f->c, f->d, true, &f->w));
}

static void disconnect(struct fix *f)
{
    db_conn_close(f->w);
    db_close(f->d);
    f->w = NULL;
    f->d = NULL;
}

static void create(struct fix *f, struct db_opts o)
{
    connect_db(f, o);
    ok(db_begin(&f->c, f->w, true));
    ok(db_exec(&f->c, &q_create, ARGS_NONE, NULL));
    ok(db_commit(&f->c));
}

static err_t put_rows(struct fix *f, int64_t from, int64_t n, size_t bytes)
{
    char *p = arena_zero(&f->arena, bytes + 1);
    err_t e = db_begin(&f->c, f->w, true);

    if (e != ERR_OK)
        return e;
    for (int64_t i = 0; i < n && e == ERR_OK; i++)
        e = db_exec(&f->c, &q_insert, ARGS(DB_INT(from + i), DB_BLOB(((str_t){ p, bytes }))), NULL);
    if (e == ERR_OK)
        return db_commit(&f->c);
    db_rollback(&f->c);
    return e;
}

static int64_t read_int(struct fix *f, struct ctx *c, struct db_conn *k, const struct sql *q)
{
    struct db_rows r = { 0 };
    int64_t n = -1;

    ok(db_begin(c, k, false));
    ok(db_query(c, q, ARGS_NONE, &r));
    while (db_row(&r))
        n = db_int(&r, 0);
    ok(db_end(&r));
    ok(db_commit(c));
    return n;
}

static void put_file(const struct fix *f, const char *suffix, const void *p, size_t n)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s%s", f->path, suffix);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    assert_int_equal(close(fd), 0);
}

/* The open fails, its text has the words, and no descriptor of it stays. */
static void assert_refused(struct fix *f, err_t wanted, const char *words)
{
    struct db_opts o = opts_of(f);
    struct db *d = NULL;
    int before = open("/dev/null", O_RDONLY);

    (void)close(before);
    f->c.err.text[0] = '\0';
    assert_int_equal(db_open(&f->c, &o, &d), wanted);
    assert_null(d);
    if (strstr(f->c.err.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", f->c.err.text, words);
    int after = open("/dev/null", O_RDONLY);
    (void)close(after);
    assert_int_equal(before, after);
}

static int set_up(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));
    char dir[] = "/tmp/db_sqlite.XXXXXX";

    vfs_torn_set_up();
    arena_init(&f->arena);
    f->c = (struct ctx){ .arena = &f->arena, .clock = clock_system(), .rng = &f->rng };
    assert_non_null(mkdtemp(dir));
    (void)snprintf(f->dir, sizeof(f->dir), "%s", dir);
    (void)snprintf(f->path, sizeof(f->path), "%s/t.db", dir);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fix *f = *state;
    static const char *const suffixes[] = { "", "-wal", "-shm", "-journal", ".lock" };
    char path[128];

    vfs_torn_fail(VFS_TORN_NONE);
    if (f->c.tx != NULL)
        db_rollback(&f->c);
    if (f->d != NULL)
        disconnect(f);
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->path);
    (void)rmdir(f->dir);
    arena_done(&f->arena);
    free(f);
    vfs_torn_tear_down();
    return 0;
}

/* ---- the process lock ------------------------------------------------------------------------ */

static void a_second_open_is_told_who_holds_the_file(void **state)
{
    struct fix *f = *state;
    char words[128];

    create(f, opts_of(f));
    (void)snprintf(words, sizeof(words), "database %s is in use by process %ld (", f->path,
                   (long)getpid());
    assert_refused(f, ERR_UNAVAILABLE, words);
    /* The refused open must not have harmed the one that works. */
    ok(put_rows(f, 1, 5, 100));
    assert_refused(f, ERR_UNAVAILABLE, words);
    disconnect(f);
    connect_db(f, opts_of(f));
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 5);
}

/* A process that is killed leaves the file free, and its commits. */
static void the_lock_dies_with_its_process(void **state)
{
    struct fix *f = *state;
    int fds[2];
    int status = 0;
    char ready = 0;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        create(f, opts_of(f));
        ok(put_rows(f, 1, 3, 100));
        (void)!write(fds[1], "x", 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(fds[0], &ready, 1), 1);
    char words[64];
    (void)snprintf(words, sizeof(words), "in use by process %ld (", (long)pid);
    assert_refused(f, ERR_UNAVAILABLE, words);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(fds[0]);
    (void)close(fds[1]);
    connect_db(f, opts_of(f));
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 3);
}

/* ---- refusals at open ------------------------------------------------------------------------ */

static void other_files_are_refused(void **state)
{
    struct fix *f = *state;
    char text[4096];

    memset(text, 'x', sizeof(text));
    put_file(f, "", text, sizeof(text));
    assert_refused(f, ERR_PRECONDITION, "is not a SQLite database");
    put_file(f, "", "hello\n", 6);
    assert_refused(f, ERR_PRECONDITION, "is not a SQLite database");
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkdir(f->path, 0755), 0);
    assert_refused(f, ERR_PRECONDITION, "is a directory");
}

static void a_missing_directory_is_named(void **state)
{
    struct fix *f = *state;

    (void)snprintf(f->path, sizeof(f->path), "%s/none/t.db", f->dir);
    assert_refused(f, ERR_PRECONDITION, "No such file or directory");
}

static void a_new_file_is_private(void **state)
{
    struct fix *f = *state;
    struct stat st;

    create(f, (struct db_opts){ .path = str_from(f->path) });
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void an_empty_file_is_a_new_database(void **state)
{
    struct fix *f = *state;

    put_file(f, "", "", 0);
    create(f, opts_of(f));
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 0);
}

static void a_file_cut_short_is_refused(void **state)
{
    struct fix *f = *state;
    struct stat st = { 0 };

    create(f, opts_of(f));
    ok(put_rows(f, 1, 100, 1000));
    disconnect(f);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(truncate(f->path, st.st_size - 5000), 0);
    assert_refused(f, ERR_PRECONDITION, "is damaged: 5000 bytes are missing");
    assert_int_equal(truncate(f->path, 50), 0);
    assert_refused(f, ERR_PRECONDITION, "is not a SQLite database");
}

/* The first page holds the schema: SQLite sees that it is no page of a tree. */
static void a_damaged_schema_is_refused(void **state)
{
    struct fix *f = *state;

    create(f, opts_of(f));
    disconnect(f);
    int fd = open(f->path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, 100), 4);
    (void)close(fd);
    assert_refused(f, ERR_PRECONDITION, "is damaged");
}

static void damage_inside_is_an_error_never_an_answer(void **state)
{
    struct fix *f = *state;
    static const struct sql q_all = { "SELECT k, b FROM t ORDER BY k" };
    struct db_rows r = { 0 };
    char zeros[4096] = { 0 };

    create(f, opts_of(f));
    ok(put_rows(f, 1, 200, 1000));
    disconnect(f);
    int fd = open(f->path, O_WRONLY);
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 4096 * 20), sizeof(zeros));
    (void)close(fd);
    connect_db(f, opts_of(f));
    ok(db_begin(&f->c, f->w, false));
    err_t e = db_query(&f->c, &q_all, ARGS_NONE, &r);
    while (e == ERR_OK && db_row(&r))
        ;
    if (e == ERR_OK)
        e = db_end(&r);
    assert_int_equal(e, ERR_UNAVAILABLE);
    assert_non_null(strstr(f->c.err.text, "damaged"));
    db_rollback(&f->c);
}

static void a_read_only_file_is_refused(void **state)
{
    struct fix *f = *state;

    create(f, opts_of(f));
    disconnect(f);
    assert_int_equal(chmod(f->path, 0444), 0);
    bool root = geteuid() == 0;
    if (root) {
        /* root may write anywhere, and access(2) asks for the real user: both become nobody */
        assert_int_equal(chmod(f->dir, 0755), 0);
        assert_int_equal(setresuid(65534, 65534, 0), 0);
    }
    assert_refused(f, ERR_PRECONDITION, "is read-only");
    if (root)
        assert_int_equal(setresuid(0, 0, 0), 0);
    assert_int_equal(chmod(f->path, 0644), 0);
    if (root) {
        assert_int_equal(setresuid(65534, 65534, 0), 0);
        assert_refused(f, ERR_PRECONDITION, "is read-only");
        assert_int_equal(setresuid(0, 0, 0), 0);
    }
}

/* ---- checkpoints and readers ----------------------------------------------------------------- */

static int64_t wal_size(const struct fix *f)
{
    char path[128];
    struct stat st = { 0 };

    (void)snprintf(path, sizeof(path), "%s-wal", f->path);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void the_log_stays_near_its_threshold(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);

    o.checkpoint_bytes = 256 << 10;
    create(f, o);
    for (int64_t i = 0; i < 100; i++) {
        arena_reset(&f->arena);
        ok(put_rows(f, i * 10, 10, 4000));
        ok(db_checkpoint(&f->c, f->w));
        assert_true(wal_size(f) < (256 << 10) + (128 << 10));
    }
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 1000);
}

/* Meanwhile the log grows, and nobody waits; afterwards it shrinks again. */
static void a_long_reader_holds_the_log_not_the_writer(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);
    struct ctx reader = f->c;
    struct db_conn *k = NULL;
    struct db_rows r = { 0 };

    o.checkpoint_bytes = 128 << 10;
    create(f, o);
    ok(put_rows(f, 0, 2, 100));
    ok(db_conn_open(&reader, f->d, false, &k));
    ok(db_begin(&reader, k, false));
    ok(db_query(&reader, &q_count, ARGS_NONE, &r));
    assert_true(db_row(&r));
    for (int64_t i = 1; i <= 50; i++) {
        ok(put_rows(f, i * 10, 10, 4000));
        ok(db_checkpoint(&f->c, f->w));
    }
    assert_true(wal_size(f) > 1 << 20);
    ok(db_end(&r));
    ok(db_commit(&reader));
    for (int64_t i = 51; i <= 60; i++) {
        ok(put_rows(f, i * 10, 10, 4000));
        ok(db_checkpoint(&f->c, f->w));
    }
    assert_true(wal_size(f) <= 2 * o.checkpoint_bytes);
    assert_int_equal(read_int(f, &reader, k, &q_count), 602);
    db_conn_close(k);
}

static void durability_is_what_was_asked_for(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);

    create(f, o);
    assert_int_equal(read_int(f, &f->c, f->w, &q_synchronous), 2);
    disconnect(f);
    o.durability = DB_NORMAL;
    connect_db(f, o);
    assert_int_equal(read_int(f, &f->c, f->w, &q_synchronous), 1);
}

static void every_full_commit_is_synced(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);

    o.vfs = VFS_TORN;
    create(f, o);
    for (int64_t i = 0; i < 10; i++) {
        int64_t before = vfs_torn_stats().syncs;
        ok(put_rows(f, i, 1, 10));
        assert_true(vfs_torn_stats().syncs > before);
    }
}

/* ---- disks that fill or fail ----------------------------------------------------------------- */

static void a_full_database_goes_on(void **state)
{
    struct fix *f = *state;

    create(f, opts_of(f));
    assert_int_equal(read_int(f, &f->c, f->w, &q_max_pages), 100);
    assert_int_equal(put_rows(f, 1, 200, 4000), ERR_UNAVAILABLE);
    assert_string_equal(f->c.err.text, "the disk of the database is full");
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 0);
    ok(put_rows(f, 1, 5, 100));
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 5);
}

/* SQLite may end the transaction by itself; nothing may then run outside one. */
static void a_full_disk_in_commit_rolls_back(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);

    o.vfs = VFS_TORN;
    create(f, o);
    ok(put_rows(f, 1, 5, 100));
    vfs_torn_fail(VFS_TORN_DISK_FULL);
    assert_int_equal(put_rows(f, 6, 5, 100), ERR_UNAVAILABLE);
    assert_string_equal(f->c.err.text, "the disk of the database is full");
    assert_null(f->c.tx);
    /* More than the page cache: it spills, and fails in the middle of the transaction. */
    assert_int_equal(put_rows(f, 6, 4000, 4000), ERR_UNAVAILABLE);
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 5);
    vfs_torn_fail(VFS_TORN_NONE);
    ok(put_rows(f, 6, 5, 100));
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 10);
}

static void a_dead_transaction_takes_nothing_more(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);
    char *p = arena_zero(&f->arena, 8000);
    err_t e = ERR_OK;

    o.vfs = VFS_TORN;
    create(f, o);
    ok(db_begin(&f->c, f->w, true));
    vfs_torn_fail(VFS_TORN_DISK_FULL);
    for (int64_t i = 0; i < 4000 && e == ERR_OK; i++)
        e = db_exec(&f->c, &q_insert, ARGS(DB_INT(i), DB_BLOB(((str_t){ p, 8000 }))), NULL);
    assert_int_equal(e, ERR_UNAVAILABLE);
    vfs_torn_fail(VFS_TORN_NONE);
    assert_true(db_is_dead(&f->c));
    assert_int_equal(db_exec(&f->c, &q_insert, ARGS(DB_INT(1), DB_NULL), NULL), ERR_UNAVAILABLE);
    assert_int_equal(db_commit(&f->c), ERR_UNAVAILABLE);
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 0);
}

static void a_failed_fsync_is_fatal(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);

    o.vfs = VFS_TORN;
    create(f, o);
    ok(put_rows(f, 1, 5, 100));
    vfs_torn_fail(VFS_TORN_SYNC_FAILS);
    assert_int_equal(put_rows(f, 6, 5, 100), ERR_FATAL);
    assert_non_null(strstr(f->c.err.text, "the disk failed"));
    assert_null(f->c.tx);
}

static void a_checkpoint_that_cannot_sync_is_fatal(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);

    o.vfs = VFS_TORN;
    o.checkpoint_bytes = 64 << 10;
    create(f, o);
    ok(put_rows(f, 1, 50, 4000));
    vfs_torn_fail(VFS_TORN_SYNC_FAILS);
    assert_int_equal(db_checkpoint(&f->c, f->w), ERR_FATAL);
}

/* A torn write, power out in the commit: the process cannot know, and must not go on. */
static void power_that_fails_in_commit_is_fatal(void **state)
{
    struct fix *f = *state;
    struct db_opts o = opts_of(f);

    o.vfs = VFS_TORN;
    create(f, o);
    vfs_torn_crash();
    assert_int_equal(put_rows(f, 1, 1, 10), ERR_FATAL);
    disconnect(f);
    vfs_torn_restore(1);
    connect_db(f, o);
    assert_int_equal(read_int(f, &f->c, f->w, &q_count), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_second_open_is_told_who_holds_the_file),
        T(the_lock_dies_with_its_process),
        T(other_files_are_refused),
        T(a_missing_directory_is_named),
        T(a_new_file_is_private),
        T(an_empty_file_is_a_new_database),
        T(a_file_cut_short_is_refused),
        T(a_damaged_schema_is_refused),
        T(damage_inside_is_an_error_never_an_answer),
        T(a_read_only_file_is_refused),
        T(the_log_stays_near_its_threshold),
        T(a_long_reader_holds_the_log_not_the_writer),
        T(durability_is_what_was_asked_for),
        T(every_full_commit_is_synced),
        T(a_full_database_goes_on),
        T(a_full_disk_in_commit_rolls_back),
        T(a_dead_transaction_takes_nothing_more),
        T(a_failed_fsync_is_fatal),
        T(a_checkpoint_that_cannot_sync_is_fatal),
        T(power_that_fails_in_commit_is_fatal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
