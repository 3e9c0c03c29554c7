/* Connect streams (wire/README "Streaming"): five bytes before each message say whether it is the
 * last and how long it is. Bytes that nobody has handled stay in the client's window, bytes that
 * the client does not read stay in `out`; neither grows beyond its bound. Loop thread. */
#include "api/stream.h"

#include "api/api_priv.h"
#include "api/errors.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/envelope.h"

/* So much may wait in `in` beside one message; the rest stays with the client. */
#define IN_KEPT ((size_t)256 << 10)
#define IN_MAX (STREAM_MESSAGE_MAX + ((size_t)1 << 20))
/* Nothing is handled of a client that leaves so much unread; a message may still be so large. */
#define OUT_KEPT ((size_t)1 << 20)
#define OUT_MAX ((size_t)256 << 20)
#define PIECE_MAX ((size_t)16 << 10)
/* A stream keeps so much memory when it is idle. */
#define IDLE_BYTES ((size_t)16 << 10)
/* All streams together may hold so much that has come and is not handled. */
#define STREAMS_IN_MAX ((size_t)256 << 20)

static const struct {
    str_t type;
    bool binary;
} codecs[] = {
    { { "application/connect+proto", 25 }, true },
    { { "application/connect+json", 24 }, false },
};

/* The codec of a content type, or -1. */
static int codec_of(str_t value)
{
    str_t rest = value, type = value;

    (void)str_cut(&rest, ';', &type);
    type = str_trim(type);
    for (size_t i = 0; i < COUNT_OF(codecs); i++)
        if (str_eq_nocase(type, codecs[i].type))
            return (int)i;
    return -1;
}

bool api_wants_stream(const struct http_req *head, void *arg)
{
    const struct api *api = arg;
    struct route_match match;

    if (!str_eq(head->method, S("POST")) || codec_of(http_header(head, S("content-type"))) < 0)
        return false;
    router_find(api->router, METHOD_POST, head->path, &match);
    return match.ep && match.ep->rpc && match.ep->rpc->kind != PB_UNARY;
}

/* ---- what goes out --------------------------------------------------------------------------- */

void stream_put(struct buf *b, const struct stream_codec *k, const void *msg)
{
    size_t from = envelope_begin(b, 0);

    if (k->binary)
        pb_to_wire(b, k->out, msg);
    else
        pb_to_json(b, k->out, msg, k->strict ? PB_RPC_STRICT : PB_RPC);
    envelope_end(b, from);
}

/* {"error":{"code","message"}}, or {} */
static void end_put(struct buf *b, err_t e, str_t text)
{
    size_t from = envelope_begin(b, ENVELOPE_FLAG_END);

    if (e != ERR_OK) {
        buf_append(b, S("{\"error\":"));
        api_error_json(b, true, e, text);
        buf_char(b, '}');
    } else {
        buf_append(b, S("{}"));
    }
    envelope_end(b, from);
}

static void buf_shrink(struct buf *b, size_t *at)
{
    size_t left = b->n - *at, max = b->max;

    if (left == 0 && b->cap > IDLE_BYTES) {
        buf_done(b);
        buf_init(b, max);
    } else if (*at > 0) {
        if (left > 0)
            memmove(b->p, b->p + *at, left);
        b->n = left;
    }
    *at = 0;
}

bool stream_backed(const struct stream *s)
{
    return s->out_at < s->out.n;
}

