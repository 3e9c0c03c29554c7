/* Who holds a job: shared by claims, acks, reports and heartbeats. */
#pragma once

#include "engine/schedule.h"
#include "svc/workers.h"

/* ERR_NOT_FOUND "worker not registered". */
NODISCARD err_t worker_require(struct ctx *c, str_t id, struct worker *out);
/* A sign of life of a worker, written if the last one is old enough. */
NODISCARD err_t worker_beats(struct ctx *c, const struct worker *w);

/* A job as a worker's message finds it. */
struct held {
    struct job job;
    struct run run; /* id, fn and status; whole when loaded */
    bool loaded;
    enum run_status from;       /* what the stored run row says */
    enum fence_verdict verdict; /* FENCE_CURRENT, FENCE_REVIVE or FENCE_REPEATED */
};
/* Locks the job and judges the fence; kind: the final report in hand, else JOB_OPEN.
 * ERR_STALE_EXECUTION, ERR_RUN_NOT_RUNNING, ERR_NOT_FOUND "worker not registered". */
NODISCARD err_t job_hold(struct ctx *c, str_t worker_id, str_t job_id, const struct fence *fence,
                         enum job_report kind, struct held *out);
/* The usual ack in one statement: renews the lease if the fence names the claimed segment. *done is
 * false when job_hold must find out more. */
NODISCARD err_t job_ack_fast(struct ctx *c, str_t job_id, const struct fence *fence,
                             int64_t lease_until, bool *done);
/* Fills held->run from its row. */
NODISCARD err_t job_hold_run(struct ctx *c, struct held *h);
