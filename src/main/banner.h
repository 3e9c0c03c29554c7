/* What `serve` tells the person who started it. */
#pragma once

#include "main/options.h"
#include "main/wire.h"

/* Prints on stderr where everything is; on a first boot the admin key, this once. */
void banner_print(struct arena *a, const struct options *o, const struct server *s);
