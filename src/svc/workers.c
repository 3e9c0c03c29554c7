/* Registration and signs of life of pull workers (spec engine-pull sections 2 and 3). */
#include "svc/workers.h"

#include "codec/json.h"
#include "engine/run.h"
#include "engine/schedule.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/workers.h"
#include "svc/app.h"
#include "svc/flow.h"
#include "svc/holder.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "txn/txn.h"

#define WORKER_ID_MAX 256
#define MAX_JOBS_DEFAULT 10
#define SEEN_EVERY_MS 10000

static err_t id_check(struct ctx *c, str_t id)
{
    if (id.n == 0)
        return err_set(c, ERR_INVALID, "worker_id is required");
    if (id.n > WORKER_ID_MAX)
        return err_set(c, ERR_INVALID, "worker_id is longer than %d bytes", WORKER_ID_MAX);
    for (size_t i = 0; i < id.n; i++) {
        uint8_t ch = (uint8_t)id.p[i];

        if (ch < 0x20 || ch == 0x7f || ch == '*' || ch == '>')
            return err_set(c, ERR_INVALID, "worker_id holds a character that is not allowed");
    }
    return ERR_OK;
}

static err_t functions_check(struct ctx *c, str_t functions)
{
    size_t n = 0;

    if (functions.n == 0 || json_type(functions) != JSON_ARRAY)
        return err_set(c, ERR_INVALID, "function_ids must be a list");
    for (struct json_iter it = json_iter(functions); json_next(&it); n++) {
        str_t id;

        if (!json_string(c->arena, it.value, &id) || id.n == 0)
            return err_set(c, ERR_INVALID, "function_ids[%zu] must be a text", n);
    }
    return n > 0 ? ERR_OK : err_set(c, ERR_INVALID, "function_ids is empty");
}

/* It may serve other functions now, so its actors may go elsewhere. */
static err_t unbind(struct ctx *c, int64_t worker)
{
    bool more = true;

    while (more)
        TRY(flow_worker_gone(c, worker, &more));
    return ERR_OK;
}

err_t svc_worker_register(struct ctx *c, const struct worker *in)
{
    struct worker w = *in, before = { 0 };
    bool known = false;

    TRY(id_check(c, w.id));
    TRY(functions_check(c, w.functions));
    if (w.max_jobs < 0)
        return err_set(c, ERR_INVALID, "max_concurrent_jobs must not be negative");
    if (w.max_jobs == 0)
        w.max_jobs = MAX_JOBS_DEFAULT;
    if (w.labels.n == 0)
        w.labels = S("{}");
    if (json_type(w.labels) != JSON_OBJECT)
        return err_set(c, ERR_INVALID, "labels must be an object");
    if (w.transport == 0)
        w.transport = 1;
    TRY(store_worker_get(c, w.id, &before, &known));
    w.key = store_worker_key(c, w.id);
    w.registered_at = known ? before.registered_at : c->now_ms;
    w.last_seen = c->now_ms;
    TRY(store_worker_put(c, &w));
    if (known && before.session != 0 && before.session != w.session)
        signal_add(c, SIG_WORKER, w.key); /* a stream that is replaced */
    if (known && !str_eq(before.functions, w.functions))
        TRY(unbind(c, w.key));
    if (!known)
        return message_entity(c, TOPIC_WORKER_CONNECTED, w.id);
    return before.health != w.health ? message_worker_health(c, w.id, w.health) : ERR_OK;
}

err_t svc_worker_list(struct ctx *c, struct worker **out, int64_t **active, size_t *n)
{
    struct worker *workers = NULL;
    int64_t *counts;
    size_t count = 0, kept = 0;

    TRY(store_worker_list(c, &workers, &count));
    counts = NEW_N(c->arena, int64_t, count + 1);
    for (size_t i = 0; i < count; i++) {
        if (workers[i].last_seen < c->now_ms - app_of(c)->worker_ttl_ms)
            continue;
        workers[kept] = workers[i];
        TRY(store_queue_held_count(c, workers[i].key, INT64_MAX, &counts[kept]));
        kept++;
    }
    *out = workers;
    *active = counts;
    *n = kept;
    return ERR_OK;
}

/* ---- signs of life --------------------------------------------------------------------------- */

err_t worker_require(struct ctx *c, str_t id, struct worker *out)
{
    bool known = false;

    TRY(store_worker_get(c, id, out, &known));
    return known ? ERR_OK : err_set(c, ERR_NOT_FOUND, "worker not registered");
}

