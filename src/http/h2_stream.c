/* The streams of HTTP/2: requests, their bodies with limits and windows, replies whole or
 * streaming. Windows: a stream's is given back when its bytes have found their place (a body in
 * memory, a consumer that is done), the connection's as soon as the bytes are counted in the bound
 * on bodies. So the window of the connection holds what nobody has room for, and streams do not
 * stop each other. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "http/h2.h"

/* Of a streaming reply: above the first its writer shall wait, until the second; above the last it
 * never did. */
#define QUEUE_HIGH ((size_t)64 << 10)
#define QUEUE_LOW ((size_t)16 << 10)
#define QUEUE_MAX ((size_t)16 << 20)
#define QUEUE_BYTES_FIRST 512
#define BODY_BYTES_FIRST 4096
/* Smaller replies do not count in the bound on replies. */
#define LARGE_REPLY_BYTES ((size_t)64 << 10)

static const struct http_limits *h2_limits(const struct h2 *h2)
{
    return &h2->hl->server->o.limits;
}

/* ---- streams ---- */

static void stream_wait(struct h2_stream *s, enum h2_wait wait, int64_t ms)
{
    struct http_loop *hl = s->r->hl;

    if (s->wait == H2_WAIT_FULL)
        hl->full_n--;
    if (wait == H2_WAIT_FULL) {
        hl->full_n++;
        hl->sweeping = false; /* look again soon */
        conn_sweep(hl);
    }
    s->wait = wait;
    s->deadline_ms = wait != H2_WAIT_NONE ? conn_now(s->h2->conn) + ms : INT64_MAX;
}

/* What is left of the time to wait so after a further piece, as in HTTP/1: a millisecond more for
 * each byte, so that who goes on steadily may take long and who drips ends. */
static int64_t stream_left(const struct h2_stream *s, enum h2_wait wait, int64_t max, size_t piece)
{
    int64_t left = s->deadline_ms - conn_now(s->h2->conn) + (int64_t)piece;

    if (s->wait != wait || left > max)
        return max;
    return left > 0 ? left : 1;
}

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id)
{
    struct request *r = request_new(h2->hl, h2->conn);
    struct h2_stream *s = NEW(&r->req.arena, struct h2_stream);

    r->h2 = s;
    s->h2 = h2;
    s->r = r;
    s->id = id;
    s->open = true;
    s->length = UINT64_MAX;
    s->deadline_ms = INT64_MAX;
    s->next = h2->streams;
    if (s->next != NULL)
        s->next->prev = s;
    h2->streams = s;
    h2->open_n++;
    return s;
}

static size_t stream_pending(const struct h2_stream *s)
{
    return s->queued ? s->queue_n - s->queue_at : s->rest.n;
}

static void stream_stuffed(struct h2_stream *s, bool stuffed)
{
    if (s->r->stuffed == stuffed)
        return;
    s->r->stuffed = stuffed;
    if (stuffed)
        s->h2->stuffed_n++;
    else
        s->h2->stuffed_n--;
}

/* The stream is no more; what is left is a request that may be owed a reply. */
static void stream_shut(struct h2_stream *s)
{
    struct h2 *h2 = s->h2;

    s->open = false;
    h2->open_n--;
    if (h2->open_n == 0)
        h2->deadline_ms = conn_now(h2->conn) + h2_limits(h2)->idle_ms;
    stream_wait(s, H2_WAIT_NONE, 0);
    stream_stuffed(s, false);
    h2->unsent -= stream_pending(s);
    s->rest = STR_NULL;
    mem_free(s->queue);
    s->queue = NULL;
    s->queue_at = s->queue_n = s->queue_cap = 0;
}

/* Frees one that is shut and owed nothing; its connection may be gone. */
static void stream_free(struct h2_stream *s)
{
    must(!s->open && !s->r->dispatched);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else if (s->h2 != NULL)
        s->h2->streams = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    request_free(s->r);
}

/* What was received and found no room goes back to the connection's window: it is thrown away. */
static void stream_give_back(struct h2_stream *s)
{
    h2_open_window(s, 0, s->extra);
    s->extra = 0;
}

/* ---- replies ---- */

size_t h2_stream_pull(struct h2_stream *s, char *to, size_t n, enum h2_pulled *out)
{
    size_t left = stream_pending(s);

    n = n < left ? n : left;
    if (n > 0)
        memcpy(to, s->queued ? s->queue + s->queue_at : s->rest.p, n);
    if (s->queued)
        s->queue_at += n;
    else
        s->rest = str_slice(s->rest, n, s->rest.n);
    s->h2->unsent -= n;
    left -= n;
    stream_wait(s, left > 0 ? H2_WAIT_WRITE : H2_WAIT_NONE,
                stream_left(s, H2_WAIT_WRITE, h2_limits(s->h2)->write_ms, n));
    if (left == 0 && (!s->queued || s->ended)) {
        *out = H2_PULLED_LAST;
    } else {
        *out = n > 0 ? H2_PULLED_SOME : H2_PULLED_NONE;
        s->asleep = n == 0;
    }
    return n;
}

