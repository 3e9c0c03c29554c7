/* Who waits for what: for each kind of call, signal and key a line of parked calls, oldest ticket
 * first, and one heap of the times at which they run again anyway. A call that parks again keeps
 * its ticket, so being woken for nothing costs it no place. Callers hold txn.lock. */
#include "base/mem.h"
#include "txn/txn_priv.h"

struct park_list {
    struct map *map;
    int64_t key;
    struct park_node *first, *last;
};

err_t txn_park(struct ctx *c, enum sig sig, const int64_t *keys, size_t n, int64_t deadline_ms)
{
    struct call *call = c->call;
    struct call_park *p;

    must(call != NULL && sig < SIG_COUNT);
    if (call->park == NULL) {
        call->park = mem_zero(sizeof(*call->park));
        call->park->call = call;
        call->park->heap_at = HEAP_NONE;
    }
    p = call->park;
    must(!p->linked);
    if (n > p->cap) {
        p->nodes = mem_resize(p->nodes, n * sizeof(*p->nodes));
        p->cap = n;
    }
    for (size_t i = 0; i < n; i++)
        p->nodes[i] = (struct park_node){ .owner = p, .key = keys[i] };
    p->n = n;
    p->sig = sig;
    p->deadline_ms = deadline_ms;
    return ERR_PARKED;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct park_list *line_of(struct map *m, int64_t key)
{
    struct park_list *l = map_get(m, (uint64_t)key);

    if (l == NULL) {
        l = mem_zero(sizeof(*l));
        l->map = m;
        l->key = key;
        (void)map_put(m, (uint64_t)key, l);
    }
    return l;
}

/* Searches from both ends: newcomers belong to the tail, those who park again mostly to the head.
 */
static struct park_node *node_before(const struct park_list *l, uint64_t ticket)
{
    struct park_node *head = l->first, *tail = l->last;

    while (tail != NULL) {
        if (tail->owner->ticket <= ticket)
            return tail;
        if (head->owner->ticket > ticket)
            return head->prev;
        tail = tail->prev;
        head = head->next;
    }
    return NULL;
}

static void node_link(struct park_list *l, struct park_node *n)
{
    n->list = l;
    n->prev = node_before(l, n->owner->ticket);
    n->next = n->prev != NULL ? n->prev->next : l->first;
    if (n->prev != NULL)
        n->prev->next = n;
    else
        l->first = n;
    if (n->next != NULL)
        n->next->prev = n;
    else
        l->last = n;
}

static void node_unlink(struct park_node *n)
{
    struct park_list *l = n->list;

    if (n->prev != NULL)
        n->prev->next = n->next;
    else
        l->first = n->next;
    if (n->next != NULL)
        n->next->prev = n->prev;
    else
        l->last = n->prev;
    n->list = NULL;
    if (l->first == NULL) {
        (void)map_del(l->map, (uint64_t)l->key);
        mem_free(l);
    }
}

/* ---- heap ------------------------------------------------------------------------------------ */

static void heap_set(struct park_table *t, size_t i, struct call_park *p)
{
    t->heap[i] = p;
    p->heap_at = i;
}

static void heap_up(struct park_table *t, size_t i, struct call_park *p)
{
    while (i > 0 && t->heap[(i - 1) / 2]->due_ms > p->due_ms) {
        heap_set(t, i, t->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_set(t, i, p);
}

static void heap_down(struct park_table *t, size_t i, struct call_park *p)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < t->heap_n && t->heap[child + 1]->due_ms < t->heap[child]->due_ms)
            child++;
        if (child >= t->heap_n || t->heap[child]->due_ms >= p->due_ms)
            break;
        heap_set(t, i, t->heap[child]);
        i = child;
    }
    heap_set(t, i, p);
}

