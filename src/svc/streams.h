/* Workers on streams: what a stream needs beside the use cases of pull workers (spec engine-pull
 * section 9). A stream is a session; the row of its worker says which one registered it last. */
#pragma once

#include "svc/workers.h"

enum job_fate {
    FATE_OPEN,      /* its segment is claimed */
    FATE_GONE,      /* ended, waiting, or somebody else's */
    FATE_CANCELLED, /* its worker is to be told */
};
struct stream_job {
    int64_t run_id, seq;
    enum job_fate fate; /* out */
    str_t reason;       /* out, of a cancel: "user", "cancel-on-event", "pause-for-injection" */
};
enum stream_state {
    STREAM_CURRENT,
    STREAM_REPLACED, /* another stream, or a poll, is this worker now */
    STREAM_FORGOTTEN /* the worker's row is gone */
};
/* READ. What became of the jobs of a session; parks on SIG_WORKER, until wait_ms at most, when
 * nothing happened to them. It looks once: *looked is set when it parks, and then it returns
 * without looking, so that its maker asks again with the jobs of that time. */
NODISCARD err_t svc_stream_watch(struct ctx *c, const struct worker *w, struct stream_job *jobs,
                                 size_t n, int64_t wait_ms, bool *looked, enum stream_state *out);

/* WRITE. A stream is gone for good: so is its worker, unless another stream is it now. */
NODISCARD err_t svc_stream_gone(struct ctx *c, const struct worker *w);

/* WRITE. A job that the worker does not want goes back into the queue. Errors as svc_job_ack. */
NODISCARD err_t svc_job_nack(struct ctx *c, str_t worker_id, str_t job_id, struct fence fence);
/* WRITE. Is the job held by a worker, so that messages about it need a token? */
NODISCARD err_t svc_job_leased(struct ctx *c, str_t job_id, bool *out);
/* Grows with every change of the transaction: a use case that failed without one did nothing. */
uint64_t svc_writes(const struct ctx *c);
