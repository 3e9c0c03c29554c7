/* Claims and outcomes of push runs. A claim is an unacknowledged one with a long lease: whoever
 * sends it can die, then the run is ready again when the lease is over, or at once when the same
 * node starts again. */
#include "svc/push.h"

#include "engine/match.h"
#include "engine/operator.h"
#include "engine/schedule.h"
#include "store/breakers.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/workers.h"
#include "svc/app.h"
#include "svc/audit.h"
#include "svc/batch.h"
#include "svc/flow.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "svc/registry.h"
#include "svc/upkeep.h"
#include "txn/txn.h"

#define BREAKERS_EVERY_MS 60000

/* Who holds a run that was sent. A SQLite file has one process; the nodes of a cluster must not
 * take each other's. */
static int64_t holder(struct ctx *c)
{
    const struct app *app = app_of(c);
    int64_t env = c->env, key;

    if (app->db_kind == DB_SQLITE)
        return -1;
    c->env = 0;
    key = store_worker_key(c, app->node_id);
    c->env = env;
    return key;
}

err_t svc_push_targets(struct ctx *c, struct push_target **out, size_t *n)
{
    int64_t *fns = NULL, *envs = NULL;
    struct push_target *list;
    size_t have = 0;

    TRY(store_push_functions(c, &fns, &envs, &have));
    list = NEW_N(c->arena, struct push_target, have + 1);
    for (size_t i = 0; i < have; i++)
        list[i] = (struct push_target){ .fn = fns[i], .env = envs[i] };
    *out = list;
    *n = have;
    return ERR_OK;
}

void push_function_changed(struct ctx *c, const struct function *f)
{
    if (f->mode == MODE_PUSH)
        signal_add(c, SIG_RUN_READY, f->key);
}

/* ---- claims ---------------------------------------------------------------------------------- */

static err_t claim_one(struct ctx *c, const struct job *ready, struct claim *out)
{
    struct claim k = { .job = *ready };
    struct run_move move = { 0 };

    k.run = (struct run){ .id = ready->run_id, .fn = ready->fn, .status = job_run_status(ready) };
    TRY(run_claim(c, &k.run, &k.job, holder(c), c->now_ms + app_of(c)->push_stale_ms, &move));
    TRY(store_queue_put(c, &k.job));
    TRY(store_run_claimed(c, &k.run, move.from));
    TRY(message_run(c, TOPIC_RUN_UPDATED, &k.run));
    TRY(audit_run(c, &k.run, &k.job, move.from, S("dispatched")));
    svc_count_run(c, k.run.fn, (int64_t)move.from, (int64_t)k.run.status);
    *out = k;
    return ERR_OK;
}

/* An operator wants the run paused before its next request. */
static err_t hold_one(struct ctx *c, const struct job *ready)
{
    struct job job = *ready;
    struct run_move move = { 0 };
    struct run run = { 0 };

    TRY(store_run_get(c, job.run_id, &run));
    TRY(run_hold_ready(c, &run, &job, &move));
    return run_moved(c, &run, &job, &move, STR_NULL);
}

/* How many may go, at most *room. A breaker that is not closed is locked: one node gets the probe.
 */
static err_t breaker_room(struct ctx *c, int64_t fn, str_t endpoint, int64_t *room,
                          struct breaker *b)
{
    TRY(store_breaker_get(c, fn, endpoint, false, b));
    if (b->state != BREAKER_CLOSED)
        TRY(store_breaker_get(c, fn, endpoint, true, b));
    switch (breaker_ask(b, c->now_ms)) {
    case BREAKER_ADMITS:
        break;
    case BREAKER_PROBES:
        *room = *room > 1 ? 1 : *room;
        break;
    case BREAKER_REFUSES:
        *room = 0;
        break;
    }
    return ERR_OK;
}

