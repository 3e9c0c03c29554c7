/* The thread that does what is due: heartbeats, which renew leases, steps that wait to be reported
 * together, late acknowledgements. */
#include <stdlib.h>
#include <time.h>

#include "worker_priv.h"

struct ticker {
    struct ironflow_worker *w;
    pthread_t thread;
    struct conn *conn;
    struct text body;
    int64_t heartbeat_at_ms;
};

static void put_heartbeat(struct text *t, struct ironflow_worker *w)
{
    bool comma = false;

    t->n = 0;
    pthread_mutex_lock(&w->lock);
    text_addz(t, "{\"worker_id\":");
    text_quote(t, w->id, strlen(w->id));
    text_addz(t, ",\"active_jobs\":");
    text_i64(t, w->busy);
    text_addz(t, ",\"jobs\":[");
    for (int i = 0; i < w->config.max_concurrent; i++) {
        const struct ironflow_run *run = &w->slots[i].run;

        if (!run->active)
            continue;
        text_addz(t, comma ? ",{\"job_id\":" : "{\"job_id\":");
        text_quote(t, run->job_id, strlen(run->job_id));
        text_addz(t, ",\"started_at\":\"");
        text_time(t, run->started_ms);
        text_addz(t, "\"}");
        comma = true;
    }
    pthread_mutex_unlock(&w->lock);
    text_addz(t, "]}");
}

static void send_heartbeat(struct ticker *t)
{
    struct request r = { .method = "POST", .repeatable = true };
    struct text path = { 0 };
    int status;

    put_heartbeat(&t->body, t->w);
    text_addz(&path, "/api/v1/workers/");
    text_url(&path, t->w->id);
    text_addz(&path, "/heartbeat");
    r.path = text_z(&path);
    r.body = text_z(&t->body);
    r.body_n = t->body.n;
    status = conn_send(t->conn, &r);
    if (status == 404)
        (void)worker_register(t->w, t->conn);
    else if (status == 401 || status == 403)
        worker_refused(t->w, t->conn, status);
    text_done(&path);
}

enum due { DUE_NOTHING, DUE_FLUSH, DUE_ACK };

/* What is due for the run now; *next is lowered to its next time. A run that something is due for
 * is pinned. The order of the locks is: worker, then run. */
static enum due run_due(struct ironflow_run *run, int64_t now, int64_t *next)
{
    enum due due = DUE_NOTHING;
    int64_t at = 0;

    pthread_mutex_lock(&run->lock);
    if (!run->flushing && run->flush_at_ms != 0) {
        at = run->flush_at_ms;
        due = at <= now ? DUE_FLUSH : DUE_NOTHING;
    }
    if (due == DUE_NOTHING && !run->flushing && run->ack_at_ms != 0) {
        at = at == 0 || run->ack_at_ms < at ? run->ack_at_ms : at;
        if (run->ack_at_ms <= now) {
            due = DUE_ACK;
            run->ack_at_ms = 0;
        }
    }
    run->pinned = due != DUE_NOTHING;
    if (due == DUE_ACK)
        run->flushing = true;
    if (due == DUE_NOTHING && at != 0 && at < *next)
        *next = at;
    pthread_mutex_unlock(&run->lock);
    return due;
}

static void tick_ack(struct ticker *t, struct ironflow_run *run)
{
    (void)report_ack(run, t->conn); /* lost is set by it; trouble is left to the lease */
    pthread_mutex_lock(&run->lock);
    run->flushing = false;
    pthread_mutex_unlock(&run->lock);
}

/* Does what is due for the runs; returns when to come again. Called with the lock held. */
static int64_t tick_runs(struct ticker *t, int64_t now)
{
    struct ironflow_worker *w = t->w;
    int64_t next = t->heartbeat_at_ms;

    for (int i = 0; i < w->config.max_concurrent; i++) {
        struct ironflow_run *run = &w->slots[i].run;
        enum due due = run->active ? run_due(run, now, &next) : DUE_NOTHING;

        if (due == DUE_NOTHING)
            continue;
        pthread_mutex_unlock(&w->lock);
        if (due == DUE_ACK)
            tick_ack(t, run);
        else
            (void)report_steps(run, t->conn, &t->body);
        pthread_mutex_lock(&run->lock);
        run->pinned = false;
        pthread_cond_broadcast(&run->flushed);
        pthread_mutex_unlock(&run->lock);
        pthread_mutex_lock(&w->lock);
        next = now; /* look again: time has passed */
    }
    if (w->config.ack_after_ms > 0 && next > now + w->config.ack_after_ms / 4 + 10)
        next = now + w->config.ack_after_ms / 4 + 10; /* runs that started meanwhile */
    return next;
}

static void *ticker_main(void *arg)
{
    struct ticker *t = arg;
    struct ironflow_worker *w = t->w;

    pthread_mutex_lock(&w->lock);
    while (!w->quiet) {
        int64_t now = now_mono_ms();
        struct timespec until;

        if (now >= t->heartbeat_at_ms) {
            pthread_mutex_unlock(&w->lock);
            if (w->stream == NULL) /* it has its own */
                send_heartbeat(t);
            pthread_mutex_lock(&w->lock);
            t->heartbeat_at_ms = now + w->config.heartbeat_ms;
            continue;
        }
        w->tick_at_ms = tick_runs(t, now);
        if (w->tick_at_ms <= now || w->quiet)
            continue;
        until.tv_sec = (time_t)(w->tick_at_ms / 1000);
        until.tv_nsec = (long)(w->tick_at_ms % 1000) * 1000000;
        (void)pthread_cond_timedwait(&w->tick, &w->lock, &until);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct ticker *ticker_start(struct ironflow_worker *w)
{
    struct ticker *t = mem_new(sizeof(*t));

    t->w = w;
    t->conn = conn_new(&w->server);
    t->heartbeat_at_ms = now_mono_ms() + w->config.heartbeat_ms;
    if (pthread_create(&t->thread, NULL, ticker_main, t) == 0)
        return t;
    conn_free(t->conn);
    free(t);
    return NULL;
}

void ticker_finish(struct ticker *t)
{
    if (t == NULL)
        return;
    pthread_mutex_lock(&t->w->lock);
    t->w->quiet = true;
    pthread_cond_signal(&t->w->tick);
    pthread_mutex_unlock(&t->w->lock);
    pthread_join(t->thread, NULL);
    conn_free(t->conn);
    text_done(&t->body);
    free(t);
}
