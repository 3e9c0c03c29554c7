/* Numbers about an environment, from the counters. */
#pragma once

#include "engine/types.h"

struct overview {
    int64_t functions, workers, events;
    int64_t runs[RUN_STATUS_COUNT]; /* by enum run_status */
    int64_t runs_total, runs_active;
    struct event *recent;
    size_t recent_n;
};
/* READ. */
NODISCARD err_t svc_overview(struct ctx *c, struct overview *out);
/* Every function's runs by status over all environments, for /metrics. */
struct run_count {
    str_t environment, function_id;
    int64_t status, n;
};
NODISCARD err_t svc_run_counts(struct ctx *c, struct run_count **out, size_t *n);
/* READ. Workers with a recent sign of life, of all environments. */
NODISCARD err_t svc_workers_connected(struct ctx *c, int64_t *out);
