/* What was acknowledged, and what may therefore never be otherwise again. Every answer is held
 * against the model and against the rows that it claims to have written. */
#include "codec/json.h"
#include "engine/sm.h"
#include "engine/step.h"
#include "sim.h"

struct m_run *model_run(struct sim *s, int64_t id)
{
    struct m_run *r = map_get(&s->runs, (uint64_t)id);

    if (r)
        return r;
    r = NEW(&s->keep, struct m_run);
    r->id = id;
    r->fn = -1;
    r->attempt_min = 1;
    r->state = JOB_PARKED;
    r->status = RUN_PENDING;
    (void)map_put(&s->runs, (uint64_t)id, r);
    vec_push(&s->order, r);
    return r;
}

struct m_emit *model_mark(struct sim *s)
{
    struct m_emit *m = NEW(&s->keep, struct m_emit);

    vec_push(&s->emits, m);
    m->mark = (int64_t)s->emits.n;
    return m;
}

struct m_step *model_step(struct sim *s, struct m_run *r, str_t step_id)
{
    struct m_step *m = r->steps;

    while (m && !str_eq(m->id, step_id))
        m = m->next;
    if (m)
        return m;
    m = NEW(&s->keep, struct m_step);
    m->id = str_dup(&s->keep, step_id);
    m->next = r->steps;
    r->steps = m;
    return m;
}

void model_freeze(struct sim *s, struct m_run *r, str_t step_id, str_t output)
{
    struct m_step *m = model_step(s, r, step_id);

    if (m->frozen && !str_eq(m->output, output) && !run_operated(s, r))
        violation(s, "step " STR_FMT " changed from " STR_FMT " to " STR_FMT, STR_ARG(step_id),
                  STR_ARG(m->output), STR_ARG(output));
    if (m->frozen && str_eq(m->output, output))
        return;
    m->frozen = true;
    m->output = str_dup(&s->keep, output);
    s->totals.steps_frozen++;
}

/* ---- the rows ----------------------------------------------------------------------------------
 */

struct facts {
    bool run, job;
    enum run_status status;
    int64_t run_seq;
    str_t output, error, cause;
    int64_t state, ready_at, lease_until, seq, acked, reported;
    bool laned; /* passes lanes */
};

static void facts_read(struct sim *s, int64_t run_id, struct facts *out)
{
    static const struct sql q_run = {
        "SELECT status, output, error, execution_seq, cancellation_cause FROM runs WHERE id = $1"
    };
    static const struct sql q_job = { "SELECT state, ready_at, lease_until, execution_seq, acked, "
                                      "reported, lane + actor FROM queue q WHERE run_id = $1" };
    struct db_rows r;

    *out = (struct facts){ 0 };
    if (!rows_open(s, &q_run, ARGS(DB_INT(run_id)), &r))
        return;
    out->run = db_row(&r);
    if (out->run) {
        out->status = (enum run_status)db_int(&r, 0);
        out->output = db_str(&r, 1);
        out->error = db_str(&r, 2);
        out->run_seq = db_int(&r, 3);
        out->cause = db_str(&r, 4);
    }
    rows_close(s, &r);
    if (!rows_open(s, &q_job, ARGS(DB_INT(run_id)), &r))
        return;
    out->job = db_row(&r);
    if (out->job) {
        out->state = db_int(&r, 0);
        out->ready_at = db_int(&r, 1);
        out->lease_until = db_int(&r, 2);
        out->seq = db_int(&r, 3);
        out->acked = db_int(&r, 4);
        out->reported = db_int(&r, 5);
        out->laned = db_int(&r, 6) != 0;
    }
    rows_close(s, &r);
    if (!out->run)
        violation(s, "run " STR_FMT " is gone", STR_ARG(run_text(s, run_id)));
}

struct step_facts {
    bool found;
    enum step_status status;
    str_t output;
    int64_t wake_at;
};

static struct step_facts step_read(struct sim *s, int64_t run_id, str_t step_id)
{
    static const struct sql q = { "SELECT status, CASE WHEN event_ref IS NULL THEN output "
                                  "ELSE 'event ' || event_ref END, wake_at "
                                  "FROM steps WHERE run_id = $1 "
                                  "AND step_id = $2" };
    struct step_facts f = { 0 };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS(DB_INT(run_id), DB_TEXT(step_id)), &r))
        return f;
    f.found = db_row(&r);
    if (f.found) {
        f.status = (enum step_status)db_int(&r, 0);
        f.output = db_str(&r, 1);
        f.wake_at = db_int(&r, 2);
    }
    rows_close(s, &r);
    return f;
}

