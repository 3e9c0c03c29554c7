/* The endpoints of push functions, in the place of http/outbound.c: what the dispatcher sends is
 * kept here until an endpoint answers, well or badly, late or never, or until nobody listens any
 * more. Whole endpoints go down for a while, so that breakers open. What was sent and answered is
 * looked at when all is idle. */
#include "http/outbound.h"

#include "codec/json.h"
#include "engine/breaker.h"
#include "jobs/push.h"
#include "proto/ironflow.h"
#include "sim.h"
#include "svc/breakers.h"
#include "svc/workers.h"

enum { TICK_MS = 1000 };
#define FORGOTTEN_MS (BREAKER_KEPT_MS - 60000) /* behind its end an open one is forgotten */

struct outbound {
    struct sim *s;
};

/* One call of an endpoint. */
struct request {
    struct outbound_req *req; /* NULL: whoever sent it is gone */
    struct hold *hold;        /* NULL: not looked at yet */
    int64_t deadline;
    int64_t operated; /* of the run, when it was sent */
    int fn;
};

err_t outbound_new(struct ctx *c, struct loop *loop, struct outbound **out)
{
    struct outbound *o = mem_zero(sizeof(*o));

    (void)loop;
    o->s = sim_of(c->app);
    *out = o;
    return ERR_OK;
}

static int fn_of(const char *url)
{
    return url[sizeof(SIM_URL) - 1] - '0';
}

void outbound_send(struct outbound *o, struct outbound_req *r)
{
    struct request *q = mem_zero(sizeof(*q));

    q->req = r;
    q->fn = fn_of(r->url);
    q->deadline = o->s->clock.virtual_ms + r->timeout_ms;
    o->s->push_seen[q->fn].sent++;
    o->s->totals.requests++;
    vec_push(&o->s->requests, q);
}

/* The process ends: its connections do, too. What the endpoints do goes on without them. */
void outbound_free(struct outbound *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->s->requests.n; i++) {
        struct request *q = o->s->requests.items[i];
        struct outbound_req *r = q->req;

        if (r == NULL)
            continue;
        q->req = NULL;
        if (q->hold)
            q->hold->run->held_until = 0;
        r->end = OUTBOUND_STOPPED;
        r->done(r);
    }
    mem_free(o);
}

/* ---- what was sent ----------------------------------------------------------------------------
 */

/* Not two at once for one run, unless an operator began it again or the first is past its time. */
static void check_alone(struct sim *s, const struct request *q)
{
    for (size_t i = 0; i < s->requests.n; i++) {
        const struct request *other = s->requests.items[i];

        if (other == q || !other->req || !other->hold || other->hold->run != q->hold->run)
            continue;
        if (other->operated == q->operated && s->clock.virtual_ms < other->deadline)
            violation(s, "run " STR_FMT " is sent while its endpoint is at it",
                      STR_ARG(run_text(s, q->hold->run->id)));
    }
}

static void request_look(struct sim *s, struct request *q)
{
    str_t body = q->req->body, v, text;
    struct handed h = { .lease_ms = s->app.push_stale_ms };
    int64_t id = 0;

    if (!json_get(body, S("run_id"), &v) || !json_string(&s->scratch, v, &text) ||
        !id_parse(ID_RUN, text, &id) || !json_get(body, S("attempt"), &v) ||
        !str_to_i64(v, &h.attempt) || !json_get(body, S("steps"), &v)) {
        violation(s, "a request without its members: " STR_FMT, STR_ARG(body));
        return;
    }
    h.run = model_run(s, id);
    h.seq = model_claimed(s, h.run, &h.max_attempts);
    q->operated = h.run->operated;
    q->hold = hold_new(s, h.run, h.seq);
    q->hold->attempt = h.attempt;
    q->hold->max_attempts = h.max_attempts;
    for (struct json_iter it = json_iter(v); json_next(&it) && !s->failed;) {
        struct handed_step *st = &h.steps[h.steps_n];

        if (h.steps_n == SIM_STEPS_MAX || !json_get(it.value, S("id"), &v) ||
            !json_string(&s->scratch, v, &st->id)) {
            violation(s, "a request with strange steps: " STR_FMT, STR_ARG(body));
            return;
        }
        (void)json_get(it.value, S("output"), &st->output);
        hold_done(s, q->hold, st->id);
        h.steps_n++;
    }
    note(s, "request of " STR_FMT " seq %lld", STR_ARG(text), (long long)h.seq);
    if (h.seq == 0)
        return; /* cancelled meanwhile, for instance */
    check_alone(s, q);
    model_handed(s, &h);
}

