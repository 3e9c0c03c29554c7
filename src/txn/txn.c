/* The public face of txn: making and stopping it, and handing calls in. Any thread. */
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "txn/txn_priv.h"

#define WAITING_MAX 4096
#define FATAL_GRACE_NS 100000000 /* for the loops, to send the last replies */

static void default_fatal(void *app, const char *what)
{
    struct timespec ts = { .tv_nsec = FATAL_GRACE_NS };

    (void)app;
    log_write(LOG_FATAL, "the database failed; the process ends to recover from disk",
              "cause=\"%s\"", what);
    (void)nanosleep(&ts, NULL);
    _exit(1);
}

/* ---- start ----------------------------------------------------------------------------------- */

static struct txn *txn_make(const struct txn_opts *o)
{
    struct txn *t = mem_zero(sizeof(*t));

    t->o = *o;
    if (t->o.clock == NULL)
        t->o.clock = clock_system();
    if (t->o.waiting_max == 0)
        t->o.waiting_max = WAITING_MAX;
    if (t->o.hooks.fatal == NULL)
        t->o.hooks.fatal = default_fatal;
    t->pg = db_kind_of(o->db) == DB_PG;
    mutex_init(&t->lock);
    cond_init(&t->write_queue.cond);
    cond_init(&t->read_queue.cond);
    cond_init(&t->clock_cond);
    return t;
}

/* Opens the connections and so finds out how calls will run. */
static err_t open_workers(struct ctx *c, struct txn *t)
{
    size_t threads = (size_t)t->o.threads;
    size_t n = t->pg && threads > 0 ? threads : threads + 1;

    if (t->pg && threads > 0)
        TRY(peers_join(c, t));
    t->workers = mem_zero(n * sizeof(*t->workers));
    for (size_t i = 0; i < n; i++) {
        bool write = t->pg || i == 0;

        if (i == 1 && !write && !db_has_readers(t->o.db))
            break;
        TRY(worker_open(c, &t->workers[i], t, i, write));
        t->workers_n++;
    }
    if (threads == 0)
        t->mode = MODE_SINGLE;
    else if (t->pg)
        t->mode = MODE_PG;
    else
        t->mode = t->workers_n == 1 ? MODE_ALONE : MODE_SQLITE;
    return ERR_OK;
}

static void start_threads(struct txn *t)
{
    for (size_t i = 0; i < t->workers_n; i++) {
        struct worker *w = &t->workers[i];

        if (t->pg)
            thread_start(&w->thread, "txn-exec", executor_main, w);
        else if (i == 0)
            thread_start(&w->thread, "txn-write", writer_main, w);
        else
            thread_start(&w->thread, "txn-read", reader_main, w);
    }
    thread_start(&t->clock_thread, "txn-clock", clock_main, t);
    if (t->peers != NULL)
        peers_start(t->peers);
    t->threads_run = true;
}

err_t txn_new(struct ctx *c, const struct txn_opts *o, struct txn **out)
{
    struct txn *t = txn_make(o);
    err_t e = open_workers(c, t);

    if (e != ERR_OK) {
        t->stopping = true;
        txn_free(t);
        return e;
    }
    if (t->mode != MODE_SINGLE)
        start_threads(t);
    *out = t;
    return ERR_OK;
}

/* ---- end ------------------------------------------------------------------------------------- */

static void end_parked(struct txn *t)
{
    struct deliver d = { 0 };
    struct call *call;

    mutex_lock(&t->lock);
    t->stopping = true;
    while ((call = park_first(&t->park)) != NULL) {
        park_remove(&t->park, call);
        txn_unparked(t, call);
        txn_settle(t, call, err_set(&call->ctx, ERR_UNAVAILABLE, "the server is stopping"), &d);
    }
    cond_broadcast(&t->write_queue.cond);
    cond_broadcast(&t->read_queue.cond);
    mutex_unlock(&t->lock);
    deliver_flush(&d);
}

void txn_stop(struct txn *t)
{
    int64_t due;

    end_parked(t);
    if (t->mode == MODE_SINGLE) {
        while (txn_step(t, &due))
            ;
        must(t->waiting == 0);
    }
    if (!t->threads_run)
        return;
    for (size_t i = 0; i < t->workers_n; i++)
        thread_join(t->workers[i].thread);
    peers_stop(t->peers);
    mutex_lock(&t->lock);
    t->clock_stop = true;
    cond_signal(&t->clock_cond);
    mutex_unlock(&t->lock);
    thread_join(t->clock_thread);
    t->threads_run = false;
    must(t->waiting == 0 && t->parked == 0);
}

str_t txn_name(const struct txn *t)
{
    return t->o.name;
}

const struct clock *txn_clock(const struct txn *t)
{
    return t->o.clock;
}

