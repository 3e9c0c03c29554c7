/* SQL of the table counters. */
#include "store/counters.h"

#include "db/db.h"

err_t store_counter_add(struct ctx *c, int64_t env, int64_t fn, int64_t kind, int64_t shard,
                        int64_t n)
{
    static const struct sql q = {
        "INSERT INTO counters (env, fn, kind, shard, n) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (env, fn, kind, shard) DO UPDATE SET n = counters.n + excluded.n"
    };

    return db_exec(c, &q, ARGS(DB_INT(env), DB_INT(fn), DB_INT(kind), DB_INT(shard), DB_INT(n)),
                   NULL);
}

err_t store_counter_sum(struct ctx *c, int64_t fn, uint32_t kinds, int64_t *out)
{
    static const struct sql one = {
        "SELECT kind, CAST(SUM(n) AS BIGINT) FROM counters WHERE env = $env AND fn = $1 "
        "GROUP BY kind"
    };
    static const struct sql all = {
        "SELECT kind, CAST(SUM(n) AS BIGINT) FROM counters WHERE env = $env GROUP BY kind"
    };
    struct db_rows r;
    int64_t sum = 0;

    TRY(db_query(c, fn != 0 ? &one : &all, fn != 0 ? ARGS(DB_INT(fn)) : ARGS_NONE, &r));
    while (db_row(&r)) {
        int64_t kind = db_int(&r, 0);

        if (kind >= 0 && kind < 32 && (kinds & (1u << kind)) != 0)
            sum += db_int(&r, 1);
    }
    TRY(db_end(&r));
    *out = sum;
    return ERR_OK;
}
