/* What the files of the PostgreSQL driver share. */
#pragma once

#include <libpq-fe.h>

#include "db/db_priv.h"

/* A connection to the server of d, checked and set up. ERR_UNAVAILABLE with a text for operators,
 * ERR_PRECONDITION. */
NODISCARD err_t pg_connect(struct ctx *c, const struct db *d, PGconn **out);
/* The first line of what libpq says; it lives as long as its text. */
str_t pg_first_line(const char *text);
