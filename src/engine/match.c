/* The registry of an environment as one immutable snapshot: everything lives in one arena, lookups
 * are hashes, patterns a trie of tokens. Any number of threads may read it. */
#include "engine/match.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "engine/filter.h"

/* Positions of functions in registry.fns, growing; those with a filter apart. */
struct filtered {
    uint32_t at;
    const struct filter *filter; /* NULL: its expression cannot be compiled, so it never matches */
};
struct hits {
    uint32_t *items;
    uint32_t n, cap;
    struct filtered *filtered;
    uint32_t filtered_n, filtered_cap;
};

struct node {
    struct map children; /* token -> struct node */
    struct node *star;   /* any one token */
    struct hits ends;    /* patterns that end here */
    struct hits tails;   /* patterns that end here with `>` */
    struct node *next;   /* all nodes, for freeing their maps */
};

struct registry {
    struct arena arena;
    struct function *fns; /* in order of keys, which is the order of registration */
    size_t n;
    int64_t epoch;
    struct map by_key, by_id, exact; /* exact: event name -> struct hits */
    struct node *root, *nodes;
    size_t nodes_n;
};

static void hits_add(struct arena *a, struct hits *h, uint32_t at)
{
    if (h->n > 0 && h->items[h->n - 1] == at)
        return; /* the same trigger twice */
    if (h->n == h->cap) {
        uint32_t cap = h->cap == 0 ? 2 : h->cap * 2;
        uint32_t *items = NEW_N(a, uint32_t, cap);

        if (h->n > 0)
            memcpy(items, h->items, h->n * sizeof(*items));
        h->items = items;
        h->cap = cap;
    }
    h->items[h->n++] = at;
}

static void hits_add_filtered(struct arena *a, struct hits *h, uint32_t at,
                              const struct filter *filter)
{
    if (h->filtered_n == h->filtered_cap) {
        uint32_t cap = h->filtered_cap == 0 ? 2 : h->filtered_cap * 2;
        struct filtered *items = NEW_N(a, struct filtered, cap);

        if (h->filtered_n > 0)
            memcpy(items, h->filtered, h->filtered_n * sizeof(*items));
        h->filtered = items;
        h->filtered_cap = cap;
    }
    h->filtered[h->filtered_n++] = (struct filtered){ at, filter };
}

static void hits_put(struct arena *a, struct hits *h, uint32_t at, const struct trigger *t)
{
    if (t->expression.n > 0)
        hits_add_filtered(a, h, at, t->filter);
    else
        hits_add(a, h, at);
}

static struct node *node_new(struct registry *r)
{
    struct node *node = NEW(&r->arena, struct node);

    node->next = r->nodes;
    r->nodes = node;
    r->nodes_n++;
    return node;
}

static bool is_pattern(str_t event)
{
    str_t rest = event, token;

    while (str_cut(&rest, '.', &token))
        if (str_eq(token, S("*")) || str_eq(token, S(">")))
            return true;
    return false;
}

static void add_pattern(struct registry *r, const struct trigger *t, uint32_t at)
{
    struct node *node = r->root;
    str_t rest = t->event, token;

    while (str_cut(&rest, '.', &token)) {
        struct node *child;

        if (str_eq(token, S(">"))) {
            hits_put(&r->arena, &node->tails, at, t);
            return;
        }
        child = str_eq(token, S("*")) ? node->star : map_get_str(&node->children, token);
        if (child == NULL) {
            child = node_new(r);
            if (str_eq(token, S("*")))
                node->star = child;
            else
                map_put_str(&node->children, token, child);
        }
        node = child;
    }
    hits_put(&r->arena, &node->ends, at, t);
}

static void add_exact(struct registry *r, const struct trigger *t, uint32_t at)
{
    struct hits *h = map_get_str(&r->exact, t->event);

    if (h == NULL) {
        h = NEW(&r->arena, struct hits);
        map_put_str(&r->exact, t->event, h);
    }
    hits_put(&r->arena, h, at, t);
}

