/* Patterns: what they match, what is refused, and that the work is bounded. */
#include "codec/regex.h"

#include "base/must.h"
#include "base/test.h"

static struct arena arena;

static int search(const char *pattern, const char *text)
{
    const char *what;
    struct regex *re = regex_compile(&arena, str_from(pattern), &what);
    size_t budget = 1000000;

    if (!re)
        fail_msg("%s: %s", pattern, what);
    return regex_search(&arena, re, str_from(text), &budget);
}

static void yes(const char *pattern, const char *text)
{
    if (search(pattern, text) != 1)
        fail_msg("%s does not match %s", pattern, text);
}

static void no(const char *pattern, const char *text)
{
    if (search(pattern, text) != 0)
        fail_msg("%s matches %s", pattern, text);
}

static void refused(const char *pattern, const char *want)
{
    const char *what = NULL;

    if (regex_compile(&arena, str_from(pattern), &what))
        fail_msg("accepted: %s", pattern);
    assert_string_equal(what, want);
}

static void literals_match_anywhere(void **state)
{
    (void)state;
    yes("", "");
    yes("", "cows");
    yes("bc", "abcd");
    no("bd", "abcd");
    yes("a+\xC3\xB1+a+", "ma\xC3\xB1"
                         "ana");
    yes("^..$", "\xC3\xB1\xE2\x82\xAC");
    yes("\\.\\*\\x41\\x{20ac}\\t\\052", "x.*A\xE2\x82\xAC\t*");
    yes("\\Qa.b*\\E+c", "a.b**c");
    no("\\Qa.b\\E", "axb");
}

static void anchors(void **state)
{
    (void)state;
    yes("^abc$", "abc");
    no("^abc$", "xabc");
    no("^b", "a\nb");
    yes("(?m)^b$", "a\nb\nc");
    yes("\\Aa\\z", "a");
    no("a$", "a\n");
    yes("\\bcat\\b", "a cat.");
    no("\\bcat\\b", "concat");
    yes("\\Bcat", "concat");
    yes("a|^$", "");
}

static void classes(void **state)
{
    (void)state;
    yes("^[a-c]+$", "abcabc");
    no("^[a-c]+$", "abd");
    yes("^[^a-c]$", "\xE2\x82\xAC");
    yes("^[]a]+$", "]a");
    yes("^[a\\]-]+$", "a]-");
    yes("^[\\d\\s]+$", "1 2");
    no("^\\d$", "a");
    yes("^\\D\\W\\S$", "a.x");
    yes("^[[:alpha:]_][[:^digit:]]$", "_x");
    no("^[[:^digit:]]$", "4");
    yes("^[^\\D5]$", "4");
    no("^[^\\D5]$", "5");
    no("^.$", "\n");
    yes("(?s)^.$", "\n");
}

static void repetition(void **state)
{
    (void)state;
    yes("^ba(na)*$", "banana");
    yes("^ba(na)*$", "ba");
    no("^ba(na)+$", "ba");
    yes("^a?$", "");
    no("^a?$", "aa");
    yes("^a{3}$", "aaa");
    no("^a{3}$", "aa");
    no("^a{3}$", "aaaa");
    yes("^a{2,}$", "aaaaa");
    no("^a{2,}$", "a");
    yes("^(ab){1,3}$", "ababab");
    no("^(ab){1,3}$", "abababab");
    yes("^a{0,2}$", "");
    yes("^a{0,2}$", "aa");
    no("^a{0,2}$", "aaa");
    yes("^xa{0}y$", "xy");
    yes("^a{,2}$", "a{,2}");
    yes("^a+?b*?c??$", "aab");
    yes("^(a*)*$", "aaa");
    yes("^(a|b*)*c$", "abbac");
}

static void alternatives(void **state)
{
    (void)state;
    yes("gr(a|e)y", "grey");
    no("^(foo|bar|baz)$", "fooz");
    yes("^(foo|bar|baz)$", "baz");
    yes("^(?:a|bc|def|)$", "def");
    yes("^(?:a|bc|def|)$", "");
    no("^(?:a|bc|def|)$", "bcd");
    yes("^(?P<year>\\d{4})-(?<month>\\d\\d)$", "2026-05");
    yes("^(a|b){2}c|d$", "abc");
}

