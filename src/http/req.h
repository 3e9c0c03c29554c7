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
    str_t body;   /* whole, chunks joined */
    struct http_header *headers;
    size_t headers_n;
    str_t remote;     /* "127.0.0.1" */
    bool gone;        /* the connection is dead; the reply will be dropped */
    bool half_closed; /* the client sends no more; it may be dead or still read the reply */
    void *user;       /* the handler's */
    /* Set by the handler. Called at most once, when gone or half_closed becomes true while the
     * reply is owed: what merely waits should end (a killed client looks like a half-closed one),
     * what runs should go on. http_reply is still owed afterwards and may be called from here. */
    void (*on_gone)(struct http_req *req);
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
