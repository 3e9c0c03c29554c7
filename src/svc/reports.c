/* Acks and reports of workers: steps become durable, then the run moves (spec engine-pull sections
 * 5 and 6). */
#include "engine/match.h"
#include "engine/operator.h"
#include "engine/retry.h"
#include "engine/step.h"
#include "store/queue.h"
#include "store/steps.h"
#include "svc/app.h"
#include "svc/flow.h"
#include "svc/holder.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "svc/registry.h"
#include "svc/yields.h"
#include "txn/txn.h"

#define SEQUENCE_MAX 1000000000

/* ---- checks ---------------------------------------------------------------------------------- */

static err_t step_check(struct ctx *c, const struct report_step *s, size_t i)
{
    enum step_status status;

    if (s->id.n == 0 || s->name.n == 0)
        return err_set(c, ERR_INVALID, "steps[%zu]: id and name are required", i);
    if (s->id.n > STEP_ID_MAX || s->name.n > STEP_ID_MAX)
        return err_set(c, ERR_INVALID, "steps[%zu]: id or name is longer than %d bytes", i,
                       STEP_ID_MAX);
    if (!step_status_parse(s->status, &status))
        return err_set(c, ERR_INVALID, "steps[%zu]: status must be completed or failed", i);
    if (s->duration_ms < 0)
        return err_set(c, ERR_INVALID, "steps[%zu]: duration_ms must not be negative", i);
    return ERR_OK;
}

static err_t report_check(struct ctx *c, const struct report *in)
{
    if (in->kind == REPORT_PROGRESS && in->steps_n > STEPS_PER_REPORT_MAX)
        return err_set(c, ERR_INVALID, "a progress report holds at most %d steps",
                       STEPS_PER_REPORT_MAX);
    if (in->has_step_offset && (in->step_offset < 0 || in->step_offset > SEQUENCE_MAX))
        return err_set(c, ERR_INVALID, "step_offset is out of range");
    for (size_t i = 0; i < in->steps_n; i++)
        TRY(step_check(c, &in->steps[i], i));
    return in->kind == REPORT_YIELDED ? yield_check(c, in) : ERR_OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    if (v < low)
        return low;
    return v > high ? high : v;
}

/* The row that a report describes; its times lie between the run's creation and now. */
static struct step step_of(struct ctx *c, const struct job *job, const struct report_step *in,
                           int64_t sequence)
{
    int64_t low = id_ms(job->run_id), high = low > c->now_ms ? low : c->now_ms;
    struct step s = {
        .id = ctx_id(c),
        .run_id = job->run_id,
        .step_id = in->id,
        .name = in->name,
        .type = step_type_parse(in->type),
        .sequence = sequence,
        .output = in->output,
        .error = in->error,
        .attempt = 1,
        .compensation_for = in->compensation_for,
    };

    (void)step_status_parse(in->status, &s.status); /* step_check has seen it */
    s.ended_at = in->ended_at > 0 ? clamp(in->ended_at, low, high) : high;
    s.started_at = in->started_at > 0 ? clamp(in->started_at, low, s.ended_at)
                                      : clamp(s.ended_at - in->duration_ms, low, s.ended_at);
    s.duration_ms = in->duration_ms > 0 ? in->duration_ms : s.ended_at - s.started_at;
    if (s.status == STEP_COMPLETED)
        s.error = STR_NULL;
    return s;
}

static err_t step_announce(struct ctx *c, const struct step *s, int64_t fn, bool created)
{
    if (created)
        TRY(message_step(c, TOPIC_STEP_CREATED, s, fn));
    return message_step(c, s->status == STEP_COMPLETED ? TOPIC_STEP_COMPLETED : TOPIC_STEP_FAILED,
                        s, fn);
}

static err_t step_store(struct ctx *c, struct job *job, const struct step *s)
{
    struct step old = { 0 };
    bool added = false;

    TRY(store_step_add(c, s, &added));
    if (added) {
        if (s->sequence >= job->step_next)
            job->step_next = s->sequence + 1;
        return step_announce(c, s, job->fn, true);
    }
    TRY(store_step_find(c, s->run_id, s->step_id, &old));
    if (step_merge(&old, s) == STEP_UNCHANGED)
        return ERR_OK;
    TRY(store_step_put(c, &old));
    return step_announce(c, &old, job->fn, false);
}

