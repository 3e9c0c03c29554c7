#include "svc/access.h"

#include "base/crypto.h"
#include "svc/svc_tx_fixture.h"

static err_t resolve(struct tx_fixture *f, str_t bearer, const char *env)
{
    struct credentials cr = { .bearer = bearer, .environment = str_from(env) };
    struct ctx *c = tx_read(f);
    err_t e;

    c->who = NULL;
    c->env = 0;
    e = svc_access_resolve(c, &cr);
    tx_read_end(f);
    return e;
}

/* False: the cache does not know. */
static bool cached(struct tx_fixture *f, str_t bearer, const char *env, err_t *e)
{
    struct credentials cr = { .bearer = bearer, .environment = str_from(env) };

    f->r.c.who = NULL;
    f->r.c.env = 0;
    return svc_access_cached(&f->r.c, &cr, e);
}

static void assert_text(struct tx_fixture *f, err_t e, const char *text)
{
    assert_str(err_text(&f->r.c, e), text);
}

/* A further key; `env` 0 is the whole organization. */
static str_t add_key(struct tx_fixture *f, const char *name, int64_t env, const char *roles,
                     int64_t expires_at)
{
    uint8_t digest[SHA256_SIZE];
    str_t raw = str_printf(&f->keep, "ifkey_%032d%s", 0, name);
    struct api_key row = { .id = str_printf(&f->keep, "ak_%s", name),
                           .org_id = S("org_default"),
                           .env = env,
                           .name = str_from(name),
                           .prefix = S("ifkey_00000000"),
                           .roles = str_from(roles),
                           .expires_at = expires_at };

    crypto_sha256(raw, digest);
    row.hash = crypto_hex(&f->keep, digest, SHA256_SIZE);
    assert_int_equal(store_api_key_insert(tx_begin(f), &row), ERR_OK);
    assert_int_equal(svc_access_touch(&f->w.c), ERR_OK);
    tx_commit(f);
    svc_access_forget(f->app.access);
    return raw;
}

static void add_environment(struct tx_fixture *f, int64_t key, const char *id, const char *org,
                            const char *name)
{
    struct environment e = { .key = key,
                             .id = str_from(id),
                             .org_id = str_from(org),
                             .project_id = S("proj_default_default"),
                             .name = str_from(name) };

    assert_int_equal(store_environment_insert(tx_begin(f), &e), ERR_OK);
    assert_int_equal(svc_access_touch(&f->w.c), ERR_OK);
    tx_commit(f);
    svc_access_forget(f->app.access);
}

static bool is_hex(str_t s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return true;
}

static void the_first_boot_makes_one_admin_key(void **state)
{
    struct tx_fixture *f = *state;
    str_t key = S("x"), id = S("x");

    assert_int_equal(f->key.n, 38);
    assert_true(str_starts(f->key, S("ifkey_")));
    assert_true(is_hex(str_slice(f->key, 6, 38)));
    assert_int_equal(f->key_id.n, 39);
    assert_true(str_starts(f->key_id, S("ak_")));
    assert_int_equal(f->key_id.p[3 + 14], '4');
    assert_int_equal(svc_access_bootstrap(tx_begin(f), &key, &id), ERR_OK);
    assert_int_equal(key.n, 0);
    assert_int_equal(id.n, 0);
    tx_commit(f);
    assert_int_equal(resolve(f, f->key, ""), ERR_OK);
    assert_str(f->r.c.who->id, str_z(&f->keep, f->key_id));
    assert_str(f->r.c.who->org_id, "org_default");
    assert_str(f->r.c.who->env_id, "env_default");
    assert_int_equal(f->r.c.env, ENV_DEFAULT_KEY);
}

static void the_raw_key_is_not_stored(void **state)
{
    struct tx_fixture *f = *state;
    uint8_t digest[SHA256_SIZE];
    struct api_key row = { 0 };
    struct ctx *c = tx_read(f);

    crypto_sha256(f->key, digest);
    assert_int_equal(store_api_key_by_hash(c, crypto_hex(c->arena, digest, SHA256_SIZE), &row),
                     ERR_OK);
    assert_str(row.prefix, str_z(&f->keep, str_slice(f->key, 0, 14)));
    assert_str(row.roles, "admin");
    assert_int_equal(store_api_key_by_hash(c, f->key, &row), ERR_NOT_FOUND);
    tx_read_end(f);
}

