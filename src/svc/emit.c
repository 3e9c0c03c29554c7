/* Emitting and invoking: the event, one run for each function that it starts, and their messages,
 * in one transaction (spec engine.md section 4). */
#include "codec/json.h"
#include "engine/match.h"
#include "engine/run.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/queue.h"
#include "store/runs.h"
#include "svc/audit.h"
#include "svc/batch.h"
#include "svc/debounce.h"
#include "svc/events.h"
#include "svc/flow.h"
#include "svc/functions.h"
#include "svc/messages.h"
#include "svc/outbox.h"
#include "svc/registry.h"
#include "svc/waits.h"
#include "txn/txn.h"

#define EMIT_BATCH_MAX 1000
#define IDEMPOTENCY_KEY_MAX 1024

/* What a checked request will do. */
struct plan {
    struct event event;
    enum idempotency_flow flow;
    const struct function *invoked; /* the one function of an invoke */
    const struct function **fns;
    size_t fns_n;
    const struct function **held; /* debounced: started later */
    size_t held_n;
    const struct child_start *child; /* it is invoked by a step */
    int64_t *budget;                 /* how many others it may wake itself, NULL: the usual */
    bool answered;                   /* the key was used before: *out is its answer */
};

/* ---- checks: read only ----------------------------------------------------------------------- */

static err_t request_check(struct ctx *c, const struct emit *in)
{
    if (in->version < 0)
        return err_set(c, ERR_INVALID, "version must not be negative");
    if (in->metadata.n > 0 && json_type(in->metadata) != JSON_OBJECT)
        return err_set(c, ERR_INVALID, "metadata must be an object");
    if (in->idempotency_key.n > IDEMPOTENCY_KEY_MAX)
        return err_set(c, ERR_INVALID, "idempotency key is longer than %d bytes",
                       IDEMPOTENCY_KEY_MAX);
    return ERR_OK;
}

static struct event event_of(const struct emit *in, str_t name)
{
    return (struct event){
        .name = name,
        .data = in->data.n > 0 ? in->data : S("{}"),
        .metadata = in->metadata,
        .version = in->version > 0 ? in->version : 1,
        .source = in->source.n > 0 ? in->source : S("api"),
        .idempotency_key = in->idempotency_key,
        .run_id = in->run_id,
    };
}

/* What the key answered the first time; ERR_EXISTS when that was another flow or function. */
static err_t answer_again(struct ctx *c, const struct plan *p, const struct idempotency *row,
                          struct emitted *out)
{
    struct emitted e = { .event_id = row->event_id };
    size_t cap = 0;

    if (row->flow != p->flow)
        return err_set(c, ERR_EXISTS, "the idempotency key was first used by %s",
                       row->flow == FLOW_EMIT ? "an emitted event" : "a function invocation");
    if (p->flow == FLOW_INVOKE && row->fn != p->invoked->key)
        return err_set(c, ERR_EXISTS, "the idempotency key was first used for another function");
    for (struct json_iter it = json_iter(row->run_ids); json_next(&it);)
        cap++;
    e.runs = NEW_N(c->arena, int64_t, cap ? cap : 1);
    for (struct json_iter it = json_iter(row->run_ids); json_next(&it);) {
        str_t text;

        if (!json_string(c->arena, it.value, &text) || !id_parse(ID_RUN, text, &e.runs[e.runs_n]))
            return err_set(c, ERR_INTERNAL, "a stored idempotency answer is malformed");
        e.runs_n++;
    }
    *out = e;
    return ERR_OK;
}

static err_t key_check(struct ctx *c, struct plan *p, struct emitted *out)
{
    struct idempotency row = { 0 };

    if (p->event.idempotency_key.n == 0)
        return ERR_OK;
    TRY(store_idempotency_get(c, p->event.idempotency_key, &row, &p->answered));
    return p->answered ? answer_again(c, p, &row, out) : ERR_OK;
}

static void plan_one(struct ctx *c, struct plan *p, const struct function *f)
{
    p->fns = NEW_N(c->arena, const struct function *, 1);
    p->fns[0] = f;
    p->fns_n = 1;
}

/* Debounced functions do not start now; a caller that waits would wait for nothing. */
static err_t plan_hold(struct ctx *c, const struct emit *in, struct plan *p)
{
    size_t n = 0;

    if (str_starts(p->event.name, S(INVOKE_PREFIX)))
        return ERR_OK;
    for (size_t i = 0; i < p->fns_n; i++) {
        const struct function *f = p->fns[i];

        if (!function_debounced(f)) {
            p->fns[n++] = f;
            continue;
        }
        if (in->sync)
            return err_set(c, ERR_PRECONDITION,
                           "function \"" STR_FMT "\" is debounced: it cannot be waited for",
                           STR_ARG(f->id));
        if (p->held == NULL)
            p->held = NEW_N(c->arena, const struct function *, p->fns_n);
        p->held[p->held_n++] = f;
    }
    p->fns_n = n;
    return ERR_OK;
}

