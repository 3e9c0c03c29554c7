/* Who may change a run now, how long a lease lasts, and in which order ready runs are served. */
#pragma once

#include "engine/types.h"

/* What a worker's message says about itself: the job id of its path and the fence of its body. */
struct fence_claim {
    int64_t job_seq; /* execution_seq inside the job id */
    int64_t seq;     /* execution_seq of the body, 0: none */
    int64_t token;   /* of the body, 0: none, -1: a text that no lease has */
    int64_t worker;  /* key of the path's worker */
};

enum fence_verdict {
    FENCE_CURRENT,  /* holds the run */
    FENCE_REVIVE,   /* lost its lease, but nobody else has got the run yet: holds it again */
    FENCE_REPEATED, /* its final report of this kind was accepted before: answer OK, do nothing */
    FENCE_STALE,    /* another segment is current, or no such job */
    FENCE_NOT_RUNNING, /* its segment is over: cancelled, ended, or reported otherwise */
};

/* kind: the final report in hand, JOB_OPEN for ack, progress and heartbeat. */
enum fence_verdict fence_check(const struct fence_claim *f, const struct job *job,
                               enum job_report kind);
/* The same against a run that has no queue row any more; worker is the key of run->worker. */
enum fence_verdict fence_check_ended(const struct fence_claim *f, const struct run *run,
                                     int64_t worker, enum job_report kind);

/* Status of the run whose job this is, as long as the segment has not been reported. */
enum run_status job_run_status(const struct job *job);

/* The lease after a sign of life: lease_ms and a sixth more, and only when less than lease_ms is
 * left, so that frequent signs seldom write. Never shortens. */
int64_t lease_renewed(int64_t now_ms, int64_t lease_until, int64_t lease_ms);

/* Puts the oldest `want` of n ready jobs first, by ready_at and run id; returns how many there are.
 */
size_t jobs_oldest_first(struct job *jobs, size_t n, size_t want);

/* Does this worker sleep for a while when all its slots are taken, and start nothing meanwhile? The
 * published clients that poll do. */
bool polls_nap_when_full(const struct worker *w);
