/* SQL of the tables lanes and flow_changes, and of the bonds between runs and workers. */
#include "store/lanes.h"

#include "db/db.h"
#include "store/queue.h"
#include "store/rows.h"

#define LANE_COLS "fn, key, admitted, waiting, cap, worker"

static void lane_read(const struct db_rows *r, struct lane *out)
{
    *out = (struct lane){
        .fn = db_int(r, 0),
        .key = db_int(r, 1),
        .admitted = db_int(r, 2),
        .waiting = db_int(r, 3),
        .cap = db_int(r, 4),
        .worker = db_int(r, 5),
    };
}

static err_t lane_find(struct ctx *c, int64_t fn, int64_t key, struct lane *out, bool *found)
{
    static const struct sql q = { "SELECT " LANE_COLS " FROM lanes WHERE fn = $1 AND key = $2 "
                                  "AND env = $env {for_update}" };
    struct db_rows r;
    bool hit;

    TRY(db_query(c, &q, ARGS(DB_INT(fn), DB_INT(key)), &r));
    hit = db_row(&r);
    if (hit)
        lane_read(&r, out);
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_lane_lock(struct ctx *c, int64_t fn, int64_t key, struct lane *out)
{
    static const struct sql q = {
        "INSERT INTO lanes (fn, key, env, admitted, waiting, cap, worker) "
        "VALUES ($1, $2, $env, 0, 0, 0, 0) ON CONFLICT DO NOTHING"
    };
    bool found = false;
    int64_t n = 0;

    TRY(lane_find(c, fn, key, out, &found));
    if (found)
        return ERR_OK;
    TRY(db_exec(c, &q, ARGS(DB_INT(fn), DB_INT(key)), &n));
    if (n == 1) {
        *out = (struct lane){ .fn = fn, .key = key };
        return ERR_OK;
    }
    TRY(lane_find(c, fn, key, out, &found));
    return found ? ERR_OK : err_set(c, ERR_RETRY, "a lane came and went");
}

err_t store_lane_put(struct ctx *c, const struct lane *l)
{
    static const struct sql put = {
        "UPDATE lanes SET admitted = $3, waiting = $4, cap = $5, worker = $6 "
        "WHERE fn = $1 AND key = $2 AND env = $env"
    };
    static const struct sql del = { "DELETE FROM lanes WHERE fn = $1 AND key = $2 AND env = $env" };

    if (lane_idle(l))
        return db_exec(c, &del, ARGS(DB_INT(l->fn), DB_INT(l->key)), NULL);
    return db_exec(c, &put,
                   ARGS(DB_INT(l->fn), DB_INT(l->key), DB_INT(l->admitted), DB_INT(l->waiting),
                        DB_INT(l->cap), DB_INT(l->worker)),
                   NULL);
}

err_t store_lane_open(struct ctx *c, int64_t limit, struct lane **out, int64_t **envs, size_t *n)
{
    static const struct sql q = { "SELECT " LANE_COLS ", env FROM lanes "
                                  "WHERE waiting > 0 AND admitted < cap LIMIT $1 {skip_locked}" };
    struct rows_of lanes = ROWS_OF(struct lane), keys = ROWS_OF(int64_t);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(limit)), &r));
    while (db_row(&r)) {
        lane_read(&r, rows_next(c, &lanes));
        *(int64_t *)rows_next(c, &keys) = db_int(&r, 6);
    }
    TRY(db_end(&r));
    *out = lanes.items;
    *envs = keys.items;
    *n = lanes.n;
    return ERR_OK;
}

err_t store_lane_recap(struct ctx *c, int64_t fn, enum lane_kind kind, int64_t cap, int64_t limit,
                       int64_t *changed)
{
    /* the kind stands in the lowest bits of the key */
    static const struct sql q = {
        "UPDATE lanes SET cap = $3 WHERE fn = $1 AND key IN (SELECT key FROM lanes WHERE fn = $1 "
        "AND waiting > 0 AND cap <> $3 AND (key & 3) = $2 AND env = $env LIMIT $4)"
    };

    return db_exec(c, &q, ARGS(DB_INT(fn), DB_INT(kind), DB_INT(cap), DB_INT(limit)), changed);
}

err_t store_lane_disown(struct ctx *c, int64_t worker, int64_t limit, int64_t *changed)
{
    static const struct sql q = { "SELECT " LANE_COLS " FROM lanes WHERE worker = $1 "
                                  "AND worker <> 0 AND env = $env LIMIT $2 {for_update}" };
    struct rows_of rows = ROWS_OF(struct lane);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(worker), DB_INT(limit)), &r));
    while (db_row(&r))
        lane_read(&r, rows_next(c, &rows));
    TRY(db_end(&r));
    for (size_t i = 0; i < rows.n; i++) {
        struct lane *l = (struct lane *)rows.items + i;

        l->worker = 0;
        TRY(store_lane_put(c, l));
    }
    *changed = (int64_t)rows.n;
    return ERR_OK;
}

err_t store_queue_unbind(struct ctx *c, int64_t worker, int64_t limit, int64_t **fns, size_t *n)
{
    static const struct sql find = { "SELECT run_id, fn FROM queue WHERE bound = $1 "
                                     "AND bound <> 0 AND env = $env LIMIT $2 {for_update}" };
    static const struct sql q = { "UPDATE queue SET bound = 0 WHERE run_id = $1 AND env = $env" };
    int64_t *ids = NULL;
    struct db_rows r;

    TRY(db_query(c, &find, ARGS(DB_INT(worker), DB_INT(limit)), &r));
    TRY(rows_pairs(c, &r, &ids, fns, n));
    for (size_t i = 0; i < *n; i++)
        TRY(db_exec(c, &q, ARGS(DB_INT(ids[i])), NULL));
    return ERR_OK;
}

err_t store_queue_unbind_fn(struct ctx *c, int64_t fn, int64_t limit, int64_t *changed)
{
    static const struct sql q = {
        "UPDATE queue SET bound = 0 WHERE run_id IN (SELECT run_id FROM queue WHERE fn = $1 "
        "AND state = 0 AND bound <> 0 AND env = $env LIMIT $2)"
    };

    return db_exec(c, &q, ARGS(DB_INT(fn), DB_INT(limit)), changed);
}

/* ---- changed limits -------------------------------------------------------------------------- */

err_t store_flow_change_add(struct ctx *c, int64_t fn)
{
    static const struct sql q = { "INSERT INTO flow_changes (fn, env) VALUES ($1, $env) "
                                  "ON CONFLICT DO NOTHING" };

    return db_exec(c, &q, ARGS(DB_INT(fn)), NULL);
}

err_t store_flow_change_first(struct ctx *c, int64_t *fn, int64_t *env, bool *found)
{
    static const struct sql q = { "SELECT fn, env FROM flow_changes LIMIT 1 {skip_locked}" };
    struct db_rows r;
    bool hit;

    TRY(db_query(c, &q, ARGS_NONE, &r));
    hit = db_row(&r);
    if (hit) {
        *fn = db_int(&r, 0);
        *env = db_int(&r, 1);
    }
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_flow_change_del(struct ctx *c, int64_t fn)
{
    static const struct sql q = { "DELETE FROM flow_changes WHERE fn = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(fn)), NULL);
}
