/* Workers on streams, and their connections, in the place of api/stream.c: the real session behind
 * WorkerService/Connect on one side, workers that are slow, forgetful, rude or dead on the other.
 * What a session writes is read when all is idle; what a worker writes gets no answer but the
 * acknowledgements of steps, so it is looked for in the rows. */
#include <string.h>

#include "api/api_priv.h"
#include "api/handlers.h"
#include "api/stream.h"
#include "codec/json.h"
#include "sim.h"
#include "svc/workers.h"

enum { REST_MS = 1003, LINK_BYTES = 16 << 20, DRAIN_TURNS = 12 };

/* One connection. */
struct link {
    struct stream stream; /* first */
    struct api_call call;
    struct http_req req;
    struct sim *s;
    struct sim_streamer *w; /* NULL: nobody reads */
    char id[24];
    struct buf in; /* what the session wrote */
    bool registered, shut, ended, closed, held, backed;
    bool full;           /* or has said so: a rest may begin until the next look */
    int64_t rests_until; /* it refused a job, or something else that the session takes for a no */
};

static struct link *link_of(struct stream *st)
{
    return (struct link *)(void *)st;
}

/* ---- what the session calls -------------------------------------------------------------------
 */

void stream_put(struct buf *b, const struct stream_codec *k, const void *msg)
{
    size_t from = b->n;
    uint32_t n;

    buf_append(b, (str_t){ "\0\0\0\0", sizeof(n) });
    pb_to_wire(b, k->out, msg);
    n = (uint32_t)(b->n - from - sizeof(n));
    memcpy(b->p + from, &n, sizeof(n));
}

void stream_send_raw(struct stream *st, str_t envelopes)
{
    buf_append(&link_of(st)->in, envelopes);
}

void stream_send(struct stream *st, const void *msg)
{
    stream_put(&link_of(st)->in, &st->codec, msg);
}

bool stream_backed(const struct stream *st)
{
    return ((const struct link *)(const void *)st)->backed;
}

void stream_hold(struct stream *st, bool held)
{
    link_of(st)->held = held;
}

void stream_close(struct stream *st, err_t e, str_t text)
{
    struct link *l = link_of(st);

    note(l->s, "stream of %s is closed: %d " STR_FMT, l->w ? l->w->id : "?", (int)e, STR_ARG(text));
    if (e == ERR_INTERNAL && !l->s->faulty)
        violation(l->s, "a stream failed: " STR_FMT, STR_ARG(text));
    l->closed = true;
}

void api_stream_open(struct api_call *a)
{
    (void)a;
    must(false); /* there are no requests here */
}

void api_streams_drain(struct stream *first)
{
    (void)first;
    must(false);
}

/* ---- connections ------------------------------------------------------------------------------
 */

static void link_free(struct sim *s, struct link *l)
{
    for (size_t i = 0; i < s->links.n; i++) {
        if (s->links.items[i] == l) {
            vec_swap_remove(&s->links, i);
            break;
        }
    }
    buf_done(&l->in);
    mem_free(l);
}

/* Whoever held something has not heard of it, and may speak of it again. */
static void lose(struct sim *s, struct sim_streamer *w)
{
    while (w->holds_n > 0)
        hold_lose(s, w->holds[--w->holds_n]);
    w->link = NULL;
}

/* The connection breaks. */
static void link_break(struct sim *s, struct link *l)
{
    if (!l->closed)
        l->stream.on_gone(&l->stream);
    l->closed = true;
    if (l->w && l->w->link == l)
        lose(s, l->w);
    l->w = NULL;
}

static void say(struct link *l, const struct pb_worker_message *m)
{
    struct buf b;

    buf_init_arena(&b, &l->s->scratch, LINK_BYTES);
    pb_to_wire(&b, &pb_worker_message_desc, m);
    l->stream.on_message(&l->stream, buf_str(&b));
    if (!l->closed)
        l->stream.on_batch(&l->stream);
}

