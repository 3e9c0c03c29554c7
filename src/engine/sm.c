/* The tables of legal moves. */
#include "engine/sm.h"

static const struct sm_row run_rows[RUN_STATUS_COUNT] = {
    /* to paused: an operator's flag, seen before a push request is sent */
    [RUN_PENDING] = { "pending", SM_TO(RUN_RUNNING) | SM_TO(RUN_PAUSED) | SM_TO(RUN_CANCELLED),
                      SM_START },
    /* back to pending: a claim that was not delivered, a wait that is over before it began */
    /* to running: a resumed run says so before a worker has it */
    [RUN_RUNNING] = { "running",
                      SM_TO(RUN_RUNNING) | SM_TO(RUN_COMPLETED) | SM_TO(RUN_FAILED) |
                          SM_TO(RUN_WAITING) | SM_TO(RUN_PAUSED) | SM_TO(RUN_PENDING) |
                          SM_TO(RUN_CANCELLED),
                      0 },
    [RUN_WAITING] = { "waiting", SM_TO(RUN_PENDING) | SM_TO(RUN_RUNNING) | SM_TO(RUN_CANCELLED),
                      0 },
    [RUN_PAUSED] = { "paused",
                     SM_TO(RUN_PENDING) | SM_TO(RUN_RUNNING) | SM_TO(RUN_PAUSED) |
                         SM_TO(RUN_FAILED) | SM_TO(RUN_CANCELLED),
                     0 },
    [RUN_COMPLETED] = { "completed", 0, SM_FINAL },
    [RUN_FAILED] = { "failed", SM_TO(RUN_RUNNING), SM_FINAL },
    [RUN_CANCELLED] = { "cancelled", 0, SM_FINAL },
};

#define STEP_OPEN_TO                                                                               \
    (SM_TO(STEP_RUNNING) | SM_TO(STEP_COMPLETED) | SM_TO(STEP_FAILED) | SM_TO(STEP_SLEEPING) |     \
     SM_TO(STEP_WAITING))

static const struct sm_row step_rows[STEP_STATUS_COUNT] = {
    [STEP_PENDING] = { "pending", STEP_OPEN_TO, SM_START },
    [STEP_RUNNING] = { "running", STEP_OPEN_TO, SM_START },
    /* to pending: a run was resumed from this step or an earlier one */
    [STEP_COMPLETED] = { "completed", SM_TO(STEP_PENDING), SM_START | SM_FINAL },
    [STEP_FAILED] = { "failed", STEP_OPEN_TO | SM_TO(STEP_PENDING), SM_START },
    [STEP_SLEEPING] = { "sleeping",
                        SM_TO(STEP_COMPLETED) | SM_TO(STEP_FAILED) | SM_TO(STEP_PENDING),
                        SM_START },
    [STEP_WAITING] = { "waiting",
                       SM_TO(STEP_COMPLETED) | SM_TO(STEP_FAILED) | SM_TO(STEP_TIMED_OUT) |
                           SM_TO(STEP_PENDING),
                       SM_START },
    [STEP_TIMED_OUT] = { "timed_out", STEP_OPEN_TO | SM_TO(STEP_PENDING), 0 },
};

static const struct sm_row job_rows[JOB_LANED + 1] = {
    /* to parked: see pending to paused */
    [JOB_READY] = { "ready", SM_TO(JOB_CLAIMED) | SM_TO(JOB_LANED) | SM_TO(JOB_PARKED), SM_START },
    [JOB_CLAIMED] = { "claimed", SM_TO(JOB_READY) | SM_TO(JOB_PARKED), 0 },
    [JOB_PARKED] = { "parked", SM_TO(JOB_READY) | SM_TO(JOB_CLAIMED), 0 },
    /* claimed: its last holder is back and there is room */
    [JOB_LANED] = { "laned", SM_TO(JOB_READY) | SM_TO(JOB_CLAIMED), 0 },
};

const struct sm run_sm = { "run", run_rows, RUN_STATUS_COUNT };
const struct sm step_sm = { "step", step_rows, STEP_STATUS_COUNT };
const struct sm job_sm = { "job", job_rows, JOB_LANED + 1 };

static const struct sm_row *row_at(const struct sm *m, int state)
{
    if (state < 0 || state >= m->n || !m->rows[state].name)
        return NULL;
    return &m->rows[state];
}

bool sm_may(const struct sm *m, int from, int to)
{
    const struct sm_row *row = row_at(m, from);

    return row && row_at(m, to) && (row->to & SM_TO(to)) != 0;
}

bool sm_final(const struct sm *m, int state)
{
    const struct sm_row *row = row_at(m, state);

    return row && (row->flags & SM_FINAL) != 0;
}

str_t sm_name(const struct sm *m, int state)
{
    const struct sm_row *row = row_at(m, state);

    return row ? str_from(row->name) : S("?");
}

err_t sm_move(struct ctx *c, const struct sm *m, int from, int to)
{
    str_t a = sm_name(m, from), b = sm_name(m, to);

    if (sm_may(m, from, to))
        return ERR_OK;
    return err_set(c, ERR_PRECONDITION, "a " STR_FMT " %s cannot become " STR_FMT, STR_ARG(a),
                   m->name, STR_ARG(b));
}
