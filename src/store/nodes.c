/* The row "nodes" of the table meta. */
#include "store/nodes.h"

#include "store/rows.h"

static const struct sql next_number = {
    "INSERT INTO meta (name, value) VALUES ('nodes', '1') ON CONFLICT (name) "
    "DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT) "
    "RETURNING CAST(value AS BIGINT)"
};

err_t store_node_number(struct ctx *c, int64_t *out)
{
    int64_t number = 0;

    TRY(row_int(c, &next_number, ARGS_NONE, 0, &number));
    if (number <= 0)
        return err_set(c, ERR_INTERNAL, "the count of servers in table meta is damaged");
    *out = number;
    return ERR_OK;
}