static void link_make(struct sim *s, struct sim_streamer *w)
{
    static struct principal nobody;
    static str_t fns[] = { { "sim-a", 5 }, { "sim-b", 5 }, { "sim-any", 7 },
                           { "sim-c", 5 }, { "sim-d", 5 }, { "sim-flip", 8 } };
    struct pb_worker_version version = { S("1"), S("c17") };
    struct pb_worker_register in = { .worker_id = str_from(w->id),
                                     .hostname = S("sim"),
                                     .function_ids = fns,
                                     .function_ids_n = COUNT_OF(fns),
                                     .max_concurrent_jobs = SIM_HOLDS,
                                     .version = &version };
    struct pb_worker_message m = { .register_ = &in };
    struct link *l = mem_zero(sizeof(*l));
    struct ctx c = s->c;

    l->s = s;
    l->w = w;
    memcpy(l->id, w->id, sizeof(l->id));
    l->req.loop = s->loop;
    l->call.req = &l->req;
    l->call.api = s->api;
    l->call.stream = &l->stream;
    l->stream.api = s->api;
    l->stream.codec = (struct stream_codec){ .binary = true, .out = &pb_engine_message_desc };
    buf_init(&l->in, LINK_BYTES);
    vec_push(&s->links, l);
    w->link = l;
    c.who = &nobody;
    if (api_worker_connect(&c, &l->call) != ERR_OK)
        violation(s, "a stream was refused: %s", c.err.text);
    note(s, "stream of %s", w->id);
    s->totals.streams++;
    say(l, &m);
}

/* ---- what the worker says ---------------------------------------------------------------------
 */

static void say_ack(struct link *l, struct hold *h)
{
    struct pb_job_ack in = { .job_id = h->job_id,
                             .execution_seq = h->seq,
                             .lease_token = h->token };

    h->acked = true;
    say(l, &(struct pb_worker_message){ .job_ack = &in });
}

static void say_nack(struct link *l, struct hold *h)
{
    struct pb_job_nack in = { .job_id = h->job_id,
                              .execution_seq = h->seq,
                              .lease_token = h->token,
                              .reason = PB_JOB_NACK_REASON_AT_CAPACITY };

    h->run->held_until = 0;
    l->full = true;
    say(l, &(struct pb_worker_message){ .job_nack = &in });
}

static void say_step(struct link *l, struct hold *h, int step)
{
    struct report r = { 0 };
    struct pb_step_completed in = { .job_id = h->job_id,
                                    .execution_seq = h->seq,
                                    .lease_token = h->token };

    plan_execute(l->s, h, step);
    plan_fill(l->s, h, step_bit(step), &r);
    h->pending = 0;
    h->done |= step_bit(step);
    h->acked = true;
    in.step_id = r.steps[0].id;
    in.output = r.steps[0].output;
    say(l, &(struct pb_worker_message){ .step_completed = &in });
}

static void say_failed_step(struct link *l, struct hold *h, int step)
{
    struct report r = { 0 };
    struct pb_error error = { .message = S("no"), .retryable = true };
    struct pb_step_failed in = {
        .job_id = h->job_id, .execution_seq = h->seq, .lease_token = h->token, .error = &error
    };

    plan_fill(l->s, h, step_bit(step), &r);
    in.step_id = r.steps[0].id;
    h->acked = true;
    say(l, &(struct pb_worker_message){ .step_failed = &in });
}

static void say_yielded(struct link *l, struct hold *h)
{
    const struct report *r = &h->final;
    struct pb_sleep_yield sleep = { r->yield_until_ms };
    struct pb_wait_event_yield wait = { .event_name = r->yield_event,
                                        .match_expression = r->yield_match };
    struct pb_invoke_function_yield invoke = { r->yield_function, r->yield_input,
                                               r->yield_timeout_ms };
    struct pb_invoke_function_async_yield later = { .function_id = r->yield_function,
                                                    .input_json = r->yield_input };
    struct pb_step_yielded in = { .job_id = h->job_id,
                                  .step_id = r->yield_step_id,
                                  .execution_seq = h->seq,
                                  .lease_token = h->token };

    wait.timeout = l->s->clock.virtual_ms + r->yield_timeout_ms;
    if (r->yield_match_value.n > 2) /* without its quotes */
        wait.match_value = str_slice(r->yield_match_value, 1, r->yield_match_value.n - 1);
    if (str_eq(r->yield_type, S("sleep")))
        in.sleep = &sleep;
    else if (str_eq(r->yield_type, S("wait_for_event")))
        in.wait_event = &wait;
    else if (str_eq(r->yield_type, S("invoke_function")))
        in.invoke_function = &invoke;
    else
        in.invoke_function_async = &later;
    say(l, &(struct pb_worker_message){ .step_yielded = &in });
}

static void say_failed(struct link *l, struct hold *h)
{
    struct pb_error error = { .code = S("X"), .retryable = h->final.retryable };
    struct pb_job_failed in = {
        .job_id = h->job_id, .error = &error, .execution_seq = h->seq, .lease_token = h->token
    };
    str_t v;

    if (json_get(h->final.error, S("message"), &v))
        (void)json_string(&l->s->scratch, v, &error.message);
    say(l, &(struct pb_worker_message){ .job_failed = &in });
}

