/* The file by which clients in the same directory find a server in dev mode. */
#pragma once

#include "base/ctx.h"

#define DISCOVERY_DIR S(".ironflow")
#define DISCOVERY_FILE S(".ironflow/engine.json")

/* Writes the file (mode 0600, without a key) if the working directory has the directory; else does
 * nothing. A file that cannot be written is a line in the log. */
void discovery_write(struct ctx *c, int port);
/* Removes it, unless another server has written its own. */
void discovery_remove(struct ctx *c, int port);
