/* SQL of the tables waits and wakes. */
#include "store/waits.h"

#include "db/db.h"
#include "store/rows.h"

#define ENV_LOCK S("")

err_t store_wait_add(struct ctx *c, const struct wait *w)
{
    static const struct sql with_id = {
        "INSERT INTO waits (id, env, kind, run_id, step, event, pattern, path, value, filter) "
        "VALUES ($9, $env, $1, $2, $3, $4, $5, $6, $7, $8)"
    };
    static const struct sql drawn = {
        "INSERT INTO waits (env, kind, run_id, step, event, pattern, path, value, filter) "
        "VALUES ($env, $1, $2, $3, $4, $5, $6, $7, $8)"
    };
    const struct db_val v[] = {
        DB_INT(w->kind),         DB_INT(w->run_id),
        DB_INT(w->step),         DB_TEXT(w->key.event),
        DB_TEXT(w->key.pattern), DB_TEXT(w->key.path),
        DB_TEXT(w->key.value),   DB_TEXT_OR_NULL(w->key.filter),
        DB_INT(w->id),
    };

    if (w->id == 0)
        return db_exec(c, &drawn, (struct db_args){ v, COUNT_OF(v) - 1 }, NULL);
    return db_exec(c, &with_id, (struct db_args){ v, COUNT_OF(v) }, NULL);
}

err_t store_wait_del(struct ctx *c, int64_t id, bool *gone)
{
    static const struct sql q = { "DELETE FROM waits WHERE id = $1 AND env = $env" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(id)), &n));
    *gone = n == 1;
    return ERR_OK;
}

err_t store_waits_del(struct ctx *c, int64_t run_id, int64_t step)
{
    static const struct sql q = { "DELETE FROM waits WHERE run_id = $1 AND env = $env "
                                  "AND ($2 = 0 OR step = $2)" };

    return db_exec(c, &q, ARGS(DB_INT(run_id), DB_INT(step)), NULL);
}

err_t store_waits_any(struct ctx *c, str_t event, bool *any)
{
    static const struct sql q = {
        "SELECT 1 FROM waits WHERE env = $env AND event IN ($1, '') LIMIT 1"
    };
    int64_t hit = 0;

    TRY(row_int(c, &q, ARGS(DB_TEXT(event)), 0, &hit));
    *any = hit == 1;
    return ERR_OK;
}

err_t store_waits_last(struct ctx *c, int64_t *id)
{
    static const struct sql q = { "SELECT COALESCE(MAX(id), 0) FROM waits" };

    return row_int(c, &q, ARGS_NONE, 0, id);
}

