/* Between the threads: the queues that calls wait in, what becomes of a call that has run, and the
 * signals and times that bring parked calls back. All with txn.lock held, but for the few that say
 * they take it. */
#include "base/log.h"
#include "txn/txn_priv.h"

/* On PostgreSQL a signal of another node may be lost; who waits looks again after this time. */
#define LOOK_AGAIN_MS 1000
/* The clock may be set anew while we sleep. */
#define CLOCK_SLEEP_MAX_MS 1000

/* ---- queues ---------------------------------------------------------------------------------- */

static struct queue *queue_of(struct txn *t, enum call_kind kind)
{
    return t->mode == MODE_SQLITE && kind == CALL_READ ? &t->read_queue : &t->write_queue;
}

struct call_list *txn_list(struct txn *t, enum call_kind kind)
{
    return &queue_of(t, kind)->calls[t->pg ? 0 : kind];
}

void txn_queue_put(struct txn *t, struct call *call)
{
    struct queue *q = queue_of(t, call->kind);

    call->state = CALL_QUEUED;
    list_push(txn_list(t, call->kind), call);
    if (q->idle > q->signalled) {
        q->signalled++;
        cond_signal(&q->cond);
    }
}

void txn_queue_return(struct txn *t, struct call *call)
{
    call->state = CALL_QUEUED;
    list_push_front(txn_list(t, call->kind), call);
}

bool txn_queue_wait(struct txn *t, struct queue *q)
{
    bool any;

    mutex_lock(&t->lock);
    while (q->calls[0].n + q->calls[1].n == 0 && !(t->stopping && t->waiting == 0)) {
        q->idle++;
        cond_wait(&q->cond, &t->lock);
        q->idle--;
        if (q->signalled > 0)
            q->signalled--;
    }
    any = q->calls[0].n + q->calls[1].n > 0;
    mutex_unlock(&t->lock);
    return any;
}

struct call *txn_queue_take(struct txn *t, struct call_list *l, struct deliver *d)
{
    struct call *call;

    while ((call = list_pop(l)) != NULL) {
        call->state = CALL_RUNNING;
        call->seen = t->park.raised_n;
        if (t->failed)
            txn_settle(t, call, err_set(&call->ctx, ERR_UNAVAILABLE, "the database has failed"), d);
        else if (call->cancelled && call->park != NULL)
            txn_settle(t, call, err_set(&call->ctx, ERR_CANCELED, "the client is gone"), d);
        else
            break;
    }
    return call;
}

struct call *txn_queue_next(struct txn *t, enum call_kind kind)
{
    struct deliver d = { 0 };
    struct call *call;

    mutex_lock(&t->lock);
    call = txn_queue_take(t, txn_list(t, kind), &d);
    mutex_unlock(&t->lock);
    deliver_flush(&d);
    return call;
}

/* ---- what becomes of a call ------------------------------------------------------------------ */

bool txn_is_good(err_t e)
{
    return e == ERR_OK || e == ERR_NEXT || e == ERR_PARKED;
}

err_t txn_outside(err_t e)
{
    return e == ERR_RETRY || e == ERR_FATAL ? ERR_UNAVAILABLE : e;
}

void txn_unparked(struct txn *t, struct call *call)
{
    must(call->state == CALL_PARKED && !call->park->linked && t->parked > 0);
    t->parked--;
    t->waiting++;
    call->state = CALL_RUNNING;
}

static void wake(struct txn *t, struct call *call)
{
    txn_unparked(t, call);
    txn_queue_put(t, call);
}

/* False: there was nobody. */
static bool wake_chain(struct txn *t, enum call_kind kind, struct signal s)
{
    bool any = false;

    for (struct call_park *p = park_take(&t->park, kind, s), *next; p != NULL; p = next) {
        next = p->chain;
        wake(t, p->call);
        any = true;
    }
    return any;
}

static bool wake_all(struct txn *t, struct signal s, bool writes)
{
    bool read, write;

    park_raise(&t->park, s);
    read = wake_chain(t, CALL_READ, s);
    write = writes && wake_chain(t, CALL_WRITE, s);
    return read || write;
}

/* Everything is done and nobody will come: the threads may end. */
static void check_drained(struct txn *t)
{
    if (!t->stopping || t->waiting > 0)
        return;
    cond_broadcast(&t->write_queue.cond);
    cond_broadcast(&t->read_queue.cond);
}

static void count(struct txn *t, const struct call *call)
{
    if (call->kind == CALL_WRITE)
        t->stats.writes++;
    else
        t->stats.reads++;
}

static void end_call(struct txn *t, struct call *call, err_t result, struct deliver *d)
{
    struct call_park *p = call->park;

    must(call->state == CALL_RUNNING && t->waiting > 0);
    /* It was woken for work that it did not do: the next in the line gets its chance. */
    if (p != NULL && p->woken && p->by.sig == SIG_RUN_READY && result != ERR_OK)
        if (!wake_chain(t, call->kind, p->by))
            peers_tell(t->peers, p->by);
    park_free(call);
    count(t, call);
    call->result = txn_outside(result);
    call->state = CALL_ENDED;
    t->waiting--;
    deliver_add(d, call);
    check_drained(t);
}

