/* The socket of an HTTP/2 connection: what was read goes into the session, what the session has to
 * say is written, one write at a time. Replies that are given in one turn of the loop leave in one
 * write: sessions that have something to say are listed and flushed before the loop waits. */
#include <string.h>

#include "base/mem.h"
#include "http/h2.h"

/* Portions of a flush before others have their turn. */
#define PORTIONS_MAX 16

/* Bytes that the kernel did not take at once. */
struct h2_write {
    uv_write_t write;
    struct conn *conn;
    char bytes[];
};

static void h2_flush(struct conn *conn);

static void on_flush(uv_idle_t *idle)
{
    struct http_loop *hl = idle->data;

    /* Those that are woken by this have their turn next time. */
    for (size_t n = hl->dirty_n; n > 0 && hl->dirty != NULL; n--)
        h2_flush(hl->dirty);
}

void h2_wake(struct conn *conn)
{
    struct http_loop *hl = conn->hl;

    if (conn->dirty || conn->state != CONN_H2)
        return;
    conn->dirty = true;
    conn->dirty_next = NULL;
    conn->dirty_prev = hl->dirty_last;
    if (hl->dirty_last != NULL)
        hl->dirty_last->dirty_next = conn;
    else
        hl->dirty = conn;
    hl->dirty_last = conn;
    if (hl->dirty_n++ == 0)
        uv_idle_start(&hl->flush, on_flush);
}

void h2_sleep(struct conn *conn)
{
    struct http_loop *hl = conn->hl;

    if (!conn->dirty)
        return;
    conn->dirty = false;
    if (conn->dirty_prev != NULL)
        conn->dirty_prev->dirty_next = conn->dirty_next;
    else
        hl->dirty = conn->dirty_next;
    if (conn->dirty_next != NULL)
        conn->dirty_next->dirty_prev = conn->dirty_prev;
    else
        hl->dirty_last = conn->dirty_prev;
    if (--hl->dirty_n == 0)
        uv_idle_stop(&hl->flush);
}

/* ---- writing ---- */

static size_t h2_queued(const struct conn *conn)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
}

static void on_written(uv_write_t *write, int status)
{
    struct h2_write *w = write->data;
    struct conn *conn = w->conn;

    mem_free(w);
    conn->writing = false;
    if (conn->state != CONN_H2)
        return;
    if (status != 0) {
        conn_close(conn);
        return;
    }
    conn_set(conn, CONN_H2, 0);
    h2_flush(conn);
    if (conn->state == CONN_H2 && !h2_choked(conn->h2))
        conn_read(conn, true);
}

/* The kernel took only a part: libuv writes the rest when the client reads. */
static void h2_write_rest(struct conn *conn, str_t rest)
{
    struct h2_write *w = mem_alloc(sizeof(*w) + rest.n);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)rest.n);

    memcpy(w->bytes, rest.p, rest.n);
    w->conn = conn;
    w->write.data = w;
    if (uv_write(&w->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_written) != 0) {
        mem_free(w);
        conn_close(conn);
        return;
    }
    conn->writing = true;
    conn_set(conn, CONN_H2, conn_limits(conn)->write_ms);
    conn->write_left = h2_queued(conn);
}

static void h2_put(struct conn *conn, str_t out)
{
    uv_buf_t buf = { .len = out.n };
    int n;

    memcpy(&buf.base, &out.p, sizeof(out.p));
    n = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    if (n == UV_EAGAIN)
        n = 0;
    if (n < 0)
        conn_close(conn);
    else if ((size_t)n < out.n)
        h2_write_rest(conn, str_slice(out, (size_t)n, out.n));
}

/* The session is over and everything is sent. */
static void h2_finish(struct conn *conn)
{
    h2_sleep(conn);
    h2_closed(conn->h2);
    conn_linger(conn);
}

/* Writes what the session has to say, as far as the socket takes it. */
static void h2_flush(struct conn *conn)
{
    struct buf *out = &conn->hl->out_h2;
    int portions = 0;

    h2_sleep(conn);
    while (conn->state == CONN_H2 && !conn->writing && portions++ < PORTIONS_MAX) {
        buf_clear(out);
        h2_output(conn->h2, out);
        if (out->n == 0)
            break;
        h2_put(conn, buf_str(out));
    }
    if (conn->state != CONN_H2)
        return;
    if (!conn->writing && h2_over(conn->h2))
        h2_finish(conn);
    else if (portions > PORTIONS_MAX)
        h2_wake(conn);
}

/* ---- what conn.c passes on ---- */

void h2_read(struct conn *conn, str_t in)
{
    h2_input(conn->h2, in);
    h2_flush(conn);
    if (conn->state == CONN_H2 && conn->writing && h2_choked(conn->h2))
        conn_read(conn, false);
}

void h2_eof(struct conn *conn)
{
    h2_half_closed(conn->h2);
    h2_flush(conn);
}

void h2_sweep(struct conn *conn)
{
    if (conn->writing && conn->deadline_ms <= conn_now(conn)) {
        size_t left = h2_queued(conn);

        /* A byte a millisecond, or the end, as in HTTP/1. */
        if (left + (size_t)conn_limits(conn)->write_ms > conn->write_left) {
            conn_close(conn);
            return;
        }
        conn->write_left = left;
        conn_set(conn, CONN_H2, conn_limits(conn)->write_ms);
    }
    h2_expire(conn->h2);
    if (conn->dirty)
        h2_flush(conn);
}
