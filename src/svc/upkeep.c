/* Timers, leases and workers: what happens because time passes. */
#include "svc/upkeep.h"

#include "base/clock.h"
#include "engine/operator.h"
#include "engine/step.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/steps.h"
#include "store/timers.h"
#include "store/workers.h"
#include "svc/app.h"
#include "svc/audit.h"
#include "svc/children.h"
#include "svc/flow.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "svc/waits.h"
#include "txn/txn.h"

#define LEASES_EVERY_MS 2000
#define WORKERS_EVERY_MS 5000
#define LOCKED_AGAIN_MS 100 /* what is due is held by another node */

/* ---- timers ---------------------------------------------------------------------------------- */

static err_t sleep_over(struct ctx *c, const struct run *run, int64_t step_id)
{
    struct step s = { 0 };
    err_t e = store_step_get(c, step_id, &s);

    if (e == ERR_NOT_FOUND || (e == ERR_OK && s.status != STEP_SLEEPING))
        return ERR_OK;
    TRY(e);
    step_wake(&s, c->now_ms);
    TRY(store_step_status(c, &s));
    return message_step(c, TOPIC_STEP_COMPLETED, &s, run->fn);
}

static err_t timer_act(struct ctx *c, const struct timer *t, struct run *run, struct job *job)
{
    struct run_move move = { 0 };

    switch (t->kind) {
    case TIMER_SLEEP:
        TRY(sleep_over(c, run, t->step));
        TRY(run_wake(c, run, job, &move));
        break;
    case TIMER_RETRY:
        TRY(run_retry_due(c, run, job, &move));
        break;
    case TIMER_GRACE:
        TRY(run_grace_over(c, run, job, &move));
        break;
    case TIMER_WAIT:
        TRY(wait_timed_out(c, run, job, t->step, &move));
        break;
    case TIMER_CHILD:
        TRY(child_timed_out(c, run, job, t->step, &move));
        break;
    }
    return run_moved(c, run, job, &move, STR_NULL);
}

/* Deletes the timer first; a run that no longer waits for it is left alone. */
static err_t timer_fire(struct ctx *c, const struct timer *t)
{
    struct job job = { 0 };
    struct run run = { 0 };
    bool gone = false, open = false;

    TRY(store_timer_del(c, t, &gone));
    if (!gone)
        return ERR_OK;
    TRY(store_queue_get(c, t->run_id, &job, &open));
    if (!open || !run_timer_wanted(&job, t))
        return ERR_OK;
    audit_told(c, &job);
    TRY(store_run_get(c, t->run_id, &run));
    if (run_held(&run)) /* the end of a sleep is noted, but only a resume goes on */
        return t->kind == TIMER_SLEEP ? sleep_over(c, &run, t->step) : ERR_OK;
    if (t->kind != TIMER_RETRY && t->kind != TIMER_GRACE && !run_waits_for(&run, &job, t->step))
        return ERR_OK;
    return timer_act(c, t, &run, &job);
}

err_t svc_timers_fire(struct ctx *c, int64_t *next_due)
{
    struct timer *timers = NULL;
    size_t n = 0;
    int64_t next = c->now_ms;

    TRY(store_timer_due(c, c->now_ms, UPKEEP_SLICE, &timers, &n));
    for (size_t i = 0; i < n; i++) {
        c->env = timers[i].env;
        TRY(timer_fire(c, &timers[i]));
    }
    c->env = 0;
    if (n == 0) {
        TRY(store_timer_next(c, &next));
        if (next <= c->now_ms)
            next = c->now_ms + LOCKED_AGAIN_MS;
    }
    *next_due = next;
    return ERR_OK;
}

/* ---- leases ---------------------------------------------------------------------------------- */

