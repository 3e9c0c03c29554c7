/* The two containers of this folder: calls linked into one list at a time, and rows of signals. */
#include <string.h>

#include "base/mem.h"
#include "txn/txn_priv.h"

void list_push(struct call_list *l, struct call *call)
{
    call->next = NULL;
    call->prev = l->last;
    if (l->last != NULL)
        l->last->next = call;
    else
        l->first = call;
    l->last = call;
    l->n++;
}

void list_push_front(struct call_list *l, struct call *call)
{
    call->prev = NULL;
    call->next = l->first;
    if (l->first != NULL)
        l->first->prev = call;
    else
        l->last = call;
    l->first = call;
    l->n++;
}

void list_remove(struct call_list *l, struct call *call)
{
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        l->first = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    else
        l->last = call->prev;
    call->prev = call->next = NULL;
    l->n--;
}

struct call *list_pop(struct call_list *l)
{
    struct call *call = l->first;

    if (call != NULL)
        list_remove(l, call);
    return call;
}

void list_append(struct call_list *to, struct call_list *from)
{
    if (from->first == NULL)
        return;
    from->first->prev = to->last;
    if (to->last != NULL)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    to->n += from->n;
    *from = (struct call_list){ 0 };
}

static void grow(struct signal_list *l, size_t n)
{
    size_t cap = l->cap == 0 ? 16 : l->cap;

    while (cap < n)
        cap *= 2;
    if (cap != l->cap)
        l->items = mem_resize(l->items, cap * sizeof(*l->items));
    l->cap = cap;
}

void signals_put(struct signal_list *l, struct signal s)
{
    grow(l, l->n + 1);
    l->items[l->n++] = s;
}

void signal_add(struct ctx *c, enum sig sig, int64_t key)
{
    must(c->signals != NULL && sig < SIG_COUNT);
    signals_put(c->signals, (struct signal){ .sig = sig, .key = key });
}

void signals_append(struct signal_list *to, const struct signal_list *from)
{
    if (from->n == 0)
        return;
    grow(to, to->n + from->n);
    memcpy(to->items + to->n, from->items, from->n * sizeof(*from->items));
    to->n += from->n;
}
