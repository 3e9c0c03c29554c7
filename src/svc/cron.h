/* Schedules: what happens because a cron trigger is due (spec engine-steps-flow 10). */
#pragma once

#include "engine/types.h"

/* A function was registered or changed: its schedules are those of now, at once. was is NULL when
 * it is new. */
NODISCARD err_t cron_function_changed(struct ctx *c, const struct function *was,
                                      const struct function *f);
