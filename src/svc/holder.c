/* Job ids, lease tokens, and the judgement of a worker's message about a job. */
#include "svc/holder.h"

#include "base/buf.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/workers.h"
#include "svc/audit.h"

str_t job_id_text(struct arena *a, int64_t run_id, int64_t execution_seq)
{
    struct buf b;

    buf_init_arena(&b, a, ID_TEXT_MAX + 24);
    id_print(&b, ID_JOB, run_id);
    buf_char(&b, '_');
    buf_i64(&b, execution_seq);
    return buf_str(&b);
}

bool job_id_parse(str_t s, int64_t *run_id, int64_t *execution_seq)
{
    size_t cut = s.n;
    int64_t id, seq;

    while (cut > 0 && s.p[cut - 1] != '_')
        cut--;
    if (cut == 0 || !id_parse(ID_JOB, str_slice(s, 0, cut - 1), &id) ||
        !str_to_i64(str_slice(s, cut, s.n), &seq) || seq < 1)
        return false;
    *run_id = id;
    *execution_seq = seq;
    return true;
}

str_t lease_token_text(struct arena *a, int64_t token)
{
    return str_printf(a, "%016llx", (unsigned long long)token);
}

int64_t lease_token_parse(str_t s)
{
    uint64_t v = 0;

    if (s.n != 16)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];

        if (ch >= '0' && ch <= '9')
            v = v << 4 | (uint64_t)(ch - '0');
        else if (ch >= 'a' && ch <= 'f')
            v = v << 4 | (uint64_t)(ch - 'a' + 10);
        else
            return -1;
    }
    return v == 0 || v > (uint64_t)INT64_MAX ? -1 : (int64_t)v;
}

/* 409, but a worker that nobody knows is told to register first. */
static err_t stale(struct ctx *c, str_t worker_id)
{
    struct worker w = { 0 };

    TRY(worker_require(c, worker_id, &w));
    return err_set(c, ERR_STALE_EXECUTION, "the job is no longer held by this worker");
}

static err_t ended_check(struct ctx *c, const struct fence_claim *f, int64_t run_id,
                         enum job_report kind, struct held *h)
{
    err_t e = store_run_get(c, run_id, &h->run);

    h->verdict = FENCE_STALE;
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    h->loaded = true;
    h->verdict = fence_check_ended(f, &h->run, store_worker_key(c, h->run.worker), kind);
    return ERR_OK;
}

err_t job_hold(struct ctx *c, str_t worker_id, str_t job_id, const struct fence *fence,
               enum job_report kind, struct held *out)
{
    struct fence_claim f = {
        .seq = fence->execution_seq,
        .token = fence->token.n > 0 ? lease_token_parse(fence->token) : 0,
        .worker = store_worker_key(c, worker_id),
    };
    struct held h = { 0 };
    int64_t run_id;
    bool open = false;

    if (!job_id_parse(job_id, &run_id, &f.job_seq))
        return stale(c, worker_id);
    TRY(store_queue_get(c, run_id, &h.job, &open));
    if (open) {
        audit_told(c, &h.job);
        h.verdict = fence_check(&f, &h.job, kind);
        h.from = job_run_status(&h.job);
        h.run = (struct run){ .id = run_id, .fn = h.job.fn, .status = h.from };
    } else {
        TRY(ended_check(c, &f, run_id, kind, &h));
    }
    switch (h.verdict) {
    case FENCE_STALE:
        return stale(c, worker_id);
    case FENCE_NOT_RUNNING:
        return err_set(c, ERR_RUN_NOT_RUNNING, "the run is not running");
    case FENCE_CURRENT:
    case FENCE_REVIVE:
    case FENCE_REPEATED:
        break;
    }
    *out = h;
    return ERR_OK;
}

err_t job_ack_fast(struct ctx *c, str_t job_id, const struct fence *fence, int64_t lease_until,
                   bool *done)
{
    int64_t token = fence->token.n > 0 ? lease_token_parse(fence->token) : -1;
    int64_t run_id, seq;

    if (token <= 0 || !job_id_parse(job_id, &run_id, &seq) ||
        (fence->execution_seq != 0 && fence->execution_seq != seq)) {
        *done = false;
        return ERR_OK;
    }
    return store_queue_ack(c, run_id, seq, token, lease_until, done);
}

err_t job_hold_run(struct ctx *c, struct held *h)
{
    if (h->loaded)
        return ERR_OK;
    TRY(store_run_get(c, h->job.run_id, &h->run));
    h->loaded = true;
    return ERR_OK;
}
