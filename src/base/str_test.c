/* Views: comparison, search, numbers, UTF-8, and hashes that must not change. */
#include "base/str.h"

#include "base/arena.h"
#include "base/must.h"
#include "base/test.h"

static void views_compare_by_bytes(void **state)
{
    (void)state;
    assert_true(str_eq(S("abc"), str_from("abc")));
    assert_true(str_eq(STR_NULL, S("")));
    assert_true(str_eq(str_from(NULL), S("")));
    assert_false(str_eq(S("abc"), S("abd")));
    assert_false(str_eq(S("abc"), S("ab")));
    assert_true(str_eq(S("a\0b"), S("a\0b")));
    assert_false(str_eq(S("a\0b"), S("a\0c")));
    assert_true(str_eq_nocase(S("Content-TYPE"), S("content-type")));
    assert_false(str_eq_nocase(S("a@"), S("a`")));
    assert_false(str_eq_nocase(S("a"), S("ab")));
}

static void order_is_bytes_then_length(void **state)
{
    (void)state;
    assert_true(str_cmp(S("a"), S("b")) < 0);
    assert_true(str_cmp(S("ab"), S("a")) > 0);
    assert_true(str_cmp(S("\xff"), S("a")) > 0);
    assert_true(str_cmp(STR_NULL, S("a")) < 0);
    assert_int_equal(str_cmp(STR_NULL, S("")), 0);
}

static void finding(void **state)
{
    (void)state;
    assert_true(str_starts(S("run_1"), S("run_")));
    assert_true(str_starts(STR_NULL, S("")));
    assert_false(str_starts(S("run"), S("run_")));
    assert_true(str_ends(S("a.json"), S(".json")));
    assert_false(str_ends(S("json"), S(".json")));
    assert_true(str_ends(STR_NULL, STR_NULL));
    assert_int_equal(str_index(S("a.b.c"), '.'), 1);
    assert_int_equal(str_index(S("abc"), '.'), -1);
    assert_int_equal(str_index(STR_NULL, '.'), -1);
    assert_int_equal(str_find(S("hello world"), S("wor")), 6);
    assert_int_equal(str_find(S("hello"), S("hello!")), -1);
    assert_int_equal(str_find(STR_NULL, S("")), 0);
}

static void slicing_and_trimming(void **state)
{
    (void)state;
    assert_str(str_slice(S("abcdef"), 2, 4), "cd");
    assert_str(str_slice(S("abc"), 3, 3), "");
    assert_str(str_slice(STR_NULL, 0, 0), "");
    assert_str(str_trim(S(" \t\r\n a b \v\f")), "a b");
    assert_str(str_trim(S("   ")), "");
}

static void cutting(void **state)
{
    str_t rest = S("a,,b");
    str_t head = S("untouched");

    (void)state;
    assert_true(str_cut(&rest, ',', &head));
    assert_str(head, "a");
    assert_true(str_cut(&rest, ',', &head));
    assert_str(head, "");
    assert_true(str_cut(&rest, ',', &head));
    assert_str(head, "b");
    assert_false(str_cut(&rest, ',', &head));
    assert_str(head, "b");
}

