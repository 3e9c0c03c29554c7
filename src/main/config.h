/* ironflow.yaml (spec operations section 2): settings of `serve` in a file. What the file says is
 * checked once, when it is read; src/main/options.c asks for single keys. */
#pragma once

#include "base/ctx.h"

struct config;

/* Reads the file. Every key must be known, of its type and served by this release, and every
 * ${VAR} must be set: ERR_INVALID, ERR_UNIMPLEMENTED with file, line and key. Lives in c->arena. */
NODISCARD err_t config_read(struct ctx *c, str_t path, struct config **out);
/* The value of a key such as "spec.port" as text. False when the file (NULL: there is none) does
 * not say. Keys are those of the table in config.c. */
bool config_get(const struct config *cfg, const char *key, str_t *out);
