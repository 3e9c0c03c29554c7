/* What the files of this folder share beside the call. */
#pragma once

#include <stdatomic.h>

#include "api/call.h"

enum { API_LOOPS_MAX = 64 };

/* The polls that a loop holds. Its thread's; `loop` is set once, by that thread. */
struct held_polls {
    _Atomic(struct loop *) loop;
    struct api_call *first;
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
    struct held_polls loops[API_LOOPS_MAX];
};

/* decode.c: from the request to a->in; ERR_INVALID, ERR_MEDIA_TYPE, ERR_UNIMPLEMENTED. */
NODISCARD err_t api_decode(struct ctx *c, struct api_call *a);
/* Reads the headers that mean something. */
void api_head_read(const struct http_req *req, struct api_head *out);

/* reply.c: encodes what the call came to and gives the request up; the call is gone afterwards. */
void api_finish(struct api_call *a, err_t e);
/* Answers a CORS preflight. */
void api_preflight(struct http_req *req, const struct api_head *head);

/* metrics.c: counters by endpoint and status; any thread. */
struct api_metrics *api_metrics_new(const struct router *r);
void api_metrics_free(struct api_metrics *m);
void api_metrics_count(struct api_metrics *m, const struct endpoint *ep, int status,
                       int64_t duration_ns);
/* Events that were stored under these names. */
void api_metrics_emitted(struct api_metrics *m, str_t env_id, const str_t *names, size_t n);