static void park_call(struct txn *t, struct call *call)
{
    struct call_park *p = call->park;
    int64_t due = p->deadline_ms != 0 ? p->deadline_ms : NEVER;

    if (call->ctx.deadline_ms != 0 && call->ctx.deadline_ms < due)
        due = call->ctx.deadline_ms;
    if (t->pg) {
        int64_t look = clock_now(t->o.clock) + LOOK_AGAIN_MS;

        due = look < due ? look : due;
    }
    if (due < park_due(&t->park))
        cond_signal(&t->clock_cond);
    park_arm(&t->park, call, due);
    call->timed_out = false;
    call->state = CALL_PARKED;
    t->waiting--;
    t->parked++;
}

/* ERR_PARKED: in the table, unless there is a reason not to wait. A call of a batch is in it
 * already, and no signal came between, since batches follow one another. */
static void settle_parked(struct txn *t, struct call *call, struct deliver *d)
{
    bool held = call->state == CALL_HELD;

    if (call->cancelled || t->stopping || t->failed) {
        if (held)
            park_remove(&t->park, call);
        call->state = CALL_RUNNING;
        end_call(t, call,
                 call->cancelled ? err_set(&call->ctx, ERR_CANCELED, "the client is gone")
                                 : err_set(&call->ctx, ERR_UNAVAILABLE, "the server is stopping"),
                 d);
        return;
    }
    if (!held && park_missed(&t->park, call)) {
        call->timed_out = false;
        txn_queue_put(t, call);
        return;
    }
    if (!held)
        park_link(&t->park, call);
    park_call(t, call);
}

void txn_settle(struct txn *t, struct call *call, err_t result, struct deliver *d)
{
    if (result == ERR_PARKED) {
        settle_parked(t, call, d);
    } else if (result == ERR_NEXT && !t->failed) {
        must(call->state == CALL_RUNNING && call->next_run != NULL);
        count(t, call);
        park_free(call);
        call->kind = call->next_kind;
        call->run = call->next_run;
        call->next_run = NULL;
        call->timed_out = false;
        txn_queue_put(t, call);
    } else if (result == ERR_NEXT) {
        end_call(t, call, err_set(&call->ctx, ERR_UNAVAILABLE, "the database has failed"), d);
    } else {
        end_call(t, call, result, d);
    }
}

/* ---- signals and time ------------------------------------------------------------------------ */

void txn_on_signals(struct txn *t, const struct signal_list *l)
{
    for (size_t i = 0; i < l->n && t->o.hooks.on_signal != NULL; i++)
        t->o.hooks.on_signal(t->o.app, &l->items[i]);
}

void txn_raise(struct txn *t, const struct signal_list *l, size_t writes_from)
{
    for (size_t i = 0; i < l->n; i++) {
        bool woken = wake_all(t, l->items[i], i >= writes_from);

        /* one is enough for a run; of everything else all want to know */
        if (!woken || l->items[i].sig != SIG_RUN_READY)
            peers_tell(t->peers, l->items[i]);
    }
}

void txn_raise_heard(struct txn *t, const struct signal_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        (void)wake_all(t, l->items[i], true);
}

bool txn_expire(struct txn *t)
{
    int64_t now = clock_now(t->o.clock);
    bool any = false;

    while (park_due(&t->park) <= now) {
        struct call *call = park_first(&t->park);

        park_remove(&t->park, call);
        call->timed_out = call->park->deadline_ms != 0 && call->park->deadline_ms <= now;
        wake(t, call);
        any = true;
    }
    return any;
}

int64_t txn_now(struct txn *t)
{
    int64_t now = clock_now(t->o.clock);

    mutex_lock(&t->lock);
    if (now > t->now_ms)
        t->now_ms = now;
    now = t->now_ms;
    mutex_unlock(&t->lock);
    return now;
}

void *clock_main(void *txn)
{
    struct txn *t = txn;

    mutex_lock(&t->lock);
    while (!t->clock_stop) {
        int64_t due, wait;

        (void)txn_expire(t);
        due = park_due(&t->park);
        if (due == NEVER) {
            cond_wait(&t->clock_cond, &t->lock);
            continue;
        }
        wait = due - clock_now(t->o.clock);
        (void)cond_wait_for(&t->clock_cond, &t->lock,
                            wait < CLOCK_SLEEP_MAX_MS ? wait : CLOCK_SLEEP_MAX_MS);
    }
    mutex_unlock(&t->lock);
    return NULL;
}

/* ---- the end --------------------------------------------------------------------------------- */

bool txn_has_failed(struct txn *t)
{
    bool failed;

    mutex_lock(&t->lock);
    failed = t->failed;
    mutex_unlock(&t->lock);
    return failed;
}

void txn_fatal(struct txn *t, const char *what)
{
    bool first;

    mutex_lock(&t->lock);
    first = !t->failed;
    t->failed = true;
    mutex_unlock(&t->lock);
    if (first)
        t->o.hooks.fatal(t->o.app, what);
}
