/* PostgreSQL behind db.h. */
#include "db/db_priv.h"

err_t db_pg_open(struct ctx *c, const struct db_opts *o, struct db **out)
{
    (void)o;
    (void)out;
    return err_set(c, ERR_UNIMPLEMENTED, "PostgreSQL is not built in yet");
}
