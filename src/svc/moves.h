/* The one place where a decision of engine/run is written: rows, timer, message, counters, signals.
 */
#pragma once

#include "engine/run.h"

/* Locks the queue row of a run, then reads the run; *open is false for one that has ended.
 * ERR_NOT_FOUND; ERR_RETRY when it was resumed between the two looks. */
NODISCARD err_t run_lock(struct ctx *c, int64_t id, struct run *run, struct job *job, bool *open);

/* Writes a move of a run whose row was loaded whole; note: reason of a cancel or empty. */
NODISCARD err_t run_moved(struct ctx *c, const struct run *run, const struct job *job,
                          const struct run_move *m, str_t note);
/* What the end of a run means for others, watch being that of its job: its rows in waits go, and
 * the step that waits for it goes on. run_moved does it by itself. */
NODISCARD err_t run_ended_follow(struct ctx *c, int64_t run_id, int64_t watch);
/* The same for moves that leave status word and segment but no payload behind, when the run was not
 * loaded: it became running (revived) or ended as completed. */
NODISCARD err_t run_moved_light(struct ctx *c, const struct run *run, const struct job *job,
                                const struct run_move *m);
