/* What a worker on a stream reports. Messages are collected while a batch of earlier ones runs;
 * then all of them are one call in one transaction, so a busy worker costs no more transactions
 * than an idle one. A message that is refused changes nothing and holds nobody up; one that fails
 * otherwise makes its batch run again message by message. */
#include "api/worker_stream.h"
#include "base/log.h"
#include "codec/json.h"
#include "engine/step.h"

/* A batch that is as large as this stops the stream until it runs. */
enum { BATCH_MESSAGES = 256 };
/* Signs of life are written no oftener. */
#define TELL_NS ((int64_t)10000 * 1000000)
#define BATCH_BYTES ((size_t)1 << 20)
/* More than this is decoded by a reader thread. */
#define DECODE_HERE_MAX ((size_t)64 << 10)
/* Messages have 4 MiB, and a character may take six bytes in JSON. */
#define ERROR_MAX ((size_t)32 << 20)

struct item {
    str_t payload;
    struct pb_worker_message *msg;
    /* set anew by each run */
    err_t result;
    str_t text;
    bool violation; /* the stream ends with ERR_INVALID and text */
    struct beat *beats;
    enum lease_state *states;
};

struct batch {
    struct task t;
    struct item *items;
    size_t n, cap, bytes;
    size_t at, to; /* those that run now */
    bool decoded;
    bool resolve; /* the credential, in the transaction */
    bool alive;   /* its being here is written */
};

/* ---- one message, in a transaction ----------------------------------------------------------- */

/* A message about a leased job must carry a token: *go is false when it does not. */
static err_t fence_need(struct ctx *c, struct item *it, str_t job_id, str_t token, bool *go)
{
    bool leased = false;

    *go = token.n > 0;
    if (*go || job_id.n == 0)
        return ERR_OK;
    TRY(svc_job_leased(c, job_id, &leased));
    if (!leased)
        return ERR_OK;
    it->violation = true;
    it->text = S("a message about a leased job without its token");
    return ERR_OK;
}

static str_t error_json(struct ctx *c, const struct pb_error *e)
{
    struct buf b;
    struct json_out w = { .b = &b };

    if (!e)
        return STR_NULL;
    buf_init_arena(&b, c->arena, ERROR_MAX);
    json_open(&w, '{');
    json_key(&w, S("message"));
    json_put_str(&w, e->message);
    if (e->code.n > 0) {
        json_key(&w, S("code"));
        json_put_str(&w, e->code);
    }
    json_key(&w, S("retryable"));
    json_put_bool(&w, e->retryable);
    if (e->stack.n > 0) {
        json_key(&w, S("stack"));
        json_put_str(&w, e->stack);
    }
    if (e->details.n > 0) {
        json_key(&w, S("details"));
        json_put_raw(&w, e->details);
    }
    json_close(&w, '}');
    return buf_str(&b);
}

static err_t report(struct ctx *c, const struct session *ss, struct item *it, str_t job_id,
                    const struct report *r)
{
    bool go = false;

    TRY(fence_need(c, it, job_id, r->fence.token, &go));
    return go ? svc_job_report(c, ss->worker.id, job_id, r) : ERR_OK;
}

static struct report_step step_made(struct ctx *c, str_t id, str_t status, int64_t duration_ms)
{
    const str_t compensate = S("compensate:");
    struct report_step s = {
        .id = id, .name = step_name_of(c->arena, id), .status = status, .duration_ms = duration_ms
    };

    if (str_starts(s.name, compensate)) {
        s.type = S("compensate");
        s.compensation_for = str_slice(s.name, compensate.n, s.name.n);
    }
    return s;
}

static err_t on_beat(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_worker_heartbeat *in = it->msg->heartbeat;

    it->beats = NEW_N(c->arena, struct beat, in->jobs_n + 1);
    it->states = NEW_N(c->arena, enum lease_state, in->jobs_n + 1);
    for (size_t i = 0; i < in->jobs_n; i++) {
        const struct pb_active_job *j = &in->jobs[i];

        it->beats[i] = (struct beat){ j->job_id, j->run_id, { j->execution_seq, j->lease_token } };
    }
    return svc_worker_refresh(c, ss->worker.id, in->active_jobs, it->beats, in->jobs_n, it->states);
}

