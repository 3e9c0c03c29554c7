/* Streaming: what req.h promises, handed to HTTP/2 or done here for HTTP/1, as a chunked reply (to
 * HTTP/1.0: up to the end of the connection). Every piece is written at once; what the kernel does
 * not take waits in libuv's queue. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "http/h2.h"

/* Bytes that wait for the client: above the first the writer shall wait, until the second; above
 * the last it never did. */
#define QUEUE_HIGH ((size_t)64 << 10)
#define QUEUE_LOW ((size_t)16 << 10)
#define QUEUE_MAX ((size_t)16 << 20)
#define PIECES_MAX 3

struct stream_write {
    uv_write_t write;
    struct conn *conn;
    char bytes[];
};

static size_t stream_queued(const struct conn *conn)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
}

/* The socket is of no use any more. Said here by gone alone; on_gone follows from the sweep, since
 * the handler is inside a call of ours. */
static void stream_broken(struct conn *conn)
{
    conn->r->req.gone = true;
    conn_set(conn, CONN_STREAM, 1);
}

static void stream_watch(struct conn *conn)
{
    conn->write_left = stream_queued(conn);
    conn_set(conn, conn->state, conn->write_left > 0 ? conn_limits(conn)->write_ms : 0);
}

static void on_piece_written(uv_write_t *write, int status)
{
    struct stream_write *w = write->data;
    struct conn *conn = w->conn;
    struct request *r = conn->r;
    size_t left = stream_queued(conn);

    mem_free(w);
    if (conn->state == CONN_WRITE && status == 0 && left == 0) {
        conn_sent(conn);
    } else if (conn->state != CONN_CLOSED && status != 0) {
        conn_close(conn);
    } else if (conn->state == CONN_STREAM && !r->req.gone) {
        stream_watch(conn);
        if (r->stuffed && left <= QUEUE_LOW) {
            r->stuffed = false;
            if (r->req.on_room != NULL)
                r->req.on_room(&r->req);
        }
    }
}

/* Queues what is left of the pieces behind their first `done` bytes. */
static bool stream_queue(struct conn *conn, const str_t *pieces, size_t n, size_t total,
                         size_t done)
{
    struct stream_write *w = mem_alloc(sizeof(*w) + total);
    uv_buf_t buf;
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        memcpy(w->bytes + at, pieces[i].p, pieces[i].n);
        at += pieces[i].n;
    }
    buf = uv_buf_init(w->bytes + done, (unsigned)(total - done));
    w->conn = conn;
    w->write.data = w;
    if (uv_write(&w->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_piece_written) == 0)
        return true;
    mem_free(w);
    return false;
}

/* Writes the pieces, in order; false when the connection is broken. */
static bool stream_put(struct conn *conn, const str_t *pieces, size_t n)
{
    uv_buf_t bufs[PIECES_MAX];
    size_t total = 0;
    int done = 0;

    must(n <= PIECES_MAX);
    for (size_t i = 0; i < n; i++) {
        bufs[i].len = pieces[i].n;
        memcpy(&bufs[i].base, &pieces[i].p, sizeof(pieces[i].p));
        total += pieces[i].n;
    }
    if (stream_queued(conn) == 0)
        done = uv_try_write((uv_stream_t *)&conn->tcp, bufs, (unsigned)n);
    if (done == UV_EAGAIN)
        done = 0;
    if (done < 0 || ((size_t)done < total && !stream_queue(conn, pieces, n, total, (size_t)done))) {
        stream_broken(conn);
        return false;
    }
    if (stream_queued(conn) > 0 && conn->deadline_ms == INT64_MAX)
        stream_watch(conn);
    return true;
}

void stream_expired(struct conn *conn)
{
    size_t left = stream_queued(conn);

    if (!conn->r->req.gone && left < conn->write_left)
        stream_watch(conn);
    else
        conn_close(conn);
}

void http_body_consume(struct http_req *req, size_t n)
{
    struct request *r = (struct request *)req;

    must(req->streaming);
    if (r->h2 != NULL)
        h2_consume(r, n);
}

