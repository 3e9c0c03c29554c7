/* Numbered migrations, forward only, run at every start. */
#pragma once

#include "db/db.h"

struct migration {
    int number; /* 1, 2, 3 ... */
    const char *name;
    const char *sql; /* both databases, with the {macros} of db.h */
};

/* Brings the schema up to the last of n migrations, each in its own transaction. ERR_PRECONDITION
 * when the database is newer than this program. */
NODISCARD err_t db_migrate(struct ctx *c, struct db_conn *k, const struct migration *m, size_t n);
