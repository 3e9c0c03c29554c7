/* The process's clock. It advances with the monotonic clock that counts suspend; when the wall
 * clock, or the one that it follows, was set forward (by a second or more) it is anchored anew. */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "base/clock_priv.h"
#include "base/must.h"

#define JUMP_MS 1000

/* Wall milliseconds at the zero of CLOCK_BOOTTIME. */
static _Atomic int64_t anchor_ms = CLOCK_NO_ANCHOR;
static atomic_bool follows; /* another clock than the wall */

static int64_t read_ns(clockid_t id)
{
    struct timespec ts = { 0 };

    must(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_anchor(int64_t anchor, int64_t wall_ms, int64_t boot_ms)
{
    int64_t now = wall_ms - boot_ms;

    return anchor == CLOCK_NO_ANCHOR || now - anchor >= JUMP_MS ? now : anchor;
}

static int64_t system_wall(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}

static int64_t boot_ms(void)
{
    return read_ns(CLOCK_BOOTTIME) / 1000000;
}

static int64_t system_now(const struct clock *self)
{
    int64_t boot = boot_ms(), wall, before, anchor;

    (void)self;
    if (atomic_load(&follows))
        return atomic_load(&anchor_ms) + boot;
    wall = system_wall();
    before = atomic_load_explicit(&anchor_ms, memory_order_relaxed);
    anchor = clock_anchor(before, wall, boot);
    /* Threads that see a jump at once agree on the first one's anchor. */
    if (anchor != before && !atomic_compare_exchange_strong(&anchor_ms, &before, anchor))
        anchor = before;
    return anchor + boot;
}

void clock_follow(int64_t shown_ms)
{
    int64_t before = atomic_load(&follows) ? atomic_load(&anchor_ms) : CLOCK_NO_ANCHOR;

    atomic_store(&anchor_ms, clock_anchor(before, shown_ms, boot_ms()));
    atomic_store(&follows, true);
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

/* Whoever has read a time from behind a jump sees the anchor that made it. */
int64_t clock_epoch(const struct clock *c)
{
    if (c != &system_clock)
        return 1 + c->virtual_jumps;
    (void)system_now(c);
    return atomic_load(&anchor_ms);
}

int64_t clock_wall(const struct clock *c)
{
    return c == &system_clock ? system_wall() : c->virtual_ms;
}

int64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}
