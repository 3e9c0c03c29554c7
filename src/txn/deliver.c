/* Replies on their way out. Ended calls are collected while txn.lock is held and leave afterwards,
 * one chain of messages and one wake-up a loop. */
#include "txn/txn_priv.h"

static void deliver_on_loop(struct loop_msg *m)
{
    struct call *call = (struct call *)(void *)((char *)m - offsetof(struct call, msg));

    call->done(call);
}

void deliver_add(struct deliver *d, struct call *call)
{
    size_t i = 0;

    if (call->loop == NULL) {
        list_push(&d->inline_calls, call);
        return;
    }
    call->msg = (struct loop_msg){ .fn = deliver_on_loop };
    while (i < d->n && d->to[i].loop != call->loop)
        i++;
    if (i == DELIVER_LOOPS) { /* more loops than anybody has: this one gets its own wake-up */
        loop_post(call->loop, &call->msg);
        return;
    }
    if (i == d->n) {
        d->to[d->n++].loop = call->loop;
        d->to[i].first = &call->msg;
    } else {
        d->to[i].last->next = &call->msg;
    }
    d->to[i].last = &call->msg;
}

void deliver_flush(struct deliver *d)
{
    struct call *call;

    for (size_t i = 0; i < d->n; i++)
        loop_post_list(d->to[i].loop, d->to[i].first);
    d->n = 0;
    while ((call = list_pop(&d->inline_calls)) != NULL)
        call->done(call);
}
