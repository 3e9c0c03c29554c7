/* A request's way: route, credential, decoding, transaction, reply. Everything here runs on the
 * loop thread except api_run, which txn runs. */
#include "api/api_priv.h"
#include "api/errors.h"
#include "api/handlers.h"
#include "api/stream.h"
#include "base/mem.h"

#define BODY_HERE_MAX ((size_t)64 << 10)
#define RPC_PREFIX S("/ironflow.v1.")

/* ---- polls that are held, so that they can end when the server drains ------------------------ */

struct held_polls *api_loop_of(struct api *api, struct loop *l)
{
    size_t n = atomic_load(&api->loops_n);

    for (size_t i = 0; i < n && i < API_LOOPS_MAX; i++)
        if (atomic_load(&api->loops[i].loop) == l)
            return &api->loops[i];
    n = atomic_fetch_add(&api->loops_n, 1);
    must(n < API_LOOPS_MAX);
    api->loops[n].api = api;
    atomic_store(&api->loops[n].loop, l);
    return &api->loops[n];
}

static void held_add(struct api_call *a)
{
    struct held_polls *h = api_loop_of(a->api, a->req->loop);

    a->prev = NULL;
    a->next = h->first;
    if (h->first)
        h->first->prev = a;
    h->first = a;
}

static void held_remove(struct api_call *a)
{
    struct held_polls *h = api_loop_of(a->api, a->req->loop);

    if (a->prev)
        a->prev->next = a->next;
    else
        h->first = a->next;
    if (a->next)
        a->next->prev = a->prev;
}

static void held_drain(struct loop_msg *m)
{
    struct held_polls *h =
        (struct held_polls *)(void *)((char *)m - offsetof(struct held_polls, drain));

    for (struct api_call *a = h->first; a; a = a->next) {
        a->drained = true;
        txn_cancel(h->api->app->txn, &a->call);
    }
    api_streams_drain(h->streams);
}

void api_drain(struct api *api)
{
    size_t n;

    atomic_store(&api->draining, true);
    n = atomic_load(&api->loops_n);
    for (size_t i = 0; i < n && i < API_LOOPS_MAX; i++) {
        struct loop *l = atomic_load(&api->loops[i].loop);

        if (!l)
            continue;
        api->loops[i].drain.fn = held_drain;
        loop_post(l, &api->loops[i].drain);
    }
}

/* ---- the call -------------------------------------------------------------------------------- */

static err_t run_route(struct ctx *c, struct api_call *a)
{
    const struct route *r = a->ep->route;

    if (a->early != ERR_OK)
        return err_set(c, a->early, "%s", a->early_text);
    if (!r->run && a->ep->rpc)
        return err_set(c, ERR_UNIMPLEMENTED, "%s is not supported by this release",
                       a->ep->rpc->path.p + 1);
    if (!r->run)
        return err_set(c, ERR_UNIMPLEMENTED, "%s %s is not supported by this release", r->method,
                       r->path);
    a->out_desc = a->ep->out;
    a->status = 0;
    a->text = STR_NULL;
    a->state = NULL;
    a->emitted_n = 0;
    a->log_msg = NULL;
    a->kept = NULL;
    if (a->out)
        memset(a->out, 0, pb_size(a->out_desc));
    else if (a->out_desc)
        a->out = pb_new(c->arena, a->out_desc);
    return r->run(c, a);
}

/* Inside the transaction. */
static err_t api_run(struct ctx *c)
{
    struct api_call *a = api_call_of(c);

    if (a->resolve) {
        TRY(svc_access_resolve(c, &a->cred));
        TRY(svc_access_require(c, str_from(a->ep->route->action)));
    }
    return run_route(c, a);
}

static enum call_kind kind_of(const struct api_call *a)
{
    return a->ep->route->kind == ROUTE_WRITE ? CALL_WRITE : CALL_READ;
}

/* A body that would keep the loop from others is decoded by a reader thread, first. */
static err_t api_decode_run(struct ctx *c)
{
    struct api_call *a = api_call_of(c);

    if (a->resolve) {
        TRY(svc_access_resolve(c, &a->cred));
        TRY(svc_access_require(c, str_from(a->ep->route->action)));
    }
    TRY(api_decode(c, a));
    a->resolve = false;
    return txn_next(c, kind_of(a), api_run);
}

static void api_done(struct call *call)
{
    struct api_call *a = call->arg;

    if (a->ep->route->flags & ROUTE_HELD)
        held_remove(a);
    a->req->on_gone = NULL;
    /* the first phase is durable once the call has gone on to another function */
    if (call->result == ERR_DEADLINE && a->kept && call->run != api_run)
        err_ignore(err_set(&call->ctx, ERR_DEADLINE, "the deadline ended the wait; %s", a->kept),
                   "it is the result already");
    api_finish(a, call->result);
}

static void api_gone(struct http_req *req)
{
    struct api_call *a = req->user;

    txn_cancel(a->api->app->txn, &a->call);
}