void txn_free(struct txn *t)
{
    if (t == NULL)
        return;
    if (!t->stopping)
        txn_stop(t);
    /* The writer last: only it may copy SQLite's log into the database file, so that an orderly end
     * leaves one file, which can be copied. */
    for (size_t i = t->workers_n; i > 0; i--)
        worker_close(&t->workers[i - 1]);
    mem_free(t->workers);
    peers_free(t->peers);
    park_table_done(&t->park);
    cond_done(&t->write_queue.cond);
    cond_done(&t->read_queue.cond);
    cond_done(&t->clock_cond);
    mutex_done(&t->lock);
    mem_free(t);
}

/* ---- calls ----------------------------------------------------------------------------------- */

void call_init(struct call *call, enum call_kind kind, err_t (*run)(struct ctx *c), void *arg,
               struct arena *arena)
{
    *call = (struct call){ .ctx = { .arena = arena, .call = call },
                           .kind = kind,
                           .run = run,
                           .arg = arg,
                           .state = CALL_IDLE };
}

err_t txn_next(struct ctx *c, enum call_kind kind, err_t (*run)(struct ctx *c))
{
    must(c->call != NULL && run != NULL);
    c->call->next_kind = kind;
    c->call->next_run = run;
    return ERR_NEXT;
}

/* Under the lock: why no call is taken at all; NULL when one is. */
static const char *closed_why(const struct txn *t)
{
    if (t->stopping)
        return "the server is stopping";
    return t->failed ? "the database has failed" : NULL;
}

err_t txn_submit(struct txn *t, struct call *call)
{
    const char *why;

    must(call->state == CALL_IDLE && call->run != NULL && call->done != NULL);
    mutex_lock(&t->lock);
    why = closed_why(t);
    if (why == NULL && t->waiting >= t->o.waiting_max)
        why = "too many requests are waiting";
    if (why == NULL) {
        t->waiting++;
        call->ctx.clock = t->o.clock;
        txn_queue_put(t, call);
    } else {
        t->stats.rejected++;
    }
    mutex_unlock(&t->lock);
    return why == NULL ? ERR_OK : err_set(&call->ctx, ERR_UNAVAILABLE, "%s", why);
}

err_t txn_submit_after(struct txn *t, struct call *call, int64_t delay_ms)
{
    struct deliver d = { 0 };
    const char *why;

    must(call->state == CALL_IDLE && call->run != NULL && call->done != NULL && delay_ms > 0);
    mutex_lock(&t->lock);
    why = closed_why(t);
    if (why == NULL) {
        t->waiting++;
        call->ctx.clock = t->o.clock;
        call->state = CALL_RUNNING;
        txn_settle(t, call,
                   txn_park(&call->ctx, SIG_TIMER, NULL, 0, clock_now(t->o.clock) + delay_ms), &d);
    }
    mutex_unlock(&t->lock);
    deliver_flush(&d);
    return why == NULL ? ERR_OK : err_set(&call->ctx, ERR_UNAVAILABLE, "%s", why);
}

void txn_cancel(struct txn *t, struct call *call)
{
    struct deliver d = { 0 };

    mutex_lock(&t->lock);
    if (call->state == CALL_PARKED) {
        park_remove(&t->park, call);
        txn_unparked(t, call);
        txn_settle(t, call, err_set(&call->ctx, ERR_CANCELED, "the client is gone"), &d);
    } else if (call->state != CALL_IDLE && call->state != CALL_ENDED) {
        call->cancelled = true;
    }
    mutex_unlock(&t->lock);
    deliver_flush(&d);
}

/* A plain thread that waits; lives on its stack. */
struct waiter {
    struct mutex lock;
    struct cond cond;
    bool done;
};

static void waiter_done(struct call *call)
{
    struct waiter *w = call->waiter;

    mutex_lock(&w->lock);
    w->done = true;
    cond_signal(&w->cond);
    mutex_unlock(&w->lock);
}

static void waiter_wait(struct txn *t, struct call *call, struct waiter *w)
{
    int64_t due;

    /* Single-threaded nobody else can wake a parked call: it would wait for ever. */
    while (t->mode == MODE_SINGLE && !w->done) {
        if (!txn_step(t, &due) && !w->done)
            txn_cancel(t, call);
    }
    mutex_lock(&w->lock);
    while (!w->done)
        cond_wait(&w->cond, &w->lock);
    mutex_unlock(&w->lock);
}

err_t txn_run(struct txn *t, struct call *call)
{
    struct waiter w = { 0 };
    err_t e;

    mutex_init(&w.lock);
    cond_init(&w.cond);
    call->waiter = &w;
    call->done = waiter_done;
    call->loop = NULL;
    e = txn_submit(t, call);
    if (e == ERR_OK) {
        waiter_wait(t, call, &w);
        e = call->result;
    }
    call->waiter = NULL;
    cond_done(&w.cond);
    mutex_done(&w.lock);
    return e;
}

void txn_stats(struct txn *t, struct txn_stats *out)
{
    mutex_lock(&t->lock);
    *out = t->stats;
    out->waiting = t->waiting;
    out->parked = t->parked;
    mutex_unlock(&t->lock);
}
