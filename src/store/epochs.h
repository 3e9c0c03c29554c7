/* Values that change with every change of their subject and are never used twice: keys of caches.
 */
#pragma once

#include "db/db.h"

enum epoch_subject { EPOCH_FUNCTIONS = 1, EPOCH_ACCESS = 2 };

/* 0 when the subject has never changed. */
NODISCARD err_t store_epoch_get(struct ctx *c, int64_t env, enum epoch_subject subject,
                                int64_t *out);
NODISCARD err_t store_epoch_put(struct ctx *c, int64_t env, enum epoch_subject subject,
                                int64_t epoch);
