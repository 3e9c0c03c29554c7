/* The table epochs. */
#include "store/epochs.h"

#include "store/rows.h"

static const struct sql get = { "SELECT epoch FROM epochs WHERE env = $1 AND subject = $2" };

static const struct sql put = { "INSERT INTO epochs (env, subject, epoch) VALUES ($1, $2, $3) "
                                "ON CONFLICT (env, subject) DO UPDATE SET epoch = excluded.epoch" };

err_t store_epoch_get(struct ctx *c, int64_t env, enum epoch_subject subject, int64_t *out)
{
    return row_int(c, &get, ARGS(DB_INT(env), DB_INT(subject)), 0, out);
}

err_t store_epoch_put(struct ctx *c, int64_t env, enum epoch_subject subject, int64_t epoch)
{
    return db_exec(c, &put, ARGS(DB_INT(env), DB_INT(subject), DB_INT(epoch)), NULL);
}
