/* Debouncing: the latest event of a burst starts one run when the burst is over (spec
 * engine-steps-flow 11). Pure: svc/debounce loads and stores the entries. */
#pragma once

#include "engine/types.h"

#define DEBOUNCE_PERIOD_MIN_MS 1000

struct debounce_entry {
    int64_t fn, key_hash, env;
    str_t key; /* in clear; empty: the one lane of events without a key */
    int64_t event_id;
    int64_t fn_version; /* when it was armed */
    int64_t period_ms, armed_at, fires_at;
    int64_t fires_max; /* never later, 0: no such bound */
};

static inline bool function_debounced(const struct function *f)
{
    return f->debounce.period_ms > 0;
}

/* The entry that an event arms; what it holds lives in c->arena. */
void debounce_arm(struct ctx *c, const struct function *f, const struct event *e,
                  struct debounce_entry *out);
/* Another event of the same burst: the end moves on, but not behind the longest wait since the
 * first one. */
void debounce_again(struct ctx *c, const struct function *f, const struct event *e,
                    struct debounce_entry *entry);
