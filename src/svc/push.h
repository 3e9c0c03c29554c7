/* Push mode: runs are claimed like those of workers, sent to an endpoint by jobs/push, and what
 * came back is a fenced report (spec engine-push). */
#pragma once

#include "svc/workers.h"

struct push_target {
    int64_t fn, env;
};
/* READ, over all environments: the functions that a dispatcher serves. */
NODISCARD err_t svc_push_targets(struct ctx *c, struct push_target **out, size_t *n);

struct push_claims {
    struct claim *claims;
    size_t n;
    str_t endpoint;
    bool gone; /* it is no push function any more */
};
/* WRITE that parks: claims up to room ready runs of the function in c->env, oldest first, as far as
 * its circuit breaker lets them, and pauses those that an operator has flagged; without either it
 * parks on SIG_RUN_READY. `key` is the function key and must outlive the call. */
NODISCARD err_t svc_push_claim(struct ctx *c, const int64_t *key, int64_t room,
                               struct push_claims *out);

struct push_outcome {
    int64_t fn;
    struct job job; /* as it was claimed */
    str_t endpoint;
    bool answered; /* a valid answer of the function; else report is the transport's failure */
    bool unsent;   /* there was no request: the breaker learns nothing */
    struct report report; /* without fence */
};
/* WRITE. The report and what the breaker learns. An outcome that comes too late (the run was
 * cancelled, or sent again) is dropped. ERR_INVALID: the answer was none; nothing was written. */
NODISCARD err_t svc_push_report(struct ctx *c, const struct push_outcome *in);

/* WRITE. A slice of what an earlier process had sent: ready again. *more is false when
 * there was nothing. */
NODISCARD err_t svc_push_recover(struct ctx *c, bool *more);

/* In a change of a function: dispatchers look again. */
void push_function_changed(struct ctx *c, const struct function *f);
