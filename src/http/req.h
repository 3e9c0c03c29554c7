/* One request as everybody above sees it, whatever protocol it came in, and the reply to it. A request
 * belongs to its loop's thread, except that the call made from it may use its arena until it answers. */
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
    str_t method;       /* "GET" */
    str_t path;         /* as sent, without the query */
    str_t query;        /* without '?' */
    str_t body;         /* whole, chunks joined */
    struct http_header *headers;
    size_t headers_n;
    str_t remote;       /* "127.0.0.1" */
    bool gone;          /* the client went away; the reply will be dropped */
    void *user;         /* the handler's */
    void (*on_gone)(struct http_req *req); /* set by the handler; called once, before it is freed */
};

/* Value of a header by lower-case name; empty view when absent. */
str_t http_header(const struct http_req *req, str_t name);

struct http_res {
    int status;
    str_t type;                   /* content type; empty: none */
    str_t body;                   /* lives in req->arena */
    const struct http_header *headers; /* further ones, in req->arena or static */
    size_t headers_n;
};

/* Answers and gives the request up. On req->loop's thread, exactly once per request, also when the
 * client is gone. True when the bytes were handed to a living connection. */
bool http_reply(struct http_req *req, const struct http_res *res);
