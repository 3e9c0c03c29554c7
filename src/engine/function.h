/* What a registration may say, what it means, and how a function's configuration is kept: as the
 * JSON of RegisterFunctionRequest with every default filled in (struct function.config). Rules of
 * spec engine.md sections 3.1 and 3.2. */
#pragma once

#include "engine/types.h"

struct pb_register_function_request;
struct pb_function;

/* Checks a registration and makes the active function it describes: no key, version or times yet.
 * What it holds lives in c->arena or is in's. ERR_INVALID names the field; ERR_UNIMPLEMENTED names
 * one that this release cannot honour. */
NODISCARD err_t function_make(struct ctx *c, const struct pb_register_function_request *in,
                              struct function *out);
/* Fills name, description, triggers, retry, actor key and recording from f->config. ERR_INTERNAL
 * when a stored configuration cannot be read. */
NODISCARD err_t function_decode(struct ctx *c, struct function *f);
/* Whether two configurations mean the same; the order of keys inside metadata says nothing. */
NODISCARD err_t function_same(struct ctx *c, str_t config_a, str_t config_b, bool *out);
/* The public form; the trigger of a direct invoke is listed last. out borrows from f and c->arena.
 */
NODISCARD err_t function_to_pb(struct ctx *c, const struct function *f, struct pb_function *out);

/* What history keeps: the data of the event that records a change of f, which is still as it was.
 */
struct function_record {
    str_t type; /* update, status_change, rollback, delete */
    str_t actor, reason;
    str_t snapshot; /* JSON of Function, with secrets */
};
/* The JSON of f as history shows it. */
NODISCARD err_t function_snapshot(struct ctx *c, const struct function *f, str_t *out);
NODISCARD err_t function_record_json(struct ctx *c, const struct function *f,
                                     const struct function_record *r, str_t *out);
/* Reads back what function_record_json wrote. ERR_INTERNAL on anything else. */
NODISCARD err_t function_record_read(struct ctx *c, str_t json, struct function_record *out);
/* Makes *f the configuration of the snapshot; id, key, version, status and times stay.
 * ERR_INVALID when it was archived. */
NODISCARD err_t function_restore(struct ctx *c, str_t snapshot, struct function *f);
