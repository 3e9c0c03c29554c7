/* The worker: registers, polls, and gives each run a thread. Threads that have nothing to do wait;
 * one of them polls for all, takes the first job itself and hands the poll on. The ticker renews
 * leases and reports steps that wait to be reported together. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "worker_priv.h"

#define POLL_TIMEOUT_MS 40000 /* the server holds a poll for at most 20 s */
#define POLL_QUICK_MS 20      /* an empty answer faster than this was not held */
#define IDLE_MS 500
#define BACKOFF_MS 200
#define BACKOFF_MAX_MS 5000
#define REGISTER_EVERY_MS 200
#define ACK_AFTER_MAX_MS 20000

void worker_log(struct ironflow_worker *w, const char *fmt, ...)
{
    char line[1200];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (w->config.log != NULL)
        w->config.log(w->config.log_arg, line);
    else
        (void)fprintf(stderr, "ironflow worker: %s\n", line);
}

struct conn *run_conn(struct ironflow_run *run)
{
    struct slot *s = (struct slot *)((char *)run - offsetof(struct slot, run));

    return s->conn;
}

struct text *run_body(struct ironflow_run *run)
{
    struct slot *s = (struct slot *)((char *)run - offsetof(struct slot, run));

    return &s->body;
}

bool worker_pause(struct ironflow_worker *w, int64_t ms)
{
    struct pollfd p = { .fd = w->stop_fd, .events = POLLIN };
    int64_t end = now_mono_ms() + ms;

    /* after the first stop runs are still finished: wait in small pieces for a second one */
    while (atomic_load(&w->stop) < 2 && now_mono_ms() < end) {
        if (atomic_load(&w->stop) == 0)
            (void)poll(&p, 1, (int)(end - now_mono_ms()));
        else
            (void)poll(NULL, 0, end - now_mono_ms() < 50 ? (int)(end - now_mono_ms()) : 50);
    }
    return atomic_load(&w->stop) >= 2;
}

void worker_idle(struct ironflow_worker *w, int64_t ms)
{
    struct pollfd p = { .fd = w->stop_fd, .events = POLLIN };

    (void)poll(&p, 1, (int)ms);
}

void worker_tick_at(struct ironflow_worker *w, int64_t at_ms)
{
    pthread_mutex_lock(&w->lock);
    if (at_ms < w->tick_at_ms)
        pthread_cond_signal(&w->tick);
    pthread_mutex_unlock(&w->lock);
}

void worker_end(struct ironflow_worker *w, const char *why)
{
    pthread_mutex_lock(&w->lock);
    if (w->result == IRONFLOW_OK) {
        w->result = IRONFLOW_REFUSED;
        (void)snprintf(w->why, sizeof(w->why), "%s", why);
    }
    pthread_mutex_unlock(&w->lock);
    ironflow_worker_stop(w);
}

void worker_refused(struct ironflow_worker *w, const struct conn *conn, int status)
{
    char why[sizeof(w->why)];

    error_text(conn_body(conn), status, why, sizeof(why));
    worker_end(w, why);
}

/* ---- assignments that wait for a thread ---- */

void worker_queue(struct ironflow_worker *w, char *assignment)
{
    struct job *j = mem_new(sizeof(*j));

    j->json = assignment;
    *w->last = j;
    w->last = &j->next;
    w->queued++;
}

/* Takes out the job that *at points to. Under the lock. */
static char *job_take(struct ironflow_worker *w, struct job **at)
{
    struct job *j = *at;
    char *json = j->json;

    *at = j->next;
    if (*at == NULL)
        w->last = at;
    w->queued--;
    free(j);
    return json;
}

char *worker_dequeue(struct ironflow_worker *w)
{
    char *json = NULL;

    pthread_mutex_lock(&w->lock);
    if (w->first != NULL)
        json = job_take(w, &w->first);
    pthread_mutex_unlock(&w->lock);
    return json;
}

void worker_unqueue(struct ironflow_worker *w, const char *job_id)
{
    struct pool pool = { 0 };

    pthread_mutex_lock(&w->lock);
    for (struct job **at = &w->first; *at != NULL; at = &(*at)->next) {
        json_t job = json_value((*at)->json, strlen((*at)->json));

        if (strcmp(json_pool_string(&pool, json_member(job, "job_id")), job_id) != 0)
            continue;
        free(job_take(w, at));
        break;
    }
    pthread_mutex_unlock(&w->lock);
    pool_done(&pool);
}

