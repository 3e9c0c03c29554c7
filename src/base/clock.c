/* The process's clock. It advances with the monotonic clock that counts suspend; when the wall clock
 * was set (the two differ by a second or more) it is anchored anew. Any thread. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/must.h"

#define JUMP_MS 1000

/* Wall milliseconds at the zero of CLOCK_BOOTTIME; INT64_MIN before the first use. */
static _Atomic int64_t anchor_ms = INT64_MIN;

static int64_t read_ns(clockid_t id)
{
    struct timespec ts = { 0 };

    must(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t system_now(const struct clock *self)
{
    int64_t boot_ms = read_ns(CLOCK_BOOTTIME) / 1000000;
    int64_t wall_ms = read_ns(CLOCK_REALTIME) / 1000000;
    int64_t anchor = atomic_load_explicit(&anchor_ms, memory_order_relaxed);

    (void)self;
    if (anchor == INT64_MIN || llabs(wall_ms - boot_ms - anchor) >= JUMP_MS) {
        int64_t anew = wall_ms - boot_ms;

        /* Threads that see the jump at once agree on the first one's anchor. */
        if (atomic_compare_exchange_strong(&anchor_ms, &anchor, anew))
            anchor = anew;
    }
    return anchor + boot_ms;
}

static int64_t virtual_now(const struct clock *self)
{
    return self->virtual_ms;
}

static const struct clock system_clock = { .now_ms = system_now };

const struct clock *clock_system(void)
{
    return &system_clock;
}

void clock_init_virtual(struct clock *c, int64_t start_ms)
{
    *c = (struct clock){ .now_ms = virtual_now, .virtual_ms = start_ms };
}

int64_t clock_now(const struct clock *c)
{
    return c->now_ms(c);
}

int64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}