static void bad_credentials_are_unauthenticated(void **state)
{
    struct tx_fixture *f = *state;
    err_t e = ERR_OK;

    assert_int_equal(resolve(f, STR_NULL, ""), ERR_UNAUTHENTICATED);
    assert_text(f, ERR_UNAUTHENTICATED, "authentication is required");
    assert_int_equal(resolve(f, S("ifkey_00000000000000000000000000000000"), ""),
                     ERR_UNAUTHENTICATED);
    assert_text(f, ERR_UNAUTHENTICATED, "invalid API key");
    assert_int_equal(resolve(f, S("ifplatform_0000"), ""), ERR_UNAUTHENTICATED);
    assert_int_equal(resolve(f, S("a.b.c"), ""), ERR_UNAUTHENTICATED);
    assert_int_equal(resolve(f, S("secret"), "nowhere"), ERR_UNAUTHENTICATED);
    assert_int_equal(resolve(f, str_printf(&f->keep, STR_FMT "0", STR_ARG(f->key)), ""),
                     ERR_UNAUTHENTICATED);
    assert_true(cached(f, STR_NULL, "", &e));
    assert_int_equal(e, ERR_UNAUTHENTICATED);
    assert_false(cached(f, S("ifkey_00000000000000000000000000000000"), "", &e));
}

static void the_cache_answers_after_the_first_resolve(void **state)
{
    struct tx_fixture *f = *state;
    err_t e = ERR_INTERNAL;

    assert_false(cached(f, f->key, "", &e));
    assert_int_equal(resolve(f, f->key, ""), ERR_OK);
    assert_true(cached(f, f->key, "", &e));
    assert_int_equal(e, ERR_OK);
    assert_str(f->r.c.who->env_id, "env_default");
    assert_str(f->r.c.who->roles, "admin");
    assert_int_equal(f->r.c.env, ENV_DEFAULT_KEY);
    assert_true(cached(f, f->key, "current", &e));
    assert_true(cached(f, f->key, "default", &e));
    assert_false(cached(f, f->key, "env_default", &e));
    assert_int_equal(resolve(f, f->key, "env_default"), ERR_OK);
    assert_true(cached(f, f->key, "env_default", &e));
    svc_access_forget(f->app.access);
    assert_false(cached(f, f->key, "", &e));
}

static void what_an_older_reader_found_is_not_kept(void **state)
{
    struct tx_fixture *f = *state;
    struct credentials cr = { .bearer = f->key };
    struct ctx *c = tx_read(f);
    err_t e;

    if (tx_pg_url != NULL) { /* a read there sees what is committed when it looks */
        tx_read_end(f);
        return;
    }
    assert_int_equal(svc_access_resolve(c, &cr), ERR_OK); /* its snapshot is taken */
    svc_access_forget(f->app.access);
    assert_int_equal(svc_access_touch(tx_begin(f)), ERR_OK);
    tx_commit(f);
    svc_access_forget(f->app.access);
    assert_int_equal(svc_access_resolve(c, &cr), ERR_OK);
    tx_read_end(f);
    assert_false(cached(f, f->key, "", &e));
    assert_int_equal(resolve(f, f->key, ""), ERR_OK);
    assert_true(cached(f, f->key, "", &e));
}

static void another_node_is_believed_after_a_second(void **state)
{
    struct tx_fixture *f = *state;
    err_t e;

    f->app.db_kind = DB_PG;
    assert_int_equal(resolve(f, f->key, ""), ERR_OK);
    assert_true(cached(f, f->key, "", &e));
    f->clock.virtual_ms += 1001;
    assert_false(cached(f, f->key, "", &e));
    f->app.db_kind = DB_SQLITE;
    f->clock.virtual_ms += 1000000;
    assert_true(cached(f, f->key, "", &e));
    f->app.db_kind = tx_pg_url ? DB_PG : DB_SQLITE;
}

