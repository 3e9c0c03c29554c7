/* The strict reader, the span functions and the writer. */
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/test.h"

static struct arena arena;

static bool accepts(str_t text)
{
    struct json_error e = { 0, NULL };
    str_t value;
    bool ok = json_check(text, &value, &e);

    if (!ok) {
        assert_non_null(e.what);
        assert_true(e.at <= text.n);
    }
    return ok;
}

static str_t checked(const char *z)
{
    struct json_error e;
    str_t value;

    if (!json_check(str_from(z), &value, &e))
        fail_msg("%s: %s at %zu", z, e.what, e.at);
    return value;
}

static void values_are_accepted(void **state)
{
    static const char *const good[] = {
        "null",
        " true ",
        "\t\r\n false",
        "0",
        "-0",
        "-0.0e-0",
        "1e400",
        "12345678901234567890",
        "0.1E+7",
        "\"\"",
        "\"a\\n\\\"\\\\\\/\\b\\f\\r\\t\"",
        "\"\\u00e9\\uD83D\\uDE00\"",
        "\"\xf0\x9f\x98\x80 and then some more text behind\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1, [2, {\"a\":[]}], \"x\"]",
        "{\"a\":1,\"a\":2,\"\":{}}",
        "\"\x7f\"",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        if (!accepts(str_from(good[i])))
            print_error("refused: %s\n", good[i]);
        assert_true(accepts(str_from(good[i])));
    }
}

static const char *const refused[] = {
    "",
    " ",
    "nul",
    "nulls",
    "True",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1.e1",
    "1e",
    "1e+",
    "0x1",
    "NaN",
    "Infinity",
    "\"",
    "\"abc",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud800\\ud800\"",
    "\"a\nb\"",
    "\"\x1f\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xc3\"",
    "\"12345678\xf4\x90\x80\x80\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{a:1}",
    "{\"a\" 1}",
    "{1:2}",
    "{,}",
    "{\"a\":}",
    "{\"a\":1]",
    "1 2",
    "null,",
    "{} x",
    "'a'",
    "// c\n1",
    ("\xef\xbb\xbf"
     "1"),
    "[\"a\":1]",
    "{\"a\":1 \"b\":2}",
    "\"\\",
    "\"\\u",
    "tru",
    "-a",
    "1-",
    "{\"a\",1}",
};

static void other_texts_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        if (accepts(str_from(refused[i])))
            print_error("accepted: %s\n", refused[i]);
        assert_false(accepts(str_from(refused[i])));
    }
    assert_false(accepts(S("\"a\0b\"")));
    assert_false(accepts(S("1\0")));
    assert_false(accepts(STR_NULL));
}

static void the_error_says_where(void **state)
{
    struct json_error e;
    str_t value;

    (void)state;
    assert_false(json_check(S("{\"a\": tru}"), &value, &e));
    assert_int_equal(e.at, 6);
    assert_false(json_check(S("[1, 2"), &value, &e));
    assert_int_equal(e.at, 5);
    assert_string_equal(e.what, "unexpected end");
    assert_false(json_check(S("{} x"), &value, &e));
    assert_int_equal(e.at, 3);
}

/* depth opening brackets, and as many closing ones. */
static str_t nested(size_t depth, bool close)
{
    char *p = arena_alloc(&arena, 2 * depth + 1);

    memset(p, '[', depth);
    memset(p + depth, ']', depth);
    return (str_t){ p, close ? 2 * depth : depth };
}

static void depth_is_bounded(void **state)
{
    (void)state;
    assert_true(accepts(nested(JSON_DEPTH_MAX, true)));
    assert_false(accepts(nested(JSON_DEPTH_MAX + 1, true)));
    assert_false(accepts(nested(100000, true)));
    assert_false(accepts(nested(100000, false)));
}

