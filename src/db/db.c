/* The common half of both databases: which driver, the state of the transaction, injected faults. A
 * connection and its transaction belong to one thread at a time; struct db is shared and constant.
 */
#include "db/db.h"

#include "db/db_priv.h"

err_t db_open(struct ctx *c, const struct db_opts *o, struct db **out)
{
    return o->kind == DB_SQLITE ? db_sqlite_open(c, o, out) : db_pg_open(c, o, out);
}

void db_close(struct db *d)
{
    if (d == NULL)
        return;
    must(__atomic_load_n(&d->conns, __ATOMIC_ACQUIRE) == 0);
    d->driver->close(d);
}

enum db_kind db_kind_of(const struct db *d)
{
    return d->kind;
}

bool db_has_readers(const struct db *d)
{
    return d->readers;
}

err_t db_conn_open(struct ctx *c, struct db *d, bool write, struct db_conn **out)
{
    struct db_conn *k = NULL;

    TRY(d->driver->conn_open(c, d, write, &k));
    k->driver = d->driver;
    k->db = d;
    k->tx.conn = k;
    __atomic_fetch_add(&d->conns, 1, __ATOMIC_ACQ_REL);
    *out = k;
    return ERR_OK;
}

void db_conn_close(struct db_conn *k)
{
    if (k == NULL)
        return;
    struct db *d = k->db;

    must(!k->tx.open);
    k->driver->conn_close(k);
    __atomic_fetch_sub(&d->conns, 1, __ATOMIC_ACQ_REL);
}

enum db_kind db_conn_kind(const struct db_conn *k)
{
    return k->db->kind;
}

/* An injected error ends the transaction as a real one of that kind would. */
static err_t fault(struct ctx *c)
{
    err_t e = db_fault_next();

    if (e == ERR_OK)
        return ERR_OK;
    if (c->tx != NULL && e != ERR_EXISTS)
        c->tx->dead = true;
    return err_set(c, e, "injected fault");
}

static err_t refuse_dead(struct ctx *c)
{
    return err_set(c, ERR_UNAVAILABLE, "the transaction has ended with an earlier error");
}

err_t db_begin(struct ctx *c, struct db_conn *k, bool write)
{
    must(c->tx == NULL && !k->tx.open);
    TRY(fault(c));
    TRY(k->driver->begin(c, k, write));
    k->tx = (struct db_tx){ .conn = k, .open = true, .write = write };
    c->tx = &k->tx;
    return ERR_OK;
}

/* A lost COMMIT may have happened: the injected one did. */
static err_t commit_with_fault(struct ctx *c, struct db_conn *k, err_t injected)
{
    if (injected == ERR_UNCERTAIN && k->tx.write)
        err_ignore(k->driver->commit(c, k), "the injected error is reported instead");
    else
        k->driver->rollback(k);
    return err_set(c, injected, "injected fault");
}

err_t db_commit(struct ctx *c)
{
    struct db_conn *k = db_conn_of(c);
    err_t injected = db_fault_next();
    err_t e = ERR_OK;

    if (injected != ERR_OK) {
        e = commit_with_fault(c, k, injected);
    } else if (k->tx.dead) {
        k->driver->rollback(k);
        e = refuse_dead(c);
    } else {
        e = k->driver->commit(c, k);
    }
    k->tx.open = false;
    c->tx = NULL;
    return e;
}

void db_rollback(struct ctx *c)
{
    struct db_conn *k = db_conn_of(c);

    k->driver->rollback(k);
    k->tx.open = false;
    c->tx = NULL;
}

bool db_is_dead(const struct ctx *c)
{
    return c->tx != NULL && c->tx->dead;
}

uint64_t db_writes(const struct ctx *c)
{
    return c->tx != NULL ? c->tx->writes : 0;
}

err_t db_exec(struct ctx *c, const struct sql *q, struct db_args args, int64_t *changed)
{
    struct db_conn *k = db_conn_of(c);

    TRY(fault(c));
    if (k->tx.dead)
        return refuse_dead(c);
    return k->driver->exec(c, q, args, changed);
}

err_t db_query(struct ctx *c, const struct sql *q, struct db_args args, struct db_rows *out)
{
    struct db_conn *k = db_conn_of(c);

    TRY(fault(c));
    if (k->tx.dead)
        return refuse_dead(c);
    return k->driver->query(c, q, args, out);
}

bool db_row(struct db_rows *r)
{
    struct db_conn *k = db_conn_of(r->c);

    if (r->err != ERR_OK)
        return false;
    r->err = fault(r->c);
    if (r->err == ERR_OK && k->tx.dead)
        r->err = refuse_dead(r->c);
    return r->err == ERR_OK && k->driver->row(r);
}

err_t db_end(struct db_rows *r)
{
    return db_conn_of(r->c)->driver->end(r);
}

int64_t db_int(const struct db_rows *r, int col)
{
    return r->c->tx->conn->driver->get_int(r, col);
}

double db_real(const struct db_rows *r, int col)
{
    return r->c->tx->conn->driver->get_real(r, col);
}

str_t db_str(const struct db_rows *r, int col)
{
    return r->c->tx->conn->driver->get_str(r, col);
}

bool db_null(const struct db_rows *r, int col)
{
    return r->c->tx->conn->driver->is_null(r, col);
}

err_t db_script(struct ctx *c, str_t text)
{
    struct db_conn *k = db_conn_of(c);

    TRY(fault(c));
    if (k->tx.dead)
        return refuse_dead(c);
    return k->driver->script(c, text);
}

err_t db_checkpoint(struct ctx *c, struct db_conn *writer)
{
    must(!writer->tx.open);
    return writer->driver->checkpoint(c, writer);
}