static void an_organization_key_chooses_its_environment(void **state)
{
    struct tx_fixture *f = *state;

    add_environment(f, 2, "env_qa", "org_default", "qa");
    add_environment(f, 3, "env_foreign", "org_other", "theirs");
    assert_int_equal(resolve(f, f->key, "qa"), ERR_OK);
    assert_int_equal(f->r.c.env, 2);
    assert_str(f->r.c.who->env_id, "env_qa");
    assert_int_equal(resolve(f, f->key, "env_qa"), ERR_OK);
    assert_int_equal(f->r.c.env, 2);
    assert_int_equal(resolve(f, f->key, "default"), ERR_OK);
    assert_int_equal(f->r.c.env, 1);
    assert_int_equal(resolve(f, f->key, "current"), ERR_OK);
    assert_int_equal(f->r.c.env, 1);
    assert_int_equal(resolve(f, f->key, "env_foreign"), ERR_NOT_FOUND);
    assert_text(f, ERR_NOT_FOUND, "environment not found");
    assert_int_equal(resolve(f, f->key, "theirs"), ERR_NOT_FOUND);
    assert_int_equal(resolve(f, f->key, "nowhere"), ERR_NOT_FOUND);
}

static void a_scoped_key_keeps_to_its_environment(void **state)
{
    struct tx_fixture *f = *state;
    str_t key;
    err_t e;

    add_environment(f, 2, "env_qa", "org_default", "qa");
    key = add_key(f, "scoped", 2, "developer", 0);
    assert_int_equal(resolve(f, key, ""), ERR_OK);
    assert_int_equal(f->r.c.env, 2);
    assert_str(f->r.c.who->env_id, "env_qa");
    assert_int_equal(resolve(f, key, "current"), ERR_OK);
    assert_int_equal(resolve(f, key, "env_qa"), ERR_OK);
    assert_int_equal(resolve(f, key, "qa"), ERR_OK);
    assert_int_equal(f->r.c.env, 2);
    assert_int_equal(resolve(f, key, "default"), ERR_ENV_MISMATCH);
    assert_text(f, ERR_ENV_MISMATCH, "environment does not match API key scope");
    assert_int_equal(resolve(f, key, "nowhere"), ERR_ENV_MISMATCH);
    assert_true(cached(f, key, "default", &e));
    assert_int_equal(e, ERR_ENV_MISMATCH);
    assert_true(cached(f, key, "", &e));
    assert_int_equal(f->r.c.env, 2);
}

static void a_key_expires_in_the_cache_too(void **state)
{
    struct tx_fixture *f = *state;
    int64_t end = f->clock.virtual_ms + 500;
    str_t key = add_key(f, "short", 0, "admin", end);
    err_t e;

    assert_int_equal(resolve(f, key, ""), ERR_OK);
    f->clock.virtual_ms = end - 1;
    assert_true(cached(f, key, "", &e));
    assert_int_equal(e, ERR_OK);
    f->clock.virtual_ms = end;
    assert_true(cached(f, key, "", &e));
    assert_int_equal(e, ERR_UNAUTHENTICATED);
    assert_int_equal(resolve(f, key, ""), ERR_UNAUTHENTICATED);
    assert_text(f, ERR_UNAUTHENTICATED, "the API key has expired");
}

static void dev_mode_needs_no_credentials(void **state)
{
    struct tx_fixture *f = *state;
    err_t e;

    f->app.dev = true;
    add_environment(f, 2, "env_qa", "org_default", "qa");
    assert_int_equal(resolve(f, STR_NULL, ""), ERR_OK);
    assert_int_equal(f->r.c.env, ENV_DEFAULT_KEY);
    assert_str(f->r.c.who->id, "");
    assert_str(f->r.c.who->roles, "admin");
    assert_int_equal(f->r.c.who->kind, PRINCIPAL_DEV);
    assert_int_equal(svc_access_require(&f->r.c, S("orgs:manage")), ERR_OK);
    assert_int_equal(resolve(f, S("nonsense"), "qa"), ERR_OK);
    assert_int_equal(f->r.c.env, 2);
    assert_int_equal(resolve(f, STR_NULL, "nowhere"), ERR_NOT_FOUND);
    assert_true(cached(f, STR_NULL, "qa", &e));
    assert_int_equal(f->r.c.env, 2);
}

