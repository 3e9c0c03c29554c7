/* Circuit breakers as operators see them. */
#pragma once

#include "engine/breaker.h"

struct breaker_view {
    str_t function_id;
    struct breaker b; /* state as of now: one whose time is up is half-open */
};
/* READ. Those of c->env, in order of function and endpoint. */
NODISCARD err_t svc_breaker_list(struct ctx *c, struct breaker_view **out, size_t *n);
/* READ. Those of every environment, for the metrics. */
NODISCARD err_t svc_breaker_list_all(struct ctx *c, struct breaker_view **out, size_t *n);
/* WRITE. key: "<function id>|<endpoint>". Closes it and lets the runs go that it held back.
 * ERR_NOT_FOUND. */
NODISCARD err_t svc_breaker_reset(struct ctx *c, str_t key);
