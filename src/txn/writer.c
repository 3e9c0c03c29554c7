/* The writer thread of SQLite: one batch after the other while calls wait, asleep otherwise. While
 * it commits, calls gather, and the next batch takes them all. A database in memory has no readers:
 * the same thread serves READ calls between the batches. */
#include "base/log.h"
#include "txn/txn_priv.h"

static void checkpoint(struct worker *w)
{
    struct ctx *c = &w->ctx;
    err_t e;

    must(c->tx == NULL);
    c->err.code = ERR_OK;
    e = db_checkpoint(c, w->conn);
    if (e == ERR_FATAL)
        txn_fatal(w->t, "a checkpoint failed");
    else if (e != ERR_OK)
        log_warn("checkpoint failed", "error=\"" STR_FMT "\"", STR_ARG(err_text(c, e)));
}

static void reads_between(struct worker *w)
{
    struct txn *t = w->t;
    size_t left;

    mutex_lock(&t->lock);
    left = txn_list(t, CALL_READ)->n;
    mutex_unlock(&t->lock);
    while (left-- > 0 && read_next(w))
        ;
}

void *writer_main(void *worker)
{
    struct worker *w = worker;
    struct txn *t = w->t;

    while (txn_queue_wait(t, &t->write_queue)) {
        if (batch_turn(w))
            checkpoint(w);
        if (t->mode == MODE_ALONE)
            reads_between(w);
    }
    return NULL;
}
