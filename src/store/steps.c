/* SQL of the table steps. */
#include "store/steps.h"

#include "db/db.h"
#include "engine/wait.h"
#include "store/events.h"
#include "store/rows.h"

#define STEP_HEAD                                                                                  \
    "id, run_id, step_id, name, type, sequence, status, attempt, duration_ms, "                    \
    "started_at, ended_at, wake_at, patched_at, compensation_for, event_ref, child_run"
#define STEP_COLS STEP_HEAD ", input, output, error, original_output, patched_by"

static void head_read(const struct db_rows *r, struct step *out)
{
    *out = (struct step){
        .id = db_int(r, 0),
        .run_id = db_int(r, 1),
        .step_id = db_str(r, 2),
        .name = db_str(r, 3),
        .type = (enum step_type)db_int(r, 4),
        .sequence = db_int(r, 5),
        .status = (enum step_status)db_int(r, 6),
        .attempt = db_int(r, 7),
        .duration_ms = db_int(r, 8),
        .started_at = db_int(r, 9),
        .ended_at = db_int(r, 10),
        .wake_at = db_int(r, 11),
        .patched_at = db_int(r, 12),
        .compensation_for = db_str(r, 13),
        .event_ref = db_int(r, 14),
        .child_run = db_int(r, 15),
    };
}

static void step_read(const struct db_rows *r, struct step *out)
{
    head_read(r, out);
    out->input = db_str(r, 16);
    out->output = db_str(r, 17);
    out->error = db_str(r, 18);
    out->original_output = db_str(r, 19);
    out->patched_by = db_str(r, 20);
}

static int64_t hash_of(str_t step_id)
{
    return (int64_t)str_hash(step_id);
}

err_t store_step_add(struct ctx *c, const struct step *s, bool *added)
{
    static const struct sql q = {
        "INSERT INTO steps (id, env, run_id, step_hash, step_id, name, type, sequence, status, "
        "input, output, error, attempt, duration_ms, started_at, ended_at, wake_at, patched_at, "
        "compensation_for, child_run) VALUES ($1, $env, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
        "$12, $13, $14, $15, $16, 0, $17, $18) ON CONFLICT (run_id, step_hash) DO NOTHING"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(s->id), DB_INT(s->run_id), DB_INT(hash_of(s->step_id)),
                     DB_TEXT(s->step_id), DB_TEXT(s->name), DB_INT(s->type), DB_INT(s->sequence),
                     DB_INT(s->status), DB_BLOB_OR_NULL(s->input), DB_BLOB_OR_NULL(s->output),
                     DB_BLOB_OR_NULL(s->error), DB_INT(s->attempt), DB_INT(s->duration_ms),
                     DB_INT(s->started_at), DB_INT(s->ended_at), DB_INT(s->wake_at),
                     DB_TEXT_OR_NULL(s->compensation_for), DB_INT_OR_NULL(s->child_run)),
                &n));
    *added = n == 1;
    return ERR_OK;
}

err_t store_step_head(struct ctx *c, int64_t id, struct step *out, bool *found)
{
    static const struct sql q = { "SELECT " STEP_HEAD " FROM steps WHERE id = $1 AND env = $env" };
    struct db_rows r;
    bool hit;

    TRY(db_query(c, &q, ARGS(DB_INT(id)), &r));
    hit = db_row(&r);
    if (hit)
        head_read(&r, out);
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_step_find(struct ctx *c, int64_t run_id, str_t step_id, struct step *out)
{
    static const struct sql q = { "SELECT " STEP_HEAD " FROM steps "
                                  "WHERE run_id = $1 AND step_hash = $2 AND env = $env" };
    struct step s = { 0 };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &q, ARGS(DB_INT(run_id), DB_INT(hash_of(step_id))), &r));
    found = db_row(&r);
    if (found)
        head_read(&r, &s);
    TRY(db_end(&r));
    if (!found)
        return err_set(c, ERR_NOT_FOUND, "step not found");
    if (!str_eq(s.step_id, step_id))
        return err_set(c, ERR_INVALID, "step id " STR_FMT " collides with another of the run",
                       STR_ARG(str_slice(step_id, 0, 100)));
    *out = s;
    return ERR_OK;
}

/* The output of a step that an event completed is kept in the row of the event alone. */
static err_t output_fill(struct ctx *c, struct step *s)
{
    struct event e = { 0 };

    if (s->event_ref == 0 || s->output.n > 0)
        return ERR_OK;
    TRY(store_event_get(c, s->event_ref, &e));
    s->output = event_object_json(c, &e);
    return ERR_OK;
}

err_t store_step_get(struct ctx *c, int64_t id, struct step *out)
{
    static const struct sql q = { "SELECT " STEP_COLS " FROM steps WHERE id = $1 AND env = $env" };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &q, ARGS(DB_INT(id)), &r));
    found = db_row(&r);
    if (found)
        step_read(&r, out);
    TRY(db_end(&r));
    return found ? output_fill(c, out) : err_set(c, ERR_NOT_FOUND, "step not found");
}

static err_t changed_one(struct ctx *c, int64_t n)
{
    return n == 1 ? ERR_OK : err_set(c, ERR_INTERNAL, "a step row is gone");
}

