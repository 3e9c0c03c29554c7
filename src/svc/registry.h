/* The functions of an environment as an immutable snapshot, cached by epoch. A use case asks in its
 * own transaction: the epoch row is read there, so a function registered on another node is never
 * missed. A snapshot stays valid as long as the call's arena, which holds a reference until it is
 * reset. */
#pragma once

#include "engine/types.h"

struct registry; /* engine/match.h: lookups and trigger matching */
struct registry_cache;

/* Snapshots seen lately; any thread. */
struct registry_cache *registry_cache_new(void);
void registry_cache_free(struct registry_cache *r);
/* The snapshot of c->env at this transaction. */
NODISCARD err_t svc_registry(struct ctx *c, const struct registry **out);
/* Inside a write that changed functions: gives the environment a new epoch and signals
 * SIG_REGISTRY. */
NODISCARD err_t svc_registry_touch(struct ctx *c);