/* ---- life ---- */

static void default_id(struct ironflow_worker *w)
{
    if (w->config.id != NULL)
        (void)snprintf(w->id, sizeof(w->id), "%s", w->config.id);
    else
        (void)snprintf(w->id, sizeof(w->id), "worker-%s-%d-%llx", w->host, (int)getpid(),
                       (unsigned long long)now_unix_ms());
}

static void defaults(struct ironflow_worker_config *c)
{
    if (c->max_concurrent <= 0)
        c->max_concurrent = 10;
    if (c->checkpoint_ms == 0)
        c->checkpoint_ms = 100;
    if (c->heartbeat_ms <= 0)
        c->heartbeat_ms = 30000;
    if (c->ack_after_ms > ACK_AFTER_MAX_MS)
        c->ack_after_ms = ACK_AFTER_MAX_MS;
}

struct ironflow_worker *ironflow_worker_new(const struct ironflow_worker_config *config)
{
    struct ironflow_worker *w = mem_new(sizeof(*w));
    pthread_condattr_t attr;
    struct text path = { 0 };

    w->config = *config;
    defaults(&w->config);
    if (gethostname(w->host, sizeof(w->host) - 1) != 0)
        (void)snprintf(w->host, sizeof(w->host), "unknown");
    default_id(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->tick, &attr);
    pthread_condattr_destroy(&attr);
    w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->last = &w->first;
    text_addz(&path, "/api/v1/workers/");
    text_url(&path, w->id);
    text_addz(&path, "/jobs");
    w->jobs_path = text_z(&path);
    if (!server_init(&w->server, &config->client) || w->stop_fd < 0) {
        ironflow_worker_free(w);
        return NULL;
    }
    return w;
}

void ironflow_worker_free(struct ironflow_worker *w)
{
    if (w == NULL)
        return;
    while (w->first != NULL)
        free(job_take(w, &w->first));
    if (w->stop_fd >= 0)
        (void)close(w->stop_fd);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->tick);
    pthread_mutex_destroy(&w->lock);
    server_done(&w->server);
    free(w->jobs_path);
    free(w->functions);
    free(w);
}

void ironflow_worker_add(struct ironflow_worker *w, const struct ironflow_function *f)
{
    struct ironflow_function *all = mem_new((w->functions_n + 1) * sizeof(*all));

    if (w->functions_n > 0)
        memcpy(all, w->functions, w->functions_n * sizeof(*all));
    all[w->functions_n++] = *f;
    free(w->functions);
    w->functions = all;
}

void ironflow_worker_stop(struct ironflow_worker *w)
{
    int saved = errno; /* a signal handler must not change it */
    uint64_t one = 1;

    atomic_fetch_add(&w->stop, 1);
    if (write(w->stop_fd, &one, sizeof(one)) < 0) {
        /* the counter is full: it is readable already */
    }
    errno = saved;
}

const char *ironflow_worker_error(const struct ironflow_worker *w)
{
    return w->why;
}

/* ---- registration ---- */

static void put_worker(struct text *t, const struct ironflow_worker *w)
{
    t->n = 0;
    text_addz(t, "{\"worker_id\":");
    text_quote(t, w->id, strlen(w->id));
    text_addz(t, ",\"hostname\":");
    text_quote(t, w->host, strlen(w->host));
    text_addz(t, ",\"function_ids\":[");
    for (size_t i = 0; i < w->functions_n; i++) {
        text_addz(t, i > 0 ? "," : "");
        text_quote(t, w->functions[i].id, strlen(w->functions[i].id));
    }
    text_addz(t, "],\"max_concurrent_jobs\":");
    text_i64(t, w->config.max_concurrent);
    text_addz(t, ",\"version\":{\"sdk\":\"c\",\"runtime\":\"c17\"}}");
}