/* ---- claims -------------------------------------------------------------------------------------
 */

static void check_handed_steps(struct sim *s, const struct m_run *r, const struct assignment *a)
{
    for (const struct m_step *m = r->steps; m; m = m->next) {
        size_t i = 0;

        while (i < a->steps_n && !str_eq(a->steps[i].step_id, m->id))
            i++;
        if (m->frozen && i == a->steps_n && !run_operated(s, r))
            violation(s, "step " STR_FMT " was acknowledged and is handed out as not completed",
                      STR_ARG(m->id));
    }
    for (size_t i = 0; i < a->steps_n; i++) {
        const struct step *st = &a->steps[i];

        if (st->event_ref != 0)
            check_event_output(s, a, st);
        if (st->status != STEP_COMPLETED &&
            !(step_invoke_failed(st) && sim_catches(a->claim.run.worker)))
            violation(s, "step " STR_FMT " is handed out with status %d", STR_ARG(st->step_id),
                      (int)st->status);
        if (st->sequence >= a->step_base)
            violation(s, "step base %lld is not above the steps", (long long)a->step_base);
        if (i > 0 && st->sequence < st[-1].sequence)
            violation(s, "steps are not in order of sequence");
    }
}

/* Oldest first, over all functions: who waited before and still waits may not be older. */
static void check_order(struct sim *s, const struct assignment *a)
{
    static const struct sql q = { "SELECT run_id, ready_at, execution_seq FROM queue q "
                                  "JOIN functions f ON f.key = q.fn AND f.mode = 2 "
                                  "WHERE state = 0 AND bound = 0 AND ready_at < $1" };
    struct db_rows r;

    if (!read_begin(s))
        return;
    if (rows_open(s, &q, ARGS(DB_INT(a->claim.job.ready_at)), &r)) {
        while (db_row(&r)) {
            const struct m_run *other = model_run(s, db_int(&r, 0));

            if (other->ready_at == db_int(&r, 1) && other->ready_seq == db_int(&r, 2))
                violation(s, "run %lld was overtaken in the line", (long long)other->id);
        }
        rows_close(s, &r);
    }
    read_end(s);
}

/* Fence, times and attempt; ended or cancelled before the turn `since` it may not be handed out. */
static void hand_out(struct sim *s, struct m_run *r, int64_t seq, int64_t attempt, int64_t since)
{
    int64_t now = s->clock.virtual_ms;
    str_t id = run_text(s, r->id);

    if (seq <= r->seq_max)
        violation(s, "run " STR_FMT ": fence %lld after %lld", STR_ARG(id), (long long)seq,
                  (long long)r->seq_max);
    if ((r->ended && r->ended_at < since && !run_operated(s, r)) ||
        (r->cancelled > 0 && r->cancelled < since))
        violation(s, "run " STR_FMT " has ended and is handed out", STR_ARG(id));
    if (now < r->held_until)
        violation(s, "run " STR_FMT " is handed out %lld ms before its holder lost it", STR_ARG(id),
                  (long long)(r->held_until - now));
    if (now < r->not_before)
        violation(s, "run " STR_FMT " is handed out %lld ms before its sleep or retry", STR_ARG(id),
                  (long long)(r->not_before - now));
    if (attempt < r->attempt_min || attempt > r->attempt_min + r->unsure)
        violation(s, "run " STR_FMT ": attempt %lld, expected %lld", STR_ARG(id),
                  (long long)attempt, (long long)r->attempt_min);
    r->seq_max = seq;
    r->not_before = 0;
    r->attempt_min = attempt;
    r->unsure = 0;
}

