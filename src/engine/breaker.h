/* Circuit breakers: one for each push function and endpoint. Pure rules; five transport failures in
 * a row open it, after a minute one call may try. */
#pragma once

#include "engine/sm.h"

#define BREAKER_FAILURES 5
#define BREAKER_OPEN_MS 60000
#define BREAKER_KEPT_MS ((int64_t)24 * 3600 * 1000)

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
extern const struct sm breaker_sm;

struct breaker {
    int64_t fn, endpoint_hash, env;
    str_t endpoint;
    enum breaker_state state;
    int64_t failures; /* in a row */
    int64_t last_failure;
    int64_t until; /* open: may be tried then; half-open: the probe is given up then */
    int64_t probe; /* half-open: run that tries */
    int64_t updated_at;
};

enum breaker_answer { BREAKER_ADMITS, BREAKER_PROBES, BREAKER_REFUSES };

/* May a call be made now? BREAKER_PROBES: one, which must be noted with breaker_probe;
 * BREAKER_REFUSES: not before b->until. */
enum breaker_answer breaker_ask(const struct breaker *b, int64_t now_ms);
/* This run's call is the probe; it is given up at until. */
NODISCARD err_t breaker_probe(struct ctx *c, struct breaker *b, int64_t run_id, int64_t until);
/* A call for run_id ended; ok: with an answer of the function. open_ms: how long it stays open.
 * *changed: the row must be written; *wakes: who waits for it must look again. */
NODISCARD err_t breaker_result(struct ctx *c, struct breaker *b, int64_t run_id, bool ok,
                               int64_t open_ms, bool *changed, bool *wakes);
/* Closes it whatever it says. */
NODISCARD err_t breaker_reset(struct ctx *c, struct breaker *b);
