/* Registered functions, their versions and history (spec engine.md sections 3.1 to 3.3). */
#pragma once

#include "engine/types.h"

struct pb_register_function_request;

/* WRITE. *created: the id was new. ERR_INVALID names the field. in is the decoded request. */
NODISCARD err_t svc_function_register(struct ctx *c, const struct pb_register_function_request *in,
                                      struct function *out, bool *created);
/* READ. ERR_NOT_FOUND. */
NODISCARD err_t svc_function_get(struct ctx *c, str_t id, struct function *out);

struct function_filter {
    str_t name;   /* substring of id or name */
    int64_t status; /* enum fn_status, 0: all but archived */
    int64_t mode;   /* enum exec_mode, 0: all */
    int64_t limit, offset; /* limit 0: all */
};
NODISCARD err_t svc_function_list(struct ctx *c, const struct function_filter *f,
                                  struct function **out, size_t *n, int64_t *total);
/* WRITE. */
NODISCARD err_t svc_function_set_status(struct ctx *c, str_t id, enum fn_status status,
                                        struct function *out);
NODISCARD err_t svc_function_delete(struct ctx *c, str_t id);

struct function_change {
    int64_t event_id;
    int64_t version;
    str_t snapshot; /* function as JSON (camelCase proto form) */
    str_t actor, reason, type;
    int64_t recorded_at;
};
/* READ. Ascending versions above from_version. */
NODISCARD err_t svc_function_history(struct ctx *c, str_t id, int64_t from_version, int64_t limit,
                                     struct function_change **out, size_t *n, bool *more);
NODISCARD err_t svc_function_at(struct ctx *c, str_t id, int64_t version,
                                struct function_change *out);
/* WRITE. ERR_CONFLICT on a concurrent change, ERR_INVALID when the target is archived. */
NODISCARD err_t svc_function_rollback(struct ctx *c, str_t id, int64_t version, str_t reason,
                                      struct function *out);
