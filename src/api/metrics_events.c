/* Events by name: a table of fixed size whose slots are taken once and then only counted, so that
 * loops share it without a lock. Names that find no room are counted together as "other": a client
 * that makes up names cannot fill the memory. */
#include <stdatomic.h>

#include "api/metrics.h"
#include "base/mem.h"
#include "base/must.h"

enum { SLOTS = 2048, PROBES = 32, NAME_MAX_BYTES = 200 };

struct counted_name {
    size_t env_n, name_n;
    char text[]; /* environment, name */
};

struct event_counts {
    struct {
        _Atomic(struct counted_name *) name;
        atomic_uint_fast64_t n;
    } slots[SLOTS];
    atomic_uint_fast64_t other;
};

struct event_counts *event_counts_new(void)
{
    return mem_zero(sizeof(struct event_counts));
}

void event_counts_free(struct event_counts *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        mem_free(atomic_load(&e->slots[i].name));
    mem_free(e);
}

static bool is(const struct counted_name *c, str_t env_id, str_t name)
{
    return str_eq((str_t){ c->text, c->env_n }, env_id) &&
           str_eq((str_t){ c->text + c->env_n, c->name_n }, name);
}

/* Puts the name into a free slot; what is there afterwards, which another thread may have put. */
static const struct counted_name *take(_Atomic(struct counted_name *) *slot, str_t env_id,
                                       str_t name)
{
    struct counted_name *mine = mem_alloc(sizeof(*mine) + env_id.n + name.n), *there = NULL;

    mine->env_n = env_id.n;
    mine->name_n = name.n;
    memcpy(mine->text, env_id.p, env_id.n);
    memcpy(mine->text + env_id.n, name.p, name.n);
    if (atomic_compare_exchange_strong(slot, &there, mine))
        return mine;
    mem_free(mine);
    return there;
}

void event_counts_add(struct event_counts *e, str_t env_id, str_t name)
{
    uint64_t h = str_hash(name) ^ str_hash(env_id);

    for (size_t i = 0; i < PROBES && name.n <= NAME_MAX_BYTES; i++) {
        size_t at = (size_t)((h + i) % SLOTS);
        const struct counted_name *c = atomic_load(&e->slots[at].name);

        if (!c)
            c = take(&e->slots[at].name, env_id, name);
        if (is(c, env_id, name)) {
            atomic_fetch_add_explicit(&e->slots[at].n, 1, memory_order_relaxed);
            return;
        }
    }
    atomic_fetch_add_explicit(&e->other, 1, memory_order_relaxed);
}

static void line(struct buf *b, str_t env_id, str_t name, uint64_t n)
{
    buf_append(b, S("ironflow_events_emitted_total{"));
    metrics_label(b, "event_name", name);
    buf_char(b, ',');
    metrics_label(b, "environment", env_id);
    buf_printf(b, "} %llu\n", (unsigned long long)n);
}

void event_counts_print(struct buf *b, struct event_counts *e)
{
    uint64_t other = atomic_load(&e->other);

    metrics_head(b, "ironflow_events_emitted_total", "counter", "Events accepted by this process.");
    for (size_t i = 0; i < SLOTS; i++) {
        const struct counted_name *c = atomic_load(&e->slots[i].name);

        if (c)
            line(b, (str_t){ c->text, c->env_n }, (str_t){ c->text + c->env_n, c->name_n },
                 atomic_load(&e->slots[i].n));
    }
    if (other > 0)
        line(b, S(""), S("other"), other);
}
