/* The one place where a decision of engine/run is written: rows, timer, message, counters, signals.
 */
#pragma once

#include "engine/run.h"

/* Writes a move of a run whose row was loaded whole; note: reason of a cancel or empty. */
NODISCARD err_t run_moved(struct ctx *c, const struct run *run, const struct job *job,
                          const struct run_move *m, str_t note);
/* The same for moves that leave status word and segment but no payload behind, when the run was not
 * loaded: it became running (revived) or ended as completed. */
NODISCARD err_t run_moved_light(struct ctx *c, const struct run *run, const struct job *job,
                                const struct run_move *m);
