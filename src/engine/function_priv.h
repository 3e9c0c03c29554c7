/* Shared by the files of engine/function: the configuration as a message. */
#pragma once

#include "codec/proto.h"
#include "engine/function.h"
#include "proto/ironflow.h"

/* Pull or push, as endpoint and wish say. */
enum exec_mode config_mode(const struct pb_register_function_request *in);
/* To and from the stored text. ERR_TOO_LARGE; ERR_INTERNAL. */
NODISCARD err_t config_encode(struct ctx *c, const struct pb_register_function_request *r,
                              str_t *out);
NODISCARD err_t config_decode(struct ctx *c, str_t config,
                              struct pb_register_function_request *out);
