/* Pull workers over REST: register, heartbeat, poll, ack, report. */
#include "svc/workers.h"

#include "api/api_priv.h"
#include "api/convert.h"
#include "api/handlers.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/sm.h"
#include "svc/update.h"

enum { JOBS_DEFAULT = 10, JOBS_MAX = 1000, STEPS_MAX = 500 };
/* An answer that carries more than this gives no further job: the rest goes back into the queue. */
#define POLL_BYTES ((size_t)16 << 20)

static err_t ok(struct api_call *a, str_t word)
{
    struct pb_rest_status_answer *out = a->out;

    out->status = word;
    return ERR_OK;
}

/* ---- registration ---------------------------------------------------------------------------- */

static str_t json_list(struct arena *a, const str_t *items, size_t n)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, a, 1 << 20);
    json_open(&w, '[');
    for (size_t i = 0; i < n; i++)
        json_put_str(&w, items[i]);
    json_close(&w, ']');
    return buf_str(&b);
}

static str_t json_pairs(struct arena *a, const struct pb_pair *items, size_t n)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, a, 1 << 20);
    json_open(&w, '{');
    for (size_t i = 0; i < n; i++) {
        json_key(&w, items[i].key);
        json_put_str(&w, items[i].value);
    }
    json_close(&w, '}');
    return buf_str(&b);
}

err_t api_worker_read(struct ctx *c, const struct pb_worker_register *in, struct worker *out)
{
    if (in->function_ids_n == 0)
        return err_set(c, ERR_INVALID, "function_ids: at least one is required");
    TRY(api_limit(c, "max_concurrent_jobs", in->max_concurrent_jobs, JOBS_DEFAULT, JOBS_MAX,
                  &out->max_jobs));
    out->hostname = in->hostname;
    out->functions = json_list(c->arena, in->function_ids, in->function_ids_n);
    out->labels = json_pairs(c->arena, in->labels, in->labels_n);
    if (in->version) {
        out->sdk = in->version->sdk;
        out->runtime = in->version->runtime;
    }
    return ERR_OK;
}

err_t api_worker_register(struct ctx *c, struct api_call *a)
{
    const struct pb_worker_register *in = a->in;
    struct worker w = { .id = api_param(a, "id"), .transport = 1 };

    if (in->worker_id.n > 0 && !str_eq(in->worker_id, w.id))
        return err_set(c, ERR_INVALID, "worker_id: differs from the id in the path");
    TRY(api_worker_read(c, in, &w));
    TRY(svc_worker_register(c, &w));
    return ok(a, S("registered"));
}

static void worker_out(struct ctx *c, const struct worker *w, struct pb_rest_worker *out)
{
    size_t n = 0;

    out->id = w->id;
    out->hostname = w->hostname;
    out->max_concurrent = w->max_jobs;
    out->registered_at = w->registered_at;
    out->last_heartbeat = w->last_seen;
    out->transport = w->transport == 2 ? S("stream") : S("rest");
    for (struct json_iter it = json_iter(w->functions); json_next(&it);)
        n++;
    out->function_ids = NEW_N(c->arena, str_t, n + 1);
    for (struct json_iter it = json_iter(w->functions); json_next(&it);)
        if (json_string(c->arena, it.value, &out->function_ids[out->function_ids_n]))
            out->function_ids_n++;
    n = 0;
    for (struct json_iter it = json_iter(w->labels); json_next(&it);)
        n++;
    out->labels = NEW_N(c->arena, struct pb_pair, n + 1);
    for (struct json_iter it = json_iter(w->labels); json_next(&it);) {
        struct pb_pair *p = &out->labels[out->labels_n++];

        (void)json_string(c->arena, it.value, &p->value);
        (void)json_string(c->arena, (str_t){ it.key.p - 1, it.key.n + 2 }, &p->key);
    }
}

err_t api_worker_list(struct ctx *c, struct api_call *a)
{
    struct pb_rest_worker_list *out = a->out;
    struct worker *workers = NULL;
    int64_t *active = NULL;
    size_t n = 0;

    TRY(svc_worker_list(c, &workers, &active, &n));
    out->workers = NEW_N(c->arena, struct pb_rest_worker, n + 1);
    for (size_t i = 0; i < n; i++) {
        worker_out(c, &workers[i], &out->workers[i]);
        out->workers[i].active_jobs = active[i];
    }
    out->workers_n = n;
    out->count = (int64_t)n;
    return ERR_OK;
}