err_t worker_beats(struct ctx *c, const struct worker *w)
{
    if (c->now_ms - w->last_seen < SEEN_EVERY_MS)
        return ERR_OK;
    TRY(store_worker_seen(c, w->key, c->now_ms));
    if ((w->health & WORKER_UNHEALTHY) == 0)
        return ERR_OK;
    return message_worker_health(c, w->id, w->health & ~(int64_t)WORKER_UNHEALTHY);
}

err_t svc_worker_alive(struct ctx *c, str_t worker_id)
{
    struct worker w = { 0 };
    bool known = false;

    TRY(store_worker_get(c, worker_id, &w, &known));
    return known ? worker_beats(c, &w) : ERR_OK;
}

err_t svc_worker_drains(struct ctx *c, str_t worker_id)
{
    struct worker w = { 0 };
    bool known = false;

    TRY(store_worker_get(c, worker_id, &w, &known));
    if (!known || (w.health & WORKER_DRAINING) != 0)
        return ERR_OK;
    TRY(store_worker_drains(c, w.key));
    return message_worker_health(c, w.id, w.health | WORKER_DRAINING);
}

/* Renews the lease of one job that the worker holds, or takes it again in the recovery grace. */
static err_t job_renew(struct ctx *c, struct job *job, bool revive)
{
    int64_t until = lease_renewed(c->now_ms, job->lease_until, app_of(c)->lease_ms);

    if (revive) {
        struct run run = { .id = job->run_id, .fn = job->fn, .status = job_run_status(job) };
        struct run_move move = { 0 };
        bool back = true;

        TRY(flow_regain(c, job, &back));
        if (!back)
            return ERR_OK;
        TRY(run_revive(c, &run, job, until, &move));
        return run_moved_light(c, &run, job, &move);
    }
    if (until == job->lease_until && job->acked)
        return ERR_OK;
    job->lease_until = until;
    job->acked = true;
    return store_queue_put(c, job);
}

/* Which segment a sign of life is about; false: none that there ever was. */
static bool beat_read(const struct beat *b, int64_t *run_id, struct fence_claim *f)
{
    f->seq = b->fence.execution_seq;
    f->token = b->fence.token.n > 0 ? lease_token_parse(b->fence.token) : 0;
    if (b->job_id.n > 0)
        return job_id_parse(b->job_id, run_id, &f->job_seq);
    f->job_seq = f->seq;
    return id_parse(ID_RUN, b->run_id, run_id);
}

static err_t listed_renew(struct ctx *c, int64_t worker, const struct beat *b,
                          enum lease_state *out)
{
    struct fence_claim f = { .worker = worker };
    struct job job = { 0 };
    int64_t run_id;
    bool open = false;
    enum fence_verdict v;

    *out = LEASE_UNKNOWN;
    if (!beat_read(b, &run_id, &f))
        return ERR_OK;
    TRY(store_queue_get(c, run_id, &job, &open));
    if (!open)
        return ERR_OK;
    v = fence_check(&f, &job, JOB_OPEN);
    *out = LEASE_STALE;
    if (v != FENCE_CURRENT && v != FENCE_REVIVE)
        return ERR_OK;
    *out = LEASE_REFRESHED;
    return job_renew(c, &job, v == FENCE_REVIVE);
}

/* Without a list: all that it holds. */
static err_t held_renew(struct ctx *c, const struct worker *w)
{
    struct job *held = NULL;
    size_t n = 0;

    TRY(store_queue_held(c, w->key, w->max_jobs, &held, &n));
    for (size_t i = 0; i < n; i++)
        TRY(job_renew(c, &held[i], false));
    return ERR_OK;
}

err_t svc_worker_heartbeat(struct ctx *c, str_t worker_id, int64_t active_jobs, const str_t *jobs,
                           size_t jobs_n, bool has_jobs)
{
    struct worker w = { 0 };

    TRY(worker_require(c, worker_id, &w));
    for (size_t i = 0; has_jobs && i < jobs_n; i++) {
        struct beat b = { .job_id = jobs[i] };
        enum lease_state state;

        TRY(listed_renew(c, w.key, &b, &state));
    }
    if (!has_jobs && active_jobs > 0)
        TRY(held_renew(c, &w));
    return worker_beats(c, &w);
}

err_t svc_worker_refresh(struct ctx *c, str_t worker_id, int64_t active_jobs,
                         const struct beat *jobs, size_t n, enum lease_state *states)
{
    struct worker w = { 0 };

    TRY(worker_require(c, worker_id, &w));
    for (size_t i = 0; i < n; i++)
        TRY(listed_renew(c, w.key, &jobs[i], &states[i]));
    if (n == 0 && active_jobs > 0)
        TRY(held_renew(c, &w));
    return worker_beats(c, &w);
}