static const struct {
    const char *role, *action;
    bool may;
} rights[] = {
    { "admin", "functions:register", true },
    { "admin", "anything:else", true },
    { "developer", "functions:register", true },
    { "developer", "runs:cancel", true },
    { "developer", "secrets:read", true },
    { "developer", "secrets:manage", false },
    { "developer", "apikeys:manage", true },
    { "developer", "users:manage", false },
    { "developer", "orgs:manage", false },
    { "developer", "anything:else", false },
    { "viewer", "functions:list", true },
    { "viewer", "functions:read", true },
    { "viewer", "runs:read", true },
    { "viewer", "events:subscribe", true },
    { "viewer", "functions:register", false },
    { "viewer", "functions:invoke", false },
    { "viewer", "events:emit", false },
    { "viewer", "runs:cancel", false },
    { "viewer", "secrets:read", false },
    { "viewer", "", true },
    { "viewer,developer", "events:emit", true },
    { "viewer, admin", "orgs:manage", true },
    { "nobody", "functions:list", false },
    { "", "functions:list", false },
    { "", "", true },
};

static void roles_hold_their_actions(void **state)
{
    struct tx_fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(rights); i++) {
        struct principal who = { .kind = PRINCIPAL_KEY, .roles = str_from(rights[i].role) };
        err_t e;

        f->r.c.who = &who;
        e = svc_access_require(&f->r.c, str_from(rights[i].action));
        if (e != (rights[i].may ? ERR_OK : ERR_FORBIDDEN))
            fail_msg("%s %s", rights[i].role, rights[i].action);
    }
    f->r.c.who = NULL;
    assert_int_equal(svc_access_require(&f->r.c, STR_NULL), ERR_UNAUTHENTICATED);
}

static int64_t last_used(struct tx_fixture *f)
{
    uint8_t digest[SHA256_SIZE];
    struct api_key row = { 0 };
    struct ctx *c = tx_read(f);

    crypto_sha256(f->key, digest);
    assert_int_equal(store_api_key_by_hash(c, crypto_hex(c->arena, digest, SHA256_SIZE), &row),
                     ERR_OK);
    tx_read_end(f);
    return row.last_used_at;
}

static uint64_t flush(struct tx_fixture *f, bool commit)
{
    struct ctx *c = tx_begin(f);
    int64_t due = 0;
    uint64_t writes;

    assert_int_equal(svc_access_flush(c, &due), ERR_OK);
    writes = db_writes(c);
    assert_int_equal(due, writes > 0 ? c->now_ms : c->now_ms + 60000);
    if (commit)
        tx_commit(f);
    else
        tx_rollback(f);
    return writes;
}

static void uses_are_stored_at_most_once_a_minute(void **state)
{
    struct tx_fixture *f = *state;
    int64_t first;
    err_t e;

    assert_int_equal(flush(f, true), 0);
    assert_int_equal(resolve(f, f->key, ""), ERR_OK);
    first = f->clock.virtual_ms;
    assert_int_equal(flush(f, false), 1);
    assert_int_equal(last_used(f), 0);
    assert_int_equal(flush(f, true), 1); /* what was rolled back is not lost */
    assert_int_equal(last_used(f), first);
    assert_int_equal(flush(f, true), 0);
    f->clock.virtual_ms += 100;
    f->app.db_kind = DB_SQLITE; /* so that the entry does not age */
    assert_true(cached(f, f->key, "", &e));
    assert_int_equal(flush(f, true), 0);
    assert_int_equal(last_used(f), first);
    f->clock.virtual_ms += 60000;
    assert_true(cached(f, f->key, "", &e));
    assert_int_equal(flush(f, true), 1);
    assert_true(last_used(f) >= first + 60000);
    f->app.db_kind = tx_pg_url ? DB_PG : DB_SQLITE;
}

#define T(name) cmocka_unit_test_setup_teardown(name, tx_setup, tx_teardown)
static const struct CMUnitTest tests[] = {
    T(the_first_boot_makes_one_admin_key),
    T(the_raw_key_is_not_stored),
    T(bad_credentials_are_unauthenticated),
    T(the_cache_answers_after_the_first_resolve),
    T(what_an_older_reader_found_is_not_kept),
    T(another_node_is_believed_after_a_second),
    T(an_organization_key_chooses_its_environment),
    T(a_scoped_key_keeps_to_its_environment),
    T(a_key_expires_in_the_cache_too),
    T(dev_mode_needs_no_credentials),
    T(roles_hold_their_actions),
    T(uses_are_stored_at_most_once_a_minute),
};

TX_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
