/* Credentials to a principal and an environment, first from the cache, else from the tables; and
 * what the built-in roles may do. */
#include "svc/access.h"

#include "base/crypto.h"
#include "store/access.h"
#include "store/epochs.h"
#include "svc/access_cache.h"
#include "svc/app.h"
#include "txn/txn.h"

#define ORG_DEFAULT S("org_default")
#define TRUST_PG_MS 1000 /* another node may have changed what the cache holds */
#define FLUSH_MS 60000
#define FLUSH_MORE_MS 1000

/* ---- what roles may do ----------------------------------------------------------------------- */

struct action_row {
    str_t action;
    bool developer, viewer; /* admin may everything */
};

#define ACTION(name, developer, viewer)                                                            \
    {                                                                                              \
        { (name), sizeof(name) - 1 }, (developer), (viewer)                                        \
    }
static const struct action_row actions[] = {
    ACTION("functions:register", true, false), ACTION("functions:invoke", true, false),
    ACTION("functions:list", true, true),      ACTION("functions:read", true, true),
    ACTION("runs:read", true, true),           ACTION("runs:cancel", true, false),
    ACTION("events:emit", true, false),        ACTION("events:subscribe", true, true),
    ACTION("streams:read", true, true),        ACTION("entities:read", true, true),
    ACTION("entities:append", true, false),    ACTION("projections:read", true, true),
    ACTION("projections:manage", true, false), ACTION("secrets:read", true, false),
    ACTION("secrets:manage", false, false),    ACTION("users:read", true, true),
    ACTION("users:manage", false, false),      ACTION("apikeys:read", true, true),
    ACTION("apikeys:manage", true, false),     ACTION("orgs:read", true, true),
    ACTION("orgs:manage", false, false),       ACTION("agent:tools:register", true, false),
    ACTION("agent:tools:invoke", true, false), ACTION("agent:tools:unregister", true, false),
    ACTION("agent:tools:read", true, true),    ACTION("policies:read", true, true),
    ACTION("policies:write", false, false),    ACTION("roles:read", true, true),
    ACTION("roles:manage", false, false),      ACTION("webhooks:read", true, true),
    ACTION("webhooks:manage", true, false),
};

static bool role_holds(str_t role, str_t action)
{
    if (str_eq(role, S("admin")))
        return true;
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (!str_eq(actions[i].action, action))
            continue;
        if (str_eq(role, S("developer")))
            return actions[i].developer;
        return str_eq(role, S("viewer")) && actions[i].viewer;
    }
    return false;
}

err_t svc_access_require(struct ctx *c, str_t action)
{
    str_t rest, role;

    if (c->who == NULL)
        return err_set(c, ERR_UNAUTHENTICATED, "authentication is required");
    if (action.n == 0)
        return ERR_OK;
    rest = c->who->roles;
    while (str_cut(&rest, ',', &role))
        if (role_holds(str_trim(role), action))
            return ERR_OK;
    return err_set(c, ERR_FORBIDDEN, "permission denied: \"" STR_FMT "\" is needed",
                   STR_ARG(action));
}

/* ---- credentials ----------------------------------------------------------------------------- */

static bool is_api_key(str_t bearer)
{
    return str_starts(bearer, S("ifkey_")) || str_starts(bearer, S("ifplatform_"));
}

/* What can be said of a credential without looking it up. */
static err_t check_form(struct ctx *c, str_t bearer)
{
    if (bearer.n == 0)
        return err_set(c, ERR_UNAUTHENTICATED, "authentication is required");
    if (!is_api_key(bearer))
        return err_set(c, ERR_UNAUTHENTICATED,
                       "invalid credentials: an API key is needed, user tokens are not supported "
                       "by this release");
    return ERR_OK;
}

static err_t check_expiry(struct ctx *c, const struct known_key *k)
{
    if (k->expires_at != 0 && k->expires_at <= c->now_ms)
        return err_set(c, ERR_UNAUTHENTICATED, "the API key has expired");
    return ERR_OK;
}

static const struct known_key dev_key = {
    .who = { .kind = PRINCIPAL_DEV,
             .org_id = { "org_default", sizeof("org_default") - 1 },
             .roles = { "admin", sizeof("admin") - 1 } },
};

