/* Registered functions, their versions and history (spec engine.md sections 3.1 to 3.3). */
#pragma once

#include "engine/types.h"

struct pb_register_function_request;

/* WRITE. *created: the id was new. ERR_INVALID names the field, ERR_UNIMPLEMENTED one that this
 * release cannot honour. in is the decoded request. */
NODISCARD err_t svc_function_register(struct ctx *c, const struct pb_register_function_request *in,
                                      struct function *out, bool *created);
/* READ. ERR_NOT_FOUND. */
NODISCARD err_t svc_function_get(struct ctx *c, str_t id, struct function *out);

struct function_filter {
    str_t name;            /* substring of id or name, without case */
    int64_t status;        /* enum fn_status, 0: all but archived */
    int64_t mode;          /* enum exec_mode, 0: all */
    int64_t limit, offset; /* limit 0: all */
};
/* READ. In order of registration; *total counts what the filter lets through. */
NODISCARD err_t svc_function_list(struct ctx *c, const struct function_filter *f,
                                  struct function **out, size_t *n, int64_t *total);
/* WRITE. A status that it has already changes nothing. ERR_NOT_FOUND, ERR_INVALID. */
NODISCARD err_t svc_function_set_status(struct ctx *c, str_t id, enum fn_status status,
                                        struct function *out);
/* WRITE. Runs and history stay. ERR_NOT_FOUND. */
NODISCARD err_t svc_function_delete(struct ctx *c, str_t id);
/* WRITE. The first direct invoke of a function: from then on it lists the trigger. Nothing when it
 * is marked already, which the registry's `invoked` says without a statement. */
NODISCARD err_t svc_function_mark_invoked(struct ctx *c, int64_t key);

struct function_change {
    int64_t event_id; /* 0: the live configuration, which no entry records yet */
    int64_t version;
    str_t snapshot; /* JSON of message Function (camelCase), as it was at this version */
    str_t actor, reason, type;
    int64_t recorded_at;
};
/* READ. Ascending versions above from_version. Also of deleted functions. ERR_NOT_FOUND,
 * ERR_INVALID for negative bounds; limit 0: 50. */
NODISCARD err_t svc_function_history(struct ctx *c, str_t id, int64_t from_version, int64_t limit,
                                     struct function_change **out, size_t *n, bool *more);
/* READ. ERR_NOT_FOUND. */
NODISCARD err_t svc_function_at(struct ctx *c, str_t id, int64_t version,
                                struct function_change *out);
/* WRITE. Restores the configuration of that version; the status stays. ERR_CONFLICT on a concurrent
 * change, ERR_INVALID when it was archived then, ERR_NOT_FOUND. */
NODISCARD err_t svc_function_rollback(struct ctx *c, str_t id, int64_t version, str_t reason,
                                      struct function *out);