/* Shows that the worker is at it; the row follows with the step's end. */
static err_t on_step_started(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_step_started *in = it->msg->step_started;
    struct report r = { .kind = REPORT_PROGRESS, .fence = { in->execution_seq, in->lease_token } };

    return in->job_id.n > 0 ? report(c, ss, it, in->job_id, &r) : ERR_OK;
}

static err_t on_step_completed(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_step_completed *in = it->msg->step_completed;
    struct report_step s = step_made(c, in->step_id, S("completed"), in->duration_ms);
    struct report r = { .kind = REPORT_PROGRESS,
                        .fence = { in->execution_seq, in->lease_token },
                        .steps = &s,
                        .steps_n = 1 };

    s.output = in->output;
    return in->job_id.n > 0 ? report(c, ss, it, in->job_id, &r) : ERR_OK;
}

static err_t on_step_failed(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_step_failed *in = it->msg->step_failed;
    struct report_step s = step_made(c, in->step_id, S("failed"), in->duration_ms);
    struct report r = { .kind = REPORT_PROGRESS,
                        .fence = { in->execution_seq, in->lease_token },
                        .steps = &s,
                        .steps_n = 1 };

    s.error = error_json(c, in->error);
    return in->job_id.n > 0 ? report(c, ss, it, in->job_id, &r) : ERR_OK;
}

static str_t json_text(struct ctx *c, str_t text)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, ERROR_MAX);
    json_put_str(&w, text);
    return buf_str(&b);
}

/* A document that the worker sends as bytes. */
static err_t json_bytes(struct ctx *c, const char *field, str_t bytes, str_t *out)
{
    struct json_error e;

    if (bytes.n > 0 && !json_check(bytes, out, &e))
        return err_set(c, ERR_INVALID, "%s: expected a JSON document", field);
    return ERR_OK;
}

static err_t yield_fill(struct ctx *c, const struct pb_step_yielded *in, struct report *r)
{
    if (in->sleep) {
        r->yield_type = S("sleep");
        r->yield_until_ms = in->sleep->until;
    } else if (in->wait_event) {
        r->yield_type = S("wait_for_event");
        r->yield_event = in->wait_event->event_name;
        r->yield_match = in->wait_event->match_expression;
        if (in->wait_event->match_value.n > 0)
            r->yield_match_value = json_text(c, in->wait_event->match_value);
        r->yield_until_ms = in->wait_event->timeout;
        return json_bytes(c, "payload_json", in->wait_event->payload_json, &r->yield_payload);
    } else if (in->invoke_function) {
        r->yield_type = S("invoke_function");
        r->yield_function = in->invoke_function->function_id;
        r->yield_timeout_ms = in->invoke_function->invoke_timeout_ms;
        return json_bytes(c, "input_json", in->invoke_function->input_json, &r->yield_input);
    } else if (in->invoke_function_async) {
        r->yield_type = S("invoke_function_async");
        r->yield_function = in->invoke_function_async->function_id;
        return json_bytes(c, "input_json", in->invoke_function_async->input_json, &r->yield_input);
    }
    return ERR_OK;
}

static err_t on_step_yielded(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_step_yielded *in = it->msg->step_yielded;
    struct report r = { .kind = REPORT_YIELDED,
                        .fence = { in->execution_seq, in->lease_token },
                        .yield_step_id = in->step_id };

    TRY(yield_fill(c, in, &r));
    return report(c, ss, it, in->job_id, &r);
}

static err_t on_job_completed(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_job_completed *in = it->msg->job_completed;
    struct report r = { .kind = REPORT_COMPLETED,
                        .fence = { in->execution_seq, in->lease_token },
                        .output = in->output };

    return report(c, ss, it, in->job_id, &r);
}

/* Workers that cannot yield an invoke report it as a failure, which no retry would mend. */
static bool retryable(const struct pb_error *e)
{
    return !e || (e->retryable && !str_starts(e->code, S("YIELD_")));
}

