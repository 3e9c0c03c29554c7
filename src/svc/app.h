/* The process's services: what every use case may reach through c->app. Made once by main. */
#pragma once

#include "base/ctx.h"
#include "db/db.h"

struct txn;
struct registry_cache;
struct access_cache;
struct meters;

/* Where the log goes on. SQLite: read at the first write, then the writer thread's. Otherwise
 * unused: the relay looks into the table. */
struct log_tail {
    int64_t next_pos; /* 0: not read yet */
    int64_t end_bytes;
};

struct app {
    enum db_kind db_kind;
    struct log_tail log; /* svc/batch.c */
    struct txn *txn;
    struct registry_cache *registry; /* svc/registry.h */
    struct access_cache *access;     /* svc/access.h */
    struct meters *meters;           /* svc/meters.h; NULL: metrics are off */
    bool dev;                        /* no authentication */
    /* for tests: messages of events whose names begin so are refused; empty: none */
    str_t refused_events;
    int64_t outbox_backoff_ms; /* between the first tries of a refused message; 1,000 */
    int64_t started_at;
    str_t node_id;
    int64_t lease_ms;        /* an acknowledged job; 90,000 */
    int64_t lease_claim_ms;  /* one not yet acknowledged; 30,000 */
    int64_t grace_ms;        /* after an expired lease; 30,000 */
    int64_t poll_hold_ms;    /* a poll is held; 20,000 */
    int64_t worker_ttl_ms;   /* without a sign of life; 90,000 */
    int64_t leases_epoch;    /* svc/upkeep.c: the clock's, whose jump the leases have got over */
    int64_t push_timeout_ms; /* a whole push request; 10,000 */
    int64_t push_stale_ms;   /* a push run without an outcome is sent again; 120,000 */
    int64_t breaker_open_ms; /* how long a circuit breaker stays open; 60,000 */
    str_t signing_key;       /* of push requests; empty: they are not signed */
};

static inline struct app *app_of(const struct ctx *c)
{
    return (struct app *)c->app;
}
