/* Runs that a step of another run invoked (spec engine-steps-flow section 6). */
#pragma once

#include "engine/run.h"

/* What the end of a child means for the run that invoked it. */
struct child_news {
    struct run run;
    struct job job;
    struct run_move move;
    bool moves; /* the run does something now: write it */
};
/* Tells the step that waits for the ended run, if any still does. */
NODISCARD err_t child_ended(struct ctx *c, int64_t child_id, struct child_news *out);
/* The invoked run has not ended in time: *out is what becomes of the one that waits. */
NODISCARD err_t child_timed_out(struct ctx *c, struct run *run, struct job *job, int64_t step,
                                struct run_move *out);

/* A step's result is there: the run goes on, or fails where its worker cannot be told. */
NODISCARD err_t invoke_settled(struct ctx *c, struct run *run, struct job *job,
                               const struct step *s, struct run_move *out);
/* Fills a step with the result of the ended run. */
void invoke_result(struct ctx *c, struct step *s, const struct run *child);
