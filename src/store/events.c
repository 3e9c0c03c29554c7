/* SQL of the table events. */
#include "store/events.h"

#include "db/db.h"
#include "store/rows.h"

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
    static const struct sql q = {
        "SELECT id, name, data, metadata, version, source, idempotency_key, run_id, seq, "
        "entity_id, entity_type, entity_version FROM events WHERE id = $1 AND env = $env"
    };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &q, ARGS(DB_INT(id)), &r));
    found = db_row(&r);
    if (found) {
        *out = (struct event){
            .id = db_int(&r, 0),
            .name = db_str(&r, 1),
            .data = db_str(&r, 2),
            .metadata = db_str(&r, 3),
            .version = db_int(&r, 4),
            .source = db_str(&r, 5),
            .idempotency_key = db_str(&r, 6),
            .run_id = db_int(&r, 7),
            .seq = db_int(&r, 8),
            .entity_id = db_str(&r, 9),
            .entity_type = db_str(&r, 10),
            .entity_version = db_int(&r, 11),
        };
    }
    TRY(db_end(&r));
    return found ? ERR_OK : err_set(c, ERR_NOT_FOUND, "event not found");
}

err_t store_event_set_seq(struct ctx *c, int64_t id, int64_t seq)
{
    static const struct sql q = { "UPDATE events SET seq = $2 WHERE id = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(id), DB_INT(seq)), NULL);
}
