/* A yield is a step that is still open. Its row keeps the first deadline and the first child,
 * however often the same step is yielded again. */
#include "svc/yields.h"

#include "codec/json.h"
#include "engine/match.h"
#include "engine/run.h"
#include "engine/step.h"
#include "engine/wait.h"
#include "store/events.h"
#include "store/runs.h"
#include "store/steps.h"
#include "store/workers.h"
#include "svc/children.h"
#include "svc/events.h"
#include "svc/messages.h"
#include "svc/waits.h"

#define INPUT_MAX ((size_t)16 << 20)

enum yield_kind { YIELDS_SLEEP, YIELDS_EVENT, YIELDS_INVOKE, YIELDS_ASYNC };

/* ---- checks ---------------------------------------------------------------------------------- */

static bool kind_of(str_t word, enum yield_kind *out)
{
    static const char *const words[] = { "sleep", "wait_for_event", "invoke_function",
                                         "invoke_function_async" };

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (str_eq(word, str_from(words[i]))) {
            *out = (enum yield_kind)i;
            return true;
        }
    }
    return false;
}

static err_t event_check(struct ctx *c, const struct report *in)
{
    struct wait_key key;

    if (in->yield_event.n == 0)
        return err_set(c, ERR_INVALID, "yield: event_filter.event is required");
    return wait_key_make(c, in->yield_event, in->yield_match, in->yield_match_value, S("{}"), &key);
}

err_t yield_check(struct ctx *c, const struct report *in)
{
    enum yield_kind kind;

    if (!kind_of(in->yield_type, &kind))
        return err_set(c, ERR_INVALID, "yield: unknown type");
    if (in->yield_step_id.n == 0 || in->yield_step_id.n > STEP_ID_MAX)
        return err_set(c, ERR_INVALID, "yield: step_id must have 1 to %d bytes", STEP_ID_MAX);
    if (in->yield_timeout_ms < 0)
        return err_set(c, ERR_INVALID, "yield: the timeout must not be negative");
    switch (kind) {
    case YIELDS_SLEEP:
        if (in->yield_until_ms <= 0)
            return err_set(c, ERR_INVALID, "yield: until is required");
        break;
    case YIELDS_EVENT:
        return event_check(c, in);
    case YIELDS_INVOKE:
    case YIELDS_ASYNC:
        if (in->yield_function.n == 0 || in->yield_function.n > FUNCTION_ID_MAX)
            return err_set(c, ERR_INVALID, "yield: function_id must have 1 to %d bytes",
                           FUNCTION_ID_MAX);
        break;
    }
    return ERR_OK;
}

/* ---- the row --------------------------------------------------------------------------------- */

/* A step that is yielded: what the report says, and what is stored. */
struct yielded {
    struct held *h;
    const struct report *in;
    struct step fresh, row;
    bool known; /* there was a row */
    enum yield_state state;
};

static int64_t deadline(const struct ctx *c, const struct report *in, int64_t usual_ms)
{
    if (in->yield_until_ms > 0)
        return in->yield_until_ms;
    return c->now_ms + (in->yield_timeout_ms > 0 ? in->yield_timeout_ms : usual_ms);
}

static struct step fresh_step(struct ctx *c, const struct held *h, const struct report *in)
{
    return (struct step){
        .id = ctx_id(c),
        .run_id = h->job.run_id,
        .step_id = in->yield_step_id,
        .name = step_name_of(c->arena, in->yield_step_id),
        .sequence = h->job.step_next,
        .attempt = 1,
        .started_at = c->now_ms,
    };
}

/* What is known of the step already decides whether it is waited for anew. */
static err_t yielded_find(struct ctx *c, struct yielded *y)
{
    struct step old = { 0 };
    err_t e = store_step_find(c, y->h->job.run_id, y->in->yield_step_id, &old);

    y->row = y->fresh;
    y->state = YIELD_REOPEN;
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    y->known = true;
    if (step_invoke_failed(&old) && old.wake_at != 0) {
        /* One child a step: who can catch the failure is told of it again, else the run fails. */
        y->state = YIELD_DONE;
        return store_step_get(c, old.id, &y->row);
    }
    y->state = step_yield_again(&old, &y->fresh);
    y->row = old;
    return ERR_OK;
}