err_t store_waits_group(struct ctx *c, str_t event, bool behind, str_t *pattern, str_t *path,
                        bool *found)
{
    static const struct sql from = {
        "SELECT pattern, path FROM waits WHERE env = $env AND event = $1 "
        "AND (pattern, path) >= ($2, $3) ORDER BY pattern, path LIMIT 1"
    };
    static const struct sql next = {
        "SELECT pattern, path FROM waits WHERE env = $env AND event = $1 "
        "AND (pattern, path) > ($2, $3) ORDER BY pattern, path LIMIT 1"
    };
    struct db_rows r;
    bool hit;

    TRY(db_query(c, behind ? &next : &from, ARGS(DB_TEXT(event), DB_TEXT(*pattern), DB_TEXT(*path)),
                 &r));
    hit = db_row(&r);
    if (hit) {
        *pattern = db_str(&r, 0);
        *path = db_str(&r, 1);
    }
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_waits_match(struct ctx *c, const struct wait_key *key, int64_t after, int64_t upto,
                        int64_t limit, struct wait **out, size_t *n)
{
    static const struct sql q = {
        "SELECT id, kind, run_id, step, filter FROM waits WHERE env = $env AND event = $1 "
        "AND pattern = $2 AND path = $3 AND value = $4 AND id > $5 AND id <= $6 "
        "ORDER BY id LIMIT $7"
    };
    struct rows_of rows = ROWS_OF(struct wait);
    struct db_rows r;

    TRY(db_query(c, &q,
                 ARGS(DB_TEXT(key->event), DB_TEXT(key->pattern), DB_TEXT(key->path),
                      DB_TEXT(key->value), DB_INT(after), DB_INT(upto), DB_INT(limit)),
                 &r));
    while (db_row(&r)) {
        struct wait *w = rows_next(c, &rows);

        w->id = db_int(&r, 0);
        w->kind = (enum wait_kind)db_int(&r, 1);
        w->run_id = db_int(&r, 2);
        w->step = db_int(&r, 3);
        w->key.filter = db_str(&r, 4);
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

/* ---- locks of PostgreSQL --------------------------------------------------------------------- */

static int64_t lock_key(const struct ctx *c, str_t event)
{
    uint64_t h = str_hash(event) ^ ((uint64_t)c->env + 1) * 0x9e3779b97f4a7c15u;

    return (int64_t)(h ^ (h >> 29));
}

static err_t lock_query(struct ctx *c, const struct sql *q, struct db_args args)
{
    struct db_rows r;

    TRY(db_query(c, q, args, &r));
    while (db_row(&r))
        continue;
    return db_end(&r);
}

err_t store_waits_lock_emit(struct ctx *c, str_t event)
{
    static const struct sql q = { "SELECT 1 FROM (SELECT pg_advisory_xact_lock_shared($1), "
                                  "pg_advisory_xact_lock_shared($2)) locked" };

    return lock_query(c, &q, ARGS(DB_INT(lock_key(c, ENV_LOCK)), DB_INT(lock_key(c, event))));
}

err_t store_waits_lock_wait(struct ctx *c, const struct wait_key *key)
{
    static const struct sql q = { "SELECT 1 FROM (SELECT pg_advisory_xact_lock($1)) locked" };

    return lock_query(c, &q, ARGS(DB_INT(lock_key(c, key->event))));
}

/* ---- wakes ----------------------------------------------------------------------------------- */

err_t store_wake_add(struct ctx *c, const struct wake *w)
{
    static const struct sql q = {
        "INSERT INTO wakes (id, env, kind, subject, upto, event, pattern, path, after_id) "
        "VALUES ($1, $env, $2, $3, $4, $5, $6, $7, $8)"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT(w->id), DB_INT(w->kind), DB_INT(w->subject), DB_INT(w->upto),
                        DB_TEXT(w->event), DB_TEXT(w->pattern), DB_TEXT(w->path), DB_INT(w->after)),
                   NULL);
}

err_t store_wake_first(struct ctx *c, struct wake *out, bool *found)
{
    static const struct sql q = { "SELECT id, env, kind, subject, upto, event, pattern, path, "
                                  "after_id FROM wakes ORDER BY id LIMIT 1 {skip_locked}" };
    struct db_rows r;
    bool hit;

    TRY(db_query(c, &q, ARGS_NONE, &r));
    hit = db_row(&r);
    if (hit) {
        *out = (struct wake){
            .id = db_int(&r, 0),
            .env = db_int(&r, 1),
            .kind = (enum wake_kind)db_int(&r, 2),
            .subject = db_int(&r, 3),
            .upto = db_int(&r, 4),
            .event = db_str(&r, 5),
            .pattern = db_str(&r, 6),
            .path = db_str(&r, 7),
            .after = db_int(&r, 8),
        };
    }
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_wake_put(struct ctx *c, const struct wake *w)
{
    static const struct sql q = { "UPDATE wakes SET event = $2, pattern = $3, path = $4, "
                                  "after_id = $5 WHERE id = $1 AND env = $env" };

    return db_exec(c, &q,
                   ARGS(DB_INT(w->id), DB_TEXT(w->event), DB_TEXT(w->pattern), DB_TEXT(w->path),
                        DB_INT(w->after)),
                   NULL);
}

err_t store_wake_del(struct ctx *c, int64_t id)
{
    static const struct sql q = { "DELETE FROM wakes WHERE id = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(id)), NULL);
}
