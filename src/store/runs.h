/* Rows of runs: what is listed of a run. Who may change it says its queue row. */
#pragma once

#include "engine/types.h"

NODISCARD err_t store_run_add(struct ctx *c, const struct run *run);
/* ERR_NOT_FOUND. */
NODISCARD err_t store_run_get(struct ctx *c, int64_t id, struct run *out);
/* Moves. Each demands that the row still says `from`; otherwise ERR_INTERNAL, because the queue row
 * is locked by then. store_run_claimed keeps an earlier started_at and writes no payloads. */
NODISCARD err_t store_run_claimed(struct ctx *c, const struct run *run, enum run_status from);
NODISCARD err_t store_run_status(struct ctx *c, const struct run *run, enum run_status from);
NODISCARD err_t store_run_move(struct ctx *c, const struct run *run, enum run_status from);
NODISCARD err_t store_run_end(struct ctx *c, const struct run *run, enum run_status from);

struct run_query {
    int64_t fn;                 /* 0: any */
    uint32_t statuses;          /* bits; 0: any */
    int64_t from_id, before_id; /* inclusive, exclusive */
    int64_t limit, offset;
};
/* Newest first. */
NODISCARD err_t store_run_list(struct ctx *c, const struct run_query *q, struct run **out,
                               size_t *n);
/* How many match, counted up to max. */
NODISCARD err_t store_run_count(struct ctx *c, const struct run_query *q, int64_t max,
                                int64_t *out);
