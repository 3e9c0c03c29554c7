/* An HTTP client for calls that we make to others: thousands at a time on one loop, over libcurl's
 * multi interface. Connections are kept and reused; redirects are not
 * followed; a proxy of the environment is not used, because it would see past the address policy.
 *
 * Address policy: link-local addresses (169.254.0.0/16, fe80::/10) and fd00:ec2::254 are refused,
 * because cloud machines find their credentials there. It is checked when a connection is made,
 * after names were resolved. Everything else is allowed: endpoints live in private networks. */
#pragma once

#include "base/ctx.h"
#include "http/req.h"
#include "rt/loop.h"

#define OUTBOUND_REPLY_MAX ((size_t)4 << 20)

struct outbound;

enum outbound_end {
    OUTBOUND_REPLY, /* a whole reply came: status and reply are set */
    OUTBOUND_TIMEOUT,
    OUTBOUND_CONNECT,   /* no connection: refused, unreachable, unknown host, TLS */
    OUTBOUND_BROKEN,    /* the connection ended too early, or what came is not HTTP */
    OUTBOUND_TOO_LARGE, /* the reply passes OUTBOUND_REPLY_MAX */
    OUTBOUND_REFUSED,   /* by the address policy */
    OUTBOUND_UNUSABLE,  /* not a URL that can be called */
    OUTBOUND_STOPPED    /* by us */
};

/* A POST, embedded in what it belongs to, which keeps everything alive until done. */
struct outbound_req {
    const char *url;
    str_t body;
    const struct http_header *headers;
    size_t headers_n;
    int64_t timeout_ms;  /* of the whole call */
    struct arena *arena; /* the reply goes there */
    void (*done)(struct outbound_req *r);
    enum outbound_end end;
    int status;
    str_t reply;
    str_t why; /* for people, when no reply came; in the arena */
    struct outbound_call *call;
};

/* All on the loop's thread. ERR_UNAVAILABLE when libcurl cannot be loaded. */
NODISCARD err_t outbound_new(struct ctx *c, struct loop *loop, struct outbound **out);
/* Sends; done is called exactly once, never from here. */
void outbound_send(struct outbound *o, struct outbound_req *r);
/* Ends what is under way with OUTBOUND_STOPPED and frees; the loop must run once more for its
 * handles to close. NULL is allowed. */
void outbound_free(struct outbound *o);
/* False for addresses that the policy refuses. */
struct sockaddr;
bool outbound_address_allowed(const struct sockaddr *address);
