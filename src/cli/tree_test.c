/* The parser: words, options in all their spellings, mistakes. */
#include "cli/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "cli/cli_priv.h"

static int nothing(struct cli *cli)
{
    (void)cli;
    return 0;
}

static const struct cmd leaf = {
    .name = "list",
    .alias = "ls",
    .args = "<a> [b]",
    .help = "List.",
    .opts = (const struct opt[]){ { 'f', "flag", OPT_FLAG, NULL, NULL, "A flag." },
                                  { 'g', "good", OPT_FLAG, NULL, NULL, "Another." },
                                  { 't', "timeout", OPT_DURATION, "duration", "30s", "A time." },
                                  { 0, "limit", OPT_INT, "n", "50", "A number." },
                                  { 'm', "meta", OPT_LIST, "k=v", NULL, "A list." },
                                  { 0, "dir", OPT_TEXT, "path", "derived", "A text." },
                                  { 0 } },
    .run = nothing,
};
static const struct cmd many = { .name = "many", .args = "<x>...", .help = "M.", .run = nothing };
static const struct cmd group = {
    .name = "run",
    .help = "Runs.",
    .subs = (const struct cmd *const[]){ &leaf, &many, NULL },
};
static const struct cmd root = {
    .name = "ironflow",
    .help = "Root.",
    .subs = (const struct cmd *const[]){ &group, NULL },
};

struct fixture {
    struct arena arena;
    struct ctx c;
    struct cli cli;
    bool help;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    arena_init(&f->arena);
    f->c = (struct ctx){ .arena = &f->arena };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    arena_done(&f->arena);
    free(f);
    return 0;
}

/* Parses the words of line, which are separated by single blanks; "~" stands for an empty word. */
static err_t parse(struct fixture *f, const char *line)
{
    char **argv = NEW_N(&f->arena, char *, strlen(line) + 1);
    str_t rest = str_from(line), word;
    int argc = 0;

    while (str_cut(&rest, ' ', &word)) {
        char *copy = arena_zero(&f->arena, word.n + 1);

        memcpy(copy, word.p, word.n);
        argv[argc++] = strcmp(copy, "~") == 0 ? copy + 1 : copy;
    }
    f->cli = (struct cli){ .c = &f->c, .root = &root };
    f->help = false;
    return cli_parse(&f->cli, argc, argv, &f->help);
}

static void refused(struct fixture *f, const char *line, const char *text)
{
    assert_int_equal(parse(f, line), ERR_INVALID);
    assert_str(err_text(&f->c, ERR_INVALID), text);
}

static void finds_the_command_and_its_arguments(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "run list x y"), ERR_OK);
    assert_ptr_equal(f->cli.cmd, &leaf);
    assert_string_equal(f->cli.path, "run list");
    assert_int_equal(f->cli.args_n, 2);
    assert_string_equal(f->cli.args[1], "y");
    assert_false(f->help || f->cli.verbose);
    assert_int_equal(parse(f, "run ls x"), ERR_OK);
    assert_ptr_equal(f->cli.cmd, &leaf);
    assert_string_equal(f->cli.path, "run list");
    assert_int_equal(parse(f, "run many a b c"), ERR_OK);
    assert_int_equal(f->cli.args_n, 3);
}

static void defaults_stand_for_what_was_not_given(void **state)
{
    struct fixture *f = *state;
    size_t n = 9;

    assert_int_equal(parse(f, "run list x"), ERR_OK);
    assert_false(cli_flag(&f->cli, "flag") || cli_given(&f->cli, "limit"));
    assert_int_equal(cli_int(&f->cli, "limit"), 50);
    assert_int_equal(cli_duration_ms(&f->cli, "timeout"), 30000);
    assert_str(cli_text(&f->cli, "dir"), "derived");
    assert_str(cli_text(&f->cli, "as-org"), "");
    assert_non_null(cli_list(&f->cli, "meta", &n));
    assert_int_equal(n, 0);
}

static void options_are_read_in_every_spelling(void **state)
{
    static const char *const lines[] = {
        "run list -fg -t 5s --limit 7 x",
        "run list x --flag -g -t5s --limit=7",
        "run list --flag=true -g x -t=5s --limit 9 --limit 7",
        "run list -fgt 5s x --limit 7",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_int_equal(parse(f, lines[i]), ERR_OK);
        assert_true(cli_flag(&f->cli, "flag") && cli_flag(&f->cli, "good"));
        assert_int_equal(cli_duration_ms(&f->cli, "timeout"), 5000);
        assert_int_equal(cli_int(&f->cli, "limit"), 7);
        assert_int_equal(f->cli.args_n, 1);
    }
    assert_int_equal(parse(f, "run list x --flag --flag=false"), ERR_OK);
    assert_false(cli_flag(&f->cli, "flag"));
}