static void add_triggers(struct registry *r, uint32_t at)
{
    const struct function *f = &r->fns[at];

    for (size_t i = 0; i < f->triggers_n; i++) {
        const struct trigger *t = &f->triggers[i];

        if (t->event.n == 0)
            continue;
        if (is_pattern(t->event))
            add_pattern(r, t, at);
        else
            add_exact(r, t, at);
    }
}

/* The program of an expression: that of an earlier snapshot, or a new one. */
static struct filter *filter_of(struct arena *scratch, const struct trigger *t)
{
    struct ctx c = { .arena = scratch };
    struct filter *f = NULL;

    if (t->expression.n == 0)
        return NULL;
    if (t->filter != NULL)
        return filter_ref(t->filter);
    return filter_new(&c, t->expression, &f) == ERR_OK ? f : NULL;
}

static void copy_function(struct arena *a, struct function *to, const struct function *from)
{
    *to = *from;
    to->id = str_dup(a, from->id);
    to->name = str_dup(a, from->name);
    to->description = str_dup(a, from->description);
    to->config = str_dup(a, from->config);
    to->actor_key = str_dup(a, from->actor_key);
    to->endpoint = str_dup(a, from->endpoint);
    to->concurrency.key = str_dup(a, from->concurrency.key);
    to->debounce.key = str_dup(a, from->debounce.key);
    to->triggers = NEW_N(a, struct trigger, from->triggers_n);
    for (size_t i = 0; i < from->triggers_n; i++) {
        to->triggers[i].event = str_dup(a, from->triggers[i].event);
        to->triggers[i].expression = str_dup(a, from->triggers[i].expression);
        to->triggers[i].cron = str_dup(a, from->triggers[i].cron);
        to->triggers[i].filter = filter_of(a, &from->triggers[i]);
    }
    to->cancel_on = NEW_N(a, struct cancel_on, from->cancel_on_n + 1);
    for (size_t i = 0; i < from->cancel_on_n; i++) {
        to->cancel_on[i].event = str_dup(a, from->cancel_on[i].event);
        to->cancel_on[i].match = str_dup(a, from->cancel_on[i].match);
    }
}

static int by_key_order(const void *a, const void *b)
{
    const struct function *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

struct registry *registry_new(const struct function *fns, size_t n, int64_t epoch)
{
    struct registry *r = mem_zero(sizeof(*r));

    must(n < UINT32_MAX);
    arena_init(&r->arena);
    r->epoch = epoch;
    r->n = n;
    r->root = node_new(r);
    r->fns = NEW_N(&r->arena, struct function, n);
    for (size_t i = 0; i < n; i++)
        copy_function(&r->arena, &r->fns[i], &fns[i]);
    if (n > 1)
        qsort(r->fns, n, sizeof(*r->fns), by_key_order);
    for (size_t i = 0; i < n; i++) {
        struct function *f = &r->fns[i];

        must(f->key != 0);
        map_put(&r->by_key, (uint64_t)f->key, f);
        map_put_str(&r->by_id, f->id, f);
        if (!f->deleted && f->status == FN_ACTIVE)
            add_triggers(r, (uint32_t)i);
    }
    return r;
}

void registry_free(struct registry *r)
{
    if (r == NULL)
        return;
    for (struct node *node = r->nodes; node != NULL; node = node->next)
        map_done(&node->children);
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < r->fns[i].triggers_n; k++)
            filter_unref(r->fns[i].triggers[k].filter);
    map_done(&r->by_key);
    map_done(&r->by_id);
    map_done(&r->exact);
    arena_done(&r->arena);
    mem_free(r);
}

int64_t registry_epoch(const struct registry *r)
{
    return r->epoch;
}

size_t registry_count(const struct registry *r)
{
    return r->n;
}

const struct function *registry_at(const struct registry *r, size_t i)
{
    must(i < r->n);
    return &r->fns[i];
}

const struct function *registry_by_key(const struct registry *r, int64_t key)
{
    return map_get(&r->by_key, (uint64_t)key);
}

const struct function *registry_by_id(const struct registry *r, str_t id)
{
    const struct function *f = registry_ever(r, id);

    return f && !f->deleted ? f : NULL;
}

const struct function *registry_ever(const struct registry *r, str_t id)
{
    return map_get_str(&r->by_id, id);
}

