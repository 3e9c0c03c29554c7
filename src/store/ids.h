/* What ids an earlier process gave out. */
#pragma once

#include "engine/types.h"

/* The highest id in use; 0 in an empty database. Ids of this process must be greater, also when the
 * clock went back meanwhile (txn_opts.id_last). */
NODISCARD err_t store_id_last(struct ctx *c, int64_t *out);
