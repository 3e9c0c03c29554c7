/* SQL of what operators change in runs and steps. */
#include "store/operator.h"

#include "db/db.h"
#include "store/rows.h"

err_t store_run_flag(struct ctx *c, const struct run *run)
{
    static const struct sql q = { "UPDATE runs SET pause_requested = $2, updated_at = $3 "
                                  "WHERE id = $1 AND env = $env AND status IN (2, 7, 8)" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(run->id), DB_INT(run->pause_requested), DB_INT(run->updated_at)),
                &n));
    return n == 1 ? ERR_OK : err_set(c, ERR_INTERNAL, "a run that is open has another status");
}

err_t store_run_reopen(struct ctx *c, const struct run *run, enum run_status from, bool *done)
{
    static const struct sql q = {
        "UPDATE runs SET status = $3, attempt = $4, actor = $5, resume_from = COALESCE($6, "
        "resume_from), error = NULL, "
        "output = NULL, pause_requested = 0, pause_reason = 0, ended_at = 0, updated_at = $7 "
        "WHERE id = $1 AND env = $env AND status = $2"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(run->id), DB_INT(from), DB_INT(run->status), DB_INT(run->attempt),
                     DB_TEXT_OR_NULL(run->actor), DB_TEXT_OR_NULL(run->resume_from),
                     DB_INT(run->updated_at)),
                &n));
    *done = n == 1;
    return ERR_OK;
}

err_t store_step_next(struct ctx *c, int64_t run_id, int64_t *out)
{
    static const struct sql q = { "SELECT COALESCE(max(sequence) + 1, 0) FROM steps "
                                  "WHERE run_id = $1 AND env = $env" };

    return row_int(c, &q, ARGS(DB_INT(run_id)), 0, out);
}

err_t store_steps_discard(struct ctx *c, int64_t run_id, int64_t sequence)
{
    static const struct sql q = {
        "UPDATE steps SET status = 1, patched_at = 0, patched_by = NULL, original_output = NULL, "
        "child_run = NULL WHERE run_id = $1 AND env = $env AND sequence >= $2 "
        "AND status IN (3, 4, 5, 6, 7)"
    };
    static const struct sql waits = {
        "DELETE FROM waits WHERE run_id = $1 AND env = $env AND step IN "
        "(SELECT id FROM steps WHERE run_id = $1 AND env = $env AND sequence >= $2)"
    };

    TRY(db_exec(c, &waits, ARGS(DB_INT(run_id), DB_INT(sequence)), NULL));
    return db_exec(c, &q, ARGS(DB_INT(run_id), DB_INT(sequence)), NULL);
}

err_t store_steps_reopen(struct ctx *c, int64_t run_id)
{
    static const struct sql q = { "UPDATE steps SET status = 1 "
                                  "WHERE run_id = $1 AND env = $env AND status = 6" };

    return db_exec(c, &q, ARGS(DB_INT(run_id)), NULL);
}

/* Open runs through the queue, failed ones through their index; each list is bounded. */
err_t store_step_search(struct ctx *c, str_t step_id, int64_t runs_max, int64_t *out)
{
    static const struct sql open = {
        "SELECT s.id FROM (SELECT run_id FROM queue WHERE env = $env "
        "ORDER BY run_id DESC LIMIT $3) q "
        "CROSS JOIN steps s WHERE s.run_id = q.run_id AND s.step_hash = $1 AND s.step_id = $2 "
        "ORDER BY s.id DESC LIMIT 1"
    };
    /* the words are spelled out to match the partial index */
    static const struct sql failed = {
        "SELECT s.id FROM (SELECT id FROM runs WHERE env = $env AND status = 4 "
        "AND status IN (4, 5, 6, 8) ORDER BY id DESC LIMIT $3) r "
        "CROSS JOIN steps s WHERE s.run_id = r.id AND s.step_hash = $1 AND s.step_id = $2 "
        "ORDER BY s.id DESC LIMIT 1"
    };
    struct db_val v[] = { DB_INT((int64_t)str_hash(step_id)), DB_TEXT(step_id), DB_INT(runs_max) };
    struct db_args args = { v, COUNT_OF(v) };
    int64_t a = 0, b = 0;

    TRY(row_int(c, &open, args, 0, &a));
    TRY(row_int(c, &failed, args, 0, &b));
    *out = a > b ? a : b;
    return ERR_OK;
}

err_t store_step_patch(struct ctx *c, const struct step *s)
{
    static const struct sql q = {
        "UPDATE steps SET status = $2, output = $3, error = NULL, original_output = $4, "
        "patched_at = $5, patched_by = $6, event_ref = NULL, ended_at = $7 "
        "WHERE id = $1 AND env = $env AND status IN (1, 3, 4, 7)"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(s->id), DB_INT(s->status), DB_BLOB(s->output),
                     DB_BLOB_OR_NULL(s->original_output), DB_INT(s->patched_at),
                     DB_TEXT_OR_NULL(s->patched_by), DB_INT(s->ended_at)),
                &n));
    return n == 1 ? ERR_OK : err_set(c, ERR_INTERNAL, "a step row is gone");
}

err_t store_run_streams(struct ctx *c, int64_t run_id, int64_t limit, str_t **out, size_t *n)
{
    static const struct sql q = { "SELECT DISTINCT entity_id FROM events WHERE run_id = $1 "
                                  "AND run_id IS NOT NULL AND entity_id IS NOT NULL "
                                  "AND env = $env ORDER BY entity_id LIMIT $2" };
    struct rows_of rows = ROWS_OF(str_t);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(run_id), DB_INT(limit)), &r));
    while (db_row(&r))
        *(str_t *)rows_next(c, &rows) = db_str(&r, 0);
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}
