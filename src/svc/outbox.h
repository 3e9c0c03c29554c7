/* Events whose message was refused: tried again alone, ten times, then dead until an operator
 * decides (spec engine-ops section 8). The log itself refuses nothing; a bus behind it may. */
#pragma once

#include "engine/types.h"

/* Why the message of this event cannot be published now; empty: it can. */
str_t outbox_refusal(struct ctx *c, const struct event *e);
/* Keeps the event for another try: the first attempt has failed. */
NODISCARD err_t outbox_keep(struct ctx *c, int64_t event_id, str_t why);

struct dead_letter {
    int64_t id, attempts, dead_at;
    str_t last_error;
    struct event event;
};
/* READ. Those of the environment, newest first. */
NODISCARD err_t svc_dead_letters(struct ctx *c, int64_t limit, int64_t offset,
                                 struct dead_letter **out, size_t *n);
/* WRITE. All dead letters of an event: back to be published, or deleted; the event stays.
 * ERR_NOT_FOUND when it has none. */
NODISCARD err_t svc_dead_letter_requeue(struct ctx *c, int64_t event_id);
NODISCARD err_t svc_dead_letter_discard(struct ctx *c, int64_t event_id);