/* The text to look an environment up by, empty for the default one. */
static str_t env_text(str_t text)
{
    if (str_eq(text, S("current")) || str_eq(text, S("default")))
        return STR_NULL;
    return text;
}

/* A key with an environment of its own takes no other. */
static err_t check_scope(struct ctx *c, const struct known_key *k, str_t text)
{
    if (text.n == 0 || str_eq(text, S("current")) || str_eq(text, k->env_own_id) ||
        str_eq(text, k->env_name))
        return ERR_OK;
    return err_set(c, ERR_ENV_MISMATCH, "environment does not match API key scope");
}

static void enter(struct ctx *c, const struct known_key *k, int64_t env, str_t env_id)
{
    struct principal *who = NEW(c->arena, struct principal);

    *who = k->who;
    who->env_id = env_id;
    c->who = who;
    c->env = env;
}

/* Entries filled before this time are too old to be trusted. */
static int64_t oldest(const struct ctx *c)
{
    return app_of(c)->db_kind == DB_PG ? c->now_ms - TRUST_PG_MS : INT64_MIN;
}

static err_t from_cache(struct ctx *c, const struct credentials *cr, bool *known)
{
    struct known_key k = dev_key;
    struct known_env env = { 0 };
    uint8_t digest[SHA256_SIZE];

    *known = true;
    if (!app_of(c)->dev) {
        TRY(check_form(c, cr->bearer));
        crypto_sha256(cr->bearer, digest);
        *known = access_cache_key(c, digest, oldest(c), &k);
        if (!*known)
            return ERR_OK;
        TRY(check_expiry(c, &k));
    }
    if (k.who.env != 0) {
        TRY(check_scope(c, &k, cr->environment));
        enter(c, &k, k.who.env, k.env_own_id);
        return ERR_OK;
    }
    *known = access_cache_env(c, k.who.org_id, env_text(cr->environment), oldest(c), &env);
    if (*known)
        enter(c, &k, env.key, env.id);
    return ERR_OK;
}

bool svc_access_cached(struct ctx *c, const struct credentials *cr, err_t *result)
{
    bool known;
    err_t e;

    c->now_ms = clock_now(c->clock != NULL ? c->clock : clock_system());
    e = from_cache(c, cr, &known);
    if (known)
        *result = e;
    return known;
}

static err_t find_key(struct ctx *c, int64_t epoch, const uint8_t digest[SHA256_SIZE],
                      struct known_key *out)
{
    struct environment env = { 0 };
    struct api_key row = { 0 };
    struct known_key k;
    err_t e = store_api_key_by_hash(c, crypto_hex(c->arena, digest, SHA256_SIZE), &row);

    if (e == ERR_NOT_FOUND)
        return err_set(c, ERR_UNAUTHENTICATED, "invalid API key");
    TRY(e);
    if (row.env != 0) {
        e = store_environment_by_key(c, row.env, &env);
        if (e == ERR_NOT_FOUND)
            return err_set(c, ERR_UNAUTHENTICATED, "the environment of the API key is gone");
        TRY(e);
    }
    k = (struct known_key){ .who = { .kind = PRINCIPAL_KEY,
                                     .id = row.id,
                                     .org_id = row.org_id,
                                     .roles = row.roles,
                                     .env = row.env },
                            .env_name = env.name,
                            .env_own_id = env.id,
                            .expires_at = row.expires_at };
    access_cache_put_key(c, epoch, digest, &k);
    *out = k;
    return ERR_OK;
}

static err_t find_env(struct ctx *c, int64_t epoch, str_t org_id, str_t text, struct known_env *out)
{
    struct environment row = { 0 };
    err_t e = text.n == 0 ? store_environment_first(c, org_id, &row)
                          : store_environment_find(c, org_id, text, &row);

    if (e == ERR_NOT_FOUND)
        return err_set(c, ERR_NOT_FOUND, "environment not found");
    TRY(e);
    *out = (struct known_env){ .key = row.key, .id = row.id };
    access_cache_put_env(c, epoch, org_id, text, out);
    return ERR_OK;
}

