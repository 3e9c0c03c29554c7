/* One function of svc a call: the operations of svc_fixture.h in their raw form, with arguments and
 * answers in struct op. */
#pragma once

#include "svc/svc_world_fixture.h"

static inline struct op *op_of(struct ctx *c)
{
    return c->call->arg;
}

static inline err_t op_register(struct ctx *c)
{
    struct pb_register_function_request in = { 0 };
    struct function f = { 0 };
    bool created;

    TRY(pb_from_json(c, &pb_register_function_request_desc, op_of(c)->text, &in));
    return svc_function_register(c, &in, &f, &created);
}

static inline err_t op_emit(struct ctx *c)
{
    return svc_emit(c, &op_of(c)->emit, &op_of(c)->emitted);
}

static inline err_t op_invoke(struct ctx *c)
{
    return svc_invoke(c, op_of(c)->text, &op_of(c)->emit, &op_of(c)->emitted);
}

static inline err_t op_worker(struct ctx *c)
{
    return svc_worker_register(c, &op_of(c)->reg);
}

static inline err_t op_assign(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_assignments(c, op->claims, op->n, &op->assignments);
}

static inline err_t op_poll(struct ctx *c)
{
    struct op *op = op_of(c);

    op->n = 0;
    TRY(svc_worker_claim(c, op->worker, op->available, op->deadline_ms, &op->claims, &op->n));
    return op->n > 0 ? txn_next(c, CALL_READ, op_assign) : ERR_OK;
}

static inline err_t op_ack(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_job_ack(c, op->worker, op->job, op->fence);
}

static inline err_t op_report(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_job_report(c, op->worker, op->job, &op->report);
}

static inline err_t op_beat(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_heartbeat(c, op->worker, op->active, op->jobs, op->jobs_n, op->has_jobs);
}

static inline err_t op_cancel(struct ctx *c)
{
    struct op *op = op_of(c);
    str_t reason = op->text;
    bool now;

    return svc_run_cancel(c, op->id, &reason, &op->run, &now);
}

static inline err_t op_release(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_release(c, op->claims, op->n);
}

static inline err_t op_run_get(struct ctx *c)
{
    return svc_run_get(c, op_of(c)->id, &op_of(c)->run);
}

static inline err_t op_run_steps(struct ctx *c)
{
    return svc_run_steps(c, op_of(c)->id, &op_of(c)->part, &op_of(c)->steps, &op_of(c)->n);
}

static inline err_t op_run_list(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_run_list(c, &op->filter, &op->runs, &op->n, &op->total);
}

static inline err_t op_wait(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_runs_wait(c, &op->id, 1, op->deadline_ms, &op->runs, &op->ended_all);
}

static inline err_t op_upkeep(struct ctx *c)
{
    c->env = 0;
    return op_of(c)->step(c, &op_of(c)->next_due);
}

static inline err_t op_message(struct ctx *c, const struct message *m, void *arg)
{
    struct op *op = arg;
    struct message *more = NEW_N(c->arena, struct message, op->n + 1);

    if (op->n > 0)
        memcpy(more, op->messages, op->n * sizeof(*more));
    more[op->n++] = *m;
    op->messages = more;
    return ERR_OK;
}

static inline err_t op_messages(struct ctx *c)
{
    struct op *op = op_of(c);
    struct log_row *rows = NULL;
    size_t n = 0;

    op->n = 0;
    TRY(store_log_read(c, op->id, 100000, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(message_row_check(c, &rows[i]));
        TRY(message_each(c, rows[i].records, rows[i].first_pos, op_message, op));
    }
    return ERR_OK;
}
