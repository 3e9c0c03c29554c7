/* One seed from its start to its end, its story and its verdict. */
#include "sim.h"

#include <stdarg.h>
#include <string.h>

enum { DRAIN_STEPS = 60000 };

bool chance(struct sim *s, int percent)
{
    return rng_below(&s->rng, 100) < (uint64_t)percent;
}

int64_t pick(struct sim *s, int64_t n)
{
    return n > 0 ? (int64_t)rng_below(&s->rng, (uint64_t)n) : 0;
}

void note(struct sim *s, const char *fmt, ...)
{
    char *line = s->notes[s->notes_n++ % SIM_NOTES];
    int n = snprintf(line, sizeof(s->notes[0]), "%6lld t=%lld ", (long long)s->step,
                     (long long)(s->clock.virtual_ms % 10000000000));
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line + n, sizeof(s->notes[0]) - (size_t)n, fmt, ap);
    va_end(ap);
    s->totals.digest = (s->totals.digest ^ str_hash(str_from(line))) * 0x9e3779b97f4a7c15u;
    if (s->o.verbose)
        fprintf(stderr, "%s\n", line);
}

void violation(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (s->failed)
        return;
    s->failed = true;
    va_start(ap, fmt);
    (void)vsnprintf(s->why, sizeof(s->why), fmt, ap);
    va_end(ap);
}

static void tell(const struct sim *s, char *out, size_t max)
{
    int64_t from = s->notes_n > SIM_NOTES ? s->notes_n - SIM_NOTES : 0;
    size_t n = 0;

    for (int64_t i = from; i < s->notes_n && n < max; i++)
        n += (size_t)snprintf(out + n, max - n, "%s\n", s->notes[i % SIM_NOTES]);
    if (n < max)
        (void)snprintf(out + n, max - n, "VIOLATION seed %llu step %lld: %s",
                       (unsigned long long)s->o.seed, (long long)s->step, s->why);
}

/* Everybody behaves from now on: all runs must end. */
static void drain(struct sim *s)
{
    s->draining = true;
    if (!s->failed)
        world_restart(s);
    for (int i = 0; i < DRAIN_STEPS && !s->failed &&
                    (s->open_runs > 0 || i < SIM_WORKERS || check_flow_held(s));
         i++)
        actor_step(s);
    for (int i = 0; i < 20 && !s->failed; i++) {
        s->clock.virtual_ms += 3600000;
        world_settle(s);
    }
    if (!s->failed)
        check_end(s);
}

bool sim_run(const struct sim_opts *o, struct sim_totals *totals, char *why, size_t why_max)
{
    struct sim *s = mem_zero(sizeof(*s));
    bool ok;

    s->o = *o;
    rng_seed(&s->rng, o->seed);
    arena_init(&s->keep);
    s->keys = NEW_N(&s->keep, struct m_key, SIM_KEYS);
    s->next_pos = s->render_pos = 1;
    world_make(s);
    if (!s->failed)
        actors_init(s);
    while (s->step < o->steps && !s->failed) {
        actor_step(s);
        if (s->step % 1000 == 0 && !s->failed)
            check_all(s, false);
    }
    drain(s);
    ok = !s->failed;
    if (!ok && why_max > 0)
        tell(s, why, why_max);
    world_free(s);
    *totals = s->totals;
    map_done(&s->runs);
    map_done(&s->step_rows);
    vec_done(&s->order);
    vec_done(&s->emits);
    vec_done(&s->ops);
    for (size_t i = 0; i < s->outcomes.n; i++)
        mem_free(s->outcomes.items[i]);
    vec_done(&s->outcomes);
    arena_done(&s->keep);
    mem_free(s);
    return ok;
}
