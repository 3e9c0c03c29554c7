/* Functions and their history, which is kept as events of the stream ironflow:fn:{id}. */
#pragma once

#include "db/db.h"
#include "engine/types.h"

/* All functions of the environment, deleted ones too, in order of registration; only the columns
 * are filled (function_decode does the rest). */
NODISCARD err_t store_functions_all(struct ctx *c, struct function **out, size_t *n);
/* Locks the row; deleted ones are found too. ERR_NOT_FOUND without a detail. */
NODISCARD err_t store_function_lock(struct ctx *c, str_t id, struct function *out);
/* *inserted is false when the id exists. */
NODISCARD err_t store_function_insert(struct ctx *c, const struct function *f, bool *inserted);
/* Writes f over the row of version `from`. ERR_CONFLICT when it has another by now. */
NODISCARD err_t store_function_put(struct ctx *c, const struct function *f, int64_t from);
/* *changed: it was not marked before. */
NODISCARD err_t store_function_mark_invoked(struct ctx *c, int64_t key, bool *changed);

/* Up to limit entries of the stream with versions above `from`, ascending: id, data, version. */
NODISCARD err_t store_function_records(struct ctx *c, str_t stream, int64_t from, int64_t limit,
                                       struct event **out, size_t *n);
/* ERR_NOT_FOUND without a detail. */
NODISCARD err_t store_function_record_get(struct ctx *c, str_t stream, int64_t version,
                                          struct event *out);
