/* Rows of events: name, data and metadata are stored here and nowhere else. */
#pragma once

#include "engine/types.h"

NODISCARD err_t store_event_add(struct ctx *c, const struct event *e);
/* ERR_NOT_FOUND. */
NODISCARD err_t store_event_get(struct ctx *c, int64_t id, struct event *out);
/* The relay has numbered its message. */
NODISCARD err_t store_event_set_seq(struct ctx *c, int64_t id, int64_t seq);
