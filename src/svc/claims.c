/* Handing ready runs to workers: claims, their return, and what a worker is sent for one (spec
 * engine-pull section 4). */
#include "codec/json.h"
#include "engine/match.h"
#include "engine/run.h"
#include "engine/schedule.h"
#include "engine/step.h"
#include "engine/wait.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/steps.h"
#include "store/workers.h"
#include "svc/app.h"
#include "svc/audit.h"
#include "svc/batch.h"
#include "svc/flow.h"
#include "svc/holder.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "svc/registry.h"
#include "txn/txn.h"

#define CLAIMS_PER_POLL 256
#define NAP_MS 1000 /* of a published client whose slots are full */
#define HEARD_MS 3  /* an answer has arrived */

/* What a poll may take, and from where. */
struct poll {
    struct worker worker;
    int64_t *fns; /* keys of its pull functions that exist, then its own key if it may be bound */
    size_t fns_n;
    bool *sticky; /* of fns: has actors, which may be bound to this worker */
    bool bound;   /* any is */
    int64_t free; /* slots, as we count them */
    int64_t room;
    bool rested;       /* a job of the worker was waited for, in vain */
    struct job *ready; /* oldest first */
    size_t ready_n, chosen;
};

static err_t poll_functions(struct ctx *c, struct poll *p)
{
    const struct registry *reg = NULL;
    size_t n = 0;

    TRY(svc_registry(c, &reg));
    for (struct json_iter it = json_iter(p->worker.functions); json_next(&it);)
        n++;
    p->fns = NEW_N(c->arena, int64_t, n + 2);
    p->sticky = NEW_N(c->arena, bool, n + 1);
    for (struct json_iter it = json_iter(p->worker.functions); json_next(&it);) {
        const struct function *f;
        str_t id;

        if (!json_string(c->arena, it.value, &id))
            continue;
        f = registry_ever(reg, id); /* runs of a deleted function may finish */
        /* since the poll waits, perhaps: what woke it was meant for the endpoint */
        if (f && f->mode == MODE_PUSH)
            signal_add(c, SIG_RUN_READY, f->key);
        if (!f || f->mode != MODE_PULL)
            continue;
        p->sticky[p->fns_n] = f->actor_key.n > 0;
        p->bound |= f->actor_key.n > 0;
        p->fns[p->fns_n++] = f->key;
    }
    p->fns[p->fns_n] = p->worker.key;
    return ERR_OK;
}

static err_t poll_room(struct ctx *c, struct poll *p, int64_t available)
{
    int64_t held = 0;

    TRY(store_queue_held_count(c, p->worker.key, p->worker.max_jobs, &held));
    p->free = p->worker.max_jobs - held;
    p->room = available < p->free ? available : p->free;
    if (p->room > CLAIMS_PER_POLL)
        p->room = CLAIMS_PER_POLL;
    return ERR_OK;
}

static void poll_add(struct ctx *c, struct poll *p, struct job *jobs, size_t n, size_t *cap)
{
    struct job *all;

    if (n == 0)
        return;
    if (p->ready_n == 0) {
        p->ready = jobs;
        p->ready_n = *cap = n;
        return;
    }
    if (p->ready_n + n > *cap) {
        *cap = (p->ready_n + n) * 2;
        all = NEW_N(c->arena, struct job, *cap);
        memcpy(all, p->ready, p->ready_n * sizeof(*all));
        p->ready = all;
    }
    memcpy(p->ready + p->ready_n, jobs, n * sizeof(*jobs));
    p->ready_n += n;
}

/* Merges the heads of the functions' lines by age. */
static err_t poll_gather(struct ctx *c, struct poll *p, int64_t limit)
{
    size_t cap = 0;

    p->ready_n = 0;
    for (size_t i = 0; i < p->fns_n; i++) {
        struct job *jobs = NULL;
        size_t n = 0;

        TRY(store_queue_ready(c, p->fns[i], 0, limit, &jobs, &n));
        poll_add(c, p, jobs, n, &cap);
        if (!p->sticky[i])
            continue;
        TRY(store_queue_ready(c, p->fns[i], p->worker.key, limit, &jobs, &n));
        poll_add(c, p, jobs, n, &cap);
    }
    p->chosen = jobs_oldest_first(p->ready, p->ready_n, (size_t)limit);
    return ERR_OK;
}

