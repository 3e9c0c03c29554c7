/* SQL of the table debounces. */
#include "store/debounces.h"

#include "db/db.h"
#include "store/rows.h"

#define ENTRY_COLS                                                                                 \
    "fn, key_hash, env, key, event_id, fn_version, period_ms, armed_at, fires_at, fires_max"

static void entry_read(const struct db_rows *r, struct debounce_entry *out)
{
    *out = (struct debounce_entry){
        .fn = db_int(r, 0),
        .key_hash = db_int(r, 1),
        .env = db_int(r, 2),
        .key = db_str(r, 3),
        .event_id = db_int(r, 4),
        .fn_version = db_int(r, 5),
        .period_ms = db_int(r, 6),
        .armed_at = db_int(r, 7),
        .fires_at = db_int(r, 8),
        .fires_max = db_int(r, 9),
    };
}

static err_t entries_read(struct ctx *c, struct db_rows *r, struct debounce_entry **out, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct debounce_entry);

    while (db_row(r))
        entry_read(r, rows_next(c, &rows));
    TRY(db_end(r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_debounce_get(struct ctx *c, int64_t fn, int64_t key_hash, struct debounce_entry *out,
                         bool *found)
{
    static const struct sql q = { "SELECT " ENTRY_COLS " FROM debounces WHERE fn = $1 "
                                  "AND key_hash = $2 AND env = $env {for_update}" };
    struct debounce_entry *list = NULL;
    struct db_rows r;
    size_t n = 0;

    TRY(db_query(c, &q, ARGS(DB_INT(fn), DB_INT(key_hash)), &r));
    TRY(entries_read(c, &r, &list, &n));
    *found = n > 0;
    if (n > 0)
        *out = list[0];
    return ERR_OK;
}

err_t store_debounce_add(struct ctx *c, struct debounce_entry *entry, bool *added)
{
    static const struct sql add = { "INSERT INTO debounces (" ENTRY_COLS
                                    ") VALUES ($1, $2, $env, $3, $4, $5, $6, $7, $8, $9) "
                                    "ON CONFLICT DO NOTHING" };
    bool found = false;
    int64_t n = 0;

    TRY(db_exec(c, &add,
                ARGS(DB_INT(entry->fn), DB_INT(entry->key_hash), DB_TEXT(entry->key),
                     DB_INT(entry->event_id), DB_INT(entry->fn_version), DB_INT(entry->period_ms),
                     DB_INT(entry->armed_at), DB_INT(entry->fires_at), DB_INT(entry->fires_max)),
                &n));
    *added = n == 1;
    if (n == 1)
        return ERR_OK;
    TRY(store_debounce_get(c, entry->fn, entry->key_hash, entry, &found));
    return found ? ERR_OK : err_set(c, ERR_RETRY, "a debounce entry came and went");
}

err_t store_debounce_put(struct ctx *c, const struct debounce_entry *entry)
{
    static const struct sql q = {
        "UPDATE debounces SET event_id = $3, period_ms = $4, fires_at = $5, fires_max = $6 "
        "WHERE fn = $1 AND key_hash = $2 AND env = $env"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT(entry->fn), DB_INT(entry->key_hash), DB_INT(entry->event_id),
                        DB_INT(entry->period_ms), DB_INT(entry->fires_at),
                        DB_INT(entry->fires_max)),
                   NULL);
}

err_t store_debounce_del(struct ctx *c, int64_t fn, int64_t key_hash, bool *gone)
{
    static const struct sql q = { "DELETE FROM debounces WHERE fn = $1 AND key_hash = $2 "
                                  "AND env = $env" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(fn), DB_INT(key_hash)), &n));
    *gone = n == 1;
    return ERR_OK;
}

err_t store_debounce_due(struct ctx *c, int64_t now_ms, int64_t limit, struct debounce_entry **out,
                         size_t *n)
{
    static const struct sql q = { "SELECT " ENTRY_COLS " FROM debounces WHERE fires_at <= $1 "
                                  "ORDER BY fires_at LIMIT $2 {skip_locked}" };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(now_ms), DB_INT(limit)), &r));
    return entries_read(c, &r, out, n);
}

err_t store_debounce_next(struct ctx *c, int64_t *due)
{
    static const struct sql q = { "SELECT fires_at FROM debounces ORDER BY fires_at LIMIT 1" };

    return row_int(c, &q, ARGS_NONE, INT64_MAX, due);
}

err_t store_debounce_list(struct ctx *c, int64_t limit, struct debounce_entry **out, size_t *n)
{
    static const struct sql q = { "SELECT " ENTRY_COLS " FROM debounces WHERE env = $env "
                                  "ORDER BY fires_at, fn, key LIMIT $1" };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(limit)), &r));
    return entries_read(c, &r, out, n);
}
