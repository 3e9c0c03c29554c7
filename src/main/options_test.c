/* Options of serve: flags before variables before defaults, and what is refused with which words.
 */
#include "main/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "base/test.h"
#include "cli/cli.h"
#include "main/cmd_serve.h"

static struct arena arena;
static struct options got;
static err_t result;
static str_t why;

static int capture(struct cli *cli)
{
    struct options o = { 0 };
    struct config *file = NULL;

    result = options_file(cli, &file);
    if (result == ERR_OK)
        result = options_read(cli, file, &o);
    why = str_dup(&arena, err_text(cli->c, result));
    if (result == ERR_OK) {
        got = o;
        got.db_path = str_dup(&arena, o.db_path);
        got.store_dir = str_dup(&arena, o.store_dir);
        got.key_file = str_dup(&arena, o.key_file);
        got.node_id = str_dup(&arena, o.node_id);
        got.signing_key = str_dup(&arena, o.signing_key);
        got.database_url = str_dup(&arena, o.database_url);
    }
    return 0;
}

/* Parses "serve" and the flags, NULL-terminated. */
static err_t read_flags(const char *const *flags)
{
    static struct cmd serve;
    static const struct cmd *const subs[] = { &serve, NULL };
    const struct cmd root = { .name = "ironflow", .help = "x", .subs = subs };
    const struct cli_env env = { 0 };
    char text[16][128] = { "ironflow", "serve" };
    char *argv[17];
    int argc = 2;

    serve = cmd_serve;
    serve.run = capture;
    for (; *flags; flags++)
        snprintf(text[argc++], sizeof(text[0]), "%s", *flags);
    for (int i = 0; i < argc; i++)
        argv[i] = text[i];
    argv[argc] = NULL;
    result = ERR_INTERNAL;
    assert_int_equal(cli_main(&root, argc, argv, &env), 0);
    return result;
}
/* The first NULL ends the list. */
#define READ(...) read_flags((const char *const[]){ __VA_ARGS__, NULL })

