/* Open addressing with linear probing, at most three quarters full; a removal moves what follows
 * back, so there are no tombstones. A slot of a string map keeps the hash as its key. One map has
 * keys of one kind: a name of NULL marks a number, and a string key never has p NULL here. */
#include "base/map.h"

#include "base/mem.h"
#include "base/must.h"

#define MAP_FIRST 16

static size_t home(const struct map *m, uint64_t key)
{
    /* Ids differ in their low bits and their milliseconds; the product spreads both to the top. */
    uint64_t h = (key ^ (key >> 32)) * 0x9e3779b97f4a7c15u;

    return (size_t)(h ^ (h >> 32)) & (m->cap - 1);
}

static bool matches(const struct map_slot *slot, uint64_t key, str_t name)
{
    if (slot->key != key || (slot->name.p == NULL) != (name.p == NULL))
        return false;
    return name.p == NULL || str_eq(slot->name, name);
}

/* The slot of the key, or the free slot where it belongs. The map has slots. */
static struct map_slot *find(const struct map *m, uint64_t key, str_t name)
{
    size_t i = home(m, key);

    while (m->slots[i].value != NULL && !matches(&m->slots[i], key, name))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void resize(struct map *m, size_t cap)
{
    struct map old = *m;

    m->cap = cap;
    m->slots = mem_zero(cap * sizeof(*m->slots));
    for (size_t from = 0; from < old.cap; from++) {
        size_t to;

        if (old.slots[from].value == NULL)
            continue;
        to = home(m, old.slots[from].key);
        while (m->slots[to].value != NULL)
            to = (to + 1) & (cap - 1);
        m->slots[to] = old.slots[from];
    }
    mem_free(old.slots);
}

static void *get(const struct map *m, uint64_t key, str_t name)
{
    return m->n == 0 ? NULL : find(m, key, name)->value;
}

static void *put(struct map *m, uint64_t key, str_t name, void *value)
{
    struct map_slot *slot;
    void *old;

    must(value != NULL);
    if (m->n >= m->cap / 4 * 3)
        resize(m, m->cap == 0 ? MAP_FIRST : m->cap * 2);
    slot = find(m, key, name);
    old = slot->value;
    *slot = (struct map_slot){ key, name, value };
    m->n += old == NULL;
    return old;
}

static void *del(struct map *m, uint64_t key, str_t name)
{
    struct map_slot *slot;
    size_t hole, i;
    void *old;

    if (m->n == 0)
        return NULL;
    slot = find(m, key, name);
    old = slot->value;
    if (old == NULL)
        return NULL;
    hole = (size_t)(slot - m->slots);
    for (i = (hole + 1) & (m->cap - 1); m->slots[i].value != NULL; i = (i + 1) & (m->cap - 1)) {
        size_t from_home = (i - home(m, m->slots[i].key)) & (m->cap - 1);

        /* It may move only where its probe from home still passes. */
        if (from_home >= ((i - hole) & (m->cap - 1))) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){ 0 };
    m->n--;
    return old;
}

static str_t named(str_t name)
{
    return name.p == NULL ? S("") : name;
}

void map_done(struct map *m)
{
    mem_free(m->slots);
    *m = (struct map){ 0 };
}

void *map_get(const struct map *m, uint64_t key)
{
    return get(m, key, STR_NULL);
}

void *map_put(struct map *m, uint64_t key, void *value)
{
    return put(m, key, STR_NULL, value);
}

void *map_del(struct map *m, uint64_t key)
{
    return del(m, key, STR_NULL);
}

void *map_get_str(const struct map *m, str_t name)
{
    return m->n == 0 ? NULL : get(m, str_hash(name), named(name));
}

void *map_put_str(struct map *m, str_t name, void *value)
{
    return put(m, str_hash(name), named(name), value);
}

void *map_del_str(struct map *m, str_t name)
{
    return m->n == 0 ? NULL : del(m, str_hash(name), named(name));
}

void *map_next(const struct map *m, size_t *i)
{
    while (*i < m->cap) {
        void *value = m->slots[(*i)++].value;

        if (value != NULL)
            return value;
    }
    return NULL;
}
