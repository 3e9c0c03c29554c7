/* Numbers about an environment: sums of counters, never a scan of what they count. */
#include "svc/overview.h"

#include "engine/match.h"
#include "store/events.h"
#include "store/overview.h"
#include "svc/app.h"
#include "svc/batch.h"
#include "svc/registry.h"

#define RECENT 10
#define RECENT_BYTES ((size_t)4 << 20)

static err_t count_functions(struct ctx *c, int64_t *out)
{
    const struct registry *r;
    int64_t n = 0;

    TRY(svc_registry(c, &r));
    for (size_t i = 0; i < registry_count(r); i++)
        if (!registry_at(r, i)->deleted && registry_at(r, i)->status != FN_ARCHIVED)
            n++;
    *out = n;
    return ERR_OK;
}

static bool has_ended(size_t status)
{
    return status == RUN_COMPLETED || status == RUN_FAILED || status == RUN_CANCELLED;
}

static void add_total(struct overview *o, const struct total *t)
{
    size_t status = (size_t)t->kind;

    if (t->kind == COUNT_EVENTS)
        o->events = t->n;
    if (t->kind < RUN_RUNNING || t->kind >= RUN_STATUS_COUNT)
        return;
    o->runs[status] = t->n;
    o->runs_total += t->n;
    if (!has_ended(status) && status != RUN_PAUSED)
        o->runs_active += t->n;
}

err_t svc_overview(struct ctx *c, struct overview *out)
{
    const struct event_range newest = { .to = INT64_MAX, .bytes_max = RECENT_BYTES };
    struct overview o = { 0 };
    struct total *totals;
    size_t n;
    bool cut;

    TRY(count_functions(c, &o.functions));
    TRY(store_workers_alive(c, c->now_ms - app_of(c)->worker_ttl_ms, &o.workers));
    TRY(store_totals(c, &totals, &n));
    for (size_t i = 0; i < n; i++)
        add_total(&o, &totals[i]);
    TRY(store_events_page(c, &newest, RECENT, &o.recent, &o.recent_n, &cut));
    *out = o;
    return ERR_OK;
}

err_t svc_run_counts(struct ctx *c, struct run_count **out, size_t *n)
{
    struct run_total *totals;
    struct run_count *list;
    size_t have;

    TRY(store_run_totals(c, RUN_STATUS_COUNT, &totals, &have));
    list = NEW_N(c->arena, struct run_count, have);
    for (size_t i = 0; i < have; i++)
        list[i] = (struct run_count){ .environment = totals[i].environment,
                                      .function_id = totals[i].function_id,
                                      .status = totals[i].status,
                                      .n = totals[i].n };
    *out = list;
    *n = have;
    return ERR_OK;
}

err_t svc_workers_connected(struct ctx *c, int64_t *out)
{
    return store_workers_alive_all(c, c->now_ms - app_of(c)->worker_ttl_ms, out);
}
