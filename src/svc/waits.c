/* An event finds by index the steps that wait for it and the runs that it cancels. A row is deleted
 * first; whoever deletes it decides, so that a wait ends once. */
#include "svc/waits.h"

#include "codec/json.h"
#include "engine/step.h"
#include "store/events.h"
#include "store/queue.h"
#include "store/rows.h"
#include "store/runs.h"
#include "store/steps.h"
#include "svc/app.h"
#include "svc/children.h"
#include "svc/messages.h"
#include "svc/moves.h"
#include "svc/runs.h"
#include "svc/upkeep.h"
#include "txn/txn.h"

#define WAKES_PER_SLICE 64
#define WAKES_OF_MANY 16

/* ---- looking --------------------------------------------------------------------------------- */

struct scan {
    const struct event *event;
    struct wake *at; /* moves on */
    struct rows_of found;
    struct wait_filter filter;
    int64_t budget;
    bool more; /* the budget ended it */
};

/* Rows of the group at which the scan stands. */
static err_t scan_group(struct ctx *c, struct scan *s)
{
    struct wait_key key = { .event = s->at->event, .pattern = s->at->pattern, .path = s->at->path };
    size_t n = 1;

    if (!wait_value(c, key.path, s->event, &key.value))
        return ERR_OK;
    while (n > 0) {
        struct wait *rows = NULL;

        if (s->budget <= 0) {
            s->more = true;
            return ERR_OK;
        }
        TRY(store_waits_match(c, &key, s->at->after, s->at->upto, s->budget, &rows, &n));
        for (size_t i = 0; i < n; i++) {
            s->at->after = rows[i].id;
            if (wait_filter_holds(c, &s->filter, rows[i].key.filter))
                *(struct wait *)rows_next(c, &s->found) = rows[i];
        }
        s->budget -= (int64_t)n;
    }
    return ERR_OK;
}

/* Goes over the groups of the event's name, then over those of patterns. */
static err_t scan_run(struct ctx *c, struct scan *s)
{
    struct wake *at = s->at;
    bool behind = false, found = false;

    for (;;) {
        str_t pattern = at->pattern, path = at->path;

        if (s->budget-- <= 0) {
            s->more = true;
            return ERR_OK;
        }
        TRY(store_waits_group(c, at->event, behind, &pattern, &path, &found));
        if (!found && at->event.n == 0)
            return ERR_OK;
        if (!found) {
            at->event = at->pattern = at->path = S("");
            at->after = 0;
            behind = false;
            continue;
        }
        if (!str_eq(pattern, at->pattern) || !str_eq(path, at->path))
            at->after = 0;
        at->pattern = pattern;
        at->path = path;
        if (pattern.n == 0 || wait_pattern_matches(pattern, s->event->name))
            TRY(scan_group(c, s));
        if (s->more)
            return ERR_OK;
        behind = true;
    }
}

static err_t scan(struct ctx *c, struct scan *s)
{
    err_t e;

    s->filter.event = s->event;
    e = scan_run(c, s);
    wait_filter_done(&s->filter);
    return e;
}

/* More than one call shall bear: it does the first few, so that its answer does not wait, and a job
 * begins anew behind them. */
static err_t leave_rest(struct ctx *c, const struct event *e, struct wakes *w)
{
    if (w->n > WAKES_OF_MANY)
        w->n = WAKES_OF_MANY;
    w->rest.event = e->name;
    w->rest.pattern = w->rest.path = S("");
    w->rest.after = 0;
    return store_waits_last(c, &w->rest.upto);
}

err_t waits_find(struct ctx *c, const struct event *e, int64_t *budget, struct wakes *out)
{
    struct wakes w = { .rest = { .kind = WAKE_EVENT,
                                 .subject = e->id,
                                 .upto = INT64_MAX,
                                 .event = e->name,
                                 .pattern = S(""),
                                 .path = S("") } };
    struct scan s = { .event = e, .found = ROWS_OF(struct wait), .budget = *budget };
    bool any = false;

    if (app_of(c)->db_kind == DB_PG)
        TRY(store_waits_lock_emit(c, e->name));
    TRY(store_waits_any(c, e->name, &any));
    if (any) {
        s.at = &w.rest;
        TRY(scan(c, &s));
        *budget = s.budget > 0 ? s.budget : 0;
        w.list = s.found.items;
        w.n = s.found.n;
        w.more = s.more;
        if (w.more)
            TRY(leave_rest(c, e, &w));
    }
    *out = w;
    return ERR_OK;
}

/* ---- acting ---------------------------------------------------------------------------------- */

static err_t step_wake_by(struct ctx *c, const struct event *e, const struct wait *w,
                          struct job *job)
{
    struct run_move move = { 0 };
    struct step s = { 0 };
    struct run run = { 0 };
    bool found = false;

