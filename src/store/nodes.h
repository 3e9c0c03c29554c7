/* Servers that share one database tell their ids apart by a number each. */
#pragma once

#include "db/db.h"

/* How many servers have been started on this database, with the caller's. */
NODISCARD err_t store_node_number(struct ctx *c, int64_t *out);