static err_t yielded_announce(struct ctx *c, const struct yielded *y)
{
    const struct step *s = &y->row;
    int64_t fn = y->h->job.fn;

    if (!y->known)
        TRY(message_step(c, TOPIC_STEP_CREATED, s, fn));
    else if (step_is_open(s))
        TRY(message_step(c, TOPIC_STEP_UPDATED, s, fn));
    if (s->status == STEP_COMPLETED)
        return message_step(c, TOPIC_STEP_COMPLETED, s, fn);
    return s->status == STEP_FAILED ? message_step(c, TOPIC_STEP_FAILED, s, fn) : ERR_OK;
}

/* Writes a row that is new or begins anew. */
static err_t yielded_store(struct ctx *c, struct yielded *y)
{
    bool added = false;

    if (y->known) {
        TRY(store_step_put(c, &y->row));
    } else {
        TRY(store_step_add(c, &y->row, &added));
        must(added); /* the run's row is locked */
        y->h->job.step_next++;
    }
    return yielded_announce(c, y);
}

/* ---- sleep ----------------------------------------------------------------------------------- */

static err_t sleep_yield(struct ctx *c, struct yielded *y, struct run_move *out)
{
    struct held *h = y->h;

    y->fresh.type = STEP_SLEEP;
    y->fresh.status = STEP_SLEEPING;
    y->fresh.wake_at = y->in->yield_until_ms;
    TRY(yielded_find(c, y));
    if (y->state == YIELD_DONE)
        return run_report_again(c, &h->run, &h->job, out);
    if (y->state == YIELD_REOPEN)
        TRY(yielded_store(c, y));
    return run_report_sleep(c, &h->run, &h->job, &y->row, out);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* What the step waits for, as its input. */
static str_t event_input(struct ctx *c, const struct report *in)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, INPUT_MAX);
    json_open(&w, '{');
    json_key(&w, S("event"));
    json_put_str(&w, in->yield_event);
    if (in->yield_match.n > 0) {
        json_key(&w, S("match"));
        json_put_str(&w, in->yield_match);
    }
    if (in->yield_match_value.n > 0) {
        json_key(&w, S("match_value"));
        json_put_raw(&w, in->yield_match_value);
    }
    if (in->yield_payload.n > 0) {
        json_key(&w, S("payload"));
        json_put_raw(&w, in->yield_payload);
    }
    json_close(&w, '}');
    return b.full ? STR_NULL : buf_str(&b);
}

static err_t event_key(struct ctx *c, const struct yielded *y, struct wait_key *out)
{
    const struct report *in = y->in;
    struct event trigger = { .data = S("{}") };

    if (in->yield_match.n > 0 && in->yield_match_value.n == 0)
        TRY(store_event_get(c, y->h->run.event_id, &trigger));
    return wait_key_make(c, in->yield_event, in->yield_match, in->yield_match_value, trigger.data,
                         out);
}

static err_t event_yield(struct ctx *c, struct yielded *y, struct run_move *out)
{
    struct held *h = y->h;
    struct wait_key key;

    y->fresh.type = STEP_WAIT_FOR_EVENT;
    y->fresh.status = STEP_WAITING;
    y->fresh.wake_at = deadline(c, y->in, WAIT_TIMEOUT_MS);
    y->fresh.input = event_input(c, y->in);
    TRY(yielded_find(c, y));
    if (y->state == YIELD_DONE)
        return run_report_again(c, &h->run, &h->job, out);
    if (y->state == YIELD_REOPEN) {
        TRY(event_key(c, y, &key));
        if (y->known)
            TRY(store_waits_del(c, h->job.run_id, y->row.id));
        TRY(waits_add_step(c, h->job.run_id, y->row.id, &key));
        h->job.watch |= WATCH_ROWS;
        TRY(yielded_store(c, y));
    }
    return run_report_wait(c, &h->run, &h->job, &y->row, TIMER_WAIT, out);
}

