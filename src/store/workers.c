/* SQL of the table workers. */
#include "store/workers.h"

#include "db/db.h"
#include "store/rows.h"

#define WORKER_COLS                                                                                \
    "key, id, hostname, functions, max_jobs, labels, sdk, runtime, transport, "                    \
    "registered_at, last_seen, session, health"

static void worker_read(const struct db_rows *r, struct worker *out)
{
    *out = (struct worker){
        .key = db_int(r, 0),
        .id = db_str(r, 1),
        .hostname = db_str(r, 2),
        .functions = db_str(r, 3),
        .max_jobs = db_int(r, 4),
        .labels = db_str(r, 5),
        .sdk = db_str(r, 6),
        .runtime = db_str(r, 7),
        .transport = db_int(r, 8),
        .registered_at = db_int(r, 9),
        .last_seen = db_int(r, 10),
        .session = db_int(r, 11),
        .health = db_int(r, 12),
    };
}

int64_t store_worker_key(const struct ctx *c, str_t id)
{
    uint64_t h = str_hash(id) ^ ((uint64_t)c->env * 0x9e3779b97f4a7c15u);

    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 29;
    return (int64_t)(h >> 1) + 1;
}

err_t store_worker_get(struct ctx *c, str_t id, struct worker *out, bool *found)
{
    static const struct sql q = { "SELECT " WORKER_COLS " FROM workers "
                                  "WHERE key = $1 AND env = $env AND id = $2" };
    struct db_rows r;
    bool hit;

    TRY(db_query(c, &q, ARGS(DB_INT(store_worker_key(c, id)), DB_TEXT(id)), &r));
    hit = db_row(&r);
    if (hit)
        worker_read(&r, out);
    TRY(db_end(&r));
    *found = hit;
    return ERR_OK;
}

err_t store_worker_put(struct ctx *c, const struct worker *w)
{
    static const struct sql q = {
        "INSERT INTO workers (key, env, id, hostname, functions, max_jobs, labels, sdk, runtime, "
        "transport, registered_at, last_seen, session, health) VALUES ($1, $env, $2, $3, $4, $5, "
        "$6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (key) DO UPDATE SET hostname = "
        "excluded.hostname, "
        "functions = excluded.functions, max_jobs = excluded.max_jobs, labels = excluded.labels, "
        "sdk = excluded.sdk, runtime = excluded.runtime, transport = excluded.transport, "
        "last_seen = excluded.last_seen, session = excluded.session, health = excluded.health"
    };

    return db_exec(c, &q,
                   ARGS(DB_INT(w->key), DB_TEXT(w->id), DB_TEXT(w->hostname), DB_BLOB(w->functions),
                        DB_INT(w->max_jobs), DB_BLOB(w->labels), DB_TEXT(w->sdk),
                        DB_TEXT(w->runtime), DB_INT(w->transport), DB_INT(w->registered_at),
                        DB_INT(w->last_seen), DB_INT(w->session), DB_INT(w->health)),
                   NULL);
}

err_t store_worker_seen(struct ctx *c, int64_t key, int64_t now_ms)
{
    static const struct sql q = { "UPDATE workers SET last_seen = $2, health = health & ~1 "
                                  "WHERE key = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(key), DB_INT(now_ms)), NULL);
}

err_t store_worker_drains(struct ctx *c, int64_t key)
{
    static const struct sql q = { "UPDATE workers SET health = health | 2 "
                                  "WHERE key = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(key)), NULL);
}

err_t store_worker_sickens(struct ctx *c, int64_t key, int64_t before_ms, bool *now)
{
    static const struct sql q = { "UPDATE workers SET health = health | 1 WHERE key = $1 "
                                  "AND env = $env AND last_seen < $2 AND (health & 1) = 0" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(key), DB_INT(before_ms)), &n));
    *now = n == 1;
    return ERR_OK;
}

err_t store_worker_list(struct ctx *c, struct worker **out, size_t *n)
{
    static const struct sql q = { "SELECT " WORKER_COLS " FROM workers WHERE env = $env "
                                  "ORDER BY id" };
    struct rows_of rows = ROWS_OF(struct worker);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS_NONE, &r));
    while (db_row(&r))
        worker_read(&r, rows_next(c, &rows));
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_worker_stale(struct ctx *c, int64_t before_ms, int64_t without, int64_t limit,
                         struct worker_stale **out, size_t *n)
{
    static const struct sql q = { "SELECT env, key, id, health FROM workers WHERE last_seen < $1 "
                                  "AND (health & $2) = 0 LIMIT $3" };
    struct rows_of rows = ROWS_OF(struct worker_stale);
    struct db_rows r;

    TRY(db_query(c, &q, ARGS(DB_INT(before_ms), DB_INT(without), DB_INT(limit)), &r));
    while (db_row(&r)) {
        *(struct worker_stale *)rows_next(c, &rows) = (struct worker_stale){
            .env = db_int(&r, 0), .key = db_int(&r, 1), .id = db_str(&r, 2), .health = db_int(&r, 3)
        };
    }
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_worker_evict(struct ctx *c, int64_t key, int64_t before_ms, bool *gone)
{
    static const struct sql q = { "DELETE FROM workers WHERE key = $1 AND env = $env "
                                  "AND last_seen < $2" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(key), DB_INT(before_ms)), &n));
    *gone = n == 1;
    return ERR_OK;
}

err_t store_worker_leave(struct ctx *c, int64_t key, int64_t session, bool *gone)
{
    static const struct sql q = { "DELETE FROM workers WHERE key = $1 AND env = $env "
                                  "AND session = $2" };
    int64_t n = 0;

    TRY(db_exec(c, &q, ARGS(DB_INT(key), DB_INT(session)), &n));
    *gone = n == 1;
    return ERR_OK;
}
