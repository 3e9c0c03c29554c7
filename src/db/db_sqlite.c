/* SQLite behind db.h. One connection a thread (multi-thread mode, no mutexes); the writer
 * checkpoints between batches. Statements stay prepared per connection, arguments are bound without
 * copying and a statement is reset as soon as it has been stepped.
 *
 * A write that only this process could have lost ends it: errors of fsync and of the commit are
 * ERR_FATAL, while a full disk or a foreign lock roll back and go on. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sync.h"
#include "db/db_priv.h"

enum {
    WRITER_CACHE_KIB = 6 * 1024,
    READER_CACHE_KIB = 2 * 1024,
    BUSY_TIMEOUT_MS = 2000,
    HEADER_BYTES = 100,
};
static const int64_t checkpoint_bytes_default = 32 << 20;

struct sqlite_conn;

struct sqlite_db {
    struct db base;
    char *path; /* heap */
    const char *vfs;
    enum db_durability durability;
    bool memory;
    int64_t checkpoint_bytes; /* a long reader may hold the WAL: then again after each quarter */
    int lock_fd, file_fd;
    struct sqlite_conn *ready; /* opened by db_open to prove that it works; the first writer */
};

struct stmt {
    sqlite3_stmt *h;
    struct db_text info;
    bool writes;
    bool open;    /* a result is being read */
    bool stepped; /* its next row is already there */
    int rc;       /* of the last step */
    uint64_t use; /* counts results, so that a stale one is recognised */
};

enum control { BEGIN_WRITE, BEGIN_READ, COMMIT, ROLLBACK, CONTROL_COUNT };
static const char *const control_text[CONTROL_COUNT] = {
    [BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [BEGIN_READ] = "BEGIN",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
};

struct sqlite_conn {
    struct db_conn base;
    sqlite3 *h;
    sqlite3_stmt *control[CONTROL_COUNT];
    int open_results;
    int64_t page_bytes;
    int64_t wal_bytes;     /* after the last commit */
    int64_t checkpoint_at; /* next attempt */
};

static struct sqlite_conn *conn_of(const struct ctx *c)
{
    return (struct sqlite_conn *)db_conn_of(c);
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* A disk that is full by quota or file size limit reaches us as an I/O error. */
static bool is_full(sqlite3 *h, int rc)
{
    int os = sqlite3_system_errno(h);

    if ((rc & 0xff) == SQLITE_FULL)
        return true;
    return (rc & 0xff) == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT || os == EFBIG);
}

static bool is_sync_error(int rc)
{
    return rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC;
}

/* Our mistake, or that of who changed the tables: clients learn its number, the log the rest. */
static err_t refused(struct ctx *c, sqlite3 *h, int rc)
{
    log_error("the database refused a statement", "code=%d error=\"%s\"", rc, sqlite3_errmsg(h));
    return err_set(c, ERR_INTERNAL, "the database refused a statement (%d)", rc);
}

static err_t constraint_error(struct ctx *c, sqlite3 *h, int rc)
{
    if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
        rc == SQLITE_CONSTRAINT_ROWID)
        return err_set(c, ERR_EXISTS, "a row with this key exists already");
    return refused(c, h, rc);
}

/* The error of a call that is not a commit. */
static err_t sqlite_error(struct ctx *c, sqlite3 *h, int rc)
{
    if (is_full(h, rc))
        return err_set(c, ERR_UNAVAILABLE, "the disk of the database is full");
    if (is_sync_error(rc))
        return err_set(c, ERR_FATAL, "the disk failed: %s", sqlite3_errmsg(h));
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        return constraint_error(c, h, rc);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return err_set(c, ERR_UNAVAILABLE, "the database is locked by another program");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(c, ERR_UNAVAILABLE, "the database file is damaged: %s", sqlite3_errmsg(h));
    case SQLITE_READONLY:
        return err_set(c, ERR_UNAVAILABLE, "the database is read-only");
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_NOMEM:
        return err_set(c, ERR_UNAVAILABLE, "the database cannot be reached: %s", sqlite3_errmsg(h));
    case SQLITE_INTERRUPT:
        return err_set(c, ERR_DEADLINE, "the statement was interrupted");
    case SQLITE_TOOBIG:
        return err_set(c, ERR_TOO_LARGE, "a value is too large for the database");
    default:
        return refused(c, h, rc);
    }
}

