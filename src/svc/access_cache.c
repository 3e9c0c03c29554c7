/* The cache behind svc/access.c. */
#include "svc/access_cache.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/sync.h"
#include "svc/app.h"

#define ENTRIES_MAX 10000 /* of each kind; above it starts anew */

/* Entries are one block each, their strings behind them. */
struct key_entry {
    uint8_t digest[SHA256_SIZE];
    struct known_key known;
    int64_t filled_ms, used_ms, settled_ms;
};

struct env_entry {
    str_t name; /* organization, line feed, text */
    struct known_env known;
    int64_t filled_ms;
};

struct access_cache {
    struct mutex lock;
    struct map keys; /* first 8 bytes of the digest */
    struct map envs; /* by name */
    int64_t epoch;   /* of the content */
    int64_t floor;   /* rows read under an older epoch are not taken in */
};

struct access_cache *access_cache_new(void)
{
    struct access_cache *a = mem_zero(sizeof(*a));

    mutex_init(&a->lock);
    return a;
}

static void clear_keys(struct access_cache *a)
{
    struct key_entry *e;

    for (size_t i = 0; (e = map_next(&a->keys, &i)) != NULL;)
        mem_free(e);
    map_done(&a->keys);
    a->keys = (struct map){ 0 };
}

static void clear_envs(struct access_cache *a)
{
    struct env_entry *e;

    for (size_t i = 0; (e = map_next(&a->envs, &i)) != NULL;)
        mem_free(e);
    map_done(&a->envs);
    a->envs = (struct map){ 0 };
}

void access_cache_free(struct access_cache *a)
{
    if (a == NULL)
        return;
    clear_keys(a);
    clear_envs(a);
    mutex_done(&a->lock);
    mem_free(a);
}

void access_cache_start(struct access_cache *a, int64_t epoch)
{
    mutex_lock(&a->lock);
    if (epoch > a->floor) {
        clear_keys(a);
        clear_envs(a);
        a->epoch = a->floor = epoch;
    }
    mutex_unlock(&a->lock);
}

void svc_access_forget(struct access_cache *a)
{
    mutex_lock(&a->lock);
    clear_keys(a);
    clear_envs(a);
    a->floor = a->epoch + 1; /* the change has a later epoch than all that was seen */
    mutex_unlock(&a->lock);
}

/* Under the lock: makes the content that of the epoch; false when it is older than that. */
static bool enter(struct access_cache *a, int64_t epoch)
{
    if (epoch < a->floor)
        return false;
    if (epoch > a->epoch) {
        clear_keys(a);
        clear_envs(a);
        a->epoch = a->floor = epoch;
    }
    return true;
}

static uint64_t short_digest(const uint8_t digest[SHA256_SIZE])
{
    uint64_t v;

    memcpy(&v, digest, sizeof(v));
    return v;
}

