/* What the drivers share: the vtable, the parts of a connection that every driver has, the
 * rewriting of statement text, and the seam for injected faults. Only files of src/db include this.
 */
#pragma once

#include "base/buf.h"
#include "base/map.h"
#include "db/db.h"

struct db_driver {
    void (*close)(struct db *d);
    err_t (*conn_open)(struct ctx *c, struct db *d, bool write, struct db_conn **out);
    void (*conn_close)(struct db_conn *k);
    err_t (*begin)(struct ctx *c, struct db_conn *k, bool write);
    /* Commits, or rolls back what cannot be committed; no transaction is open afterwards. */
    err_t (*commit)(struct ctx *c, struct db_conn *k);
    void (*rollback)(struct db_conn *k);
    err_t (*exec)(struct ctx *c, const struct sql *q, struct db_args args, int64_t *changed);
    err_t (*query)(struct ctx *c, const struct sql *q, struct db_args args, struct db_rows *out);
    bool (*row)(struct db_rows *r);
    err_t (*end)(struct db_rows *r);
    err_t (*script)(struct ctx *c, str_t text);
    err_t (*checkpoint)(struct ctx *c, struct db_conn *k);
    int64_t (*get_int)(const struct db_rows *r, int col);
    double (*get_real)(const struct db_rows *r, int col);
    str_t (*get_str)(const struct db_rows *r, int col);
    bool (*is_null)(const struct db_rows *r, int col);
};

/* The first member of each driver's own struct. */
struct db {
    const struct db_driver *driver;
    enum db_kind kind;
    bool readers;
    int conns; /* open connections, changed atomically: opened and closed on any thread */
};

struct db_tx {
    struct db_conn *conn;
    bool open;
    bool dead;
    bool write;
    uint64_t writes;
};

struct db_conn {
    const struct db_driver *driver;
    struct db *db;
    struct db_tx tx;
    struct map stmts; /* address of a struct sql -> the driver's prepared statement */
};

/* The driver's connection of the open transaction. */
static inline struct db_conn *db_conn_of(const struct ctx *c)
{
    must(c->tx != NULL && c->tx->open);
    return c->tx->conn;
}

/* The driver half of db_open; o->kind is the right one. */
NODISCARD err_t db_sqlite_open(struct ctx *c, const struct db_opts *o, struct db **out);
/* The same. */
NODISCARD err_t db_pg_open(struct ctx *c, const struct db_opts *o, struct db **out);

/* What a statement's text asks for. */
struct db_text {
    int args;      /* highest $n */
    int env_param; /* number of the parameter that $env became, or 0 */
};

/* Appends the text for one database: parameters and {macros}; literals and comments stay.
 * ERR_INTERNAL on an unknown macro or a parameter out of range: a bug of the statement's author. */
NODISCARD err_t db_text_expand(struct ctx *c, enum db_kind kind, str_t text, struct buf *out,
                               struct db_text *info);

/* The lock file <path>.lock of a SQLite database. ERR_UNAVAILABLE names the process that holds it;
 * ERR_PRECONDITION says why the file cannot be made. */
NODISCARD err_t db_lock_take(struct ctx *c, str_t path, int *fd);
void db_lock_drop(int fd);
/* Locks the database file itself, so that nobody comes by another name or past a lock file that was
 * deleted. *fd must stay open until SQLite has closed the file; -1 when there is none yet. */
NODISCARD err_t db_lock_file(struct ctx *c, str_t path, int *fd);

/* Counts a call; the error that the test asked for, or ERR_OK. */
NODISCARD err_t db_fault_next(void);

/* Largest text of one statement or script. */
enum { DB_TEXT_BYTES_MAX = 1 << 20, DB_ARGS_MAX = 64 };
