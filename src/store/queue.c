/* SQL of the table queue. */
#include "store/queue.h"

#include "db/db.h"
#include "store/lanes.h"
#include "store/rows.h"

#define JOB_COLS                                                                                   \
    "run_id, fn, state, ready_at, lease_until, execution_seq, token, worker, acked, "              \
    "reported, step_next, wait_step, watch, lane, actor, waits, holds, bound"

static void job_read(const struct db_rows *r, struct job *out)
{
    *out = (struct job){
        .run_id = db_int(r, 0),
        .fn = db_int(r, 1),
        .state = (enum job_state)db_int(r, 2),
        .ready_at = db_int(r, 3),
        .lease_until = db_int(r, 4),
        .execution_seq = db_int(r, 5),
        .token = db_int(r, 6),
        .worker = db_int(r, 7),
        .acked = db_int(r, 8) != 0,
        .reported = (enum job_report)db_int(r, 9),
        .step_next = db_int(r, 10),
        .wait_step = db_int(r, 11),
        .watch = db_int(r, 12),
        .lane = db_int(r, 13),
        .actor = db_int(r, 14),
        .waits = db_int(r, 15),
        .holds = db_int(r, 16),
        .bound = db_int(r, 17),
    };
}

static err_t jobs_read(struct ctx *c, struct db_rows *r, struct job **jobs, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct job);

    while (db_row(r))
        job_read(r, rows_next(c, &rows));
    TRY(db_end(r));
    *jobs = rows.items;
    *n = rows.n;
    return ERR_OK;
}

/* One that passes lanes. */
static err_t add_flow(struct ctx *c, const struct job *job)
{
    static const struct sql q = {
        "INSERT INTO queue (run_id, env, fn, state, ready_at, lease_until, execution_seq, token, "
        "worker, acked, reported, step_next, lane, actor, waits, holds, bound, watch) "
        "VALUES ($1, $env, $2, $3, $4, 0, 0, 0, 0, 0, 0, 0, $5, $6, $7, $8, $9, $10)"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT(job->run_id), DB_INT(job->fn), DB_INT(job->state),
                        DB_INT(job->ready_at), DB_INT(job->lane), DB_INT(job->actor),
                        DB_INT(job->waits), DB_INT(job->holds), DB_INT(job->bound),
                        DB_INT(job->watch)),
                   NULL);
}

err_t store_queue_add(struct ctx *c, const struct job *job)
{
    static const struct sql q = {
        "INSERT INTO queue (run_id, env, fn, state, ready_at, lease_until, execution_seq, token, "
        "worker, acked, reported, step_next, watch) "
        "VALUES ($1, $env, $2, $3, $4, 0, 0, 0, 0, 0, 0, 0, $5)"
    };

    if (job->lane != 0 || job->actor != 0)
        return add_flow(c, job);
    return db_exec(c, &q,
                   ARGS(DB_INT(job->run_id), DB_INT(job->fn), DB_INT(job->state),
                        DB_INT(job->ready_at), DB_INT(job->watch)),
                   NULL);
}

static err_t job_get(struct ctx *c, const struct sql *q, int64_t run_id, struct job *out,
                     bool *found)
{
    struct db_rows r;
    bool hit;

    TRY(db_query(c, q, ARGS(DB_INT(run_id)), &r));
    hit = db_row(&r);
    if (hit)
        job_read(&r, out);
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_queue_get(struct ctx *c, int64_t run_id, struct job *out, bool *found)
{
    static const struct sql q = { "SELECT " JOB_COLS
                                  " FROM queue WHERE run_id = $1 AND env = $env {for_update}" };

    return job_get(c, &q, run_id, out, found);
}

err_t store_queue_peek(struct ctx *c, int64_t run_id, struct job *out, bool *found)
{
    static const struct sql q = { "SELECT " JOB_COLS
                                  " FROM queue WHERE run_id = $1 AND env = $env" };

    return job_get(c, &q, run_id, out, found);
}

err_t store_queue_put(struct ctx *c, const struct job *job)
{
    static const struct sql q = {
        "UPDATE queue SET state = $2, ready_at = $3, lease_until = $4, execution_seq = $5, "
        "token = $6, worker = $7, acked = $8, reported = $9, step_next = $10, wait_step = $11, "
        "watch = $12 WHERE run_id = $1 AND env = $env"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(job->run_id), DB_INT(job->state), DB_INT(job->ready_at),
                     DB_INT(job->lease_until), DB_INT(job->execution_seq), DB_INT(job->token),
                     DB_INT(job->worker), DB_INT(job->acked), DB_INT(job->reported),
                     DB_INT(job->step_next), DB_INT(job->wait_step), DB_INT(job->watch)),
                &n));
    return n == 1 ? ERR_OK : err_set(c, ERR_INTERNAL, "a queue row is gone");
}

