/* Rows of outbox: messages of events that could not be published with the others. */
#pragma once

#include "engine/types.h"

struct outbox_row {
    int64_t id, env, event_id, attempts;
    int64_t next_at; /* while dead_at is 0 */
    int64_t dead_at;
    str_t last_error;
};

NODISCARD err_t store_outbox_add(struct ctx *c, const struct outbox_row *row);
/* Attempts, times and error of a row that is tried. */
NODISCARD err_t store_outbox_put(struct ctx *c, const struct outbox_row *row);
NODISCARD err_t store_outbox_del(struct ctx *c, int64_t id);
/* Rows of all environments that are due, earliest first; locked, without those locked by others. */
NODISCARD err_t store_outbox_due(struct ctx *c, int64_t now_ms, int64_t limit,
                                 struct outbox_row **out, size_t *n);
/* Dead rows of the environment, newest first. */
NODISCARD err_t store_outbox_dead(struct ctx *c, int64_t limit, int64_t offset,
                                  struct outbox_row **out, size_t *n);
/* All dead rows of an event: to be tried again from the beginning, or deleted. *n: how many. */
NODISCARD err_t store_outbox_requeue(struct ctx *c, int64_t event_id, int64_t now_ms, int64_t *n);
NODISCARD err_t store_outbox_discard(struct ctx *c, int64_t event_id, int64_t *n);
