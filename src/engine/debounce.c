/* When a burst is over. */
#include "engine/debounce.h"

#include "engine/lane.h"

void debounce_again(struct ctx *c, const struct function *f, const struct event *e,
                    struct debounce_entry *entry)
{
    const struct debounce *d = &f->debounce;

    entry->event_id = e->id;
    entry->period_ms = d->period_ms;
    entry->fires_at = c->now_ms + d->period_ms;
    entry->fires_max = d->max_wait_ms > 0 ? entry->armed_at + d->max_wait_ms : 0;
    if (entry->fires_max > 0 && entry->fires_at > entry->fires_max)
        entry->fires_at = entry->fires_max;
}

void debounce_arm(struct ctx *c, const struct function *f, const struct event *e,
                  struct debounce_entry *out)
{
    struct debounce_entry entry = { .fn = f->key,
                                    .env = c->env,
                                    .key = flow_value(c, e->data, f->debounce.key),
                                    .fn_version = f->version,
                                    .armed_at = c->now_ms };

    entry.key_hash = lane_key(LANE_NONE, entry.key);
    debounce_again(c, f, e, &entry);
    *out = entry;
}
