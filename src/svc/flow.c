/* Lanes and actors: loads the rows, asks engine/lane, stores. Rows are locked in the order actor,
 * lane; those who wait are taken with SKIP LOCKED, and whom that leaves behind the sweep admits. */
#include "svc/flow.h"

#include "engine/match.h"
#include "store/lanes.h"
#include "store/queue.h"
#include "svc/registry.h"
#include "svc/upkeep.h"
#include "txn/txn.h"

#define LANES_EVERY_MS 1000
#define LEAVE_ADMITS 16 /* after a limit was raised; the sweep admits the rest */
#define SWEEP_LANES 8

/* The row with the limit of now. */
static err_t lane_get(struct ctx *c, const struct job *job, enum lane_kind kind, struct lane *out)
{
    const struct registry *reg = NULL;

    TRY(svc_registry(c, &reg));
    TRY(store_lane_lock(c, job->fn, lane_of(job, kind), out));
    out->cap = lane_limit(registry_by_key(reg, job->fn), kind);
    return ERR_OK;
}

static enum lane_kind waits_in(const struct job *job)
{
    if (job->waits == 0)
        return LANE_NONE;
    return job->waits == job->actor ? LANE_ACTOR : LANE_LIMIT;
}

void flow_signal(struct ctx *c, const struct job *job)
{
    if (job->state == JOB_READY)
        signal_add(c, SIG_RUN_READY, job->bound != 0 ? job->bound : job->fn);
}

/* Ready runs of an actor with an owner wait for that worker; push knows no workers. */
static err_t actor_bind(struct ctx *c, const struct lane *actor, struct job *job)
{
    const struct registry *reg = NULL;
    const struct function *f;

    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, job->fn);
    job->bound = f != NULL && f->mode == MODE_PULL ? actor->worker : 0;
    return ERR_OK;
}

/* Through what is left of its lanes, up to the first without room. */
err_t flow_enter(struct ctx *c, struct job *job)
{
    enum lane_kind kind;

    while (job->waits == 0 && (kind = lane_missing(job)) != LANE_NONE) {
        struct lane l = { 0 };

        TRY(lane_get(c, job, kind, &l));
        if (lane_enter(&l, job, kind) && kind == LANE_ACTOR)
            TRY(actor_bind(c, &l, job));
        TRY(store_lane_put(c, &l));
    }
    if (job->waits != 0)
        job->state = JOB_LANED;
    return ERR_OK;
}

/* The next of the line get their slots, at most max; *admitted says how many. *l is not written. */
static err_t admit(struct ctx *c, struct lane *l, enum lane_kind kind, int64_t max,
                   int64_t *admitted)
{
    int64_t room = lane_room(l);
    struct job *jobs = NULL;
    size_t n = 0;

    if (room > 0)
        TRY(store_lane_waiters(c, l, room < max ? room : max, &jobs, &n));
    for (size_t i = 0; i < n; i++) {
        lane_admit(l, &jobs[i], kind);
        if (kind == LANE_ACTOR)
            TRY(actor_bind(c, l, &jobs[i]));
        jobs[i].state = JOB_READY;
        TRY(flow_enter(c, &jobs[i]));
        TRY(store_queue_flow(c, &jobs[i]));
        flow_signal(c, &jobs[i]);
    }
    *admitted = (int64_t)n;
    return ERR_OK;
}

/* Out of every lane, and on with those who waited. */
static err_t leave(struct ctx *c, struct job *job)
{
    static const enum lane_kind order[] = { LANE_ACTOR, LANE_LIMIT };
    struct lane lanes[COUNT_OF(order)] = { 0 };
    int64_t n = 0;

    for (size_t i = 0; i < COUNT_OF(order); i++) {
        bool holds = (job->holds & (int64_t)order[i]) != 0, waits = waits_in(job) == order[i];

        if (!holds && !waits)
            continue;
        TRY(lane_get(c, job, order[i], &lanes[i]));
        if (waits)
            lane_abandon(&lanes[i], job);
        else
            lane_leave(&lanes[i], job, order[i]);
    }
    job->bound = 0;
    for (size_t i = COUNT_OF(order); i-- > 0;) {
        if (lanes[i].key == 0)
            continue;
        TRY(admit(c, &lanes[i], order[i], LEAVE_ADMITS, &n));
        TRY(store_lane_put(c, &lanes[i]));
    }
    return ERR_OK;
}

static bool flow_same(const struct job *a, const struct job *b)
{
    return a->state == b->state && a->waits == b->waits && a->holds == b->holds &&
           a->bound == b->bound;
}

err_t flow_settle(struct ctx *c, struct job *job, bool ended)
{
    struct job was = *job;

    if (!flow_applies(job))
        return ERR_OK;
    if (lane_wanted(job, ended))
        TRY(flow_enter(c, job));
    else
        TRY(leave(c, job));
    return ended || flow_same(&was, job) ? ERR_OK : store_queue_flow(c, job);
}