err_t store_step_put(struct ctx *c, const struct step *s)
{
    static const struct sql q = {
        "UPDATE steps SET name = $2, type = $3, status = $4, output = $5, error = $6, "
        "attempt = $7, duration_ms = $8, started_at = $9, ended_at = $10, wake_at = $11, "
        "compensation_for = $12, event_ref = $13, child_run = $14 WHERE id = $1 AND env = $env"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(s->id), DB_TEXT(s->name), DB_INT(s->type), DB_INT(s->status),
                     DB_BLOB_OR_NULL(s->output), DB_BLOB_OR_NULL(s->error), DB_INT(s->attempt),
                     DB_INT(s->duration_ms), DB_INT(s->started_at), DB_INT(s->ended_at),
                     DB_INT(s->wake_at), DB_TEXT_OR_NULL(s->compensation_for),
                     DB_INT_OR_NULL(s->event_ref), DB_INT_OR_NULL(s->child_run)),
                &n));
    return changed_one(c, n);
}

err_t store_step_told(struct ctx *c, int64_t id)
{
    static const struct sql q = { "UPDATE steps SET wake_at = 0 WHERE id = $1 AND env = $env" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(id)), &n));
    return changed_one(c, n);
}

err_t store_step_event(struct ctx *c, const struct step *s)
{
    static const struct sql q = {
        "UPDATE steps SET status = $2, event_ref = $3, ended_at = $4, duration_ms = $5 "
        "WHERE id = $1 AND env = $env"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(s->id), DB_INT(s->status), DB_INT(s->event_ref), DB_INT(s->ended_at),
                     DB_INT(s->duration_ms)),
                &n));
    return changed_one(c, n);
}

err_t store_step_status(struct ctx *c, const struct step *s)
{
    static const struct sql q = {
        "UPDATE steps SET status = $2, error = COALESCE($3, error), ended_at = $4, "
        "duration_ms = $5 WHERE id = $1 AND env = $env"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(s->id), DB_INT(s->status), DB_BLOB_OR_NULL(s->error),
                     DB_INT(s->ended_at), DB_INT(s->duration_ms)),
                &n));
    return changed_one(c, n);
}

static err_t list_fill(struct ctx *c, const struct rows_of *rows)
{
    struct step *steps = rows->items;

    for (size_t i = 0; i < rows->n; i++)
        TRY(output_fill(c, &steps[i]));
    return ERR_OK;
}

err_t store_step_list(struct ctx *c, int64_t run_id, enum step_status status, struct step **out,
                      size_t *n)
{
    static const struct sql q = { "SELECT " STEP_COLS " FROM steps WHERE run_id = $1 "
                                  "AND env = $env AND ($2 = 0 OR status = $2) "
                                  "ORDER BY sequence, id" };
    struct rows_of rows = ROWS_OF(struct step);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(run_id), DB_INT(status)), &r));
    while (db_row(&r))
        step_read(&r, rows_next(c, &rows));
    TRY(db_end(&r));
    TRY(list_fill(c, &rows));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

static size_t payload_bytes(const struct step *s)
{
    return s->input.n + s->output.n + s->error.n + s->original_output.n;
}

err_t store_step_page(struct ctx *c, int64_t run_id, const struct step_range *range,
                      struct step **out, size_t *n, bool *cut)
{
    static const struct sql q = { "SELECT " STEP_COLS " FROM steps WHERE run_id = $1 "
                                  "AND env = $env ORDER BY sequence, id LIMIT $2 OFFSET $3" };
    int64_t limit = range->limit > 0 ? range->limit : INT64_MAX;
    struct rows_of rows = ROWS_OF(struct step);
    struct db_rows r;
    size_t bytes = 0;
    bool full = false;

    TRY(db_query(c, &q, ARGS(DB_INT(run_id), DB_INT(limit), DB_INT(range->offset)), &r));
    while (!full && db_row(&r)) {
        struct step *s = rows_next(c, &rows);

        step_read(&r, s);
        TRY(output_fill(c, s));
        bytes += payload_bytes(s);
        full = range->bytes_max > 0 && bytes > range->bytes_max;
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    *cut = full;
    return ERR_OK;
}

static err_t heads_read(struct ctx *c, const struct sql *q, int64_t run_id, struct step **out,
                        size_t *n)
{
    struct rows_of rows = ROWS_OF(struct step);
    struct db_rows r;

    TRY(db_query(c, q, ARGS(DB_INT(run_id)), &r));
    while (db_row(&r))
        head_read(&r, rows_next(c, &rows));
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_step_heads(struct ctx *c, int64_t run_id, struct step **out, size_t *n)
{
    static const struct sql q = { "SELECT " STEP_HEAD " FROM steps WHERE run_id = $1 "
                                  "AND env = $env ORDER BY sequence, id" };

    return heads_read(c, &q, run_id, out, n);
}

err_t store_step_open(struct ctx *c, int64_t run_id, struct step **out, size_t *n)
{
    static const struct sql q = { "SELECT " STEP_HEAD " FROM steps WHERE run_id = $1 "
                                  "AND env = $env AND status IN (1, 2, 5, 6) "
                                  "ORDER BY sequence, id" };

    return heads_read(c, &q, run_id, out, n);
}