/* It may have been woken for a run that it does not take: another worker may have room for it. */
static err_t poll_pass_on(struct ctx *c, struct poll *p)
{
    TRY(poll_gather(c, p, 1));
    for (size_t i = 0; i < p->ready_n; i++)
        flow_signal(c, &p->ready[i]);
    p->chosen = p->ready_n = 0;
    return ERR_OK;
}

/* A client that sleeps once it is full starts nothing in that time, however many jobs end. So its
 * last slot stays free as long as another job may end soon, which one does that has begun less than
 * a sleep ago: the poll waits for that, but not longer than the sleep would be. And when one has
 * ended the client hears of that before it gets the next job, or it would still count itself full.
 */
static err_t poll_keep_slot(struct ctx *c, struct poll *p, int64_t deadline_ms)
{
    const struct app *app = app_of(c);
    int64_t until = deadline_ms - app->poll_hold_ms + NAP_MS, since = 0;

    if (p->worker.max_jobs < 2 || p->room <= 0 || !polls_nap_when_full(&p->worker))
        return ERR_OK;
    if (p->room > 1) {
        p->room--;
        return ERR_OK;
    }
    TRY(store_queue_held_since(c, p->worker.key, app->lease_claim_ms, app->lease_ms, &since));
    until = until < since + NAP_MS ? until : since + NAP_MS;
    until = until < deadline_ms ? until : deadline_ms;
    p->rested = c->call->timed_out || c->now_ms >= until;
    if (p->rested)
        return ERR_OK;
    TRY(poll_pass_on(c, p));
    return p->free > 1 ? txn_park(c, SIG_SLOT_FREE, NULL, 0, c->now_ms + HEARD_MS)
                       : txn_park(c, SIG_SLOT_FREE, &p->worker.key, 1, until);
}

static err_t claim_one(struct ctx *c, const struct worker *w, const struct job *ready,
                       struct claim *out)
{
    struct claim k = { .job = *ready };
    struct run_move move = { 0 };

    k.run = (struct run){
        .id = ready->run_id, .fn = ready->fn, .status = job_run_status(ready), .worker = w->id
    };
    TRY(run_claim(c, &k.run, &k.job, w->key, c->now_ms + app_of(c)->lease_claim_ms, &move));
    TRY(store_queue_put(c, &k.job));
    TRY(flow_claimed(c, &k.job, w->key));
    TRY(store_run_claimed(c, &k.run, move.from));
    TRY(message_run(c, TOPIC_RUN_UPDATED, &k.run));
    TRY(audit_run(c, &k.run, &k.job, move.from, S("dispatched")));
    svc_count_run(c, k.run.fn, (int64_t)move.from, (int64_t)k.run.status);
    *out = k;
    return ERR_OK;
}

static err_t poll_claim(struct ctx *c, struct poll *p, struct claim **out, size_t *n)
{
    struct claim *claims = NEW_N(c->arena, struct claim, p->chosen + 1);

    for (size_t i = 0; i < p->chosen; i++)
        TRY(claim_one(c, &p->worker, &p->ready[i], &claims[i]));
    /* jobs seen and left over were invisible to others while locked: somebody shall look again */
    for (size_t i = p->chosen; i < p->ready_n; i++)
        flow_signal(c, &p->ready[i]);
    *out = claims;
    *n = p->chosen;
    return ERR_OK;
}

/* Nothing to take. */
static err_t poll_wait(struct ctx *c, const struct poll *p, int64_t deadline_ms, size_t *n)
{
    if (c->now_ms >= deadline_ms || (c->call->timed_out && !p->rested)) {
        *n = 0;
        return ERR_OK;
    }
    if (p->fns_n == 0)
        return txn_park(c, SIG_REGISTRY, &c->env, 1, deadline_ms);
    return txn_park(c, SIG_RUN_READY, p->fns, p->fns_n + (p->bound ? 1 : 0), deadline_ms);
}

err_t svc_worker_claim(struct ctx *c, str_t worker_id, int64_t available, int64_t deadline_ms,
                       struct claim **out, size_t *n)
{
    struct poll p = { 0 };

