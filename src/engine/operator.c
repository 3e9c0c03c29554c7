/* Rules of pausing, resuming and changing results. */
#include "engine/operator.h"

#include "engine/sm.h"
#include "engine/step.h"

bool run_held(const struct run *run)
{
    return run->status == RUN_PAUSED && run->pause_reason == PAUSE_INJECTION;
}

err_t run_pause(struct ctx *c, struct run *run, struct job *job, struct run_move *out,
                enum pause_answer *answer)
{
    if (sm_final(&run_sm, (int)run->status)) {
        str_t word = sm_name(&run_sm, (int)run->status);

        return err_set(c, ERR_PRECONDITION, "run is already " STR_FMT, STR_ARG(word));
    }
    *out = (struct run_move){ .from = run->status };
    if (run_held(run) || run->pause_requested) {
        *answer = PAUSE_KEPT;
        return ERR_OK;
    }
    run->updated_at = c->now_ms;
    if (run->status == RUN_PAUSED) {
        must(sm_may(&run_sm, RUN_PAUSED, RUN_PAUSED));
        run->pause_reason = PAUSE_INJECTION;
        *answer = PAUSE_DONE;
        return ERR_OK;
    }
    run->pause_requested = true;
    job->watch |= WATCH_PAUSE;
    *answer = PAUSE_NOTED;
    return ERR_OK;
}

/* What every way into the pause does. */
static void hold(struct ctx *c, struct run *run, struct job *job)
{
    run->status = RUN_PAUSED;
    run->pause_reason = PAUSE_INJECTION;
    run->pause_requested = false;
    run->updated_at = c->now_ms;
    job->watch &= ~(int64_t)(WATCH_PAUSE | WATCH_RESUMED);
    job->state = JOB_PARKED;
    job->lease_until = 0;
    if (job->reported == JOB_OPEN)
        job->reported = JOB_REPORTED_PAUSED;
}

void run_hold(struct ctx *c, struct run *run, struct job *job, struct run_move *m)
{
    if (m->ended || (job->watch & WATCH_PAUSE) == 0)
        return;
    must(sm_may(&run_sm, RUN_RUNNING, RUN_PAUSED) && job->execution_seq > 0);
    hold(c, run, job);
    m->ready = false;
    if (m->timer.kind == TIMER_RETRY)
        m->timer = (struct timer){ 0 };
}

err_t run_hold_ready(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    must((job->watch & WATCH_PAUSE) != 0);
    TRY(sm_move(c, &run_sm, (int)run->status, RUN_PAUSED));
    TRY(sm_move(c, &job_sm, (int)job->state, JOB_PARKED));
    *out = (struct run_move){ .from = run->status };
    hold(c, run, job);
    return ERR_OK;
}

struct job run_job_again(const struct ctx *c, const struct run *run, int64_t worker,
                         int64_t step_next)
{
    return (struct job){
        .run_id = run->id,
        .fn = run->fn,
        .state = JOB_READY,
        .ready_at = c->now_ms,
        .execution_seq = run->execution_seq,
        .token = run->token,
        .worker = worker,
        .reported = JOB_REPORTED_FAILED,
        .step_next = step_next,
    };
}

err_t run_resume(struct ctx *c, struct run *run, struct job *job, struct run_move *out)
{
    str_t word = sm_name(&run_sm, (int)run->status);

    if (run->status != RUN_PAUSED && run->status != RUN_FAILED)
        return err_set(c, ERR_PRECONDITION,
                       "run is " STR_FMT ": only paused and failed runs can be resumed",
                       STR_ARG(word));
    TRY(sm_move(c, &run_sm, (int)run->status, RUN_RUNNING));
    if (job->state != JOB_READY)
        TRY(sm_move(c, &job_sm, (int)job->state, JOB_READY));
    must(job->execution_seq == 0 || job->reported != JOB_OPEN);
    *out = (struct run_move){ .from = run->status, .ready = true };
    if (run->status == RUN_FAILED)
        run->attempt = 1;
    run->status = RUN_RUNNING;
    run->pause_requested = false;
    run->pause_reason = PAUSE_NONE;
    run->error = STR_NULL;
    run->output = STR_NULL;
    run->ended_at = 0;
    run->updated_at = c->now_ms;
    job->state = JOB_READY;
    job->ready_at = c->now_ms;
    job->lease_until = 0;
    job->wait_step = 0;
    job->watch = (job->watch & ~(int64_t)WATCH_PAUSE) | WATCH_RESUMED;
    return ERR_OK;
}

err_t step_patch_check(struct ctx *c, const struct run *run, const struct step *s)
{
    str_t word = sm_name(&run_sm, (int)run->status), step = sm_name(&step_sm, (int)s->status);

    if (run->status == RUN_COMPLETED || run->status == RUN_CANCELLED)
        return err_set(c, ERR_PRECONDITION, "run is already " STR_FMT, STR_ARG(word));
    if (s->status == STEP_RUNNING || step_is_open(s))
        return err_set(c, ERR_PRECONDITION,
                       "step is " STR_FMT ": only steps that have ended can be patched",
                       STR_ARG(step));
    if (run->status != RUN_FAILED && run->status != RUN_PAUSED && s->status != STEP_COMPLETED)
        return err_set(c, ERR_PRECONDITION,
                       "run is " STR_FMT
                       ": only its completed steps can be patched, this one is " STR_FMT,
                       STR_ARG(word), STR_ARG(step));
    return ERR_OK;
}

err_t run_held_check(struct ctx *c, const struct run *run)
{
    bool over = sm_final(&run_sm, (int)run->status);
    str_t word = sm_name(&run_sm, (int)run->status);

    if (run_held(run))
        return ERR_OK;
    return err_set(c, ERR_PRECONDITION, "run is " STR_FMT ", not paused for injection%s",
                   STR_ARG(word), over ? "" : ": pause it first");
}

err_t step_inject_check(struct ctx *c, const struct run *run, const struct step *s)
{
    str_t step = sm_name(&step_sm, (int)s->status);

    TRY(run_held_check(c, run));
    if (s->status != STEP_COMPLETED)
        return err_set(c, ERR_PRECONDITION,
                       "step is " STR_FMT ": only completed steps can be changed", STR_ARG(step));
    return ERR_OK;
}

void step_patch(struct step *s, str_t output, str_t by, int64_t now_ms)
{
    must(s->status == STEP_COMPLETED || sm_may(&step_sm, (int)s->status, STEP_COMPLETED));
    if (s->patched_at == 0)
        s->original_output = s->output;
    s->status = STEP_COMPLETED;
    s->output = output;
    s->error = STR_NULL;
    s->event_ref = 0;
    s->patched_at = now_ms;
    s->patched_by = by;
    if (s->ended_at == 0)
        s->ended_at = now_ms;
}
