/* What the files of this folder share: the server, its loops, connections and requests. Everything
 * belongs to the thread of its loop, except the atomics of the server. */
#pragma once

#include <stdatomic.h>

#include "base/buf.h"
#include "base/sync.h"
#include "http/h1.h"
#include "http/server.h"

enum conn_state {
    CONN_IDLE,   /* between requests */
    CONN_HEAD,   /* part of a head has arrived */
    CONN_BODY,   /* the head is complete, the body is not */
    CONN_FULL,   /* not read, because the bodies in flight have reached their bound */
    CONN_BUSY,   /* the handler has the request */
    CONN_STREAM, /* the handler streams the reply */
    CONN_WRITE,  /* the reply is on its way */
    CONN_H2,     /* all is up to the HTTP/2 session */
    CONN_LINGER, /* our side is shut; what still arrives is thrown away */
    CONN_CLOSED,
};

enum conn_proto { PROTO_UNKNOWN, PROTO_H1, PROTO_H2 };

struct h2;
struct h2_stream;

struct conn {
    uv_tcp_t tcp;
    struct loop_msg msg; /* carries it from the acceptor to its loop */
    struct http_loop *hl;
    struct conn *prev, *next;
    struct request *r; /* the one that is read, handled or answered */
    struct h2 *h2;     /* in CONN_H2 */
    struct conn *dirty_prev, *dirty_next;
    enum conn_state state;
    enum conn_proto proto;
    int fd;              /* until the loop has it */
    size_t preface_n;    /* bytes that agree with the preface of HTTP/2 so far */
    int64_t deadline_ms; /* loop time; what passes then depends on the state */
    char *ahead;         /* read while busy */
    size_t ahead_at, ahead_n, ahead_cap;
    size_t write_left, lingered;
    bool reading, eof, consuming, close_after;
    bool dirty;   /* HTTP/2: the session has something to write */
    bool writing; /* and a write is on its way */
    char remote[46];
};

struct request {
    struct http_req req; /* first: http_reply casts back */
    struct http_loop *hl;
    struct conn *conn; /* NULL: gone */
    struct h1 *h1;
    struct h2_stream *h2;        /* NULL: HTTP/1 */
    struct request *prev, *next; /* among those that are not spare */
    uint64_t reserved;           /* of the bound on bodies */
    uint64_t queued;             /* of the bound on replies */
    uv_write_t write;
    bool keep_alive, http10, head_only;
    bool dispatched; /* the handler owes a reply */
    bool streams;    /* http_stream_start was called, http_stream_end is owed */
    bool bodiless;   /* this streaming reply has no body */
    bool stuffed;    /* http_stream_write said false, on_room is owed */
    bool notified;   /* on_gone was called */
};

struct http_loop {
    struct http_server *server;
    struct loop *loop;
    pthread_t thread;
    struct conn *conns;
    struct request *requests; /* in use */
    struct request *spare;
    size_t spare_n;
    size_t full_n; /* connections in CONN_FULL */
    uv_timer_t sweep;
    uv_idle_t flush;                 /* active while a session has something to write */
    struct conn *dirty, *dirty_last; /* those, in the order they were woken */
    size_t dirty_n;
    bool sweeping, draining, stopping;
    struct loop_msg drain_msg, stop_msg;
    char *in;          /* read buffer of all connections */
    struct buf out;    /* where replies are put together */
    struct buf out_h2; /* and frames */
    int64_t date_s;
    char date[32];
};

struct http_server {
    struct http_server_opts o;
    struct h1_limits h1;
    struct http_loop *loops;
    int64_t sweep_ms;
    int fd, port;
    unsigned turn; /* acceptor: whose connection is next */
    uv_poll_t accept;
    uv_timer_t accept_pause;
    bool accepting; /* acceptor: its handles are open */
    bool draining;  /* for http_server_drain alone */
    atomic_size_t busy, connections;
    atomic_uint_fast64_t bodies, replies;
};

/* server.c: a loop that does not run yet. */
void http_loop_init(struct http_server *s, struct http_loop *hl);
/* Frees its requests and its loop; the handles are closed. */
void http_loop_done(struct http_loop *hl);

/* request.c: a request of this connection, from the spare ones. */
struct request *request_new(struct http_loop *hl, struct conn *conn);
/* Gives it back, with its share of the bound on bodies. */
void request_free(struct request *r);
void request_free_spare(struct http_loop *hl);
/* Copies what the handler sees out of the parsed head. */
void request_take_head(struct request *r);
/* Reserves room for the body as far as it is known; false when the bound is reached. */
bool request_reserve(struct request *r);
/* Reserves up to total bytes in all, or nothing. */
bool request_reserve_to(struct request *r, uint64_t total);
void request_unreserve(struct request *r, uint64_t n);
/* Calls on_gone, once; gone or half_closed is set. */
void request_notify(struct request *r);
/* The handler gets it and owes a reply. */
void request_dispatch(struct request *r);
/* The reply was given. */
void request_answered(struct request *r);

/* reply.c: writes the head of the reply into b, and the body behind it when that is cheap; the rest
 * of the body is returned. */
str_t reply_render(struct http_loop *hl, const struct request *r, const struct http_res *res,
                   bool close, struct buf *b);
/* The head of a streaming reply. */
void reply_render_stream(struct http_loop *hl, const struct request *r, const struct http_res *res,
                         bool close, struct buf *b);
/* The value of the Date header now. */
str_t reply_date(struct http_loop *hl);
/* False for a field that could end its line: it would let a payload write headers. */
bool reply_header_ok(const struct http_header *h);
/* The body of an error that never reached the handler. */
str_t reply_error_body(const struct http_server *s, struct arena *a, int status,
                       const char *detail);

/* conn.c: makes a connection out of an accepted socket, on the acceptor's thread; its loop gets it
 * by msg. */
struct conn *conn_new(struct http_loop *hl, int fd, const char *remote);
/* Frees one that never reached its loop. */
void conn_drop(struct conn *conn);
void conn_close(struct conn *conn);
/* Loop time. */
int64_t conn_now(const struct conn *conn);
const struct http_limits *conn_limits(const struct conn *conn);
void conn_set(struct conn *conn, enum conn_state state, int64_t timeout_ms);
void conn_read(struct conn *conn, bool on);
/* The reply is with the kernel: the next request, or the end of the connection. */
void conn_sent(struct conn *conn);
/* After the last reply: shuts our side, throws away what comes for a while, closes. */
void conn_linger(struct conn *conn);
/* Closes what is idle, tells the rest that no more requests are taken. */
void conn_drain(struct conn *conn);
/* What passed its deadline is answered or closed. */
void conn_sweep(struct http_loop *hl);

/* stream.c: a streaming reply of HTTP/1 whose client has not read for too long. */
void stream_expired(struct conn *conn);
