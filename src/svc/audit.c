/* Collecting, writing and forgetting the audit trail. */
#include "svc/audit.h"

#include "engine/sm.h"
#include "store/audit.h"
#include "store/runs.h"
#include "svc/app.h"
#include "svc/batch_priv.h"
#include "svc/principal.h"
#include "svc/upkeep.h"

#define PACK_MAX (64u << 20)
#define DAY_MS (24LL * 3600 * 1000)
#define DAYS_SHIFT 16 /* above the bits of enum job_watch */
#define RETAIN_EVERY_MS 60000
#define RETAIN_RUNS 16

/* ---- who is recorded ------------------------------------------------------------------------- */

int64_t audit_watch(int64_t recording)
{
    if (recording == 0)
        return 0;
    return WATCH_RECORDED | (recording > 0 ? recording / DAY_MS << DAYS_SHIFT : 0);
}

static int64_t recording_of(const struct job *job)
{
    int64_t days = job->watch >> DAYS_SHIFT;

    if ((job->watch & WATCH_RECORDED) == 0)
        return 0;
    return days > 0 ? days * DAY_MS : -1;
}

void audit_told(struct ctx *c, const struct job *job)
{
    struct batch *b = batch_of(c);

    b->told_run = job->run_id;
    b->told = recording_of(job);
}

/* How the run is recorded; asks its row when nobody has told. */
static err_t recorded(struct ctx *c, int64_t run_id, int64_t *out)
{
    struct batch *b = batch_of(c);

    if (b->told_run != run_id) {
        TRY(store_run_recording(c, run_id, &b->told));
        b->told_run = run_id;
    }
    *out = b->told;
    return ERR_OK;
}

/* ---- collecting ------------------------------------------------------------------------------ */

static struct audit_pack *pack_new(struct ctx *c, struct batch *b, int64_t run_id)
{
    struct audit_pack *p = NEW(b->arena, struct audit_pack);

    if (b->audits_n == b->audits_cap) {
        size_t cap = b->audits_cap ? b->audits_cap * 2 : 16;
        struct audit_pack **more = NEW_N(b->arena, struct audit_pack *, cap);

        if (b->audits_n > 0)
            memcpy(more, b->audits, b->audits_n * sizeof(struct audit_pack *));
        b->audits = more;
        b->audits_cap = cap;
    }
    p->env = c->env;
    p->run = run_id;
    buf_init_arena(&p->b, b->arena, PACK_MAX);
    b->audits[b->audits_n++] = p;
    return p;
}

static struct audit_pack *pack_of(struct ctx *c, int64_t run_id)
{
    struct batch *b = batch_of(c);

    for (size_t i = b->audits_n; i > 0; i--) {
        if (b->audits[i - 1]->run == run_id && b->audits[i - 1]->env == c->env)
            return b->audits[i - 1];
    }
    return pack_new(c, b, run_id);
}

static err_t entry_add(struct ctx *c, int64_t run_id, const struct audit_entry *e)
{
    struct audit_pack *p = pack_of(c, run_id);

    audit_pack(&p->b, e);
    if (p->b.full)
        return err_set(c, ERR_TOO_LARGE, "one transaction adds too much to an audit trail");
    return ERR_OK;
}

err_t audit_created(struct ctx *c, const struct run *run)
{
    struct audit_entry e = { .type = AUDIT_RUN_CREATED, .at = c->now_ms };

    return run->recording == 0 ? ERR_OK : entry_add(c, run->id, &e);
}

static err_t status_add(struct ctx *c, const struct run *run, enum audit_type type,
                        enum run_status from, str_t reason)
{
    struct audit_entry e = {
        .type = type, .at = c->now_ms, .a = (int64_t)from, .b = run->status, .text = reason
    };

    return entry_add(c, run->id, &e);
}

err_t audit_run(struct ctx *c, const struct run *run, const struct job *job, enum run_status from,
                str_t reason)
{
    int64_t keep;

    if ((job->watch & WATCH_RECORDED) == 0)
        return ERR_OK;
    keep = recording_of(job);
    if (reason.n == 0)
        reason = audit_reason(run, job, from);
    if (from != run->status)
        TRY(status_add(c, run, AUDIT_RUN_STATUS, from, reason));
    if (run->status == RUN_PAUSED)
        TRY(status_add(c, run, AUDIT_RUN_PAUSED, from, reason));
    if (run->status == RUN_RUNNING && str_eq(reason, S("resumed")))
        TRY(status_add(c, run, AUDIT_RUN_RESUMED, from, reason));
    if (keep > 0 && sm_final(&run_sm, (int)run->status))
        pack_of(c, run->id)->expires_at = c->now_ms + keep;
    return ERR_OK;
}