static err_t on_job_failed(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_job_failed *in = it->msg->job_failed;
    struct report r = { .kind = REPORT_FAILED,
                        .fence = { in->execution_seq, in->lease_token },
                        .error = error_json(c, in->error),
                        .retryable = retryable(in->error) };

    r.steps = NEW_N(c->arena, struct report_step, in->steps_n + 1);
    r.steps_n = in->steps_n;
    for (size_t i = 0; i < in->steps_n; i++) {
        const struct pb_executed_step *s = &in->steps[i];

        r.steps[i] = (struct report_step){
            .id = s->id,
            .name = s->name,
            .type = s->type,
            .status = s->status,
            .duration_ms = s->duration_ms,
            .output = s->output,
            .error = error_json(c, s->error),
            .compensation_for = s->compensation_for,
        };
    }
    return report(c, ss, it, in->job_id, &r);
}

static err_t on_job_ack(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_job_ack *in = it->msg->job_ack;
    bool go = false;

    TRY(fence_need(c, it, in->job_id, in->lease_token, &go));
    return go ? svc_job_ack(c, ss->worker.id, in->job_id,
                            (struct fence){ in->execution_seq, in->lease_token })
              : ERR_OK;
}

static err_t on_job_nack(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_job_nack *in = it->msg->job_nack;
    bool go = false;

    TRY(fence_need(c, it, in->job_id, in->lease_token, &go));
    if (!go)
        return ERR_OK;
    TRY(svc_job_nack(c, ss->worker.id, in->job_id,
                     (struct fence){ in->execution_seq, in->lease_token }));
    return in->reason == PB_JOB_NACK_REASON_DRAINING ? svc_worker_drains(c, ss->worker.id) : ERR_OK;
}

static err_t item_act(struct ctx *c, const struct session *ss, struct item *it)
{
    const struct pb_worker_message *m = it->msg;

    if (m->job_ack)
        return on_job_ack(c, ss, it);
    if (m->job_completed)
        return on_job_completed(c, ss, it);
    if (m->step_completed)
        return on_step_completed(c, ss, it);
    if (m->step_started)
        return on_step_started(c, ss, it);
    if (m->heartbeat)
        return on_beat(c, ss, it);
    if (m->step_failed)
        return on_step_failed(c, ss, it);
    if (m->step_yielded)
        return on_step_yielded(c, ss, it);
    if (m->job_failed)
        return on_job_failed(c, ss, it);
    if (m->job_nack)
        return on_job_nack(c, ss, it);
    it->violation = m->register_ != NULL;
    if (it->violation)
        it->text = S("the worker is registered already");
    return ERR_OK; /* a kind of message that we do not know */
}

/* Is it the message's fault? */
static bool refused(err_t e)
{
    return e == ERR_INVALID || e == ERR_OUT_OF_RANGE || e == ERR_NOT_FOUND ||
           e == ERR_STALE_EXECUTION || e == ERR_RUN_NOT_RUNNING || e == ERR_PRECONDITION ||
           e == ERR_CONFLICT || e == ERR_TOO_LARGE;
}

