/* Debounce entries: armed, replaced, fired, listed, cancelled. */
#include "svc/debounce.h"

#include "engine/lane.h"
#include "engine/match.h"
#include "engine/run.h"
#include "store/debounces.h"
#include "store/events.h"
#include "svc/audit.h"
#include "svc/events.h"
#include "svc/registry.h"
#include "svc/upkeep.h"

/* No period is shorter, so an entry is seen before it is due. */
#define DEBOUNCE_EVERY_MS DEBOUNCE_PERIOD_MIN_MS
#define DEBOUNCE_LIST_MAX 100000
#define LOCKED_AGAIN_MS 100 /* what is due is held by another node */

err_t debounce_note(struct ctx *c, const struct function *f, const struct event *e)
{
    struct debounce_entry entry;
    bool added = false;

    debounce_arm(c, f, e, &entry);
    TRY(store_debounce_add(c, &entry, &added));
    if (added)
        return ERR_OK;
    debounce_again(c, f, e, &entry);
    return store_debounce_put(c, &entry);
}

/* One run with the latest event, unless nobody would run it any more. */
static err_t fire(struct ctx *c, const struct debounce_entry *entry)
{
    const struct registry *reg = NULL;
    const struct function *f;
    struct event e = { 0 };
    bool gone = false;
    int64_t run_id;

    TRY(store_debounce_del(c, entry->fn, entry->key_hash, &gone));
    if (!gone)
        return ERR_OK;
    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, entry->fn);
    if (f == NULL || f->deleted || f->status != FN_ACTIVE)
        return ERR_OK;
    TRY(store_event_get(c, entry->event_id, &e));
    return svc_run_start(c, f, &e, entry->fn_version, &run_id);
}

err_t svc_debounce_fire(struct ctx *c, int64_t *next_due)
{
    struct debounce_entry *entries = NULL;
    int64_t next = c->now_ms;
    size_t n = 0;

    TRY(store_debounce_due(c, c->now_ms, UPKEEP_SLICE, &entries, &n));
    for (size_t i = 0; i < n; i++) {
        c->env = entries[i].env;
        TRY(fire(c, &entries[i]));
    }
    c->env = 0;
    if (n == 0) {
        TRY(store_debounce_next(c, &next));
        if (next <= c->now_ms)
            next = c->now_ms + LOCKED_AGAIN_MS;
        if (next > c->now_ms + DEBOUNCE_EVERY_MS)
            next = c->now_ms + DEBOUNCE_EVERY_MS;
    }
    *next_due = next;
    return ERR_OK;
}

err_t svc_debounce_list(struct ctx *c, struct debounce_view **out, size_t *n)
{
    const struct registry *reg = NULL;
    struct debounce_entry *entries = NULL;
    struct debounce_view *views;
    size_t have = 0;

    TRY(svc_registry(c, &reg));
    TRY(store_debounce_list(c, DEBOUNCE_LIST_MAX, &entries, &have));
    views = NEW_N(c->arena, struct debounce_view, have + 1);
    for (size_t i = 0; i < have; i++) {
        const struct function *f = registry_by_key(reg, entries[i].fn);

        views[i] = (struct debounce_view){ .entry = entries[i],
                                           .function_id = f != NULL ? f->id : STR_NULL };
    }
    *out = views;
    *n = have;
    return ERR_OK;
}

err_t svc_debounce_cancel(struct ctx *c, str_t function_id, str_t key)
{
    const struct registry *reg = NULL;
    struct debounce_entry entry = { 0 };
    const struct function *f;
    bool found = false, gone = false;

    TRY(svc_registry(c, &reg));
    f = registry_ever(reg, function_id);
    if (f == NULL)
        return ERR_OK;
    TRY(store_debounce_get(c, f->key, lane_key(LANE_NONE, key), &entry, &found));
    if (!found)
        return ERR_OK;
    TRY(store_debounce_del(c, f->key, entry.key_hash, &gone));
    must(gone);
    return audit_debounce(c, f->key, entry.event_id, key);
}