static int send_worker(struct ironflow_worker *w, struct conn *conn)
{
    struct request r = { .method = "POST", .repeatable = true };
    struct text path = { 0 }, body = { 0 };
    int status;

    text_addz(&path, "/api/v1/workers/");
    text_url(&path, w->id);
    text_addz(&path, "/register");
    put_worker(&body, w);
    r.path = text_z(&path);
    r.body = text_z(&body);
    r.body_n = body.n;
    status = conn_send(conn, &r);
    text_done(&path);
    text_done(&body);
    return status;
}

bool worker_register(struct ironflow_worker *w, struct conn *conn)
{
    int64_t now = now_mono_ms();
    bool recent;
    int status;

    pthread_mutex_lock(&w->lock);
    recent = now - w->registered_ms < REGISTER_EVERY_MS; /* another thread just did */
    if (!recent)
        w->registered_ms = now;
    pthread_mutex_unlock(&w->lock);
    if (recent)
        return true;
    status = send_worker(w, conn);
    if (status == 401 || status == 403)
        worker_refused(w, conn, status);
    else if (status != 200)
        worker_log(w, "cannot register again: %s", status == 0 ? conn_error(conn) : "refused");
    return status >= 200 && status < 300;
}

/* Repeats until the server answers; false when it refuses or the worker is stopped. */
static bool start_send(struct ironflow_worker *w, struct conn *conn, const struct request *r)
{
    int64_t pause_ms = BACKOFF_MS;
    bool told = false;

    for (;;) {
        int status = r != NULL ? conn_send(conn, r) : send_worker(w, conn);

        if (status >= 200 && status < 300)
            return true;
        if (status != 0 && status != 408 && status != 429 && status < 500) {
            worker_refused(w, conn, status);
            return false;
        }
        if (!told)
            worker_log(w, "waiting for the server: %s",
                       status == 0 ? conn_error(conn) : "it is not ready");
        told = true;
        worker_idle(w, pause_ms);
        if (atomic_load(&w->stop) != 0)
            return false;
        pause_ms = pause_ms * 2 < BACKOFF_MAX_MS ? pause_ms * 2 : BACKOFF_MAX_MS;
    }
}

bool worker_register_functions(struct ironflow_worker *w)
{
    struct request r = { .method = "POST",
                         .path = "/ironflow.v1.IronflowService/RegisterFunction",
                         .repeatable = true };
    struct conn *conn = conn_new(&w->server);
    struct text body = { 0 };
    bool ok = true;

    for (size_t i = 0; i < w->functions_n && ok; i++) {
        function_text(&body, &w->functions[i]);
        r.body = text_z(&body);
        r.body_n = body.n;
        ok = start_send(w, conn, &r);
    }
    text_done(&body);
    conn_free(conn);
    return ok;
}

/* The stream registers its worker itself. */
static bool start_register(struct ironflow_worker *w)
{
    struct conn *conn = conn_new(&w->server);
    bool ok = worker_register_functions(w) &&
              (w->config.transport == IRONFLOW_STREAM || start_send(w, conn, NULL));

    conn_free(conn);
    return ok;
}

/* ---- polling ---- */

/* Queues the assignments of an answer; returns how many. Under the lock. */
static int queue_jobs(struct ironflow_worker *w, json_t body)
{
    json_t jobs = json_member(json_value(body.p, body.n), "jobs");
    int n = 0;

    for (struct json_walk walk = json_walk(jobs); json_step(&walk); n++) {
        struct text t = { 0 };

        text_add(&t, walk.value.p, walk.value.n);
        worker_queue(w, text_z(&t));
    }
    return n;
}

/* After an answer without work: how long to wait before the next poll. */
static int64_t poll_pause(struct ironflow_worker *w, struct slot *s, int status, int64_t took_ms)
{
    if (status == 200 || status == 204)
        return took_ms < POLL_QUICK_MS ? IDLE_MS : 0;
    if (atomic_load(&w->stop) != 0)
        return 0;
    if (status == 404)
        return worker_register(w, s->conn) ? 1 : BACKOFF_MS;
    if (status == 401 || status == 403) {
        worker_refused(w, s->conn, status);
        return 0;
    }
    return -1;
}

