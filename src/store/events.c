/* SQL of the table events. */
#include "store/events.h"

#include "db/db.h"
#include "store/rows.h"

#define EVENT_COLS                                                                                 \
    "id, name, data, metadata, version, source, idempotency_key, run_id, seq, "                    \
    "entity_id, entity_type, entity_version"

static void event_read(const struct db_rows *r, struct event *out)
{
    *out = (struct event){
        .id = db_int(r, 0),
        .name = db_str(r, 1),
        .data = db_str(r, 2),
        .metadata = db_str(r, 3),
        .version = db_int(r, 4),
        .source = db_str(r, 5),
        .idempotency_key = db_str(r, 6),
        .run_id = db_int(r, 7),
        .seq = db_int(r, 8),
        .entity_id = db_str(r, 9),
        .entity_type = db_str(r, 10),
        .entity_version = db_int(r, 11),
    };
}

err_t store_event_add(struct ctx *c, const struct event *e)
{
    static const struct sql q = {
        "INSERT INTO events (id, env, name, data, metadata, version, source, idempotency_key, "
        "run_id, seq, entity_id, entity_type, entity_version) VALUES ($1, $env, $2, $3, $4, $5, "
        "$6, $7, $8, $9, $10, $11, $12)"
    };

    must(e->data.n > 0);
    return db_exec(c, &q,
                   ARGS(DB_INT(e->id), DB_TEXT(e->name), DB_BLOB(e->data),
                        DB_BLOB_OR_NULL(e->metadata), DB_INT(e->version), DB_TEXT(e->source),
                        DB_TEXT_OR_NULL(e->idempotency_key), DB_INT_OR_NULL(e->run_id),
                        DB_INT_OR_NULL(e->seq), DB_TEXT_OR_NULL(e->entity_id),
                        DB_TEXT_OR_NULL(e->entity_type), DB_INT_OR_NULL(e->entity_version)),
                   NULL);
}

err_t store_event_get(struct ctx *c, int64_t id, struct event *out)
{
    static const struct sql q = { "SELECT " EVENT_COLS
                                  " FROM events WHERE id = $1 AND env = $env" };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &q, ARGS(DB_INT(id)), &r));
    found = db_row(&r);
    if (found)
        event_read(&r, out);
    TRY(db_end(&r));
    return found ? ERR_OK : err_set(c, ERR_NOT_FOUND, "event not found");
}

err_t store_event_set_seq(struct ctx *c, int64_t id, int64_t seq)
{
    static const struct sql q = { "UPDATE events SET seq = $2 WHERE id = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(id), DB_INT(seq)), NULL);
}

/* ---- pages ----------------------------------------------------------------------------------- */

#define RANGE                                                                                      \
    " AND id >= $1 AND id < $2 AND source <> 'system' "                                            \
    "AND ($3 = '' OR ',' || $3 || ',' LIKE '%,' || source || ',%') "

/* [by name][ascending] */
static const struct sql pages[2][2] = {
    { { "SELECT " EVENT_COLS " FROM events WHERE env = $env" RANGE "ORDER BY id DESC LIMIT $4" },
      { "SELECT " EVENT_COLS " FROM events WHERE env = $env" RANGE "ORDER BY id LIMIT $4" } },
    { { "SELECT " EVENT_COLS " FROM events WHERE env = $env AND name = $5" RANGE
        "ORDER BY id DESC LIMIT $4" },
      { "SELECT " EVENT_COLS " FROM events WHERE env = $env AND name = $5" RANGE
        "ORDER BY id LIMIT $4" } },
};

err_t store_events_page(struct ctx *c, const struct event_range *f, int64_t limit,
                        struct event **out, size_t *n, bool *cut)
{
    bool by_name = f->name.n > 0, full = false;
    struct db_val v[] = { DB_INT(f->from), DB_INT(f->to), DB_TEXT(f->sources), DB_INT(limit),
                          DB_TEXT(f->name) };
    struct event *events;
    struct db_rows r;
    size_t have = 0, bytes = 0;

    must(limit > 0);
    events = NEW_N(c->arena, struct event, limit);
    TRY(db_query(c, &pages[by_name][f->ascending],
                 (struct db_args){ v, by_name ? COUNT_OF(v) : COUNT_OF(v) - 1 }, &r));
    while (have < (size_t)limit && !full && db_row(&r)) {
        event_read(&r, &events[have]);
        bytes += events[have].data.n + events[have].metadata.n;
        have++;
        full = f->bytes_max > 0 && bytes >= f->bytes_max;
    }
    TRY(db_end(&r));
    *out = events;
    *n = have;
    *cut = full;
    return ERR_OK;
}
