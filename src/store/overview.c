/* Sums over the table counters. */
#include "store/overview.h"

#include "store/rows.h"

#define KINDS_MAX 64

static const struct sql totals = {
    "SELECT kind, CAST(SUM(n) AS BIGINT) FROM counters WHERE env = $env GROUP BY kind ORDER BY kind"
};

static const struct sql total_of = { "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM counters "
                                     "WHERE env = $env AND fn = 0 AND kind = $1" };

static const struct sql workers_alive = {
    "SELECT COUNT(*) FROM workers WHERE env = $env AND last_seen >= $1"
};

static const struct sql workers_alive_all = {
    "SELECT COUNT(*) FROM workers WHERE last_seen >= $1"
};

static const struct sql run_totals = {
    "SELECT e.id, f.id, c.kind, CAST(SUM(c.n) AS BIGINT) FROM counters c "
    "JOIN functions f ON f.key = c.fn JOIN environments e ON e.key = c.env "
    "WHERE c.kind < $1 GROUP BY e.id, f.id, c.kind ORDER BY e.id, f.id, c.kind"
};

static const struct sql names = {
    "SELECT f.key, f.id, e.id FROM functions f JOIN environments e ON e.key = f.env"
};

err_t store_totals(struct ctx *c, struct total **out, size_t *n)
{
    struct total *list = NEW_N(c->arena, struct total, KINDS_MAX);
    struct db_rows r;
    size_t have = 0;

    TRY(db_query(c, &totals, ARGS_NONE, &r));
    while (have < KINDS_MAX && db_row(&r))
        list[have++] = (struct total){ .kind = db_int(&r, 0), .n = db_int(&r, 1) };
    TRY(db_end(&r));
    *out = list;
    *n = have;
    return ERR_OK;
}

err_t store_total_of(struct ctx *c, int64_t kind, int64_t *out)
{
    return row_int(c, &total_of, ARGS(DB_INT(kind)), 0, out);
}

err_t store_workers_alive(struct ctx *c, int64_t since_ms, int64_t *out)
{
    return row_int(c, &workers_alive, ARGS(DB_INT(since_ms)), 0, out);
}

err_t store_workers_alive_all(struct ctx *c, int64_t since_ms, int64_t *out)
{
    return row_int(c, &workers_alive_all, ARGS(DB_INT(since_ms)), 0, out);
}

err_t store_run_totals(struct ctx *c, int64_t kind_end, struct run_total **out, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct run_total);
    struct db_rows r;

    TRY(db_query(c, &run_totals, ARGS(DB_INT(kind_end)), &r));
    while (db_row(&r)) {
        struct run_total *t = rows_next(c, &rows);

        *t = (struct run_total){ .environment = db_str(&r, 0),
                                 .function_id = db_str(&r, 1),
                                 .status = db_int(&r, 2),
                                 .n = db_int(&r, 3) };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_function_names(struct ctx *c, struct function_name **out, size_t *n)
{
    struct rows_of rows = ROWS_OF(struct function_name);
    struct db_rows r;

    TRY(db_query(c, &names, ARGS_NONE, &r));
    while (db_row(&r)) {
        struct function_name *f = rows_next(c, &rows);

        *f = (struct function_name){ db_int(&r, 0), db_str(&r, 1), db_str(&r, 2) };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}
