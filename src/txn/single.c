/* threads = 0: nothing happens but inside txn_step, on the caller's thread; a call without loop is
 * done there. The simulator and the tests own time and order this way. */
#include "txn/txn_priv.h"

/* What waits now, one by one; what is queued meanwhile waits for the next step. */
static bool step_reads(struct txn *t)
{
    struct call_list *l = txn_list(t, CALL_READ);
    size_t left;
    bool any = false;

    mutex_lock(&t->lock);
    left = l->n;
    mutex_unlock(&t->lock);
    while (left-- > 0)
        any = read_next(&t->workers[0]) || any;
    return any;
}

bool txn_step(struct txn *t, int64_t *next_due)
{
    bool any;

    must(t->mode == MODE_SINGLE);
    mutex_lock(&t->lock);
    any = txn_expire(t);
    mutex_unlock(&t->lock);
    if (t->pg) {
        any = exec_next(&t->workers[0]) || any;
    } else {
        any = batch_turn(&t->workers[0]) || any;
        any = step_reads(t) || any;
    }
    mutex_lock(&t->lock);
    *next_due = park_due(&t->park);
    mutex_unlock(&t->lock);
    return any;
}
