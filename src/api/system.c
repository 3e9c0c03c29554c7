/* What the server says about itself: probes, capabilities, overview, route manifest. */
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/convert.h"
#include "api/handlers.h"
#include "svc/overview.h"

#if defined(__clang__)
#define TOOLCHAIN "C17, clang " __clang_version__
#else
#define TOOLCHAIN "C17, gcc " __VERSION__
#endif

static str_t transports[] = { { "websocket", 9 }, { "grpc-sse", 8 }, { "grpc-bidirectional", 18 } };
static str_t features[] = { { "replay", 6 },
                            { "wildcard-patterns", 17 },
                            { "cel-filter", 10 },
                            { "consumer-groups", 15 },
                            { "prometheus-metrics", 18 } };

/* Asks the database something small, so that "healthy" means it answers. */
static err_t ping(struct ctx *c)
{
    struct event e;
    err_t found = svc_event_get(c, 1, &e);

    return found == ERR_NOT_FOUND ? ERR_OK : found;
}

err_t api_health(struct ctx *c, struct api_call *a)
{
    struct pb_rest_health *out = a->out;

    TRY(ping(c));
    out->status = S("healthy");
    out->timestamp = c->now_ms;
    out->version = S(IRONFLOW_VERSION);
    return ERR_OK;
}

err_t api_ready(struct ctx *c, struct api_call *a)
{
    struct pb_rest_ready *out = a->out;

    if (atomic_load(&a->api->draining))
        return err_set(c, ERR_UNAVAILABLE, "the server is shutting down");
    TRY(ping(c));
    out->status = S("ready");
    return ERR_OK;
}

void api_probe_failed(struct api_call *a, str_t why)
{
    struct ctx *c = &a->call.ctx;

    a->status = 503;
    a->text = STR_NULL;
    a->out_desc = a->ep->out;
    a->out = pb_new(c->arena, a->out_desc);
    if (a->out_desc == &pb_rest_ready_desc) {
        struct pb_rest_ready *out = a->out;
        bool draining = atomic_load(&a->api->draining);

        out->status = S("not_ready");
        out->issues = NEW(c->arena, struct pb_pair);
        out->issues_n = 1;
        out->issues[0] = (struct pb_pair){ draining ? S("server") : S("database"), why };
    } else {
        struct pb_rest_health *out = a->out;

        out->status = S("unhealthy");
        out->timestamp = clock_now(c->clock);
        out->version = S(IRONFLOW_VERSION);
    }
}

err_t api_health_rpc(struct ctx *c, struct api_call *a)
{
    struct pb_health_response *out = a->out;
    struct pb_component_health *db = NEW(c->arena, struct pb_component_health);
    err_t e = ping(c);

    out->status = e == ERR_OK ? S("healthy") : S("unhealthy");
    out->timestamp = c->now_ms;
    db->status = out->status;
    if (e != ERR_OK)
        db->message = str_dup(c->arena, err_text(c, e));
    out->components = NEW(c->arena, struct pb_component_health_pair);
    out->components[0].key = S("database");
    out->components[0].value = db;
    out->components_n = 1;
    return ERR_OK;
}

err_t api_info(struct ctx *c, struct api_call *a)
{
    struct pb_info_response *out = a->out;
    struct overview o = { 0 };

    TRY(svc_overview(c, &o));
    out->version = S(IRONFLOW_VERSION);
    out->go_version = S(TOOLCHAIN);
    out->started_at = app_of(c)->started_at;
    out->function_count = o.functions;
    out->active_runs = o.runs_active;
    out->connected_workers = o.workers;
    return ERR_OK;
}

err_t api_capabilities(struct ctx *c, struct api_call *a)
{
    struct pb_rest_capabilities *out = a->out;

    out->version = S(IRONFLOW_VERSION);
    out->edition = S("core");
    out->auth_required = !app_of(c)->dev;
    out->transports = transports;
    out->transports_n = COUNT_OF(transports);
    out->features = features;
    out->features_n = COUNT_OF(features);
    return ERR_OK;
}

err_t api_capabilities_rpc(struct ctx *c, struct api_call *a)
{
    struct pb_server_capabilities *out = a->out;

    (void)c;
    out->version = S(IRONFLOW_VERSION);
    out->transports = transports;
    out->transports_n = COUNT_OF(transports);
    out->features = features;
    out->features_n = COUNT_OF(features);
    return ERR_OK;
}

static struct pb_rest_overview_functions *total(struct ctx *c, int64_t n)
{
    struct pb_rest_overview_functions *t = NEW(c->arena, struct pb_rest_overview_functions);

    t->total = n;
    return t;
}

err_t api_overview(struct ctx *c, struct api_call *a)
{
    struct pb_rest_overview *out = a->out;
    struct overview o = { 0 };

    TRY(svc_overview(c, &o));
    out->status = S("healthy");
    out->version = S(IRONFLOW_VERSION);
    out->started_at = app_of(c)->started_at;
    out->uptime_seconds = (c->now_ms - out->started_at) / 1000;
    out->functions = total(c, o.functions);
    out->events = total(c, o.events);
    out->streams = total(c, 0);
    out->projections = total(c, 0);
    out->workers = NEW(c->arena, struct pb_rest_overview_workers);
    out->workers->connected = o.workers;
    out->runs = NEW(c->arena, struct pb_rest_overview_runs);
    *out->runs = (struct pb_rest_overview_runs){ o.runs_total,          o.runs_active,
                                                 o.runs[RUN_COMPLETED], o.runs[RUN_FAILED],
                                                 o.runs[RUN_CANCELLED], o.runs[RUN_PAUSED] };
    out->recent_events = NEW_N(c->arena, struct pb_rest_overview_event, o.recent_n + 1);
    for (size_t i = 0; i < o.recent_n; i++)
        out->recent_events[i] =
            (struct pb_rest_overview_event){ api_id(c, ID_EVENT, o.recent[i].id), o.recent[i].name,
                                             id_ms(o.recent[i].id) };
    out->recent_events_n = o.recent_n;
    return ERR_OK;
}

static int route_cmp(const void *x, const void *y)
{
    const struct pb_rest_route *a = x, *b = y;
    int by_path = str_cmp(a->path, b->path);

    return by_path != 0 ? by_path : str_cmp(a->method, b->method);
}

/* Everything of REST that is served; later releases' paths are not. */
err_t api_routes(struct ctx *c, struct api_call *a)
{
    struct pb_rest_route_list *out = a->out;

    out->version = S(IRONFLOW_VERSION);
    out->routes = NEW_N(c->arena, struct pb_rest_route, routes_n);
    for (size_t i = 0; i < routes_n; i++) {
        const struct route *r = &routes[i];

        if (!r->run || !r->name)
            continue;
        out->routes[out->routes_n++] =
            (struct pb_rest_route){ str_from(r->method), str_from(r->path), str_from(r->name),
                                    str_from(r->group) };
    }
    qsort(out->routes, out->routes_n, sizeof(*out->routes), route_cmp);
    return ERR_OK;
}
