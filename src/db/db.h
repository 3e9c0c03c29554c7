/* One SQL interface over SQLite and PostgreSQL: rows in, rows out, no domain words.
 *
 * A statement is a static const struct sql; its address is its identity and every connection keeps
 * it prepared. Its text is written once for both databases: $1 .. $n       arguments, in any order,
 * repeats allowed $env           the environment key of the context (c->env), bound by this layer
 *   {for_update}   FOR UPDATE, empty on SQLite
 *   {skip_locked}  FOR UPDATE SKIP LOCKED, empty on SQLite
 *   {blob}         BLOB or BYTEA           {strict}  WITHOUT ROWID, or empty
 *   {id}           BIGINT PRIMARY KEY or INTEGER PRIMARY KEY (the rowid)
 *   {serial}       the same with a key that the database draws, growing, when a row is inserted
 *   {text}         TEXT, on PostgreSQL with COLLATE "C"
 * Integers are 64 bits in both, booleans 0 and 1, times milliseconds, payloads blobs. */
#pragma once

#include "base/ctx.h"

struct db;
struct db_conn;

enum db_kind { DB_SQLITE, DB_PG };
enum db_durability { DB_FULL, DB_NORMAL };

struct db_opts {
    enum db_kind kind;
    str_t path;                    /* SQLite: file or ":memory:"; PostgreSQL: connection URL */
    enum db_durability durability; /* SQLite only */
    const char *vfs;               /* SQLite: another VFS for tests, or NULL */
    int64_t checkpoint_bytes;      /* SQLite: threshold of db_checkpoint; 0: 32 MiB */
};

/* Opens (creating a SQLite file), takes the process lock of a SQLite file. Errors carry text for
 * people: who holds the file, that it is read-only, corrupt, not a database, unreachable. */
NODISCARD err_t db_open(struct ctx *c, const struct db_opts *o, struct db **out);
void db_close(struct db *d);
enum db_kind db_kind_of(const struct db *d);
/* False for ":memory:": its one connection, the writer, serves reads too. */
bool db_has_readers(const struct db *d);
/* A connection for one thread. Readers of SQLite are read-only; ":memory:" has only the writer
 * (ERR_PRECONDITION for another). All are closed before db_close. */
NODISCARD err_t db_conn_open(struct ctx *c, struct db *d, bool write, struct db_conn **out);
void db_conn_close(struct db_conn *k);
enum db_kind db_conn_kind(const struct db_conn *k);

/* Begins on the connection and sets c->tx. A write on SQLite takes the write lock now. */
NODISCARD err_t db_begin(struct ctx *c, struct db_conn *k, bool write);
/* ERR_OK: durable. ERR_UNAVAILABLE: rolled back, nothing happened (busy, disk full). ERR_RETRY:
 * rolled back by a race, run it again. ERR_UNCERTAIN: the connection was lost in COMMIT. ERR_FATAL:
 * the disk failed; end the process. c->tx is NULL afterwards in every case. */
NODISCARD err_t db_commit(struct ctx *c);
void db_rollback(struct ctx *c);
/* True when the database itself has ended the transaction after an error; only db_rollback is left
 * (every other call on it fails, db_commit rolls back and says so). */
bool db_is_dead(const struct ctx *c);
/* Statements that changed something since the transaction began. */
uint64_t db_writes(const struct ctx *c);

struct sql {
    const char *text;
};

enum db_val_kind { DB_VAL_NULL, DB_VAL_INT, DB_VAL_REAL, DB_VAL_TEXT, DB_VAL_BLOB };
struct db_val {
    enum db_val_kind kind;
    int64_t i;
    double r;
    str_t s;
};
#define DB_INT(v) ((struct db_val){ .kind = DB_VAL_INT, .i = (v) })
#define DB_REAL(v) ((struct db_val){ .kind = DB_VAL_REAL, .r = (v) })
#define DB_TEXT(v) ((struct db_val){ .kind = DB_VAL_TEXT, .s = (v) })
#define DB_BLOB(v) ((struct db_val){ .kind = DB_VAL_BLOB, .s = (v) })
#define DB_NULL ((struct db_val){ .kind = DB_VAL_NULL })
/* NULL when empty. */
#define DB_TEXT_OR_NULL(v)                                                                         \
    ((struct db_val){ .kind = (v).n > 0 ? DB_VAL_TEXT : DB_VAL_NULL, .s = (v) })
#define DB_BLOB_OR_NULL(v)                                                                         \
    ((struct db_val){ .kind = (v).n > 0 ? DB_VAL_BLOB : DB_VAL_NULL, .s = (v) })

/* Arguments of a statement: ARGS(DB_INT(id), DB_TEXT(name)), or ARGS_NONE. */
struct db_args {
    const struct db_val *v;
    size_t n;
};
#define ARGS(...)                                                                                  \
    ((struct db_args){ (const struct db_val[]){ __VA_ARGS__ },                                     \
                       sizeof((const struct db_val[]){ __VA_ARGS__ }) / sizeof(struct db_val) })
#define ARGS_NONE ((struct db_args){ NULL, 0 })

/* Runs a statement without rows; *changed (may be NULL) is the number of rows it touched.
 * ERR_EXISTS on a unique violation (SQLite: the transaction goes on; PostgreSQL: it is dead, so use
 * ON CONFLICT DO NOTHING where one is expected), ERR_UNAVAILABLE, ERR_RETRY, ERR_FATAL,
 * ERR_INTERNAL. */
NODISCARD err_t db_exec(struct ctx *c, const struct sql *q, struct db_args args, int64_t *changed);

/* Rows: TRY(db_query(c, &q, ARGS(...), &r)); while (db_row(&r)) {...} return db_end(&r);
 * One open result per statement and transaction: a second query of the same statement, or the end
 * of the transaction, ends the first, whose next db_row fails with ERR_INTERNAL. The bytes of text
 * and blob arguments stay valid until db_end. */
struct db_rows {
    struct ctx *c;
    void *impl;
    int64_t at; /* driver's */
    err_t err;
    uint64_t open; /* which use of the statement this is */
};
NODISCARD err_t db_query(struct ctx *c, const struct sql *q, struct db_args args,
                         struct db_rows *out);
bool db_row(struct db_rows *r);
/* Ends the result, also before its last row; the error that ended it early, if any. */
NODISCARD err_t db_end(struct db_rows *r);

int64_t db_int(const struct db_rows *r, int col); /* 0 for NULL */
double db_real(const struct db_rows *r, int col);
str_t db_str(const struct db_rows *r, int col); /* text or blob, copied into c->arena */
bool db_null(const struct db_rows *r, int col);

/* Text that runs once, outside the statement cache: migrations, pragmas; several statements
 * allowed. */
NODISCARD err_t db_script(struct ctx *c, str_t text);

/* SQLite: moves WAL pages into the database file when the WAL is above the threshold; called
 * between batches by the writer. Nothing on PostgreSQL. ERR_FATAL when the disk failed. */
NODISCARD err_t db_checkpoint(struct ctx *c, struct db_conn *writer);