static err_t batch_run(struct ctx *c)
{
    struct batch *b = (struct batch *)task_of(c);

    if (b->resolve)
        TRY(session_resolve(c, b->t.ss));
    if (b->alive)
        TRY(svc_worker_alive(c, b->t.ss->worker.id));
    for (size_t i = b->at; i < b->to; i++) {
        struct item *it = &b->items[i];
        uint64_t before = svc_writes(c);
        err_t e;

        if (!it->msg)
            break; /* malformed, and the last one */
        it->violation = false;
        it->text = STR_NULL;
        it->beats = NULL;
        it->result = ERR_OK;
        e = item_act(c, b->t.ss, it);
        if (e != ERR_OK && (!refused(e) || svc_writes(c) != before))
            return e;
        it->result = e;
        if (e != ERR_OK)
            it->text = str_dup(c->arena, err_text(c, e));
    }
    return ERR_OK;
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* What follows a malformed message is not looked at. */
static void batch_decode(struct ctx *c, struct batch *b)
{
    const struct pb_message *d = &pb_worker_message_desc;

    for (size_t i = 0; i < b->n; i++) {
        struct item *it = &b->items[i];
        void *msg = pb_new(c->arena, d);
        err_t e = b->t.ss->codec.binary ? pb_from_wire(c, d, it->payload, msg)
                                        : pb_from_json(c, d, it->payload, msg);

        if (e != ERR_OK) {
            it->violation = true;
            it->text = str_dup(c->arena, err_text(c, e));
            b->n = i + 1;
            break;
        }
        it->msg = msg;
    }
    b->decoded = true;
}

static err_t batch_decode_run(struct ctx *c)
{
    struct batch *b = (struct batch *)task_of(c);

    if (!b->decoded) {
        batch_decode(c, b);
        b->to = b->n;
    }
    return txn_next(c, CALL_WRITE, batch_run);
}

/* ---- the loop's side ------------------------------------------------------------------------- */

/* The segment that the message ends, if it ends one. */
static bool segment_end(const struct pb_worker_message *m, str_t *job_id)
{
    if (m->job_completed)
        *job_id = m->job_completed->job_id;
    else if (m->job_failed)
        *job_id = m->job_failed->job_id;
    else if (m->step_yielded)
        *job_id = m->step_yielded->job_id;
    else if (m->job_nack)
        *job_id = m->job_nack->job_id;
    else
        return false;
    return true;
}

static bool frees(const struct pb_worker_message *m)
{
    return m->job_completed || m->job_failed || m->step_yielded;
}

/* What the client of a message hears. */
static void item_answer(struct session *ss, const struct item *it)
{
    const struct pb_worker_message *m = it->msg;

    if (m->step_completed && m->step_completed->job_id.n > 0)
        outbox_step_ack(ss, m->step_completed->step_id, it->text);
    else if (m->step_failed && m->step_failed->job_id.n > 0)
        outbox_step_ack(ss, m->step_failed->step_id, it->text);
    else if (m->step_yielded && m->step_yielded->job_id.n > 0 && it->result != ERR_OK)
        outbox_step_ack(ss, m->step_yielded->step_id, it->text);
    else if (m->heartbeat && it->result == ERR_OK && it->beats)
        outbox_leases(ss, it->beats, it->states, m->heartbeat->jobs_n);
    else if (m->heartbeat && it->result == ERR_NOT_FOUND)
        session_register(ss);
}

/* A job that it brought along from an earlier stream, or had lost for a while, is watched, too. */
static void job_kept(struct session *ss, str_t job_id)
{
    int64_t run_id, seq;

    if (job_id_parse(job_id, &run_id, &seq) && session_job_add(ss, run_id, seq))
        session_look(ss);
}

/* The jobs that the worker holds, as a message that was accepted shows. */
static void jobs_keep(struct session *ss, const struct item *it)
{
    const struct pb_worker_message *m = it->msg;

    if (m->job_ack)
        job_kept(ss, m->job_ack->job_id);
    else if (m->step_started)
        job_kept(ss, m->step_started->job_id);
    else if (m->step_completed)
        job_kept(ss, m->step_completed->job_id);
    else if (m->step_failed)
        job_kept(ss, m->step_failed->job_id);
    else if (m->heartbeat && it->beats)
        for (size_t i = 0; i < m->heartbeat->jobs_n; i++)
            if (it->states[i] == LEASE_REFRESHED)
                job_kept(ss, it->beats[i].job_id);
}

static void item_done(struct session *ss, const struct item *it)
{
    int64_t run_id, seq;
    str_t job_id;

    if (it->msg) {
        if (ss->s && it->result == ERR_OK && !it->violation)
            jobs_keep(ss, it);
        if (segment_end(it->msg, &job_id) && job_id_parse(job_id, &run_id, &seq)) {
            if (it->result == ERR_OK)
                session_job_end(ss, run_id, seq);
            else /* whoever may not end it has lost it, or was never its holder */
                session_look(ss);
        }
        ss->tired &= !frees(it->msg); /* there is room again */
        if (it->result != ERR_OK)
            log_debug("worker message refused", "worker=\"" STR_FMT "\" error=\"" STR_FMT "\"",
                      STR_ARG(ss->worker.id), STR_ARG(it->text));
        if (ss->s && !it->violation)
            item_answer(ss, it);
    }
    if (ss->s && it->violation)
        session_close(ss, ERR_INVALID, it->text);
}

static void batch_submit(struct batch *b)
{
    bool here = b->decoded || b->bytes <= DECODE_HERE_MAX;

    if (!b->decoded && here) {
        batch_decode(&b->t.call.ctx, b);
        b->to = b->n;
    }
    b->t.call.bytes = b->bytes;
    if (here)
        task_submit(&b->t, CALL_WRITE, batch_run, 0);
    else
        task_submit(&b->t, CALL_READ, batch_decode_run, 0);
}

/* After a run that failed: true when something is left to run. */
static bool batch_failed(struct batch *b, err_t e)
{
    struct session *ss = b->t.ss;
    struct item *it = &b->items[b->at];
    str_t text = err_text(&b->t.call.ctx, e);

    if (b->to - b->at > 1 && e != ERR_UNAVAILABLE) {
        b->to = b->at + 1;
        return true;
    }
    if (!refused(e)) {
        if (ss->s)
            session_close(ss, e, text);
        return false;
    }
    it->result = e;
    it->text = text;
    item_done(ss, it);
    b->at++;
    b->to = b->n;
    return b->at < b->n;
}

static void batch_done(struct task *t)
{
    struct batch *b = (struct batch *)t;
    struct session *ss = t->ss;
    err_t e = t->call.result;
    bool more;

    if (e != ERR_OK) {
        more = batch_failed(b, e);
    } else {
        for (size_t i = b->at; i < b->to; i++)
            item_done(ss, &b->items[i]);
        b->at = b->to;
        b->to = b->n;
        more = b->at < b->n;
    }
    if (more) {
        batch_submit(b);
        return;
    }
    ss->batch = NULL;
    inbox_flush(ss);
    if (ss->s && !ss->next)
        stream_hold(ss->s, false);
    session_claim(ss);
    session_rested(ss);
    task_free(t);
}

void inbox_add(struct session *ss, str_t payload)
{
    struct batch *b = ss->next;

    if (!b) {
        b = task_new(ss, sizeof(*b), batch_done);
        ss->next = b;
    }
    if (b->n == b->cap) {
        size_t cap = b->cap > 0 ? 2 * b->cap : 8;
        struct item *items = NEW_N(&b->t.arena, struct item, cap);

        if (b->n > 0)
            memcpy(items, b->items, b->n * sizeof(*items));
        b->items = items;
        b->cap = cap;
    }
    b->items[b->n++].payload = str_dup(&b->t.arena, payload);
    b->bytes += payload.n;
    if (b->n >= BATCH_MESSAGES || b->bytes >= BATCH_BYTES)
        stream_hold(ss->s, true);
}

/* A worker that refuses jobs shall not get them back with the transaction that takes them. */
static void batch_foresee(struct session *ss, const struct batch *b)
{
    for (size_t i = 0; b->decoded && i < b->n; i++) {
        const struct pb_worker_message *m = b->items[i].msg;

        if (!m || !m->job_nack)
            continue;
        if (m->job_nack->reason == PB_JOB_NACK_REASON_DRAINING)
            ss->no_more = true;
        session_rest(ss);
    }
}

void inbox_flush(struct session *ss)
{
    struct batch *b = ss->next;

    if (!b || ss->batch || ss->state == SESSION_REGISTERING)
        return;
    ss->next = NULL;
    ss->batch = b;
    b->resolve = !session_known(ss, &b->t);
    b->alive = ss->heard_ns - ss->told_ns >= TELL_NS;
    if (b->alive)
        ss->told_ns = ss->heard_ns;
    if (b->bytes <= DECODE_HERE_MAX) {
        batch_decode(&b->t.call.ctx, b);
        b->to = b->n;
        batch_foresee(ss, b);
    }
    batch_submit(b);
}

void inbox_free(struct session *ss)
{
    struct batch *b = ss->next;

    ss->next = NULL;
    if (b)
        task_free(&b->t);
}