static void reply_head(struct h2_stream *s, const struct http_res *res, str_t length, bool body)
{
    s->answered = true;
    if (!s->r->dispatched) /* else its body may go on, and be consumed */
        stream_give_back(s);
    h2_submit(s, res, length, body);
}

/* A whole reply; res->body lives in the request's arena. */
static void stream_answer(struct h2_stream *s, const struct http_res *res)
{
    bool bodiless = res->status == 204 || res->status == 304;
    str_t length = bodiless ? STR_NULL : str_printf(&s->r->req.arena, "%zu", res->body.n);

    if (!bodiless && !s->r->head_only)
        s->rest = res->body;
    s->h2->unsent += s->rest.n;
    if (s->rest.n > LARGE_REPLY_BYTES) { /* until the request is freed */
        s->r->queued = s->r->req.arena.used;
        atomic_fetch_add(&s->r->hl->server->replies, s->r->queued);
    }
    stream_wait(s, s->rest.n > 0 ? H2_WAIT_WRITE : H2_WAIT_NONE, h2_limits(s->h2)->write_ms);
    reply_head(s, res, length, s->rest.n > 0);
}

/* Answers what never reaches the handler. */
static void stream_fail(struct h2_stream *s, int status, const char *detail)
{
    static const struct http_header again = { { "retry-after", 11 }, { "1", 1 } };
    struct http_res res = { .status = status, .type = S("application/json") };
    struct request *r = s->r;

    if (status == 503) {
        res.headers = &again;
        res.headers_n = 1;
    }
    log_debug("request refused", "status=%d remote=%s detail=\"%s\"", status, s->h2->conn->remote,
              detail);
    if (r->reserved > 0)
        request_unreserve(r, r->reserved);
    res.body = reply_error_body(r->hl->server, &r->req.arena, status, detail);
    stream_answer(s, &res);
}

/* The handler is done with the request. False when the stream is no more, and s with it. */
static bool stream_answered(struct h2_stream *s)
{
    request_answered(s->r);
    if (s->h2 != NULL)
        s->h2->owed_n--;
    if (s->open)
        return true;
    stream_free(s);
    return false;
}

bool h2_reply(struct request *r, const struct http_res *res)
{
    struct h2_stream *s = r->h2;

    if (!stream_answered(s))
        return false;
    if (res->body.n > LARGE_REPLY_BYTES &&
        atomic_load(&r->hl->server->replies) > h2_limits(s->h2)->replies_bytes_max) {
        stream_fail(s, 503, "too many large replies wait for slow readers");
        return false;
    }
    stream_answer(s, res);
    return !r->req.half_closed;
}

bool h2_stream_start(struct request *r, const struct http_res *res)
{
    struct h2_stream *s = r->h2;

    if (!s->open)
        return false;
    s->queued = true;
    reply_head(s, res, STR_NULL, !r->bodiless);
    return true;
}

static void queue_append(struct h2_stream *s, str_t bytes)
{
    size_t left = stream_pending(s);

    if (bytes.n > s->queue_cap - s->queue_n && s->queue_at > 0) {
        memmove(s->queue, s->queue + s->queue_at, left);
        s->queue_n = left;
        s->queue_at = 0;
    }
    if (bytes.n > s->queue_cap - s->queue_n) {
        size_t cap = s->queue_cap > 0 ? s->queue_cap : QUEUE_BYTES_FIRST;

        while (cap < left + bytes.n)
            cap *= 2;
        s->queue = mem_resize(s->queue, cap);
        s->queue_cap = cap;
    }
    memcpy(s->queue + s->queue_n, bytes.p, bytes.n);
    s->queue_n += bytes.n;
    s->h2->unsent += bytes.n;
}

/* The queue has more, or its end. */
static void queue_rouse(struct h2_stream *s)
{
    if (s->asleep)
        h2_resume(s);
    s->asleep = false;
    h2_wake(s->h2->conn);
}

bool h2_stream_write(struct request *r, str_t bytes)
{
    struct h2_stream *s = r->h2;

    if (r->bodiless)
        return true;
    if (!s->open)
        return false;
    if (bytes.n > QUEUE_MAX - stream_pending(s)) {
        log_warn("streaming reply given up", "remote=%s detail=\"its client does not read\"",
                 s->h2->conn->remote);
        h2_reset(s, H2_INTERNAL_ERROR);
        return false;
    }
    if (bytes.n > 0) {
        queue_append(s, bytes);
        if (s->wait != H2_WAIT_WRITE)
            stream_wait(s, H2_WAIT_WRITE, h2_limits(s->h2)->write_ms);
        queue_rouse(s);
    }
    stream_stuffed(s, stream_pending(s) > QUEUE_HIGH);
    return !r->stuffed;
}

