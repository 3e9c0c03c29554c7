/* Admission of runs: lanes and actors (spec engine-steps-flow 12 and 13, design section 4). A job
 * that passes no lane is none of its business and costs nothing. */
#pragma once

#include "engine/lane.h"

static inline bool flow_applies(const struct job *job)
{
    return (job->lane | job->actor) != 0;
}

/* A new job, before its row is written: takes its slots, or stands in line (JOB_LANED). */
NODISCARD err_t flow_enter(struct ctx *c, struct job *job);
/* A job whose row has just been written (or deleted: ended) for a move: takes or gives back slots
 * as its state wants, and whoever leaves admits the next. Changes *job and its row. */
NODISCARD err_t flow_settle(struct ctx *c, struct job *job, bool ended);
/* The last holder is back: takes the slots again that the job lost with its lease. *done is false
 * when others have them; then the job stays as it is. */
NODISCARD err_t flow_regain(struct ctx *c, struct job *job, bool *done);
/* A worker has taken the job: it owns the job's actor from now on. */
NODISCARD err_t flow_claimed(struct ctx *c, struct job *job, int64_t worker);
/* Tells those who wait that a ready job is there. */
void flow_signal(struct ctx *c, const struct job *job);

/* A worker is gone, or serves other functions now: up to a slice of its bonds go; *more: some are
 * left. */
NODISCARD err_t flow_worker_gone(struct ctx *c, int64_t worker, bool *more);
/* A function was registered or changed: was is NULL when it is new. */
NODISCARD err_t flow_function_changed(struct ctx *c, const struct function *was,
                                      const struct function *f);
