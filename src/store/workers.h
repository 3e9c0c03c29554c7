/* Rows of workers: registrations, shared by all nodes. */
#pragma once

#include "engine/types.h"

/* Key of a worker: hash of the context's environment and the id; never 0. */
int64_t store_worker_key(const struct ctx *c, str_t id);
/* By id. *found is false when it is not registered. */
NODISCARD err_t store_worker_get(struct ctx *c, str_t id, struct worker *out, bool *found);
/* Adds or replaces; registered_at of a known one stays. */
NODISCARD err_t store_worker_put(struct ctx *c, const struct worker *w);
/* It gave a sign of life: so it is well. */
NODISCARD err_t store_worker_seen(struct ctx *c, int64_t key, int64_t now_ms);
NODISCARD err_t store_worker_drains(struct ctx *c, int64_t key);
/* It was not seen since before_ms; *now is false when that was known, or is not so. */
NODISCARD err_t store_worker_sickens(struct ctx *c, int64_t key, int64_t before_ms, bool *now);
/* Of the environment, by id. */
NODISCARD err_t store_worker_list(struct ctx *c, struct worker **out, size_t *n);

struct worker_stale {
    int64_t env, key;
    str_t id;
    int64_t health;
};
/* Of every environment, not seen since before_ms, and without these bits of health. */
NODISCARD err_t store_worker_stale(struct ctx *c, int64_t before_ms, int64_t without, int64_t limit,
                                   struct worker_stale **out, size_t *n);
/* Deletes it if it was not seen meanwhile; *gone tells. */
NODISCARD err_t store_worker_evict(struct ctx *c, int64_t key, int64_t before_ms, bool *gone);
/* Deletes it if this stream registered it last; *gone tells. */
NODISCARD err_t store_worker_leave(struct ctx *c, int64_t key, int64_t session, bool *gone);
