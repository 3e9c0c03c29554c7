/* Rows of steps, one for every (run, step id). What is read whole has its output also when that is
 * kept in the row of an event. */
#pragma once

#include "engine/types.h"

/* Stores a new step; *added is false, and nothing happened, when the run has a row of this step id
 * (or of one with the same hash: store_step_find tells). */
NODISCARD err_t store_step_add(struct ctx *c, const struct step *s, bool *added);
/* By run and step id, without its payloads. ERR_NOT_FOUND; ERR_INVALID when another id has the
 * hash. */
NODISCARD err_t store_step_find(struct ctx *c, int64_t run_id, str_t step_id, struct step *out);
/* By record id, without its payloads. */
NODISCARD err_t store_step_head(struct ctx *c, int64_t id, struct step *out, bool *found);
/* By record id, whole. ERR_NOT_FOUND. */
NODISCARD err_t store_step_get(struct ctx *c, int64_t id, struct step *out);
/* Status, result and times of a stored step. */
NODISCARD err_t store_step_put(struct ctx *c, const struct step *s);
/* Its run failed with this invoke: a resumed one invokes anew. */
NODISCARD err_t store_step_told(struct ctx *c, int64_t id);
/* Status and end of a step whose output is the event s->event_ref. */
NODISCARD err_t store_step_event(struct ctx *c, const struct step *s);
/* Status and end, and the error when there is one; the other payloads stay. */
NODISCARD err_t store_step_status(struct ctx *c, const struct step *s);
/* Whole rows in sequence order; only those with this status, or all when it is 0. */
NODISCARD err_t store_step_list(struct ctx *c, int64_t run_id, enum step_status status,
                                struct step **out, size_t *n);
/* All steps of a run in sequence order, without payloads. */
NODISCARD err_t store_step_heads(struct ctx *c, int64_t run_id, struct step **out, size_t *n);
/* A part of a run's steps. */
struct step_range {
    int64_t limit, offset; /* limit 0: all */
    size_t bytes_max;      /* of payloads; 0: any */
};
/* Whole rows in sequence order. cut: reading ended behind the row with which they exceeded
 * bytes_max. */
NODISCARD err_t store_step_page(struct ctx *c, int64_t run_id, const struct step_range *range,
                                struct step **out, size_t *n, bool *cut);
/* Steps that have not ended, without payloads. */
NODISCARD err_t store_step_open(struct ctx *c, int64_t run_id, struct step **out, size_t *n);