err_t svc_push_claim(struct ctx *c, const int64_t *key, int64_t room, struct push_claims *out)
{
    const struct registry *reg = NULL;
    const struct function *f;
    struct job *ready = NULL;
    struct breaker b = { 0 };
    size_t n = 0;

    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, *key);
    *out = (struct push_claims){ 0 };
    if (f == NULL || f->deleted || f->mode != MODE_PUSH) {
        out->gone = true;
        signal_add(c, SIG_RUN_READY, *key); /* what woke it was meant for a worker */
        return ERR_OK;
    }
    TRY(breaker_room(c, f->key, f->endpoint, &room, &b));
    if (room > 0)
        TRY(store_queue_ready(c, f->key, 0, room, &ready, &n));
    if (n == 0)
        return txn_park(c, SIG_RUN_READY, key, 1, room > 0 ? 0 : b.until);
    out->endpoint = str_dup(c->arena, f->endpoint);
    out->claims = NEW_N(c->arena, struct claim, n);
    for (size_t i = 0; i < n; i++) {
        if ((ready[i].watch & WATCH_PAUSE) != 0)
            TRY(hold_one(c, &ready[i]));
        else
            TRY(claim_one(c, &ready[i], &out->claims[out->n++]));
    }
    if (out->n > 0 && b.state != BREAKER_CLOSED) {
        TRY(breaker_probe(c, &b, out->claims[0].run.id, c->now_ms + app_of(c)->push_stale_ms));
        TRY(store_breaker_put(c, &b));
    }
    return ERR_OK;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static err_t breaker_learn(struct ctx *c, const struct push_outcome *in)
{
    bool changed = false, wakes = false;
    struct breaker b = { 0 };

    if (in->answered)
        TRY(store_breaker_get(c, in->fn, in->endpoint, false, &b));
    if (!in->answered || b.failures > 0)
        TRY(store_breaker_lock(c, in->fn, in->endpoint, &b));
    TRY(breaker_result(c, &b, in->job.run_id, in->answered, app_of(c)->breaker_open_ms, &changed,
                       &wakes));
    if (changed)
        TRY(store_breaker_put(c, &b));
    if (wakes)
        signal_add(c, SIG_RUN_READY, in->fn);
    return ERR_OK;
}

err_t svc_push_report(struct ctx *c, const struct push_outcome *in)
{
    struct report r = in->report;
    err_t e;

    r.fence = (struct fence){ .execution_seq = in->job.execution_seq,
                              .token = lease_token_text(c->arena, in->job.token) };
    e = svc_job_report(c, STR_NULL, job_id_text(c->arena, in->job.run_id, in->job.execution_seq),
                       &r);
    /* refused before anything was written */
    if (e != ERR_OK && e != ERR_STALE_EXECUTION && e != ERR_RUN_NOT_RUNNING && e != ERR_NOT_FOUND)
        return e;
    return in->unsent ? ERR_OK : breaker_learn(c, in);
}

/* ---- after a restart ------------------------------------------------------------------------- */

static err_t give_back(struct ctx *c, int64_t run_id)
{
    struct run_move move = { 0 };
    struct job job = { 0 };
    struct run run;
    bool open = false;

    TRY(store_queue_get(c, run_id, &job, &open));
    if (!open || job.state != JOB_CLAIMED)
        return ERR_OK;
    run = (struct run){ .id = job.run_id, .fn = job.fn, .status = RUN_RUNNING };
    TRY(run_unclaim(c, &run, &job, &move));
    return run_moved_light(c, &run, &job, &move);
}

err_t svc_push_recover(struct ctx *c, bool *more)
{
    int64_t *ids = NULL, *envs = NULL;
    size_t n = 0;

    TRY(store_push_held(c, holder(c), UPKEEP_SLICE, &ids, &envs, &n));
    for (size_t i = 0; i < n; i++) {
        c->env = envs[i];
        TRY(give_back(c, ids[i]));
    }
    c->env = 0;
    *more = n > 0;
    return ERR_OK;
}

/* ---- breakers that nobody needs -------------------------------------------------------------- */

err_t svc_breakers_expire(struct ctx *c, int64_t *next_due)
{
    int64_t n = 0;

    TRY(store_breaker_expire(c, c->now_ms - BREAKER_KEPT_MS, UPKEEP_SLICE, &n));
    *next_due = n > 0 ? c->now_ms : c->now_ms + BREAKERS_EVERY_MS;
    return ERR_OK;
}
