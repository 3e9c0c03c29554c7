/* What one call or one job turn knows: first argument from api down to db. There are no other
 * globals than tables and metrics. A context belongs to the thread that runs the call. */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/rng.h"
#include "base/str.h"

struct db_tx;
struct call;
struct principal;
struct signal_list;
struct buf;

struct err_detail {
    err_t code;
    char text[512]; /* NUL-terminated, UTF-8, shown to the client */
};

struct ctx {
    struct arena *arena;
    const struct clock *clock;
    struct rng *rng;
    struct id_gen *ids;
    int64_t now_ms;      /* time of the batch or read: one value for one transaction */
    int64_t deadline_ms; /* 0: none */
    int64_t env;         /* environment key; bound as $env in every statement */
    const struct principal *who;
    struct db_tx *tx;            /* the open transaction */
    struct call *call;           /* the call that runs, NULL outside txn */
    struct signal_list *signals; /* what happens after the commit */
    void *batch; /* shared by the calls of one transaction: messages, counters (svc) */
    void *app;   /* the process's services, struct app of svc/app.h */
    struct err_detail err;
};

/* Sets code and detail and returns the code: return err_set(c, ERR_NOT_FOUND, "run %s ...", id). */
err_t err_set(struct ctx *c, err_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The detail of e, or a general text when none was set. */
str_t err_text(const struct ctx *c, err_t e);
/* The next id. */
int64_t ctx_id(struct ctx *c);
