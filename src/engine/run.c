/* The rules of a run's life. Status and job state move only along the tables of engine/sm. */
#include "engine/run.h"

#include "codec/json.h"
#include "engine/lane.h"
#include "engine/retry.h"
#include "engine/schedule.h"
#include "engine/sm.h"

/* Moves both machines or neither; fills *out for a run that stays open. */
static err_t move(struct ctx *c, struct run *run, struct job *job, enum run_status status,
                  enum job_state state, struct run_move *out)
{
    struct run_move m = { .from = run->status, .ready = state == JOB_READY };

    TRY(sm_move(c, &run_sm, (int)run->status, (int)status));
    TRY(sm_move(c, &job_sm, (int)job->state, (int)state));
    run->status = status;
    run->updated_at = c->now_ms;
    job->state = state;
    *out = m;
    return ERR_OK;
}

static err_t end(struct ctx *c, struct run *run, const struct job *job, enum run_status status,
                 struct run_move *out)
{
    struct run_move m = { .from = run->status, .ended = true };

    TRY(sm_move(c, &run_sm, (int)run->status, (int)status));
    run->status = status;
    run->ended_at = c->now_ms;
    run->updated_at = c->now_ms;
    run->pause_reason = PAUSE_NONE;
    run->pause_requested = false;
    run->execution_seq = job->execution_seq;
    run->token = job->token;
    *out = m;
    return ERR_OK;
}

static struct timer timer_for(const struct job *job, enum timer_kind kind, int64_t step)
{
    return (struct timer){ .due = job->ready_at,
                           .kind = kind,
                           .run_id = job->run_id,
                           .execution_seq = job->execution_seq,
                           .step = step };
}

void run_create(struct ctx *c, const struct function *f, const struct event *e, struct run *run,
                struct job *job)
{
    *run = (struct run){
        .id = ctx_id(c),
        .fn = f->key,
        .event_id = e->id,
        .status = RUN_PENDING,
        .mode = f->mode,
        .attempt = 1,
        .max_attempts =
            f->retry.max_attempts > 0 ? f->retry.max_attempts : retry_default().max_attempts,
        .fn_version = f->version,
        .updated_at = c->now_ms,
        .recording = !f->recording         ? 0
                     : f->recording_ms > 0 ? f->recording_ms
                                           : -1,
    };
    *job =
        (struct job){ .run_id = run->id, .fn = f->key, .state = JOB_READY, .ready_at = c->now_ms };
    lane_assign(c, f, e->data, run, job);
}

err_t run_claim(struct ctx *c, struct run *run, struct job *job, int64_t worker,
                int64_t lease_until, struct run_move *out)
{
    must(lease_until > c->now_ms);
    TRY(move(c, run, job, RUN_RUNNING, JOB_CLAIMED, out));
    if (run->started_at == 0)
        run->started_at = c->now_ms;
    job->execution_seq++;
    job->token = (int64_t)(rng_u64(c->rng) >> 2) + 1; /* never 0 */
    job->worker = worker;
    job->lease_until = lease_until;
    job->acked = false;
    job->reported = JOB_OPEN;
    job->watch &= ~(int64_t)WATCH_RESUMED;
    return ERR_OK;
}

err_t run_unclaim(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    must(job->reported == JOB_OPEN);
    TRY(move(c, run, job, RUN_PENDING, JOB_READY, out));
    job->lease_until = 0;
    return ERR_OK;
}

err_t run_revive(struct ctx *c, struct run *run, struct job *job, int64_t lease_until,
                 struct run_move *out)
{
    must(job->state != JOB_CLAIMED && job->reported == JOB_OPEN && job->execution_seq > 0);
    TRY(move(c, run, job, RUN_RUNNING, JOB_CLAIMED, out));
    job->lease_until = lease_until;
    job->acked = true;
    return ERR_OK;
}

err_t run_report_completed(struct ctx *c, struct run *run, struct job *job, str_t output,
                           struct run_move *out)
{
    must(job->state == JOB_CLAIMED);
    TRY(end(c, run, job, RUN_COMPLETED, out));
    run->output = output;
    run->error = STR_NULL;
    job->reported = JOB_REPORTED_COMPLETED;
    return ERR_OK;
}

err_t run_report_failed(struct ctx *c, struct run *run, struct job *job,
                        const struct retry_policy *retry, str_t error, bool retryable,
                        struct run_move *out)
{
    must(job->state == JOB_CLAIMED);
    if (!retryable || run->attempt >= run->max_attempts) {
        TRY(end(c, run, job, RUN_FAILED, out));
    } else {
        TRY(move(c, run, job, RUN_WAITING, JOB_PARKED, out));
        job->ready_at = c->now_ms + retry_delay_ms(retry, run->attempt);
        job->lease_until = 0;
        out->timer = timer_for(job, TIMER_RETRY, 0);
    }
    run->error = error;
    job->reported = JOB_REPORTED_FAILED;
    return ERR_OK;
}

static err_t park(struct ctx *c, struct run *run, struct job *job, const struct step *step,
                  enum timer_kind kind, struct run_move *out)
{
    must(job->state == JOB_CLAIMED);
    TRY(move(c, run, job, RUN_PAUSED, JOB_PARKED, out));
    run->pause_reason = kind == TIMER_SLEEP ? PAUSE_SLEEP : PAUSE_WAIT_EVENT;
    job->ready_at = step->wake_at;
    job->lease_until = 0;
    job->wait_step = step->id;
    job->reported = JOB_REPORTED_YIELDED;
    out->timer = timer_for(job, kind, step->id);
    return ERR_OK;
}

