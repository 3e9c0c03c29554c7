/* Reading, waiting for and cancelling runs. */
#include "svc/runs.h"

#include "engine/match.h"
#include "engine/run.h"
#include "engine/sm.h"
#include "store/counters.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/steps.h"
#include "svc/audit.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "svc/registry.h"
#include "txn/txn.h"

#define LIST_LIMIT 50
#define COUNT_MAX 100000
#define REASON_POINTS 1024

err_t svc_run_get(struct ctx *c, int64_t id, struct run *out)
{
    return store_run_get(c, id, out);
}

err_t svc_run_input(struct ctx *c, const struct run *run, struct event *out)
{
    return store_event_get(c, run->event_id, out);
}

err_t svc_run_steps(struct ctx *c, int64_t run_id, const struct step_filter *f, struct step **out,
                    size_t *n)
{
    struct step_range range = { f->limit, f->offset, f->bytes_max };
    struct run run = { 0 };
    struct step *steps = NULL;
    size_t have = 0;
    bool cut = false;

    TRY(store_run_get(c, run_id, &run));
    TRY(store_step_page(c, run_id, &range, &steps, &have, &cut));
    if (cut)
        return err_set(c, ERR_TOO_LARGE,
                       "steps: together they hold more than %zu KiB; ask for a part of them with "
                       "limit and offset (GET /api/v1/runs/{id}/steps?limit=%zu)",
                       f->bytes_max >> 10, have > 1 ? have - 1 : 1);
    *out = steps;
    *n = have;
    return ERR_OK;
}

/* ---- list ------------------------------------------------------------------------------------ */

/* Key of a function by id, deleted ones too: their runs stay. 0 when there never was one. */
static err_t function_key(struct ctx *c, str_t id, int64_t *out)
{
    const struct registry *reg = NULL;
    const struct function *f;

    TRY(svc_registry(c, &reg));
    f = registry_ever(reg, id);
    *out = f ? f->key : 0;
    return ERR_OK;
}

static err_t list_total(struct ctx *c, const struct run_query *q, const struct run_filter *f,
                        int64_t *out)
{
    uint32_t all = 0;

    if (f->since_ms != 0 || f->until_ms != 0)
        return store_run_count(c, q, COUNT_MAX, out);
    for (int s = RUN_RUNNING; s < RUN_STATUS_COUNT; s++)
        all |= 1u << s;
    return store_counter_sum(c, q->fn, f->statuses ? f->statuses : all, out);
}

err_t svc_run_list(struct ctx *c, const struct run_filter *f, struct run **out, size_t *n,
                   int64_t *total)
{
    struct run_query q = {
        .statuses = f->statuses,
        .from_id = f->since_ms > 0 ? id_from_ms(f->since_ms) : 0,
        .before_id = f->until_ms > 0 ? id_from_ms(f->until_ms) : INT64_MAX,
    };
    struct run_query page;
    int64_t count = 0;

    if (f->limit < 0 || f->offset < 0)
        return err_set(c, ERR_INVALID, "limit and offset must not be negative");
    if (f->function_id.n > 0) {
        TRY(function_key(c, f->function_id, &q.fn));
        if (q.fn == 0) {
            *n = 0;
            *total = 0;
            return ERR_OK;
        }
    }
    TRY(list_total(c, &q, f, &count));
    page = q;
    page.limit = f->limit > 0 ? f->limit : LIST_LIMIT;
    page.offset = f->offset;
    if (f->before_id > 0 && f->before_id < page.before_id)
        page.before_id = f->before_id;
    TRY(store_run_list(c, &page, out, n));
    *total = count;
    return ERR_OK;
}

/* ---- cancel ---------------------------------------------------------------------------------- */

/* The first so many code points. */
static str_t points_cut(str_t s, size_t max)
{
    size_t points = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (((uint8_t)s.p[i] & 0xc0) == 0x80)
            continue;
        if (points++ == max)
            return str_slice(s, 0, i);
    }
    return s;
}

static err_t steps_cancel(struct ctx *c, const struct run *run)
{
    struct step *steps = NULL;
    size_t n = 0;

    TRY(store_step_open(c, run->id, &steps, &n));
    for (size_t i = 0; i < n; i++) {
        struct step *s = &steps[i];

        TRY(sm_move(c, &step_sm, (int)s->status, STEP_FAILED));
        s->status = STEP_FAILED;
        s->ended_at = c->now_ms;
        s->error = S("{\"message\":\"the run was cancelled\",\"code\":\"CANCELLED\","
                     "\"retryable\":false}");
        TRY(store_step_status(c, s));
        TRY(message_step(c, TOPIC_STEP_FAILED, s, run->fn));
    }
    return ERR_OK;
}

static err_t cancel_open(struct ctx *c, struct run *run, struct job *job, str_t cause, str_t note)
{
    struct run_move move = { 0 };

    audit_told(c, job);
    if (job->state == JOB_CLAIMED)
        signal_add(c, SIG_WORKER, job->worker);
    TRY(run_cancel(c, run, job, cause, &move));
    TRY(steps_cancel(c, run));
    return run_moved(c, run, job, &move, note);
}

err_t run_cancel_by_event(struct ctx *c, int64_t id, struct job *job)
{
    struct run run = { 0 };

    TRY(store_run_get(c, id, &run));
    return cancel_open(c, &run, job, S("cancel-on-event"), STR_NULL);
}

err_t svc_run_cancel(struct ctx *c, int64_t id, str_t *reason, struct run *out, bool *now)
{
    struct run run = { 0 };
    struct job job = { 0 };
    bool open = false;

    *now = false;
    TRY(run_lock(c, id, &run, &job, &open));
    if (!open) {
        str_t word = sm_name(&run_sm, (int)run.status);

        if (run.status != RUN_CANCELLED)
            return err_set(c, ERR_PRECONDITION, "run is already " STR_FMT, STR_ARG(word));
        *out = run;
        return ERR_OK;
    }
    *reason = points_cut(*reason, REASON_POINTS);
    TRY(cancel_open(c, &run, &job, S("user"), *reason));
    *out = run;
    *now = true;
    return ERR_OK;
}

/* ---- wait ------------------------------------------------------------------------------------ */

err_t svc_runs_wait(struct ctx *c, const int64_t *ids, size_t n, int64_t deadline_ms,
                    struct run **out, bool *ended_all)
{
    struct run *runs = NEW_N(c->arena, struct run, n + 1);
    int64_t *open = NEW_N(c->arena, int64_t, n + 1);
    size_t open_n = 0;

    for (size_t i = 0; i < n; i++) {
        TRY(store_run_get(c, ids[i], &runs[i]));
        if (!sm_final(&run_sm, (int)runs[i].status))
            open[open_n++] = ids[i];
    }
    if (open_n > 0 && c->now_ms < deadline_ms && !c->call->timed_out)
        return txn_park(c, SIG_RUN_ENDED, open, open_n, deadline_ms);
    *out = runs;
    *ended_all = open_n == 0;
    return ERR_OK;
}
