/* Workers on streams: who is connected, and what became of the jobs that were sent. */
#include "svc/streams.h"

#include "db/db.h"
#include "engine/run.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/workers.h"
#include "svc/flow.h"
#include "svc/holder.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "txn/txn.h"

static err_t job_look(struct ctx *c, struct stream_job *job)
{
    struct run run = { 0 };
    struct job row = { 0 };
    bool open = false;
    err_t e;

    TRY(store_queue_peek(c, job->run_id, &row, &open));
    job->fate = FATE_OPEN;
    if (open && row.state == JOB_CLAIMED && row.execution_seq == job->seq)
        return ERR_OK;
    job->fate = FATE_GONE;
    e = store_run_get(c, job->run_id, &run);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    if (run.status == RUN_CANCELLED) {
        job->fate = FATE_CANCELLED;
        job->reason = run.cancellation_cause.n > 0 ? run.cancellation_cause : S("user");
    } else if (run.status == RUN_PAUSED && run.pause_reason == PAUSE_INJECTION) {
        job->fate = FATE_CANCELLED;
        job->reason = S("pause-for-injection");
    }
    return ERR_OK;
}

err_t svc_stream_watch(struct ctx *c, const struct worker *w, struct stream_job *jobs, size_t n,
                       int64_t wait_ms, bool *looked, enum stream_state *out)
{
    struct worker row = { 0 };
    bool known = false, news = false;

    *out = STREAM_CURRENT;
    if (*looked)
        return ERR_OK;
    TRY(store_worker_get(c, w->id, &row, &known));
    if (!known)
        *out = STREAM_FORGOTTEN;
    else if (row.session != w->session)
        *out = STREAM_REPLACED;
    for (size_t i = 0; i < n; i++) {
        TRY(job_look(c, &jobs[i]));
        news |= jobs[i].fate != FATE_OPEN;
    }
    if (news || *out != STREAM_CURRENT)
        return ERR_OK;
    *looked = true;
    return txn_park(c, SIG_WORKER, &row.key, 1, c->now_ms + wait_ms);
}

err_t svc_stream_gone(struct ctx *c, const struct worker *w)
{
    struct worker row = { 0 };
    bool known = false, more = true, gone = false;

    TRY(store_worker_get(c, w->id, &row, &known));
    if (!known || row.session != w->session)
        return ERR_OK;
    while (more)
        TRY(flow_worker_gone(c, row.key, &more));
    TRY(store_worker_leave(c, row.key, w->session, &gone));
    return gone ? message_entity(c, TOPIC_WORKER_DISCONNECTED, w->id) : ERR_OK;
}

err_t svc_job_nack(struct ctx *c, str_t worker_id, str_t job_id, struct fence fence)
{
    struct run_move move = { 0 };
    struct held h = { 0 };

    TRY(job_hold(c, worker_id, job_id, &fence, JOB_OPEN, &h));
    if (h.verdict != FENCE_CURRENT || h.job.acked)
        return ERR_OK;
    TRY(run_unclaim(c, &h.run, &h.job, &move));
    return run_moved_light(c, &h.run, &h.job, &move);
}

err_t svc_job_leased(struct ctx *c, str_t job_id, bool *out)
{
    struct job job = { 0 };
    int64_t run_id, seq;
    bool open = false;

    *out = false;
    if (!job_id_parse(job_id, &run_id, &seq))
        return ERR_OK;
    TRY(store_queue_get(c, run_id, &job, &open));
    *out = open && job.state == JOB_CLAIMED && job.execution_seq == seq;
    return ERR_OK;
}

uint64_t svc_writes(const struct ctx *c)
{
    return db_writes(c);
}
