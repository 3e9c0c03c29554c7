/* The tables organizations, projects, environments and api_keys. */
#include "store/access.h"

#define USED_STEP_MS 60000

#define ENVIRONMENT "key, id, org_id, project_id, name, created_at"

static const struct sql organization_insert = {
    "INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
};

static const struct sql project_insert = {
    "INSERT INTO projects (id, org_id, name, created_at) VALUES ($1, $2, $3, $4)"
};

static const struct sql environment_insert = {
    "INSERT INTO environments (key, id, org_id, project_id, name, created_at) "
    "VALUES ($1, $2, $3, $4, $5, $6)"
};

static const struct sql environment_find = {
    "SELECT " ENVIRONMENT " FROM environments WHERE org_id = $1 AND (id = $2 OR name = $2) "
    "ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1"
};

static const struct sql environment_first = {
    "SELECT " ENVIRONMENT " FROM environments WHERE org_id = $1 ORDER BY key LIMIT 1"
};

static const struct sql environment_by_key = { "SELECT " ENVIRONMENT
                                               " FROM environments WHERE key = $1" };

static const struct sql api_key_insert = {
    "INSERT INTO api_keys (id, org_id, env, name, prefix, hash, roles, created_at, expires_at, "
    "last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
};

static const struct sql api_key_by_hash = {
    "SELECT id, org_id, env, name, prefix, hash, roles, created_at, expires_at, last_used_at "
    "FROM api_keys WHERE hash = $1"
};

static const struct sql api_key_used = {
    "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND last_used_at <= $3"
};

err_t store_organization_insert(struct ctx *c, str_t id, str_t name, bool *inserted)
{
    int64_t changed = 0;

    TRY(db_exec(c, &organization_insert, ARGS(DB_TEXT(id), DB_TEXT(name), DB_INT(c->now_ms)),
                &changed));
    *inserted = changed > 0;
    return ERR_OK;
}

err_t store_project_insert(struct ctx *c, str_t id, str_t org_id, str_t name)
{
    return db_exec(c, &project_insert,
                   ARGS(DB_TEXT(id), DB_TEXT(org_id), DB_TEXT(name), DB_INT(c->now_ms)), NULL);
}

err_t store_environment_insert(struct ctx *c, const struct environment *e)
{
    return db_exec(c, &environment_insert,
                   ARGS(DB_INT(e->key), DB_TEXT(e->id), DB_TEXT(e->org_id), DB_TEXT(e->project_id),
                        DB_TEXT(e->name), DB_INT(e->created_at)),
                   NULL);
}

static err_t one_environment(struct ctx *c, const struct sql *q, struct db_args args,
                             struct environment *out)
{
    struct environment e = { 0 };
    struct db_rows r;
    bool found;

    TRY(db_query(c, q, args, &r));
    found = db_row(&r);
    if (found)
        e = (struct environment){ .key = db_int(&r, 0),
                                  .id = db_str(&r, 1),
                                  .org_id = db_str(&r, 2),
                                  .project_id = db_str(&r, 3),
                                  .name = db_str(&r, 4),
                                  .created_at = db_int(&r, 5) };
    TRY(db_end(&r));
    if (!found)
        return ERR_NOT_FOUND;
    *out = e;
    return ERR_OK;
}

err_t store_environment_find(struct ctx *c, str_t org_id, str_t id_or_name, struct environment *out)
{
    return one_environment(c, &environment_find, ARGS(DB_TEXT(org_id), DB_TEXT(id_or_name)), out);
}

err_t store_environment_first(struct ctx *c, str_t org_id, struct environment *out)
{
    return one_environment(c, &environment_first, ARGS(DB_TEXT(org_id)), out);
}

err_t store_environment_by_key(struct ctx *c, int64_t key, struct environment *out)
{
    return one_environment(c, &environment_by_key, ARGS(DB_INT(key)), out);
}

err_t store_api_key_insert(struct ctx *c, const struct api_key *k)
{
    return db_exec(c, &api_key_insert,
                   ARGS(DB_TEXT(k->id), DB_TEXT(k->org_id), DB_INT(k->env), DB_TEXT(k->name),
                        DB_TEXT(k->prefix), DB_TEXT(k->hash), DB_TEXT(k->roles),
                        DB_INT(k->created_at), DB_INT(k->expires_at), DB_INT(k->last_used_at)),
                   NULL);
}

err_t store_api_key_by_hash(struct ctx *c, str_t hash, struct api_key *out)
{
    struct api_key k = { 0 };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &api_key_by_hash, ARGS(DB_TEXT(hash)), &r));
    found = db_row(&r);
    if (found)
        k = (struct api_key){ .id = db_str(&r, 0),
                              .org_id = db_str(&r, 1),
                              .env = db_int(&r, 2),
                              .name = db_str(&r, 3),
                              .prefix = db_str(&r, 4),
                              .hash = db_str(&r, 5),
                              .roles = db_str(&r, 6),
                              .created_at = db_int(&r, 7),
                              .expires_at = db_int(&r, 8),
                              .last_used_at = db_int(&r, 9) };
    TRY(db_end(&r));
    if (!found)
        return ERR_NOT_FOUND;
    *out = k;
    return ERR_OK;
}

err_t store_api_key_used(struct ctx *c, str_t id, int64_t at_ms, bool *changed)
{
    int64_t rows = 0;

    TRY(db_exec(c, &api_key_used, ARGS(DB_TEXT(id), DB_INT(at_ms), DB_INT(at_ms - USED_STEP_MS)),
                &rows));
    *changed = rows > 0;
    return ERR_OK;
}
