/* The file that tells the operator the first admin key. */
#pragma once

#include "base/ctx.h"

/* Writes it whole or not at all, mode 0400, keeping an old one as
 * <path>.old; makes the directories (0700) that
 * are missing. ERR_UNAVAILABLE with the reason. */
NODISCARD err_t keyfile_write(struct ctx *c, str_t path, str_t key, str_t key_id);
