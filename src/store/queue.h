/* Rows of the queue: one for every open run. This row is the root of a run: a change reads it
 * first. */
#pragma once

#include "engine/types.h"

NODISCARD err_t store_queue_add(struct ctx *c, const struct job *job);
/* Locks the row where there are several writers. *found is false when the run is not open. */
NODISCARD err_t store_queue_get(struct ctx *c, int64_t run_id, struct job *out, bool *found);
/* The same for a reader: locks nothing. */
NODISCARD err_t store_queue_peek(struct ctx *c, int64_t run_id, struct job *out, bool *found);
NODISCARD err_t store_queue_put(struct ctx *c, const struct job *job);
NODISCARD err_t store_queue_del(struct ctx *c, int64_t run_id);
/* An ack in one statement: writes the lease if the segment is claimed by this fence; else *done is
 * false and the caller must look why. */
NODISCARD err_t store_queue_ack(struct ctx *c, int64_t run_id, int64_t execution_seq, int64_t token,
                                int64_t lease_until, bool *done);
/* Up to limit ready jobs of a function, oldest first; locked, without those locked by others.
 * bound: those that only this worker may take, 0: those that any may. */
NODISCARD err_t store_queue_ready(struct ctx *c, int64_t fn, int64_t bound, int64_t limit,
                                  struct job **jobs, size_t *n);
/* Writes state, waits, holds and bound. */
NODISCARD err_t store_queue_flow(struct ctx *c, const struct job *job);
/* Jobs that a worker holds: counted up to max, or listed (locked). */
NODISCARD err_t store_queue_held_count(struct ctx *c, int64_t worker, int64_t max, int64_t *out);
NODISCARD err_t store_queue_held(struct ctx *c, int64_t worker, int64_t limit, struct job **jobs,
                                 size_t *n);
/* When the youngest of them was claimed, or acknowledged, as its lease of that length tells; those
 * whose lease was renewed do not count. 0: none does. */
NODISCARD err_t store_queue_held_since(struct ctx *c, int64_t worker, int64_t claim_ms,
                                       int64_t lease_ms, int64_t *out);
/* Sets the leases, of acknowledged jobs or of others, that would end in [from, to); n: how many. */
NODISCARD err_t store_queue_lease(struct ctx *c, bool acked, int64_t from, int64_t to,
                                  int64_t until, int64_t *n);
/* Claimed jobs of every environment whose lease ran out before now; envs beside them. */
NODISCARD err_t store_queue_expired(struct ctx *c, int64_t now_ms, int64_t limit, int64_t **run_ids,
                                    int64_t **envs, size_t *n);