    TRY(worker_require(c, worker_id, &p.worker));
    if (p.worker.session == 0) /* the claims of a stream are ours, not the worker's */
        TRY(worker_beats(c, &p.worker));
    TRY(poll_functions(c, &p));
    TRY(poll_room(c, &p, available));
    TRY(poll_keep_slot(c, &p, deadline_ms));
    if (p.room <= 0) {
        TRY(poll_pass_on(c, &p));
    } else {
        TRY(poll_gather(c, &p, p.room));
        if (p.ready_n == 0)
            return poll_wait(c, &p, deadline_ms, n);
    }
    return poll_claim(c, &p, out, n);
}

err_t svc_worker_release(struct ctx *c, const struct claim *claims, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct job *claimed = &claims[i].job;
        struct run_move move = { 0 };
        struct job job = { 0 };
        struct run run;
        bool open = false;

        TRY(store_queue_get(c, claimed->run_id, &job, &open));
        if (!open || job.execution_seq != claimed->execution_seq || job.token != claimed->token ||
            job.state != JOB_CLAIMED || job.acked)
            continue;
        run = (struct run){ .id = job.run_id, .fn = job.fn, .status = RUN_RUNNING };
        TRY(run_unclaim(c, &run, &job, &move));
        TRY(run_moved_light(c, &run, &job, &move));
    }
    return ERR_OK;
}

/* ---- assignments ----------------------------------------------------------------------------- */

/* Failed invokes are told only to those who understand them. */
static err_t assignment_steps(struct ctx *c, struct assignment *a)
{
    struct step *steps = NULL;
    struct worker w = { 0 };
    bool known = false, told = a->claim.run.worker.n == 0; /* an endpoint */
    size_t n = 0;

    if (a->step_base == 0)
        return ERR_OK;
    if (!told && (a->claim.job.watch & WATCH_CATCHES) != 0) {
        TRY(store_worker_get(c, a->claim.run.worker, &w, &known));
        told = known && invoke_failures_known(w.sdk, w.runtime);
    }
    if (!told)
        return store_step_list(c, a->claim.run.id, STEP_COMPLETED, &a->steps, &a->steps_n);
    TRY(store_step_list(c, a->claim.run.id, 0, &steps, &n));
    a->steps = steps;
    for (size_t i = 0; i < n; i++) {
        if (steps[i].status == STEP_COMPLETED || step_invoke_failed(&steps[i]))
            a->steps[a->steps_n++] = steps[i];
    }
    return ERR_OK;
}

static err_t assignment_load(struct ctx *c, const struct registry *reg, struct assignment *a)
{
    const struct function *f = registry_by_key(reg, a->claim.job.fn);

    a->function_id = f ? f->id : STR_NULL;
    a->step_base = a->claim.job.step_next;
    TRY(store_run_get(c, a->claim.job.run_id, &a->claim.run));
    TRY(store_event_get(c, a->claim.run.event_id, &a->event));
    return assignment_steps(c, a);
}

static size_t assignment_bytes(const struct assignment *a)
{
    size_t bytes = a->event.data.n + a->event.metadata.n;

    for (size_t i = 0; i < a->steps_n; i++)
        bytes += a->steps[i].output.n;
    return bytes;
}

err_t svc_worker_assignments_upto(struct ctx *c, const struct claim *claims, size_t *n,
                                  size_t bytes_max, struct assignment **out)
{
    struct assignment *list = NEW_N(c->arena, struct assignment, *n + 1);
    const struct registry *reg = NULL;
    size_t have = 0, bytes = 0;

    TRY(svc_registry(c, &reg));
    while (have < *n && bytes < bytes_max) {
        list[have].claim = claims[have];
        TRY(assignment_load(c, reg, &list[have]));
        bytes += assignment_bytes(&list[have++]);
    }
    *n = have;
    *out = list;
    return ERR_OK;
}

err_t svc_worker_assignments(struct ctx *c, const struct claim *claims, size_t n,
                             struct assignment **out)
{
    return svc_worker_assignments_upto(c, claims, &n, SIZE_MAX, out);
}
