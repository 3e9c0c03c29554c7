/* Which functions an event starts: exact names by hash, patterns (`*` one token, `>` one or more at
 * the end) by a token trie, and the implicit trigger ironflow.invoke.<id>. */
#pragma once

#include "engine/types.h"

struct registry;

#define EVENT_NAME_MAX 1024 /* bytes, of a name or a pattern */
#define FUNCTION_ID_MAX 512
#define INVOKE_PREFIX "ironflow.invoke."

/* Builds a snapshot over n functions; copies what it keeps. Owner frees. */
struct registry *registry_new(const struct function *fns, size_t n, int64_t epoch);
void registry_free(struct registry *r);
/* What the snapshot was made of; registry_at counts in order of registration, deleted ones too. */
int64_t registry_epoch(const struct registry *r);
size_t registry_count(const struct registry *r);
const struct function *registry_at(const struct registry *r, size_t i);
/* NULL when unknown. registry_by_key and registry_ever also find deleted ones. */
const struct function *registry_by_key(const struct registry *r, int64_t key);
const struct function *registry_by_id(const struct registry *r, str_t id);
const struct function *registry_ever(const struct registry *r, str_t id);
/* Active functions that the event starts, each once, in order of registration: by triggers whose
 * filter, if they have one, is true, else the one with the event's name as id. out points into
 * c->arena. Spec: engine.md sections 3.4, 4.5 and 5. */
void registry_match(struct ctx *c, const struct registry *r, const struct event *e,
                    const struct function ***out, size_t *n);
/* ERR_INVALID names why an event name or a pattern is not allowed. */
NODISCARD err_t event_name_check(struct ctx *c, str_t name);
NODISCARD err_t event_pattern_check(struct ctx *c, str_t pattern);
/* ERR_INVALID when a function may not be called so (engine.md section 2). */
NODISCARD err_t function_id_check(struct ctx *c, str_t id);