static void heap_remove(struct park_table *t, struct call_park *p)
{
    size_t i = p->heap_at;
    struct call_park *last = t->heap[--t->heap_n];

    must(t->heap[i] == p || last == p);
    p->heap_at = HEAP_NONE;
    if (last == p)
        return;
    if (last->due_ms < p->due_ms)
        heap_up(t, i, last);
    else
        heap_down(t, i, last);
}

/* ---- the table ------------------------------------------------------------------------------- */

void park_link(struct park_table *t, struct call *call)
{
    struct call_park *p = call->park;

    must(p != NULL && !p->linked);
    if (p->ticket == 0)
        p->ticket = ++t->tickets;
    for (size_t i = 0; i < p->n; i++)
        node_link(line_of(&t->lists[call->kind][p->sig], p->nodes[i].key), &p->nodes[i]);
    p->linked = true;
    p->woken = false;
    p->chain = NULL;
}

void park_arm(struct park_table *t, struct call *call, int64_t due_ms)
{
    struct call_park *p = call->park;

    must(p->linked && p->heap_at == HEAP_NONE);
    if (t->heap_n == t->heap_cap) {
        t->heap_cap = t->heap_cap == 0 ? 64 : 2 * t->heap_cap;
        t->heap = mem_resize(t->heap, t->heap_cap * sizeof(struct call_park *));
    }
    p->due_ms = due_ms;
    heap_up(t, t->heap_n++, p);
}

void park_remove(struct park_table *t, struct call *call)
{
    struct call_park *p = call->park;

    must(p->linked);
    for (size_t i = 0; i < p->n; i++) {
        if (p->nodes[i].list != NULL)
            node_unlink(&p->nodes[i]);
    }
    p->linked = false;
    if (p->heap_at != HEAP_NONE)
        heap_remove(t, p);
}

/* The oldest of the line whose client is still there, or NULL. */
static struct call_park *line_first(const struct park_list *l)
{
    struct park_node *n = l == NULL ? NULL : l->first;

    while (n != NULL && n->owner->call->cancelled)
        n = n->next;
    return n == NULL ? NULL : n->owner;
}

struct call_park *park_take(struct park_table *t, enum call_kind kind, struct signal s)
{
    struct map *m = &t->lists[kind][s.sig];
    struct call_park *chain = NULL, **tail = &chain;

    do {
        struct call_park *p = line_first(map_get(m, (uint64_t)s.key));

        if (p == NULL)
            break;
        park_remove(t, p->call);
        p->woken = true;
        p->by = s;
        p->chain = NULL;
        *tail = p;
        tail = &p->chain;
    } while (s.sig != SIG_RUN_READY);
    return chain;
}

static size_t raised_slot(enum sig sig, int64_t key)
{
    uint64_t h = ((uint64_t)key + (uint64_t)sig + 1) * 0x9e3779b97f4a7c15u;

    return (size_t)(h >> 52) % RAISED_SLOTS;
}

void park_raise(struct park_table *t, struct signal s)
{
    t->raised[raised_slot(s.sig, s.key)] = ++t->raised_n;
}

bool park_missed(const struct park_table *t, const struct call *call)
{
    const struct call_park *p = call->park;

    for (size_t i = 0; i < p->n; i++) {
        if (t->raised[raised_slot(p->sig, p->nodes[i].key)] > call->seen)
            return true;
    }
    return false;
}

int64_t park_due(const struct park_table *t)
{
    return t->heap_n == 0 ? NEVER : t->heap[0]->due_ms;
}

struct call *park_first(const struct park_table *t)
{
    return t->heap_n == 0 ? NULL : t->heap[0]->call;
}

void park_free(struct call *call)
{
    struct call_park *p = call->park;

    if (p == NULL)
        return;
    must(!p->linked);
    call->park = NULL;
    mem_free(p->nodes);
    mem_free(p);
}

void park_table_done(struct park_table *t)
{
    must(t->heap_n == 0);
    mem_free(t->heap);
    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t sig = 0; sig < SIG_COUNT; sig++)
            map_done(&t->lists[kind][sig]);
    }
}
