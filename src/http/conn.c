/* One connection: reads bytes, chooses the protocol by the first of them (HTTP/2 goes to h2_conn),
 * feeds the parser, hands whole requests to the handler one at a time and writes the replies. It
 * belongs to its loop's thread. What arrives while a request is handled waits in a bounded
 * read-ahead; reading goes on until that is full, because it is how we learn that the client went
 * away. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "http/h2.h"
#include "http/http_priv.h"

#define READ_BYTES ((size_t)64 << 10)
/* With more than this read ahead a busy connection is not read. */
#define AHEAD_BYTES ((size_t)16 << 10)
/* Smaller replies mostly fit into the kernel's buffer. */
#define LARGE_REPLY_BYTES ((size_t)64 << 10)
/* How long and how much is thrown away after our last reply, so that the client gets to read it. */
#define LINGER_MS 2000
#define LINGER_BYTES_MAX ((size_t)8 << 20)

static const char preface[] = "PRI * HTTP/2.0\r\n";
#define PREFACE_N (sizeof(preface) - 1)

static void conn_resume(struct conn *conn);
static void conn_input(struct conn *conn, str_t in);
static void conn_fail(struct conn *conn, int status, const char *detail);

int64_t conn_now(const struct conn *conn)
{
    return (int64_t)uv_now(loop_uv(conn->hl->loop));
}

void conn_set(struct conn *conn, enum conn_state state, int64_t timeout_ms)
{
    if (conn->state == CONN_FULL)
        conn->hl->full_n--;
    if (state == CONN_FULL)
        conn->hl->full_n++;
    conn->state = state;
    conn->deadline_ms = timeout_ms > 0 ? conn_now(conn) + timeout_ms : INT64_MAX;
}

const struct http_limits *conn_limits(const struct conn *conn)
{
    return &conn->hl->server->o.limits;
}

/* ---- birth and death ---- */

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;

    atomic_fetch_sub(&conn->hl->server->connections, 1);
    h2_free(conn->h2);
    mem_free(conn->ahead);
    mem_free(conn);
}

/* The request is still owed a reply, which nobody will read. */
static void conn_orphan(struct conn *conn)
{
    struct request *r = conn->r;

    r->conn = NULL;
    r->req.gone = true;
    request_notify(r);
}

void conn_close(struct conn *conn)
{
    enum conn_state was = conn->state;

    if (was == CONN_CLOSED)
        return;
    conn_set(conn, CONN_CLOSED, 0);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        conn->hl->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    /* conn->next stays: a sweep may stand on this one. */
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
    if (was == CONN_H2) {
        h2_sleep(conn);
        h2_closed(conn->h2);
    } else if (was == CONN_BUSY || was == CONN_STREAM) {
        conn_orphan(conn);
    } else if (was != CONN_WRITE && conn->r != NULL) { /* in CONN_WRITE on_written frees it */
        request_free(conn->r);
    }
    if (was != CONN_WRITE)
        conn->r = NULL;
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct conn *conn = handle->data;

    (void)hint;
    if (conn->hl->in == NULL)
        conn->hl->in = mem_alloc(READ_BYTES);
    *out = uv_buf_init(conn->hl->in, READ_BYTES);
}

