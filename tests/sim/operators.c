/* Operators: they pause, resume and change runs while workers, ghosts, timers and crashes do what
 * they do. A call of theirs may come before or after any other of its batch, so what the model
 * knows of a run is loosened while one is under way; what must hold afterwards is checked against
 * the rows. */
#include "svc/operator.h"

#include "engine/step.h"
#include "sim.h"
#include "svc/audit.h"

enum { TRAIL_MAX = 2000 }; /* its memory is taken whole */

static struct op *op_of(struct ctx *c)
{
    return c->call->arg;
}

static err_t run_pause_op(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_run_pause(c, op->run->id, &op->now);
}

static err_t run_resume_op(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_run_resume(c, op->run->id, op->job_id, &op->row);
}

static err_t run_change_op(struct ctx *c)
{
    struct op *op = op_of(c);
    str_t previous = STR_NULL;
    struct step s = { 0 };

    op->now = false;
    if (op->variant == 0)
        return svc_step_patch(c, op->job_id, op->report.output, S("sim"), &s);
    return svc_step_inject(c, op->run->id, op->job_id, op->report.output, S("sim"), &s, &previous);
}

/* ---- the model --------------------------------------------------------------------------------
 */

bool run_operated(const struct sim *s, const struct m_run *r)
{
    /* who polled hears of it a turn later */
    return r->operators > 0 || (r->operated > 0 && r->operated >= s->turn - 2);
}

bool run_operated_lately(const struct sim *s, const struct m_run *r)
{
    return run_operated(s, r) || (r->operated > 0 && r->operated >= s->settled);
}

/* Results of its steps may be others now. */
static void thaw(struct m_run *r)
{
    for (struct m_step *m = r->steps; m; m = m->next)
        m->frozen = false;
}

/* What a call of this kind, answered or not, leaves uncertain. */
static void loosen(struct sim *s, struct op *op)
{
    struct m_run *r = op->run;

    r->operated = s->turn;
    r->hashed = false;
    if (op->kind == OP_PAUSE)
        return;
    if (op->kind == OP_CHANGE || op->job_id.n > 0)
        thaw(r);
    if (op->kind == OP_CHANGE)
        return;
    r->resumed = true;
    r->rerun = r->rerun || op->job_id.n > 0;
    r->held_until = 0;
    r->not_before = 0;
    r->attempt_min = 1;
    r->unsure = 1000;
}

static void operate(struct sim *s, struct op *op, err_t (*run)(struct ctx *c))
{
    loosen(s, op);
    op->run->operators++;
    op_submit(op, CALL_WRITE, run);
}

/* ---- what they do -----------------------------------------------------------------------------
 */

static struct op *operator_op(struct sim *s, enum op_kind kind, struct m_run *r)
{
    struct op *op = op_new(s, kind);

    op->run = r;
    return op;
}

static str_t some_step(struct sim *s, struct op *op)
{
    const struct m_step *m = op->run->steps;

    for (int64_t skip = pick(s, SIM_STEPS_MAX); m && m->next && skip > 0; skip--)
        m = m->next;
    return m ? str_dup(&op->arena, m->id) : STR_NULL;
}

static void resume(struct sim *s, struct m_run *r)
{
    struct op *op = operator_op(s, OP_RESUME, r);

    if (!s->draining && chance(s, 20))
        op->job_id = some_step(s, op);
    operate(s, op, run_resume_op);
}

static void change(struct sim *s, struct m_run *r)
{
    struct op *op = operator_op(s, OP_CHANGE, r);

    op->job_id = some_step(s, op);
    op->variant = (int)pick(s, 2);
    op->report.output = str_printf(&op->arena, "{\"changed\":%lld}", (long long)op->no);
    operate(s, op, run_change_op);
}

/* One that an operator would look at: paused or failed. */
static struct m_run *stuck_run(struct sim *s, bool held_only)
{
    for (int tries = 0; tries < 40 && s->order.n > 0; tries++) {
        size_t among = !held_only && s->order.n > 80 ? 80 : s->order.n;
        struct m_run *r = s->order.items[s->order.n - 1 - (size_t)pick(s, (int64_t)among)];

        if (held_only ? r->held : r->status == RUN_PAUSED || r->status == RUN_FAILED)
            return r;
    }
    return NULL;
}

static struct m_run *open_run(struct sim *s)
{
    for (int tries = 0; tries < 40 && s->order.n > 0; tries++) {
        size_t among = s->order.n > 80 ? 80 : s->order.n;
        struct m_run *r = s->order.items[s->order.n - 1 - (size_t)pick(s, (int64_t)among)];

        if (r->created && !r->ended)
            return r;
    }
    return NULL;
}

