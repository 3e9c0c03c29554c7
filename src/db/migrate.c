/* Numbered migrations, forward only. The table schema_migrations says what has been done; each
 * migration and its row commit together. */
#include "db/migrate.h"

static const struct sql q_create = {
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    "number BIGINT PRIMARY KEY, name {text} NOT NULL, applied_at BIGINT NOT NULL) {strict}"
};
static const struct sql q_last = { "SELECT COALESCE(MAX(number), 0) FROM schema_migrations" };
static const struct sql q_insert = {
    "INSERT INTO schema_migrations (number, name, applied_at) VALUES ($1, $2, $3)"
};
/* Nodes that start together on PostgreSQL migrate one after the other; the key is an arbitrary one.
 */
static const struct sql q_lock_pg = { "SELECT 1 FROM pg_advisory_xact_lock(7310868735423441761)" };

static err_t query_int(struct ctx *c, const struct sql *q, int64_t *out)
{
    struct db_rows r = { 0 };

    TRY(db_query(c, q, ARGS_NONE, &r));
    while (db_row(&r))
        *out = db_int(&r, 0);
    return db_end(&r);
}

/* Inside a transaction: the number of the last migration done. */
static err_t read_last(struct ctx *c, enum db_kind kind, int64_t *last)
{
    int64_t locked = 0;

    if (kind == DB_PG)
        TRY(query_int(c, &q_lock_pg, &locked));
    TRY(db_exec(c, &q_create, ARGS_NONE, NULL));
    return query_int(c, &q_last, last);
}

static err_t apply(struct ctx *c, const struct migration *m)
{
    TRY(db_script(c, str_from(m->sql)));
    return db_exec(c, &q_insert,
                   ARGS(DB_INT(m->number), DB_TEXT(str_from(m->name)), DB_INT(c->now_ms)), NULL);
}

static err_t next_step(struct ctx *c, enum db_kind kind, const struct migration *m, size_t n,
                       bool *more)
{
    int64_t last = 0;

    TRY(read_last(c, kind, &last));
    if (last > (int64_t)n)
        return err_set(c, ERR_PRECONDITION,
                       "the database has schema %lld, this program knows %zu: "
                       "use the newer ironflow that made it",
                       (long long)last, n);
    if (last < (int64_t)n)
        TRY(apply(c, &m[last]));
    *more = last + 1 < (int64_t)n;
    return ERR_OK;
}

err_t db_migrate(struct ctx *c, struct db_conn *k, const struct migration *m, size_t n)
{
    bool more = true;

    for (size_t i = 0; i < n; i++)
        must(m[i].number == (int)i + 1);
    while (more) {
        more = false;
        TRY(db_begin(c, k, true));
        err_t e = next_step(c, db_conn_kind(k), m, n, &more);
        if (e != ERR_OK) {
            db_rollback(c);
            return e;
        }
        TRY(db_commit(c));
    }
    return ERR_OK;
}