/* The client sends no more; it may still read. */
static void conn_eof(struct conn *conn)
{
    struct request *r = conn->r;

    conn->eof = true;
    conn->reading = false; /* libuv stops by itself */
    switch (conn->state) {
    case CONN_IDLE:
    case CONN_LINGER:
        conn_close(conn);
        return;
    case CONN_HEAD:
    case CONN_BODY:
        conn_fail(conn, 400, "the request ended before it was complete");
        return;
    case CONN_BUSY:
    case CONN_STREAM:
        r->req.half_closed = true;
        request_notify(r);
        return;
    case CONN_H2:
        h2_eof(conn);
        return;
    case CONN_FULL:
    case CONN_WRITE:
    case CONN_CLOSED:
        return;
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;

    loop_drain(conn->hl->loop);
    if (conn->state == CONN_CLOSED || n == 0)
        return;
    if (n == UV_EOF)
        conn_eof(conn);
    else if (n < 0)
        conn_close(conn);
    else
        conn_input(conn, (str_t){ buf->base, (size_t)n });
}

void conn_read(struct conn *conn, bool on)
{
    uv_stream_t *stream = (uv_stream_t *)&conn->tcp;

    if (on == conn->reading || conn->eof || conn->state == CONN_CLOSED)
        return;
    conn->reading = on;
    if (!on)
        uv_read_stop(stream);
    else if (uv_read_start(stream, on_alloc, on_read) != 0)
        conn_close(conn);
}

static void on_handover(struct loop_msg *m)
{
    struct conn *conn = (struct conn *)((char *)m - offsetof(struct conn, msg));
    struct http_loop *hl = conn->hl;

    if (hl->stopping || hl->draining) {
        conn_drop(conn);
        return;
    }
    must(uv_tcp_init(loop_uv(hl->loop), &conn->tcp) == 0);
    conn->tcp.data = conn;
    conn->next = hl->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    hl->conns = conn;
    conn_set(conn, CONN_IDLE, conn_limits(conn)->idle_ms);
    if (uv_tcp_open(&conn->tcp, conn->fd) != 0) {
        close(conn->fd);
        conn_close(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    conn_sweep(hl);
    conn_read(conn, true);
}

struct conn *conn_new(struct http_loop *hl, int fd, const char *remote)
{
    struct conn *conn = mem_zero(sizeof(*conn));
    size_t n = strnlen(remote, sizeof(conn->remote) - 1);

    conn->hl = hl;
    conn->fd = fd;
    conn->msg.fn = on_handover;
    memcpy(conn->remote, remote, n);
    atomic_fetch_add(&hl->server->connections, 1);
    return conn;
}

void conn_drop(struct conn *conn)
{
    close(conn->fd);
    atomic_fetch_sub(&conn->hl->server->connections, 1);
    mem_free(conn);
}

/* ---- writing ---- */

/* After the last reply: shut our side and read on for a while, since closing with unread bytes
 * would make the kernel reset the connection and take the reply away from the client. */
void conn_linger(struct conn *conn)
{
    uv_os_fd_t fd;

    if (conn->eof || uv_fileno((uv_handle_t *)&conn->tcp, &fd) != 0) {
        conn_close(conn);
        return;
    }
    shutdown(fd, SHUT_WR);
    mem_free(conn->ahead);
    conn->ahead = NULL;
    conn->ahead_at = conn->ahead_n = conn->ahead_cap = 0;
    conn_set(conn, CONN_LINGER, LINGER_MS);
    conn_read(conn, true);
}

/* The reply is with the kernel. */
void conn_sent(struct conn *conn)
{
    if (conn->r != NULL) {
        request_free(conn->r);
        conn->r = NULL;
    }
    if (conn->close_after) {
        conn_linger(conn);
        return;
    }
    conn_set(conn, CONN_IDLE, conn_limits(conn)->idle_ms);
    if (!conn->consuming)
        conn_resume(conn);
}

static void on_written(uv_write_t *write, int status)
{
    struct request *r = write->data;
    struct conn *conn = r->conn;

    if (conn->state != CONN_CLOSED && status == 0) {
        conn_sent(conn);
        return;
    }
    conn->r = NULL;
    request_free(r);
    if (conn->state != CONN_CLOSED) {
        conn_set(conn, CONN_IDLE, 0);
        conn_close(conn);
    }
}

/* The kernel took only a part: libuv writes the rest when the client reads. */
static void conn_write_rest(struct conn *conn, str_t head, str_t body, size_t done)
{
    struct request *r = conn->r;
    uv_buf_t bufs[2];
    unsigned n = 0;

    if (done < head.n) { /* the output buffer is shared, this piece needs its own memory */
        str_t rest = str_dup(&r->req.arena, str_slice(head, done, head.n));

        bufs[n].len = rest.n;
        memcpy(&bufs[n++].base, &rest.p, sizeof(rest.p));
        done = head.n;
    }
    if (body.n > 0) {
        const char *p = body.p + (done - head.n);

        bufs[n].len = body.n - (done - head.n);
        memcpy(&bufs[n++].base, &p, sizeof(p));
    }
    r->queued = r->req.arena.used;
    atomic_fetch_add(&conn->hl->server->replies, r->queued);
    r->write.data = r;
    conn_set(conn, CONN_WRITE, conn_limits(conn)->write_ms);
    if (uv_write(&r->write, (uv_stream_t *)&conn->tcp, bufs, n, on_written) != 0) {
        conn_set(conn, CONN_IDLE, 0);
        conn_close(conn);
        return;
    }
    conn->write_left = uv_stream_get_write_queue_size((uv_stream_t *)&conn->tcp);
}

/* Slow readers hold as much as they may: no further large reply is begun. */
static bool conn_sated(const struct conn *conn, const struct http_res *res)
{
    return res->body.n > LARGE_REPLY_BYTES &&
           atomic_load(&conn->hl->server->replies) > conn_limits(conn)->replies_bytes_max;
}

/* Writes the reply to conn->r, all at once if the kernel takes it. */
static void conn_send(struct conn *conn, const struct http_res *res)
{
    struct request *r = conn->r;
    struct buf *out = &conn->hl->out;

    conn->close_after = !r->keep_alive || conn->hl->draining;
    conn_set(conn, CONN_IDLE, 0); /* r is ours again: whatever closes now frees it */
    buf_clear(out);
    str_t body = reply_render(conn->hl, r, res, conn->close_after, out);
    if (out->full) {
        log_error("reply headers too large", "status=%d", res->status);
        conn_close(conn);
        return;
    }
    str_t head = buf_str(out);
    uv_buf_t bufs[2] = { { .len = head.n }, { .len = body.n } };
    memcpy(&bufs[0].base, &head.p, sizeof(head.p));
    memcpy(&bufs[1].base, &body.p, sizeof(body.p));
    int n = uv_try_write((uv_stream_t *)&conn->tcp, bufs, body.n > 0 ? 2 : 1);
    if (n == UV_EAGAIN)
        n = 0;
    if (n < 0)
        conn_close(conn);
    else if ((size_t)n == head.n + body.n)
        conn_sent(conn);
    else
        conn_write_rest(conn, head, body, (size_t)n);
}

bool http_reply(struct http_req *req, const struct http_res *res)
{
    struct request *r = (struct request *)req;
    struct conn *conn = r->conn;

    must(!r->streams);
    if (r->h2 != NULL)
        return h2_reply(r, res);
    request_answered(r);
    if (conn == NULL) {
        request_free(r);
        return false;
    }
    must(conn->state == CONN_BUSY && conn->r == r);
    bool whole = !req->half_closed;
    if (conn_sated(conn, res)) {
        conn_fail(conn, 503, "too many large replies wait for slow readers");
        return false;
    }
    conn_send(conn, res);
    return whole && conn->state != CONN_CLOSED;
}

/* Answers what never reaches the handler, as the last reply of this connection. */
static void conn_fail(struct conn *conn, int status, const char *detail)
{
    static const struct http_header again = { { "Retry-After", 11 }, { "1", 1 } };
    struct http_res res = { .status = status, .type = S("application/json") };

    if (status == 503) {
        res.headers = &again;
        res.headers_n = 1;
    }
    log_debug("request refused", "status=%d remote=%s detail=\"%s\"", status, conn->remote, detail);
    if (conn->r == NULL)
        conn->r = request_new(conn->hl, conn);
    conn->r->keep_alive = false;
    res.body = reply_error_body(conn->hl->server, &conn->r->req.arena, status, detail);
    conn_send(conn, &res);
}

/* ---- reading ---- */

/* The handler has the request and owes a reply or its end. */
static bool conn_owed(const struct conn *conn, const struct request *r)
{
    return conn->r == r && (conn->state == CONN_BUSY || conn->state == CONN_STREAM);
}

static void conn_dispatch(struct conn *conn)
{
    struct request *r = conn->r;
    str_t body = h1_body(r->h1);

    conn_set(conn, CONN_BUSY, 0);
    r->req.half_closed = conn->eof;
    if (!r->req.streaming)
        r->req.body = body;
    request_dispatch(r);
    if (conn_owed(conn, r) && r->req.streaming && r->req.on_data != NULL)
        r->req.on_data(&r->req, body, true);
    if (conn_owed(conn, r) && r->req.half_closed) /* before it was handled: say so now */
        request_notify(r);
}

/* The body may be read now: says so to a client that asked. The 25 bytes are dropped when the
 * kernel has no room for them; a client must be able to go on without. */
static void conn_continue(struct conn *conn)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t buf = uv_buf_init(text, sizeof(text) - 1);
    int n = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);

    if (n > 0 && (size_t)n < buf.len)
        conn_close(conn);
}

/* What is left of the time for a body after a further piece of it: body_ms from the head on, and a
 * millisecond more for each byte, so that who sends steadily may send for long and who drips ends.
 */
static int64_t body_left(const struct conn *conn, size_t piece)
{
    int64_t max = conn_limits(conn)->body_ms;
    int64_t left = conn->deadline_ms - conn_now(conn) + (int64_t)piece;

    if (left > max)
        return max;
    return left > 0 ? left : 1;
}

/* A head is complete or a piece of body has come: reads on if the bound on bodies allows. */
static void conn_body(struct conn *conn, bool first, int64_t left_ms, bool more)
{
    if (!request_reserve(conn->r)) {
        conn_set(conn, CONN_FULL, conn_limits(conn)->body_ms);
        conn->hl->sweeping = false; /* look again soon */
        conn_sweep(conn->hl);
        return;
    }
    conn_set(conn, CONN_BODY, left_ms);
    if (first && !more && h1_head(conn->r->h1)->expect_continue)
        conn_continue(conn);
}

/* Acts on what the parser found in so many bytes; more: there are bytes left. */
static void conn_event(struct conn *conn, enum h1_event event, size_t used, bool more)
{
    const struct http_server *s = conn->hl->server;
    const char *detail = NULL;
    int status;

    switch (event) {
    case H1_MORE:
        if (conn->state == CONN_BODY)
            conn_body(conn, false, body_left(conn, used), more);
        return;
    case H1_HEAD:
        request_take_head(conn->r);
        if (s->o.wants_stream != NULL)
            conn->r->req.streaming = s->o.wants_stream(&conn->r->req, s->o.arg);
        conn_body(conn, true, conn_limits(conn)->body_ms, more);
        return;
    case H1_DONE:
        conn_dispatch(conn);
        return;
    case H1_FAIL:
        status = h1_fault(conn->r->h1, &detail);
        conn_fail(conn, status, detail);
        return;
    }
}

static bool conn_wants(const struct conn *conn)
{
    return conn->state == CONN_IDLE || conn->state == CONN_HEAD || conn->state == CONN_BODY;
}

/* Parses and handles as long as the connection may take more; returns how many bytes were used. */
static size_t conn_consume(struct conn *conn, str_t in)
{
    enum h1_event event = H1_HEAD;
    size_t total = 0;

    must(!conn->consuming);
    conn->consuming = true;
    while (conn_wants(conn) && (total < in.n || event != H1_MORE)) {
        size_t used = 0;

        if (conn->state == CONN_IDLE) {
            if (total == in.n)
                break;
            conn->r = request_new(conn->hl, conn);
            conn_set(conn, CONN_HEAD, conn_limits(conn)->header_ms);
        }
        event = h1_feed(conn->r->h1, str_slice(in, total, in.n), &used);
        total += used;
        conn_event(conn, event, used, total < in.n);
    }
    conn->consuming = false;
    return total;
}

/* What was used makes room first: who is always ahead of its replies would else grow it for ever.
 */
static void ahead_append(struct conn *conn, str_t s)
{
    if (conn->ahead_at > 0) {
        conn->ahead_n -= conn->ahead_at;
        memmove(conn->ahead, conn->ahead + conn->ahead_at, conn->ahead_n);
        conn->ahead_at = 0;
    }
    if (conn->ahead_n + s.n > conn->ahead_cap) {
        conn->ahead_cap = conn->ahead_n + s.n;
        conn->ahead = mem_resize(conn->ahead, conn->ahead_cap);
    }
    memcpy(conn->ahead + conn->ahead_n, s.p, s.n);
    conn->ahead_n += s.n;
}

/* A request was answered or room was found: goes on with what was read ahead. */
static void conn_resume(struct conn *conn)
{
    if (conn->ahead_n > 0 && conn_wants(conn)) {
        str_t in = { conn->ahead + conn->ahead_at, conn->ahead_n - conn->ahead_at };

        conn->ahead_at += conn_consume(conn, in);
        if (conn->ahead_at >= conn->ahead_n) { /* also when it was thrown away meanwhile */
            mem_free(conn->ahead);
            conn->ahead = NULL;
            conn->ahead_at = conn->ahead_n = conn->ahead_cap = 0;
        }
    }
    if (conn_wants(conn) && conn->eof)
        conn_eof(conn);
    else if (conn->ahead_n - conn->ahead_at <= AHEAD_BYTES && conn->state != CONN_FULL)
        conn_read(conn, true);
}

static void conn_input_h1(struct conn *conn, str_t in)
{
    size_t used = 0;

    if (conn->state == CONN_LINGER) {
        conn->lingered += in.n;
        if (conn->lingered > LINGER_BYTES_MAX)
            conn_close(conn);
        return;
    }
    if (conn_wants(conn))
        used = conn_consume(conn, in);
    if (used < in.n && conn->state != CONN_LINGER && conn->state != CONN_CLOSED)
        ahead_append(conn, str_slice(in, used, in.n));
    if (conn->ahead_n - conn->ahead_at > AHEAD_BYTES || conn->state == CONN_FULL)
        conn_read(conn, false);
}

/* The first bytes choose the protocol. HTTP/2 with prior knowledge begins with a preface that is no
 * request of ours; WebSocket begins as an ordinary request. */
static void conn_input(struct conn *conn, str_t in)
{
    size_t k = conn->preface_n, i = 0;

    if (conn->proto == PROTO_H1 || conn->state == CONN_LINGER) {
        conn_input_h1(conn, in);
        return;
    }
    if (conn->proto == PROTO_H2) {
        h2_read(conn, in);
        return;
    }
    while (i < in.n && k < PREFACE_N && in.p[i] == preface[k]) {
        i++;
        k++;
    }
    if (k == PREFACE_N) {
        conn->proto = PROTO_H2;
        conn_set(conn, CONN_H2, 0);
        conn->h2 = h2_new(conn);
        h2_read(conn, (str_t){ preface, k });
        if (i < in.n && conn->state == CONN_H2)
            h2_read(conn, str_slice(in, i, in.n));
    } else if (i == in.n) {
        if (conn->preface_n == 0)
            conn_set(conn, CONN_HEAD, conn_limits(conn)->header_ms);
        conn->preface_n = k;
    } else {
        conn->proto = PROTO_H1;
        if (conn->preface_n > 0) {
            conn_set(conn, CONN_IDLE, 0);
            conn_input_h1(conn, (str_t){ preface, conn->preface_n });
        }
        conn_input_h1(conn, in);
    }
}

/* ---- deadlines ---- */

static void conn_expired(struct conn *conn)
{
    size_t left;

    switch (conn->state) {
    case CONN_HEAD:
        conn_fail(conn, 408, "the request header did not arrive in time");
        return;
    case CONN_BODY:
        conn_fail(conn, 408, "the request body did not arrive in time");
        return;
    case CONN_FULL:
        conn_fail(conn, 503, "too many request bodies at once");
        return;
    case CONN_WRITE:
        left = uv_stream_get_write_queue_size((uv_stream_t *)&conn->tcp);
        /* A byte a millisecond, or the end: less is no reading. */
        if (left + (size_t)conn_limits(conn)->write_ms <= conn->write_left) {
            conn->write_left = left;
            conn_set(conn, CONN_WRITE, conn_limits(conn)->write_ms);
            return;
        }
        conn_close(conn);
        return;
    case CONN_STREAM:
        stream_expired(conn);
        return;
    case CONN_IDLE:
    case CONN_LINGER:
        conn_close(conn);
        return;
    case CONN_BUSY:
    case CONN_H2: /* has its own deadlines */
    case CONN_CLOSED:
        return;
    }
}

void conn_drain(struct conn *conn)
{
    if (conn->state == CONN_IDLE)
        conn_close(conn);
    else if (conn->state == CONN_H2)
        h2_drain(conn->h2);
}

static void on_sweep(uv_timer_t *timer)
{
    struct http_loop *hl = timer->data;

    hl->sweeping = false;
    for (struct conn *conn = hl->conns; conn != NULL; conn = conn->next) {
        if (conn->state == CONN_FULL && request_reserve(conn->r)) {
            bool more = conn->ahead_at < conn->ahead_n;

            conn_body(conn, h1_body(conn->r->h1).n == 0, conn_limits(conn)->body_ms, more);
            conn_resume(conn);
        } else if (conn->state == CONN_H2) {
            h2_sweep(conn);
        } else if (conn->deadline_ms <= conn_now(conn)) {
            conn_expired(conn);
        }
    }
    conn_sweep(hl);
}

void conn_sweep(struct http_loop *hl)
{
    int64_t ms = hl->full_n > 0 ? 10 : hl->server->sweep_ms;

    if (hl->sweeping || hl->conns == NULL || hl->stopping)
        return;
    hl->sweeping = true;
    uv_timer_start(&hl->sweep, on_sweep, (uint64_t)ms, 0);
}
