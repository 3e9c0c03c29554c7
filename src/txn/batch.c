/* One batch of the writer: many calls, one transaction, one fsync. On the writer's thread only.
 *
 * `pending` waits to run, `members` have run in the open transaction and are held until it ends. A
 * call that fails after its first write dooms the transaction: everybody else runs again without
 * it, then it runs alone. Parked calls that the batch woke are members like any other. */
#include "txn/txn_priv.h"

#define BATCH_CALLS 256
#define BATCH_BYTES ((size_t)4 << 20)
#define BATCH_NS 5000000
/* After so many doomed calls everybody who is left runs alone: 256 of them cost 256 commits, while
 * running the others again each time would cost thousands of runs. */
#define DOOMED_MAX 4

struct batch {
    struct worker *w;
    struct txn *t;
    struct call_list pending, members, alone;
    struct call *doomed;
    struct deliver out;
    size_t ran, bytes, doomed_n;
    size_t woken_at; /* signals before this one have woken their WRITE calls */
    int64_t start_ns;
    bool solo;  /* one call, no company */
    bool split; /* what the calls collected could not be written: each shall run alone */
};

static bool is_full(const struct batch *b)
{
    if (b->ran >= BATCH_CALLS || b->bytes >= BATCH_BYTES)
        return true;
    /* Real time would make the simulator's runs differ. */
    return b->t->mode != MODE_SINGLE && clock_mono_ns() - b->start_ns >= BATCH_NS;
}

/* Takes what waits in the queue, up to the bounds. */
static void refill(struct batch *b)
{
    struct call_list *l = txn_list(b->t, CALL_WRITE);
    struct call *call;

    mutex_lock(&b->t->lock);
    while (b->ran + b->pending.n < BATCH_CALLS && (call = txn_queue_take(b->t, l, &b->out)) != NULL)
        list_push(&b->pending, call);
    mutex_unlock(&b->t->lock);
}

/* ---- inside the transaction ------------------------------------------------------------------ */

/* Runs a member. An error ends the attempt: b->doomed is the culprit, or there is none (ERR_RETRY,
 * ERR_FATAL). */
static err_t run_member(struct batch *b, struct call *call)
{
    struct worker *w = b->w;
    uint64_t before = db_writes(&w->ctx);
    err_t e = worker_run(w, call);
    bool wrote = db_writes(&w->ctx) != before;
    bool dead = db_is_dead(&w->ctx);

    b->ran++;
    b->bytes += call->bytes;
    if (e == ERR_FATAL || e == ERR_RETRY)
        return e;
    call->result = dead && txn_is_good(e) ? ERR_UNAVAILABLE : e;
    if (dead || (wrote && !txn_is_good(e))) {
        b->doomed = call;
        return call->result;
    }
    if (txn_is_good(e))
        signals_append(&w->signals, &w->call_signals);
    if (e == ERR_PARKED) {
        mutex_lock(&b->t->lock);
        call->state = CALL_HELD;
        park_link(&b->t->park, call);
        mutex_unlock(&b->t->lock);
    }
    return ERR_OK;
}

static err_t run_pending(struct batch *b, bool fresh)
{
    for (;;) {
        struct call *call;

        if (b->pending.first == NULL && fresh && !is_full(b))
            refill(b);
        call = list_pop(&b->pending);
        if (call == NULL)
            return ERR_OK;
        list_push(&b->members, call);
        TRY(run_member(b, call));
        if (is_full(b))
            return ERR_OK;
    }
}

/* Whom the signal wakes, as members of this batch; NULL when nobody waits for it. */
static struct call_park *fetch(struct batch *b, struct signal s)
{
    struct call_park *chain;

    mutex_lock(&b->t->lock);
    chain = park_take(&b->t->park, CALL_WRITE, s);
    for (struct call_park *p = chain; p != NULL; p = p->chain) {
        if (p->call->state == CALL_PARKED) {
            txn_unparked(b->t, p->call);
            list_push(&b->members, p->call);
        }
        p->call->state = CALL_RUNNING; /* who was held by this batch is a member already */
        p->woken = false;              /* handed on here, not by txn_settle */
    }
    mutex_unlock(&b->t->lock);
    return chain;
}

/* Runs the parked calls that this batch woke, and those that they wake in turn. */
static err_t run_woken(struct batch *b)
{
    const struct signal_list *l = &b->w->signals;

    while (b->woken_at < l->n && !is_full(b)) {
        struct signal s = l->items[b->woken_at];
        bool hand_on = false;

        for (struct call_park *p = fetch(b, s), *next; p != NULL; p = next) {
            struct call *call = p->call;

            next = p->chain; /* before the call parks again */
            TRY(run_member(b, call));
            /* It was refused, so the work that it was woken for is still there for the next one. */
            hand_on = s.sig == SIG_RUN_READY && !txn_is_good(call->result);
        }
        if (!hand_on)
            b->woken_at++;
    }
    return ERR_OK;
}

/* ---- after it -------------------------------------------------------------------------------- */

