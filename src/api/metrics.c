/* GET /metrics: Prometheus text. Counters of requests by route template are atomics that any loop
 * adds to; figures of runs come from the database's counters. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api_priv.h"
#include "api/handlers.h"
#include "api/metrics.h"
#include "base/mem.h"
#include "svc/breakers.h"
#include "svc/overview.h"

static const int statuses[] = { 200, 201, 204, 400, 401, 403, 404, 405, 409, 412,
                                413, 415, 429, 499, 500, 501, 503, 504, 0 };
enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };

struct endpoint_stats {
    atomic_uint_fast64_t by_status[STATUSES];
    atomic_uint_fast64_t by_bucket[METER_BUCKETS + 1];
    atomic_uint_fast64_t sum_us;
};

struct api_metrics {
    const struct router *router;
    struct event_counts *events;
    struct endpoint_stats *stats; /* by endpoint index; the last is for unknown paths */
};

struct api_metrics *api_metrics_new(const struct router *r)
{
    struct api_metrics *m = mem_zero(sizeof(*m));

    m->router = r;
    m->events = event_counts_new();
    m->stats = mem_zero(sizeof(*m->stats) * (router_count(r) + 1));
    return m;
}

void api_metrics_free(struct api_metrics *m)
{
    if (!m)
        return;
    event_counts_free(m->events);
    mem_free(m->stats);
    mem_free(m);
}

void api_metrics_emitted(struct api_metrics *m, str_t env_id, const str_t *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        event_counts_add(m->events, env_id, names[i]);
}

static void bump(atomic_uint_fast64_t *n, uint64_t by)
{
    atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

void api_metrics_count(struct api_metrics *m, const struct endpoint *ep, int status,
                       int64_t duration_ns)
{
    struct endpoint_stats *s = &m->stats[ep->index];
    int64_t us = duration_ns / 1000;
    size_t i = 0, k = 0;

    while (i < STATUSES - 1 && statuses[i] != status)
        i++;
    while (k < METER_BUCKETS && us > meter_bounds[k].ms * 1000)
        k++;
    bump(&s->by_status[i], 1);
    bump(&s->by_bucket[k], 1);
    bump(&s->sum_us, (uint64_t)us);
}

void metrics_head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_label(struct buf *b, const char *name, str_t value)
{
    buf_printf(b, "%s=\"", name);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\n') {
            buf_append(b, S("\\n"));
            continue;
        }
        if (value.p[i] == '\\' || value.p[i] == '"')
            buf_char(b, '\\');
        buf_char(b, value.p[i]);
    }
    buf_char(b, '"');
}

static const struct endpoint *endpoint_at(const struct api *api, size_t i)
{
    return i < router_count(api->router) ? router_at(api->router, i) : &api->unknown;
}

static str_t endpoint_path(const struct endpoint *ep)
{
    return ep->rpc ? ep->rpc->path : str_from(ep->route->path);
}

static void http_requests(struct buf *b, const struct api *api)
{
    metrics_head(b, "ironflow_http_requests_total", "counter", "Requests by route and status.");
    for (size_t i = 0; i <= router_count(api->router); i++) {
        const struct endpoint *ep = endpoint_at(api, i);
        struct endpoint_stats *s = &api->metrics->stats[i];

        for (size_t k = 0; k < STATUSES; k++) {
            uint64_t n = atomic_load_explicit(&s->by_status[k], memory_order_relaxed);

            if (n == 0)
                continue;
            buf_printf(b, "ironflow_http_requests_total{method=\"%s\",", ep->route->method);
            metrics_label(b, "path", endpoint_path(ep));
            buf_printf(b, ",status_code=\"%d\"} %llu\n", statuses[k], (unsigned long long)n);
        }
    }
}

static void http_duration(struct buf *b, const struct endpoint *ep, struct endpoint_stats *s)
{
    uint64_t below = 0, sum_us = atomic_load_explicit(&s->sum_us, memory_order_relaxed);

    for (size_t k = 0; k <= METER_BUCKETS; k++) {
        below += atomic_load_explicit(&s->by_bucket[k], memory_order_relaxed);
        buf_printf(b, "ironflow_http_request_duration_seconds_bucket{method=\"%s\",",
                   ep->route->method);
        metrics_label(b, "path", endpoint_path(ep));
        buf_printf(b, ",le=\"%s\"} %llu\n", k < METER_BUCKETS ? meter_bounds[k].seconds : "+Inf",
                   (unsigned long long)below);
    }
    buf_printf(b, "ironflow_http_request_duration_seconds_sum{method=\"%s\",", ep->route->method);
    metrics_label(b, "path", endpoint_path(ep));
    buf_printf(b, "} %llu.%06llu\n", (unsigned long long)(sum_us / 1000000),
               (unsigned long long)(sum_us % 1000000));
    buf_printf(b, "ironflow_http_request_duration_seconds_count{method=\"%s\",", ep->route->method);
    metrics_label(b, "path", endpoint_path(ep));
    buf_printf(b, "} %llu\n", (unsigned long long)below);
}

static bool was_used(struct endpoint_stats *s)
{
    for (size_t k = 0; k <= METER_BUCKETS; k++)
        if (atomic_load_explicit(&s->by_bucket[k], memory_order_relaxed) > 0)
            return true;
    return false;
}

static void http_durations(struct buf *b, const struct api *api)
{
    metrics_head(b, "ironflow_http_request_duration_seconds", "histogram",
                 "Time to answer, by route.");
    for (size_t i = 0; i <= router_count(api->router); i++)
        if (was_used(&api->metrics->stats[i]))
            http_duration(b, endpoint_at(api, i), &api->metrics->stats[i]);
}

