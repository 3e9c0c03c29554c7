/* What the files of this folder share beside the call. */
#pragma once

#include <stdatomic.h>

#include "api/call.h"

enum { API_LOOPS_MAX = 64 };

/* The polls and the streams that a loop holds. Its thread's; `loop` is set once, by that thread. */
struct held_polls {
    _Atomic(struct loop *) loop;
    struct api_call *first;
    struct stream *streams; /* open ones */
    struct loop_msg drain;
    struct api *api;
};

struct api_metrics;

struct api {
    struct app *app;
    struct router *router;
    struct endpoint unknown;     /* paths and methods that nobody serves */
    struct api_metrics *metrics; /* NULL: off */
    atomic_bool draining;
    atomic_size_t loops_n;
    atomic_size_t stream_bytes; /* that streams hold, unhandled; stream.c */
    struct held_polls loops[API_LOOPS_MAX];
};

/* call.c: what the loop of this thread holds. */
struct held_polls *api_loop_of(struct api *api, struct loop *l);

/* decode.c: from the request to a->in; ERR_INVALID, ERR_MEDIA_TYPE, ERR_UNIMPLEMENTED. */
NODISCARD err_t api_decode(struct ctx *c, struct api_call *a);
/* Connect's own headers: a->strict and the deadline. */
NODISCARD err_t api_connect_head(struct ctx *c, struct api_call *a);
/* Reads the headers that mean something. */
void api_head_read(const struct http_req *req, struct api_head *out);

/* reply.c: encodes what the call came to and gives the request up; the call is gone afterwards. */
void api_finish(struct api_call *a, err_t e);
/* The CORS headers of a reply that is not api_finish's, at most 3; their number. */
size_t api_cors(const struct api_head *head, struct http_header *out);
/* Answers a CORS preflight. */
void api_preflight(struct http_req *req, const struct api_head *head);

/* metrics.c: counters by endpoint and status; any thread. */
struct api_metrics *api_metrics_new(const struct router *r);
void api_metrics_free(struct api_metrics *m);
void api_metrics_count(struct api_metrics *m, const struct endpoint *ep, int status,
                       int64_t duration_ns);
/* Events that were stored under these names. */
void api_metrics_emitted(struct api_metrics *m, str_t env_id, const str_t *names, size_t n);
