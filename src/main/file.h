/* Small files: those that the server leaves for people and clients, and those it is given. */
#pragma once

#include <sys/types.h>

#include "base/ctx.h"

/* Writes the file whole or not at all: beside its place, synced, then moved there. False with errno
 * set. */
bool file_write(struct ctx *c, str_t path, str_t text, mode_t mode);
/* The whole file, at most max bytes. ERR_INVALID names it. */
NODISCARD err_t file_read(struct ctx *c, str_t path, size_t max, str_t *out);
/* The directory of a path; "." when it names none, "/" for the root. A view. */
str_t file_dir(str_t path);
/* Makes a directory and those above it that are missing, mode 0700. ERR_UNAVAILABLE names the one
 * that cannot be made. */
NODISCARD err_t file_make_dirs(struct ctx *c, str_t dir);