/* The end of a segment; also again, or by one who comes back with a job of an earlier stream. */
static void say_final(struct link *l, struct hold *h, enum report_kind kind)
{
    struct pb_job_completed done = { .job_id = h->job_id,
                                     .execution_seq = h->seq,
                                     .lease_token = h->token };

    bool again = h->final_sent;

    plan_final(l->s, h, kind);
    done.output = h->final.output;
    if (!again && h->final_steps == 0)
        outcome_expect(l->s, h, &h->final, false);
    else
        model_gone(h);
    if (h->final.kind == REPORT_COMPLETED)
        say(l, &(struct pb_worker_message){ .job_completed = &done });
    else if (h->final.kind == REPORT_FAILED)
        say_failed(l, h);
    else
        say_yielded(l, h);
}

static void say_beat(struct link *l, const struct sim_streamer *w)
{
    struct pb_active_job jobs[SIM_HOLDS] = { 0 };
    struct pb_worker_heartbeat in = { .worker_id = str_from(w->id),
                                      .active_jobs = w->holds_n,
                                      .jobs = jobs,
                                      .jobs_n = (size_t)w->holds_n };

    for (int i = 0; i < w->holds_n; i++)
        jobs[i] = (struct pb_active_job){ .job_id = w->holds[i]->job_id,
                                          .execution_seq = w->holds[i]->seq,
                                          .lease_token = w->holds[i]->token };
    say(l, &(struct pb_worker_message){ .heartbeat = &in });
}

/* ---- what the worker does next ----------------------------------------------------------------
 */

static void drop(struct sim *s, struct sim_streamer *w, const struct hold *gone)
{
    for (int i = 0; i < w->holds_n; i++) {
        if (w->holds[i] != gone)
            continue;
        hold_lose(s, w->holds[i]);
        w->holds[i] = w->holds[--w->holds_n];
        return;
    }
}

static void job_step(struct sim *s, struct sim_streamer *w, struct hold *h)
{
    int next = plan_next(h), n = plan_steps(h->run);
    struct link *l = w->link;

    if (!h->acked && chance(s, 5)) {
        say_nack(l, h);
        drop(s, w, h);
    } else if (!h->acked && !chance(s, 5)) {
        say_ack(l, h);
    } else if (next < n && !plan_yields(h->run, next)) {
        if (chance(s, 8))
            say_failed_step(l, h, next);
        else
            say_step(l, h, next);
    } else {
        say_final(l, h,
                  next < n                       ? REPORT_YIELDED
                  : s->draining || !chance(s, 6) ? REPORT_COMPLETED
                                                 : REPORT_FAILED);
        drop(s, w, h);
    }
}

/* What nobody should send. */
static void misbehave(struct sim *s, struct sim_streamer *w)
{
    struct link *l = w->link;
    int64_t n = s->ghosts_n < SIM_GHOSTS ? s->ghosts_n : SIM_GHOSTS, roll = pick(s, 20);
    struct hold *h = n > 0 ? s->ghosts[pick(s, n)] : NULL;

    if (roll == 0) {
        l->stream.on_message(&l->stream, S("\xff\xff\xff"));
        if (!l->closed)
            l->stream.on_batch(&l->stream);
    } else if (roll == 1) {
        struct pb_job_ack in = { .job_id = w->holds_n > 0 ? w->holds[0]->job_id : S("job_0_1") };

        say(l, &(struct pb_worker_message){ .job_ack = &in }); /* without a token */
    } else if (h && !h->busy && h->token.n > 0) {
        l->rests_until = s->clock.virtual_ms + REST_MS;
        if (h->final_sent)
            say_final(l, h, h->final.kind);
        else
            say_ack(l, h);
    }
}

static void streamer_wake(struct sim *s, struct sim_streamer *w)
{
    if (w->id[0] == '\0' || chance(s, 50))
        (void)snprintf(w->id, sizeof(w->id), "s%d-%lld", (int)(w - s->streamers),
                       (long long)s->step);
    link_make(s, w);
}

/* A second connection under the same name: the first one is over. */
static void take_over(struct sim *s, struct sim_streamer *w)
{
    struct link *old = w->link;

    lose(s, w);
    link_make(s, w);
    old->w = NULL;
}

