/* SQL of the table idempotency. */
#include "store/idempotency.h"

#include "db/db.h"

err_t store_idempotency_get(struct ctx *c, str_t key, struct idempotency *out, bool *found)
{
    static const struct sql q = { "SELECT flow, fn, event_id, run_ids FROM idempotency "
                                  "WHERE env = $env AND key = $1" };
    struct db_rows r;
    bool hit;

    TRY(db_query(c, &q, ARGS(DB_TEXT(key)), &r));
    hit = db_row(&r);
    if (hit) {
        *out = (struct idempotency){ .flow = (enum idempotency_flow)db_int(&r, 0),
                                     .fn = db_int(&r, 1),
                                     .event_id = db_int(&r, 2),
                                     .run_ids = db_str(&r, 3) };
    }
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_idempotency_add(struct ctx *c, str_t key, const struct idempotency *in, bool *added)
{
    static const struct sql q = {
        "INSERT INTO idempotency (env, key, flow, fn, event_id, run_ids) "
        "VALUES ($env, $1, $2, $3, $4, $5) ON CONFLICT (env, key) DO NOTHING"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_TEXT(key), DB_INT(in->flow), DB_INT(in->fn), DB_INT(in->event_id),
                     DB_BLOB(in->run_ids)),
                &n));
    *added = n == 1;
    return ERR_OK;
}