/* Hands on what the connection takes; all: also when it has no room. */
static void stream_pump(struct stream *s, bool all)
{
    while (stream_backed(s) && (!s->full || all)) {
        size_t to = s->out.n - s->out_at > PIECE_MAX ? s->out_at + PIECE_MAX : s->out.n;

        s->full = !http_stream_write(s->req, str_slice(buf_str(&s->out), s->out_at, to));
        s->out_at = to;
    }
    if (!stream_backed(s))
        buf_shrink(&s->out, &s->out_at);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The clock of a call with a deadline. It outlives a stream that ends before, until txn gives it
 * back. */
struct stream_timer {
    struct call call;
    struct arena arena;
    struct stream *s;
};

static void stream_free(struct stream *s)
{
    if (s->timer) {
        s->timer->s = NULL;
        txn_cancel(s->api->app->txn, &s->timer->call);
    }
    if (s->prev)
        s->prev->next = s->next;
    else
        api_loop_of(s->api, s->req->loop)->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    atomic_fetch_sub(&s->api->stream_bytes, s->counted);
    buf_done(&s->in);
    buf_done(&s->out);
    mem_free(s);
}

/* After every callback: sends, and ends what is to end. The stream may be gone afterwards. */
static void stream_settle(struct stream *s)
{
    struct http_req *req = s->req;

    if (s->busy)
        return;
    stream_pump(s, false);
    if (s->out.full) {
        log_warn("stream given up", "detail=\"a message is too large\"");
        stream_free(s);
        http_stream_abort(req);
    } else if (s->closing && !stream_backed(s)) {
        stream_free(s);
        (void)http_stream_end(req, NULL, 0);
    }
}

void stream_close(struct stream *s, err_t e, str_t text)
{
    must(!s->closing);
    if (e != ERR_OK)
        log_debug("stream ended", "path=" STR_FMT " code=" STR_FMT " error=\"" STR_FMT "\"",
                  STR_ARG(s->req->path), STR_ARG(err_rpc_code(e)), STR_ARG(text));
    end_put(&s->out, e, text);
    s->closing = true;
    stream_settle(s);
}

/* The stream itself finds the fault: whoever has it loses it. */
static void stream_fail(struct stream *s, err_t e, str_t text)
{
    bool was_busy = s->busy;

    s->busy = true;
    s->on_gone(s);
    stream_close(s, e, text);
    s->busy = was_busy;
}

void stream_send_raw(struct stream *s, str_t envelopes)
{
    must(!s->closing);
    buf_append(&s->out, envelopes);
    if (!s->busy)
        stream_pump(s, false);
}

void stream_send(struct stream *s, const void *msg)
{
    must(!s->closing);
    stream_put(&s->out, &s->codec, msg);
    if (!s->busy)
        stream_pump(s, false);
}

static err_t timer_run(struct ctx *c)
{
    (void)c;
    return ERR_OK;
}

static void timer_done(struct call *call)
{
    struct stream_timer *t = call->arg;
    struct stream *s = t->s;
    err_t e = call->result == ERR_OK ? ERR_DEADLINE : call->result;

    arena_done(&t->arena);
    mem_free(t);
    if (!s)
        return;
    s->timer = NULL;
    if (s->closing)
        return;
    stream_fail(s, e, e == ERR_DEADLINE ? S("the deadline is over") : err_rpc_code(e));
    stream_settle(s);
}

static err_t timer_start(struct stream *s, int64_t delay_ms)
{
    struct stream_timer *t = mem_zero(sizeof(*t));
    err_t e;

    arena_init(&t->arena);
    call_init(&t->call, CALL_READ, timer_run, t, &t->arena);
    t->call.ctx.clock = clock_system();
    t->call.ctx.app = s->api->app;
    t->call.done = timer_done;
    t->call.loop = s->req->loop;
    t->s = s;
    e = txn_submit_after(s->api->app->txn, &t->call, delay_ms);
    if (e == ERR_OK) {
        s->timer = t;
    } else {
        arena_done(&t->arena);
        mem_free(t);
    }
    return e;
}

/* ---- what comes in --------------------------------------------------------------------------- */

static str_t in_left(const struct stream *s)
{
    return str_slice(buf_str(&s->in), s->in_at, s->in.n);
}

/* The next message, if it is complete; closes the stream over a bad one. */
static bool take(struct stream *s, str_t *out)
{
    struct envelope e = { 0 };

    switch (envelope_read(in_left(s), STREAM_MESSAGE_MAX, &e)) {
    case ENVELOPE_MESSAGE:
        *out = e.payload;
        s->in_at += e.size;
        return true;
    case ENVELOPE_COMPRESSED:
        stream_fail(s, ERR_INVALID, S("compressed message without a compression"));
        return false;
    case ENVELOPE_UNKNOWN:
        stream_fail(s, ERR_INVALID, S("unknown flags before a message"));
        return false;
    case ENVELOPE_LARGE:
        stream_fail(s, ERR_EXHAUSTED, S("a message may have 4 MiB"));
        return false;
    case ENVELOPE_PART:
        break;
    }
    return false;
}

/* Counts what the stream holds beyond the usual; false: all together hold too much. */
static bool in_count(struct stream *s)
{
    size_t now = s->in.cap > IDLE_BYTES ? s->in.cap : 0, all;

    if (now == s->counted)
        return true;
    all = atomic_fetch_add(&s->api->stream_bytes, now - s->counted) + (now - s->counted);
    s->counted = now;
    return all <= STREAMS_IN_MAX;
}

/* Opens the client's window again, unless enough waits already. */
static void give_back(struct stream *s)
{
    size_t left = s->in.n - s->in_at, n = envelope_size(in_left(s));
    bool more = s->closing || left < IN_KEPT || n == 0 || n > left;

    if (more && s->owed > 0) {
        http_body_consume(s->req, s->owed);
        s->owed = 0;
    }
}

/* True while the client owes us its reading. One that is gone still gets all its messages done. */
static bool stuffed(const struct stream *s)
{
    return !s->leaving && s->out.n - s->out_at > OUT_KEPT;
}

static void end_tell(struct stream *s)
{
    if (!s->ended || s->end_told || s->held || stuffed(s) || s->closing)
        return;
    s->end_told = true;
    if (s->in_at < s->in.n)
        stream_fail(s, ERR_INVALID, S("the last message is not whole"));
    else
        s->on_end(s);
}

static void stream_step(struct stream *s)
{
    bool was_busy = s->busy, any = false;
    str_t payload;

    s->busy = true;
    while (!s->held && !s->closing && !stuffed(s) && take(s, &payload)) {
        any = true;
        s->on_message(s, payload);
    }
    if (any && !s->closing && s->on_batch)
        s->on_batch(s);
    if (s->closing)
        s->in_at = s->in.n;
    buf_shrink(&s->in, &s->in_at);
    give_back(s);
    if (!s->closing && (s->in.full || !in_count(s)))
        stream_fail(s, ERR_EXHAUSTED, S("too many messages wait"));
    end_tell(s);
    s->busy = was_busy;
}

static void on_req_room(struct http_req *req)
{
    struct stream *s = req->user;

    s->full = false;
    s->busy = true;
    stream_pump(s, false);
    if (!s->closing && s->on_room && !stream_backed(s))
        s->on_room(s);
    if (!s->closing)
        stream_step(s);
    s->busy = false;
    stream_settle(s);
}

void stream_hold(struct stream *s, bool held)
{
    bool again = s->held && !held;

    s->held = held;
    if (again && !s->busy) {
        stream_step(s);
        stream_settle(s);
    }
}

/* A client that shut its side of the connection may still read, but nothing tells when it is gone:
 * it gets what there is, and the end. */
static void on_req_gone(struct http_req *req)
{
    struct stream *s = req->user;

    s->busy = true;
    if (!s->closing) { /* what it still said counts */
        s->leaving = true;
        s->held = false;
        stream_step(s);
    }
    if (!s->closing) {
        s->on_gone(s);
        if (!req->gone)
            end_put(&s->out, ERR_OK, STR_NULL);
    }
    if (req->gone) {
        stream_free(s);
        http_stream_abort(req);
        return;
    }
    stream_pump(s, true);
    stream_free(s);
    (void)http_stream_end(req, NULL, 0);
}

static void on_req_data(struct http_req *req, str_t piece, bool end)
{
    struct stream *s = req->user;

    s->owed += piece.n;
    s->ended |= end;
    if (!s->closing)
        buf_append(&s->in, piece);
    if (!s->on_message) /* its caller is not known yet */
        return;
    stream_step(s);
    stream_settle(s);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static err_t stream_begin(struct ctx *c, struct stream *s)
{
    struct api_call *a = s->a;
    str_t encoding = http_header(s->req, S("connect-content-encoding"));
    int64_t left_ms;

    TRY(api_connect_head(c, a));
    s->codec.strict = a->strict;
    if (encoding.n > 0 && !str_eq_nocase(encoding, S("identity")))
        return err_set(c, ERR_UNIMPLEMENTED,
                       "connect-content-encoding: only identity is "
                       "supported");
    if (!a->ep->route->run)
        return err_set(c, ERR_UNIMPLEMENTED, STR_FMT " is not supported by this release",
                       STR_ARG(str_slice(a->ep->rpc->path, 1, a->ep->rpc->path.n)));
    if (c->deadline_ms == 0)
        return a->ep->route->run(c, a);
    left_ms = c->deadline_ms - clock_now(c->clock);
    if (left_ms <= 0)
        return err_set(c, ERR_DEADLINE, "the deadline is over");
    TRY(timer_start(s, left_ms));
    return a->ep->route->run(c, a);
}

/* Sends the head; from here on errors go into the end of the stream. */
static void stream_start(struct stream *s, str_t type)
{
    struct api *api = s->api;
    struct api_call *a = s->a;
    struct ctx *c = &a->call.ctx;
    struct http_header headers[5] = { { S("connect-accept-encoding"), S("identity") } };
    struct http_res res = { .status = 200, .type = type, .headers = headers, .headers_n = 1 };
    struct held_polls *l = api_loop_of(api, s->req->loop);
    err_t e;

    res.headers_n += api_cors(&a->head, headers + 1);
    s->next = l->streams;
    if (l->streams)
        l->streams->prev = s;
    l->streams = s;
    if (api->metrics)
        api_metrics_count(api->metrics, a->ep, 200, clock_mono_ns() - a->arrived_ns);
    s->busy = true;
    (void)http_stream_start(s->req, &res);
    e = stream_begin(c, s);
    if (e != ERR_OK) {
        stream_close(s, e, err_text(c, e));
    } else {
        must(s->on_message && s->on_end && s->on_gone && s->on_drain);
        stream_step(s);
    }
    s->busy = false;
    stream_settle(s);
}

static void stream_known(struct stream *s, err_t e)
{
    struct api_call *a = s->a;
    int codec = codec_of(a->head.content_type);

    must(codec >= 0);
    if (e == ERR_OK && atomic_load(&s->api->draining))
        e = err_set(&a->call.ctx, ERR_UNAVAILABLE, "the server is shutting down");
    if (e != ERR_OK || s->req->gone) {
        buf_done(&s->in);
        buf_done(&s->out);
        mem_free(s);
        a->req->on_gone = NULL;
        a->req->on_data = NULL;
        api_finish(a, e);
        return;
    }
    s->codec = (struct stream_codec){ .binary = codecs[codec].binary, .out = a->ep->out };
    s->req->on_gone = on_req_gone;
    s->req->on_room = on_req_room;
    stream_start(s, codecs[codec].type);
}

static err_t resolve_run(struct ctx *c)
{
    struct api_call *a = api_call_of(c);

    TRY(svc_access_resolve(c, &a->cred));
    return svc_access_require(c, str_from(a->ep->route->action));
}

static void resolve_done(struct call *call)
{
    struct api_call *a = call->arg;

    stream_known(a->stream, call->result);
}

void api_stream_open(struct api_call *a)
{
    struct stream *s = mem_zero(sizeof(*s));
    err_t e;

    s->api = a->api;
    s->a = a;
    s->req = a->req;
    a->stream = s;
    buf_init(&s->in, IN_MAX);
    buf_init(&s->out, OUT_MAX);
    s->req->user = s;
    s->req->on_data = on_req_data;
    if (!a->resolve) {
        stream_known(s, ERR_OK);
        return;
    }
    a->call.kind = CALL_READ;
    a->call.run = resolve_run;
    a->call.done = resolve_done;
    a->call.loop = s->req->loop;
    e = txn_submit(s->api->app->txn, &a->call);
    if (e != ERR_OK)
        stream_known(s, e);
}

void api_streams_drain(struct stream *first)
{
    struct stream *next;

    for (struct stream *s = first; s; s = next) {
        next = s->next;
        if (s->closing)
            continue;
        s->busy = true;
        s->on_drain(s);
        s->busy = false;
        stream_settle(s);
    }
}
