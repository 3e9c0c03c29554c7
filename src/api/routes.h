/* The table of everything that is served. From its rows come the router, the authorization check,
 * /api/v1/routes and the labels of the metrics. */
#pragma once

#include "base/ctx.h"
#include "codec/proto.h"

struct api_call;

enum route_kind {
    ROUTE_LOCAL, /* needs no transaction */
    ROUTE_READ,
    ROUTE_WRITE
};

enum route_flag {
    ROUTE_PUBLIC = 1, /* needs no credential */
    ROUTE_BOTH = 2,   /* REST answer in both spellings */
    ROUTE_HEAD = 4,   /* HEAD is allowed, and nobody may cache the answer */
    ROUTE_HELD = 8,   /* a poll that waits; ends early when the server drains */
    ROUTE_PROBE = 16, /* answers also when the database does not */
    ROUTE_SLASH = 32  /* the path may end with a slash: an empty last segment */
};

struct route {
    const char *method, *path; /* "{id}" is one segment, "{key...}" the rest of the path */
    /* Fills a->out from a->in; NULL: part of the mission, not of this release. */
    err_t (*run)(struct ctx *c, struct api_call *a);
    enum route_kind kind;
    unsigned flags;
    const char *action;                /* permission; "": any caller */
    const struct pb_message *in, *out; /* REST only; RPCs have theirs from the .proto */
    const char *name, *group;          /* REST only: manifest */
};

extern const struct route routes[];
extern const size_t routes_n;
/* Rows for RPCs that have no row of their own, and for paths and methods that nobody serves. */
extern const struct route route_rpc_unbuilt, route_unknown;
