/* SQL of the table outbox. */
#include "store/outbox.h"

#include "db/db.h"
#include "store/rows.h"

#define OUTBOX_COLS "id, env, event_id, attempts, next_at, dead_at, last_error"

static err_t rows_read(struct ctx *c, const struct sql *q, struct db_args args,
                       struct outbox_row **out, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct outbox_row);
    struct db_rows r;

    TRY(db_query(c, q, args, &r));
    while (db_row(&r)) {
        struct outbox_row *row = rows_next(c, &rows);

        *row = (struct outbox_row){
            .id = db_int(&r, 0),
            .env = db_int(&r, 1),
            .event_id = db_int(&r, 2),
            .attempts = db_int(&r, 3),
            .next_at = db_int(&r, 4),
            .dead_at = db_int(&r, 5),
            .last_error = db_str(&r, 6),
        };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_outbox_add(struct ctx *c, const struct outbox_row *row)
{
    static const struct sql q = {
        "INSERT INTO outbox (id, env, event_id, attempts, next_at, dead_at, last_error) "
        "VALUES ($1, $env, $2, $3, $4, $5, $6)"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT(row->id), DB_INT(row->event_id), DB_INT(row->attempts),
                        DB_INT(row->next_at), DB_INT(row->dead_at), DB_TEXT(row->last_error)),
                   NULL);
}

err_t store_outbox_put(struct ctx *c, const struct outbox_row *row)
{
    static const struct sql q = { "UPDATE outbox SET attempts = $2, next_at = $3, dead_at = $4, "
                                  "last_error = $5 WHERE id = $1 AND env = $env" };

    return db_exec(c, &q,
                   ARGS(DB_INT(row->id), DB_INT(row->attempts), DB_INT(row->next_at),
                        DB_INT(row->dead_at), DB_TEXT(row->last_error)),
                   NULL);
}

err_t store_outbox_del(struct ctx *c, int64_t id)
{
    static const struct sql q = { "DELETE FROM outbox WHERE id = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(id)), NULL);
}

err_t store_outbox_due(struct ctx *c, int64_t now_ms, int64_t limit, struct outbox_row **out,
                       size_t *n)
{
    static const struct sql q = { "SELECT " OUTBOX_COLS " FROM outbox WHERE dead_at = 0 "
                                  "AND next_at <= $1 ORDER BY next_at LIMIT $2 {skip_locked}" };

    return rows_read(c, &q, ARGS(DB_INT(now_ms), DB_INT(limit)), out, n);
}

err_t store_outbox_dead(struct ctx *c, int64_t limit, int64_t offset, struct outbox_row **out,
                        size_t *n)
{
    static const struct sql q = { "SELECT " OUTBOX_COLS " FROM outbox WHERE env = $env "
                                  "AND dead_at <> 0 ORDER BY dead_at DESC, id DESC "
                                  "LIMIT $1 OFFSET $2" };

    return rows_read(c, &q, ARGS(DB_INT(limit), DB_INT(offset)), out, n);
}

err_t store_outbox_requeue(struct ctx *c, int64_t event_id, int64_t now_ms, int64_t *n)
{
    static const struct sql q = { "UPDATE outbox SET attempts = 0, dead_at = 0, next_at = $2 "
                                  "WHERE env = $env AND event_id = $1 AND dead_at <> 0" };

    return db_exec(c, &q, ARGS(DB_INT(event_id), DB_INT(now_ms)), n);
}

err_t store_outbox_discard(struct ctx *c, int64_t event_id, int64_t *n)
{
    static const struct sql q = { "DELETE FROM outbox WHERE env = $env AND event_id = $1 "
                                  "AND dead_at <> 0" };

    return db_exec(c, &q, ARGS(DB_INT(event_id)), n);
}