bool h2_stream_end(struct request *r, const struct http_header *trailers, size_t n)
{
    struct h2_stream *s = r->h2;
    struct arena *a = &r->req.arena;
    bool whole = !r->req.half_closed, out = r->bodiless && !r->req.gone;

    if (!stream_answered(s))
        return whole && out;
    if (n > 0 && !r->bodiless) {
        struct http_header *copy = NEW_N(a, struct http_header, n);

        for (size_t i = 0; i < n; i++)
            copy[i] =
                (struct http_header){ str_dup(a, trailers[i].name), str_dup(a, trailers[i].value) };
        s->trailers = copy;
        s->trailers_n = n;
    }
    s->ended = true;
    stream_stuffed(s, false);
    queue_rouse(s);
    return whole;
}

void h2_stream_abort(struct request *r)
{
    if (stream_answered(r->h2))
        h2_reset(r->h2, H2_INTERNAL_ERROR);
}

/* ---- requests and their bodies ---- */

static void stream_dispatch(struct h2_stream *s)
{
    struct request *r = s->r;

    stream_wait(s, H2_WAIT_NONE, 0);
    r->req.body = (str_t){ s->body, s->body_n };
    s->h2->owed_n++;
    request_dispatch(r);
    if (r->dispatched && r->req.half_closed) /* before it was handled: say so now */
        request_notify(r);
}

/* True while what comes of the body is wanted. */
static bool body_wanted(const struct h2_stream *s)
{
    return s->r->req.streaming ? s->r->dispatched : !s->answered;
}

static void body_continue(struct h2_stream *s)
{
    if (s->expects && !s->answered)
        h2_submit_continue(s);
    s->expects = false;
}

/* Goes on with a body that is kept whole, of which a piece has come, if there is room for it:
 * reserves, opens the windows, and gives the complete request to the handler. */
static void body_step(struct h2_stream *s, size_t piece)
{
    uint64_t total = s->length != UINT64_MAX ? s->length : s->body_n;

    if (!request_reserve_to(s->r, total)) {
        if (s->wait != H2_WAIT_FULL)
            stream_wait(s, H2_WAIT_FULL, h2_limits(s->h2)->body_ms);
        return;
    }
    stream_wait(s, H2_WAIT_BODY, stream_left(s, H2_WAIT_BODY, h2_limits(s->h2)->body_ms, piece));
    body_continue(s);
    h2_open_window(s, s->owed, s->extra);
    s->owed = s->extra = 0;
    if (s->whole)
        stream_dispatch(s);
}

static void body_keep(struct h2_stream *s, str_t piece)
{
    struct arena *a = &s->r->req.arena;

    if (piece.n > s->body_cap - s->body_n) {
        size_t cap = s->body_cap > 0 ? s->body_cap : BODY_BYTES_FIRST;
        char *grown;

        while (cap < s->body_n + piece.n)
            cap *= 2;
        if (s->length != UINT64_MAX && s->r->reserved >= s->length)
            cap = (size_t)s->length;
        grown = arena_alloc(a, cap);
        if (s->body_n > 0)
            memcpy(grown, s->body, s->body_n);
        s->body = grown;
        s->body_cap = cap;
    }
    memcpy(s->body + s->body_n, piece.p, piece.n);
    s->body_n += piece.n;
}

static void body_stream(struct h2_stream *s, str_t piece)
{
    struct request *r = s->r;

    if (request_reserve_to(r, r->reserved + piece.n))
        h2_open_window(s, 0, piece.n);
    else
        s->extra += piece.n;
    if (r->req.on_data != NULL)
        r->req.on_data(&r->req, piece, false);
    else
        h2_consume(r, piece.n);
}

void h2_stream_piece(struct h2_stream *s, str_t piece)
{
    if (!body_wanted(s)) {
        h2_open_window(s, piece.n, piece.n);
        return;
    }
    s->owed += piece.n;
    if (s->r->req.streaming) {
        body_stream(s, piece);
        return;
    }
    s->extra += piece.n;
    if (piece.n > h2_limits(s->h2)->body_bytes_max - s->body_n) {
        stream_fail(s, 413, "the request body is too large");
        return;
    }
    body_keep(s, piece);
    body_step(s, piece.n);
}

