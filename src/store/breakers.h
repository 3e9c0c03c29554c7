/* Rows of breakers, and what push dispatch looks up across environments. */
#pragma once

#include "engine/breaker.h"

/* A closed one when there is no row. lock: the row, if any, is about to be written. */
NODISCARD err_t store_breaker_get(struct ctx *c, int64_t fn, str_t endpoint, bool lock,
                                  struct breaker *out);
/* Makes the row when there is none, so that the first failures of several nodes meet at its lock.
 */
NODISCARD err_t store_breaker_lock(struct ctx *c, int64_t fn, str_t endpoint, struct breaker *out);
/* Adds or writes. */
NODISCARD err_t store_breaker_put(struct ctx *c, const struct breaker *b);
/* Those of the environment, or of all when c->env is 0; in order of function and endpoint. */
NODISCARD err_t store_breaker_list(struct ctx *c, int64_t limit, struct breaker **out, size_t *n);
/* Forgets up to limit that did not change since before. */
NODISCARD err_t store_breaker_expire(struct ctx *c, int64_t before, int64_t limit, int64_t *n);

/* Push functions of every environment that are not deleted. */
NODISCARD err_t store_push_functions(struct ctx *c, int64_t **fns, int64_t **envs, size_t *n);
/* Claimed jobs of a holder in every environment; envs beside them. */
NODISCARD err_t store_push_held(struct ctx *c, int64_t holder, int64_t limit, int64_t **run_ids,
                                int64_t **envs, size_t *n);
