/* Options of serve: flags before variables before defaults, and what is refused with which words.
 */
#include "main/options.h"

#include <stdio.h>
#include <stdlib.h>

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

    result = options_read(cli, &o);
    why = str_dup(&arena, err_text(cli->c, result));
    if (result == ERR_OK) {
        got = o;
        got.db_path = str_dup(&arena, o.db_path);
        got.store_dir = str_dup(&arena, o.store_dir);
        got.key_file = str_dup(&arena, o.key_file);
        got.node_id = str_dup(&arena, o.node_id);
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
    static const char *const names[] = { "IRONFLOW_DATABASE_URL", "NATS_STORE_DIR",
                                         "IRONFLOW_NODE_ID",      "IRONFLOW_METRICS_ENABLED",
                                         "IRONFLOW_LEASE_MS",     "NATS_URL",
                                         "IRONFLOW_POLL_HOLD_MS", "TMPDIR" };

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
    assert_int_equal(READ("--config", "x.yaml"), ERR_UNIMPLEMENTED);
    assert_int_equal(READ("--pprof"), ERR_UNIMPLEMENTED);
    assert_int_equal(READ("--nats-url", "nats://h"), ERR_INVALID);
    assert_true(str_find(why, S("requires PostgreSQL")) >= 0);
    setenv("IRONFLOW_DATABASE_URL", "postgres://h/d", 1);
    assert_int_equal(READ("--nats-url", "nats://h"), ERR_UNIMPLEMENTED);
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
        cmocka_unit_test_setup(passwords_are_hidden, clean),
    };
    int failed;

    arena_init(&arena);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