err_t flow_regain(struct ctx *c, struct job *job, bool *done)
{
    static const enum lane_kind order[] = { LANE_ACTOR, LANE_LIMIT };
    struct lane lanes[COUNT_OF(order)] = { 0 };
    bool room = true;

    for (size_t i = 0; i < COUNT_OF(order) && room; i++) {
        if (lane_of(job, order[i]) == 0 || (job->holds & (int64_t)order[i]) != 0)
            continue;
        TRY(lane_get(c, job, order[i], &lanes[i]));
        room = lanes[i].admitted < lanes[i].cap;
    }
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        if (lanes[i].key == 0)
            continue;
        if (room && job->waits == lanes[i].key)
            lane_abandon(&lanes[i], job);
        if (room)
            must(lane_try(&lanes[i], job, order[i]));
        TRY(store_lane_put(c, &lanes[i])); /* locking may have made it */
    }
    *done = room;
    return room && flow_applies(job) ? store_queue_flow(c, job) : ERR_OK;
}

err_t flow_claimed(struct ctx *c, struct job *job, int64_t worker)
{
    struct lane l = { 0 };

    if (job->actor == 0)
        return ERR_OK;
    TRY(lane_get(c, job, LANE_ACTOR, &l));
    if (l.worker != worker) {
        l.worker = worker;
        TRY(store_lane_put(c, &l));
    }
    if (job->bound == worker)
        return ERR_OK;
    job->bound = worker;
    return store_queue_flow(c, job);
}

err_t flow_worker_gone(struct ctx *c, int64_t worker, bool *more)
{
    int64_t actors = 0, *fns = NULL;
    size_t n = 0;

    TRY(store_lane_disown(c, worker, UPKEEP_SLICE, &actors));
    TRY(store_queue_unbind(c, worker, UPKEEP_SLICE, &fns, &n));
    for (size_t i = 0; i < n; i++)
        signal_add(c, SIG_RUN_READY, fns[i]);
    *more = actors >= UPKEEP_SLICE || n >= UPKEEP_SLICE;
    return ERR_OK;
}

err_t flow_function_changed(struct ctx *c, const struct function *was, const struct function *f)
{
    if (was == NULL || (was->concurrency.limit == f->concurrency.limit &&
                        (was->actor_key.n > 0) == (f->actor_key.n > 0) && was->mode == f->mode))
        return ERR_OK;
    return store_flow_change_add(c, f->key);
}

/* ---- the job --------------------------------------------------------------------------------- */

/* A slice of what a function's new limits change. */
static err_t change_apply(struct ctx *c, int64_t fn, bool *wrote)
{
    static const enum lane_kind kinds[] = { LANE_ACTOR, LANE_LIMIT };
    const struct registry *reg = NULL;
    const struct function *f;
    int64_t n = 0;

    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, fn);
    for (size_t i = 0; i < COUNT_OF(kinds) && n == 0; i++)
        TRY(store_lane_recap(c, fn, kinds[i], lane_limit(f, kinds[i]), UPKEEP_SLICE, &n));
    if (n == 0 && (f == NULL || f->mode != MODE_PULL || f->actor_key.n == 0))
        TRY(store_queue_unbind_fn(c, fn, UPKEEP_SLICE, &n));
    if (n > 0)
        signal_add(c, SIG_RUN_READY, fn);
    else
        TRY(store_flow_change_del(c, fn));
    *wrote = true;
    return ERR_OK;
}

err_t svc_lanes_sweep(struct ctx *c, int64_t *next_due)
{
    struct lane *lanes = NULL;
    int64_t *envs = NULL, fn = 0, env = 0;
    bool found = false, wrote = false;
    int64_t left = UPKEEP_SLICE;
    size_t n = 0;

    TRY(store_flow_change_first(c, &fn, &env, &found));
    if (found) {
        c->env = env;
        TRY(change_apply(c, fn, &wrote));
    }
    TRY(store_lane_open(c, SWEEP_LANES, &lanes, &envs, &n));
    for (size_t i = 0; i < n && left > 0; i++) {
        int64_t admitted = 0;

        c->env = envs[i];
        /* again: the one before may have sent some into it */
        TRY(store_lane_lock(c, lanes[i].fn, lanes[i].key, &lanes[i]));
        TRY(admit(c, &lanes[i], (enum lane_kind)(lanes[i].key & 3), left, &admitted));
        if (admitted == 0)
            continue; /* another node has those who wait in its hands */
        TRY(store_lane_put(c, &lanes[i]));
        left -= admitted;
        wrote = true;
    }
    c->env = 0;
    *next_due = wrote ? c->now_ms : c->now_ms + LANES_EVERY_MS;
    return ERR_OK;
}
