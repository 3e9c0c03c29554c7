/* Workers: good ones, slow ones, dead ones, and the ghosts of dead ones, who still report with what
 * they once held. A worker does one thing at a time for each of its jobs. */
#include "sim.h"
#include "svc/workers.h"

#define FUNCTIONS S("[\"sim-a\",\"sim-b\",\"sim-any\",\"sim-c\",\"sim-d\",\"sim-flip\"]")

static struct op *op_of(struct ctx *c)
{
    return c->call->arg;
}

/* ---- holds
 * ---------------------------------------------------------------------------------------- */

void hold_lose(struct sim *s, struct hold *h)
{
    s->ghosts[s->ghosts_n++ % SIM_GHOSTS] = h;
}

static void hold_drop(struct sim *s, struct sim_worker *w, const struct hold *gone)
{
    for (int i = 0; i < w->holds_n; i++) {
        if (w->holds[i] != gone)
            continue;
        hold_lose(s, w->holds[i]);
        w->holds[i] = w->holds[--w->holds_n];
        return;
    }
}

static void hold_take(struct sim *s, struct sim_worker *w, struct op *op,
                      const struct assignment *a)
{
    struct hold *h = hold_new(s, model_run(s, a->claim.run.id), a->claim.job.execution_seq);

    h->attempt = a->claim.run.attempt;
    h->max_attempts = a->claim.run.max_attempts;
    h->token = lease_token_text(&s->keep, a->claim.job.token);
    h->worker = str_dup(&s->keep, op->worker_id);
    for (size_t k = 0; k < a->steps_n; k++)
        hold_done(s, h, a->steps[k].step_id);
    if (w->holds_n < SIM_HOLDS)
        w->holds[w->holds_n++] = h;
    else
        violation(s, "a worker got more jobs than it has room for");
}

/* ---- calls
 * ---------------------------------------------------------------------------------------- */

static err_t run_worker(struct ctx *c)
{
    struct op *op = op_of(c);
    struct worker in = { .id = op->worker_id,
                         .hostname = S("sim"),
                         .functions = FUNCTIONS,
                         .max_jobs = SIM_HOLDS,
                         .sdk = S("0.29.0"),
                         .runtime = S("node-v22") };

    if (sim_catches(op->worker_id)) {
        in.sdk = S("1");
        in.runtime = S("c17");
    }
    return svc_worker_register(c, &in);
}

static err_t run_assign(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_assignments(c, op->claims, op->claims_n, &op->jobs);
}

static err_t run_poll(struct ctx *c)
{
    struct op *op = op_of(c);

    op->claims_n = 0;
    TRY(svc_worker_claim(c, op->worker_id, (int64_t)op->n, op->deadline, &op->claims,
                         &op->claims_n));
    return op->claims_n > 0 ? txn_next(c, CALL_READ, run_assign) : ERR_OK;
}

static err_t run_release(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_release(c, op->claims, op->claims_n);
}

static err_t run_ack(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_job_ack(c, op->worker_id, op->job_id, op->fence);
}

static err_t run_report(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_job_report(c, op->worker_id, op->job_id, &op->report);
}

static err_t run_beat(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_heartbeat(c, op->worker_id, (int64_t)op->n, op->list, op->n, op->has_list);
}

static struct op *worker_op(struct sim *s, struct sim_worker *w, enum op_kind kind)
{
    struct op *op = op_new(s, kind);

    op->worker = w;
    op->incarnation = w->incarnation;
    op->worker_id = str_dup(&op->arena, str_from(w->id));
    return op;
}

static struct op *job_op(struct sim *s, struct hold *h, enum op_kind kind)
{
    struct op *op = op_new(s, kind);

    op->worker_id = h->worker;
    op->hold = h;
    op->job_id = h->job_id;
    op->fence = (struct fence){ h->seq, h->token };
    h->busy = true;
    return op;
}

static void poll(struct sim *s, struct sim_worker *w)
{
    struct op *op = worker_op(s, w, OP_POLL);

    op->n = (size_t)(1 + pick(s, SIM_HOLDS - w->holds_n));
    op->deadline = s->clock.virtual_ms + (chance(s, 80) ? s->app.poll_hold_ms : 0);
    op->discard = chance(s, 5);
    w->poll = op;
    op_submit(op, CALL_WRITE, run_poll);
}

static void ack(struct sim *s, struct hold *h, struct sim_worker *w)
{
    struct op *op = job_op(s, h, OP_ACK);

    op->worker = w;
    op_submit(op, CALL_WRITE, run_ack);
}