/* Rolled back: all who ran wait to run again, in the same order, before those who did not. */
static void regroup(struct batch *b)
{
    mutex_lock(&b->t->lock);
    for (struct call *call = b->members.first; call != NULL; call = call->next) {
        if (call->state == CALL_HELD)
            park_remove(&b->t->park, call);
        call->state = CALL_RUNNING;
        b->t->stats.reruns++;
    }
    mutex_unlock(&b->t->lock);
    list_append(&b->members, &b->pending);
    b->pending = b->members;
    b->members = (struct call_list){ 0 };
}

/* What there was no room for waits on, in its old place. */
static void give_back(struct batch *b)
{
    struct call *call;

    mutex_lock(&b->t->lock);
    while ((call = b->pending.last) != NULL) {
        list_remove(&b->pending, call);
        txn_queue_return(b->t, call);
    }
    mutex_unlock(&b->t->lock);
}

static void settle_committed(struct batch *b)
{
    struct txn *t = b->t;
    struct call *call;

    txn_on_signals(t, &b->w->signals);
    mutex_lock(&t->lock);
    t->stats.batches++;
    while ((call = list_pop(&b->members)) != NULL)
        txn_settle(t, call, call->result, &b->out);
    txn_raise(t, &b->w->signals, b->woken_at);
    mutex_unlock(&t->lock);
}

/* Every held reply becomes e, refusals too: they may rest on what was rolled back. Who had parked
 * has no reply yet; it looks again. */
static void settle_failed(struct batch *b, err_t e)
{
    struct txn *t = b->t;
    struct call *call;

    mutex_lock(&t->lock);
    list_append(&b->members, &b->pending);
    while ((call = list_pop(&b->members)) != NULL) {
        if (call->state == CALL_HELD && e != ERR_FATAL) {
            park_remove(&t->park, call);
            txn_queue_put(t, call);
            continue;
        }
        if (call->state == CALL_HELD)
            park_remove(&t->park, call);
        call->state = CALL_RUNNING;
        txn_settle(t, call, worker_blame(b->w, call, e), &b->out);
    }
    mutex_unlock(&t->lock);
}

/* The doomed call leaves the batch, to run alone; if it was alone already, its error is the answer.
 */
static void settle_doomed(struct batch *b)
{
    struct call *call = b->doomed;
    err_t result = call->result;
    bool alone = b->members.n == 1 && b->pending.n == 0;

    b->doomed = NULL;
    list_remove(&b->members, call);
    if (alone) {
        mutex_lock(&b->t->lock);
        txn_settle(b->t, call, result, &b->out);
        mutex_unlock(&b->t->lock);
        return;
    }
    list_push(&b->alone, call);
    regroup(b);
    if (++b->doomed_n >= DOOMED_MAX)
        list_append(&b->alone, &b->pending);
}

/* ---- the batch ------------------------------------------------------------------------------- */

/* One attempt at a transaction of what is pending. */
static err_t attempt(struct batch *b, bool fresh)
{
    struct worker *w = b->w;
    err_t e;

    b->ran = b->bytes = b->woken_at = 0;
    b->split = false;
    b->start_ns = clock_mono_ns();
    TRY(worker_begin(w, true));
    e = run_pending(b, fresh && !b->solo);
    if (e == ERR_OK && !b->solo)
        e = run_woken(b);
    if (e != ERR_OK) {
        worker_rollback(w, true);
        return e;
    }
    give_back(b);
    e = worker_prepare(w);
    b->split = e != ERR_OK && e != ERR_UNAVAILABLE && e != ERR_RETRY && e != ERR_FATAL && !b->solo;
    TRY(e);
    return worker_commit(w);
}

/* Runs what is pending to its end, in as many attempts as that takes. */
static void run_batch(struct batch *b)
{
    int tries = 0;
    bool fresh = true;

    while (b->pending.n > 0) {
        err_t e = attempt(b, fresh);

        fresh = false;
        if (e == ERR_OK) {
            settle_committed(b);
        } else if (b->doomed != NULL) {
            settle_doomed(b);
        } else if (b->split) {
            regroup(b);
            list_append(&b->alone, &b->pending);
        } else if (e == ERR_RETRY && tries++ < RETRY_MAX) {
            regroup(b);
            worker_backoff(b->w, tries);
        } else {
            settle_failed(b, e);
            deliver_flush(&b->out);
            if (e == ERR_FATAL)
                txn_fatal(b->t, "a transaction failed");
        }
        deliver_flush(&b->out);
    }
}

bool batch_turn(struct worker *w)
{
    struct batch b = { .w = w, .t = w->t };
    struct call *call;

    refill(&b);
    deliver_flush(&b.out); /* who was gone before it could run */
    if (b.pending.n == 0)
        return false;
    run_batch(&b);
    b.solo = true;
    while ((call = list_pop(&b.alone)) != NULL) {
        list_push(&b.pending, call);
        if (txn_has_failed(b.t))
            settle_failed(&b, ERR_FATAL);
        run_batch(&b);
    }
    deliver_flush(&b.out);
    return true;
}