static void an_empty_value_is_a_value(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "run list x --dir="), ERR_OK);
    assert_true(cli_given(&f->cli, "dir"));
    assert_str(cli_text(&f->cli, "dir"), "");
    assert_int_equal(parse(f, "run list x --dir ~"), ERR_OK);
    assert_true(cli_given(&f->cli, "dir"));
    assert_str(cli_text(&f->cli, "dir"), "");
}

static void lists_keep_their_order(void **state)
{
    struct fixture *f = *state;
    const str_t *items;
    size_t n;

    assert_int_equal(parse(f, "run list -m a=1 x --meta b=2 --meta=c=3=4"), ERR_OK);
    items = cli_list(&f->cli, "meta", &n);
    assert_int_equal(n, 3);
    assert_str(items[0], "a=1");
    assert_str(items[2], "c=3=4");
}

static void global_options_stand_anywhere(void **state)
{
    static const char *const lines[] = { "-v run list x", "run -v list x", "run list x --verbose" };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_int_equal(parse(f, lines[i]), ERR_OK);
        assert_true(f->cli.verbose);
    }
    assert_int_equal(parse(f, "--as-org org_1 run list x"), ERR_OK);
    assert_str(cli_text(&f->cli, "as-org"), "org_1");
}

static void two_dashes_end_the_options(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "run list -- --limit -f"), ERR_OK);
    assert_int_equal(f->cli.args_n, 2);
    assert_string_equal(f->cli.args[0], "--limit");
    assert_int_equal(parse(f, "run list -"), ERR_OK); /* a single dash is an argument */
    assert_string_equal(f->cli.args[0], "-");
}

static void help_is_asked_for_in_many_ways(void **state)
{
    static const char *const lines[] = { "run list --help",   "run list -h", "help run list",
                                         "run list x y z -h", "run",         "--help" };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_int_equal(parse(f, lines[i]), ERR_OK);
        assert_true(f->help);
    }
}

static void mistakes_are_named(void **state)
{
    struct fixture *f = *state;

    refused(f, "rum", "unknown command \"rum\"; did you mean run?");
    refused(f, "run zzzz", "unknown command \"zzzz\"");
    refused(f, "run list x --limt 3", "unknown option --limt; did you mean --limit?");
    refused(f, "run list x -z", "unknown option -z");
    refused(f, "run list", "missing argument <a>");
    refused(f, "run list a b c", "unexpected argument \"c\"");
    refused(f, "run many", "missing argument <x>...");
    refused(f, "run list x --limit", "--limit wants a value: --limit <n>");
    refused(f, "run list x --limit 1.5", "--limit wants a whole number, not \"1.5\"");
    refused(f, "run list x --flag=maybe", "--flag takes no value, or true or false");
    refused(f, "run list x -t soon",
            "--timeout wants a duration such as 30s or 1m30s, not \"soon\"");
    assert_string_equal(f->cli.path, "run list"); /* where help is to be found */
}

static void suggestions_are_near(void **state)
{
    struct suggest s = { .word = S("cance") };

    (void)state;
    suggest_try(&s, "create");
    suggest_try(&s, "cancel");
    suggest_try(&s, "list");
    assert_string_equal(s.best, "cancel");
    s = (struct suggest){ .word = S("x") };
    suggest_try(&s, "a");
    assert_null(s.best);
}

static void every_script_and_page_is_made_from_the_rows(void **state)
{
    static const char *const shells[] = { "bash", "zsh", "fish" };
    struct buf b;

    (void)state;
    buf_init(&b, (size_t)1 << 20);
    for (size_t i = 0; i < COUNT_OF(shells); i++) {
        buf_clear(&b);
        assert_true(completion_script(&b, &root, str_from(shells[i])));
        assert_true(str_find(buf_str(&b), S("run list")) > 0);
        assert_true(str_find(buf_str(&b), S("timeout")) > 0);
        assert_true(str_find(buf_str(&b), S("docs")) < 0); /* hidden */
    }
    assert_false(completion_script(&b, &root, S("tcsh")));
    buf_clear(&b);
    reference_page(&b, &root);
    assert_true(str_find(buf_str(&b), S("## ironflow run list\n")) > 0);
    assert_true(str_find(buf_str(&b), S("| `-t`, `--timeout <duration>` | `30s` | A time. |")) > 0);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_the_command_and_its_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_stand_for_what_was_not_given, setup, teardown),
        cmocka_unit_test_setup_teardown(options_are_read_in_every_spelling, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_value_is_a_value, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_keep_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(global_options_stand_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(two_dashes_end_the_options, setup, teardown),
        cmocka_unit_test_setup_teardown(help_is_asked_for_in_many_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(suggestions_are_near, setup, teardown),
        cmocka_unit_test_setup_teardown(every_script_and_page_is_made_from_the_rows, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