static err_t plan_emit(struct ctx *c, const struct emit *in, struct plan *p, struct emitted *out)
{
    const struct registry *reg = NULL;

    *p = (struct plan){ .flow = FLOW_EMIT, .event = event_of(in, in->name) };
    TRY(event_name_check(c, in->name));
    TRY(request_check(c, in));
    TRY(key_check(c, p, out));
    if (p->answered)
        return ERR_OK;
    TRY(svc_registry(c, &reg));
    registry_match(c, reg, &p->event, &p->fns, &p->fns_n);
    return plan_hold(c, in, p);
}

static err_t plan_invoke(struct ctx *c, str_t function_id, const struct emit *in, struct plan *p,
                         struct emitted *out)
{
    const struct registry *reg = NULL;
    const struct function *f;

    TRY(svc_registry(c, &reg));
    f = registry_by_id(reg, function_id);
    if (!f)
        return err_set(c, ERR_NOT_FOUND, "function not found");
    *p = (struct plan){
        .flow = FLOW_INVOKE,
        .invoked = f,
        .event = event_of(in, str_printf(c->arena, INVOKE_PREFIX STR_FMT, STR_ARG(f->id))),
    };
    plan_one(c, p, f);
    TRY(request_check(c, in));
    TRY(key_check(c, p, out));
    if (p->answered)
        return ERR_OK;
    if (f->status != FN_ACTIVE)
        return err_set(c, ERR_PRECONDITION, "function is %s",
                       f->status == FN_PAUSED ? "paused" : "archived");
    return ERR_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static str_t run_ids_json(struct ctx *c, const int64_t *ids, size_t n)
{
    struct buf b;

    buf_init_arena(&b, c->arena, n * (ID_TEXT_MAX + 3) + 2);
    buf_char(&b, '[');
    for (size_t i = 0; i < n; i++) {
        buf_append(&b, i > 0 ? S(",\"") : S("\""));
        id_print(&b, ID_RUN, ids[i]);
        buf_char(&b, '"');
    }
    buf_char(&b, ']');
    must(!b.full);
    return buf_str(&b);
}

/* Takes the key, or finds out who was faster: then *out is that one's answer. */
static err_t key_take(struct ctx *c, struct plan *p, const struct emitted *mine,
                      struct emitted *out)
{
    struct idempotency row = { .flow = p->flow,
                               .fn = p->invoked ? p->invoked->key : 0,
                               .event_id = mine->event_id,
                               .run_ids = run_ids_json(c, mine->runs, mine->runs_n) };
    bool added = false;