static void flags(void **state)
{
    (void)state;
    yes("(?i)straSSE", "STRAsse");
    yes("(?i)^[a-c]+$", "AbC");
    yes("(?i)^\xC3\xA9$", "\xC3\x89");
    yes("(?i:a)b", "Ab");
    no("(?i:a)b", "AB");
    no("((?i)a)b", "AB");
    yes("(?i)a(?-i)b", "Ab");
    no("(?i)a(?-i)b", "AB");
    yes("(?sm)^.a$", "x\n\na\nx");
}

static void malformed_patterns_are_refused(void **state)
{
    (void)state;
    refused("(", "missing )");
    refused("a)", "unexpected )");
    refused("*a", "nothing to repeat");
    refused("a**", "repetition of a repetition");
    refused("(?i)*", "nothing to repeat");
    refused("[a", "missing ]");
    refused("[z-a]", "class range out of order");
    refused("[[:nope:]]", "unknown class name");
    refused("\\", "trailing backslash");
    refused("\\1", "unknown escape");
    refused("\\x{110000}", "escape is no character");
    refused("\\xZZ", "malformed \\x escape");
    refused("(?=a)", "unknown group");
    refused("(?<=a)", "malformed group");
    refused("a{1001}", "repetition count is too large");
    refused("a{3,2}", "repetition bounds out of order");
    refused("((a{1000}){1000}){1000}", "pattern is too large");
    refused("\xFF", "pattern is not UTF-8");
}

static void groups_nest_to_a_bound(void **state)
{
    char text[2 * REGEX_DEPTH_MAX + 4];
    size_t n = REGEX_DEPTH_MAX;
    const char *what;

    (void)state;
    memset(text, '(', n);
    memset(text + n, ')', n);
    assert_non_null(regex_compile(&arena, (str_t){ text, 2 * n }, &what));
    memset(text, '(', n + 1);
    memset(text + n + 1, ')', n + 1);
    assert_null(regex_compile(&arena, (str_t){ text, 2 * n + 2 }, &what));
    assert_string_equal(what, "groups nest too deep");
}

static void work_is_linear_and_counted(void **state)
{
    static char text[20000];
    const char *what;
    struct regex *re = regex_compile(&arena, S("^(a+)+$"), &what);
    size_t budget = 50000, before = budget;

    (void)state;
    assert_non_null(re);
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    assert_int_equal(regex_search(&arena, re, (str_t){ text, sizeof(text) }, &budget), 0);
    assert_true(budget < before && budget > 0);
    budget = 100;
    assert_int_equal(regex_search(&arena, re, (str_t){ text, sizeof(text) }, &budget), -1);
    assert_int_equal(budget, 0);
}

static void a_copy_of_the_block_works(void **state)
{
    const char *what;
    struct regex *re = regex_compile(&arena, S("^[a-f]+(x|y)$"), &what), *copy;
    size_t budget = 1000;

    (void)state;
    copy = arena_alloc(&arena, regex_size(re));
    memcpy(copy, re, regex_size(re));
    memset(re, 0xFF, regex_size(re));
    assert_int_equal(regex_search(&arena, copy, S("fadey"), &budget), 1);
    assert_int_equal(regex_search(&arena, copy, S("fadez"), &budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_match_anywhere),
        cmocka_unit_test(anchors),
        cmocka_unit_test(classes),
        cmocka_unit_test(repetition),
        cmocka_unit_test(alternatives),
        cmocka_unit_test(flags),
        cmocka_unit_test(malformed_patterns_are_refused),
        cmocka_unit_test(groups_nest_to_a_bound),
        cmocka_unit_test(work_is_linear_and_counted),
        cmocka_unit_test(a_copy_of_the_block_works),
    };
    int failed;

    arena_init(&arena);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