void h2_stream_ended(struct h2_stream *s)
{
    struct request *r = s->r;

    s->whole = true;
    if (!body_wanted(s))
        return;
    if (!r->req.streaming)
        body_step(s, 0);
    else if (r->req.on_data != NULL)
        r->req.on_data(&r->req, STR_NULL, true);
}

void h2_consume(struct request *r, size_t n)
{
    struct h2_stream *s = r->h2;
    size_t extra;

    if (!s->open)
        return;
    must(n <= s->owed);
    extra = n < s->extra ? n : s->extra;
    s->owed -= n;
    s->extra -= extra;
    request_unreserve(r, n - extra);
    h2_open_window(s, n, extra);
    h2_wake(s->h2->conn);
}

/* The head is complete; end: and so is the request. */
void h2_stream_head(struct h2_stream *s, bool end)
{
    const struct http_server *server = s->h2->hl->server;
    struct http_req *req = &s->r->req;

    h2_head_end(s);
    if (s->fault == 0 && server->o.wants_stream != NULL)
        req->streaming = server->o.wants_stream(req, server->o.arg);
    if (s->fault == 0 && !req->streaming && !end && s->length != UINT64_MAX &&
        s->length > server->o.limits.body_bytes_max) {
        s->fault = 413;
        s->detail = "the request body is too large";
    }
    if (s->fault != 0) {
        s->whole = end;
        stream_fail(s, s->fault, s->detail);
        return;
    }
    if (req->streaming) {
        stream_dispatch(s);
        body_continue(s);
    } else if (!end) {
        body_step(s, 0);
    }
    if (end)
        h2_stream_ended(s);
}

/* ---- the end of streams and of time ---- */

void h2_stream_closed(struct h2_stream *s)
{
    struct request *r = s->r;

    stream_give_back(s);
    stream_shut(s);
    if (!r->dispatched) {
        stream_free(s);
    } else if (!r->bodiless) { /* else its reply is out, its end will be called for */
        r->req.gone = true;
        request_notify(r);
    }
}

void h2_closed(struct h2 *h2)
{
    while (h2->streams != NULL) {
        struct h2_stream *s = h2->streams;
        struct request *r = s->r;

        if (s->open)
            stream_shut(s);
        h2->streams = s->next;
        if (s->next != NULL)
            s->next->prev = NULL;
        s->prev = s->next = NULL;
        s->h2 = NULL;
        r->conn = NULL;
        if (!r->dispatched) {
            request_free(r);
        } else {
            r->req.gone = true;
            request_notify(r);
        }
    }
}

/* What a shut sending side of the client means for a stream; false: nothing (more). Whoever acts on
 * streams may find them changed afterwards, so these loops begin again after each act. */
static bool stream_half_close(struct h2_stream *s)
{
    struct request *r = s->r;

    if (!s->open || r->req.half_closed)
        return false;
    r->req.half_closed = true;
    if (r->dispatched)
        request_notify(r);
    else if (!s->answered && !s->whole)
        h2_reset(s, H2_CANCEL);
    return true;
}

static bool stream_expire(struct h2_stream *s)
{
    enum h2_wait wait = s->wait;

    if (wait == H2_WAIT_FULL)
        body_step(s, 0);
    if (s->wait != wait)
        return true;
    if (!s->open || s->deadline_ms > conn_now(s->h2->conn))
        return false;
    stream_wait(s, H2_WAIT_NONE, 0);
    switch (wait) {
    case H2_WAIT_BODY:
        stream_fail(s, 408, "the request body did not arrive in time");
        break;
    case H2_WAIT_FULL:
        stream_fail(s, 503, "too many request bodies at once");
        break;
    case H2_WAIT_WRITE:
        if (h2_window_shut(s))
            h2_reset(s, H2_CANCEL);
        else /* others come first */
            stream_wait(s, H2_WAIT_WRITE, h2_limits(s->h2)->write_ms);
        break;
    case H2_WAIT_NONE:
        break;
    }
    return true;
}

static bool stream_room(struct h2_stream *s)
{
    if (!s->r->stuffed || stream_pending(s) > QUEUE_LOW)
        return false;
    stream_stuffed(s, false);
    if (s->r->req.on_room != NULL)
        s->r->req.on_room(&s->r->req);
    return true;
}

static void streams_each(struct h2 *h2, bool (*act)(struct h2_stream *s))
{
    struct h2_stream *s = h2->streams;

    while (s != NULL)
        s = act(s) ? h2->streams : s->next;
}

void h2_streams_half_close(struct h2 *h2)
{
    streams_each(h2, stream_half_close);
}

void h2_streams_expire(struct h2 *h2)
{
    streams_each(h2, stream_expire);
}

void h2_streams_room(struct h2 *h2)
{
    if (h2->stuffed_n > 0)
        streams_each(h2, stream_room);
}