/* ---- what comes back --------------------------------------------------------------------------
 */

static void request_end(struct sim *s, struct request *q)
{
    for (size_t i = 0; i < s->requests.n; i++) {
        if (s->requests.items[i] == q) {
            vec_swap_remove(&s->requests, i);
            break;
        }
    }
    mem_free(q);
}

/* valid: it is what the handler came to, which is the hold's final report. */
static void deliver(struct sim *s, struct request *q, enum outbound_end end, int status,
                    str_t reply, bool valid)
{
    struct outbound_req *r = q->req;
    struct hold *h = q->hold;

    note(s, "endpoint %d answers " STR_FMT " with %d, status %d%s", q->fn, STR_ARG(h->job_id),
         (int)end, status, valid ? ", well" : "");
    request_end(s, q);
    if (!r)
        return;
    s->push_seen[fn_of(r->url)].answered++;
    if (!valid) {
        h->final = (struct report){ .kind = REPORT_FAILED, .retryable = true };
        h->final_sent = true;
        s->totals.refusals++;
    } else {
        s->totals.answers++;
    }
    outcome_expect(s, h, &h->final, true);
    r->end = end;
    r->status = status;
    r->reply = str_dup(r->arena, reply);
    r->why = S("gone");
    r->done(r);
}

static struct pb_rest_yield *yield_out(struct arena *a, const struct report *r)
{
    struct pb_rest_yield *y = NEW(a, struct pb_rest_yield);

    *y = (struct pb_rest_yield){ .step_id = r->yield_step_id,
                                 .type = r->yield_type,
                                 .until = r->yield_until_ms,
                                 .function_id = r->yield_function,
                                 .input = r->yield_input };
    if (r->yield_event.n == 0) {
        y->invoke_timeout_ms = (double)r->yield_timeout_ms;
        return y;
    }
    y->event_filter = NEW(a, struct pb_rest_event_filter);
    *y->event_filter = (struct pb_rest_event_filter){
        .event = r->yield_event,
        .match = r->yield_match,
        .match_value = r->yield_match_value,
        .timeout = str_printf(a, "%lldms", (long long)r->yield_timeout_ms),
    };
    return y;
}

/* The final report as a handler's library writes it. */
static str_t answer_text(struct arena *a, const struct report *r)
{
    static const char *const words[] = { "progress", "completed", "failed", "yielded" };
    struct pb_rest_job_update out = { .status = str_from(words[r->kind]) };
    struct pb_rest_step_error error = { .has_retryable = true, .retryable = r->retryable };
    struct buf b;
    str_t text, v;

    out.steps = NEW_N(a, struct pb_rest_step_report, r->steps_n + 1);
    out.steps_n = r->steps_n;
    for (size_t i = 0; i < r->steps_n; i++)
        out.steps[i] = (struct pb_rest_step_report){ .id = r->steps[i].id,
                                                     .name = r->steps[i].name,
                                                     .type = r->steps[i].type,
                                                     .status = r->steps[i].status,
                                                     .output = r->steps[i].output };
    if (r->kind == REPORT_YIELDED)
        out.yield = yield_out(a, r);
    if (r->kind == REPORT_FAILED && json_get(r->error, S("message"), &v)) {
        (void)json_string(a, v, &error.message);
        error.code = S("X");
        out.error = &error;
    }
    buf_init_arena(&b, a, (size_t)1 << 20);
    pb_to_json(&b, &pb_rest_job_update_desc, &out, PB_REST);
    text = buf_str(&b);
    if (r->kind != REPORT_COMPLETED)
        return text;
    return str_printf(a, "{\"result\":" STR_FMT "," STR_FMT, STR_ARG(r->output),
                      STR_ARG(str_slice(text, 1, text.n)));
}

