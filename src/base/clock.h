/* Time comes only from here, so that tests can own it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Wall clock at start plus the monotonic one (counting suspend). It follows a wall clock that is
 * set forward; it never goes back, or what has a time would wait until that time has come again. */
struct clock {
    int64_t (*now_ms)(const struct clock *self); /* since the Unix epoch */
    int64_t virtual_ms;                          /* the simulator's time */
    int64_t virtual_jumps;                       /* and how often it was set forward */
};

/* The process's clock; any thread. */
const struct clock *clock_system(void);
/* The process's clock follows another one, which several processes share, in place of the wall: it
 * is anchored at the first reading, wherever that lies, and then goes by the rule above. To be read
 * again every few seconds, by one thread at a time. */
void clock_follow(int64_t shown_ms);
/* A clock that shows c->virtual_ms. */
void clock_init_virtual(struct clock *c, int64_t start_ms);
int64_t clock_now(const struct clock *c);
/* A positive number that is another one after each time the clock was set forward: what was to last
 * from before until after it has lasted shorter. */
int64_t clock_epoch(const struct clock *c);
/* What the wall shows, for others to compare with theirs: goes back when it is set back. */
int64_t clock_wall(const struct clock *c);
/* Monotonic nanoseconds, for durations only. */
int64_t clock_mono_ns(void);