    if (p->event.idempotency_key.n == 0)
        return ERR_OK;
    TRY(store_idempotency_add(c, p->event.idempotency_key, &row, &added));
    if (added)
        return ERR_OK;
    TRY(key_check(c, p, out));
    return p->answered ? ERR_OK
                       : err_set(c, ERR_RETRY, "the idempotency key is being used right now");
}

/* The first direct invoke of a function marks it, so that reads list the trigger. */
static err_t invoke_mark(struct ctx *c, const struct plan *p)
{
    if (!str_starts(p->event.name, S(INVOKE_PREFIX)))
        return ERR_OK;
    for (size_t i = 0; i < p->fns_n; i++) {
        const struct function *f = p->fns[i];

        if (f->invoked ||
            !str_eq(str_slice(p->event.name, S(INVOKE_PREFIX).n, p->event.name.n), f->id))
            continue;
        TRY(svc_function_mark_invoked(c, f->key));
    }
    return ERR_OK;
}

static err_t run_start(struct ctx *c, const struct function *f, const struct event *e,
                       const struct run *run, struct job *job)
{
    bool any = false;

    TRY(flow_enter(c, job));
    if (f->cancel_on_n > 0)
        TRY(waits_add_cancels(c, f, e, run->id, &any));
    if (any)
        job->watch |= WATCH_ROWS;
    job->watch |= audit_watch(run->recording);
    TRY(store_run_add(c, run));
    TRY(store_queue_add(c, job));
    TRY(message_run(c, TOPIC_RUN_CREATED, run));
    TRY(audit_created(c, run));
    svc_count(c, run->fn, RUN_PENDING, 1);
    flow_signal(c, job);
    return ERR_OK;
}

static void child_mark(const struct child_start *child, struct run *run, struct job *job)
{
    run->parent_run = child->parent_run;
    run->parent_step = child->parent_step;
    job->watch |= WATCH_PARENT;
}

/* The event, its message, and whom it concerns beside the functions that it starts. */
static err_t event_store(struct ctx *c, struct plan *p, struct wakes *wakes)
{
    int64_t pos = 0, usual = WAKES_PER_CALL;

    p->event.seq = outbox_refusal(c, &p->event).n == 0 ? message_next_pos(c) : 0;
    TRY(store_event_add(c, &p->event));
    TRY(message_event(c, &p->event, &pos));
    must(pos == p->event.seq);
    svc_count(c, 0, COUNT_EVENTS, 1);
    TRY(invoke_mark(c, p));
    return waits_find(c, &p->event, p->budget ? p->budget : &usual, wakes);
}

static err_t plan_store(struct ctx *c, struct plan *p, struct emitted *out)
{
    struct run *runs = NEW_N(c->arena, struct run, p->fns_n + 1);
    struct job *jobs = NEW_N(c->arena, struct job, p->fns_n + 1);
    struct emitted mine = { .runs = NEW_N(c->arena, int64_t, p->fns_n + 1) };
    struct wakes wakes = { 0 };

    p->event.id = mine.event_id = ctx_id(c);
    for (size_t i = 0; i < p->fns_n; i++) {
        run_create(c, p->fns[i], &p->event, &runs[i], &jobs[i]);
        if (p->child)
            child_mark(p->child, &runs[i], &jobs[i]);
        mine.runs[mine.runs_n++] = runs[i].id;
    }
    TRY(key_take(c, p, &mine, out));
    if (p->answered)
        return ERR_OK;
    TRY(event_store(c, p, &wakes));
    for (size_t i = 0; i < p->fns_n; i++)
        TRY(run_start(c, p->fns[i], &p->event, &runs[i], &jobs[i]));
    for (size_t i = 0; i < p->held_n; i++)
        TRY(debounce_note(c, p->held[i], &p->event));
    TRY(waits_wake(c, &p->event, &wakes));
    *out = mine;
    return ERR_OK;
}

err_t svc_emit(struct ctx *c, const struct emit *in, struct emitted *out)
{
    struct plan p = { 0 };

    TRY(plan_emit(c, in, &p, out));
    return p.answered ? ERR_OK : plan_store(c, &p, out);
}

err_t svc_invoke(struct ctx *c, str_t function_id, const struct emit *in, struct emitted *out)
{
    struct plan p = { 0 };

    TRY(plan_invoke(c, function_id, in, &p, out));
    return p.answered ? ERR_OK : plan_store(c, &p, out);
}

err_t svc_emit_tick(struct ctx *c, const struct function *f, str_t name, str_t data,
                    struct emitted *out)
{
    struct emit in = { .data = data, .source = S("cron") };
    struct plan p = { .flow = FLOW_EMIT, .event = event_of(&in, name) };

    plan_one(c, &p, f);
    return plan_store(c, &p, out);
}

err_t svc_run_start(struct ctx *c, const struct function *f, const struct event *e,
                    int64_t fn_version, int64_t *run_id)
{
    struct run run;
    struct job job;

    run_create(c, f, e, &run, &job);
    run.fn_version = fn_version;
    *run_id = run.id;
    return run_start(c, f, e, &run, &job);
}

err_t svc_child_start(struct ctx *c, const struct child_start *in, int64_t *run_id)
{
    struct emit emit = { .data = in->input, .run_id = in->parent_run };
    struct emitted done = { 0 };
    struct plan p;

    TRY(plan_invoke(c, in->function_id, &emit, &p, &done));
    p.child = in;
    TRY(plan_store(c, &p, &done));
    must(done.runs_n == 1);
    *run_id = done.runs[0];
    return ERR_OK;
}

err_t svc_emit_batch(struct ctx *c, const struct emit *in, size_t n, struct emitted *out)
{
    int64_t budget = WAKES_PER_CALL;
    struct plan *plans;

    if (n > EMIT_BATCH_MAX)
        return err_set(c, ERR_INVALID, "a batch holds at most %d events", EMIT_BATCH_MAX);
    plans = NEW_N(c->arena, struct plan, n + 1);
    for (size_t i = 0; i < n; i++) {
        err_t e = plan_emit(c, &in[i], &plans[i], &out[i]);

        if (e == ERR_INVALID)
            return err_set(c, e, "events[%zu]: %s", i, str_z(c->arena, err_text(c, e)));
        TRY(e);
    }
    for (size_t i = 0; i < n; i++) {
        plans[i].budget = &budget;
        if (!plans[i].answered)
            TRY(plan_store(c, &plans[i], &out[i]));
    }
    return ERR_OK;
}

err_t svc_event_get(struct ctx *c, int64_t id, struct event *out)
{
    return store_event_get(c, id, out);
}