/* The handler runs as far as it comes: to its end, to what it waits for, or into an error. */
static void answer(struct sim *s, struct request *q)
{
    struct hold *h = q->hold;
    int n = plan_steps(h->run), next;

    while ((next = plan_next(h)) < n && !plan_yields(h->run, next) &&
           (s->draining || !chance(s, 5)))
        plan_execute(s, h, next);
    if (next < n && plan_yields(h->run, next))
        plan_final(s, h, REPORT_YIELDED);
    else
        plan_final(s, h, next == n ? REPORT_COMPLETED : REPORT_FAILED);
    deliver(s, q, OUTBOUND_REPLY, 200, answer_text(&s->scratch, &h->final), true);
}

static void answer_badly(struct sim *s, struct request *q)
{
    static const struct {
        enum outbound_end end;
        int status;
        const char *reply;
    } bad[] = {
        { OUTBOUND_REPLY, 500, "{\"error\":{\"message\":\"no\"}}" },
        { OUTBOUND_REPLY, 503, "<html>" },
        { OUTBOUND_REPLY, 302, "" },
        { OUTBOUND_REPLY, 200, "" },
        { OUTBOUND_REPLY, 200, "{\"status\":\"progress\"}" },
        { OUTBOUND_REPLY, 200, "{\"status\":\"completed\"" },
        { OUTBOUND_REPLY, 200, "{\"status\":\"yielded\"}" },
        { OUTBOUND_REPLY, 200, "{\"status\":\"yielded\",\"yield\":{\"type\":\"dance\"}}" },
        { OUTBOUND_REPLY, 200, "{\"status\":\"completed\",\"steps\":[{\"id\":\"\"}]}" },
        { OUTBOUND_CONNECT, 0, "" },
        { OUTBOUND_BROKEN, 0, "" },
        { OUTBOUND_TOO_LARGE, 0, "" },
        { OUTBOUND_REFUSED, 0, "" },
    };
    int64_t i = pick(s, COUNT_OF(bad));

    deliver(s, q, bad[i].end, bad[i].status, str_from(bad[i].reply), false);
}

void endpoint_step(struct sim *s)
{
    struct request *q;

    if (chance(s, 2))
        s->push_seen[SIM_PUSH].down = !s->push_seen[SIM_PUSH].down;
    if (chance(s, 2))
        s->push_seen[SIM_FLIP].down = !s->push_seen[SIM_FLIP].down;
    if (s->requests.n == 0)
        return;
    q = s->requests.items[pick(s, (int64_t)s->requests.n)];
    if (q->hold == NULL)
        return;
    if (s->draining || (!s->push_seen[q->fn].down && chance(s, 85)))
        answer(s, q);
    else if (s->push_seen[q->fn].down || chance(s, 50))
        answer_badly(s, q);
}

/* What time does to requests, before anybody else hears of it; or, as on a machine that was
 * stopped, after. */
void endpoints_time(struct sim *s)
{
    int64_t now = s->clock.virtual_ms;

    for (size_t i = 0; i < s->requests.n;) {
        struct request *q = s->requests.items[i];

        if (!q->hold || now < q->deadline || chance(s, 15))
            i++;
        else
            deliver(s, q, OUTBOUND_TIMEOUT, 0, STR_NULL, false);
    }
    if (now < s->tick_at)
        return;
    s->tick_at = now + TICK_MS;
    push_tick(s->push);
}

/* ---- when all is idle -------------------------------------------------------------------------
 */

/* Counts that must be 0. */
static const struct {
    const char *what;
    struct sql q;
} nothings[] = {
    { "closed breakers with as many failures as open one",
      { "SELECT count(*) FROM breakers WHERE state = 0 AND failures >= 5" } },
    { "breakers that opened too early",
      { "SELECT count(*) FROM breakers WHERE state <> 0 AND failures < 5" } },
    { "half-open breakers without a probe",
      { "SELECT count(*) FROM breakers WHERE state = 2 AND probe = 0" } },
    { "breakers that stay open for too long",
      { "SELECT count(*) FROM breakers WHERE state = 1 AND until > updated_at + 60000" } },
};

static bool sent_or_told(const struct sim *s, int64_t run_id)
{
    for (size_t i = 0; i < s->requests.n; i++) {
        const struct request *q = s->requests.items[i];

        if (q->req && q->hold && q->hold->run->id == run_id)
            return true;
    }
    return outcomes_of(s, map_get(&s->runs, (uint64_t)run_id), -2) > 0;
}

