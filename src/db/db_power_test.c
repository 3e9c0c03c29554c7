/* Power loss: what was committed is there after any crash. The last tests show that this one can
 * fail. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tests/power/vfs_torn.c"
#include "base/test.h"
#include "db/db.h"

enum { SEEDS = 200, ROUNDS = 3, PAYLOAD_BYTES_MAX = 9000 };

struct fix {
    struct arena arena;
    struct rng rng;
    struct ctx c;
    struct db *d;
    struct db_conn *w;
    char dir[64];
    char path[80];
    enum db_durability durability;
    int64_t sent;      /* last number that a transaction held */
    int64_t committed; /* last number whose commit answered OK */
    int64_t lost;      /* over all crashes */
    struct vfs_torn_stats crashes;
};

static const struct sql q_create = {
    "CREATE TABLE IF NOT EXISTS t (k {id}, part BIGINT NOT NULL, b {blob} NOT NULL)"
};
static const struct sql q_insert = { "INSERT INTO t (k, part, b) VALUES ($1 * 2 + $2, $2, $3)" };
static const struct sql q_touch = { "UPDATE t SET part = part WHERE k % 7 = $1 % 7" };
static const struct sql q_all = { "SELECT k, part, b FROM t ORDER BY k" };
static const struct sql q_check = { "PRAGMA integrity_check" };

static void payload(int64_t k, char *out, size_t *n)
{
    uint64_t h = (uint64_t)k * 0x9e3779b97f4a7c15u;

    *n = (size_t)(h >> 40) % PAYLOAD_BYTES_MAX;
    for (size_t i = 0; i < *n; i++)
        out[i] = (char)(h >> (i % 8 * 8));
}

static err_t connect_db(struct fix *f)
{
    struct db_opts o = { .path = str_from(f->path),
                         .durability = f->durability,
                         .vfs = VFS_TORN,
                         .checkpoint_bytes = 100 << 10 };
    err_t e = db_open(&f->c, &o, &f->d);

    if (e == ERR_OK && (e = db_conn_open(&f->c, f->d, true, &f->w)) != ERR_OK) {
        db_close(f->d);
        f->d = NULL;
    }
    return e;
}

static void disconnect(struct fix *f)
{
    db_conn_close(f->w);
    db_close(f->d);
    f->w = NULL;
    f->d = NULL;
}

static err_t write_two(struct ctx *c, int64_t k)
{
    char bytes[PAYLOAD_BYTES_MAX];
    size_t n = 0;

    TRY(db_exec(c, &q_create, ARGS_NONE, NULL));
    for (int64_t part = 0; part < 2; part++) {
        payload(k * 2 + part, bytes, &n);
        TRY(db_exec(c, &q_insert, ARGS(DB_INT(k), DB_INT(part), DB_BLOB(((str_t){ bytes, n }))),
                    NULL));
    }
    return db_exec(c, &q_touch, ARGS(DB_INT(k)), NULL);
}

static err_t transact(struct fix *f)
{
    TRY(db_begin(&f->c, f->w, true));
    f->sent = f->committed + 1;
    err_t e = write_two(&f->c, f->sent);
    if (e != ERR_OK) {
        db_rollback(&f->c);
        return e;
    }
    TRY(db_commit(&f->c));
    f->committed = f->sent;
    return db_checkpoint(&f->c, f->w);
}

/* Until the power is out; now and then the server stops and starts in good order. */
static void work_until_crash(struct fix *f)
{
    while (!vfs_torn_is_down()) {
        arena_reset(&f->arena);
        if (f->d == NULL)
            err_ignore(connect_db(f), "the power went while it opened");
        if (f->d != NULL && transact(f) == ERR_OK && rng_below(&f->rng, 40) == 0)
            disconnect(f);
    }
    disconnect(f);
}

/* The rows are whole transactions without a gap; returns the last. */
static int64_t read_back(struct fix *f)
{
    char bytes[PAYLOAD_BYTES_MAX];
    size_t n = 0;
    struct db_rows r = { 0 };
    int64_t k = 2;

    arena_reset(&f->arena);
    if (connect_db(f) != ERR_OK)
        fail_msg("opening after the crash: %s", f->c.err.text);
    assert_int_equal(db_begin(&f->c, f->w, true), ERR_OK);
    assert_int_equal(db_exec(&f->c, &q_create, ARGS_NONE, NULL), ERR_OK);
    assert_int_equal(db_query(&f->c, &q_check, ARGS_NONE, &r), ERR_OK);
    while (db_row(&r))
        assert_str(db_str(&r, 0), "ok");
    assert_int_equal(db_end(&r), ERR_OK);
    assert_int_equal(db_query(&f->c, &q_all, ARGS_NONE, &r), ERR_OK);
    for (; db_row(&r); k++) {
        assert_int_equal(db_int(&r, 0), k);
        assert_int_equal(db_int(&r, 1), k % 2);
        payload(k, bytes, &n);
        assert_true(str_eq(db_str(&r, 2), (str_t){ bytes, n }));
    }
    assert_int_equal(db_end(&r), ERR_OK);
    assert_int_equal(k % 2, 0);
    assert_int_equal(db_commit(&f->c), ERR_OK);
    disconnect(f);
    return k / 2 - 1;
}

