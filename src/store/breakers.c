/* SQL of the table breakers. */
#include "store/breakers.h"

#include "db/db.h"
#include "store/rows.h"

#define COLS                                                                                       \
    "fn, endpoint_hash, env, endpoint, state, failures, last_failure, until, probe, updated_at"

static void breaker_read(const struct db_rows *r, struct breaker *out)
{
    *out = (struct breaker){
        .fn = db_int(r, 0),
        .endpoint_hash = db_int(r, 1),
        .env = db_int(r, 2),
        .endpoint = db_str(r, 3),
        .state = (enum breaker_state)db_int(r, 4),
        .failures = db_int(r, 5),
        .last_failure = db_int(r, 6),
        .until = db_int(r, 7),
        .probe = db_int(r, 8),
        .updated_at = db_int(r, 9),
    };
}

err_t store_breaker_get(struct ctx *c, int64_t fn, str_t endpoint, bool lock, struct breaker *out)
{
    static const struct sql get = { "SELECT " COLS " FROM breakers WHERE fn = $1 "
                                    "AND endpoint_hash = $2 AND env = $env" };
    static const struct sql get_locked = { "SELECT " COLS " FROM breakers WHERE fn = $1 "
                                           "AND endpoint_hash = $2 AND env = $env {for_update}" };
    struct breaker b = {
        .fn = fn, .endpoint_hash = (int64_t)str_hash(endpoint), .env = c->env, .endpoint = endpoint
    };
    struct db_rows r;

    TRY(db_query(c, lock ? &get_locked : &get, ARGS(DB_INT(fn), DB_INT(b.endpoint_hash)), &r));
    if (db_row(&r))
        breaker_read(&r, &b);
    TRY(db_end(&r));
    *out = b;
    return ERR_OK;
}

err_t store_breaker_lock(struct ctx *c, int64_t fn, str_t endpoint, struct breaker *out)
{
    static const struct sql add = { "INSERT INTO breakers (" COLS
                                    ") VALUES ($1, $2, $env, $3, 0, 0, 0, 0, 0, $4) "
                                    "ON CONFLICT DO NOTHING" };

    TRY(store_breaker_get(c, fn, endpoint, true, out));
    if (out->updated_at != 0)
        return ERR_OK;
    TRY(db_exec(c, &add,
                ARGS(DB_INT(fn), DB_INT(out->endpoint_hash), DB_TEXT(endpoint), DB_INT(c->now_ms)),
                NULL));
    TRY(store_breaker_get(c, fn, endpoint, true, out));
    return out->updated_at != 0 ? ERR_OK : err_set(c, ERR_RETRY, "a breaker came and went");
}

err_t store_breaker_put(struct ctx *c, const struct breaker *b)
{
    static const struct sql q = {
        "INSERT INTO breakers (" COLS ") VALUES ($1, $2, $env, $3, $4, $5, $6, $7, $8, $9) "
        "ON CONFLICT (fn, endpoint_hash) DO UPDATE SET state = $4, failures = $5, "
        "last_failure = $6, until = $7, probe = $8, updated_at = $9"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT(b->fn), DB_INT(b->endpoint_hash), DB_TEXT(b->endpoint),
                        DB_INT(b->state), DB_INT(b->failures), DB_INT(b->last_failure),
                        DB_INT(b->until), DB_INT(b->probe), DB_INT(b->updated_at)),
                   NULL);
}

err_t store_breaker_list(struct ctx *c, int64_t limit, struct breaker **out, size_t *n)
{
    static const struct sql of_env = { "SELECT " COLS " FROM breakers WHERE env = $env "
                                       "ORDER BY fn, endpoint LIMIT $1" };
    static const struct sql all = { "SELECT " COLS
                                    " FROM breakers ORDER BY fn, endpoint LIMIT $1" };
    struct rows_of rows = ROWS_OF(struct breaker);
    struct db_rows r;

    TRY(db_query(c, c->env == 0 ? &all : &of_env, ARGS(DB_INT(limit)), &r));
    while (db_row(&r))
        breaker_read(&r, rows_next(c, &rows));
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_breaker_expire(struct ctx *c, int64_t before, int64_t limit, int64_t *n)
{
    static const struct sql q = {
        "DELETE FROM breakers WHERE (fn, endpoint_hash) IN (SELECT fn, endpoint_hash FROM breakers "
        "WHERE updated_at < $1 ORDER BY updated_at LIMIT $2) AND updated_at < $1"
    };

    return db_exec(c, &q, ARGS(DB_INT(before), DB_INT(limit)), n);
}

err_t store_push_functions(struct ctx *c, int64_t **fns, int64_t **envs, size_t *n)
{
    static const struct sql q = {
        "SELECT key, env FROM functions WHERE mode = 1 AND deleted = 0 ORDER BY key"
    };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS_NONE, &r));
    return rows_pairs(c, &r, fns, envs, n);
}

err_t store_push_held(struct ctx *c, int64_t holder, int64_t limit, int64_t **run_ids,
                      int64_t **envs, size_t *n)
{
    static const struct sql q = { "SELECT run_id, env FROM queue WHERE worker = $1 AND state = 1 "
                                  "ORDER BY run_id LIMIT $2" };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(holder), DB_INT(limit)), &r));
    return rows_pairs(c, &r, run_ids, envs, n);
}