/* Every prefix and every changed byte must be handled without reading outside. */
static void damage_is_survived(void **state)
{
    static const char text[] = "{\"k\":[1.5e3,\"\\ud83d\\ude00 \xc3\xa9\",true,null,{}],\"z\":-0}";
    size_t n = sizeof(text) - 1;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        char *copy = malloc(n); /* exact, so that the sanitizer sees a step too far */

        assert_non_null(copy);
        memcpy(copy, text, n);
        assert_false(accepts((str_t){ copy, i }));
        for (int ch = 0; ch < 256; ch += 5) {
            copy[i] = (char)ch;
            (void)accepts((str_t){ copy, n });
        }
        free(copy);
    }
}

static void members_are_walked(void **state)
{
    str_t obj = checked(" { \"a\" : 1 ,\"b\\n\":[1,2],\"c\":{\"d\":\"}\"} , \"e\":\"x,\\\"y\" } ");
    struct json_iter it = json_iter(obj);

    (void)state;
    assert_true(json_next(&it));
    assert_str(it.key, "a");
    assert_str(it.value, "1");
    assert_true(json_next(&it));
    assert_str(it.key, "b\\n");
    assert_str(it.value, "[1,2]");
    assert_true(json_next(&it));
    assert_str(it.value, "{\"d\":\"}\"}");
    assert_true(json_next(&it));
    assert_str(it.value, "\"x,\\\"y\"");
    assert_false(json_next(&it));
}

static void items_are_walked(void **state)
{
    struct json_iter it = json_iter(checked("[\"a\", [ ] ,{\"x\":1}, -2.5 , null]"));
    static const char *const want[] = { "\"a\"", "[ ]", "{\"x\":1}", "-2.5", "null" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_true(json_next(&it));
        assert_int_equal(it.key.n, 0);
        assert_str(it.value, want[i]);
    }
    assert_false(json_next(&it));
    it = json_iter(checked("17"));
    assert_false(json_next(&it));
    it = json_iter(checked("[]"));
    assert_false(json_next(&it));
}

static void unchecked_text_ends_the_walk(void **state)
{
    static const char *const bad[] = { "{}}", "[]]]", "{\"a\"}", "[,]", "{:}", "[\"]", "{\"a\":}" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct json_iter it = json_iter(str_from(bad[i]));
        int steps = 0;

        while (json_next(&it))
            assert_true(++steps < 10);
    }
}

static void members_are_found(void **state)
{
    str_t obj =
        checked("{\"a\":1,\"b\":{\"c\":[10,{\"d\":true}]},\"a\":2,\"q\\\"\\u00e9\":3,\"\":4}");
    str_t out;

    (void)state;
    assert_true(json_get(obj, S("a"), &out));
    assert_str(out, "2");
    assert_true(json_get(obj, S("q\"\xc3\xa9"), &out));
    assert_str(out, "3");
    assert_true(json_get(obj, S(""), &out));
    assert_str(out, "4");
    assert_false(json_get(obj, S("zz"), &out));
    assert_false(json_get(checked("[1]"), S("a"), &out));
    assert_true(json_path(obj, S("b.c.1.d"), &out));
    assert_str(out, "true");
    assert_true(json_path(obj, S("b.c.0"), &out));
    assert_str(out, "10");
    assert_false(json_path(obj, S("b.c.2"), &out));
    assert_false(json_path(obj, S("b.c.x"), &out));
    assert_false(json_path(obj, S("a.b"), &out));
}

static void strings_lose_their_escapes(void **state)
{
    str_t out;

    (void)state;
    assert_true(json_string(
        &arena, checked("\"a\\n\\t\\\"\\\\\\/\\u0041\\u00e9\\u20ac\\ud83d\\ude00\""), &out));
    assert_str(out, "a\n\t\"\\/A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_true(json_string(&arena, checked("\"\\u0000\""), &out));
    assert_int_equal(out.n, 1);
    assert_int_equal(out.p[0], 0);
    assert_false(json_string(&arena, checked("1"), &out));
    assert_str(json_scalar(&arena, checked("\"x\\/y\"")), "x/y");
    assert_str(json_scalar(&arena, checked("1.50")), "1.50");
}

