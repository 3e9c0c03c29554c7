/* What operators do: pause, look, change results, resume (spec engine-ops sections 2 to 4). A step
 * is named by its record id or by the id that its SDK gave it. */
#pragma once

#include "engine/types.h"

/* WRITE. *paused: it is paused for injection; else it will be at its next step boundary.
 * ERR_NOT_FOUND, ERR_PRECONDITION when it has ended. */
NODISCARD err_t svc_run_pause(struct ctx *c, int64_t id, bool *paused);

struct paused_state {
    struct run run;
    struct step *steps; /* that have ended, in sequence order */
    size_t steps_n;
    str_t next; /* name of the step on which it is parked, may be empty */
};
/* READ. ERR_NOT_FOUND, ERR_PRECONDITION when it is not paused for injection. */
NODISCARD err_t svc_run_paused_state(struct ctx *c, int64_t id, struct paused_state *out);

/* WRITE. Goes on with a paused or failed run, from a step on if from_step is not empty.
 * ERR_NOT_FOUND also when the step is none of the run; ERR_PRECONDITION for other statuses. */
NODISCARD err_t svc_run_resume(struct ctx *c, int64_t id, str_t from_step, struct run *out);

/* WRITE. Gives a step another result; output is JSON. ERR_NOT_FOUND, ERR_PRECONDITION, ERR_INVALID.
 */
NODISCARD err_t svc_step_patch(struct ctx *c, str_t step, str_t output, str_t reason,
                               struct step *out);
/* WRITE. The same for a completed step of a run that is paused for injection; *previous is its
 * output until now. */
NODISCARD err_t svc_step_inject(struct ctx *c, int64_t run_id, str_t step, str_t output,
                                str_t reason, struct step *out, str_t *previous);

/* READ. Ids of the entity streams that the run read from or appended to, in order. ERR_NOT_FOUND.
 */
NODISCARD err_t svc_run_streams(struct ctx *c, int64_t id, str_t **out, size_t *n);
