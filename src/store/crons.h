/* Rows of crons: the schedules of active functions. */
#pragma once

#include "engine/tick.h"

/* Makes the schedules of a function these; a row with the same text keeps its next tick. */
NODISCARD err_t store_cron_set(struct ctx *c, int64_t fn, const struct tick *ticks, size_t n);
/* Those of all environments that are due, earliest first; locked, without those locked by others.
 */
NODISCARD err_t store_cron_due(struct ctx *c, int64_t now_ms, int64_t limit, struct tick **out,
                               size_t *n);
/* Moves the schedule on from the tick t->next_at; *mine tells that this transaction did it. */
NODISCARD err_t store_cron_claim(struct ctx *c, const struct tick *t, int64_t next_at, bool *mine);
/* When the earliest is due; INT64_MAX when there is none. */
NODISCARD err_t store_cron_next(struct ctx *c, int64_t *due);