static void beat(struct sim *s, struct sim_worker *w)
{
    struct op *op = worker_op(s, w, OP_BEAT);

    op->has_list = chance(s, 80);
    for (int i = 0; i < w->holds_n; i++)
        op->list[op->n++] = w->holds[i]->job_id;
    op_submit(op, CALL_WRITE, run_beat);
}

/* ---- reports
 * -------------------------------------------------------------------------------------- */

static void send_report(struct sim *s, struct hold *h, struct sim_worker *w,
                        const struct report *report, uint32_t bits)
{
    struct op *op = job_op(s, h, OP_REPORT);

    op->worker = w;
    op->report = *report;
    op->report.fence = op->fence;
    op->step_bits = bits;
    op->repeat = report == &h->final;
    op_submit(op, CALL_WRITE, run_report);
}

static void progress(struct sim *s, struct hold *h, struct sim_worker *w)
{
    struct report r = { .kind = REPORT_PROGRESS };

    plan_fill(s, h, h->pending, &r);
    if (chance(s, 8) && r.steps_n > 0) { /* a step that failed and will be tried again */
        struct report_step *last = &r.steps[r.steps_n - 1];
        last->status = S("failed");
        last->output = STR_NULL;
        last->error = S("{\"message\":\"no\",\"retryable\":true}");
    }
    send_report(s, h, w, &r, h->pending);
}

static void final(struct sim *s, struct hold *h, struct sim_worker *w, enum report_kind kind)
{
    bool first = !h->final_sent;
    struct report copy;

    plan_final(s, h, kind);
    copy = h->final;
    send_report(s, h, w, first ? &copy : &h->final, h->final_steps);
}

/* ---- what a worker does next
 * ----------------------------------------------------------------------- */

static void job_step(struct sim *s, struct sim_worker *w, struct hold *h)
{
    int next = plan_next(h), n = plan_steps(h->run);

    if (h->busy)
        return;
    if (h->final_sent) {
        final(s, h, w, h->final.kind);
    } else if (!h->acked && !chance(s, 5)) {
        ack(s, h, w);
    } else if (!s->draining && chance(s, 4)) {
        final(s, h, w, REPORT_FAILED);
    } else if (next < n && plan_yields(h->run, next)) {
        final(s, h, w, REPORT_YIELDED);
    } else if (next < n && (h->pending == 0 || chance(s, 50))) {
        plan_execute(s, h, next);
    } else if (h->pending != 0 && (next < n || chance(s, 30))) {
        progress(s, h, w);
    } else {
        final(s, h, w, REPORT_COMPLETED);
    }
}

static void worker_die(struct sim *s, struct sim_worker *w)
{
    note(s, "worker %s dies", w->id);
    w->alive = w->registered = false;
    while (w->holds_n > 0)
        hold_lose(s, w->holds[--w->holds_n]);
    w->incarnation++;
    if (w->poll) {
        struct op *op = w->poll;

        w->poll = NULL;
        op->discard = true;
        op->worker = NULL;
        txn_cancel(s->txn, &op->call);
    }
}

static void worker_wake(struct sim *s, struct sim_worker *w)
{
    if (w->id[0] == '\0' || chance(s, 50))
        (void)snprintf(w->id, sizeof(w->id), "w%d-%lld", (int)(w - s->workers),
                       (long long)s->ops_made);
    w->alive = true;
}

void worker_step(struct sim *s, struct sim_worker *w)
{
    if (!w->alive) {
        if (chance(s, 20) || s->draining)
            worker_wake(s, w);
        return;
    }
    if (!w->registered) {
        op_submit(worker_op(s, w, OP_WORKER), CALL_WRITE, run_worker);
        return;
    }
    if (!s->draining && chance(s, 1)) {
        worker_die(s, w);
        return;
    }
    if (w->holds_n > 0 && chance(s, 10)) {
        beat(s, w);
        return;
    }
    if (!w->poll && w->holds_n < SIM_HOLDS && (w->holds_n == 0 || chance(s, 25))) {
        poll(s, w);
        return;
    }
    if (w->holds_n > 0)
        job_step(s, w, w->holds[pick(s, w->holds_n)]);
}

static void release(struct sim *s, const struct claim *claims, size_t n)
{
    struct op *op = op_new(s, OP_RELEASE);

    op->claims = NEW_N(&op->arena, struct claim, n + 1);
    for (size_t i = 0; i < n; i++)
        op->claims[i].job = claims[i].job;
    op->claims_n = n;
    op_submit(op, CALL_WRITE, run_release);
}