void intervene(struct sim *s)
{
    int64_t roll = pick(s, 100);
    struct m_run *r = s->draining ? stuck_run(s, true)
                      : roll < 45 ? open_run(s)
                                  : stuck_run(s, false);

    if (!r || !r->created)
        return;
    if (s->draining)
        resume(s, r);
    else if (roll < 45)
        operate(s, operator_op(s, OP_PAUSE, r), run_pause_op);
    else if (roll < 80)
        resume(s, r);
    else
        change(s, r);
    if (!s->draining && roll >= 45 && roll < 80 && chance(s, 20))
        resume(s, r); /* two at once */
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void refused(struct sim *s, const struct op *op)
{
    err_t e = op->call.result;
    bool step_unknown = e == ERR_NOT_FOUND && op->job_id.n > 0;

    if (e == ERR_PRECONDITION || step_unknown ||
        (op->kind == OP_CHANGE && op->job_id.n == 0 && e == ERR_INVALID))
        return;
    violation(s, "an operator was refused: " STR_FMT, STR_ARG(err_text(&op->call.ctx, e)));
}

void operator_reply(struct sim *s, struct op *op)
{
    op->run->operators--;
    loosen(s, op);
    if (op->call.result != ERR_OK) {
        refused(s, op);
        return;
    }
    switch ((int)op->kind) {
    case OP_PAUSE:
        s->totals.pauses++;
        break;
    case OP_RESUME:
        if (op->row.status != RUN_RUNNING)
            violation(s, "a resume answered with status %d", (int)op->row.status);
        s->totals.resumes++;
        break;
    default:
        s->totals.changes++;
    }
}

void operator_unknown(struct sim *s, struct op *op)
{
    op->run->operators--;
    loosen(s, op);
}

/* ---- what must hold ---------------------------------------------------------------------------
 */

/* Counts that must be 0 whenever all is idle. */
static const struct {
    const char *what;
    struct sql q;
} nothings[] = {
    { "runs paused for injection that a claim could see",
      { "SELECT count(*) FROM runs r JOIN queue q ON q.run_id = r.id WHERE r.pause_reason = 3 "
        "AND (r.status <> 6 OR q.state <> 2 OR q.reported = 0)" } },
    { "flags that queue and run disagree about",
      { "SELECT count(*) FROM runs r JOIN queue q ON q.run_id = r.id "
        "WHERE (r.pause_requested <> 0) <> ((q.watch & 8) <> 0)" } },
    { "paused or ended runs with a flag",
      { "SELECT count(*) FROM runs WHERE pause_requested <> 0 AND status IN (3, 4, 5, 6)" } },
    { "resumed jobs whose run does not say running",
      { "SELECT count(*) FROM runs r JOIN queue q ON q.run_id = r.id WHERE (q.watch & 16) <> 0 "
        "AND (r.status <> 2 OR q.state NOT IN (0, 3))" } },
    { "patched steps that are not completed",
      { "SELECT count(*) FROM steps WHERE patched_at <> 0 AND status <> 3" } },
    { "trails of runs that are not recorded",
      { "SELECT count(*) FROM audit a JOIN runs r ON r.id = a.run_id WHERE r.recording = 0" } },
    { "recorded runs without a trail",
      { "SELECT count(*) FROM runs r WHERE r.recording <> 0 "
        "AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.run_id = r.id)" } },
};

void check_operators(struct sim *s)
{
    for (size_t i = 0; i < COUNT_OF(nothings) && !s->failed; i++) {
        int64_t n = rows_number(s, &nothings[i].q, ARGS_NONE);

        if (n != 0)
            violation(s, "%lld %s", (long long)n, nothings[i].what);
    }
}

/* The moves of a trail join up, from the creation to the status of now. */
static void check_trail(struct sim *s, struct ctx *c, int64_t run_id)
{
    static const struct sql now = { "SELECT status FROM runs WHERE id = $1" };
    struct audit_filter f = { .limit = TRAIL_MAX };
    struct audit_trail t = { 0 };
    int64_t status = RUN_PENDING, clock = 0;

    if (svc_audit_trail(c, run_id, &f, &t) != ERR_OK) {
        violation(s, "a trail cannot be read: %s", c->err.text);
        return;
    }
    if (t.events_n == TRAIL_MAX)
        violation(s, "trail of " STR_FMT " is too long to look at", STR_ARG(run_text(s, run_id)));
    if (t.events_n == 0 || t.events[0].entry.type != AUDIT_RUN_CREATED)
        violation(s, "trail of " STR_FMT " begins without its run", STR_ARG(run_text(s, run_id)));
    for (size_t i = 0; i < t.events_n && !s->failed; i++) {
        const struct audit_entry *e = &t.events[i].entry;

        if (e->at < clock)
            violation(s, "trail of " STR_FMT " goes back in time", STR_ARG(run_text(s, run_id)));
        clock = e->at;
        if (e->type != AUDIT_RUN_STATUS)
            continue;
        if (e->a != status)
            violation(s, "trail of " STR_FMT ": from %lld after %lld", STR_ARG(run_text(s, run_id)),
                      (long long)e->a, (long long)status);
        status = e->b;
    }
    if (status != rows_number(s, &now, ARGS(DB_INT(run_id))))
        violation(s, "trail of " STR_FMT " ends with %lld, the run says something else",
                  STR_ARG(run_text(s, run_id)), (long long)status);
}

void check_trails(struct sim *s)
{
    static const struct sql q = { "SELECT id FROM runs WHERE recording <> 0" };
    struct db_rows r;
    size_t n = 0, cap = s->order.n + 1;
    int64_t *ids = NEW_N(&s->scratch, int64_t, cap);

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (db_row(&r) && n < cap)
        ids[n++] = db_int(&r, 0);
    rows_close(s, &r);
    s->totals.trails = (int64_t)n;
    for (size_t i = 0; i < n && !s->failed; i++)
        check_trail(s, &s->c, ids[i]);
}
