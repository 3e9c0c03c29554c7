/* From the end of a run to the step that invoked it. */
#include "svc/children.h"

#include "engine/sm.h"
#include "engine/step.h"
#include "engine/wait.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/steps.h"
#include "svc/messages.h"

static str_t cause_of(struct ctx *c, const struct run *child)
{
    str_t text = error_message(c, child->error);

    if (text.n > 0)
        return text;
    return child->status == RUN_CANCELLED ? S("the run was cancelled") : S("unknown error");
}

void invoke_result(struct ctx *c, struct step *s, const struct run *child)
{
    str_t cause;

    must(sm_final(&run_sm, (int)child->status));
    if (child->status == RUN_COMPLETED) {
        s->output = child->output.n > 0 ? child->output : S("null");
        s->error = STR_NULL;
        step_wake(s, c->now_ms);
        return;
    }
    cause = cause_of(c, child);
    step_wait_failed(s, STEP_FAILED, invoke_error_json(c, cause, s->name, child->id, cause),
                     c->now_ms);
}

err_t invoke_settled(struct ctx *c, struct run *run, struct job *job, const struct step *s,
                     struct run_move *out)
{
    bool failed = s->status == STEP_FAILED || s->status == STEP_TIMED_OUT;

    if (failed && (job->watch & WATCH_CATCHES) == 0) {
        TRY(store_step_told(c, s->id));
        return run_wait_failed(c, run, job, invoke_run_error_json(c, s->name, s->error), out);
    }
    if (job->state == JOB_CLAIMED)
        return run_report_again(c, run, job, out);
    return run_wake(c, run, job, out);
}

err_t child_ended(struct ctx *c, int64_t child_id, struct child_news *out)
{
    struct child_news n = { 0 };
    struct run child = { 0 };
    struct step s = { 0 };
    bool open = false;
    err_t e;

    TRY(store_run_get(c, child_id, &child));
    if (child.parent_run == 0)
        return ERR_OK;
    TRY(store_queue_get(c, child.parent_run, &n.job, &open));
    if (!open)
        return ERR_OK;
    e = store_step_find(c, child.parent_run, child.parent_step, &s);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    if (s.status != STEP_WAITING || s.child_run != child_id)
        return ERR_OK;
    invoke_result(c, &s, &child);
    TRY(store_step_put(c, &s));
    TRY(message_step(c, s.status == STEP_COMPLETED ? TOPIC_STEP_COMPLETED : TOPIC_STEP_FAILED, &s,
                     n.job.fn));
    TRY(store_run_get(c, child.parent_run, &n.run));
    if (run_waits_for(&n.run, &n.job, s.id)) {
        TRY(invoke_settled(c, &n.run, &n.job, &s, &n.move));
        n.moves = true;
    }
    *out = n;
    return ERR_OK;
}

err_t child_timed_out(struct ctx *c, struct run *run, struct job *job, int64_t step,
                      struct run_move *out)
{
    struct step s = { 0 };
    str_t text;

    TRY(store_step_get(c, step, &s));
    if (s.status != STEP_WAITING)
        return run_wake(c, run, job, out);
    text = str_printf(c->arena, "invoke timed out after %lldms",
                      (long long)(s.wake_at - s.started_at));
    step_wait_failed(&s, STEP_TIMED_OUT, invoke_error_json(c, text, s.name, s.child_run, text),
                     c->now_ms);
    TRY(store_step_status(c, &s));
    TRY(message_step(c, TOPIC_STEP_TIMED_OUT, &s, run->fn));
    return invoke_settled(c, run, job, &s, out);
}