/* Somebody who lost a job has not heard of it. */
void ghost_step(struct sim *s)
{
    int64_t n = s->ghosts_n < SIM_GHOSTS ? s->ghosts_n : SIM_GHOSTS;
    struct hold *h;

    if (s->late_n > 0 && chance(s, 10)) {
        int64_t late = s->late_n < SIM_LATE ? s->late_n : SIM_LATE;

        release(s, &s->late[pick(s, late)], 1);
        return;
    }
    if (n == 0)
        return;
    h = s->ghosts[pick(s, n)];
    if (h->busy)
        return;
    if (h->final_sent) {
        final(s, h, NULL, h->final.kind);
    } else if (chance(s, 25)) {
        ack(s, h, NULL);
    } else if (h->acked && plan_next(h) < plan_steps(h->run) && chance(s, 70)) {
        if (!plan_yields(h->run, plan_next(h)))
            h->pending |= step_bit(plan_next(h));
        if (h->pending != 0)
            progress(s, h, NULL);
    } else {
        final(s, h, NULL, plan_next(h) == plan_steps(h->run) ? REPORT_COMPLETED : REPORT_FAILED);
    }
}

/* ---- answers
 * --------------------------------------------------------------------------------------- */

static void poll_reply(struct sim *s, struct op *op)
{
    struct sim_worker *w = op->worker;

    if (w)
        w->poll = NULL;
    if (op->call.result == ERR_NOT_FOUND && w) {
        w->registered = false;
        return;
    }
    if (op->call.result != ERR_OK && op->call.result != ERR_NOT_FOUND) {
        violation(s, "a poll failed: " STR_FMT, STR_ARG(err_text(&op->call.ctx, op->call.result)));
        return;
    }
    if (op->claims_n == 0)
        return;
    if (op->claims_n > op->n)
        violation(s, "a poll got more than it asked for");
    if (op->discard || !w) {
        for (size_t i = 0; i < op->claims_n; i++)
            s->late[s->late_n++ % SIM_LATE] = (struct claim){ .job = op->claims[i].job };
        if (chance(s, 70))
            release(s, op->claims, op->claims_n);
        return;
    }
    for (size_t i = 0; i < op->claims_n; i++) {
        model_assigned(s, &op->jobs[i]);
        hold_take(s, w, op, &op->jobs[i]);
    }
}

static void report_reply(struct sim *s, struct op *op)
{
    struct hold *h = op->hold;

    model_report(s, op);
    h->busy = false;
    if (op->call.result == ERR_OK && op->report.kind == REPORT_PROGRESS) {
        h->acked = true;
        for (size_t i = 0; i < op->report.steps_n; i++)
            if (str_eq(op->report.steps[i].status, S("completed")))
                h->done |= op->step_bits & step_bit(op->report.steps[i].name.p[1] - '0');
        h->pending &= ~op->step_bits;
        return;
    }
    if (op->worker)
        hold_drop(s, op->worker, h);
}

static void ack_reply(struct sim *s, struct op *op)
{
    struct hold *h = op->hold;

    model_ack(s, op);
    h->busy = false;
    if (op->call.result == ERR_OK)
        h->acked = true;
    else if (op->worker)
        hold_drop(s, op->worker, h);
}

void worker_reply(struct sim *s, struct op *op)
{
    err_t e = op->call.result;

    switch ((int)op->kind) {
    case OP_POLL:
        poll_reply(s, op);
        break;
    case OP_ACK:
        ack_reply(s, op);
        break;
    case OP_REPORT:
        report_reply(s, op);
        break;
    case OP_WORKER:
    case OP_BEAT:
        if (e == ERR_NOT_FOUND && op->kind == OP_BEAT)
            op->worker->registered = false;
        else if (e != ERR_OK)
            violation(s, "a worker was refused: " STR_FMT, STR_ARG(err_text(&op->call.ctx, e)));
        else if (op->kind == OP_WORKER && op->incarnation == op->worker->incarnation)
            op->worker->registered = true;
        break;
    default:
        if (e != ERR_OK)
            violation(s, "a release failed: " STR_FMT, STR_ARG(err_text(&op->call.ctx, e)));
    }
}

void worker_unknown(struct sim *s, struct op *op)
{
    struct hold *h = op->hold;

    (void)s;
    if (op->kind == OP_POLL && op->worker)
        op->worker->poll = NULL;
    if (!h)
        return;
    h->busy = false;
    if (op->kind == OP_REPORT && op->report.kind != REPORT_PROGRESS)
        model_unheard(op);
}
