/* The listener: one port, several loop threads, HTTP/1.1 and HTTP/2 with prior knowledge. The first
 * bytes of a connection choose the protocol, in http/conn; WebSocket will join there. */
#pragma once

#include "base/ctx.h"
#include "http/req.h"

struct http_server;

struct http_limits {
    size_t
        header_bytes_max; /* request line and headers; default 64 KiB; 431, URL alone 16 KiB: 414 */
    size_t body_bytes_max;    /* default 4 MiB; 413 */
    size_t bodies_bytes_max;  /* all bodies in flight; default 256 MiB; above it nobody is read */
    size_t replies_bytes_max; /* that clients are slow to read; default 256 MiB; large: 503 */
    int64_t header_ms;        /* to send a head; default 10 s; 408 */
    int64_t body_ms;          /* for a body, and 1 ms more a byte; default 30 s; 408 */
    int64_t idle_ms;          /* between requests; default 120 s */
    int64_t write_ms;         /* a client that does not read; default 30 s */
    size_t connections_max;   /* default 20,000 */
    size_t streams_max;       /* HTTP/2: requests of a connection at once; default 256 */
    size_t window_bytes;      /* HTTP/2: of a body ahead of its reader; default 256 KiB */
};

struct http_server_opts {
    const char *host;          /* "0.0.0.0" */
    int port;                  /* 0: any */
    int loops;                 /* loop threads */
    struct http_limits limits; /* zero members take their default */
    /* A whole request has arrived; runs on req->loop. It must lead to one http_reply. */
    void (*handler)(struct http_req *req, void *arg);
    void *arg;
    /* Optional, when a head is complete: shall the handler have this request before its body, which
     * then comes through on_data and has no limit but its window? */
    bool (*wants_stream)(const struct http_req *head, void *arg);
    /* Errors that never reach the handler (400, 408, 413, 414, 431, 503): the body to send. */
    str_t (*error_body)(struct arena *a, int status, const char *detail);
};

/* Binds and starts the loops. ERR_UNAVAILABLE with a detail that names the port. */
NODISCARD err_t http_server_start(struct ctx *c, const struct http_server_opts *o,
                                  struct http_server **out);
int http_server_port(const struct http_server *s);
/* Stops accepting; idle connections close, busy ones after their reply. */
void http_server_drain(struct http_server *s);
/* Requests that have no reply yet. Any thread. */
size_t http_server_busy(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);
/* Closes everything and joins the threads. Requests that are still owed a reply are told (on_gone)
 * and freed: nobody may use them or reply any more, so whoever runs calls for them is stopped
 * before. NULL is allowed. */
void http_server_stop(struct http_server *s);