err_t run_report_sleep(struct ctx *c, struct run *run, struct job *job, const struct step *step,
                       struct run_move *out)
{
    must(step->status == STEP_SLEEPING);
    return park(c, run, job, step, TIMER_SLEEP, out);
}

err_t run_report_wait(struct ctx *c, struct run *run, struct job *job, const struct step *step,
                      enum timer_kind kind, struct run_move *out)
{
    must(step->status == STEP_WAITING && (kind == TIMER_WAIT || kind == TIMER_CHILD));
    return park(c, run, job, step, kind, out);
}

str_t run_pause_word(enum pause_reason r)
{
    switch (r) {
    case PAUSE_NONE:
        break;
    case PAUSE_SLEEP:
        return S("sleep");
    case PAUSE_WAIT_EVENT:
        return S("wait_event");
    case PAUSE_INJECTION:
        return S("injection");
    }
    return STR_NULL;
}

bool run_waits_for(const struct run *run, const struct job *job, int64_t step)
{
    return job->state == JOB_PARKED && job->reported == JOB_REPORTED_YIELDED &&
           job->wait_step == step && run->pause_reason != PAUSE_INJECTION;
}

err_t run_wait_failed(struct ctx *c, struct run *run, struct job *job, str_t error,
                      struct run_move *out)
{
    must(job->state == JOB_CLAIMED || job->reported == JOB_REPORTED_YIELDED);
    TRY(end(c, run, job, RUN_FAILED, out));
    run->error = error;
    return ERR_OK;
}

err_t run_report_again(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    must(job->state == JOB_CLAIMED);
    TRY(move(c, run, job, RUN_PENDING, JOB_READY, out));
    job->ready_at = c->now_ms;
    job->lease_until = 0;
    job->reported = JOB_REPORTED_YIELDED;
    return ERR_OK;
}

err_t run_lease_expired(struct ctx *c, struct run *run, struct job *job, int64_t grace_ms,
                        struct run_move *out)
{
    must(job->state == JOB_CLAIMED);
    if (!job->acked)
        return run_unclaim(c, run, job, out);
    TRY(move(c, run, job, RUN_WAITING, JOB_PARKED, out));
    job->ready_at = c->now_ms + grace_ms;
    job->lease_until = 0;
    out->timer = timer_for(job, TIMER_GRACE, 0);
    return ERR_OK;
}

bool run_timer_wanted(const struct job *job, const struct timer *t)
{
    if (job->state != JOB_PARKED || job->execution_seq != t->execution_seq ||
        job->ready_at != t->due)
        return false;
    switch (t->kind) {
    case TIMER_GRACE:
        return job->reported == JOB_OPEN;
    case TIMER_RETRY:
        return job->reported == JOB_REPORTED_FAILED;
    case TIMER_SLEEP:
    case TIMER_WAIT:
    case TIMER_CHILD:
        return job->reported == JOB_REPORTED_YIELDED && job->wait_step == t->step;
    }
    return false;
}

static err_t ready_again(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    must(job->state == JOB_PARKED);
    TRY(move(c, run, job, RUN_PENDING, JOB_READY, out));
    job->ready_at = c->now_ms;
    job->wait_step = 0;
    return ERR_OK;
}

err_t run_grace_over(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    must(job->reported == JOB_OPEN);
    return ready_again(c, run, job, out);
}

err_t run_retry_due(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    must(job->reported == JOB_REPORTED_FAILED);
    TRY(ready_again(c, run, job, out));
    run->attempt++;
    return ERR_OK;
}

err_t run_wake(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    must(job->reported == JOB_REPORTED_YIELDED);
    TRY(ready_again(c, run, job, out));
    run->pause_reason = PAUSE_NONE;
    return ERR_OK;
}

err_t run_cancel(struct ctx *c, struct run *run, struct job *job, str_t cause, struct run_move *out)
{
    TRY(end(c, run, job, RUN_CANCELLED, out));
    run->cancellation_cause = cause;
    return ERR_OK;
}

static bool has_text(str_t json, str_t name, str_t *out)
{
    return json_get(json, name, out) && json_type(*out) == JSON_STRING;
}

/* Everything that was reported, behind a message that was not. */
static str_t error_named(struct ctx *c, str_t reported, bool coded)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, reported.n + 64);
    json_open(&w, '{');
    json_key(&w, S("message"));
    json_put_str(&w, S("unknown error"));
    if (!coded) {
        json_key(&w, S("code"));
        json_put_str(&w, S("ERROR"));
    }
    for (struct json_iter it = json_iter(reported); json_next(&it);) {
        if (str_eq(it.key, S("message")) || (!coded && str_eq(it.key, S("code"))))
            continue;
        buf_printf(&b, ",\"" STR_FMT "\":" STR_FMT, STR_ARG(it.key), STR_ARG(it.value));
    }
    json_close(&w, '}');
    return buf_str(&b);
}

str_t run_error_json(struct ctx *c, str_t reported)
{
    struct buf b;
    struct json_out w = { .b = &b };
    str_t message = STR_NULL, code, text = S("unknown error");

    if (reported.n > 0) {
        bool named = has_text(reported, S("message"), &message);
        bool coded = has_text(reported, S("code"), &code) && code.n > 2;

        if (named && message.n > 2)
            return reported;
        if (named || coded)
            return error_named(c, reported, coded);
        text = json_type(reported) == JSON_STRING ? json_scalar(c->arena, reported) : reported;
    }
    buf_init_arena(&b, c->arena, text.n * 6 + 64);
    json_open(&w, '{');
    json_key(&w, S("message"));
    json_put_str(&w, text);
    json_key(&w, S("code"));
    json_put_str(&w, S("ERROR"));
    json_close(&w, '}');
    return buf_str(&b);
}