void model_assigned(struct sim *s, const struct assignment *a)
{
    struct m_run *r = model_run(s, a->claim.run.id);

    check_handed_steps(s, r, a);
    hand_out(s, r, a->claim.job.execution_seq, a->claim.run.attempt, s->turn);
    check_order(s, a);
    for (size_t i = 0; i < a->steps_n; i++) {
        const struct step *st = &a->steps[i];

        if (st->status == STEP_COMPLETED)
            model_freeze(s, r, st->step_id,
                         st->event_ref == 0
                             ? st->output
                             : str_printf(&s->scratch, "event %lld", (long long)st->event_ref));
    }
    r->held_until = s->clock.virtual_ms + s->app.lease_claim_ms;
}

void model_handed(struct sim *s, const struct handed *h)
{
    struct m_run *r = h->run;

    for (const struct m_step *m = r->steps; m; m = m->next) {
        size_t i = 0;

        if (!m->frozen || run_operated_lately(s, r))
            continue;
        while (i < h->steps_n && !str_eq(h->steps[i].id, m->id))
            i++;
        if (i == h->steps_n)
            violation(s, "step " STR_FMT " was acknowledged and is handed out as not completed",
                      STR_ARG(m->id));
        else if (!str_eq(h->steps[i].output, m->output) && !str_starts(m->output, S("event ")))
            violation(s, "step " STR_FMT " is handed out with " STR_FMT ", not " STR_FMT,
                      STR_ARG(m->id), STR_ARG(h->steps[i].output), STR_ARG(m->output));
    }
    if (run_operated_lately(s, r))
        r->held_until = r->not_before = 0;
    hand_out(s, r, h->seq, h->attempt, s->settled + 1);
    r->held_until = s->clock.virtual_ms + h->lease_ms;
}

int64_t model_claimed(struct sim *s, const struct m_run *r, int64_t *max_attempts)
{
    static const struct sql q = { "SELECT q.execution_seq, r.max_attempts FROM queue q "
                                  "JOIN runs r ON r.id = q.run_id "
                                  "WHERE q.run_id = $1 AND q.state = 1" };
    int64_t seq = 0;
    struct db_rows rows;

    if (!rows_open(s, &q, ARGS(DB_INT(r->id)), &rows))
        return 0;
    if (db_row(&rows)) {
        seq = db_int(&rows, 0);
        *max_attempts = db_int(&rows, 1);
    }
    rows_close(s, &rows);
    return seq;
}

/* ---- what workers say
 * ---------------------------------------------------------------------------- */

/* The segment has been reported just so. */
static bool same_report(const struct facts *f, enum report_kind kind)
{
    if (f->job)
        return kind != REPORT_PROGRESS && f->reported == (int64_t)kind;
    return (kind == REPORT_COMPLETED && f->status == RUN_COMPLETED) ||
           (kind == REPORT_FAILED && f->status == RUN_FAILED);
}

/* A refusal must have its reason in the rows. */
static void check_refused(struct sim *s, const struct op *op, const struct facts *f)
{
    err_t e = op->call.result;
    int64_t mine = op->hold->seq, seq = f->job ? f->seq : f->run_seq;
    str_t id = op->job_id;

    switch ((int)e) {
    case ERR_STALE_EXECUTION:
    case ERR_NOT_FOUND:
        if (seq == mine)
            violation(s, "job " STR_FMT " is current and was refused as stale", STR_ARG(id));
        break;
    case ERR_RUN_NOT_RUNNING:
        if (seq < mine || (seq == mine && f->job && f->reported == JOB_OPEN))
            violation(s, "job " STR_FMT " is running and was refused", STR_ARG(id));
        if (seq == mine && op->kind == OP_REPORT && same_report(f, op->report.kind))
            violation(s, "job " STR_FMT ": the repeated report was refused", STR_ARG(id));
        break;
    default:
        violation(s, "job " STR_FMT ": unexpected answer: " STR_FMT, STR_ARG(id),
                  STR_ARG(err_text(&op->call.ctx, e)));
    }
}

/* It held the job when it spoke; unless something ended that in the same batch, it still does. */
static void check_lease(struct sim *s, const struct op *op, const struct facts *f)
{
    int64_t until = s->clock.virtual_ms + s->app.lease_ms;
    struct m_run *r = op->hold->run;

    if (!f->job || f->seq != op->hold->seq || f->reported != JOB_OPEN)
        return;
    if (f->laned && f->state != JOB_CLAIMED)
        return; /* it lost its place with its lease, and may only finish */
    if (f->state != JOB_CLAIMED || !f->acked || f->lease_until < until)
        violation(s, "job " STR_FMT " was renewed and has no lease", STR_ARG(op->job_id));
    if (r->seq_max == f->seq)
        r->held_until = until + s->app.grace_ms;
}

