/* Rows of waits (what an event completes or cancels) and of wakes (what an event has still to do).
 */
#pragma once

#include "engine/wait.h"

enum wait_kind { WAIT_STEP = 1, WAIT_CANCEL = 2 };

struct wait {
    int64_t id; /* 0 when adding: the database draws it (PostgreSQL) */
    enum wait_kind kind;
    int64_t run_id, step;
    struct wait_key key;
};

NODISCARD err_t store_wait_add(struct ctx *c, const struct wait *w);
/* *gone tells that this transaction deleted it. */
NODISCARD err_t store_wait_del(struct ctx *c, int64_t id, bool *gone);
/* All of a run, or only those of one of its steps (0: all). */
NODISCARD err_t store_waits_del(struct ctx *c, int64_t run_id, int64_t step);
/* Is there any row for the name, or any with a pattern? */
NODISCARD err_t store_waits_any(struct ctx *c, str_t event, bool *any);
/* The highest key given out so far. */
NODISCARD err_t store_waits_last(struct ctx *c, int64_t *id);
/* The first (pattern, path) of the event's rows that is not before these, or, with `behind`, comes
 * after them; *found. event is empty for rows with patterns. */
NODISCARD err_t store_waits_group(struct ctx *c, str_t event, bool behind, str_t *pattern,
                                  str_t *path, bool *found);
/* Rows of a group with this value, above after and up to upto, oldest first. */
NODISCARD err_t store_waits_match(struct ctx *c, const struct wait_key *key, int64_t after,
                                  int64_t upto, int64_t limit, struct wait **out, size_t *n);
/* PostgreSQL: an emit and a new wait of the same name (of any name, if that is a pattern) exclude
 * each other until their transactions end. */
NODISCARD err_t store_waits_lock_emit(struct ctx *c, str_t event);
NODISCARD err_t store_waits_lock_wait(struct ctx *c, const struct wait_key *key);

enum wake_kind { WAKE_EVENT = 1, WAKE_CHILD = 2 };

struct wake {
    int64_t id, env;
    enum wake_kind kind;
    int64_t subject;            /* event or ended run */
    int64_t upto;               /* newer waits are none of its business */
    str_t event, pattern, path; /* the place where it goes on */
    int64_t after;
};

NODISCARD err_t store_wake_add(struct ctx *c, const struct wake *w);
/* The oldest of any environment, locked; *found. */
NODISCARD err_t store_wake_first(struct ctx *c, struct wake *out, bool *found);
/* Its place. */
NODISCARD err_t store_wake_put(struct ctx *c, const struct wake *w);
NODISCARD err_t store_wake_del(struct ctx *c, int64_t id);