/* ---- children -------------------------------------------------------------------------------- */

/* Will this worker understand that an invoke failed? */
static err_t catches_note(struct ctx *c, struct held *h)
{
    struct worker w = { 0 };
    bool known = false, catches = h->run.worker.n == 0; /* an endpoint */

    if (!catches) {
        TRY(store_worker_get(c, h->run.worker, &w, &known));
        catches = known && invoke_failures_known(w.sdk, w.runtime);
    }
    h->job.watch = catches ? h->job.watch | WATCH_CATCHES : h->job.watch & ~WATCH_CATCHES;
    return ERR_OK;
}

/* A step that begins anew goes on waiting for its child, as long as that did not fail. */
static err_t child_rejoin(struct ctx *c, struct yielded *y, bool *joined)
{
    struct run child = { 0 };
    err_t e;

    *joined = false;
    if (!y->known || y->row.child_run == 0)
        return ERR_OK;
    e = store_run_get(c, y->row.child_run, &child);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    *joined = child.status != RUN_FAILED && child.status != RUN_CANCELLED;
    if (child.status == RUN_COMPLETED)
        invoke_result(c, &y->row, &child);
    return ERR_OK;
}

/* Starts it, or fills the step with the reason why not. */
static err_t child_begin(struct ctx *c, struct yielded *y)
{
    struct child_start start = { .function_id = y->in->yield_function,
                                 .input = y->in->yield_input,
                                 .parent_run = y->h->job.run_id,
                                 .parent_step = y->row.step_id };
    err_t e = svc_child_start(c, &start, &y->row.child_run);
    str_t why;

    if (e != ERR_NOT_FOUND && e != ERR_PRECONDITION)
        return e;
    why = str_dup(c->arena, err_text(c, e));
    step_wait_failed(&y->row, STEP_FAILED,
                     invoke_error_json(c, why, start.function_id, 0, STR_NULL), c->now_ms);
    return ERR_OK;
}

static void async_done(struct ctx *c, struct step *s)
{
    str_t id = id_text(c->arena, ID_RUN, s->child_run);

    s->output = str_printf(c->arena, "{\"run_id\":\"" STR_FMT "\"}", STR_ARG(id));
    step_wake(s, c->now_ms);
}

static err_t invoke_yield(struct ctx *c, struct yielded *y, bool async, struct run_move *out)
{
    struct held *h = y->h;
    bool joined = false;

    y->fresh.name = y->in->yield_function;
    y->fresh.type = STEP_INVOKE_FUNCTION;
    y->fresh.status = STEP_WAITING;
    y->fresh.wake_at = deadline(c, y->in, INVOKE_TIMEOUT_MS);
    y->fresh.input = y->in->yield_input;
    TRY(catches_note(c, h));
    TRY(yielded_find(c, y));
    if (y->state == YIELD_REOPEN) {
        TRY(child_rejoin(c, y, &joined));
        if (!joined)
            TRY(child_begin(c, y));
        if (async && y->row.status == STEP_WAITING)
            async_done(c, &y->row);
        TRY(yielded_store(c, y));
    }
    if (step_is_open(&y->row))
        return run_report_wait(c, &h->run, &h->job, &y->row, TIMER_CHILD, out);
    return invoke_settled(c, &h->run, &h->job, &y->row, out);
}

err_t yield_report(struct ctx *c, struct held *h, const struct report *in, struct run_move *out)
{
    struct yielded y = { .h = h, .in = in, .fresh = fresh_step(c, h, in) };
    enum yield_kind kind = YIELDS_SLEEP;

    must(h->loaded && kind_of(in->yield_type, &kind)); /* yield_check has seen it */
    switch (kind) {
    case YIELDS_SLEEP:
        return sleep_yield(c, &y, out);
    case YIELDS_EVENT:
        return event_yield(c, &y, out);
    case YIELDS_INVOKE:
        return invoke_yield(c, &y, false, out);
    case YIELDS_ASYNC:
        return invoke_yield(c, &y, true, out);
    }
    return ERR_INTERNAL;
}