static void run_line(struct buf *b, const char *name, const struct run_count *r)
{
    buf_printf(b, "%s{", name);
    metrics_label(b, "function_id", r->function_id);
    buf_char(b, ',');
    metrics_label(b, "environment", r->environment);
}

static bool run_ended(int64_t status)
{
    return status == RUN_COMPLETED || status == RUN_FAILED || status == RUN_CANCELLED;
}

/* A failed run was failed by its own code: the engine ends none by itself. */
static void runs_total(struct buf *b, const struct run_count *runs, size_t n)
{
    metrics_head(b, "ironflow_runs_total", "counter", "Runs that reached their end.");
    for (size_t i = 0; i < n; i++) {
        if (!run_ended(runs[i].status))
            continue;
        run_line(b, "ironflow_runs_total", &runs[i]);
        buf_char(b, ',');
        metrics_label(b, "status", pb_enum_word(&pb_run_status_enum, (int32_t)runs[i].status));
        buf_printf(b, ",failure_cause=\"%s\"} %lld\n", runs[i].status == RUN_FAILED ? "user" : "",
                   (long long)runs[i].n);
    }
}

/* The rows of one function stand together. */
static void runs_active(struct buf *b, const struct run_count *runs, size_t n)
{
    metrics_head(b, "ironflow_active_runs", "gauge", "Runs that have not ended.");
    for (size_t i = 0; i < n;) {
        int64_t active = 0;
        size_t k = i;

        for (; k < n && str_eq(runs[k].function_id, runs[i].function_id) &&
               str_eq(runs[k].environment, runs[i].environment);
             k++)
            if (!run_ended(runs[k].status))
                active += runs[k].n;
        run_line(b, "ironflow_active_runs", &runs[i]);
        buf_printf(b, "} %lld\n", (long long)active);
        i = k;
    }
}

static void workers(struct buf *b, int64_t n)
{
    metrics_head(b, "ironflow_workers_connected", "gauge", "Workers with a recent sign of life.");
    buf_printf(b, "ironflow_workers_connected %lld\n", (long long)n);
}

/* 0 closed, 1 half-open, 2 open. */
static void breakers(struct buf *b, const struct breaker_view *list, size_t n)
{
    static const int values[] = {
        [BREAKER_CLOSED] = 0, [BREAKER_HALF_OPEN] = 1, [BREAKER_OPEN] = 2
    };

    metrics_head(b, "ironflow_circuit_breaker_state", "gauge",
                 "Circuit breakers: 0 closed, 1 half-open, 2 open.");
    for (size_t i = 0; i < n; i++) {
        buf_append(b, S("ironflow_circuit_breaker_state{"));
        metrics_label(b, "function_id", list[i].function_id);
        buf_char(b, ',');
        metrics_label(b, "endpoint", list[i].b.endpoint);
        buf_printf(b, "} %d\n", values[list[i].b.state]);
    }
}

static long long open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    long long n = -3; /* ".", ".." and the directory itself */

    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* The second word of statm is the number of resident pages. */
static long long resident_bytes(void)
{
    char text[128];
    FILE *f = fopen("/proc/self/statm", "r");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
    str_t rest = { text, n }, word = STR_NULL;
    int64_t pages = 0;

    if (f)
        fclose(f);
    for (int i = 0; i < 2; i++)
        if (!str_cut(&rest, ' ', &word))
            return 0;
    return str_to_i64(word, &pages) ? (long long)pages * sysconf(_SC_PAGESIZE) : 0;
}

static long long cpu_ms(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000LL +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static void process(struct ctx *c, struct buf *b)
{
    long long started = app_of(c)->started_at, cpu = cpu_ms();

    metrics_head(b, "process_start_time_seconds", "gauge", "When the process started.");
    buf_printf(b, "process_start_time_seconds %lld.%03lld\n", started / 1000, started % 1000);
    metrics_head(b, "process_resident_memory_bytes", "gauge", "Resident memory.");
    buf_printf(b, "process_resident_memory_bytes %lld\n", resident_bytes());
    metrics_head(b, "process_open_fds", "gauge", "Open file descriptors.");
    buf_printf(b, "process_open_fds %lld\n", open_fds());
    metrics_head(b, "process_cpu_seconds_total", "counter", "User and system time.");
    buf_printf(b, "process_cpu_seconds_total %lld.%03lld\n", cpu / 1000, cpu % 1000);
}

err_t api_metrics(struct ctx *c, struct api_call *a)
{
    struct breaker_view *open = NULL;
    struct run_count *runs = NULL;
    struct buf b;
    struct meter_report report = { 0 };
    int64_t connected = 0;
    size_t n = 0, open_n = 0;

    if (!a->api->metrics)
        return err_set(c, ERR_NOT_FOUND, "metrics are off; set IRONFLOW_METRICS_ENABLED=true");
    TRY(svc_run_counts(c, &runs, &n));
    TRY(svc_workers_connected(c, &connected));
    TRY(svc_breaker_list_all(c, &open, &open_n));
    TRY(svc_meters_read(c, &report));
    buf_init_arena(&b, c->arena, (size_t)64 << 20);
    http_requests(&b, a->api);
    http_durations(&b, a->api);
    runs_total(&b, runs, n);
    runs_active(&b, runs, n);
    metrics_report(&b, &report);
    workers(&b, connected);
    breakers(&b, open, open_n);
    event_counts_print(&b, a->api->metrics->events);
    process(c, &b);
    a->text = buf_str(&b);
    a->text_type = S("text/plain; version=0.0.4; charset=utf-8");
    return ERR_OK;
}
