/* Ticks of schedules. Whoever moves a row of crons on from a tick fires it, so it fires once in a
 * cluster and never again after a crash. */
#include "svc/cron.h"

#include "engine/match.h"
#include "engine/tick.h"
#include "store/crons.h"
#include "svc/events.h"
#include "svc/registry.h"
#include "svc/upkeep.h"

#define LOCKED_AGAIN_MS 100 /* what is due is held by another node */
#define TICKS_LOOK_MS 1000  /* somebody may have registered an earlier one */

static bool has_cron(const struct function *f)
{
    for (size_t i = 0; f != NULL && i < f->triggers_n; i++)
        if (f->triggers[i].cron.n > 0)
            return true;
    return false;
}

err_t cron_function_changed(struct ctx *c, const struct function *was, const struct function *f)
{
    struct tick *ticks;
    size_t n;

    if (!has_cron(was) && !has_cron(f))
        return ERR_OK;
    ticks_of(c, f, &ticks, &n);
    return store_cron_set(c, f->key, ticks, n);
}

static err_t tick_fire(struct ctx *c, const struct tick *t)
{
    const struct registry *reg = NULL;
    const struct function *f;
    struct emitted done = { 0 };
    int64_t next = INT64_MAX;
    bool mine = false;

    (void)tick_next(t->cron, c->now_ms, &next);
    TRY(store_cron_claim(c, t, next, &mine));
    if (!mine || c->now_ms - t->next_at > TICK_LATE_MS)
        return ERR_OK;
    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, t->fn);
    if (f == NULL || f->deleted || f->status != FN_ACTIVE)
        return ERR_OK;
    return svc_emit_tick(c, f, t->event, tick_data(c, t->next_at), &done);
}

err_t svc_cron_fire(struct ctx *c, int64_t *next_due)
{
    struct tick *ticks = NULL;
    int64_t next = c->now_ms;
    size_t n = 0;

    TRY(store_cron_due(c, c->now_ms, UPKEEP_SLICE, &ticks, &n));
    for (size_t i = 0; i < n; i++) {
        c->env = ticks[i].env;
        TRY(tick_fire(c, &ticks[i]));
    }
    c->env = 0;
    if (n == 0) {
        TRY(store_cron_next(c, &next));
        if (next <= c->now_ms)
            next = c->now_ms + LOCKED_AGAIN_MS;
        if (next > c->now_ms + TICKS_LOOK_MS)
            next = c->now_ms + TICKS_LOOK_MS;
    }
    *next_due = next;
    return ERR_OK;
}
