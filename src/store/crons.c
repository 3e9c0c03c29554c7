/* SQL of the table crons. */
#include "store/crons.h"

#include "db/db.h"
#include "store/rows.h"

static err_t ticks_read(struct ctx *c, struct db_rows *r, struct tick **out, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct tick);

    while (db_row(r)) {
        *(struct tick *)rows_next(c, &rows) = (struct tick){
            .fn = db_int(r, 0),
            .ord = db_int(r, 1),
            .env = db_int(r, 2),
            .cron = db_str(r, 3),
            .event = db_str(r, 4),
            .next_at = db_int(r, 5),
        };
    }
    TRY(db_end(r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

/* The next tick of a schedule that stays as it was. */
static int64_t kept(const struct tick *old, size_t n, const struct tick *t)
{
    for (size_t i = 0; i < n; i++)
        if (old[i].ord == t->ord && str_eq(old[i].cron, t->cron))
            return old[i].next_at;
    return t->next_at;
}

err_t store_cron_set(struct ctx *c, int64_t fn, const struct tick *ticks, size_t n)
{
    static const struct sql get = { "SELECT fn, ord, env, cron, event, next_at FROM crons "
                                    "WHERE fn = $1 AND env = $env {for_update}" };
    static const struct sql del = { "DELETE FROM crons WHERE fn = $1 AND env = $env" };
    static const struct sql add = { "INSERT INTO crons (fn, ord, env, cron, event, next_at) "
                                    "VALUES ($1, $2, $env, $3, $4, $5)" };
    struct tick *old = NULL;
    struct db_rows r;
    size_t old_n = 0;

    TRY(db_query(c, &get, ARGS(DB_INT(fn)), &r));
    TRY(ticks_read(c, &r, &old, &old_n));
    if (old_n > 0)
        TRY(db_exec(c, &del, ARGS(DB_INT(fn)), NULL));
    for (size_t i = 0; i < n; i++)
        TRY(db_exec(c, &add,
                    ARGS(DB_INT(fn), DB_INT(ticks[i].ord), DB_TEXT(ticks[i].cron),
                         DB_TEXT(ticks[i].event), DB_INT(kept(old, old_n, &ticks[i]))),
                    NULL));
    return ERR_OK;
}

err_t store_cron_due(struct ctx *c, int64_t now_ms, int64_t limit, struct tick **out, size_t *n)
{
    static const struct sql q = { "SELECT fn, ord, env, cron, event, next_at FROM crons "
                                  "WHERE next_at <= $1 ORDER BY next_at LIMIT $2 {skip_locked}" };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(now_ms), DB_INT(limit)), &r));
    return ticks_read(c, &r, out, n);
}

err_t store_cron_claim(struct ctx *c, const struct tick *t, int64_t next_at, bool *mine)
{
    static const struct sql q = { "UPDATE crons SET next_at = $4 WHERE fn = $1 AND ord = $2 "
                                  "AND next_at = $3 AND env = $env" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(t->fn), DB_INT(t->ord), DB_INT(t->next_at), DB_INT(next_at)),
                &n));
    *mine = n == 1;
    return ERR_OK;
}

err_t store_cron_next(struct ctx *c, int64_t *due)
{
    static const struct sql q = { "SELECT next_at FROM crons ORDER BY next_at LIMIT 1" };

    return row_int(c, &q, ARGS_NONE, INT64_MAX, due);
}
