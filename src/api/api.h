/* The HTTP face of the program: from a request to a use case and back. main makes one and hands its
 * handler to the server; everything else here is private to this folder. */
#pragma once

#include "http/req.h"
#include "svc/app.h"

struct api;

struct api_opts {
    struct app *app; /* with txn set */
    bool metrics;    /* GET /metrics answers */
};

/* Builds the router. The tables are ours, so a mistake in them aborts. */
struct api *api_new(const struct api_opts *o);
void api_free(struct api *api);
/* http_server_opts.handler; arg is the struct api. */
void api_handle(struct http_req *req, void *arg);
/* http_server_opts.wants_stream: streaming RPCs. */
bool api_wants_stream(const struct http_req *head, void *arg);
/* http_server_opts.error_body: errors of requests that never reached the handler. */
str_t api_error_body(struct arena *a, int status, const char *detail);
/* The server is going down: /ready answers 503 from now on, polls that are held end with an empty
 * answer. Any thread, once. */
void api_drain(struct api *api);