static void check_fence(struct sim *s, const struct op *op)
{
    if (op->call.result == ERR_OK && op->hold->run->seq_max > op->hold->seq)
        violation(s, "job " STR_FMT ": an old fence was accepted", STR_ARG(op->job_id));
}

void model_ack(struct sim *s, const struct op *op)
{
    struct facts f;

    check_fence(s, op);
    if (!read_begin(s))
        return;
    facts_read(s, op->hold->run->id, &f);
    if (op->call.result != ERR_OK) {
        check_refused(s, op, &f);
    } else {
        s->totals.acks++;
        check_lease(s, op, &f);
    }
    read_end(s);
}

/* Every completed step of an accepted report is there. */
static void freeze_reported(struct sim *s, const struct op *op)
{
    struct m_run *r = op->hold->run;

    for (size_t i = 0; i < op->report.steps_n; i++) {
        const struct report_step *in = &op->report.steps[i];
        struct step_facts f = step_read(s, r->id, in->id);

        if (!f.found) {
            violation(s, "step " STR_FMT " was acknowledged and is not there", STR_ARG(in->id));
        } else if (str_eq(in->status, S("completed"))) {
            if (f.status != STEP_COMPLETED)
                violation(s, "step " STR_FMT " was acknowledged and has status %d", STR_ARG(in->id),
                          (int)f.status);
            model_freeze(s, r, in->id, f.output);
        }
    }
}

/* The message of an error, which is printed anew on its way; anything else as it is. */
static str_t said(str_t json)
{
    str_t message;

    return json_get(json, S("message"), &message) ? message : json;
}

static void check_ended(struct sim *s, const struct op *op, const struct facts *f,
                        enum run_status want, str_t payload)
{
    str_t have = want == RUN_COMPLETED ? f->output : f->error;

    if (f->job || f->status != want)
        violation(s, "job " STR_FMT ": its end was acknowledged and the run has status %d",
                  STR_ARG(op->job_id), (int)f->status);
    else if (payload.n > 0 && !str_eq(said(have), said(payload)))
        violation(s, "job " STR_FMT ": the result is " STR_FMT ", not " STR_FMT,
                  STR_ARG(op->job_id), STR_ARG(have), STR_ARG(payload));
}

/* The policy, in words of its own: the first delay, times the factor for each further attempt. */
static int64_t retry_delay(const struct retry_policy *p, int64_t attempt)
{
    double delay = (double)p->initial_delay_ms;

    while (--attempt > 0)
        delay *= p->backoff_factor;
    return delay < (double)p->max_delay_ms ? (int64_t)delay : p->max_delay_ms;
}

static void check_retry(struct sim *s, const struct op *op, const struct facts *f)
{
    const struct hold *h = op->hold;
    struct m_run *r = h->run;
    int64_t due;

    if (!f->job && f->status == RUN_CANCELLED)
        return;
    if (op->repeat && f->job && f->seq > h->seq)
        return; /* the retry was due and handed out in the same batch */
    if (!f->job || f->seq != h->seq || f->reported != JOB_REPORTED_FAILED) {
        violation(s, "job " STR_FMT " should wait for its retry", STR_ARG(op->job_id));
        return;
    }
    due = s->clock.virtual_ms + retry_delay(&s->fns[r->fn].retry, h->attempt);
    if (!op->repeat && f->ready_at != due && s->fns[r->fn].changed <= s->settled)
        violation(s, "job " STR_FMT ": the retry is due in %lld ms, not %lld", STR_ARG(op->job_id),
                  (long long)(f->ready_at - s->clock.virtual_ms),
                  (long long)(due - s->clock.virtual_ms));
    r->not_before = f->state == JOB_PARKED ? f->ready_at : 0;
    r->held_until = 0;
    r->attempt_min = h->attempt + 1;
    r->unsure = 0;
}

