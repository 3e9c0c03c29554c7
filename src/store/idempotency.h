/* Rows of idempotency: what a key answered the first time. */
#pragma once

#include "engine/types.h"

enum idempotency_flow { FLOW_EMIT = 1, FLOW_INVOKE = 2 };

struct idempotency {
    enum idempotency_flow flow;
    int64_t fn; /* invoke: its function */
    int64_t event_id;
    str_t run_ids; /* JSON array of texts */
};

NODISCARD err_t store_idempotency_get(struct ctx *c, str_t key, struct idempotency *out,
                                      bool *found);
/* *added is false when somebody else has the key. */
NODISCARD err_t store_idempotency_add(struct ctx *c, str_t key, const struct idempotency *in,
                                      bool *added);