void streamer_step(struct sim *s, struct sim_streamer *w)
{
    struct link *l = w->link;

    if (!l) {
        if (chance(s, 20) || s->draining)
            streamer_wake(s, w);
        return;
    }
    if (l->closed || l->held || l->ended)
        return;
    if (l->backed || (!s->draining && chance(s, 2))) {
        l->backed = !l->backed;
        if (!l->backed && l->stream.on_room)
            l->stream.on_room(&l->stream);
    } else if (!s->draining && chance(s, 1)) {
        link_break(s, l);
    } else if (!s->draining && chance(s, 1)) {
        l->ended = true;
        l->stream.on_end(&l->stream);
    } else if (!s->draining && chance(s, 1)) {
        take_over(s, w);
    } else if (!s->draining && chance(s, 4)) {
        misbehave(s, w);
    } else if (w->holds_n > 0) {
        if (chance(s, 10))
            say_beat(l, w);
        else
            job_step(s, w, w->holds[pick(s, w->holds_n)]);
    } else if (chance(s, 10)) {
        say_beat(l, w);
    }
}

/* ---- what the worker hears --------------------------------------------------------------------
 */

/* Forgets jobs whose leases it has lost. One may have come back after the server had given its
 * place away; then there are more than were asked for. */
static void make_room(struct sim *s, struct sim_streamer *w)
{
    int64_t ignored;

    for (int i = w->holds_n - 1; i >= 0; i--)
        if (model_claimed(s, w->holds[i]->run, &ignored) != w->holds[i]->seq)
            drop(s, w, w->holds[i]);
    if (w->holds_n == SIM_HOLDS)
        drop(s, w, w->holds[0]);
}

static void hear_job(struct sim *s, struct link *l, const struct pb_job_assignment *in)
{
    struct handed h = { .lease_ms = s->app.lease_claim_ms,
                        .seq = in->execution_seq,
                        .attempt = in->attempt };
    struct sim_streamer *w = l->w;
    struct hold *hold;
    int64_t id, seq;

    if (l->shut)
        violation(s, "a stream that drains got a job");
    if (!job_id_parse(in->job_id, &id, &seq) || seq != in->execution_seq ||
        in->completed_steps_n > SIM_STEPS_MAX) {
        violation(s, "a strange job " STR_FMT, STR_ARG(in->job_id));
        return;
    }
    h.run = model_run(s, id);
    hold = hold_new(s, h.run, seq);
    hold->attempt = in->attempt;
    hold->max_attempts = in->max_attempts;
    hold->token = str_dup(&s->keep, in->lease_token);
    hold->worker = w ? str_dup(&s->keep, str_from(w->id)) : S("nobody");
    for (size_t i = 0; i < in->completed_steps_n; i++) {
        h.steps[h.steps_n++] =
            (struct handed_step){ in->completed_steps[i].step_id, in->completed_steps[i].output };
        hold_done(s, hold, in->completed_steps[i].step_id);
    }
    s->totals.sent++;
    model_handed(s, &h);
    if (!w || w->link != l) {
        hold_lose(s, hold);
        return;
    }
    make_room(s, w);
    w->holds[w->holds_n++] = hold;
}

/* Only of what is no more its own. */
static void hear_cancel(struct sim *s, struct link *l, const struct pb_cancel_job *in)
{
    struct sim_streamer *w = l->w;
    struct m_run *r;
    int64_t id, seq;

    s->totals.told++;
    if (!job_id_parse(in->job_id, &id, &seq)) {
        violation(s, "a strange job " STR_FMT " is cancelled", STR_ARG(in->job_id));
        return;
    }
    r = model_run(s, id);
    if (!r->ended && !r->held && !run_operated_lately(s, r) && !r->resumed)
        violation(s, "job " STR_FMT " is cancelled and goes on", STR_ARG(in->job_id));
    for (int i = 0; w && i < w->holds_n; i++) {
        if (w->holds[i]->run == r && w->holds[i]->seq == seq) {
            drop(s, w, w->holds[i]);
            return;
        }
    }
}

static void hear(struct sim *s, struct link *l, const struct pb_engine_message *m)
{
    if (m->registered) {
        l->registered = true;
        l->rests_until = s->clock.virtual_ms + REST_MS; /* jobs of an earlier one may fill it */
    } else if (m->job)
        hear_job(s, l, m->job);
    else if (m->step_ack && m->step_ack->error.n == 0)
        model_step_acked(s, m->step_ack->step_id);
    else if (m->cancel)
        hear_cancel(s, l, m->cancel);
    else if (m->shutdown)
        l->shut = true;
}

