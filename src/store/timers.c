/* SQL of the table timers. */
#include "store/timers.h"

#include "db/db.h"
#include "store/rows.h"

err_t store_timer_add(struct ctx *c, const struct timer *t)
{
    static const struct sql q = {
        "INSERT INTO timers (due, id, env, kind, run_id, execution_seq, step) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT(t->due), DB_INT(t->id), DB_INT(t->env), DB_INT(t->kind),
                        DB_INT(t->run_id), DB_INT(t->execution_seq), DB_INT(t->step)),
                   NULL);
}

err_t store_timer_due(struct ctx *c, int64_t now_ms, int64_t limit, struct timer **out, size_t *n)
{
    static const struct sql q = {
        "SELECT due, id, env, kind, run_id, execution_seq, step FROM timers WHERE due <= $1 "
        "ORDER BY due, id LIMIT $2 {skip_locked}"
    };
    struct rows_of rows = ROWS_OF(struct timer);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(now_ms), DB_INT(limit)), &r));
    while (db_row(&r)) {
        *(struct timer *)rows_next(c, &rows) = (struct timer){
            .due = db_int(&r, 0),
            .id = db_int(&r, 1),
            .env = db_int(&r, 2),
            .kind = (enum timer_kind)db_int(&r, 3),
            .run_id = db_int(&r, 4),
            .execution_seq = db_int(&r, 5),
            .step = db_int(&r, 6),
        };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_timer_del(struct ctx *c, const struct timer *t, bool *gone)
{
    static const struct sql q = { "DELETE FROM timers WHERE due = $1 AND id = $2" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(t->due), DB_INT(t->id)), &n));
    *gone = n == 1;
    return ERR_OK;
}

err_t store_timer_next(struct ctx *c, int64_t *due)
{
    static const struct sql q = { "SELECT due FROM timers ORDER BY due LIMIT 1" };

    return row_int(c, &q, ARGS_NONE, INT64_MAX, due);
}
