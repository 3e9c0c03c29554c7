/* Housekeeping. A job is a call that does one bounded slice and says when it is due next; it has
 * neither thread nor timer: between slices it is parked in txn on its deadline (or on SIG_TIMER).
 */
#pragma once

#include "base/ctx.h"

struct txn;
struct jobs;

struct job_spec {
    const char *name;
    /* One slice, in a write transaction: at most 256 rows. *next_due: when it wants to run again;
     * now or earlier when it wrote anything, so that it goes on behind the commit. */
    err_t (*step)(struct ctx *c, int64_t *next_due);
    bool wakes_on_timer; /* run again when an earlier timer was set */
};
extern const struct job_spec job_specs[];
extern const size_t job_specs_n;

/* Submits every job once; they keep themselves going until jobs_stop. */
NODISCARD err_t jobs_start(struct ctx *c, struct txn *t, struct jobs **out);
/* No job begins another slice; before txn_stop. Does not wait: the memory goes with the last of
 * their calls, in txn_stop when it is parked. NULL is allowed. */
void jobs_stop(struct jobs *j);
