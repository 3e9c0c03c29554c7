/* What operators change: the flag of a pause, a run that begins again, results of steps. */
#pragma once

#include "engine/types.h"

/* Writes the wish for a pause of a run that is open. */
NODISCARD err_t store_run_flag(struct ctx *c, const struct run *run);
/* A run that was paused or had failed says running. *done is false, and nothing happened, when its
 * row does not say `from` any more. */
NODISCARD err_t store_run_reopen(struct ctx *c, const struct run *run, enum run_status from,
                                 bool *done);
/* The sequence behind the last step; 0 for a run without steps. */
NODISCARD err_t store_step_next(struct ctx *c, int64_t run_id, int64_t *out);
/* Steps from this sequence on lose their results, which stay readable, and wait for nothing. */
NODISCARD err_t store_steps_discard(struct ctx *c, int64_t run_id, int64_t sequence);
/* Steps that wait begin anew when they are yielded again: nobody tells a run that has ended. */
NODISCARD err_t store_steps_reopen(struct ctx *c, int64_t run_id);
/* The record id of a step by its SDK id alone: looked for in the newest open and failed runs of the
 * environment, at most runs_max of each. 0: none. */
NODISCARD err_t store_step_search(struct ctx *c, str_t step_id, int64_t runs_max, int64_t *out);
/* The result of a step that an operator has given it. */
NODISCARD err_t store_step_patch(struct ctx *c, const struct step *s);
/* Entity ids of the streams that the run's events belong to, in order. */
NODISCARD err_t store_run_streams(struct ctx *c, int64_t run_id, int64_t limit, str_t **out,
                                  size_t *n);
