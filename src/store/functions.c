/* The table functions, and the rows of events that are their history. */
#include "store/functions.h"

#include "store/rows.h"

#define COLUMNS "key, id, version, status, mode, config, invoked, deleted, created_at, updated_at"

static const struct sql all = { "SELECT " COLUMNS " FROM functions WHERE env = $env ORDER BY key" };

static const struct sql lock = { "SELECT " COLUMNS
                                 " FROM functions WHERE env = $env AND id = $1 {for_update}" };

static const struct sql insert = {
    "INSERT INTO functions (key, env, id, version, status, mode, config, invoked, deleted, "
    "created_at, updated_at) VALUES ($1, $env, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
    "ON CONFLICT DO NOTHING"
};

static const struct sql put = {
    "UPDATE functions SET version = $1, status = $2, mode = $3, config = $4, invoked = $5, "
    "deleted = $6, created_at = $7, updated_at = $8 WHERE key = $9 AND env = $env AND version = $10"
};

static const struct sql mark_invoked = {
    "UPDATE functions SET invoked = 1 WHERE key = $1 AND env = $env AND invoked = 0"
};

static const struct sql records = {
    "SELECT id, data, entity_version FROM events WHERE env = $env AND entity_id = $1 "
    "AND entity_version > $2 ORDER BY entity_version LIMIT $3"
};

static const struct sql record_get = {
    "SELECT id, data, entity_version FROM events WHERE env = $env AND entity_id = $1 "
    "AND entity_version = $2"
};

static void read_row(const struct db_rows *r, struct function *f)
{
    *f = (struct function){ .key = db_int(r, 0),
                            .id = db_str(r, 1),
                            .version = db_int(r, 2),
                            .status = (enum fn_status)db_int(r, 3),
                            .mode = (enum exec_mode)db_int(r, 4),
                            .config = db_str(r, 5),
                            .invoked = db_int(r, 6) != 0,
                            .deleted = db_int(r, 7) != 0,
                            .created_at = db_int(r, 8),
                            .updated_at = db_int(r, 9) };
}

err_t store_functions_all(struct ctx *c, struct function **out, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct function);
    struct db_rows r;

    TRY(db_query(c, &all, ARGS_NONE, &r));
    while (db_row(&r))
        read_row(&r, rows_next(c, &rows));
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_function_lock(struct ctx *c, str_t id, struct function *out)
{
    struct function f = { 0 };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &lock, ARGS(DB_TEXT(id)), &r));
    found = db_row(&r);
    if (found)
        read_row(&r, &f);
    TRY(db_end(&r));
    if (!found)
        return ERR_NOT_FOUND;
    *out = f;
    return ERR_OK;
}

err_t store_function_insert(struct ctx *c, const struct function *f, bool *inserted)
{
    int64_t changed = 0;

    TRY(db_exec(c, &insert,
                ARGS(DB_INT(f->key), DB_TEXT(f->id), DB_INT(f->version), DB_INT(f->status),
                     DB_INT(f->mode), DB_BLOB(f->config), DB_INT(f->invoked), DB_INT(f->deleted),
                     DB_INT(f->created_at), DB_INT(f->updated_at)),
                &changed));
    *inserted = changed > 0;
    return ERR_OK;
}

err_t store_function_put(struct ctx *c, const struct function *f, int64_t from)
{
    int64_t changed = 0;

    TRY(db_exec(c, &put,
                ARGS(DB_INT(f->version), DB_INT(f->status), DB_INT(f->mode), DB_BLOB(f->config),
                     DB_INT(f->invoked), DB_INT(f->deleted), DB_INT(f->created_at),
                     DB_INT(f->updated_at), DB_INT(f->key), DB_INT(from)),
                &changed));
    if (changed == 0)
        return err_set(c, ERR_CONFLICT, "the function was changed at the same time");
    return ERR_OK;
}

err_t store_function_mark_invoked(struct ctx *c, int64_t key, bool *changed)
{
    int64_t rows = 0;

    TRY(db_exec(c, &mark_invoked, ARGS(DB_INT(key)), &rows));
    *changed = rows > 0;
    return ERR_OK;
}

static void read_record(const struct db_rows *r, str_t stream, struct event *e)
{
    *e = (struct event){ .id = db_int(r, 0),
                         .data = db_str(r, 1),
                         .version = 1,
                         .source = S("system"),
                         .entity_id = stream,
                         .entity_type = S("function"),
                         .entity_version = db_int(r, 2) };
}

err_t store_function_records(struct ctx *c, str_t stream, int64_t from, int64_t limit,
                             struct event **out, size_t *n)
{
    struct event *events = NEW_N(c->arena, struct event, limit);
    struct db_rows r;
    size_t have = 0;

    must(limit > 0);
    TRY(db_query(c, &records, ARGS(DB_TEXT(stream), DB_INT(from), DB_INT(limit)), &r));
    while (have < (size_t)limit && db_row(&r))
        read_record(&r, stream, &events[have++]);
    TRY(db_end(&r));
    *out = events;
    *n = have;
    return ERR_OK;
}

err_t store_function_record_get(struct ctx *c, str_t stream, int64_t version, struct event *out)
{
    struct event e = { 0 };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &record_get, ARGS(DB_TEXT(stream), DB_INT(version)), &r));
    found = db_row(&r);
    if (found)
        read_record(&r, stream, &e);
    TRY(db_end(&r));
    if (!found)
        return ERR_NOT_FOUND;
    *out = e;
    return ERR_OK;
}