static void crash_once(struct fix *f, uint64_t seed)
{
    vfs_torn_crash_after((int64_t)rng_below(&f->rng, 600) + 1);
    work_until_crash(f);
    vfs_torn_restore(seed);
    int64_t last = read_back(f);
    assert_true(last <= f->sent); /* the last commit may have happened unanswered */
    if (last < f->committed)
        f->lost += f->committed - last;
    f->committed = last;
}

static void remove_files(struct fix *f)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-journal", ".lock" };
    char path[128];

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        (void)unlink(path);
    }
}

static void crash_with_seed(struct fix *f, uint64_t seed)
{
    vfs_torn_set_up();
    rng_seed(&f->rng, seed);
    f->sent = f->committed = 0;
    for (uint64_t round = 0; round < ROUNDS; round++)
        crash_once(f, seed * ROUNDS + round);
    struct vfs_torn_stats s = vfs_torn_stats();
    f->crashes.kept += s.kept;
    f->crashes.torn += s.torn;
    f->crashes.dropped += s.dropped;
    vfs_torn_tear_down();
    remove_files(f);
}

static int set_up(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));
    char dir[] = "/tmp/db_power.XXXXXX";

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

    remove_files(f);
    (void)rmdir(f->dir);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static void full_durability_loses_nothing(void **state)
{
    struct fix *f = *state;

    f->durability = DB_FULL;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        crash_with_seed(f, seed);
        if (f->lost > 0)
            fail_msg("seed %llu lost a committed transaction", (unsigned long long)seed);
    }
    print_message("%d seeds: %lld unsynced writes kept, %lld torn, %lld dropped\n", SEEDS,
                  (long long)f->crashes.kept, (long long)f->crashes.torn,
                  (long long)f->crashes.dropped);
    assert_true(f->crashes.torn > SEEDS && f->crashes.dropped > SEEDS);
}

/* Normal durability syncs at checkpoints only: it loses, but never mixes or damages. */
static void normal_durability_loses_only_the_end(void **state)
{
    struct fix *f = *state;

    f->durability = DB_NORMAL;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++)
        crash_with_seed(f, seed);
    print_message("normal durability lost %lld transactions\n", (long long)f->lost);
    assert_true(f->lost > 0);
}

static int run_sql(sqlite3 *h, const char *text)
{
    return sqlite3_exec(h, text, NULL, NULL, NULL);
}

static int count_rows(sqlite3 *h)
{
    sqlite3_stmt *s = NULL;
    int n = -1;

    if (sqlite3_prepare_v2(h, "SELECT COUNT(*) FROM t", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int(s, 0);
    (void)sqlite3_finalize(s);
    return n;
}

/* Without any sync committed transactions must be missing, or this test proves nothing. */
static void without_sync_the_crash_is_seen(void **state)
{
    struct fix *f = *state;
    int lost = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        sqlite3 *h = NULL;
        vfs_torn_set_up();
        assert_int_equal(
            sqlite3_open_v2(f->path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, VFS_TORN),
            SQLITE_OK);
        assert_int_equal(run_sql(h, "PRAGMA journal_mode = WAL; CREATE TABLE t (k INTEGER);"
                                    "PRAGMA wal_checkpoint; PRAGMA synchronous = OFF"),
                         SQLITE_OK);
        for (int i = 0; i < 50; i++)
            assert_int_equal(run_sql(h, "INSERT INTO t VALUES (1)"), SQLITE_OK);
        vfs_torn_crash();
        (void)sqlite3_close(h);
        vfs_torn_restore(seed);
        assert_int_equal(sqlite3_open_v2(f->path, &h, SQLITE_OPEN_READWRITE, VFS_TORN), SQLITE_OK);
        lost += count_rows(h) != 50;
        (void)sqlite3_close(h);
        vfs_torn_tear_down();
        remove_files(f);
    }
    print_message("without sync %d of 20 crashes lost something\n", lost);
    assert_true(lost > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_durability_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(normal_durability_loses_only_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_sync_the_crash_is_seen, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
