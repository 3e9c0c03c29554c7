/* One request as everybody above sees it, whatever protocol it came in, and the reply to it. A
 * request belongs to its loop's thread, except that the call made from it may use its arena until
 * it answers. */
#pragma once

#include "base/arena.h"
#include "base/str.h"
#include "rt/loop.h"

struct http_header {
    str_t name; /* lower case */
    str_t value;
};

struct http_req {
    struct arena arena; /* lives until the reply is written */
    struct loop *loop;
    str_t method; /* "GET" */
    str_t path;   /* as sent, without the query */
    str_t query;  /* without '?' */
    str_t body;   /* whole, chunks joined; empty when streaming */
    struct http_header *headers;
    size_t headers_n;
    str_t remote;     /* "127.0.0.1" */
    bool gone;        /* the connection is dead; the reply will be dropped */
    bool half_closed; /* the client sends no more; it may be dead or still read the reply */
    bool streaming;   /* wants_stream said so: the body goes to on_data */
    void *user;       /* the handler's */
    /* Set by the handler. Called at most once, when gone or half_closed becomes true while the
     * reply is owed, or behind the handler when it was true before: what merely waits should end (a
     * killed client looks like a half-closed one), what runs should go on. http_reply is still owed
     * afterwards and may be called from here. */
    void (*on_gone)(struct http_req *req);
    /* Set by the handler of a streaming request before it returns. Gets the body in pieces, views
     * for the time of the call; end: it is complete (the piece may be empty). Whoever takes a piece
     * gives its bytes back with http_body_consume, at once or later: the client may send a window
     * (http_limits) ahead of that and no more. Not called after the reply has ended nor when gone.
     * Over HTTP/1 the body comes in one piece, so that full duplex needs HTTP/2. */
    void (*on_data)(struct http_req *req, str_t piece, bool end);
    /* Set by whoever streams a reply: there is room again after http_stream_write said false. */
    void (*on_room)(struct http_req *req);
};

/* Value of a header by lower-case name; empty view when absent. */
str_t http_header(const struct http_req *req, str_t name);

struct http_res {
    int status;
    str_t type;                        /* content type; empty: none */
    str_t body;                        /* lives in req->arena */
    const struct http_header *headers; /* further ones, in req->arena or static */
    size_t headers_n;
};

/* Answers and gives the request up. On req->loop's thread, exactly once per request, also when the
 * client is gone. True when the bytes were handed to a connection that is alive as far as we know;
 * false when it is gone, and when it is half closed, although the bytes are then sent: whoever
 * cannot be sure that the reply was read (a claim) takes it back. Headers that contain line ends
 * are left out. */
bool http_reply(struct http_req *req, const struct http_res *res);

/* ---- streaming, over HTTP/2 in both directions at once, over HTTP/1 as a chunked reply ---- */

/* n more bytes that on_data brought are done with. */
void http_body_consume(struct http_req *req, size_t n);

/* Instead of http_reply: sends the head (res->body is not looked at) and leaves the reply open.
 * From now on http_stream_end or http_stream_abort is owed, exactly once, also when the client is
 * gone; all on req->loop's thread. False when the client is gone. */
bool http_stream_start(struct http_req *req, const struct http_res *res);
/* Copies bytes into the reply; they are sent at once. False: wait for on_room before the next ones
 * (or the client is gone). Whoever goes on all the same meets a bound, where the client is given
 * up. */
bool http_stream_write(struct http_req *req, str_t bytes);
/* Ends the reply, with trailers if there are any, and gives the request up. True as http_reply. */
bool http_stream_end(struct http_req *req, const struct http_header *trailers, size_t n);
/* Gives the request up in a way that tells the client that the reply is not whole. */
void http_stream_abort(struct http_req *req);