/* In a commit or a checkpoint no I/O error is harmless: the kernel may have dropped the pages. */
static err_t disk_error(struct ctx *c, sqlite3 *h, int rc)
{
    if ((rc & 0xff) == SQLITE_IOERR && !is_full(h, rc))
        return err_set(c, ERR_FATAL, "the disk failed: %s", sqlite3_errmsg(h));
    return sqlite_error(c, h, rc);
}

static err_t open_error(struct ctx *c, const struct sqlite_db *d, sqlite3 *h, int rc)
{
    int os = sqlite3_system_errno(h);

    switch (rc & 0xff) {
    case SQLITE_NOTADB:
        return err_set(c, ERR_PRECONDITION, "%s is not a SQLite database", d->path);
    case SQLITE_CORRUPT:
        return err_set(c, ERR_PRECONDITION, "database %s is damaged: %s", d->path,
                       sqlite3_errmsg(h));
    case SQLITE_READONLY:
        return err_set(c, ERR_PRECONDITION, "database %s is read-only", d->path);
    case SQLITE_BUSY:
        return err_set(c, ERR_UNAVAILABLE, "database %s is locked by another program", d->path);
    default:
        return err_set(c, ERR_UNAVAILABLE, "cannot open database %s: %s%s%s", d->path,
                       sqlite3_errmsg(h), os != 0 ? ": " : "", os != 0 ? strerror(os) : "");
    }
}

/* ---- statements ------------------------------------------------------------------------------ */

static err_t stmt_prepare(struct ctx *c, struct sqlite_conn *k, const struct sql *q,
                          struct stmt **out)
{
    struct buf text;
    struct db_text info = { 0 };
    sqlite3_stmt *h = NULL;

    buf_init_arena(&text, c->arena, DB_TEXT_BYTES_MAX);
    TRY(db_text_expand(c, DB_SQLITE, str_from(q->text), &text, &info));
    int rc = sqlite3_prepare_v3(k->h, text.p, (int)text.n, SQLITE_PREPARE_PERSISTENT, &h, NULL);
    if (rc != SQLITE_OK)
        return sqlite_error(c, k->h, rc);
    if (h == NULL)
        return err_set(c, ERR_INTERNAL, "an empty SQL statement");
    struct stmt *s = mem_zero(sizeof(*s));
    s->h = h;
    s->info = info;
    s->writes = sqlite3_stmt_readonly(h) == 0;
    (void)map_put(&k->base.stmts, (uint64_t)(uintptr_t)q, s);
    *out = s;
    return ERR_OK;
}

static void stmt_end(struct sqlite_conn *k, struct stmt *s)
{
    if (s->open) {
        s->open = false;
        k->open_results--;
    }
    (void)sqlite3_reset(s->h); /* its error was reported by the step */
}

