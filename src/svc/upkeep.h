/* Housekeeping use cases, called by jobs/ in a write transaction. Each does one bounded slice over
 * all environments and says in *next_due when it wants to run again: not later than now whenever it
 * wrote something, because a call may only park when it has not. */
#pragma once

#include "engine/types.h"

#define UPKEEP_SLICE 256

/* Fires due timers: sleeps end, retries begin, recovery graces are over. */
NODISCARD err_t svc_timers_fire(struct ctx *c, int64_t *next_due);
/* Works off whom an event concerns beyond those that it dealt with itself. */
NODISCARD err_t svc_wakes_run(struct ctx *c, int64_t *next_due);
/* Takes runs back whose lease has run out. */
NODISCARD err_t svc_leases_sweep(struct ctx *c, int64_t *next_due);
/* Forgets workers without a sign of life. */
NODISCARD err_t svc_workers_evict(struct ctx *c, int64_t *next_due);
/* PostgreSQL: gives positions to committed messages, one relay at a time in a cluster. */
NODISCARD err_t svc_log_relay(struct ctx *c, int64_t *next_due);
/* Publishes messages that were refused, or gives them up after ten times. */
NODISCARD err_t svc_outbox_retry(struct ctx *c, int64_t *next_due);
/* Deletes the trails of runs that are recorded for a while. */
NODISCARD err_t svc_audit_retain(struct ctx *c, int64_t *next_due);
/* Deletes messages that are too old or too many. */
NODISCARD err_t svc_log_retain(struct ctx *c, int64_t *next_due);
/* Admits runs to lanes that have room: after a limit was raised, and whom a leaving run could not
 * see. */
NODISCARD err_t svc_lanes_sweep(struct ctx *c, int64_t *next_due);
/* Starts runs for the bursts that are over. */
NODISCARD err_t svc_debounce_fire(struct ctx *c, int64_t *next_due);
/* Fires due ticks of schedules. */
NODISCARD err_t svc_cron_fire(struct ctx *c, int64_t *next_due);
/* Forgets circuit breakers that did not change for a day. */
NODISCARD err_t svc_breakers_expire(struct ctx *c, int64_t *next_due);
