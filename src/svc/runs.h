/* Runs and steps: reading, waiting for their end, cancelling. */
#pragma once

#include "engine/types.h"

/* READ. ERR_NOT_FOUND. */
NODISCARD err_t svc_run_get(struct ctx *c, int64_t id, struct run *out);
/* The event that started it, for its input. */
NODISCARD err_t svc_run_input(struct ctx *c, const struct run *run, struct event *out);
/* A part of a run's steps. */
struct step_filter {
    int64_t limit, offset; /* limit 0: all */
    size_t bytes_max;      /* of payloads; 0: any */
};
/* READ. Steps in sequence order; ERR_NOT_FOUND for an unknown run, ERR_TOO_LARGE when they hold
 * more than f->bytes_max. */
NODISCARD err_t svc_run_steps(struct ctx *c, int64_t run_id, const struct step_filter *f,
                              struct step **out, size_t *n);

struct run_filter {
    str_t function_id;
    uint32_t statuses; /* bit (1 << enum run_status); 0: all */
    int64_t since_ms, until_ms;
    int64_t limit, offset;
    int64_t before_id; /* keyset cursor: only older ids; 0: none */
};
/* READ. Newest first; *total counts all matches (counters, or a count capped at 100,000). */
NODISCARD err_t svc_run_list(struct ctx *c, const struct run_filter *f, struct run **out, size_t *n,
                             int64_t *total);

/* WRITE. Ends a run that has not ended (spec engine-ops section 1). Already cancelled: ERR_OK and
 * *now stays false. ERR_NOT_FOUND, ERR_PRECONDITION. *reason is for message and log only; it is cut
 * to 1024 code points. */
NODISCARD err_t svc_run_cancel(struct ctx *c, int64_t id, str_t *reason, struct run *out,
                               bool *now);

/* Inside a WRITE: ends an open run, whose job is locked, because an event says so. */
NODISCARD err_t run_cancel_by_event(struct ctx *c, int64_t id, struct job *job);

/* READ that parks on SIG_RUN_ENDED until all of the runs have ended or deadline_ms; then *ended_all
 * says which. Use: return its ERR_PARKED. */
NODISCARD err_t svc_runs_wait(struct ctx *c, const int64_t *ids, size_t n, int64_t deadline_ms,
                              struct run **out, bool *ended_all);
