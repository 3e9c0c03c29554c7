/* What operators do to runs and steps: pause, resume, patch, inject. Pure rules in the manner of
 * engine/run.h. */
#pragma once

#include "engine/run.h"

/* What a wish for a pause came to. */
enum pause_answer {
    PAUSE_NOTED, /* flagged: the next step boundary pauses it */
    PAUSE_DONE,  /* it slept or waited and is paused for injection now: *out is its move */
    PAUSE_KEPT   /* it was paused for injection, or flagged, before: nothing to write */
};
/* ERR_PRECONDITION for a run that has ended. */
NODISCARD err_t run_pause(struct ctx *c, struct run *run, struct job *job, struct run_move *out,
                          enum pause_answer *answer);
/* Is this run paused so that its steps may be changed? */
bool run_held(const struct run *run);
/* At a step boundary, after the rule of the report: a flagged run that goes on, parked or ready,
 * pauses instead. One that has ended only loses the flag. m is that rule's move and changes. */
void run_hold(struct ctx *c, struct run *run, struct job *job, struct run_move *m);
/* A flagged run that is ready pauses instead of being sent. */
NODISCARD err_t run_hold_ready(struct ctx *c, struct run *run, struct job *job,
                               struct run_move *out);

/* A paused or failed run goes on. job is its queue row, or for a failed run a new one whose fences
 * still are those of its last segment. ERR_PRECONDITION on any other status. */
NODISCARD err_t run_resume(struct ctx *c, struct run *run, struct job *job, struct run_move *out);
/* The queue row of a run that had failed, ready, without lanes; step_next: behind its last step. */
struct job run_job_again(const struct ctx *c, const struct run *run, int64_t worker,
                         int64_t step_next);

/* ERR_PRECONDITION when run_held is false. */
NODISCARD err_t run_held_check(struct ctx *c, const struct run *run);
/* May this step of that run be given another result? ERR_PRECONDITION says why not. */
NODISCARD err_t step_patch_check(struct ctx *c, const struct run *run, const struct step *s);
NODISCARD err_t step_inject_check(struct ctx *c, const struct run *run, const struct step *s);
/* Gives a step a result: completed, without error; the first original stays. */
void step_patch(struct step *s, str_t output, str_t by, int64_t now_ms);
