/* Operators' use cases. Every one locks the run's queue row first, as a report does: of two that
 * race the later one finds what the earlier one made. */
#include "svc/operator.h"

#include "codec/json.h"
#include "engine/lane.h"
#include "engine/match.h"
#include "engine/operator.h"
#include "engine/sm.h"
#include "store/events.h"
#include "store/operator.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/steps.h"
#include "store/workers.h"
#include "svc/audit.h"
#include "svc/batch.h"
#include "svc/flow.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "svc/principal.h"
#include "svc/registry.h"
#include "svc/waits.h"

#define SEARCH_RUNS 1000
#define REASON_MAX 4096
#define STREAMS_MAX 10000

/* ---- pause ----------------------------------------------------------------------------------- */

err_t svc_run_pause(struct ctx *c, int64_t id, bool *paused)
{
    enum pause_answer answer = PAUSE_KEPT;
    struct run_move move = { 0 };
    struct run run = { 0 };
    struct job job = { 0 };
    bool open = false;

    TRY(run_lock(c, id, &run, &job, &open));
    TRY(run_pause(c, &run, &job, &move, &answer));
    must(open); /* only the final statuses have no queue row */
    switch (answer) {
    case PAUSE_NOTED:
        TRY(store_queue_put(c, &job));
        TRY(store_run_flag(c, &run));
        break;
    case PAUSE_DONE:
        TRY(run_moved(c, &run, &job, &move, STR_NULL));
        break;
    case PAUSE_KEPT:
        break;
    }
    *paused = run_held(&run);
    return ERR_OK;
}

/* The step on which the run is parked: the one it yielded on, as long as that is open. */
static str_t parked_on(const struct job *job, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (job->wait_step == steps[i].id && steps[i].status != STEP_COMPLETED)
            return steps[i].name;
    }
    return STR_NULL;
}

