/* SQL of the table log. */
#include "store/log.h"

#include "db/db.h"
#include "store/rows.h"

#define LOG_HEAD "id, first_pos, last_pos, end_bytes, created_at, count, crc, filter"
#define LOG_COLS LOG_HEAD ", records"

static void row_read(const struct db_rows *r, bool records, struct log_row *out)
{
    *out = (struct log_row){
        .id = db_int(r, 0),
        .first_pos = db_int(r, 1),
        .last_pos = db_int(r, 2),
        .end_bytes = db_int(r, 3),
        .created_at = db_int(r, 4),
        .count = db_int(r, 5),
        .crc = (uint32_t)db_int(r, 6),
        .filter = (uint64_t)db_int(r, 7),
        .records = records ? db_str(r, 8) : STR_NULL,
    };
}

static err_t rows_read(struct ctx *c, const struct sql *q, struct db_args args, bool records,
                       struct log_row **out, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct log_row);
    struct db_rows r;

    TRY(db_query(c, q, args, &r));
    while (db_row(&r))
        row_read(&r, records, rows_next(c, &rows));
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_log_add(struct ctx *c, const struct log_row *row)
{
    static const struct sql q = {
        "INSERT INTO log (first_pos, last_pos, end_bytes, created_at, count, crc, filter, "
        "records) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT_OR_NULL(row->first_pos), DB_INT_OR_NULL(row->last_pos),
                        DB_INT_OR_NULL(row->end_bytes), DB_INT(row->created_at), DB_INT(row->count),
                        DB_INT(row->crc), DB_INT((int64_t)row->filter), DB_BLOB(row->records)),
                   NULL);
}

err_t store_log_last(struct ctx *c, struct log_row *out, bool *found)
{
    static const struct sql q = { "SELECT " LOG_HEAD " FROM log WHERE first_pos IS NOT NULL "
                                  "ORDER BY first_pos DESC LIMIT 1" };
    struct log_row *rows = NULL;
    size_t n = 0;

    TRY(rows_read(c, &q, ARGS_NONE, false, &rows, &n));
    if (n > 0)
        *out = rows[0];
    *found = n > 0;
    return ERR_OK;
}

err_t store_log_read(struct ctx *c, int64_t from, int64_t limit, struct log_row **out, size_t *n)
{
    /* rows hold few positions, so the row that holds `from` is the last one that begins at or
     * before it */
    static const struct sql q = {
        "SELECT " LOG_COLS " FROM log WHERE first_pos >= "
        "COALESCE((SELECT first_pos FROM log WHERE first_pos <= $1 "
        "ORDER BY first_pos DESC LIMIT 1), 0) AND last_pos >= $1 ORDER BY first_pos LIMIT $2"
    };

    return rows_read(c, &q, ARGS(DB_INT(from), DB_INT(limit)), true, out, n);
}

err_t store_log_relay_lock(struct ctx *c, bool *got)
{
    static const struct sql q = {
        "SELECT CASE WHEN pg_try_advisory_xact_lock(7102026001) THEN 1 ELSE 0 END"
    };
    int64_t mine = 0;

    TRY(row_int(c, &q, ARGS_NONE, 0, &mine));
    *got = mine == 1;
    return ERR_OK;
}

err_t store_log_unnumbered(struct ctx *c, int64_t limit, struct log_row **out, size_t *n)
{
    static const struct sql q = { "SELECT " LOG_COLS " FROM log WHERE first_pos IS NULL "
                                  "ORDER BY id LIMIT $1" };

    return rows_read(c, &q, ARGS(DB_INT(limit)), true, out, n);
}

err_t store_log_rewrite(struct ctx *c, const struct log_row *row)
{
    static const struct sql q = { "UPDATE log SET records = $2, count = $3, crc = $4 "
                                  "WHERE id = $1 AND first_pos IS NULL" };

    return db_exec(
        c, &q, ARGS(DB_INT(row->id), DB_BLOB(row->records), DB_INT(row->count), DB_INT(row->crc)),
        NULL);
}

err_t store_log_drop(struct ctx *c, int64_t id)
{
    static const struct sql q = { "DELETE FROM log WHERE id = $1 AND first_pos IS NULL" };

    return db_exec(c, &q, ARGS(DB_INT(id)), NULL);
}

err_t store_log_number(struct ctx *c, const struct log_row *row)
{
    static const struct sql q = { "UPDATE log SET first_pos = $2, last_pos = $3, end_bytes = $4 "
                                  "WHERE id = $1" };

    return db_exec(c, &q,
                   ARGS(DB_INT(row->id), DB_INT(row->first_pos), DB_INT(row->last_pos),
                        DB_INT(row->end_bytes)),
                   NULL);
}

err_t store_log_oldest(struct ctx *c, int64_t limit, struct log_row **out, size_t *n)
{
    static const struct sql q = { "SELECT " LOG_HEAD " FROM log WHERE first_pos IS NOT NULL "
                                  "ORDER BY first_pos LIMIT $1" };

    return rows_read(c, &q, ARGS(DB_INT(limit)), false, out, n);
}

err_t store_log_del(struct ctx *c, int64_t last_pos)
{
    static const struct sql q = { "DELETE FROM log WHERE first_pos <= $1" };

    return db_exec(c, &q, ARGS(DB_INT(last_pos)), NULL);
}
