/* SQL of the table audit. */
#include "store/audit.h"

#include "db/db.h"
#include "store/rows.h"

err_t store_audit_add(struct ctx *c, int64_t run_id, int64_t expires_at, str_t pack)
{
    static const struct sql q = { "INSERT INTO audit (env, run_id, expires_at, pack) "
                                  "VALUES ($env, $1, $2, $3)" };

    return db_exec(c, &q, ARGS(DB_INT(run_id), DB_INT_OR_NULL(expires_at), DB_BLOB(pack)), NULL);
}

err_t store_audit_list(struct ctx *c, int64_t run_id, int64_t after, int64_t limit,
                       struct audit_row **out, size_t *n)
{
    static const struct sql q = { "SELECT id, pack FROM audit WHERE run_id = $1 AND env = $env "
                                  "AND id > $2 ORDER BY id LIMIT $3" };
    struct rows_of rows = ROWS_OF(struct audit_row);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(run_id), DB_INT(after), DB_INT(limit)), &r));
    while (db_row(&r)) {
        struct audit_row *row = rows_next(c, &rows);

        *row = (struct audit_row){
            .id = db_int(&r, 0), .env = c->env, .run_id = run_id, .pack = db_str(&r, 1)
        };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_audit_page(struct ctx *c, const struct audit_query *query, int64_t limit,
                       struct audit_row **out, size_t *n)
{
#define PAGE "SELECT a.id, a.run_id, a.pack FROM audit a LEFT JOIN runs r ON r.id = a.run_id "
#define PAGE_END "AND ($3 = 0 OR a.run_id = 0 OR r.fn = $3) ORDER BY a.id DESC LIMIT $4"
    static const struct sql all = { PAGE "WHERE a.env = $env AND a.id < $1 AND $2 = 0 " PAGE_END };
    static const struct sql of_run = {
        PAGE "WHERE a.env = $env AND a.id < $1 AND a.run_id = $2 " PAGE_END
    };
    struct rows_of rows = ROWS_OF(struct audit_row);
    struct db_rows r;

    TRY(db_query(
        c, query->run_id == 0 ? &all : &of_run,
        ARGS(DB_INT(query->before), DB_INT(query->run_id), DB_INT(query->fn), DB_INT(limit)), &r));
    while (db_row(&r)) {
        struct audit_row *row = rows_next(c, &rows);

        *row = (struct audit_row){
            .id = db_int(&r, 0), .env = c->env, .run_id = db_int(&r, 1), .pack = db_str(&r, 2)
        };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_run_recording(struct ctx *c, int64_t run_id, int64_t *out)
{
    static const struct sql q = { "SELECT recording FROM runs WHERE id = $1 AND env = $env" };

    return row_int(c, &q, ARGS(DB_INT(run_id)), 0, out);
}

err_t store_audit_expired(struct ctx *c, int64_t now_ms, int64_t limit, struct audit_row **out,
                          size_t *n)
{
    static const struct sql q = { "SELECT id, env, run_id FROM audit "
                                  "WHERE expires_at IS NOT NULL AND expires_at <= $1 "
                                  "ORDER BY expires_at LIMIT $2 {skip_locked}" };
    struct rows_of rows = ROWS_OF(struct audit_row);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(now_ms), DB_INT(limit)), &r));
    while (db_row(&r)) {
        struct audit_row *row = rows_next(c, &rows);

        *row = (struct audit_row){ .id = db_int(&r, 0),
                                   .env = db_int(&r, 1),
                                   .run_id = db_int(&r, 2) };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_audit_keep(struct ctx *c, int64_t id)
{
    static const struct sql q = { "UPDATE audit SET expires_at = NULL "
                                  "WHERE id = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(id)), NULL);
}

err_t store_audit_del(struct ctx *c, int64_t run_id, int64_t limit, int64_t *n)
{
    static const struct sql q = { "DELETE FROM audit WHERE id IN (SELECT id FROM audit "
                                  "WHERE run_id = $1 AND env = $env ORDER BY id LIMIT $2)" };

    return db_exec(c, &q, ARGS(DB_INT(run_id), DB_INT(limit)), n);
}