bool http_stream_start(struct http_req *req, const struct http_res *res)
{
    struct request *r = (struct request *)req;
    struct conn *conn = r->conn;
    struct buf *out = &r->hl->out;

    must(r->dispatched && !r->streams);
    r->streams = true;
    r->bodiless = r->head_only || res->status == 204 || res->status == 304;
    if (r->h2 != NULL)
        return h2_stream_start(r, res);
    if (conn == NULL)
        return false;
    must(conn->state == CONN_BUSY && conn->r == r);
    conn->close_after = !r->keep_alive || conn->hl->draining || (r->http10 && !r->bodiless);
    conn_set(conn, CONN_STREAM, 0);
    buf_clear(out);
    reply_render_stream(conn->hl, r, res, conn->close_after, out);
    if (out->full) {
        log_error("reply headers too large", "status=%d", res->status);
        stream_broken(conn);
        return false;
    }
    return stream_put(conn, &(str_t){ out->p, out->n }, 1);
}

static bool stream_write_h1(struct request *r, str_t bytes)
{
    struct conn *conn = r->conn;
    char size[24];

    if (conn == NULL || r->req.gone)
        return false;
    if (r->bodiless || bytes.n == 0)
        return true;
    if (stream_queued(conn) + bytes.n > QUEUE_MAX) {
        log_warn("streaming reply given up", "remote=%s detail=\"its client does not read\"",
                 conn->remote);
        stream_broken(conn);
        return false;
    }
    if (r->http10) {
        if (!stream_put(conn, &bytes, 1))
            return false;
    } else {
        int n = snprintf(size, sizeof(size), "%zx\r\n", bytes.n);
        str_t pieces[3] = { { size, (size_t)n }, bytes, { "\r\n", 2 } };

        if (!stream_put(conn, pieces, 3))
            return false;
    }
    r->stuffed = stream_queued(conn) > QUEUE_HIGH;
    return !r->stuffed;
}

bool http_stream_write(struct http_req *req, str_t bytes)
{
    struct request *r = (struct request *)req;

    must(r->streams);
    return r->h2 != NULL ? h2_stream_write(r, bytes) : stream_write_h1(r, bytes);
}

/* The last chunk and the trailers. */
static str_t stream_tail(struct request *r, const struct http_header *trailers, size_t n)
{
    struct buf *out = &r->hl->out;

    buf_clear(out);
    if (r->bodiless || r->http10)
        return STR_NULL;
    buf_append(out, S("0\r\n"));
    for (size_t i = 0; i < n; i++) {
        if (!reply_header_ok(&trailers[i]))
            continue;
        buf_append(out, trailers[i].name);
        buf_append(out, S(": "));
        buf_append(out, trailers[i].value);
        buf_append(out, S("\r\n"));
    }
    buf_append(out, S("\r\n"));
    return out->full ? S("0\r\n\r\n") : buf_str(out);
}

/* The request is given up and its connection closed. */
static void stream_drop(struct conn *conn)
{
    conn_set(conn, CONN_IDLE, 0); /* the request is ours again */
    conn_close(conn);
}

static bool stream_end_h1(struct request *r, const struct http_header *trailers, size_t n)
{
    struct conn *conn = r->conn;
    bool whole = !r->req.half_closed;
    str_t tail;

    request_answered(r);
    if (conn == NULL) {
        request_free(r);
        return false;
    }
    must(conn->state == CONN_STREAM && conn->r == r);
    tail = stream_tail(r, trailers, n);
    if (r->req.gone || (tail.n > 0 && !stream_put(conn, &tail, 1))) {
        stream_drop(conn);
        return false;
    }
    if (stream_queued(conn) == 0) {
        conn_set(conn, CONN_IDLE, 0);
        conn_sent(conn);
    } else {
        request_free(r);
        conn->r = NULL;
        conn_set(conn, CONN_WRITE, conn_limits(conn)->write_ms);
        conn->write_left = stream_queued(conn);
    }
    return whole && conn->state != CONN_CLOSED;
}

bool http_stream_end(struct http_req *req, const struct http_header *trailers, size_t n)
{
    struct request *r = (struct request *)req;

    must(r->streams);
    return r->h2 != NULL ? h2_stream_end(r, trailers, n) : stream_end_h1(r, trailers, n);
}

void http_stream_abort(struct http_req *req)
{
    struct request *r = (struct request *)req;
    struct conn *conn = r->conn;

    must(r->streams);
    if (r->h2 != NULL) {
        h2_stream_abort(r);
        return;
    }
    request_answered(r);
    if (conn == NULL)
        request_free(r);
    else
        stream_drop(conn);
}
