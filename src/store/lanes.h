/* Rows of lanes, and the part of the queue that waits in them. */
#pragma once

#include "engine/lane.h"

/* The row, locked; made when there is none. ERR_RETRY when it went away meanwhile. */
NODISCARD err_t store_lane_lock(struct ctx *c, int64_t fn, int64_t key, struct lane *out);
/* Writes it, or deletes one that nobody needs. */
NODISCARD err_t store_lane_put(struct ctx *c, const struct lane *l);
/* The first of those who wait; locked, without those locked by others. */
NODISCARD err_t store_lane_waiters(struct ctx *c, const struct lane *l, int64_t limit,
                                   struct job **jobs, size_t *n);
/* Lanes of all environments with room for some who wait; envs beside them. */
NODISCARD err_t store_lane_open(struct ctx *c, int64_t limit, struct lane **out, int64_t **envs,
                                size_t *n);
/* Gives lanes of a function in which somebody waits, up to limit, another cap: those of one kind
 * that have a different one. *changed says how many. */
NODISCARD err_t store_lane_recap(struct ctx *c, int64_t fn, enum lane_kind kind, int64_t cap,
                                 int64_t limit, int64_t *changed);
/* A worker is gone: up to limit of its actors lose their owner, and of its ready runs their bond.
 * *changed says how many; fns holds the functions of those runs. */
NODISCARD err_t store_lane_disown(struct ctx *c, int64_t worker, int64_t limit, int64_t *changed);
NODISCARD err_t store_queue_unbind(struct ctx *c, int64_t worker, int64_t limit, int64_t **fns,
                                   size_t *n);
/* Ready runs of a function that are bound to a worker lose their bond. */
NODISCARD err_t store_queue_unbind_fn(struct ctx *c, int64_t fn, int64_t limit, int64_t *changed);

/* Functions whose limits changed. */
NODISCARD err_t store_flow_change_add(struct ctx *c, int64_t fn);
NODISCARD err_t store_flow_change_first(struct ctx *c, int64_t *fn, int64_t *env, bool *found);
NODISCARD err_t store_flow_change_del(struct ctx *c, int64_t fn);
