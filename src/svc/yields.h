/* What a worker yields for: sleeps, events, children (spec engine-pull section 6.4). */
#pragma once

#include "engine/run.h"
#include "svc/holder.h"

/* ERR_INVALID names the field. Reads nothing. */
NODISCARD err_t yield_check(struct ctx *c, const struct report *in);
/* Stores the step and what follows from it; *out is what becomes of the run, which was loaded. */
NODISCARD err_t yield_report(struct ctx *c, struct held *h, const struct report *in,
                             struct run_move *out);
