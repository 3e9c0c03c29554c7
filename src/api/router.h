/* From method and path to an endpoint: exact paths by one map, paths with parameters by a tree of
 * segments. Built once; read by any thread. */
#pragma once

#include "api/routes.h"
#include "codec/proto.h"

enum { API_PARAMS_MAX = 4 };

enum api_method {
    METHOD_GET,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_HEAD,
    METHOD_OPTIONS,
    METHOD_COUNT
};

/* A row of the table, or an RPC that has none, ready to serve. */
struct endpoint {
    const struct route *route;
    const struct pb_rpc *rpc; /* NULL on REST */
    const struct pb_message *in, *out;
    str_t params[API_PARAMS_MAX]; /* names */
    size_t params_n;
    size_t index; /* in the order of the table */
};

struct router;

struct router *router_new(void);
void router_free(struct router *r);
/* METHOD_COUNT when unknown. */
enum api_method router_method(str_t method);
const char *router_method_name(enum api_method m);

struct route_match {
    const struct endpoint *ep;    /* NULL: nothing there, or not with this method */
    unsigned allow;               /* bits of the methods that the path has; 0: unknown path */
    bool open;                    /* the path is public, with whatever method */
    str_t params[API_PARAMS_MAX]; /* as sent, still escaped */
};
/* Looks a path up (without query, as sent). */
void router_find(const struct router *r, enum api_method m, str_t path, struct route_match *out);
/* All endpoints in the order of the table. */
const struct endpoint *router_at(const struct router *r, size_t i);
size_t router_count(const struct router *r);