    TRY(store_step_head(c, w->step, &s, &found));
    if (!found || s.status != STEP_WAITING)
        return ERR_OK;
    step_wake(&s, c->now_ms);
    s.event_ref = e->id;
    TRY(store_step_event(c, &s));
    TRY(message_step(c, TOPIC_STEP_COMPLETED, &s, job->fn));
    TRY(store_run_get(c, w->run_id, &run));
    if (!run_waits_for(&run, job, s.id))
        return ERR_OK;
    TRY(run_wake(c, &run, job, &move));
    return run_moved(c, &run, job, &move, STR_NULL);
}

static err_t wait_act(struct ctx *c, const struct event *e, const struct wait *w)
{
    struct job job = { 0 };
    bool open = false, gone = false;

    TRY(store_queue_get(c, w->run_id, &job, &open));
    TRY(store_wait_del(c, w->id, &gone));
    if (!open || !gone)
        return ERR_OK;
    if (w->kind == WAIT_STEP)
        return step_wake_by(c, e, w, &job);
    return run_cancel_by_event(c, w->run_id, &job);
}

static err_t wake_put(struct ctx *c, const struct wake *rest)
{
    struct wake w = *rest;

    w.id = ctx_id(c);
    TRY(store_wake_add(c, &w));
    signal_add(c, SIG_TIMER, 0);
    return ERR_OK;
}

err_t waits_wake(struct ctx *c, const struct event *e, const struct wakes *w)
{
    for (size_t i = 0; i < w->n; i++)
        TRY(wait_act(c, e, &w->list[i]));
    return w->more ? wake_put(c, &w->rest) : ERR_OK;
}

err_t wake_later(struct ctx *c, int64_t ended_run)
{
    struct wake w = {
        .kind = WAKE_CHILD, .subject = ended_run, .event = S(""), .pattern = S(""), .path = S("")
    };

    return wake_put(c, &w);
}

/* ---- the rest, in slices --------------------------------------------------------------------- */

static err_t event_slice(struct ctx *c, struct wake *w, bool *more)
{
    struct scan s = { .at = w, .found = ROWS_OF(struct wait), .budget = WAKES_PER_SLICE };
    struct event e = { 0 };
    struct wait *list;
    err_t err = store_event_get(c, w->subject, &e);

    *more = false;
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(err);
    s.event = &e;
    TRY(scan(c, &s));
    list = s.found.items;
    for (size_t i = 0; i < s.found.n; i++)
        TRY(wait_act(c, &e, &list[i]));
    *more = s.more;
    return ERR_OK;
}

err_t svc_wakes_run(struct ctx *c, int64_t *next_due)
{
    struct wake w = { 0 };
    bool found = false, more = false;

    TRY(store_wake_first(c, &w, &found));
    if (!found) {
        *next_due = INT64_MAX;
        return ERR_OK;
    }
    c->env = w.env;
    if (w.kind == WAKE_EVENT)
        TRY(event_slice(c, &w, &more));
    else
        TRY(run_ended_follow(c, w.subject, WATCH_PARENT));
    TRY(more ? store_wake_put(c, &w) : store_wake_del(c, w.id));
    c->env = 0;
    *next_due = c->now_ms;
    return ERR_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* SQLite's writer draws growing keys itself; elsewhere the database does, under the lock. */
static int64_t wait_id(struct ctx *c)
{
    return app_of(c)->db_kind == DB_SQLITE ? ctx_id(c) : 0;
}

err_t waits_add_cancels(struct ctx *c, const struct function *f, const struct event *e,
                        int64_t run_id, bool *any)
{
    *any = false;
    for (size_t i = 0; i < f->cancel_on_n; i++) {
        struct wait w = { .kind = WAIT_CANCEL, .run_id = run_id };

        if (!wait_key_cancel(c, &f->cancel_on[i], e->data, &w.key))
            continue;
        w.id = wait_id(c);
        TRY(store_wait_add(c, &w));
        *any = true;
    }
    return ERR_OK;
}

err_t waits_add_step(struct ctx *c, int64_t run_id, int64_t step, const struct wait_key *key)
{
    struct wait w = { .kind = WAIT_STEP, .run_id = run_id, .step = step, .key = *key };

    if (app_of(c)->db_kind == DB_PG)
        TRY(store_waits_lock_wait(c, key));
    w.id = wait_id(c);
    return store_wait_add(c, &w);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

err_t wait_timed_out(struct ctx *c, struct run *run, struct job *job, int64_t step,
                     struct run_move *out)
{
    str_t event = STR_NULL, value;
    struct step s = { 0 };

    TRY(store_step_get(c, step, &s));
    if (s.status != STEP_WAITING)
        return run_wake(c, run, job, out);
    if (s.input.n > 0 && json_get(s.input, S("event"), &value))
        (void)json_string(c->arena, value, &event);
    step_wait_failed(&s, STEP_TIMED_OUT, wait_timeout_json(c, s.name, event), c->now_ms);
    TRY(store_waits_del(c, run->id, s.id));
    TRY(store_step_status(c, &s));
    TRY(message_step(c, TOPIC_STEP_TIMED_OUT, &s, run->fn));
    return run_wait_failed(c, run, job, s.error, out);
}
