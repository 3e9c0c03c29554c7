/* Waits for events and events that cancel (spec engine-steps-flow sections 5 and 14). */
#pragma once

#include "engine/run.h"
#include "store/waits.h"

/* How many an event wakes in its own transaction; the rest is worked off in slices. */
#define WAKES_PER_CALL 256

/* Whom an event concerns, as far as its own transaction shall deal with them. */
struct wakes {
    struct wait *list;
    size_t n;
    struct wake rest; /* where a job goes on */
    bool more;
};

/* In the transaction of a new event, before the specs of its own runs are stored: looks only.
 * *budget is what the call may still do, and is lowered. */
NODISCARD err_t waits_find(struct ctx *c, const struct event *e, int64_t *budget,
                           struct wakes *out);
/* Completes and cancels them, and leaves the rest to the job. */
NODISCARD err_t waits_wake(struct ctx *c, const struct event *e, const struct wakes *w);

/* Stores what may cancel the new run of e; *any tells that there is something. */
NODISCARD err_t waits_add_cancels(struct ctx *c, const struct function *f, const struct event *e,
                                  int64_t run_id, bool *any);
/* The row of a step that waits. */
NODISCARD err_t waits_add_step(struct ctx *c, int64_t run_id, int64_t step,
                               const struct wait_key *key);

/* The deadline of the step that the run waits for has passed: *out is what becomes of the run. */
NODISCARD err_t wait_timed_out(struct ctx *c, struct run *run, struct job *job, int64_t step,
                               struct run_move *out);

/* Work left over for later: the end of a child far up a chain of invokes. */
NODISCARD err_t wake_later(struct ctx *c, int64_t ended_run);