static void integers(void **state)
{
    int64_t i = 77;
    uint64_t u = 77;

    (void)state;
    assert_true(str_to_i64(S("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(str_to_i64(S("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_true(str_to_u64(S("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_true(str_to_i64(S("-0"), &i));
    assert_int_equal(i, 0);
    assert_false(str_to_i64(S("9223372036854775808"), &i));
    assert_false(str_to_i64(S("-9223372036854775809"), &i));
    assert_false(str_to_u64(S("18446744073709551616"), &u));
    assert_false(str_to_u64(S("99999999999999999999"), &u));
}

static void what_is_no_integer(void **state)
{
    static const char *const bad[] = {
        "", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "--1", "1a"
    };
    int64_t i = 77;

    (void)state;
    for (size_t k = 0; k < COUNT_OF(bad); k++)
        assert_false(str_to_i64(str_from(bad[k]), &i));
    assert_int_equal(i, 77);
    assert_false(str_to_i64(STR_NULL, &i));
    assert_false(str_to_u64(S("-1"), &(uint64_t){ 0 }));
}

static void copies_live_in_the_arena(void **state)
{
    struct arena a;
    char text[] = "abc";
    str_t copy;
    const char *z;
    str_t printed;

    (void)state;
    arena_init(&a);
    copy = str_dup(&a, str_from(text));
    z = str_z(&a, (str_t){ text, 2 });
    text[0] = 'x';
    assert_str(copy, "abc");
    assert_string_equal(z, "ab");
    assert_string_equal(str_z(&a, STR_NULL), "");
    assert_non_null(str_dup(&a, STR_NULL).p);
    assert_str(str_printf(&a, "%s-%d", "n", 5), "n-5");
    printed = str_printf(&a, "%01000d", 3);
    assert_int_equal(printed.n, 1000);
    assert_int_equal(printed.p[999], '3');
    arena_done(&a);
}

static void utf8_that_is_well_formed(void **state)
{
    static const char *const good[] = {
        "",
        "plain text of more than eight bytes",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "1234567\xc3\xa9 and on",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(str_is_utf8(str_from(good[i])));
    assert_true(str_is_utf8(S("a\0b")));
}

static void utf8_that_is_not(void **state)
{
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xc0\xaf",         /* overlong */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3",
        "\xe2\x82",
        "\xf0\x9f\x98",
        "\xc3(",
        "\xe2(\xa1",
        "12345678\x80",
        "1234567\xe2\x82",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(str_is_utf8(str_from(bad[i])));
    assert_int_equal(str_utf8_step(S("a\xe2\x82\xac"), 1), 3);
    assert_int_equal(str_utf8_step(S("a\xe2\x82"), 1), 0);
}

static void control_characters(void **state)
{
    (void)state;
    assert_true(str_is_control(S("\n"), 0));
    assert_true(str_is_control(S("\x7f"), 0));
    assert_true(str_is_control(S("\xc2\x9b"), 0));
    assert_false(str_is_control(S("\xc2\xa0"), 0));
    assert_false(str_is_control(S(" "), 0));
}

/* These values are stored in databases: a change of the function breaks them. */
static void the_hash_never_changes(void **state)
{
    (void)state;
    assert_int_equal(str_hash(STR_NULL), str_hash(S("")));
    assert_int_equal(str_hash(S("")), 0x67ea868c4f284566u);
    assert_int_equal(str_hash(S("a")), 0xd4d7f56a3d08c7d3u);
    assert_int_equal(str_hash(S("ab")), 0xaedaf1ebe10b8f50u);
    assert_int_equal(str_hash(S("order")), 0xb29acae634a85d83u);
    assert_int_equal(str_hash(S("order.created")), 0xbd2b488b33502c9au);
    assert_int_equal(str_hash(S("12345678")), 0x3c104139e5f66118u);
    assert_int_equal(str_hash(S("a longer key: 0123456789")), 0xd52e90976f8fb3dcu);
}

static void the_hash_spreads(void **state)
{
    static unsigned char seen[1 << 16];
    char text[16] = "key-00000";
    unsigned used = 0;

    (void)state;
    for (int i = 0; i < 65536; i++) {
        uint64_t h;

        for (int k = 8, v = i; k >= 4; k--, v /= 10)
            text[k] = (char)('0' + v % 10);
        h = str_hash((str_t){ text, 9 });
        used += seen[h & 0xffff]++ == 0;
    }
    /* A random function fills 1 - 1/e of the places, 41427. */
    assert_in_range(used, 41000, 41900);
    assert_true(str_hash(S("a")) != str_hash(S("a\0")));
}

static void code_points_become_utf8(void **state)
{
    static const struct {
        uint32_t code;
        const char *want;
    } cases[] = {
        { 'a', "a" },          { 0x7F, "\x7F" },           { 0x80, "\xC2\x80" },
        { 0x7FF, "\xDF\xBF" }, { 0x20AC, "\xE2\x82\xAC" }, { 0x10FFFF, "\xF4\x8F\xBF\xBF" }
    };
    char text[4];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_str(((str_t){ text, str_put_utf8(text, cases[i].code) }), cases[i].want);
}

static void hexadecimal_digits_have_values(void **state)
{
    (void)state;
    assert_int_equal(str_hex_digit('0'), 0);
    assert_int_equal(str_hex_digit('9'), 9);
    assert_int_equal(str_hex_digit('a'), 10);
    assert_int_equal(str_hex_digit('F'), 15);
    assert_int_equal(str_hex_digit('g'), -1);
    assert_int_equal(str_hex_digit('/'), -1);
    assert_int_equal(str_hex_digit('@'), -1);
    assert_int_equal(str_hex_digit('\xE1'), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_points_become_utf8),
        cmocka_unit_test(hexadecimal_digits_have_values),
        cmocka_unit_test(views_compare_by_bytes),
        cmocka_unit_test(order_is_bytes_then_length),
        cmocka_unit_test(finding),
        cmocka_unit_test(slicing_and_trimming),
        cmocka_unit_test(cutting),
        cmocka_unit_test(integers),
        cmocka_unit_test(what_is_no_integer),
        cmocka_unit_test(copies_live_in_the_arena),
        cmocka_unit_test(utf8_that_is_well_formed),
        cmocka_unit_test(utf8_that_is_not),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(the_hash_never_changes),
        cmocka_unit_test(the_hash_spreads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
