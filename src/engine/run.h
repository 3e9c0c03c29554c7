/* The life of a run: pure rules. Each takes the current values of a run and its job, changes them
 * and says what else must be written; svc/ loads before and stores after. A rule that returns an
 * error has changed nothing. */
#pragma once

#include "engine/types.h"

/* What follows from a move beside the changed values. */
struct run_move {
    enum run_status from; /* what the stored row says until now */
    bool ended;           /* the queue row goes */
    bool ready;           /* may be claimed now */
    struct timer timer;   /* kind 0: none; id and env are the caller's */
};

/* Makes the run of an event and its job, ready at once. The id is drawn here. */
void run_create(struct ctx *c, const struct function *f, const struct event *e, struct run *run,
                struct job *job);

/* A worker gets it: next execution_seq, new random token, a lease until lease_until. */
NODISCARD err_t run_claim(struct ctx *c, struct run *run, struct job *job, int64_t worker,
                          int64_t lease_until, struct run_move *out);
/* Takes a claim back that nobody has worked on; it keeps its place in the line. */
NODISCARD err_t run_unclaim(struct ctx *c, struct run *run, struct job *job, struct run_move *out);
/* The last holder is back before anybody else got it. */
NODISCARD err_t run_revive(struct ctx *c, struct run *run, struct job *job, int64_t lease_until,
                           struct run_move *out);

/* Final reports of a claimed job. A failure retries while attempts are left and it is retryable. */
NODISCARD err_t run_report_completed(struct ctx *c, struct run *run, struct job *job, str_t output,
                                     struct run_move *out);
NODISCARD err_t run_report_failed(struct ctx *c, struct run *run, struct job *job,
                                  const struct retry_policy *retry, str_t error, bool retryable,
                                  struct run_move *out);
/* Parks it on an open sleep step until step->wake_at. */
NODISCARD err_t run_report_sleep(struct ctx *c, struct run *run, struct job *job,
                                 const struct step *step, struct run_move *out);
/* Parks it on an open wait for an event or for a child until step->wake_at; kind: TIMER_WAIT or
 * TIMER_CHILD. */
NODISCARD err_t run_report_wait(struct ctx *c, struct run *run, struct job *job,
                                const struct step *step, enum timer_kind kind,
                                struct run_move *out);
/* It yielded on a step whose result is there already: ready again at once. */
NODISCARD err_t run_report_again(struct ctx *c, struct run *run, struct job *job,
                                 struct run_move *out);

/* "sleep", "wait_event", "injection", or empty. */
str_t run_pause_word(enum pause_reason r);
/* Does the run do nothing but wait for this step? Then its result wakes the run. */
bool run_waits_for(const struct run *run, const struct job *job, int64_t step);
/* What it yielded on, or waits for, cannot come and its worker cannot be told: it fails, without a
 * retry. */
NODISCARD err_t run_wait_failed(struct ctx *c, struct run *run, struct job *job, str_t error,
                                struct run_move *out);

/* The lease ran out: into the recovery grace; without an ack nobody began, so straight back. */
NODISCARD err_t run_lease_expired(struct ctx *c, struct run *run, struct job *job, int64_t grace_ms,
                                  struct run_move *out);

/* Is this timer still what the job waits for? */
bool run_timer_wanted(const struct job *job, const struct timer *t);
NODISCARD err_t run_grace_over(struct ctx *c, struct run *run, struct job *job,
                               struct run_move *out);
/* The next attempt begins. */
NODISCARD err_t run_retry_due(struct ctx *c, struct run *run, struct job *job,
                              struct run_move *out);
NODISCARD err_t run_wake(struct ctx *c, struct run *run, struct job *job, struct run_move *out);

/* Ends a run that has not ended; ERR_PRECONDITION otherwise. */
NODISCARD err_t run_cancel(struct ctx *c, struct run *run, struct job *job, str_t cause,
                           struct run_move *out);

/* The error of a run as stored: the worker's object when it is one with a text `message`, else one
 * with a message and the code ERROR. Lives in c->arena. */
str_t run_error_json(struct ctx *c, str_t reported);