/* Whoever is claimed for an endpoint is with it; a fault may have come between. */
static void check_claimed(struct sim *s)
{
    static const struct sql q = { "SELECT run_id, lease_until FROM queue "
                                  "WHERE state = 1 AND worker = -1" };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (db_row(&r) && !s->failed) {
        if (db_int(&r, 1) - s->app.push_stale_ms > s->late_until && !sent_or_told(s, db_int(&r, 0)))
            violation(s, "run " STR_FMT " is claimed and was not sent",
                      STR_ARG(run_text(s, db_int(&r, 0))));
    }
    rows_close(s, &r);
}

static void check_breaker(struct sim *s, int fn)
{
    static const struct sql q = { "SELECT state, until FROM breakers WHERE fn = $1" };
    static const struct sql ready = { "SELECT count(*) FROM queue q JOIN functions f "
                                      "ON f.key = q.fn WHERE q.fn = $1 AND q.state = 0 "
                                      "AND q.bound = 0 AND f.mode = 1" };
    struct push_seen *seen = &s->push_seen[fn], now = { .at = s->clock.virtual_ms };
    int64_t t = now.at;
    bool waited = seen->state != 0 && seen->until > t, freely = seen->answered > 0 || seen->reset;
    struct db_rows r;

    if (!rows_open(s, &q, ARGS(DB_INT(s->fns[fn].key)), &r))
        return;
    if (db_row(&r)) {
        now.state = db_int(&r, 0);
        now.until = db_int(&r, 1);
    }
    rows_close(s, &r);
    if (seen->sent > 0 && waited && !seen->reset && (seen->state == 1 || !freely))
        violation(s, "%lld requests to an endpoint whose breaker is open", (long long)seen->sent);
    if (seen->sent > 1 && seen->state != 0 && !freely)
        violation(s, "%lld requests instead of one probe", (long long)seen->sent);
    if ((seen->state == 0 && now.state == 2 && t - seen->at < s->app.breaker_open_ms) ||
        (seen->state == 1 && now.state == 0 && !seen->reset && t - seen->until < FORGOTTEN_MS))
        violation(s, "a breaker went from %lld to %lld", (long long)seen->state,
                  (long long)now.state);
    s->totals.opened += seen->state != 1 && now.state == 1;
    s->totals.probes += seen->state != 2 && now.state == 2;
    if (!s->closing && t > s->late_until && (now.state == 0 || now.until <= t) &&
        rows_number(s, &ready, ARGS(DB_INT(s->fns[fn].key))) > 0)
        violation(s, "function %d has ready runs and nobody sends them", fn);
    now.down = seen->down;
    now.answered = outcomes_of(s, NULL, fn); /* not written yet */
    *seen = now;
}

void check_push(struct sim *s)
{
    for (size_t i = 0; i < s->requests.n && !s->failed;) {
        struct request *q = s->requests.items[i];

        if (!q->hold && !q->req) { /* nobody will know what it was */
            request_end(s, q);
            continue;
        }
        if (!q->hold)
            request_look(s, q);
        i++;
    }
    for (size_t i = 0; i < COUNT_OF(nothings) && !s->failed; i++) {
        int64_t n = rows_number(s, &nothings[i].q, ARGS_NONE);

        if (n != 0)
            violation(s, "%lld %s", (long long)n, nothings[i].what);
    }
    check_claimed(s);
    check_breaker(s, SIM_PUSH);
    check_breaker(s, SIM_FLIP);
}

void endpoints_free(struct sim *s)
{
    for (size_t i = 0; i < s->requests.n; i++)
        mem_free(s->requests.items[i]);
    vec_done(&s->requests);
}

/* ---- operators --------------------------------------------------------------------------------
 */

static err_t run_reset(struct ctx *c)
{
    const struct op *op = c->call->arg;

    return svc_breaker_reset(c, op->job_id);
}

void breaker_reset_op(struct sim *s)
{
    struct op *op = op_new(s, OP_RESET);

    op->fn = chance(s, 50) ? SIM_PUSH : SIM_FLIP;
    op->job_id = str_printf(&op->arena, "%s|" SIM_URL "%d",
                            op->fn == SIM_PUSH ? "sim-push" : "sim-flip", op->fn);
    s->push_seen[op->fn].reset = true;
    op_submit(op, CALL_WRITE, run_reset);
}