static int bind_one(sqlite3_stmt *h, int at, const struct db_val *v)
{
    switch (v->kind) {
    case DB_VAL_NULL:
        return sqlite3_bind_null(h, at);
    case DB_VAL_INT:
        return sqlite3_bind_int64(h, at, v->i);
    case DB_VAL_REAL:
        return sqlite3_bind_double(h, at, v->r);
    case DB_VAL_TEXT:
        return sqlite3_bind_text64(h, at, v->s.n > 0 ? v->s.p : "", v->s.n, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case DB_VAL_BLOB:
        return sqlite3_bind_blob64(h, at, v->s.n > 0 ? v->s.p : "", v->s.n, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static err_t stmt_bind(struct ctx *c, struct sqlite_conn *k, struct stmt *s, struct db_args args)
{
    int rc = SQLITE_OK;

    must(args.n == (size_t)s->info.args);
    for (size_t i = 0; i < args.n && rc == SQLITE_OK; i++)
        rc = bind_one(s->h, (int)i + 1, &args.v[i]);
    if (s->info.env_param > 0 && rc == SQLITE_OK)
        rc = sqlite3_bind_int64(s->h, s->info.env_param, c->env);
    return rc == SQLITE_OK ? ERR_OK : sqlite_error(c, k->h, rc);
}

/* The prepared statement with its arguments, ready to step. */
static err_t stmt_ready(struct ctx *c, struct sqlite_conn *k, const struct sql *q,
                        struct db_args args, struct stmt **out)
{
    struct stmt *s = map_get(&k->base.stmts, (uint64_t)(uintptr_t)q);

    if (s == NULL)
        TRY(stmt_prepare(c, k, q, &s));
    else if (s->open)
        stmt_end(k, s);
    must(s != NULL);
    if (s->writes && !k->base.tx.write)
        return err_set(c, ERR_UNAVAILABLE, "the transaction is read-only"); /* as PostgreSQL does */
    TRY(stmt_bind(c, k, s, args));
    *out = s;
    return ERR_OK;
}

/* The error of a failed step; SQLite may have ended the transaction by itself. */
static err_t stmt_fail(struct ctx *c, struct sqlite_conn *k, struct stmt *s, int rc)
{
    err_t e = sqlite_error(c, k->h, rc);

    stmt_end(k, s);
    if (sqlite3_get_autocommit(k->h) != 0)
        k->base.tx.dead = true;
    return e;
}

static err_t sqlite_exec(struct ctx *c, const struct sql *q, struct db_args args, int64_t *changed)
{
    struct sqlite_conn *k = conn_of(c);
    struct stmt *s = NULL;
    int rc = SQLITE_ROW;

    TRY(stmt_ready(c, k, q, args, &s));
    must(s != NULL);
    int64_t before = sqlite3_total_changes64(k->h);
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(s->h);
    if (rc != SQLITE_DONE)
        return stmt_fail(c, k, s, rc);
    (void)sqlite3_reset(s->h);
    bool did = sqlite3_total_changes64(k->h) != before;
    k->base.tx.writes += did;
    if (changed != NULL)
        *changed = did ? sqlite3_changes64(k->h) : 0;
    return ERR_OK;
}

/* The first step is taken here, so that errors and writes with RETURNING happen where they stand.
 */
static err_t sqlite_query(struct ctx *c, const struct sql *q, struct db_args args,
                          struct db_rows *out)
{
    struct sqlite_conn *k = conn_of(c);
    struct stmt *s = NULL;

    TRY(stmt_ready(c, k, q, args, &s));
    must(s != NULL);
    int64_t before = sqlite3_total_changes64(k->h);
    s->rc = sqlite3_step(s->h);
    if (s->rc != SQLITE_ROW && s->rc != SQLITE_DONE)
        return stmt_fail(c, k, s, s->rc);
    s->stepped = true;
    s->open = true;
    k->open_results++;
    /* A row of RETURNING is a change; SQLite adds it to its count only at the end. */
    if (s->writes)
        k->base.tx.writes += s->rc == SQLITE_ROW || sqlite3_total_changes64(k->h) != before;
    s->use++;
    *out = (struct db_rows){ .c = c, .impl = s, .open = s->use };
    return ERR_OK;
}

static bool is_stale(struct db_rows *r)
{
    const struct stmt *s = r->impl;

    if (s->open && s->use == r->open)
        return false;
    r->err = err_set(r->c, ERR_INTERNAL, "a result was read after its end");
    return true;
}

static bool sqlite_row(struct db_rows *r)
{
    struct sqlite_conn *k = conn_of(r->c);
    struct stmt *s = r->impl;

    if (is_stale(r))
        return false;
    if (!s->stepped)
        s->rc = s->rc == SQLITE_ROW ? sqlite3_step(s->h) : s->rc;
    s->stepped = false;
    if (s->rc == SQLITE_ROW)
        return true;
    if (s->rc != SQLITE_DONE)
        r->err = stmt_fail(r->c, k, s, s->rc);
    return false;
}

static err_t sqlite_end(struct db_rows *r)
{
    struct stmt *s = r->impl;

    if (s != NULL && s->open && s->use == r->open)
        stmt_end(conn_of(r->c), s);
    return r->err;
}

static sqlite3_stmt *column_of(const struct db_rows *r, int col)
{
    const struct stmt *s = r->impl;

    must(s->open && s->use == r->open && col >= 0 && col < sqlite3_column_count(s->h));
    return s->h;
}

static int64_t sqlite_get_int(const struct db_rows *r, int col)
{
    return sqlite3_column_int64(column_of(r, col), col);
}

static double sqlite_get_real(const struct db_rows *r, int col)
{
    return sqlite3_column_double(column_of(r, col), col);
}

static str_t sqlite_get_str(const struct db_rows *r, int col)
{
    sqlite3_stmt *h = column_of(r, col);
    int type = sqlite3_column_type(h, col);

    if (type == SQLITE_NULL)
        return STR_NULL;
    const void *p = type == SQLITE_BLOB ? sqlite3_column_blob(h, col)
                                        : (const void *)sqlite3_column_text(h, col);
    return str_dup(r->c->arena, (str_t){ p, (size_t)sqlite3_column_bytes(h, col) });
}

static bool sqlite_is_null(const struct db_rows *r, int col)
{
    return sqlite3_column_type(column_of(r, col), col) == SQLITE_NULL;
}

static err_t sqlite_script(struct ctx *c, str_t text)
{
    struct sqlite_conn *k = conn_of(c);
    struct buf b;
    struct db_text info = { 0 };

    buf_init_arena(&b, c->arena, DB_TEXT_BYTES_MAX);
    TRY(db_text_expand(c, DB_SQLITE, text, &b, &info));
    must(info.args == 0 && info.env_param == 0);
    int rc = sqlite3_exec(k->h, str_z(c->arena, buf_str(&b)), NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        err_t e = sqlite_error(c, k->h, rc);
        k->base.tx.dead = true; /* some of its statements may have been done */
        return e;
    }
    k->base.tx.writes++;
    return ERR_OK;
}

/* ---- transactions ---------------------------------------------------------------------------- */

static int control_run(struct sqlite_conn *k, enum control what)
{
    int rc = sqlite3_step(k->control[what]);

    (void)sqlite3_reset(k->control[what]);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void end_results(struct sqlite_conn *k)
{
    struct stmt *s = NULL;

    if (k->open_results == 0)
        return;
    for (size_t i = 0; (s = map_next(&k->base.stmts, &i)) != NULL;) {
        if (s->open)
            stmt_end(k, s);
    }
}

static err_t sqlite_begin(struct ctx *c, struct db_conn *base, bool write)
{
    struct sqlite_conn *k = (struct sqlite_conn *)base;
    int rc = control_run(k, write ? BEGIN_WRITE : BEGIN_READ);

    return rc == SQLITE_OK ? ERR_OK : sqlite_error(c, k->h, rc);
}

static void sqlite_rollback(struct db_conn *base)
{
    struct sqlite_conn *k = (struct sqlite_conn *)base;

    end_results(k);
    if (sqlite3_get_autocommit(k->h) != 0)
        return;
    int rc = control_run(k, ROLLBACK);
    if (rc != SQLITE_OK)
        log_error("rollback failed", "error=\"%s\"", sqlite3_errmsg(k->h));
}

static err_t sqlite_commit(struct ctx *c, struct db_conn *base)
{
    struct sqlite_conn *k = (struct sqlite_conn *)base;

    end_results(k);
    int rc = control_run(k, COMMIT);
    if (rc == SQLITE_OK)
        return ERR_OK;
    err_t e = k->base.tx.write ? disk_error(c, k->h, rc) : sqlite_error(c, k->h, rc);
    sqlite_rollback(base);
    if (sqlite3_get_autocommit(k->h) == 0)
        return err_set(c, ERR_FATAL, "a failed commit could not be rolled back");
    return e;
}

static int on_commit(void *arg, sqlite3 *h, const char *schema, int pages)
{
    struct sqlite_conn *k = arg;

    (void)h;
    (void)schema;
    k->wal_bytes = pages * k->page_bytes;
    return SQLITE_OK;
}

static err_t sqlite_checkpoint(struct ctx *c, struct db_conn *base)
{
    struct sqlite_conn *k = (struct sqlite_conn *)base;
    int64_t threshold = ((const struct sqlite_db *)base->db)->checkpoint_bytes;
    int in_wal = 0;
    int copied = 0;

    if (k->wal_bytes < threshold)
        k->checkpoint_at = threshold; /* it began anew */
    if (k->wal_bytes < k->checkpoint_at)
        return ERR_OK;
    k->checkpoint_at = k->wal_bytes + threshold / 4;
    int rc = sqlite3_wal_checkpoint_v2(k->h, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &copied);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        return disk_error(c, k->h, rc);
    log_debug("checkpoint", "pages=%d copied=%d", in_wal, copied);
    return ERR_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void sqlite_conn_close(struct db_conn *base)
{
    struct sqlite_conn *k = (struct sqlite_conn *)base;
    struct stmt *s = NULL;

    if (k == NULL)
        return;
    for (size_t i = 0; (s = map_next(&k->base.stmts, &i)) != NULL;) {
        (void)sqlite3_finalize(s->h);
        mem_free(s);
    }
    map_done(&k->base.stmts);
    for (size_t i = 0; i < CONTROL_COUNT; i++)
        (void)sqlite3_finalize(k->control[i]);
    int rc = sqlite3_close(k->h);
    if (rc != SQLITE_OK)
        log_error("closing the database failed", "code=%d", rc);
    mem_free(k);
}

/* Runs a text up to its first row, which the caller reads and finalizes, also after an error. */
static int pragma(struct sqlite_conn *k, const char *text, sqlite3_stmt **row)
{
    int rc = sqlite3_prepare_v2(k->h, text, -1, row, NULL);

    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(*row);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Also the first real read of the file: a damaged schema is found here. */
static int read_page_size(struct sqlite_conn *k)
{
    sqlite3_stmt *row = NULL;
    int rc = pragma(k, "SELECT count(*) FROM sqlite_schema", &row);

    (void)sqlite3_finalize(row);
    if (rc != SQLITE_OK)
        return rc;
    rc = pragma(k, "PRAGMA page_size", &row);
    k->page_bytes = rc == SQLITE_OK ? sqlite3_column_int64(row, 0) : 4096;
    (void)sqlite3_finalize(row);
    return rc;
}

static err_t set_wal(struct ctx *c, const struct sqlite_db *d, struct sqlite_conn *k)
{
    sqlite3_stmt *row = NULL;
    int rc = pragma(k, "PRAGMA journal_mode = WAL", &row);
    const char *mode = rc == SQLITE_OK ? (const char *)sqlite3_column_text(row, 0) : NULL;
    bool wal = mode != NULL && strcmp(mode, "wal") == 0;
    /* The message must be made before the statement is gone. */
    err_t e = rc == SQLITE_OK ? ERR_OK : open_error(c, d, k->h, rc);

    (void)sqlite3_finalize(row);
    TRY(e);
    if (!wal && !d->memory)
        return err_set(c, ERR_PRECONDITION,
                       "database %s cannot use a write-ahead log on this file system", d->path);
    return ERR_OK;
}

/* Settings that cannot fail for a reason of their own; journal_size_limit is in bytes. */
static err_t set_up(struct ctx *c, const struct sqlite_db *d, struct sqlite_conn *k, bool write)
{
    struct buf text;
    int rc = SQLITE_OK;

    (void)sqlite3_busy_timeout(k->h, BUSY_TIMEOUT_MS);
    (void)sqlite3_extended_result_codes(k->h, 1);
    (void)sqlite3_db_config(k->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(k->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(k->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_db_config(k->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    rc = read_page_size(k);
    if (rc != SQLITE_OK)
        return open_error(c, d, k->h, rc);
    if (write)
        TRY(set_wal(c, d, k));
    buf_init_arena(&text, c->arena, 1024);
    buf_printf(&text,
               "PRAGMA synchronous = %s; PRAGMA cache_size = -%d; PRAGMA foreign_keys = ON;"
               "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = %lld;",
               d->durability == DB_FULL ? "FULL" : "NORMAL",
               write ? WRITER_CACHE_KIB : READER_CACHE_KIB, (long long)d->checkpoint_bytes * 2);
    rc = sqlite3_exec(k->h, str_z(c->arena, buf_str(&text)), NULL, NULL, NULL);
    for (size_t i = 0; i < CONTROL_COUNT && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(k->h, control_text[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &k->control[i], NULL);
    if (rc != SQLITE_OK)
        return open_error(c, d, k->h, rc);
    (void)sqlite3_wal_hook(k->h, on_commit, k); /* also ends SQLite's own checkpoints */
    k->checkpoint_at = d->checkpoint_bytes;
    return ERR_OK;
}

static err_t conn_new(struct ctx *c, const struct sqlite_db *d, bool write,
                      struct sqlite_conn **out)
{
    struct sqlite_conn *k = mem_zero(sizeof(*k));
    int flags = SQLITE_OPEN_NOMUTEX |
                (write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
    int rc = sqlite3_open_v2(d->path, &k->h, flags, d->vfs);
    err_t e = rc == SQLITE_OK ? ERR_OK : open_error(c, d, k->h, rc);

    if (e == ERR_OK && write && sqlite3_db_readonly(k->h, "main") == 1)
        e = err_set(c, ERR_PRECONDITION, "database %s is read-only", d->path);
    if (e == ERR_OK)
        e = set_up(c, d, k, write);
    if (e != ERR_OK) {
        sqlite_conn_close(&k->base);
        return e;
    }
    *out = k;
    return ERR_OK;
}

static err_t sqlite_conn_open(struct ctx *c, struct db *base, bool write, struct db_conn **out)
{
    struct sqlite_db *d = (struct sqlite_db *)base;
    struct sqlite_conn *k = NULL;

    if (write)
        k = __atomic_exchange_n(&d->ready, NULL, __ATOMIC_ACQ_REL);
    if (k == NULL && d->memory)
        return err_set(c, ERR_PRECONDITION, "a memory database has one connection, its writer");
    if (k == NULL)
        TRY(conn_new(c, d, write, &k));
    *out = &k->base;
    return ERR_OK;
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A log beside the database that SQLite will apply first, so that the file alone tells nothing. */
static bool has_log(struct ctx *c, const struct sqlite_db *d, const char *suffix)
{
    str_t path = str_printf(c->arena, "%s%s", d->path, suffix);
    struct stat st = { 0 };

    return stat(str_z(c->arena, path), &st) == 0 && st.st_size > 0;
}

/* What SQLite would find only page by page: a file of another kind, or one cut short. The size in
 * the header counts when the last writer knew that field. */
static err_t check_header(struct ctx *c, const struct sqlite_db *d, const unsigned char *h,
                          int64_t size)
{
    int64_t page = h[16] << 8 | h[17];

    if (has_log(c, d, "-wal") || has_log(c, d, "-journal"))
        return ERR_OK;
    if (size < HEADER_BYTES || memcmp(h, "SQLite format 3", 16) != 0)
        return err_set(c, ERR_PRECONDITION, "%s is not a SQLite database", d->path);
    if (page == 1)
        page = 65536;
    if (page < 512 || (page & (page - 1)) != 0)
        return err_set(c, ERR_PRECONDITION, "database %s is damaged: page size", d->path);
    int64_t wanted = be32(h + 24) == be32(h + 92) ? (int64_t)be32(h + 28) * page : 0;
    if (size < wanted)
        return err_set(c, ERR_PRECONDITION, "database %s is damaged: %lld bytes are missing",
                       d->path, (long long)(wanted - size));
    return ERR_OK;
}

/* Called under the process lock and before SQLite has opened the file: closing a descriptor of it
 * drops the locks that this process holds on it. */
static err_t check_file(struct ctx *c, const struct sqlite_db *d)
{
    unsigned char head[HEADER_BYTES] = { 0 };
    struct stat st = { 0 };
    int fd = open(d->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return ERR_OK;
    if (fd < 0)
        return err_set(c, ERR_PRECONDITION, "cannot open database %s: %s", d->path,
                       strerror(errno));
    ssize_t n = fstat(fd, &st) == 0 ? pread(fd, head, sizeof(head), 0) : -1;
    int why = errno;
    (void)close(fd);
    if (n < 0)
        return err_set(c, ERR_PRECONDITION, "cannot read database %s: %s", d->path, strerror(why));
    if (n == 0)
        return ERR_OK;
    return check_header(c, d, head, st.st_size);
}

/* A new file is for its owner only: it will hold payloads. SQLite gives its WAL the same mode. What
 * fails here fails again, with its reason, when SQLite opens the file. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)close(fd);
}

static err_t take_file(struct ctx *c, struct sqlite_db *d)
{
    struct stat st = { 0 };

    if (stat(d->path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return err_set(c, ERR_PRECONDITION, "%s is a directory, not a database", d->path);
        if (access(d->path, W_OK) != 0)
            return err_set(c, ERR_PRECONDITION, "database %s is read-only", d->path);
    }
    TRY(db_lock_take(c, str_from(d->path), &d->lock_fd));
    make_private(d->path);
    TRY(db_lock_file(c, str_from(d->path), &d->file_fd));
    return check_file(c, d);
}

static void sqlite_close(struct db *base)
{
    struct sqlite_db *d = (struct sqlite_db *)base;

    if (d->ready != NULL)
        sqlite_conn_close(&d->ready->base);
    if (d->file_fd >= 0)
        (void)close(d->file_fd);
    db_lock_drop(d->lock_fd);
    mem_free(d->path);
    mem_free(d);
}

static const struct db_driver sqlite_driver = {
    .close = sqlite_close,
    .conn_open = sqlite_conn_open,
    .conn_close = sqlite_conn_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .exec = sqlite_exec,
    .query = sqlite_query,
    .row = sqlite_row,
    .end = sqlite_end,
    .script = sqlite_script,
    .checkpoint = sqlite_checkpoint,
    .get_int = sqlite_get_int,
    .get_real = sqlite_get_real,
    .get_str = sqlite_get_str,
    .is_null = sqlite_is_null,
};

/* Once a process and before its first connection; when a test has started SQLite already, its
 * defaults serve as well, only slower. */
static void configure(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

err_t db_sqlite_open(struct ctx *c, const struct db_opts *o, struct db **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sqlite_db *d = mem_zero(sizeof(*d));
    char *path = mem_alloc(o->path.n + 1);

    (void)pthread_once(&once, configure);
    memcpy(path, o->path.p, o->path.n);
    path[o->path.n] = '\0';
    d->base.driver = &sqlite_driver;
    d->base.kind = DB_SQLITE;
    d->path = path;
    d->vfs = o->vfs;
    d->durability = o->durability;
    d->checkpoint_bytes = o->checkpoint_bytes > 0 ? o->checkpoint_bytes : checkpoint_bytes_default;
    d->memory = str_eq(o->path, S(":memory:"));
    d->base.readers = !d->memory;
    d->lock_fd = d->file_fd = -1;
    err_t e = d->memory ? ERR_OK : take_file(c, d);
    if (e == ERR_OK)
        e = conn_new(c, d, true, &d->ready);
    if (e != ERR_OK) {
        sqlite_close(&d->base);
        return e;
    }
    *out = &d->base;
    return ERR_OK;
}