static void submit(struct api_call *a, enum call_kind kind, err_t (*run)(struct ctx *c))
{
    err_t e;

    a->call.kind = kind;
    a->call.run = run;
    a->call.done = api_done;
    a->call.loop = a->req->loop;
    a->req->user = a;
    a->req->on_gone = api_gone;
    if (a->ep->route->flags & ROUTE_HELD)
        held_add(a);
    e = txn_submit(a->api->app->txn, &a->call);
    if (e == ERR_OK)
        return;
    if (a->ep->route->flags & ROUTE_HELD)
        held_remove(a);
    a->req->on_gone = NULL;
    api_finish(a, e);
}

/* "Bearer <value>", the query on the WebSocket path, the dashboard's cookie: the first that is
 * there. Another scheme is no credential, whatever follows it. */
static str_t bearer_of(struct ctx *c, const struct api_call *a)
{
    str_t h = a->head.authorization, rest = a->head.cookie, item, name, token;

    if (h.n > 7 && str_eq_nocase(str_slice(h, 0, 7), S("bearer ")))
        return str_trim(str_slice(h, 7, h.n));
    if (h.n > 0)
        return STR_NULL;
    if (str_eq(a->req->path, S("/ws")) && api_query(c, a, S("token"), &token))
        return token;
    while (str_cut(&rest, ';', &item)) {
        item = str_trim(item);
        if (str_cut(&item, '=', &name) && str_eq(name, S("ironflow_dashboard_token")))
            return item;
    }
    return STR_NULL;
}

/* ERR_OK: go on (perhaps with a->resolve set). */
static err_t authenticate(struct ctx *c, struct api_call *a)
{
    err_t e = ERR_OK;

    if (a->ep->route->flags & ROUTE_PUBLIC)
        return ERR_OK;
    a->cred.bearer = bearer_of(c, a);
    a->cred.environment = a->head.environment;
    if (a->cred.environment.n == 0 && a->req->query.n > 0)
        (void)api_query(c, a, S("env"), &a->cred.environment);
    if (!svc_access_cached(c, &a->cred, &e)) {
        a->resolve = true;
        return ERR_OK;
    }
    TRY(e);
    return svc_access_require(c, str_from(a->ep->route->action));
}

/* The text of an error that nobody serves this. */
static err_t unserved(struct ctx *c, const struct api_call *a)
{
    if (a->match.allow == 0)
        return err_set(c, ERR_NOT_FOUND, "no such path: " STR_FMT, STR_ARG(a->req->path));
    return err_set(c, ERR_METHOD, "method not allowed: " STR_FMT, STR_ARG(a->req->method));
}

static void remember(struct ctx *c, struct api_call *a, err_t e)
{
    a->early = e;
    a->early_text = str_z(c->arena, err_text(c, e));
}

static bool is_protected(str_t path)
{
    return str_starts(path, S("/api/")) || str_starts(path, S("/ws")) ||
           str_starts(path, RPC_PREFIX);
}

static struct api_call *call_new(struct api *api, struct http_req *req)
{
    struct api_call *a = NEW(&req->arena, struct api_call);

    a->api = api;
    a->req = req;
    call_init(&a->call, CALL_READ, api_run, a, &req->arena);
    a->call.bytes = req->body.n;
    a->call.ctx.clock = clock_system();
    a->call.ctx.app = api->app;
    a->arrived_ms = clock_now(a->call.ctx.clock);
    a->call.ctx.now_ms = a->arrived_ms;
    if (api->metrics)
        a->arrived_ns = clock_mono_ns();
    a->rpc = str_starts(req->path, RPC_PREFIX);
    api_head_read(req, &a->head);
    return a;
}

void api_handle(struct http_req *req, void *arg)
{
    struct api *api = arg;
    struct api_call *a = call_new(api, req);
    struct ctx *c = &a->call.ctx;
    enum api_method m = router_method(req->method);
    err_t e;

    if (m == METHOD_OPTIONS) {
        api_preflight(req, &a->head);
        return;
    }
    router_find(api->router, m, req->path, &a->match);
    a->ep = a->match.ep ? a->match.ep : &api->unknown;
    if (!a->match.ep && (a->match.open || !is_protected(req->path))) {
        api_finish(a, unserved(c, a));
        return;
    }
    e = authenticate(c, a);
    if (e != ERR_OK) {
        api_finish(a, e);
        return;
    }
    if (req->streaming) {
        api_stream_open(a);
        return;
    }
    if (req->body.n > BODY_HERE_MAX && a->ep->route->run && a->ep->route->kind != ROUTE_LOCAL) {
        submit(a, CALL_READ, api_decode_run);
        return;
    }
    e = a->match.ep ? api_decode(c, a) : unserved(c, a);
    if (e != ERR_OK)
        remember(c, a, e);
    if (a->resolve || (e == ERR_OK && a->ep->route->run && a->ep->route->kind != ROUTE_LOCAL))
        submit(a, kind_of(a), api_run);
    else
        api_finish(a, run_route(c, a));
}

struct api *api_new(const struct api_opts *o)
{
    struct api *api = mem_zero(sizeof(*api));

    api->app = o->app;
    api->router = router_new();
    api->unknown = (struct endpoint){ .route = &route_unknown, .index = router_count(api->router) };
    if (o->metrics)
        api->metrics = api_metrics_new(api->router);
    return api;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    router_free(api->router);
    api_metrics_free(api->metrics);
    mem_free(api);
}
