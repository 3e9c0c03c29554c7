/* PostgreSQL: a few threads, each with a connection, each running one call in one transaction. Who
 * loses a race runs again from its beginning. Signals are raised after the commit, before the
 * reply; the parked calls that they wake go through the queue like any other. */
#include "txn/txn_priv.h"

/* A unique violation ends the transaction; run again, the call usually finds the row that was in
 * its way. Not for ever: it may be its own fault. */
#define EXISTS_MAX 3

/* One attempt. ERR_RETRY: run it again. */
static err_t exec_once(struct worker *w, struct call *call)
{
    err_t e = worker_begin(w, true);
    err_t ended;
    uint64_t writes;
    bool idle, dead;

    if (e != ERR_OK)
        return worker_blame(w, call, e);
    writes = db_writes(&w->ctx);
    e = worker_run(w, call);
    dead = db_is_dead(&w->ctx);
    /* Most polls park without a trace, and a rollback cannot fail. */
    idle = e == ERR_PARKED && db_writes(&w->ctx) == writes && w->call_signals.n == 0;
    if (!txn_is_good(e) || dead || idle) {
        worker_rollback(w, true);
        w->signals.n = 0;
        return txn_is_good(e) && dead ? ERR_UNAVAILABLE : e;
    }
    signals_append(&w->signals, &w->call_signals);
    ended = worker_prepare(w);
    if (ended == ERR_OK)
        ended = worker_commit(w);
    return ended == ERR_OK ? e : worker_blame(w, call, ended);
}

static void exec_settle(struct worker *w, struct call *call, err_t e)
{
    struct txn *t = w->t;
    struct deliver d = { 0 };
    /* After a lost connection the write may be durable: a wake-up for nothing is the lesser evil.
     */
    bool raise = txn_is_good(e) || e == ERR_UNCERTAIN;

    if (raise)
        txn_on_signals(t, &w->signals);
    mutex_lock(&t->lock);
    if (raise) {
        txn_raise(t, &w->signals, 0);
        t->stats.batches++;
    }
    txn_settle(t, call, e, &d);
    mutex_unlock(&t->lock);
    deliver_flush(&d);
    if (e == ERR_FATAL)
        txn_fatal(t, "a transaction failed");
}

static void exec_turn(struct worker *w, struct call *call)
{
    int reruns = -1;
    err_t e;

    do {
        if (++reruns > 0)
            worker_backoff(w, reruns);
        e = exec_once(w, call);
    } while ((e == ERR_RETRY && reruns < RETRY_MAX) || (e == ERR_EXISTS && reruns < EXISTS_MAX));
    if (reruns > 0) {
        mutex_lock(&w->t->lock);
        w->t->stats.reruns += (uint64_t)reruns;
        mutex_unlock(&w->t->lock);
    }
    exec_settle(w, call, e);
}

bool exec_next(struct worker *w)
{
    struct call *call = txn_queue_next(w->t, CALL_WRITE);

    if (call == NULL)
        return false;
    if (call->kind == CALL_WRITE)
        exec_turn(w, call);
    else
        read_turn(w, call);
    return true;
}

void *executor_main(void *worker)
{
    struct worker *w = worker;

    while (txn_queue_wait(w->t, &w->t->write_queue)) {
        while (exec_next(w))
            ;
    }
    return NULL;
}