/* One poll for all idle threads. Called and returns with the lock held. */
static void poll_once(struct ironflow_worker *w, struct slot *s, int64_t *backoff_ms)
{
    struct request r = { .method = "GET",
                         .timeout_ms = POLL_TIMEOUT_MS,
                         .repeatable = true,
                         .wake_fd = w->stop_fd,
                         .wake = &w->stop };
    int n = 0, status, available = w->config.max_concurrent - w->busy - w->queued;
    int64_t from = now_mono_ms(), pause_ms;
    struct text path = { 0 };

    w->polling = true;
    pthread_mutex_unlock(&w->lock);
    text_addz(&path, w->jobs_path);
    text_addz(&path, "?available=");
    text_i64(&path, available);
    r.path = text_z(&path);
    status = conn_send(s->conn, &r);
    text_done(&path);
    pthread_mutex_lock(&w->lock);
    if (status == 200)
        n = queue_jobs(w, conn_body(s->conn));
    if (n == 0) {
        pthread_mutex_unlock(&w->lock);
        pause_ms = poll_pause(w, s, status, now_mono_ms() - from);
        if (pause_ms < 0) {
            if (*backoff_ms == 0)
                worker_log(w, "cannot poll: %s",
                           status == 0 ? conn_error(s->conn) : "the server has trouble");
            *backoff_ms = *backoff_ms == 0 ? BACKOFF_MS : *backoff_ms * 2;
            pause_ms = *backoff_ms = *backoff_ms < BACKOFF_MAX_MS ? *backoff_ms : BACKOFF_MAX_MS;
        } else {
            *backoff_ms = 0;
        }
        if (pause_ms > 0)
            worker_idle(w, pause_ms);
        pthread_mutex_lock(&w->lock);
    } else {
        *backoff_ms = 0;
    }
    w->polling = false;
}

/* ---- running ---- */

static const struct ironflow_function *function_of(const struct ironflow_worker *w, const char *id)
{
    for (size_t i = 0; i < w->functions_n; i++)
        if (strcmp(w->functions[i].id, id) == 0)
            return &w->functions[i];
    return NULL;
}

/* Asks whether the run is still ours, patiently while the server restarts. */
static bool run_acknowledged(struct ironflow_run *run)
{
    struct ironflow_worker *w = run->worker;
    enum report e;

    if (!run->fenced || w->config.ack_after_ms > 0)
        return true;
    e = report_ack(run, run_conn(run));
    for (int64_t pause_ms = BACKOFF_MS; e == REPORT_TRANSIENT && pause_ms <= BACKOFF_MAX_MS;
         pause_ms *= 2) {
        if (worker_pause(w, pause_ms))
            return false;
        e = report_ack(run, run_conn(run));
    }
    if (e != REPORT_OK && e != REPORT_LOST)
        worker_log(w, "run %s: not acknowledged, left to its lease", run->run_id);
    return e == REPORT_OK;
}

static void run_execute(struct ironflow_run *run)
{
    json_t job = { run->json, strlen(run->json) };
    char *id = json_pool_string(&run->pool, json_member(job, "function_id"));
    int rc = IRONFLOW_FAIL;

    run->function = function_of(run->worker, id);
    if (!run_acknowledged(run))
        return;
    if (run->function == NULL)
        ironflow_run_error(run, "FUNCTION_NOT_FOUND", "this worker has no function \"%s\"", id);
    else
        rc = run->function->handler(run, run->function->arg);
    if (rc == IRONFLOW_LOST)
        atomic_store(&run->lost, true);
    if (atomic_load(&run->worker->stop) < 2)
        report_final(run, rc);
}

/* Called and returns with the lock held. */
static void slot_run(struct slot *s, char *json)
{
    struct ironflow_worker *w = s->worker;
    struct ironflow_run *run = &s->run;
    bool good;

    w->busy++;
    pthread_mutex_unlock(&w->lock);
    run->json = json;
    good = run_begin(run, now_unix_ms());
    if (good) {
        pthread_mutex_lock(&w->lock);
        run->active = true;
        run->ack_at_ms =
            run->fenced && w->config.ack_after_ms > 0 ? now_mono_ms() + w->config.ack_after_ms : 0;
        pthread_mutex_unlock(&w->lock);
        run_execute(run);
    } else {
        worker_log(w, "an assignment is broken");
    }
    pthread_mutex_lock(&w->lock);
    run->active = false; /* the ticker begins nothing new for it */
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_lock(&run->lock);
    while (run->flushing || run->pinned)
        pthread_cond_wait(&run->flushed, &run->lock);
    pthread_mutex_unlock(&run->lock);
    run_end(run);
    pthread_mutex_lock(&w->lock);
    w->busy--;
}