err_t svc_run_paused_state(struct ctx *c, int64_t id, struct paused_state *out)
{
    struct paused_state s = { 0 };
    struct job job = { 0 };
    bool open = false;
    size_t n = 0;

    TRY(store_run_get(c, id, &s.run));
    TRY(run_held_check(c, &s.run));
    TRY(store_queue_peek(c, id, &job, &open));
    TRY(store_step_list(c, id, 0, &s.steps, &n));
    s.next = parked_on(&job, s.steps, n);
    for (size_t i = 0; i < n; i++) {
        if (s.steps[i].status == STEP_COMPLETED || s.steps[i].status == STEP_FAILED)
            s.steps[s.steps_n++] = s.steps[i];
    }
    *out = s;
    return ERR_OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* A step of the run by record id or SDK id, whole. ERR_NOT_FOUND. */
static err_t step_of_run(struct ctx *c, int64_t run_id, str_t ref, struct step *out)
{
    struct step s = { 0 };
    int64_t id;
    err_t e;

    if (id_parse(ID_STEP, ref, &id)) {
        e = store_step_get(c, id, &s);
        if (e == ERR_OK && s.run_id == run_id) {
            *out = s;
            return ERR_OK;
        }
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            return e;
    }
    e = store_step_find(c, run_id, ref, &s);
    if (e == ERR_NOT_FOUND || e == ERR_INVALID)
        return err_set(c, ERR_NOT_FOUND, "step not found");
    TRY(e);
    return store_step_get(c, s.id, out);
}

/* SDKs begin their ids with that of the run; others are looked for. */
static err_t step_anywhere(struct ctx *c, str_t ref, struct step *out)
{
    str_t rest = ref, head;
    int64_t id = 0;
    err_t e;

    if (id_parse(ID_STEP, ref, &id)) {
        e = store_step_get(c, id, out);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    if (str_cut(&rest, ':', &head) && id_parse(ID_RUN, head, &id)) {
        e = step_of_run(c, id, ref, out);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    TRY(store_step_search(c, ref, SEARCH_RUNS, &id));
    if (id == 0)
        return err_set(c, ERR_NOT_FOUND, "step not found");
    return store_step_get(c, id, out);
}

static err_t output_check(struct ctx *c, str_t output, str_t reason, str_t *value)
{
    struct json_error je;

    if (output.n == 0)
        return err_set(c, ERR_INVALID, "output: is required");
    if (!json_check(output, value, &je))
        return err_set(c, ERR_INVALID, "output: not valid JSON: %s at byte %zu", je.what, je.at);
    if (reason.n > REASON_MAX)
        return err_set(c, ERR_INVALID, "reason: longer than %d bytes", REASON_MAX);
    return ERR_OK;
}

/* The row, the message and the trail of a new result. */
static err_t step_change(struct ctx *c, const struct run *run, struct step *s, str_t output,
                         str_t reason, enum step_topic topic)
{
    str_t before = s->output, by = principal_name(c->who);

    step_patch(s, output, by, c->now_ms);
    TRY(store_step_patch(c, s));
    TRY(message_step(c, topic, s, run->fn));
    return audit_change(c, run, s, topic, before, reason);
}

err_t svc_step_patch(struct ctx *c, str_t step, str_t output, str_t reason, struct step *out)
{
    str_t value = STR_NULL;
    struct run run = { 0 };
    struct job job = { 0 };
    struct step s = { 0 };
    bool open = false;

    if (step.n == 0)
        return err_set(c, ERR_INVALID, "step_id: is required");
    TRY(output_check(c, output, reason, &value));
    TRY(step_anywhere(c, step, &s));
    TRY(run_lock(c, s.run_id, &run, &job, &open));
    TRY(store_step_get(c, s.id, &s)); /* again, now that nobody else may change it */
    TRY(step_patch_check(c, &run, &s));
    TRY(step_change(c, &run, &s, value, reason, TOPIC_STEP_PATCHED));
    *out = s;
    return ERR_OK;
}

err_t svc_step_inject(struct ctx *c, int64_t run_id, str_t step, str_t output, str_t reason,
                      struct step *out, str_t *previous)
{
    str_t value = STR_NULL, before;
    struct run run = { 0 };
    struct job job = { 0 };
    struct step s = { 0 };
    bool open = false;

    if (step.n == 0)
        return err_set(c, ERR_INVALID, "step_id: is required");
    TRY(output_check(c, output, reason, &value));
    TRY(run_lock(c, run_id, &run, &job, &open));
    TRY(step_of_run(c, run_id, step, &s));
    TRY(step_inject_check(c, &run, &s));
    before = s.output;
    TRY(step_change(c, &run, &s, value, reason, TOPIC_STEP_INJECTED));
    *previous = before;
    *out = s;
    return ERR_OK;
}

/* ---- resume ---------------------------------------------------------------------------------- */

/* The queue row of a run that had failed, with the lanes and cancel events of its function. */
static err_t job_again(struct ctx *c, struct run *run, struct job *out)
{
    const struct registry *reg = NULL;
    const struct function *f;
    struct event e = { 0 };
    int64_t next = 0;

    TRY(store_step_next(c, run->id, &next));
    *out = run_job_again(c, run, store_worker_key(c, run->worker), next);
    out->watch |= audit_watch(run->recording);
    if (run->parent_run != 0)
        out->watch |= WATCH_PARENT;
    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, run->fn);
    if (f == NULL)
        return ERR_OK;
    TRY(store_event_get(c, run->event_id, &e));
    lane_assign(c, f, e.data, run, out);
    return ERR_OK;
}

/* Writes the new queue row. */
static err_t job_add(struct ctx *c, const struct run *run, struct job *job)
{
    const struct registry *reg = NULL;
    const struct function *f;
    struct event e = { 0 };
    bool any = false;

    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, run->fn);
    if (f != NULL && f->cancel_on_n > 0) {
        TRY(store_event_get(c, run->event_id, &e));
        TRY(waits_add_cancels(c, f, &e, run->id, &any));
    }
    if (any)
        job->watch |= WATCH_ROWS;
    TRY(store_steps_reopen(c, run->id));
    TRY(flow_enter(c, job));
    TRY(store_queue_add(c, job));
    return store_queue_put(c, job);
}

static err_t resume_write(struct ctx *c, const struct run *run, struct job *job, bool open,
                          const struct run_move *move)
{
    bool done = false;

    TRY(store_run_reopen(c, run, move->from, &done));
    if (!done)
        return err_set(c, ERR_CONFLICT, "the run is being resumed already");
    if (open) {
        TRY(store_queue_put(c, job));
        TRY(flow_settle(c, job, false));
    } else {
        TRY(job_add(c, run, job));
    }
    TRY(message_run(c, TOPIC_RUN_RESUMED, run));
    svc_count_run(c, run->fn, (int64_t)move->from, (int64_t)run->status);
    flow_signal(c, job);
    audit_told(c, job);
    return audit_run(c, run, job, move->from, S("resumed"));
}

err_t svc_run_resume(struct ctx *c, int64_t id, str_t from_step, struct run *out)
{
    struct run_move move = { 0 };
    struct step from = { 0 };
    struct run run = { 0 };
    struct job job = { 0 };
    bool open = false;

    TRY(run_lock(c, id, &run, &job, &open));
    if (from_step.n > 0)
        TRY(step_of_run(c, id, from_step, &from));
    if (!open && run.status == RUN_FAILED)
        TRY(job_again(c, &run, &job));
    TRY(run_resume(c, &run, &job, &move));
    run.resume_from = from.id != 0 ? from.step_id : STR_NULL;
    TRY(resume_write(c, &run, &job, open, &move));
    if (from.id != 0)
        TRY(store_steps_discard(c, id, from.sequence));
    *out = run;
    return ERR_OK;
}

/* ---- streams --------------------------------------------------------------------------------- */

err_t svc_run_streams(struct ctx *c, int64_t id, str_t **out, size_t *n)
{
    struct run run = { 0 };

    TRY(store_run_get(c, id, &run));
    return store_run_streams(c, id, STREAMS_MAX, out, n);
}
