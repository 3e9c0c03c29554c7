/* What access knows without the database: keys by digest and environments by organization and text.
 * The content belongs to one epoch of access; a row read under an older one is not taken in.
 * Everything is copied in and out under the lock. */
#pragma once

#include "base/crypto.h"
#include "svc/access.h"

struct known_key {
    struct principal who;       /* env_id empty */
    str_t env_name, env_own_id; /* of a key with an environment of its own */
    int64_t expires_at;         /* 0: never */
};
struct known_env {
    int64_t key;
    str_t id;
};

/* oldest_ms: entries that were filled before count as unknown. The use of a key is noted. */
bool access_cache_key(struct ctx *c, const uint8_t digest[SHA256_SIZE], int64_t oldest_ms,
                      struct known_key *out);
bool access_cache_env(struct ctx *c, str_t org_id, str_t text, int64_t oldest_ms,
                      struct known_env *out);
/* Take in what was read in a transaction that saw this epoch. */
void access_cache_put_key(struct ctx *c, int64_t epoch, const uint8_t digest[SHA256_SIZE],
                          const struct known_key *k);
void access_cache_put_env(struct ctx *c, int64_t epoch, str_t org_id, str_t text,
                          const struct known_env *e);
/* At start: what the database says now. */
void access_cache_start(struct access_cache *a, int64_t epoch);

/* Uses of keys that may not be stored yet; access_cache_settle says that a use is. At most
 * ACCESS_USES_MAX at a time. */
struct key_use {
    str_t id;
    int64_t at_ms;
};
#define ACCESS_USES_MAX 256
void access_cache_uses(struct ctx *c, struct key_use **out, size_t *n);
void access_cache_settle(struct ctx *c, const struct key_use *use);