static void check_yield(struct sim *s, const struct op *op, const struct facts *f)
{
    struct m_run *r = op->hold->run;
    struct m_step *m = model_step(s, r, op->report.yield_step_id);
    struct step_facts st = step_read(s, r->id, m->id);

    r->held_until = 0;
    r->not_before = 0;
    if (!f->job)
        return;
    if (!st.found) {
        violation(s, "wait " STR_FMT " is not there", STR_ARG(m->id));
        return;
    }
    if (st.status != STEP_SLEEPING && st.status != STEP_WAITING)
        return;
    /* a resumed run begins anew what had failed, or was dropped */
    if (m->wake_at != 0 && m->wake_at != st.wake_at && !r->resumed)
        violation(s, "wait " STR_FMT " lost its first deadline", STR_ARG(m->id));
    m->wake_at = st.wake_at;
    if (f->seq == op->hold->seq && f->state == JOB_PARKED) {
        if (f->ready_at != st.wake_at)
            violation(s, "wait " STR_FMT ": the run waits for another time", STR_ARG(m->id));
        r->not_before = st.status == STEP_SLEEPING ? st.wake_at : 0;
    }
}

void model_gone(const struct hold *h)
{
    h->run->held_until = h->run->not_before = 0;
    h->run->unsure += h->final.kind == REPORT_FAILED;
}

void model_unheard(const struct op *op)
{
    struct m_run *r = op->hold->run;

    r->held_until = r->not_before = 0;
    r->unsure += op->report.kind == REPORT_FAILED;
}

void model_step_acked(struct sim *s, str_t step_id)
{
    str_t rest = step_id, head;
    int64_t id = 0;
    struct step_facts f;

    if (!str_cut(&rest, ':', &head) || !id_parse(ID_RUN, head, &id)) {
        violation(s, "an acknowledgement of " STR_FMT, STR_ARG(step_id));
        return;
    }
    if (run_operated_lately(s, model_run(s, id)))
        return;
    f = step_read(s, id, step_id);
    if (!f.found)
        violation(s, "step " STR_FMT " was acknowledged and is not there", STR_ARG(step_id));
    else if (f.status == STEP_COMPLETED)
        model_freeze(s, model_run(s, id), step_id, f.output);
}

static void report_accepted(struct sim *s, const struct op *op, const struct facts *f)
{
    const struct hold *h = op->hold;
    bool last = !op->report.retryable || h->attempt >= h->max_attempts;

    if (!run_operated(s, h->run) && !(op->repeat && h->run->rerun))
        freeze_reported(s, op);
    if (op->report.kind == REPORT_PROGRESS)
        s->totals.progress++;
    else
        s->totals.finals++;
    if (run_operated(s, h->run) || (op->repeat && h->run->resumed)) {
        if (op->report.kind != REPORT_PROGRESS)
            model_unheard(op); /* what it said may be the past */
        return;
    }
    switch (op->report.kind) {
    case REPORT_PROGRESS:
        check_lease(s, op, f);
        break;
    case REPORT_COMPLETED:
        check_ended(s, op, f, RUN_COMPLETED, op->report.output);
        break;
    case REPORT_FAILED:
        if (last)
            check_ended(s, op, f, RUN_FAILED, op->report.error);
        else
            check_retry(s, op, f);
        break;
    case REPORT_YIELDED:
        check_yield(s, op, f);
        break;
    }
}

void model_report(struct sim *s, const struct op *op)
{
    struct facts f;

    check_fence(s, op);
    if (!read_begin(s))
        return;
    facts_read(s, op->hold->run->id, &f);
    if (op->call.result == ERR_OK)
        report_accepted(s, op, &f);
    else
        check_refused(s, op, &f);
    read_end(s);
}

/* ---- what nobody answers
 * ------------------------------------------------------------------------- */

/* A report whose fate only the rows tell, when all is idle. */
struct outcome {
    struct op op;
    int64_t at, crashes;
    bool stale; /* somebody else had the run already */
    bool sure;  /* it is not lost but by a crash */
};

void outcome_expect(struct sim *s, struct hold *h, const struct report *r, bool sure)
{
    struct outcome *o;

    if (h->seq == 0)
        return;
    o = mem_zero(sizeof(*o));
    o->op.kind = OP_REPORT;
    o->op.hold = h;
    o->op.job_id = h->job_id;
    o->op.report = *r;
    o->at = s->clock.virtual_ms;
    o->crashes = s->totals.crashes + s->totals.restarts;
    o->stale = h->run->seq_max > h->seq;
    o->sure = sure;
    vec_push(&s->outcomes, o);
    if (!o->stale && r->kind != REPORT_PROGRESS)
        model_unheard(&o->op);
}

