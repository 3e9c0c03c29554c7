/* The retry policy of a function (spec engine.md section 8). */
#pragma once

#include "engine/types.h"

/* 3 attempts, 1 s, factor 2, at most 5 minutes. */
struct retry_policy retry_default(void);
/* Delay before the attempt that follows `attempt` (1-based): initial * factor^(attempt - 1),
 * capped. */
int64_t retry_delay_ms(const struct retry_policy *p, int64_t attempt);