static void link_hear(struct sim *s, struct link *l)
{
    str_t left = buf_str(&l->in);

    while (left.n > 0 && !s->failed) {
        struct pb_engine_message m = { 0 };
        uint32_t n;

        memcpy(&n, left.p, sizeof(n));
        must(n + sizeof(n) <= left.n);
        if (pb_from_wire(&s->c, &pb_engine_message_desc, str_slice(left, sizeof(n), sizeof(n) + n),
                         &m) != ERR_OK)
            violation(s, "a message that cannot be read: %s", s->c.err.text);
        else
            hear(s, l, &m);
        left = str_slice(left, sizeof(n) + n, left.n);
    }
    l->in.n = 0;
}

/* A stream with room beside a run that is ready: a wake-up was lost. */
static void check_room(struct sim *s, struct link *l, int64_t ready)
{
    static const struct sql q = { "SELECT count(*) FROM queue q JOIN workers w ON w.key = q.worker "
                                  "WHERE w.id = $1 AND q.state = 1" };
    /* renewed ones may come back when their places have been given away */
    static const struct sql fresh = { "SELECT count(*) FROM queue q JOIN workers w "
                                      "ON w.key = q.worker WHERE w.id = $1 AND q.state = 1 "
                                      "AND q.acked = 0" };
    int64_t now = s->clock.virtual_ms;
    bool full;

    if (!l->w || !l->registered)
        return;
    full = rows_number(s, &q, ARGS(DB_TEXT(str_from(l->w->id)))) >= SIM_HOLDS;
    if ((full || l->full) && l->rests_until < now + REST_MS)
        l->rests_until = now + REST_MS; /* it looks again after a while */
    l->full = full;
    if (l->backed || l->shut || l->ended || l->held)
        return;
    if (rows_number(s, &fresh, ARGS(DB_TEXT(str_from(l->w->id)))) > SIM_HOLDS)
        violation(s, "stream of %s got more jobs than it has room for", l->w->id);
    if (ready > 0 && l->w->holds_n == 0 && now > s->late_until && now > l->rests_until)
        violation(s, "stream of %s waits while %lld runs are ready", l->w->id, (long long)ready);
}

/* Whoever works for nothing is told. */
static void check_told(struct sim *s, const struct link *l)
{
    int64_t ignored;

    for (int i = 0; l->w && i < l->w->holds_n; i++) {
        struct hold *h = l->w->holds[i];

        if (h->mine && h->run->status == RUN_CANCELLED && s->clock.virtual_ms > s->late_until)
            violation(s, "the stream of %s was not told that run " STR_FMT " is cancelled",
                      l->w->id, STR_ARG(run_text(s, h->run->id)));
        h->mine = l->registered && model_claimed(s, h->run, &ignored) == h->seq;
    }
}

/* The newest stream of a worker counts, and no other. */
static void check_only(struct sim *s, const struct link *l)
{
    for (size_t i = 0; i < s->links.n && l->registered; i++) {
        const struct link *other = s->links.items[i];

        if (other != l && !other->closed && other->registered && strcmp(l->id, other->id) == 0 &&
            s->clock.virtual_ms > s->late_until)
            violation(s, "two streams of %s", l->id);
    }
}

void check_streams(struct sim *s, int64_t ready)
{
    for (size_t i = 0; i < s->links.n && !s->failed;) {
        struct link *l = s->links.items[i];

        link_hear(s, l);
        if (!l->closed) {
            check_room(s, l, ready);
            check_told(s, l);
            check_only(s, l);
            i++;
            continue;
        }
        if (l->w && l->w->link == l)
            lose(s, l->w);
        link_free(s, l);
    }
}

/* ---- the end of the process -------------------------------------------------------------------
 */

/* The server is about to stop: no more jobs; some workers finish what they have. */
void streams_drain(struct sim *s)
{
    for (size_t i = 0; i < s->links.n; i++) {
        struct link *l = s->links.items[i];

        if (!l->closed)
            l->stream.on_drain(&l->stream);
    }
    for (int i = 0; i < DRAIN_TURNS && !s->failed; i++) {
        world_settle(s);
        if (!s->failed)
            streamer_step(s, &s->streamers[pick(s, SIM_STREAMERS)]);
    }
}

void streams_break(struct sim *s)
{
    for (size_t i = 0; i < s->links.n; i++)
        link_break(s, s->links.items[i]);
}

/* Their sessions are gone. */
void streams_free(struct sim *s)
{
    while (s->links.n > 0)
        link_free(s, s->links.items[0]);
}
