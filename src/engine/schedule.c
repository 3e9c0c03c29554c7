/* Fences, leases and the order of dispatch. The fence decides, never the clock: until a run is
 * handed out again its last holder may report (spec engine-pull section 6.6). */
#include "engine/schedule.h"

#include <stdlib.h>

/* Does the message name the segment (seq, token) held by `worker`? Without a token only the path's
 * worker can show that it is the holder. */
static bool fence_names(const struct fence_claim *f, int64_t seq, int64_t token, int64_t worker)
{
    if (f->job_seq != seq || (f->seq != 0 && f->seq != seq))
        return false;
    if (f->token != 0)
        return f->token == token;
    return f->worker == worker;
}

enum fence_verdict fence_check(const struct fence_claim *f, const struct job *job,
                               enum job_report kind)
{
    if (job->execution_seq == 0 || !fence_names(f, job->execution_seq, job->token, job->worker))
        return FENCE_STALE;
    if (job->reported != JOB_OPEN)
        return kind == job->reported ? FENCE_REPEATED : FENCE_NOT_RUNNING;
    return job->state == JOB_CLAIMED ? FENCE_CURRENT : FENCE_REVIVE;
}

static enum job_report report_of(enum run_status s)
{
    if (s == RUN_COMPLETED)
        return JOB_REPORTED_COMPLETED;
    return s == RUN_FAILED ? JOB_REPORTED_FAILED : JOB_OPEN;
}

enum fence_verdict fence_check_ended(const struct fence_claim *f, const struct run *run,
                                     int64_t worker, enum job_report kind)
{
    if (run->execution_seq == 0 || !fence_names(f, run->execution_seq, run->token, worker))
        return FENCE_STALE;
    return kind != JOB_OPEN && kind == report_of(run->status) ? FENCE_REPEATED : FENCE_NOT_RUNNING;
}

enum run_status job_run_status(const struct job *job)
{
    switch (job->state) {
    case JOB_CLAIMED:
        return RUN_RUNNING;
    case JOB_PARKED:
        return job->reported == JOB_REPORTED_YIELDED || job->reported == JOB_REPORTED_PAUSED
                   ? RUN_PAUSED
                   : RUN_WAITING;
    case JOB_READY:
    case JOB_LANED:
        break;
    }
    return (job->watch & WATCH_RESUMED) != 0 ? RUN_RUNNING : RUN_PENDING;
}

int64_t lease_renewed(int64_t now_ms, int64_t lease_until, int64_t lease_ms)
{
    int64_t longer = now_ms + lease_ms + lease_ms / 6;

    if (lease_until - now_ms >= lease_ms)
        return lease_until;
    return longer > lease_until ? longer : lease_until;
}

static int job_older(const void *a, const void *b)
{
    const struct job *x = a, *y = b;

    if (x->ready_at != y->ready_at)
        return x->ready_at < y->ready_at ? -1 : 1;
    if (x->run_id != y->run_id)
        return x->run_id < y->run_id ? -1 : 1;
    return 0;
}

size_t jobs_oldest_first(struct job *jobs, size_t n, size_t want)
{
    if (n > 1)
        qsort(jobs, n, sizeof(*jobs), job_older);
    return n < want ? n : want;
}

bool polls_nap_when_full(const struct worker *w)
{
    static const char *const runtimes[] = { "node", "bun", "deno", "js", "go", "python" };

    for (size_t i = 0; i < COUNT_OF(runtimes) && w->transport != 2; i++)
        if (str_starts(w->runtime, str_from(runtimes[i])))
            return true;
    return false;
}