err_t store_queue_del(struct ctx *c, int64_t run_id)
{
    static const struct sql q = { "DELETE FROM queue WHERE run_id = $1 AND env = $env" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(run_id)), &n));
    return n == 1 ? ERR_OK : err_set(c, ERR_INTERNAL, "a queue row is gone");
}

err_t store_queue_ack(struct ctx *c, int64_t run_id, int64_t execution_seq, int64_t token,
                      int64_t lease_until, bool *done)
{
    static const struct sql q = {
        "UPDATE queue SET lease_until = $4, acked = 1 WHERE run_id = $1 AND env = $env "
        "AND execution_seq = $2 AND token = $3 AND state = 1"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(run_id), DB_INT(execution_seq), DB_INT(token), DB_INT(lease_until)),
                &n));
    *done = n == 1;
    return ERR_OK;
}

err_t store_queue_flow(struct ctx *c, const struct job *job)
{
    static const struct sql q = { "UPDATE queue SET state = $2, waits = $3, holds = $4, bound = $5 "
                                  "WHERE run_id = $1 AND env = $env" };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(job->run_id), DB_INT(job->state), DB_INT(job->waits),
                     DB_INT(job->holds), DB_INT(job->bound)),
                &n));
    return n == 1 ? ERR_OK : err_set(c, ERR_INTERNAL, "a queue row is gone");
}

err_t store_queue_ready(struct ctx *c, int64_t fn, int64_t bound, int64_t limit, struct job **jobs,
                        size_t *n)
{
    static const struct sql q = { "SELECT " JOB_COLS
                                  " FROM queue WHERE fn = $1 AND bound = $2 AND state = 0 "
                                  "AND env = $env "
                                  "ORDER BY ready_at, run_id LIMIT $3 {skip_locked}" };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(fn), DB_INT(bound), DB_INT(limit)), &r));
    return jobs_read(c, &r, jobs, n);
}

err_t store_lane_waiters(struct ctx *c, const struct lane *l, int64_t limit, struct job **jobs,
                         size_t *n)
{
    static const struct sql q = { "SELECT " JOB_COLS
                                  " FROM queue WHERE fn = $1 AND waits = $2 AND state = 3 "
                                  "AND env = $env "
                                  "ORDER BY ready_at, run_id LIMIT $3 {skip_locked}" };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(l->fn), DB_INT(l->key), DB_INT(limit)), &r));
    return jobs_read(c, &r, jobs, n);
}

err_t store_queue_held_count(struct ctx *c, int64_t worker, int64_t max, int64_t *out)
{
    static const struct sql q = {
        "SELECT count(*) FROM (SELECT 1 FROM queue WHERE worker = $1 AND state = 1 LIMIT $2) held"
    };

    return row_int(c, &q, ARGS(DB_INT(worker), DB_INT(max)), 0, out);
}

err_t store_queue_held_since(struct ctx *c, int64_t worker, int64_t claim_ms, int64_t lease_ms,
                             int64_t *out)
{
    static const struct sql q = {
        "SELECT max(lease_until - CASE acked WHEN 1 THEN $2 ELSE $3 END) FROM queue "
        "WHERE worker = $1 AND state = 1 AND lease_until <= $4"
    };

    return row_int(
        c, &q,
        ARGS(DB_INT(worker), DB_INT(lease_ms), DB_INT(claim_ms), DB_INT(c->now_ms + lease_ms)), 0,
        out);
}

err_t store_queue_held(struct ctx *c, int64_t worker, int64_t limit, struct job **jobs, size_t *n)
{
    static const struct sql q = { "SELECT " JOB_COLS
                                  " FROM queue WHERE worker = $1 AND state = 1 AND env = $env "
                                  "ORDER BY run_id LIMIT $2 {for_update}" };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(worker), DB_INT(limit)), &r));
    return jobs_read(c, &r, jobs, n);
}

err_t store_queue_lease(struct ctx *c, bool acked, int64_t from, int64_t to, int64_t until,
                        int64_t *n)
{
    static const struct sql q = { "UPDATE queue SET lease_until = $3 WHERE state = 1 AND "
                                  "lease_until >= $1 AND lease_until < $2 AND acked = $4" };

    return db_exec(c, &q, ARGS(DB_INT(from), DB_INT(to), DB_INT(until), DB_INT(acked)), n);
}

err_t store_queue_expired(struct ctx *c, int64_t now_ms, int64_t limit, int64_t **run_ids,
                          int64_t **envs, size_t *n)
{
    static const struct sql q = {
        "SELECT run_id, env FROM queue WHERE state = 1 AND lease_until <= $1 LIMIT $2"
    };
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(now_ms), DB_INT(limit)), &r));
    return rows_pairs(c, &r, run_ids, envs, n);
}