static err_t steps_store(struct ctx *c, struct job *job, const struct report *in)
{
    for (size_t i = 0; i < in->steps_n; i++) {
        int64_t sequence = in->has_step_offset ? in->step_offset + (int64_t)i : job->step_next;
        struct step s = step_of(c, job, &in->steps[i], sequence);

        TRY(step_store(c, job, &s));
    }
    return ERR_OK;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static err_t report_progress(struct ctx *c, struct held *h)
{
    struct job *job = &h->job;
    int64_t until = lease_renewed(c->now_ms, job->lease_until, app_of(c)->lease_ms);
    struct run_move move = { 0 };
    bool back = true;

    if (h->verdict == FENCE_REVIVE) {
        TRY(flow_regain(c, job, &back));
        if (!back) /* what it did stays; its place is taken, so it may only finish */
            return store_queue_put(c, job);
        TRY(run_revive(c, &h->run, job, until, &move));
        return run_moved_light(c, &h->run, job, &move);
    }
    job->lease_until = until;
    job->acked = true;
    return store_queue_put(c, job);
}

static err_t report_completed(struct ctx *c, struct held *h, const struct report *in,
                              struct run_move *move)
{
    return run_report_completed(c, &h->run, &h->job, in->output, move);
}

static err_t report_failed(struct ctx *c, struct held *h, const struct report *in,
                           struct run_move *move)
{
    struct retry_policy retry = retry_default();
    const struct registry *reg = NULL;
    const struct function *f;

    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, h->job.fn);
    if (f && f->retry.max_attempts > 0)
        retry = f->retry;
    return run_report_failed(c, &h->run, &h->job, &retry, run_error_json(c, in->error),
                             in->retryable, move);
}

/* An operator's pause takes the run from its worker, which is told if it is on a stream. */
static void report_hold(struct ctx *c, struct held *h, struct run_move *move)
{
    bool asked = (h->job.watch & WATCH_PAUSE) != 0;

    run_hold(c, &h->run, &h->job, move);
    if (asked && run_held(&h->run))
        signal_add(c, SIG_WORKER, h->job.worker);
}

/* A final report: whoever still may report counts as running for the rule, whatever the row says.
 */
static err_t report_final(struct ctx *c, struct held *h, const struct report *in)
{
    struct run_move move = { 0 };

    signal_add(c, SIG_SLOT_FREE, h->job.worker);
    if (in->kind != REPORT_COMPLETED)
        TRY(job_hold_run(c, h));
    if (h->verdict == FENCE_REVIVE)
        TRY(run_revive(c, &h->run, &h->job, c->now_ms, &move));
    switch (in->kind) {
    case REPORT_COMPLETED:
        TRY(report_completed(c, h, in, &move));
        break;
    case REPORT_FAILED:
        TRY(report_failed(c, h, in, &move));
        break;
    case REPORT_YIELDED:
        TRY(yield_report(c, h, in, &move));
        break;
    case REPORT_PROGRESS:
        must(false);
    }
    move.from = h->from;
    report_hold(c, h, &move);
    return run_moved(c, &h->run, &h->job, &move, STR_NULL);
}

/* The pause comes behind the steps of a progress report. */
static err_t report_held(struct ctx *c, struct held *h)
{
    struct run_move move = { 0 };

    TRY(job_hold_run(c, h));
    if (h->verdict == FENCE_REVIVE)
        TRY(run_revive(c, &h->run, &h->job, c->now_ms, &move));
    move = (struct run_move){ .from = h->from };
    report_hold(c, h, &move);
    return run_moved(c, &h->run, &h->job, &move, STR_NULL);
}

err_t svc_job_report(struct ctx *c, str_t worker_id, str_t job_id, const struct report *in)
{
    static const enum job_report kinds[] = {
        [REPORT_PROGRESS] = JOB_OPEN,
        [REPORT_COMPLETED] = JOB_REPORTED_COMPLETED,
        [REPORT_FAILED] = JOB_REPORTED_FAILED,
        [REPORT_YIELDED] = JOB_REPORTED_YIELDED,
    };
    struct held h = { 0 };

    TRY(report_check(c, in));
    TRY(job_hold(c, worker_id, job_id, &in->fence, kinds[in->kind], &h));
    if (h.verdict == FENCE_REPEATED)
        return ERR_OK;
    TRY(steps_store(c, &h.job, in));
    if (in->kind == REPORT_PROGRESS && (h.job.watch & WATCH_PAUSE) != 0)
        return report_held(c, &h);
    return in->kind == REPORT_PROGRESS ? report_progress(c, &h) : report_final(c, &h, in);
}

/* ---- ack ------------------------------------------------------------------------------------- */

err_t svc_job_ack(struct ctx *c, str_t worker_id, str_t job_id, struct fence fence)
{
    int64_t until = c->now_ms + app_of(c)->lease_ms;
    struct held h = { 0 };
    bool done = false;

    TRY(job_ack_fast(c, job_id, &fence, until, &done));
    if (done)
        return ERR_OK;
    TRY(job_hold(c, worker_id, job_id, &fence, JOB_OPEN, &h));
    h.job.lease_until = until > h.job.lease_until ? until : h.job.lease_until;
    return report_progress(c, &h);
}
