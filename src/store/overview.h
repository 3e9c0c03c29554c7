/* Totals: sums over the counters, and the few things that are counted when asked. */
#pragma once

#include "db/db.h"

struct total {
    int64_t kind, n; /* kinds of svc/batch.h */
};
/* Sums of the environment by kind. */
NODISCARD err_t store_totals(struct ctx *c, struct total **out, size_t *n);
/* The sum of one kind that is counted without a function. */
NODISCARD err_t store_total_of(struct ctx *c, int64_t kind, int64_t *out);
/* Workers of the environment with a sign of life at or after since_ms. */
NODISCARD err_t store_workers_alive(struct ctx *c, int64_t since_ms, int64_t *out);

/* The same over all environments. */
NODISCARD err_t store_workers_alive_all(struct ctx *c, int64_t since_ms, int64_t *out);

struct run_total {
    str_t environment, function_id;
    int64_t status, n;
};
/* Runs by environment, function and status, of all environments; kinds below kind_end are statuses.
 */
NODISCARD err_t store_run_totals(struct ctx *c, int64_t kind_end, struct run_total **out,
                                 size_t *n);

struct function_name {
    int64_t key;
    str_t id, environment;
};
/* Every function of every environment, deleted ones too. */
NODISCARD err_t store_function_names(struct ctx *c, struct function_name **out, size_t *n);
