/* One request on its way through a use case: what a handler sees. It lives in the request's arena
 * and belongs to the loop thread, except while txn runs it. */
#pragma once

#include "api/api.h"
#include "api/router.h"
#include "proto/ironflow.h"
#include "svc/access.h"
#include "txn/txn.h"

/* The headers and query parameters that mean something to us; empty views where absent. */
struct api_head {
    str_t authorization, content_type, content_encoding, environment, run_id, origin, cookie;
    str_t timeout_ms, protocol_version, idempotency_key, preflight;
};

struct api_call {
    struct call call; /* call.arg is this */
    struct http_req *req;
    struct api *api;
    const struct endpoint *ep;
    struct api_head head;
    struct route_match match;
    unsigned allow;               /* methods of the path */
    str_t params[API_PARAMS_MAX]; /* decoded path parameters in order */

    const void *in; /* decoded, laid out as ep->in; NULL when the route has none */
    void *out;      /* laid out as out_desc, cleared before the handler runs */
    const struct pb_message *out_desc; /* ep->out, unless the handler chose another */
    int status;                        /* of a success; 0: the route's */
    str_t text;                        /* instead of out: a body as it is, of type text_type */
    str_t text_type;
    void *state;          /* the handler's, between its phases */
    const str_t *emitted; /* names of the events that the call stores, for the metrics */
    size_t emitted_n;
    const char *kept;    /* what is stored when the deadline ends the wait that follows, or NULL */
    const char *log_msg; /* a line for the log once the call's work is kept, or NULL */
    const char *log_fields;

    struct stream *stream; /* of a streaming RPC */
    bool rpc;              /* Connect: its errors, its JSON */
    bool strict;           /* a generated client */
    bool binary;           /* application/proto */
    bool resolve;          /* the credentials are resolved in the transaction */
    bool drained;          /* a held poll that ends because the server does */
    struct credentials cred;
    err_t early; /* found while decoding, told only to those with a credential */
    const char *early_text;
    int64_t arrived_ms, arrived_ns;
    struct api_call *prev, *next; /* held polls of the loop */
};

/* A path parameter by its name in the pattern; empty view when there is none. */
str_t api_param(const struct api_call *a, const char *name);
/* A query parameter, decoded; false when absent or malformed. */
bool api_query(struct ctx *c, const struct api_call *a, str_t name, str_t *out);
/* Positive *value, or def when it is 0; ERR_INVALID names the field when it is negative. At most
 * max. */
NODISCARD err_t api_limit(struct ctx *c, const char *field, int64_t value, int64_t def, int64_t max,
                          int64_t *out);
/* The api_call that runs; inside a phase entered by txn_next. */
static inline struct api_call *api_call_of(struct ctx *c)
{
    return (struct api_call *)c->call->arg;
}