int64_t outcomes_of(const struct sim *s, const struct m_run *r, int fn)
{
    int64_t n = 0;

    for (size_t i = 0; i < s->outcomes.n; i++) {
        const struct outcome *o = s->outcomes.items[i];

        n += o->op.hold->run == r || o->op.hold->run->fn == fn;
    }
    return n;
}

/* Nothing of what an old holder says is kept. */
static void check_dropped(struct sim *s, const struct outcome *o, const struct facts *f)
{
    const struct report *in = &o->op.report;
    const struct m_run *r = o->op.hold->run;

    if (in->kind == REPORT_COMPLETED && !f->job && str_eq(f->output, in->output))
        violation(s, "job " STR_FMT ": an old fence ended its run", STR_ARG(o->op.job_id));
    for (size_t i = 0; i < in->steps_n; i++) {
        struct step_facts st = step_read(s, r->id, in->steps[i].id);

        if (st.found && in->steps[i].output.n > 0 && str_eq(st.output, in->steps[i].output))
            violation(s, "job " STR_FMT ": a step of an old fence was kept", STR_ARG(o->op.job_id));
    }
}

/* Was it what the segment came to? */
static void check_taken(struct sim *s, const struct outcome *o, const struct facts *f)
{
    const struct op *op = &o->op;
    enum report_kind kind = op->report.kind;
    int64_t seq = op->hold->seq;

    if (f->job ? f->seq != seq : f->run_seq != seq || f->status == RUN_CANCELLED)
        return; /* it went on */
    if (f->job && f->reported == JOB_OPEN && kind != REPORT_PROGRESS)
        violation(s, "job " STR_FMT ": its report was not taken", STR_ARG(op->job_id));
    else if (o->sure && kind == REPORT_COMPLETED && (f->job || f->status != RUN_COMPLETED))
        violation(s, "job " STR_FMT " was completed and its run is not", STR_ARG(op->job_id));
    else if (o->at == s->clock.virtual_ms &&
             (kind == REPORT_PROGRESS || same_report(f, kind) ||
              (!f->job && kind == REPORT_FAILED && f->status == RUN_FAILED)))
        report_accepted(s, op, f);
}

/* True when nothing more is to be learned of it. */
static bool outcome_look(struct sim *s, const struct outcome *o)
{
    struct facts f;

    if (o->crashes != s->totals.crashes + s->totals.restarts ||
        run_operated_lately(s, o->op.hold->run))
        return true;
    if (s->clock.virtual_ms <= s->late_until)
        return !o->sure;
    facts_read(s, o->op.hold->run->id, &f);
    if (o->stale)
        check_dropped(s, o, &f);
    else
        check_taken(s, o, &f);
    return true;
}

void check_outcomes(struct sim *s)
{
    for (size_t i = 0; i < s->outcomes.n && !s->failed;) {
        struct outcome *o = s->outcomes.items[i];

        if (!outcome_look(s, o)) {
            i++;
            continue;
        }
        vec_swap_remove(&s->outcomes, i);
        mem_free(o);
    }
}

/* ---- operators
 * ----------------------------------------------------------------------------------- */

void model_cancel(struct sim *s, const struct op *op)
{
    struct m_run *r = op->run;
    struct facts f;

    if (!read_begin(s))
        return;
    facts_read(s, r->id, &f);
    if (op->call.result == ERR_OK) {
        s->totals.cancels++;
        if (f.job || f.status != RUN_CANCELLED)
            violation(s, "a cancel was acknowledged and the run has status %d", (int)f.status);
        if (op->now && r->cancelled > 0)
            violation(s, "a run was cancelled twice");
        if (r->cancelled == 0)
            r->cancelled = s->turn;
    } else if (op->call.result != ERR_PRECONDITION ||
               (f.status != RUN_COMPLETED && f.status != RUN_FAILED && !run_operated(s, r))) {
        violation(s, "a cancel was refused for a run of status %d: " STR_FMT, (int)f.status,
                  STR_ARG(err_text(&op->call.ctx, op->call.result)));
    }
    read_end(s);
}
