/* Time comes only from here, so that tests can own it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Wall clock at start plus the monotonic one (counting suspend); set anew after a jump. */
struct clock {
    int64_t (*now_ms)(const struct clock *self); /* since the Unix epoch */
    int64_t virtual_ms;                          /* the simulator's time */
};

/* The process's clock; any thread. */
const struct clock *clock_system(void);
/* A clock that shows c->virtual_ms. */
void clock_init_virtual(struct clock *c, int64_t start_ms);
int64_t clock_now(const struct clock *c);
/* Monotonic nanoseconds, for durations only. */
int64_t clock_mono_ns(void);