/* What one event has matched so far. */
struct found {
    struct ctx *c;
    const struct event *event;
    struct filter_event view;
    uint32_t *items;
    size_t n, cap;
    bool named; /* a trigger has the event's name, whatever its filter says */
};

static void found_room(struct found *f, size_t more)
{
    size_t cap = (f->n + more) * 2;
    uint32_t *items;

    if (f->n + more <= f->cap)
        return;
    items = arena_alloc(f->c->arena, cap * sizeof(*items));
    if (f->n > 0)
        memcpy(items, f->items, f->n * sizeof(*items));
    f->items = items;
    f->cap = cap;
}

static void found_add(struct found *f, const struct hits *h)
{
    if (h == NULL || (h->n | h->filtered_n) == 0)
        return;
    f->named = true;
    found_room(f, (size_t)h->n + h->filtered_n);
    must(f->items != NULL);
    if (h->n > 0)
        memcpy(f->items + f->n, h->items, h->n * sizeof(*h->items));
    f->n += h->n;
    for (uint32_t i = 0; i < h->filtered_n; i++)
        if (h->filtered[i].filter != NULL &&
            filter_match(f->c, h->filtered[i].filter, f->event, &f->view))
            f->items[f->n++] = h->filtered[i].at;
}

/* The nodes reached by the tokens so far; a token at most doubles them. */
struct front {
    const struct node **items;
    size_t n, cap;
};

static void front_add(struct arena *a, struct front *f, const struct node *node)
{
    if (node == NULL)
        return;
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 16 : f->cap * 2;
        const struct node **items = arena_alloc(a, cap * sizeof(struct node *));

        if (f->n > 0)
            memcpy(items, f->items, f->n * sizeof(struct node *));
        f->items = items;
        f->cap = cap;
    }
    f->items[f->n++] = node;
}

static void find_patterns(struct arena *a, const struct registry *r, str_t name, struct found *out)
{
    struct front now = { 0 }, then = { 0 };
    str_t rest = name, token;

    front_add(a, &now, r->root);
    while (now.n > 0 && str_cut(&rest, '.', &token)) {
        struct front swap = now;

        then.n = 0;
        for (size_t i = 0; i < now.n; i++) {
            const struct node *node = now.items[i];

            found_add(out, &node->tails);
            front_add(a, &then, map_get_str(&node->children, token));
            front_add(a, &then, node->star);
        }
        now = then;
        then = swap;
    }
    for (size_t i = 0; i < now.n; i++)
        found_add(out, &now.items[i]->ends);
}

static int u32_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Sorts, and drops what occurs twice. */
static void found_settle(struct found *f)
{
    size_t n = 0;

    if (f->n < 2)
        return;
    qsort(f->items, f->n, sizeof(*f->items), u32_order);
    for (size_t i = 0; i < f->n; i++)
        if (n == 0 || f->items[n - 1] != f->items[i])
            f->items[n++] = f->items[i];
    f->n = n;
}

static void match_one(struct ctx *c, const struct registry *r, str_t id,
                      const struct function ***out, size_t *n)
{
    const struct function *f = registry_by_id(r, id);

    *n = 0;
    *out = NULL;
    if (f == NULL || f->status != FN_ACTIVE)
        return;
    *out = arena_alloc(c->arena, sizeof(struct function *));
    (*out)[0] = f;
    *n = 1;
}

void registry_match(struct ctx *c, const struct registry *r, const struct event *e,
                    const struct function ***out, size_t *n)
{
    struct found found = { .c = c, .event = e };

    if (str_starts(e->name, S(INVOKE_PREFIX))) {
        match_one(c, r, str_slice(e->name, sizeof(INVOKE_PREFIX) - 1, e->name.n), out, n);
        return;
    }
    found_add(&found, map_get_str(&r->exact, e->name));
    find_patterns(c->arena, r, e->name, &found);
    if (!found.named) {
        match_one(c, r, e->name, out, n);
        return;
    }
    found_settle(&found);
    *out = arena_alloc(c->arena, found.n * sizeof(struct function *));
    for (size_t i = 0; i < found.n; i++)
        (*out)[i] = &r->fns[found.items[i]];
    *n = found.n;
}