static void integers(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        { "0", 0 },
        { "-0", 0 },
        { "0e999999999999", 0 },
        { "0.000", 0 },
        { "42", 42 },
        { "1.0", 1 },
        { "1e3", 1000 },
        { "120e-1", 12 },
        { "-1.50e1", -15 },
        { "0.001e3", 1 },
        { "9223372036854775807", INT64_MAX },
        { "-9223372036854775808", INT64_MIN },
        { "9.223372036854775807e18", INT64_MAX },
        { "1000000000000000000", 1000000000000000000 },
    };
    static const char *const bad[] = { "9223372036854775808",
                                       "-9223372036854775809",
                                       "1e19",
                                       "12345678901234567890",
                                       "0.5",
                                       "1e-1",
                                       "1e400",
                                       "1e99999999999999",
                                       "\"1\"",
                                       "true",
                                       "1.25e1" };
    int64_t v;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_true(json_i64(checked(good[i].text), &v));
        assert_int_equal(v, good[i].value);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(json_i64(checked(bad[i]), &v));
}

static void doubles(void **state)
{
    char *digits = arena_alloc(&arena, 301);
    double v;

    (void)state;
    assert_true(json_double(checked("1.5"), &v) && v > 1.4 && v < 1.6);
    assert_true(json_double(checked("-2e3"), &v) && v < -1999 && v > -2001);
    memset(digits, '1', 300);
    digits[300] = 0;
    assert_true(json_double(checked(digits), &v) && v > 1e299);
    assert_false(json_double(checked("1e400"), &v));
    assert_false(json_double(checked("\"1\""), &v));
}

static str_t written_double(double v)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, &arena, 100);
    json_put_double(&w, v);
    return buf_str(&b);
}

static void the_writer_puts_commas_and_quotes(void **state)
{
    struct buf b;
    struct json_out w = { .b = &b };

    (void)state;
    buf_init_arena(&b, &arena, 1000);
    json_open(&w, '{');
    json_key(&w, S("a"));
    json_put_i64(&w, -5);
    json_key(&w, S("b\""));
    json_open(&w, '[');
    json_put_str(&w, S("x\n\x01\\\"\x1f plain text of some length \xc3\xa9"));
    json_put_bool(&w, true);
    json_put_raw(&w, S("{\"r\":1}"));
    json_put_raw(&w, STR_NULL);
    json_open(&w, '[');
    json_close(&w, ']');
    json_close(&w, ']');
    json_key(&w, S("c"));
    json_put_double(&w, 2.5);
    json_close(&w, '}');
    assert_str(buf_str(&b), "{\"a\":-5,\"b\\\"\":[\"x\\n\\u0001\\\\\\\"\\u001f plain text of some "
                            "length \xc3\xa9\",true,{\"r\":1},null,[]],\"c\":2.5}");
}

static void what_is_no_utf8_is_written_as_replacements(void **state)
{
    struct buf b;

    (void)state;
    buf_init_arena(&b, &arena, 100);
    json_quote(&b, S("a\xff"
                     "b"));
    assert_str(buf_str(&b), "\"a\xef\xbf\xbd"
                            "b\"");
    assert_true(accepts(buf_str(&b)));
}

static void doubles_are_written_short_and_exact(void **state)
{
    (void)state;
    assert_str(written_double(3), "3");
    assert_str(written_double(-0.1), "-0.1");
    assert_str(written_double(-0.0), "-0");
    assert_str(written_double(1e300), "1e+300");
    assert_str(written_double(0.1 + 0.2), "0.30000000000000004");
    assert_str(written_double(9007199254740993.0), "9007199254740992");
    assert_str(written_double(strtod("inf", NULL)), "null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_accepted),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(the_error_says_where),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(members_are_walked),
        cmocka_unit_test(items_are_walked),
        cmocka_unit_test(unchecked_text_ends_the_walk),
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(strings_lose_their_escapes),
        cmocka_unit_test(integers),
        cmocka_unit_test(doubles),
        cmocka_unit_test(the_writer_puts_commas_and_quotes),
        cmocka_unit_test(what_is_no_utf8_is_written_as_replacements),
        cmocka_unit_test(doubles_are_written_short_and_exact),
    };
    int failed;

    arena_init(&arena);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
