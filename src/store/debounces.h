/* Rows of debounces: events held back until their burst is over. */
#pragma once

#include "engine/debounce.h"

/* *added is false when the function has an entry with this key; then the other fields of that one
 * are in *entry, and its row is locked. */
NODISCARD err_t store_debounce_add(struct ctx *c, struct debounce_entry *entry, bool *added);
/* The entry of a function and key, locked. */
NODISCARD err_t store_debounce_get(struct ctx *c, int64_t fn, int64_t key_hash,
                                   struct debounce_entry *out, bool *found);
/* Writes event, period and times. */
NODISCARD err_t store_debounce_put(struct ctx *c, const struct debounce_entry *entry);
NODISCARD err_t store_debounce_del(struct ctx *c, int64_t fn, int64_t key_hash, bool *gone);
/* Entries of all environments that are due, earliest first; locked, without those locked by others.
 */
NODISCARD err_t store_debounce_due(struct ctx *c, int64_t now_ms, int64_t limit,
                                   struct debounce_entry **out, size_t *n);
/* When the earliest is due; INT64_MAX when there is none. */
NODISCARD err_t store_debounce_next(struct ctx *c, int64_t *due);
/* Those of the environment, earliest first. */
NODISCARD err_t store_debounce_list(struct ctx *c, int64_t limit, struct debounce_entry **out,
                                    size_t *n);
