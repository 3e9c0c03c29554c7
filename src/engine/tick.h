/* Schedules: the cron triggers of a function and the events of their ticks (spec engine-steps-flow
 * 10). Pure. */
#pragma once

#include "engine/types.h"

/* A tick that comes later than this was missed while nobody ran, and is skipped. */
#define TICK_LATE_MS 5000

struct tick {
    int64_t fn, ord, env; /* ord: index of the trigger */
    str_t cron, event;    /* event: the name of its events */
    int64_t next_at;
};

/* The schedules of a function that ticks: none unless it is active. */
void ticks_of(struct ctx *c, const struct function *f, struct tick **out, size_t *n);
/* When the schedule fires after after_ms; false: never again. */
bool tick_next(str_t cron, int64_t after_ms, int64_t *out);
/* When the function will be started by a schedule next, 0: never. */
int64_t function_next_run(const struct function *f, int64_t now_ms);
/* {"scheduled_at":"..."} */
str_t tick_data(struct ctx *c, int64_t at_ms);
