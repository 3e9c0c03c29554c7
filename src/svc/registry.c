/* The cache of registries. Slots belong to the cache's lock; a snapshot has its own count of
 * references: the cache's slot, and every arena that borrowed it. An epoch is an id that is given
 * out once, so what a rolled back transaction has loaded can never be taken for another state. */
#include "svc/registry.h"

#include <stdatomic.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/function.h"
#include "engine/match.h"
#include "store/epochs.h"
#include "store/functions.h"
#include "svc/app.h"
#include "txn/txn.h"

/* The writer is ahead of the readers by at most the batch that is open; one more for a late reader.
 */
#define SLOTS 3

struct snapshot {
    struct registry *registry;
    atomic_int refs;
};

struct env_slots {
    struct snapshot *slots[SLOTS]; /* used last first */
};

struct registry_cache {
    struct mutex lock;
    struct map envs; /* environment key -> struct env_slots */
};

static void unref(void *arg)
{
    struct snapshot *s = arg;

    if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    registry_free(s->registry);
    mem_free(s);
}

struct registry_cache *registry_cache_new(void)
{
    struct registry_cache *r = mem_zero(sizeof(*r));

    mutex_init(&r->lock);
    return r;
}

void registry_cache_free(struct registry_cache *r)
{
    struct env_slots *e;

    if (r == NULL)
        return;
    for (size_t i = 0; (e = map_next(&r->envs, &i)) != NULL;) {
        for (size_t k = 0; k < SLOTS; k++)
            unref(e->slots[k]);
        mem_free(e);
    }
    map_done(&r->envs);
    mutex_done(&r->lock);
    mem_free(r);
}

static void to_front(struct env_slots *e, size_t at)
{
    struct snapshot *s = e->slots[at];

    for (; at > 0; at--)
        e->slots[at] = e->slots[at - 1];
    e->slots[0] = s;
}

/* Under the lock; NULL when no slot has the epoch. */
static struct snapshot *find(const struct registry_cache *r, int64_t env, int64_t epoch)
{
    struct env_slots *e = map_get(&r->envs, (uint64_t)env);

    for (size_t i = 0; e != NULL && i < SLOTS; i++)
        if (e->slots[i] != NULL && registry_epoch(e->slots[i]->registry) == epoch) {
            to_front(e, i);
            return e->slots[0];
        }
    return NULL;
}

/* The snapshot with a reference for the caller, or NULL. */
static struct snapshot *borrow(struct registry_cache *r, int64_t env, int64_t epoch)
{
    struct snapshot *s;

    mutex_lock(&r->lock);
    s = find(r, env, epoch);
    if (s != NULL)
        atomic_fetch_add(&s->refs, 1);
    mutex_unlock(&r->lock);
    return s;
}

/* Puts s into the cache, which takes a reference of its own; returns the one to drop. */
static struct snapshot *keep(struct registry_cache *r, int64_t env, struct snapshot *s)
{
    struct snapshot *old = NULL;

    mutex_lock(&r->lock);
    if (find(r, env, registry_epoch(s->registry)) == NULL) {
        struct env_slots *e = map_get(&r->envs, (uint64_t)env);

        if (e == NULL) {
            e = mem_zero(sizeof(*e));
            map_put(&r->envs, (uint64_t)env, e);
        }
        old = e->slots[SLOTS - 1];
        e->slots[SLOTS - 1] = s;
        to_front(e, SLOTS - 1);
        atomic_fetch_add(&s->refs, 1);
    }
    mutex_unlock(&r->lock);
    return old;
}

/* Decodes what the rows hold; what `last` has decoded for the same version is taken over. */
static err_t load(struct ctx *c, int64_t epoch, const struct registry *last, struct snapshot **out)
{
    struct function *fns;
    struct snapshot *s;
    size_t n;

    TRY(store_functions_all(c, &fns, &n));
    for (size_t i = 0; i < n; i++) {
        const struct function *known = last == NULL ? NULL : registry_by_key(last, fns[i].key);

        if (known != NULL && str_eq(known->config, fns[i].config)) {
            fns[i].name = known->name;
            fns[i].description = known->description;
            fns[i].triggers = known->triggers;
            fns[i].triggers_n = known->triggers_n;
            fns[i].cancel_on = known->cancel_on;
            fns[i].cancel_on_n = known->cancel_on_n;
            fns[i].retry = known->retry;
            fns[i].concurrency = known->concurrency;
            fns[i].debounce = known->debounce;
            fns[i].actor_key = known->actor_key;
            fns[i].endpoint = known->endpoint;
            fns[i].recording = known->recording;
            fns[i].recording_ms = known->recording_ms;
        } else {
            TRY(function_decode(c, &fns[i]));
        }
    }
    s = mem_zero(sizeof(*s));
    s->registry = registry_new(fns, n, epoch);
    atomic_init(&s->refs, 1);
    *out = s;
    return ERR_OK;
}

/* Any snapshot of the environment, with a reference for the caller, or NULL. */
static struct snapshot *borrow_any(struct registry_cache *r, int64_t env)
{
    struct snapshot *s = NULL;
    struct env_slots *e;

    mutex_lock(&r->lock);
    e = map_get(&r->envs, (uint64_t)env);
    if (e != NULL)
        s = e->slots[0];
    if (s != NULL)
        atomic_fetch_add(&s->refs, 1);
    mutex_unlock(&r->lock);
    return s;
}

err_t svc_registry(struct ctx *c, const struct registry **out)
{
    struct registry_cache *cache = app_of(c)->registry;
    struct snapshot *s, *last;
    int64_t epoch;

    TRY(store_epoch_get(c, c->env, EPOCH_FUNCTIONS, &epoch));
    s = borrow(cache, c->env, epoch);
    if (s == NULL) {
        err_t e;

        last = borrow_any(cache, c->env);
        e = load(c, epoch, last == NULL ? NULL : last->registry, &s);
        unref(last);
        TRY(e);
        unref(keep(cache, c->env, s));
    }
    arena_defer(c->arena, unref, s);
    *out = s->registry;
    return ERR_OK;
}

err_t svc_registry_touch(struct ctx *c)
{
    TRY(store_epoch_put(c, c->env, EPOCH_FUNCTIONS, ctx_id(c)));
    signal_add(c, SIG_REGISTRY, c->env);
    return ERR_OK;
}