static err_t step_add(struct ctx *c, const struct step *s, enum audit_type type, int64_t at)
{
    struct audit_entry e = { .type = type, .at = at > 0 ? at : c->now_ms, .step = s->id };

    switch (type) {
    case AUDIT_STEP_STARTED:
        e.a = (int64_t)s->type;
        break;
    case AUDIT_SAGA_STARTED:
        e.text = s->compensation_for;
        break;
    case AUDIT_STEP_COMPLETED:
    case AUDIT_SAGA_COMPLETED:
        e.a = s->duration_ms;
        e.b = s->event_ref;
        e.text = s->event_ref == 0 ? s->output : STR_NULL;
        break;
    case AUDIT_STEP_FAILED:
    case AUDIT_SAGA_FAILED:
        e.a = s->attempt;
        e.text = s->error;
        break;
    case AUDIT_RUN_CREATED:
    case AUDIT_RUN_STATUS:
    case AUDIT_RUN_PAUSED:
    case AUDIT_RUN_RESUMED:
    case AUDIT_STEP_CREATED:
    case AUDIT_STEP_PATCHED:
    case AUDIT_STEP_INJECTED:
    case AUDIT_DEBOUNCE_CANCELLED:
    case AUDIT_TYPE_COUNT:
        break;
    }
    return entry_add(c, s->run_id, &e);
}

/* A step that is reported again, after a failure, begins anew without being created. */
static bool begins_again(const struct step *s)
{
    return s->attempt > 1 && (s->type == STEP_INVOKE || s->type == STEP_COMPENSATE);
}

err_t audit_step(struct ctx *c, enum step_topic t, const struct step *s)
{
    bool saga = s->type == STEP_COMPENSATE;
    enum audit_type started = saga ? AUDIT_SAGA_STARTED : AUDIT_STEP_STARTED;
    int64_t on = 0;

    TRY(recorded(c, s->run_id, &on));
    if (on == 0)
        return ERR_OK;
    switch (t) {
    case TOPIC_STEP_CREATED:
        TRY(step_add(c, s, AUDIT_STEP_CREATED, s->started_at));
        return step_add(c, s, started, s->started_at);
    case TOPIC_STEP_UPDATED:
        return step_add(c, s, started, s->started_at);
    case TOPIC_STEP_COMPLETED:
        if (begins_again(s))
            TRY(step_add(c, s, started, s->started_at));
        return step_add(c, s, saga ? AUDIT_SAGA_COMPLETED : AUDIT_STEP_COMPLETED, s->ended_at);
    case TOPIC_STEP_FAILED:
    case TOPIC_STEP_TIMED_OUT:
        if (begins_again(s))
            TRY(step_add(c, s, started, s->started_at));
        return step_add(c, s, saga ? AUDIT_SAGA_FAILED : AUDIT_STEP_FAILED, s->ended_at);
    case TOPIC_STEP_PATCHED:
    case TOPIC_STEP_INJECTED:
        break; /* audit_change */
    }
    return ERR_OK;
}

err_t audit_change(struct ctx *c, const struct run *run, const struct step *s, enum step_topic t,
                   str_t before, str_t reason)
{
    struct audit_entry e = {
        .type = t == TOPIC_STEP_INJECTED ? AUDIT_STEP_INJECTED : AUDIT_STEP_PATCHED,
        .at = c->now_ms,
        .step = s->id,
        .text = s->output,
        .before = before,
        .by = s->patched_by,
        .reason = reason,
    };

    if (run->recording == 0)
        return ERR_OK;
    TRY(entry_add(c, run->id, &e));
    if (run->recording > 0 && sm_final(&run_sm, (int)run->status))
        pack_of(c, run->id)->expires_at = run->ended_at + run->recording;
    return ERR_OK;
}

err_t audit_debounce(struct ctx *c, int64_t fn, int64_t event_id, str_t key)
{
    struct audit_entry e = { .type = AUDIT_DEBOUNCE_CANCELLED,
                             .at = c->now_ms,
                             .a = fn,
                             .b = event_id,
                             .text = key,
                             .by = principal_name(c->who) };

    return entry_add(c, 0, &e);
}

err_t audit_write(struct ctx *c)
{
    struct batch *b = batch_of(c);
    int64_t env = c->env;

    for (size_t i = 0; i < b->audits_n; i++) {
        const struct audit_pack *p = b->audits[i];

        if (p->b.n == 0)
            continue;
        c->env = p->env;
        TRY(store_audit_add(c, p->run, p->expires_at, buf_str(&p->b)));
    }
    c->env = env;
    return ERR_OK;
}

/* ---- retention ------------------------------------------------------------------------------- */

/* A row whose time is over takes the whole trail with it, unless the run went on after it. */
static err_t row_expire(struct ctx *c, const struct audit_row *row)
{
    struct run run = { 0 };
    int64_t n = 0;
    err_t e = store_run_get(c, row->run_id, &run);

    if (e != ERR_NOT_FOUND)
        TRY(e);
    if (e == ERR_OK &&
        (!sm_final(&run_sm, (int)run.status) || run.ended_at + run.recording > c->now_ms))
        return store_audit_keep(c, row->id);
    return store_audit_del(c, row->run_id, UPKEEP_SLICE, &n);
}

err_t svc_audit_retain(struct ctx *c, int64_t *next_due)
{
    struct audit_row *rows = NULL;
    size_t n = 0;

    TRY(store_audit_expired(c, c->now_ms, RETAIN_RUNS, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        c->env = rows[i].env;
        TRY(row_expire(c, &rows[i]));
    }
    c->env = 0;
    *next_due = n > 0 ? c->now_ms : c->now_ms + RETAIN_EVERY_MS;
    return ERR_OK;
}
