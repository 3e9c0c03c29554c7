/* The highest id of the tables whose keys carry one. */
#include "store/ids.h"

#include "db/db.h"

err_t store_id_last(struct ctx *c, int64_t *out)
{
    static const struct sql q = {
        "SELECT (SELECT max(id) FROM events), (SELECT max(id) FROM runs), "
        "(SELECT max(id) FROM steps), (SELECT max(id) FROM timers), "
        "(SELECT max(id) FROM waits), (SELECT max(id) FROM wakes), (SELECT max(upto) FROM wakes)"
    };
    struct db_rows r;
    int64_t last = 0;

    TRY(db_query(c, &q, ARGS_NONE, &r));
    if (db_row(&r)) {
        for (int i = 0; i < 7; i++)
            last = db_int(&r, i) > last ? db_int(&r, i) : last;
    }
    TRY(db_end(&r));
    *out = last;
    return ERR_OK;
}
