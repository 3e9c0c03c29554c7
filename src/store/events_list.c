/* Keyset pages over the table events. */
#include "store/events_list.h"

#define COLUMNS                                                                                    \
    "id, name, data, metadata, version, source, idempotency_key, run_id, seq, "                    \
    "entity_id, entity_type, entity_version"
#define RANGE                                                                                      \
    " AND id >= $1 AND id < $2 AND source <> 'system' "                                            \
    "AND ($3 = '' OR ',' || $3 || ',' LIKE '%,' || source || ',%') "

/* [by name][ascending] */
static const struct sql pages[2][2] = {
    { { "SELECT " COLUMNS " FROM events WHERE env = $env" RANGE "ORDER BY id DESC LIMIT $4" },
      { "SELECT " COLUMNS " FROM events WHERE env = $env" RANGE "ORDER BY id LIMIT $4" } },
    { { "SELECT " COLUMNS " FROM events WHERE env = $env AND name = $5" RANGE
        "ORDER BY id DESC LIMIT $4" },
      { "SELECT " COLUMNS " FROM events WHERE env = $env AND name = $5" RANGE
        "ORDER BY id LIMIT $4" } },
};

static void read_row(const struct db_rows *r, struct event *e)
{
    *e = (struct event){ .id = db_int(r, 0),
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
                         .entity_version = db_int(r, 11) };
}

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
        read_row(&r, &events[have]);
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
