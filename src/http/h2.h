/* HTTP/2 of one connection. h2.c is the session: bytes in and bytes out, without a socket. In
 * h2_stream.c every stream becomes a struct request for the same handler as in HTTP/1; h2_conn.c
 * moves the bytes. Everything runs on the loop's thread. */
#pragma once

#include "http/http_priv.h"

struct nghttp2_session;

/* Error codes of RFC 9113 that we send. */
enum h2_code {
    H2_NO_ERROR = 0,
    H2_INTERNAL_ERROR = 2,
    H2_SETTINGS_TIMEOUT = 4,
    H2_REFUSED_STREAM = 7,
    H2_CANCEL = 8,
    H2_CALM = 11,
};

struct h2 {
    struct nghttp2_session *session;
    struct conn *conn;
    struct http_loop *hl;
    struct h2_stream *streams; /* open, or owed a reply */
    size_t open_n;             /* streams that are open */
    size_t owed_n;             /* requests that the handler has, also of closed streams */
    size_t stuffed_n;          /* streaming replies whose writer waits for room */
    uint64_t unsent;           /* bytes of replies */
    int64_t deadline_ms;       /* for the first SETTINGS, then for the next request */
    int64_t head_ms;           /* for the rest of a head */
    int64_t calm, calm_ms;     /* frames that mean little: how many may come, as of when */
    bool settled;              /* the client's SETTINGS have come */
    bool draining, final;      /* the first and the last GOAWAY were sent */
    bool ended;                /* the session was given up; GOAWAY says why */
    bool eof, broken;
};

enum h2_wait {
    H2_WAIT_NONE,
    H2_WAIT_BODY,  /* the client is to send more of its body: 408 */
    H2_WAIT_FULL,  /* there is no room for the body yet: 503 */
    H2_WAIT_WRITE, /* the client is to open its window: reset */
};

/* One stream, in its request's arena. It lives until the stream is closed and the handler has
 * answered, in whichever order. */
struct h2_stream {
    struct h2 *h2; /* NULL: the connection is gone */
    struct request *r;
    struct h2_stream *prev, *next;
    int32_t id;
    bool open;     /* not closed by either side */
    bool whole;    /* the client's side has ended */
    bool answered; /* a reply was begun */
    enum h2_wait wait;
    int64_t deadline_ms;

    /* The head while it is read; status and detail of the first fault. */
    struct http_header *headers;
    size_t headers_n, headers_cap, head_bytes;
    str_t authority;
    int fault;
    const char *detail;
    bool expects; /* 100-continue */

    /* The body. */
    uint64_t length; /* declared; UINT64_MAX: not */
    char *body;
    size_t body_n, body_cap;
    size_t owed;  /* bytes of the stream's window that were not given back */
    size_t extra; /* of these: without a reservation, and therefore of the connection's window */

    /* The reply: either whole and in the arena, or a queue on the heap. */
    str_t rest;
    char *queue;
    size_t queue_at, queue_n, queue_cap;
    bool queued, ended;
    bool asleep; /* the session waits for more of the queue */
    const struct http_header *trailers;
    size_t trailers_n;
};

/* ---- h2.c: the session ---- */

struct h2 *h2_new(struct conn *conn);
/* NULL is allowed. After h2_closed. */
void h2_free(struct h2 *h2);
/* The client's bytes, in any pieces. */
void h2_input(struct h2 *h2, str_t in);
/* Appends the next bytes for the client to b, a bounded portion; none: nothing to send. */
void h2_output(struct h2 *h2, struct buf *b);
/* True when the connection has nothing more to do, or is broken. */
bool h2_over(const struct h2 *h2);
/* True when so much waits to be sent that the client should not be read. */
bool h2_choked(const struct h2 *h2);
/* The client has shut its side. */
void h2_half_closed(struct h2 *h2);
/* No more requests: GOAWAY; what is open is finished. */
void h2_drain(struct h2 *h2);
/* Acts on what passed its deadline. */
void h2_expire(struct h2 *h2);

/* For h2_stream.c. Begins the reply; body: its bytes are to be pulled. */
void h2_submit(struct h2_stream *s, const struct http_res *res, str_t length, bool body);
void h2_submit_continue(struct h2_stream *s);
void h2_reset(struct h2_stream *s, enum h2_code code);
/* There is something to pull again. */
void h2_resume(struct h2_stream *s);
/* The client may send so many more bytes, of this stream and of all streams. */
void h2_open_window(struct h2_stream *s, size_t of_stream, size_t of_all);
/* True when the client lets us send nothing on this stream. */
bool h2_window_shut(const struct h2_stream *s);

/* ---- h2_head.c: fields to a request ---- */

/* Takes one field of the head, in the order they came. Faults are kept for h2_head_end. */
void h2_head_field(struct h2_stream *s, str_t name, str_t value);
/* Sets s->fault, unless an earlier one is there; detail is static. */
void h2_head_fault(struct h2_stream *s, int status, const char *detail);
/* The head is complete: fills in the request, or sets s->fault. */
void h2_head_end(struct h2_stream *s);

/* ---- h2_stream.c: requests and replies ---- */

enum h2_pulled { H2_PULLED_SOME, H2_PULLED_NONE, H2_PULLED_LAST };

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id);
/* The head is complete (end: and so is the request), a piece of the body, its end. */
void h2_stream_head(struct h2_stream *s, bool end);
void h2_stream_piece(struct h2_stream *s, str_t piece);
void h2_stream_ended(struct h2_stream *s);
/* The next up to n bytes of the reply's body; after NONE h2_resume is called. */
size_t h2_stream_pull(struct h2_stream *s, char *to, size_t n, enum h2_pulled *out);
/* The stream is no more. */
void h2_stream_closed(struct h2_stream *s);
/* The connection is gone: requests that are owed a reply are told. */
void h2_closed(struct h2 *h2);
/* For all streams: the client has shut its side; deadlines; replies that have room again. */
void h2_streams_half_close(struct h2 *h2);
void h2_streams_expire(struct h2 *h2);
void h2_streams_room(struct h2 *h2);

/* What req.h says, for a request of HTTP/2. */
bool h2_reply(struct request *r, const struct http_res *res);
void h2_consume(struct request *r, size_t n);
bool h2_stream_start(struct request *r, const struct http_res *res);
bool h2_stream_write(struct request *r, str_t bytes);
bool h2_stream_end(struct request *r, const struct http_header *trailers, size_t n);
void h2_stream_abort(struct request *r);

/* ---- h2_conn.c: the socket ---- */

/* What conn.c does for HTTP/1: bytes have come, the client has shut its side, time has passed. */
void h2_read(struct conn *conn, str_t in);
void h2_eof(struct conn *conn);
void h2_sweep(struct conn *conn);
/* The session has something to say; it is sent before the loop waits again. */
void h2_wake(struct conn *conn);
/* Forgets that it was woken. */
void h2_sleep(struct conn *conn);
