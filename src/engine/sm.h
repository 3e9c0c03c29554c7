/* Declared state machines: a status changes only along a row of one of these tables. They also
 * guard the SQL updates (store/) and draw the diagrams in the docs. */
#pragma once

#include "engine/types.h"

struct sm_row {
    const char *name;
    uint32_t to; /* SM_TO bits of the states that may follow */
    uint32_t flags;
};
struct sm {
    const char *name;
    const struct sm_row *rows; /* by state number; rows without a name are no states */
    int n;
};
#define SM_TO(state) (1u << (state))
enum { SM_START = 1, SM_FINAL = 2 };

extern const struct sm run_sm, step_sm, job_sm;

bool sm_may(const struct sm *m, int from, int to);
bool sm_final(const struct sm *m, int state);
/* "pending"; "?" for a number that is no state. */
str_t sm_name(const struct sm *m, int state);
/* ERR_OK when the table allows the move, else ERR_PRECONDITION that names both states. */
NODISCARD err_t sm_move(struct ctx *c, const struct sm *m, int from, int to);
