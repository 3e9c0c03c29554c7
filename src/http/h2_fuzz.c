/* A session must take any bytes, however they are cut, without a crash, and leave nothing behind:
 * no request, no reservation, no owed reply. The first byte says into which pieces (low bits),
 * whether the preface and SETTINGS are put in front, and whether the client shuts its side before
 * the connection goes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "http/h2.h"

#define HELLO 0x40
#define HALF_CLOSE 0x80
#define HELD_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_req *held[HELD_MAX];
static size_t held_n;

static void release(struct http_req *req)
{
    struct http_res res = { .status = 200, .body = S("held") };

    for (size_t i = 0; i < held_n; i++)
        if (held[i] == req) {
            held[i] = held[--held_n];
            (void)http_reply(req, &res);
            return;
        }
}

static void on_late(struct http_req *req)
{
    (void)http_reply(req, &(struct http_res){ .status = 499 });
}

static void on_gone(struct http_req *req)
{
    (void)http_stream_end(req, NULL, 0);
}

static void begin(struct http_req *req)
{
    struct http_res res = { .status = 200 };

    req->on_gone = on_gone;
    (void)http_stream_start(req, &res);
}

static void on_piece(struct http_req *req, str_t piece, bool end)
{
    if (req->on_gone == on_late)
        begin(req);
    (void)http_stream_write(req, piece);
    http_body_consume(req, piece.n / 2); /* a careless reader */
    if (end) {
        req->on_gone = NULL;
        (void)http_stream_end(req, req->headers, req->headers_n);
    }
}

/* /h: held; /s: streamed, /sl: from the first piece on; else answered at once with what came. */
static void handler(struct http_req *req, void *arg)
{
    struct http_res res = { .status = 200,
                            .type = S("text/plain"),
                            .body = req->body,
                            .headers = req->headers,
                            .headers_n = req->headers_n };

    (void)arg;
    must(req->method.n > 0 && req->path.n > 0 && req->body.n <= 4096);
    if (req->streaming) {
        req->on_data = on_piece;
        req->on_gone = on_late;
        if (!str_starts(req->path, S("/sl")))
            begin(req);
    } else if (str_starts(req->path, S("/h")) && held_n < HELD_MAX) {
        req->on_gone = held_n % 2 > 0 ? release : NULL;
        held[held_n++] = req;
    } else {
        (void)http_reply(req, &res);
    }
}

static bool wants_stream(const struct http_req *head, void *arg)
{
    (void)arg;
    return str_starts(head->path, S("/s"));
}

static struct http_server server = {
    .o = { .handler = handler,
           .wants_stream = wants_stream,
           .limits = { .header_bytes_max = 2048,
                       .body_bytes_max = 4096,
                       .bodies_bytes_max = 8192,
                       .replies_bytes_max = 8192,
                       .header_ms = 1000,
                       .body_ms = 1000,
                       .idle_ms = 1000,
                       .write_ms = 1000,
                       .streams_max = 8,
                       .window_bytes = 1024 } },
    .h1 = { .header_bytes_max = 2048, .url_bytes_max = 256, .body_bytes_max = 4096 },
};
static struct http_loop hl;
static struct buf out;

/* Each piece is copied to the heap at its exact size, so that a read past its end is seen. */
static void feed(struct conn *conn, str_t in, size_t step)
{
    for (size_t at = 0; at < in.n && !h2_over(conn->h2); at += step) {
        size_t n = in.n - at < step ? in.n - at : step;
        char *piece = mem_alloc(n);

        memcpy(piece, in.p + at, n);
        h2_input(conn->h2, (str_t){ piece, n });
        mem_free(piece);
        do {
            buf_clear(&out);
            h2_output(conn->h2, &out);
        } while (out.n > 0);
        h2_expire(conn->h2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct conn *conn = mem_zero(sizeof(*conn));
    unsigned mode = size > 0 ? data[0] : 0;
    str_t in = { (const char *)data + (size > 0), size - (size > 0) };

    if (hl.loop == NULL) {
        http_loop_init(&server, &hl);
        buf_init(&out, (size_t)1 << 20);
    }
    conn->hl = &hl;
    conn->state = CONN_H2;
    conn->proto = PROTO_H2;
    conn->h2 = h2_new(conn);
    if (mode & HELLO)
        feed(conn, (str_t){ hello, sizeof(hello) - 1 }, sizeof(hello));
    feed(conn, in, (mode & 0x3f) + 1 == 0x40 ? SIZE_MAX / 2 : (mode & 0x3f) + 1);
    while (held_n > HELD_MAX / 2)
        release(held[0]);
    if (mode & HALF_CLOSE) {
        h2_half_closed(conn->h2);
        h2_drain(conn->h2);
        buf_clear(&out);
        h2_output(conn->h2, &out);
    }
    h2_sleep(conn);
    h2_closed(conn->h2);
    while (held_n > 0)
        release(held[0]);
    must(conn->h2->open_n == 0 && conn->h2->unsent == 0 && conn->h2->stuffed_n == 0);
    h2_free(conn->h2);
    mem_free(conn);
    must(hl.requests == NULL && hl.full_n == 0 && hl.dirty_n == 0);
    must(atomic_load(&server.busy) == 0 && atomic_load(&server.bodies) == 0);
    must(atomic_load(&server.replies) == 0);
    return 0;
}
