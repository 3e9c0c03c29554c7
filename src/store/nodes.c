/* The row "nodes" of the table meta. */
#include "store/nodes.h"

static const struct sql next_number = {
    "INSERT INTO meta (name, value) VALUES ('nodes', '1') ON CONFLICT (name) "
    "DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT) "
    "RETURNING CAST(value AS BIGINT)"
};

err_t store_node_number(struct ctx *c, int64_t *out)
{
    struct db_rows r;
    int64_t number = 0;

    TRY(db_query(c, &next_number, ARGS_NONE, &r));
    if (db_row(&r))
        number = db_int(&r, 0);
    TRY(db_end(&r));
    if (number <= 0)
        return err_set(c, ERR_INTERNAL, "the count of servers in table meta is damaged");
    *out = number;
    return ERR_OK;
}