static void *slot_main(void *arg)
{
    struct slot *s = arg;
    struct ironflow_worker *w = s->worker;
    int64_t backoff_ms = 0;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        if (w->first != NULL) {
            char *json = job_take(w, &w->first);

            pthread_cond_signal(&w->work); /* for the next job, or to poll */
            slot_run(s, json);
        } else if (atomic_load(&w->stop) != 0) {
            break;
        } else if (!w->polling) {
            poll_once(w, s, &backoff_ms);
        } else {
            pthread_cond_wait(&w->work, &w->lock);
        }
    }
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- run ---- */

static void slot_init(struct slot *s, struct ironflow_worker *w)
{
    s->worker = s->run.worker = w;
    s->conn = conn_new(&w->server);
    pthread_mutex_init(&s->run.lock, NULL);
    pthread_cond_init(&s->run.flushed, NULL);
}

static void slot_done(struct slot *s)
{
    conn_free(s->conn);
    text_done(&s->body);
    text_done(&s->run.pending);
    pool_done(&s->run.pool);
    pthread_mutex_destroy(&s->run.lock);
    pthread_cond_destroy(&s->run.flushed);
}

/* Until stopped; a second stop tells the handlers that their runs are lost. */
static void wait_stop(struct ironflow_worker *w)
{
    struct pollfd p = { .fd = w->stop_fd, .events = POLLIN };

    while (atomic_load(&w->stop) == 0)
        (void)poll(&p, 1, -1);
    pthread_mutex_lock(&w->lock);
    pthread_cond_broadcast(&w->work);
    while (w->busy > 0 && atomic_load(&w->stop) < 2) {
        pthread_mutex_unlock(&w->lock);
        (void)poll(NULL, 0, 20);
        pthread_mutex_lock(&w->lock);
    }
    if (atomic_load(&w->stop) >= 2)
        for (int i = 0; i < w->config.max_concurrent; i++)
            atomic_store(&w->slots[i].run.lost, true);
    pthread_mutex_unlock(&w->lock);
}

/* Threads for runs, and what fetches work and keeps leases; how many runs may be at a time. */
static int start_threads(struct ironflow_worker *w)
{
    int n = w->config.max_concurrent, started = 0;

    w->slots = mem_new((size_t)n * sizeof(*w->slots));
    for (int i = 0; i < n; i++)
        slot_init(&w->slots[i], w);
    if (w->config.transport == IRONFLOW_STREAM) {
        w->polling = true; /* nobody else does */
        w->stream = stream_start(w);
    }
    w->ticker = ticker_start(w);
    if (w->ticker == NULL || (w->polling && w->stream == NULL))
        return 0;
    while (started < n &&
           pthread_create(&w->slots[started].thread, NULL, slot_main, &w->slots[started]) == 0)
        started++;
    return started;
}

static void stop_threads(struct ironflow_worker *w, int started)
{
    for (int i = 0; i < started; i++)
        pthread_join(w->slots[i].thread, NULL);
    stream_finish(w->stream);
    w->stream = NULL;
    ticker_finish(w->ticker);
    w->ticker = NULL;
    for (int i = 0; i < w->config.max_concurrent; i++)
        slot_done(&w->slots[i]);
    free(w->slots);
    w->slots = NULL;
}

int ironflow_worker_run(struct ironflow_worker *w)
{
    int started;

    if (w->config.transport == IRONFLOW_STREAM && w->server.tls) {
        (void)snprintf(w->why, sizeof(w->why), "streams need an http:// URL: use IRONFLOW_POLL");
        return IRONFLOW_REFUSED;
    }
    if (!start_register(w))
        return w->result;
    started = start_threads(w);
    if (started == 0) {
        (void)snprintf(w->why, sizeof(w->why), "cannot start threads");
        w->result = IRONFLOW_FAIL;
        ironflow_worker_stop(w);
    }
    wait_stop(w);
    stop_threads(w, started);
    return w->result;
}