static err_t lease_expire(struct ctx *c, int64_t run_id)
{
    struct run_move move = { 0 };
    struct job job = { 0 };
    struct run run = { 0 };
    bool open = false;

    TRY(store_queue_get(c, run_id, &job, &open));
    if (!open || job.state != JOB_CLAIMED || job.lease_until > c->now_ms)
        return ERR_OK;
    TRY(store_run_get(c, run_id, &run));
    signal_add(c, SIG_WORKER, job.worker);
    TRY(run_lease_expired(c, &run, &job, app_of(c)->grace_ms, &move));
    return run_moved(c, &run, &job, &move, STR_NULL);
}

/* At the start no lease is longer than any that we give: it was written before the clock was set
 * back. After the clock was set forward each gets one full period: its holder lost that time too.
 * *moved: some did, and the next sweep sees whether that was committed. */
static err_t leases_after_jump(struct ctx *c, bool *moved)
{
    struct app *app = app_of(c);
    int64_t epoch = clock_epoch(c->clock), now = clock_now(c->clock);
    int64_t claim = app->lease_claim_ms, n = 0, all = 0;

    if (epoch == app->leases_epoch)
        return ERR_OK;
    claim = app->push_stale_ms > claim ? app->push_stale_ms : claim;
    for (int acked = 0; acked < 2; acked++) {
        int64_t period = acked ? app->lease_ms : claim;
        bool start = app->leases_epoch == 0;

        TRY(store_queue_lease(c, acked, start ? now + 2 * period : 0,
                              start ? INT64_MAX : now + period / 2, now + period, &n));
        all += n;
    }
    *moved = all > 0;
    if (all == 0)
        app->leases_epoch = epoch;
    return ERR_OK;
}

err_t svc_leases_sweep(struct ctx *c, int64_t *next_due)
{
    int64_t *ids = NULL, *envs = NULL;
    bool moved = false;
    size_t n = 0;

    *next_due = c->now_ms;
    TRY(leases_after_jump(c, &moved));
    if (moved)
        return ERR_OK;
    TRY(store_queue_expired(c, c->now_ms, UPKEEP_SLICE, &ids, &envs, &n));
    for (size_t i = 0; i < n; i++) {
        c->env = envs[i];
        TRY(lease_expire(c, ids[i]));
    }
    c->env = 0;
    *next_due = n > 0 ? c->now_ms : c->now_ms + LEASES_EVERY_MS;
    return ERR_OK;
}

/* ---- workers --------------------------------------------------------------------------------- */

/* Those that should have given a sign of life. */
static err_t workers_sicken(struct ctx *c, size_t *n)
{
    int64_t before = c->now_ms - app_of(c)->worker_ttl_ms / 2;
    struct worker_stale *late = NULL;

    TRY(store_worker_stale(c, before, WORKER_UNHEALTHY, UPKEEP_SLICE, &late, n));
    for (size_t i = 0; i < *n; i++) {
        bool now = false;

        c->env = late[i].env;
        TRY(store_worker_sickens(c, late[i].key, before, &now));
        if (now)
            TRY(message_worker_health(c, late[i].id, late[i].health | WORKER_UNHEALTHY));
    }
    c->env = 0;
    return ERR_OK;
}

err_t svc_workers_evict(struct ctx *c, int64_t *next_due)
{
    int64_t before = c->now_ms - app_of(c)->worker_ttl_ms;
    struct worker_stale *stale = NULL;
    size_t n = 0, late = 0;

    TRY(store_worker_stale(c, before, 0, UPKEEP_SLICE, &stale, &n));
    for (size_t i = 0; i < n; i++) {
        bool gone = false, more = false;

        c->env = stale[i].env;
        TRY(flow_worker_gone(c, stale[i].key, &more));
        if (more)
            continue; /* the rest in the next slice */
        TRY(store_worker_evict(c, stale[i].key, before, &gone));
        if (!gone)
            continue;
        signal_add(c, SIG_WORKER, stale[i].key);
        TRY(message_entity(c, TOPIC_WORKER_DISCONNECTED, stale[i].id));
    }
    c->env = 0;
    if (n == 0)
        TRY(workers_sicken(c, &late));
    *next_due = n + late > 0 ? c->now_ms : c->now_ms + WORKERS_EVERY_MS;
    return ERR_OK;
}