err_t api_worker_heartbeat(struct ctx *c, struct api_call *a)
{
    const struct pb_worker_heartbeat *in = a->in;
    str_t id = api_param(a, "id"), list;
    str_t *jobs = NEW_N(c->arena, str_t, in->jobs_n + 1);
    bool has_jobs = in->jobs_n > 0;

    if (in->worker_id.n > 0 && !str_eq(in->worker_id, id))
        return err_set(c, ERR_INVALID, "worker_id: differs from the id in the path");
    /* An empty list renews nothing, an absent one everything. */
    if (!has_jobs && a->req->body.n > 0)
        has_jobs =
            json_get(str_trim(a->req->body), S("jobs"), &list) && json_type(list) == JSON_ARRAY;
    for (size_t i = 0; i < in->jobs_n; i++)
        jobs[i] = in->jobs[i].job_id;
    TRY(svc_worker_heartbeat(c, id, in->active_jobs, jobs, in->jobs_n, has_jobs));
    return ok(a, S("ok"));
}

/* ---- poll ------------------------------------------------------------------------------------ */

struct poll {
    struct claim *claims;
    size_t n;
    size_t given; /* so many of them, the first ones, are in the answer */
    bool list;    /* the caller wants {"jobs":[...]} */
};

static void job_out(struct ctx *c, const struct assignment *as, struct pb_rest_job *out)
{
    const struct claim *cl = &as->claim;
    const struct event *e = &as->event;

    *out = (struct pb_rest_job){
        .job_id = job_id_text(c->arena, cl->job.run_id, cl->job.execution_seq),
        .run_id = api_id(c, ID_RUN, cl->run.id),
        .function_id = as->function_id,
        .attempt = cl->run.attempt,
        .max_attempts = cl->run.max_attempts,
        .step_sequence_base = as->step_base,
        .actor_id = cl->run.actor,
        .execution_seq = cl->job.execution_seq,
        .lease_token = lease_token_text(c->arena, cl->job.token),
    };
    out->event = NEW(c->arena, struct pb_rest_job_event);
    *out->event = (struct pb_rest_job_event){
        .id = api_id(c, ID_EVENT, e->id),
        .name = e->name,
        .data = e->data,
        .timestamp = id_ms(e->id),
        .version = e->version,
        .metadata = e->metadata,
        .source = e->source,
        .idempotency_key = e->idempotency_key,
    };
    out->completed_steps = NEW_N(c->arena, struct pb_rest_completed_step, as->steps_n + 1);
    for (size_t i = 0; i < as->steps_n; i++) {
        out->completed_steps[i].step_id = as->steps[i].step_id;
        out->completed_steps[i].name = as->steps[i].name;
        out->completed_steps[i].output = as->steps[i].output;
        if (as->steps[i].status == STEP_COMPLETED)
            continue;
        out->completed_steps[i].status = sm_name(&step_sm, (int)as->steps[i].status);
        out->completed_steps[i].error = as->steps[i].error;
    }
    out->completed_steps_n = as->steps_n;
}

/* The second phase: a READ of what the claimed runs need. */
static err_t poll_load(struct ctx *c)
{
    struct api_call *a = api_call_of(c);
    struct poll *p = a->state;
    struct assignment *list = NULL;
    struct pb_rest_job *jobs = NEW_N(c->arena, struct pb_rest_job, p->n);
    struct pb_rest_job_list *out;
    size_t n = p->n;

    p->given = 0;
    TRY(svc_worker_assignments_upto(c, p->claims, &n, POLL_BYTES, &list));
    p->given = n;
    for (size_t i = 0; i < n; i++)
        job_out(c, &list[i], &jobs[i]);
    if (!p->list) {
        a->out_desc = &pb_rest_job_desc;
        a->out = jobs;
        return ERR_OK;
    }
    out = pb_new(c->arena, &pb_rest_job_list_desc);
    out->jobs = jobs;
    out->jobs_n = n;
    a->out = out;
    return ERR_OK;
}

