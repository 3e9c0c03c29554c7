/* Totals that lists and overviews show without counting rows. */
#pragma once

#include "engine/types.h"

/* Adds n to the counter of (env, fn, kind); shard keeps concurrent writers apart. */
NODISCARD err_t store_counter_add(struct ctx *c, int64_t env, int64_t fn, int64_t kind,
                                  int64_t shard, int64_t n);
/* Sum over the kinds whose bit is set in kinds (kinds below 32), of one function or (0) of all. */
NODISCARD err_t store_counter_sum(struct ctx *c, int64_t fn, uint32_t kinds, int64_t *out);
