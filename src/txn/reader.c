/* READ calls: each has a transaction of its own, begun after the call was taken, so it sees every
 * write whose reply was out before the call was submitted. SQLite has reader threads for them. */
#include "txn/txn_priv.h"

void read_turn(struct worker *w, struct call *call)
{
    struct txn *t = w->t;
    struct deliver d = { 0 };
    err_t e = ERR_RETRY;

    must(call->kind == CALL_READ && call->state == CALL_RUNNING);
    for (int attempt = 0; e == ERR_RETRY && attempt <= RETRY_MAX; attempt++) {
        if (attempt > 0)
            worker_backoff(w, attempt);
        e = worker_begin(w, false);
        if (e != ERR_OK) {
            err_ignore(worker_blame(w, call, e), "e decides whether to try again");
            continue;
        }
        e = worker_run(w, call);
        db_rollback(&w->ctx);
    }
    mutex_lock(&t->lock);
    txn_settle(t, call, e, &d);
    mutex_unlock(&t->lock);
    deliver_flush(&d);
    if (e == ERR_FATAL)
        txn_fatal(t, "a read failed");
}

bool read_next(struct worker *w)
{
    struct call *call = txn_queue_next(w->t, CALL_READ);

    if (call != NULL)
        read_turn(w, call);
    return call != NULL;
}

void *reader_main(void *worker)
{
    struct worker *w = worker;

    while (txn_queue_wait(w->t, &w->t->read_queue)) {
        while (read_next(w))
            ;
    }
    return NULL;
}