static int clean(void **state)
{
    static const char *const names[] = { "IRONFLOW_DATABASE_URL",
                                         "NATS_STORE_DIR",
                                         "IRONFLOW_NODE_ID",
                                         "IRONFLOW_METRICS_ENABLED",
                                         "IRONFLOW_LEASE_MS",
                                         "NATS_URL",
                                         "IRONFLOW_POLL_HOLD_MS",
                                         "IRONFLOW_WORKER_MS",
                                         "TMPDIR",
                                         "IRONFLOW_SIGNING_KEY",
                                         "IRONFLOW_STALE_CLAIM_THRESHOLD" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unsetenv(names[i]);
    return 0;
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(READ(NULL), ERR_OK);
    assert_int_equal(got.port, 9123);
    assert_str(got.db_path, "ironflow.db");
    assert_str(got.store_dir, "./ironflow-nats");
    assert_str(got.key_file, "./.ironflow_bootstrap_key.json");
    assert_int_equal(got.node_id.n, 36);
    assert_false(got.dev || got.open || got.metrics);
    assert_int_equal(got.durability, DB_FULL);
    assert_int_equal(got.lease_ms, 90000);
    assert_int_equal(got.poll_hold_ms, 20000);
    assert_int_equal(got.worker_ttl_ms, 90000);
}

static void files_stand_beside_the_database(void **state)
{
    (void)state;
    assert_int_equal(READ("--db", "/var/lib/x/a.db", "--durability", "normal"), ERR_OK);
    assert_str(got.store_dir, "/var/lib/x/ironflow-nats");
    assert_str(got.key_file, "/var/lib/x/.ironflow_bootstrap_key.json");
    assert_int_equal(got.durability, DB_NORMAL);
    assert_int_equal(READ("--db", "/a.db"), ERR_OK);
    assert_str(got.store_dir, "/ironflow-nats");
}

static void a_flag_beats_its_variable(void **state)
{
    (void)state;
    setenv("NATS_STORE_DIR", "/from/env", 1);
    setenv("IRONFLOW_NODE_ID", "env-node", 1);
    assert_int_equal(READ(NULL), ERR_OK);
    assert_str(got.store_dir, "/from/env");
    assert_str(got.node_id, "env-node");
    assert_int_equal(READ("--nats-store-dir", "/from/flag", "--node-id", "n1"), ERR_OK);
    assert_str(got.store_dir, "/from/flag");
    assert_str(got.node_id, "n1");
    assert_int_equal(READ("--nats-store-dir="), ERR_OK);
    assert_str(got.store_dir, "");
}

static void without_a_file_the_store_must_be_named(void **state)
{
    (void)state;
    assert_int_equal(READ("--db", ":memory:"), ERR_INVALID);
    assert_true(str_find(why, S("--nats-store-dir=\"\"")) >= 0);
    assert_int_equal(READ("--db", ":memory:", "--nats-store-dir="), ERR_OK);
    assert_str(got.key_file, "/tmp/.ironflow_bootstrap_key.json");
    setenv("IRONFLOW_DATABASE_URL", "postgres://u:p@h/d", 1);
    assert_int_equal(READ(NULL), ERR_INVALID);
    assert_true(str_find(why, S("PostgreSQL")) >= 0);
    assert_int_equal(READ("--nats-store-dir", "/m"), ERR_OK);
}

static void wrong_values_are_named(void **state)
{
    (void)state;
    assert_int_equal(READ("--port", "70000"), ERR_INVALID);
    assert_true(str_find(why, S("--port")) >= 0);
    assert_int_equal(READ("--durability", "some"), ERR_INVALID);
    assert_int_equal(READ("--db", ""), ERR_INVALID);
    setenv("IRONFLOW_METRICS_ENABLED", "perhaps", 1);
    assert_int_equal(READ(NULL), ERR_INVALID);
    assert_true(str_find(why, S("IRONFLOW_METRICS_ENABLED")) >= 0);
    setenv("IRONFLOW_METRICS_ENABLED", "TRUE", 1);
    assert_int_equal(READ(NULL), ERR_OK);
    assert_true(got.metrics);
    setenv("IRONFLOW_LEASE_MS", "0", 1);
    assert_int_equal(READ(NULL), ERR_INVALID);
}

static void what_comes_later_says_so(void **state)
{
    (void)state;
    assert_int_equal(READ("--pprof"), ERR_UNIMPLEMENTED);
    assert_int_equal(READ("--nats-url", "nats://h"), ERR_INVALID);
    assert_true(str_find(why, S("requires PostgreSQL")) >= 0);
    setenv("IRONFLOW_DATABASE_URL", "postgres://h/d", 1);
    assert_int_equal(READ("--nats-url", "nats://h"), ERR_UNIMPLEMENTED);
}

static void a_stop_waits_for_push_requests(void **state)
{
    struct options o = { .push_timeout_ms = 10000 };

    (void)state;
    assert_int_equal(options_drain_ms(&o), 30000);
    o.push_timeout_ms = 80000;
    assert_int_equal(options_drain_ms(&o), 85000);
}

/* ---- the file -------------------------------------------------------------------------------- */

#define HEAD "apiVersion: ironflow/v1\nkind: Server\n"

static char path[] = "/tmp/ironflow-options-XXXXXX";

/* Reads with this text as the configuration file. */
static err_t with_file(const char *text, const char *flag, const char *value)
{
    FILE *f = fopen(path, "w");

    must(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return READ("--config", path, flag, value);
}

static void a_file_sets_what_nobody_else_does(void **state)
{
    static const char *const text = HEAD "metadata: {name: prod}\n"
                                         "spec:\n"
                                         "  port: 8080\n"
                                         "  storage: {driver: sqlite, path: /var/x.db}\n"
                                         "  nats: {url: '', storeDir: /var/m}\n"
                                         "  cluster: {nodeId: n1, staleClaimThreshold: 4m}\n"
                                         "  engine: {pushTimeout: 45s}\n"
                                         "  auth:\n"
                                         "    devMode: true\n"
                                         "    signingKey: ${NATS_STORE_DIR:-k}$$1\n"
                                         "  observability: {metrics: {enabled: true}}\n"
                                         "  license:\n";

    (void)state;
    assert_int_equal(with_file(text, NULL, NULL), ERR_OK);
    assert_int_equal(got.port, 8080);
    assert_str(got.db_path, "/var/x.db");
    assert_str(got.store_dir, "/var/m");
    assert_str(got.node_id, "n1");
    assert_str(got.signing_key, "k$1");
    assert_true(got.dev && got.metrics);
    assert_int_equal(got.push_timeout_ms, 45000);
    assert_int_equal(got.push_stale_ms, 240000);
    setenv("IRONFLOW_NODE_ID", "env", 1);
    setenv("IRONFLOW_SIGNING_KEY", "env", 1);
    setenv("IRONFLOW_METRICS_ENABLED", "false", 1);
    setenv("IRONFLOW_STALE_CLAIM_THRESHOLD", "1m30s", 1);
    assert_int_equal(with_file(text, "--port", "1"), ERR_OK);
    assert_int_equal(got.port, 1);
    assert_str(got.node_id, "env");
    assert_str(got.signing_key, "env");
    assert_false(got.metrics);
    assert_int_equal(got.push_stale_ms, 90000);
    assert_int_equal(with_file(text, "--node-id", "flag"), ERR_OK);
    assert_str(got.node_id, "flag");
}

static void a_file_without_a_directory_keeps_messages_in_memory(void **state)
{
    (void)state;
    assert_int_equal(with_file(HEAD, NULL, NULL), ERR_OK);
    assert_str(got.store_dir, "");
    assert_str(got.db_path, "ironflow.db");
    assert_int_equal(got.push_timeout_ms, 10000);
    assert_int_equal(with_file(HEAD "spec: {storage: {url: postgres://h/d}}", NULL, NULL), ERR_OK);
    assert_str(got.database_url, "postgres://h/d");
    assert_int_equal(with_file(HEAD "spec: {storage: {url: postgres://h/d}}", "--db", "x"), ERR_OK);
    assert_str(got.database_url, "");
}

static void refused(const char *text, err_t e, const char *words)
{
    const char *all = str_z(&arena, str_printf(&arena, "%s%s", path, words));
    err_t is = with_file(text, NULL, NULL);

    assert_str(why, words[0] == ':' ? all : words);
    assert_int_equal(is, e);
}

static void what_is_wrong_in_a_file_is_named_with_its_line(void **state)
{
    (void)state;
    refused(HEAD "spec:\n  prot: 1\n", ERR_INVALID,
            ":4: spec.prot: unknown key; expected one of port, storage, nats, cluster, engine, "
            "auth, observability");
    refused(HEAD "spec: {nats.url: x}", ERR_INVALID,
            ":3: spec.nats.url: unknown key; expected one of port, storage, nats, cluster, engine, "
            "auth, observability");
    refused("port: 1", ERR_INVALID,
            ":1: port: unknown key; expected one of apiVersion, kind, metadata, spec");
    refused(HEAD "spec: {nats: {dir: x}}", ERR_INVALID,
            ":3: spec.nats.dir: unknown key; expected one of url, storeDir");
    refused(HEAD "spec:\n  port: 0\n", ERR_INVALID, ":4: spec.port: expected 1 to 65535, not 0");
    refused(HEAD "spec: {port: [1]}", ERR_INVALID,
            ":3: spec.port: expected a value, not a list or a mapping");
    refused(HEAD "spec: {engine: 3}", ERR_INVALID, ":3: spec.engine: expected a mapping");
    refused(HEAD "spec: {engine: {pushTimeout: 10}}", ERR_INVALID,
            ":3: spec.engine.pushTimeout: expected a duration such as 10s, not 10");
    refused(HEAD "spec: {auth: {devMode: yes}}", ERR_INVALID,
            ":3: spec.auth.devMode: expected true or false, not yes");
    refused(HEAD "spec: {auth: {signingKey: '${IRONFLOW_NODE_ID}'}}", ERR_INVALID,
            ":3: spec.auth.signingKey: ${IRONFLOW_NODE_ID} is not set");
    refused(HEAD "spec: {license: x}", ERR_UNIMPLEMENTED,
            ":3: spec.license: not supported by this release");
    refused(HEAD "spec: {platform: {organizations: []}}", ERR_UNIMPLEMENTED,
            ":3: spec.platform: not supported by this release");
    refused(HEAD "a: [\n", ERR_INVALID, ": line 4: did not find expected node content");
    refused("kind: Server\n", ERR_INVALID, ": apiVersion must be ironflow/v1");
    refused("apiVersion: ironflow/v1\nkind: server\n", ERR_INVALID,
            ": kind must be Server, Cluster or Platform");
    refused("apiVersion: ironflow/v1\nkind: Cluster\n", ERR_UNIMPLEMENTED,
            ": kind Cluster needs external NATS, which is not supported by this release");
    refused("[]", ERR_INVALID, ": expected a mapping");
    refused(HEAD "spec: {engine: {pushTimeout: 3m}}", ERR_INVALID,
            "the push timeout of 180000 ms is too long: a push is given up after 120000 ms, and a "
            "quarter of that must be left");
    refused(HEAD "spec: {nats: {url: nats://h}}", ERR_INVALID,
            "--nats-url requires PostgreSQL: set IRONFLOW_DATABASE_URL");
    refused(HEAD "spec: {storage: {driver: postgres}}", ERR_INVALID,
            "spec.storage.url: the driver postgres needs one");
    refused(HEAD "spec: {storage: {driver: mysql}}", ERR_INVALID,
            "spec.storage.driver: expected sqlite or postgres, not mysql");
    assert_int_equal(READ("--config", "/nowhere.yaml"), ERR_INVALID);
    assert_str(why, "cannot read /nowhere.yaml: No such file or directory");
}

static void passwords_are_hidden(void **state)
{
    (void)state;
    assert_str(options_masked_url(&arena, S("postgres://u:secret@h:1/d?x=y")),
               "postgres://u:***@h:1/d?x=y");
    assert_str(options_masked_url(&arena, S("postgres://u@h/d")), "postgres://u@h/d");
    assert_str(options_masked_url(&arena, S("host=h user=u")), "host=h user=u");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults, clean),
        cmocka_unit_test_setup(files_stand_beside_the_database, clean),
        cmocka_unit_test_setup(a_flag_beats_its_variable, clean),
        cmocka_unit_test_setup(without_a_file_the_store_must_be_named, clean),
        cmocka_unit_test_setup(wrong_values_are_named, clean),
        cmocka_unit_test_setup(what_comes_later_says_so, clean),
        cmocka_unit_test_setup(a_stop_waits_for_push_requests, clean),
        cmocka_unit_test_setup(a_file_sets_what_nobody_else_does, clean),
        cmocka_unit_test_setup(a_file_without_a_directory_keeps_messages_in_memory, clean),
        cmocka_unit_test_setup(what_is_wrong_in_a_file_is_named_with_its_line, clean),
        cmocka_unit_test_setup(passwords_are_hidden, clean),
    };
    int failed;

    arena_init(&arena);
    must(close(mkstemp(path)) == 0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    arena_done(&arena);
    return failed;
}