/* Holds the poll until there is work, its time is up or the server drains. */
err_t api_worker_poll(struct ctx *c, struct api_call *a)
{
    struct poll *p = NEW(c->arena, struct poll);
    int64_t available = 1, deadline = a->arrived_ms + app_of(c)->poll_hold_ms;
    str_t text;
    err_t e;

    p->list = api_query(c, a, S("available"), &text);
    if (p->list && (!str_to_i64(text, &available) || available < 0))
        available = 1;
    if (available == 0 || atomic_load(&a->api->draining))
        deadline = a->arrived_ms;
    e = svc_worker_claim(c, api_param(a, "id"), available, deadline, &p->claims, &p->n);
    if (e != ERR_OK)
        return e;
    if (p->n == 0) {
        a->status = 204;
        return ERR_OK;
    }
    a->state = p;
    return txn_next(c, CALL_READ, poll_load);
}

/* ---- claims that did not reach their worker -------------------------------------------------- */

struct held_claims {
    struct arena arena;
    struct call call;
    struct claim *claims;
    size_t n, given;
};

static void keep(struct arena *a, str_t *s)
{
    if (s->n > 0)
        *s = str_dup(a, *s);
}

struct held_claims *api_claims_keep(const struct api_call *a)
{
    const struct poll *p = a->state;
    struct held_claims *h;

    if (!p || p->n == 0)
        return NULL;
    h = mem_zero(sizeof(*h));
    arena_init(&h->arena);
    h->claims = NEW_N(&h->arena, struct claim, p->n);
    h->n = p->n;
    h->given = p->given;
    for (size_t i = 0; i < p->n; i++) {
        struct run *r = &h->claims[i].run;

        h->claims[i] = p->claims[i];
        keep(&h->arena, &r->worker);
        keep(&h->arena, &r->actor);
        keep(&h->arena, &r->output);
        keep(&h->arena, &r->error);
        keep(&h->arena, &r->cancellation_cause);
        keep(&h->arena, &r->parent_step);
    }
    call_init(&h->call, CALL_WRITE, NULL, h, &h->arena);
    h->call.ctx.env = a->call.ctx.env;
    h->call.ctx.clock = a->call.ctx.clock;
    h->call.ctx.app = a->call.ctx.app;
    return h;
}

static void claims_free(struct held_claims *h)
{
    arena_done(&h->arena);
    mem_free(h);
}

static err_t release_run(struct ctx *c)
{
    const struct held_claims *h = c->call->arg;

    return svc_worker_release(c, h->claims, h->n);
}

/* Whatever became of it: the lease takes back what is still held. */
static void release_done(struct call *call)
{
    claims_free(call->arg);
}

void api_claims_settle(struct api *api, struct held_claims *h, bool delivered)
{
    if (!h)
        return;
    if (delivered) {
        h->claims += h->given;
        h->n -= h->given;
    }
    if (h->n == 0) {
        claims_free(h);
        return;
    }
    log_debug("claims given back", "n=%zu", h->n);
    h->call.run = release_run;
    h->call.done = release_done;
    if (txn_submit(api->app->txn, &h->call) != ERR_OK)
        claims_free(h);
}

/* ---- reports --------------------------------------------------------------------------------- */

err_t api_worker_ack(struct ctx *c, struct api_call *a)
{
    const struct pb_job_ack *in = a->in;
    struct fence fence = { in->execution_seq, in->lease_token };

    TRY(svc_job_ack(c, api_param(a, "id"), api_param(a, "job"), fence));
    return ok(a, S("ok"));
}

err_t api_worker_report(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_job_update *in = a->in;
    struct report r = { 0 };

    TRY(report_kind_parse(c, in->status, &r.kind));
    if (in->steps_n > STEPS_MAX)
        return err_set(c, ERR_INVALID, "steps: at most %d in one update", STEPS_MAX);
    TRY(report_from_update(c, in, &r));
    r.fence = (struct fence){ in->execution_seq, in->lease_token };
    TRY(svc_job_report(c, api_param(a, "id"), api_param(a, "job"), &r));
    return ok(a, S("ok"));
}
