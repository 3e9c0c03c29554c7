/* Who calls and in which environment (spec access.md sections 1 to 4, 6.2). */
#pragma once

#include "engine/types.h"
#include "svc/principal.h"

struct access_cache;

#define ENV_DEFAULT_KEY 1 /* environment env_default of org_default */

/* Credentials seen lately; any thread. */
struct access_cache *access_cache_new(void);
void access_cache_free(struct access_cache *a);

/* Every start, WRITE. First boot: organizations, project, environment, roles and the admin key.
 * *key is the raw key, empty when the database was bootstrapped before. */
NODISCARD err_t svc_access_bootstrap(struct ctx *c, str_t *key, str_t *key_id);

struct credentials {
    str_t bearer;      /* value after "Bearer ", or the query or cookie form; empty: none */
    str_t environment; /* header or query; empty: none */
};
/* From the cache alone, any thread: true when it answered (who and env set in c, or *result an
 * error). c needs its arena, app and now_ms (0: the clock is asked). */
bool svc_access_cached(struct ctx *c, const struct credentials *cr, err_t *result);
/* In a transaction: resolves, fills the cache, sets c->who and c->env.
 * ERR_UNAUTHENTICATED, ERR_ENV_MISMATCH, ERR_NOT_FOUND "environment not found". */
NODISCARD err_t svc_access_resolve(struct ctx *c, const struct credentials *cr);
/* ERR_FORBIDDEN unless the caller's roles hold the action ("runs:read"); "" needs only a caller. */
NODISCARD err_t svc_access_require(struct ctx *c, str_t action);
/* A committed change of keys or environments (SIG_ACCESS): forgets the cache. */
void svc_access_forget(struct access_cache *a);
/* Inside a write that changed keys, roles or environments: a new epoch, and SIG_ACCESS. */
NODISCARD err_t svc_access_touch(struct ctx *c);
/* A job's step, WRITE: stores when keys were used last, once a minute; due at once after writing.
 */
NODISCARD err_t svc_access_flush(struct ctx *c, int64_t *next_due);
