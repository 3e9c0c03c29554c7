/* Rows of timers: what has a time of its own, in every environment. */
#pragma once

#include "engine/types.h"

/* In t->env. */
NODISCARD err_t store_timer_add(struct ctx *c, const struct timer *t);
/* Those due by now_ms, earliest first; locked, without those locked by others. */
NODISCARD err_t store_timer_due(struct ctx *c, int64_t now_ms, int64_t limit, struct timer **out,
                                size_t *n);
/* *gone tells that this transaction deleted it. */
NODISCARD err_t store_timer_del(struct ctx *c, const struct timer *t, bool *gone);
/* When the earliest is due; INT64_MAX when there is none. */
NODISCARD err_t store_timer_next(struct ctx *c, int64_t *due);