static str_t pack(char **at, str_t s)
{
    str_t copy = { *at, s.n };

    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

static size_t key_bytes(const struct known_key *k)
{
    return k->who.id.n + k->who.org_id.n + k->who.roles.n + k->env_name.n + k->env_own_id.n;
}

/* Copies k with its strings at text, which has room for key_bytes. */
static void copy_key(char *text, struct known_key *out, const struct known_key *k)
{
    *out = *k;
    out->who.id = pack(&text, k->who.id);
    out->who.org_id = pack(&text, k->who.org_id);
    out->who.roles = pack(&text, k->who.roles);
    out->who.env_id = STR_NULL;
    out->env_name = pack(&text, k->env_name);
    out->env_own_id = pack(&text, k->env_own_id);
}

bool access_cache_key(struct ctx *c, const uint8_t digest[SHA256_SIZE], int64_t oldest_ms,
                      struct known_key *out)
{
    struct access_cache *a = app_of(c)->access;
    struct key_entry *e;
    bool found;

    mutex_lock(&a->lock);
    e = map_get(&a->keys, short_digest(digest));
    found = e != NULL && e->filled_ms >= oldest_ms && crypto_equal(e->digest, digest, SHA256_SIZE);
    if (found) {
        copy_key(arena_alloc(c->arena, key_bytes(&e->known)), out, &e->known);
        if (c->now_ms > e->used_ms)
            e->used_ms = c->now_ms;
    }
    mutex_unlock(&a->lock);
    return found;
}

void access_cache_put_key(struct ctx *c, int64_t epoch, const uint8_t digest[SHA256_SIZE],
                          const struct known_key *k)
{
    struct access_cache *a = app_of(c)->access;
    struct key_entry *e = mem_zero(sizeof(*e) + key_bytes(k)), *old = NULL;

    memcpy(e->digest, digest, SHA256_SIZE);
    copy_key((char *)(e + 1), &e->known, k);
    e->filled_ms = e->used_ms = c->now_ms;
    mutex_lock(&a->lock);
    if (enter(a, epoch)) {
        if (a->keys.n >= ENTRIES_MAX)
            clear_keys(a);
        old = map_put(&a->keys, short_digest(digest), e);
        if (old != NULL)
            e->settled_ms = old->settled_ms;
        e = NULL;
    }
    mutex_unlock(&a->lock);
    mem_free(e);
    mem_free(old);
}

static str_t env_name(struct arena *arena, str_t org_id, str_t text)
{
    return str_printf(arena, STR_FMT "\n" STR_FMT, STR_ARG(org_id), STR_ARG(text));
}

bool access_cache_env(struct ctx *c, str_t org_id, str_t text, int64_t oldest_ms,
                      struct known_env *out)
{
    struct access_cache *a = app_of(c)->access;
    str_t name = env_name(c->arena, org_id, text);
    struct env_entry *e;
    bool found;

    mutex_lock(&a->lock);
    e = map_get_str(&a->envs, name);
    found = e != NULL && e->filled_ms >= oldest_ms;
    if (found)
        *out = (struct known_env){ .key = e->known.key, .id = str_dup(c->arena, e->known.id) };
    mutex_unlock(&a->lock);
    return found;
}

void access_cache_put_env(struct ctx *c, int64_t epoch, str_t org_id, str_t text,
                          const struct known_env *known)
{
    struct access_cache *a = app_of(c)->access;
    str_t name = env_name(c->arena, org_id, text);
    struct env_entry *e = mem_zero(sizeof(*e) + name.n + known->id.n), *old = NULL;
    char *at = (char *)(e + 1);

    e->name = pack(&at, name);
    e->known = (struct known_env){ .key = known->key, .id = pack(&at, known->id) };
    e->filled_ms = c->now_ms;
    mutex_lock(&a->lock);
    if (enter(a, epoch)) {
        if (a->envs.n >= ENTRIES_MAX)
            clear_envs(a);
        old = map_del_str(&a->envs, e->name);
        map_put_str(&a->envs, e->name, e);
        e = NULL;
    }
    mutex_unlock(&a->lock);
    mem_free(e);
    mem_free(old);
}

void access_cache_uses(struct ctx *c, struct key_use **out, size_t *n)
{
    struct access_cache *a = app_of(c)->access;
    struct key_entry *e;

    *n = 0;
    mutex_lock(&a->lock);
    *out = NEW_N(c->arena, struct key_use, ACCESS_USES_MAX);
    for (size_t i = 0; *n < ACCESS_USES_MAX && (e = map_next(&a->keys, &i)) != NULL;)
        if (e->used_ms > e->settled_ms)
            (*out)[(*n)++] =
                (struct key_use){ .id = str_dup(c->arena, e->known.who.id), .at_ms = e->used_ms };
    mutex_unlock(&a->lock);
}

void access_cache_settle(struct ctx *c, const struct key_use *use)
{
    struct access_cache *a = app_of(c)->access;
    struct key_entry *e;

    mutex_lock(&a->lock);
    for (size_t i = 0; (e = map_next(&a->keys, &i)) != NULL;)
        if (str_eq(e->known.who.id, use->id) && use->at_ms > e->settled_ms)
            e->settled_ms = use->at_ms;
    mutex_unlock(&a->lock);
}
