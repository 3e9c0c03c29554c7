/* YAML: the tree of a configuration file, and what is refused with which words. */
#include "codec/yaml.h"

#include "base/must.h"
#include "base/test.h"

static struct arena arena;
static struct ctx ctx;

static struct yaml_node *parse(const char *text)
{
    struct yaml_node *root = NULL;

    assert_int_equal(yaml_parse(&ctx, str_from(text), &root), ERR_OK);
    assert_non_null(root);
    return root;
}

static void refuse(const char *text, const char *why)
{
    struct yaml_node *root = NULL;
    err_t e = yaml_parse(&ctx, str_from(text), &root);

    assert_int_equal(e, ERR_INVALID);
    assert_null(root);
    assert_str(err_text(&ctx, e), why);
}

static void mappings_keep_order_lines_and_text(void **state)
{
    struct yaml_node *root = parse("# a comment\n"
                                   "kind: Server\n"
                                   "spec:\n"
                                   "  port: 0123 # as written\n"
                                   "  name: 'a: \"b\"'\n"
                                   "  flow: {x: 1, y: [2, three]}\n"),
                     *spec, *flow;

    (void)state;
    assert_int_equal(root->kind, YAML_MAP);
    assert_str(root->first->key, "kind");
    assert_str(root->first->text, "Server");
    assert_int_equal(root->first->line, 2);
    spec = root->first->next;
    assert_int_equal(spec->kind, YAML_MAP);
    assert_int_equal(spec->line, 3);
    assert_str(spec->first->text, "0123");
    assert_str(spec->first->next->text, "a: \"b\"");
    flow = spec->first->next->next;
    assert_str(flow->first->text, "1");
    assert_int_equal(flow->first->next->kind, YAML_LIST);
    assert_str(flow->first->next->first->next->text, "three");
    assert_null(flow->first->next->first->next->next);
    assert_null(spec->next);
}

static void nothing_is_null_and_quotes_are_text(void **state)
{
    struct yaml_node *root = parse("a:\nb: ~\nc: null\nd: ''\ne: \"null\"\n"), *n = root->first;

    (void)state;
    for (int i = 0; i < 5; i++, n = n->next)
        assert_int_equal(n->null, i < 3);
    assert_true(parse("")->null);
    assert_true(parse("# nothing\n")->null);
    assert_true(parse("---\n")->null);
}

static void what_is_no_configuration_is_refused_with_its_line(void **state)
{
    (void)state;
    refuse("a: 1\nb: 2\na: 3\n", "line 3: a was given in line 1 already");
    refuse("a: &x 1\n", "line 1: anchors are not supported");
    refuse("a: 1\nb: *a\n", "line 2: aliases are not supported");
    refuse("a: !!int 1\n", "line 1: tags are not supported");
    refuse("a: 1\n---\nb: 2\n", "line 2: a second document begins here");
    refuse("[1]: 2\n", "line 1: a key must be a text");
    refuse("a: [1\nb: 2\n", "line 2: did not find expected ',' or ']'");
    refuse("\tx: 1\n", "line 1: found character that cannot start any token");
    refuse("a: \"\xff\"\n", "invalid leading UTF-8 octet at byte 4");
}

static void depth_and_size_are_limited(void **state)
{
    static char text[YAML_TEXT_MAX + 2];

    (void)state;
    memset(text, '[', 10000);
    refuse(text, "line 1: nested too deeply");
    memset(text, '#', sizeof(text) - 1);
    refuse(text, "larger than 1 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_keep_order_lines_and_text),
        cmocka_unit_test(nothing_is_null_and_quotes_are_text),
        cmocka_unit_test(what_is_no_configuration_is_refused_with_its_line),
        cmocka_unit_test(depth_and_size_are_limited),
    };
    int failed;

    arena_init(&arena);
    ctx = (struct ctx){ .arena = &arena };
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