err_t svc_access_resolve(struct ctx *c, const struct credentials *cr)
{
    struct known_key k = dev_key;
    struct known_env env = { 0 };
    uint8_t digest[SHA256_SIZE];
    int64_t epoch;

    TRY(store_epoch_get(c, 0, EPOCH_ACCESS, &epoch));
    if (!app_of(c)->dev) {
        TRY(check_form(c, cr->bearer));
        crypto_sha256(cr->bearer, digest);
        TRY(find_key(c, epoch, digest, &k));
        TRY(check_expiry(c, &k));
    }
    if (k.who.env != 0) {
        TRY(check_scope(c, &k, cr->environment));
        enter(c, &k, k.who.env, k.env_own_id);
        return ERR_OK;
    }
    TRY(find_env(c, epoch, k.who.org_id, env_text(cr->environment), &env));
    enter(c, &k, env.key, env.id);
    return ERR_OK;
}

err_t svc_access_touch(struct ctx *c)
{
    TRY(store_epoch_put(c, 0, EPOCH_ACCESS, ctx_id(c)));
    signal_add(c, SIG_ACCESS, 0);
    return ERR_OK;
}

err_t svc_access_flush(struct ctx *c, int64_t *next_due)
{
    struct key_use *uses;
    bool wrote = false;
    size_t n;

    *next_due = c->now_ms + FLUSH_MS;
    if (app_of(c)->access == NULL)
        return ERR_OK;
    access_cache_uses(c, &uses, &n);
    for (size_t i = 0; i < n; i++) {
        bool changed;

        /* Only what the tables say already is settled: this transaction may yet fail. */
        TRY(store_api_key_used(c, uses[i].id, uses[i].at_ms, &changed));
        if (changed)
            wrote = true;
        else
            access_cache_settle(c, &uses[i]);
    }
    if (wrote)
        *next_due = c->now_ms; /* what has written may not wait */
    else if (n == ACCESS_USES_MAX)
        *next_due = c->now_ms + FLUSH_MORE_MS;
    return ERR_OK;
}

/* ---- first boot ------------------------------------------------------------------------------ */

/* "ak_" and a random UUID (version 4). */
static str_t key_id_new(struct ctx *c)
{
    uint8_t u[16];
    str_t hex;

    rng_secret(u, sizeof(u));
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    hex = crypto_hex(c->arena, u, sizeof(u));
    return str_printf(c->arena, "ak_%.8s-%.4s-%.4s-%.4s-%.12s", hex.p, hex.p + 8, hex.p + 12,
                      hex.p + 16, hex.p + 20);
}

static err_t make_admin_key(struct ctx *c, str_t *key, str_t *key_id)
{
    uint8_t secret[16], digest[SHA256_SIZE];
    struct api_key row = { .org_id = ORG_DEFAULT,
                           .name = S("bootstrap-admin"),
                           .roles = S("admin"),
                           .created_at = c->now_ms };
    str_t raw;

    rng_secret(secret, sizeof(secret));
    raw = str_printf(c->arena, "ifkey_" STR_FMT,
                     STR_ARG(crypto_hex(c->arena, secret, sizeof(secret))));
    crypto_sha256(raw, digest);
    row.id = key_id_new(c);
    row.prefix = str_slice(raw, 0, sizeof("ifkey_") - 1 + 8);
    row.hash = crypto_hex(c->arena, digest, SHA256_SIZE);
    TRY(store_api_key_insert(c, &row));
    *key = raw;
    *key_id = row.id;
    return ERR_OK;
}

err_t svc_access_bootstrap(struct ctx *c, str_t *key, str_t *key_id)
{
    const struct environment env = { .key = ENV_DEFAULT_KEY,
                                     .id = S("env_default"),
                                     .org_id = ORG_DEFAULT,
                                     .project_id = S("proj_default_default"),
                                     .name = S("default"),
                                     .created_at = c->now_ms };
    str_t raw = STR_NULL, id = STR_NULL;
    int64_t epoch;
    bool first, platform;

    TRY(store_organization_insert(c, ORG_DEFAULT, S("default"), &first));
    if (first) {
        TRY(store_organization_insert(c, S("org_platform"), S("platform"), &platform));
        TRY(store_project_insert(c, env.project_id, ORG_DEFAULT, S("default")));
        TRY(store_environment_insert(c, &env));
        TRY(make_admin_key(c, &raw, &id));
        TRY(svc_access_touch(c));
    }
    TRY(store_epoch_get(c, 0, EPOCH_ACCESS, &epoch));
    access_cache_start(app_of(c)->access, epoch);
    *key = raw;
    *key_id = id;
    return ERR_OK;
}
