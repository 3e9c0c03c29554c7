/* A blocking HTTP client for the CLI, over libcurl. */
#pragma once

#include "base/ctx.h"
#include "http/req.h"

struct http_client;

struct http_client_req {
    const char *method; /* "GET" */
    str_t url;
    const struct http_header *headers;
    size_t headers_n;
    str_t body;
    int64_t timeout_ms;
};

struct http_client_res {
    int status;
    str_t type, body; /* in the arena of the context */
};

/* ERR_UNAVAILABLE when libcurl cannot be loaded. */
NODISCARD err_t http_client_new(struct ctx *c, struct http_client **out);
/* NULL is allowed. */
void http_client_free(struct http_client *h);
/* Sends and waits at most timeout_ms. A reply with any status is ERR_OK; ERR_UNAVAILABLE with a
 * detail for people ("cannot reach http://...: connection refused") when none came, ERR_DEADLINE on
 * time-out, ERR_INVALID when the URL or a header cannot be sent. */
NODISCARD err_t http_client_send(struct ctx *c, struct http_client *h,
                                 const struct http_client_req *req, struct http_client_res *out);
