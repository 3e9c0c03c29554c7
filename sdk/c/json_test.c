/* The JSON reader and the writer of quoted text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ironflow_priv.h"

static bool valid(const char *text)
{
    return ironflow_json_valid(text, strlen(text));
}

static void accepts_what_rfc_8259_allows(void **state)
{
    static const char *const good[] = { "null",
                                        "true",
                                        " false ",
                                        "0",
                                        "-0",
                                        "1.5e+10",
                                        "1e400",
                                        "\"\"",
                                        "[]",
                                        "{}",
                                        "[1,2,3]",
                                        "[[]]",
                                        "{\"a\":{}}",
                                        "\"\\u00e9\\n\"",
                                        "[ 1 , {\"a\" : [ ] } ]" };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!valid(good[i]))
            fail_msg("%s", good[i]);
}

static void refuses_broken_text(void **state)
{
    static const char *const bad[] = { "",        "nul",   "01",       "1.",         "-",
                                       ".5",      "1e",    "\"",       "\"\\x\"",    "\"\\u12",
                                       "[",       "[1",    "[1,]",     "[,1]",       "{",
                                       "{\"a\"}", "{a:1}", "{\"a\":}", "{\"a\":1,}", "[1}",
                                       "{} {}",   "1 2",   "\"\n\"",   "[1 2]" };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (valid(bad[i]))
            fail_msg("%s", bad[i]);
}

static void depth_is_limited_without_recursion(void **state)
{
    struct text t = { 0 };

    (void)state;
    for (int i = 0; i < 100000; i++)
        text_char(&t, '[');
    assert_false(ironflow_json_valid(t.p, t.n));
    t.n = 0;
    for (int i = 0; i < 500; i++)
        text_char(&t, '[');
    for (int i = 0; i < 500; i++)
        text_char(&t, ']');
    assert_true(ironflow_json_valid(t.p, t.n));
    text_done(&t);
}

/* Every cut of a document is looked at without reading past its end (the sanitizer watches). */
static void truncated_text_is_refused(void **state)
{
    static const char doc[] = "{\"a\":[1,-2.5e3,\"x\\u0041\\\"\",null,true],\"b\":{\"c\":{}}}";

    (void)state;
    for (size_t n = 0; n < sizeof(doc) - 1; n++) {
        char *copy = mem_new(n);

        memcpy(copy, doc, n);
        assert_false(ironflow_json_valid(copy, n));
        free(copy);
    }
    assert_true(ironflow_json_valid(doc, sizeof(doc) - 1));
}

static void paths_lead_to_values(void **state)
{
    static const char doc[] = "{\"a\":{\"b\":[10,{\"c\":\"d\\u00e9\\ud83d\\ude00\"}]},\"n\":-7,"
                              "\"x\\u0041\":1.25,\"a.b\":0,\"n\":-8}";
    char out[32];
    int64_t n;
    double d;

    (void)state;
    assert_true(ironflow_json_string(doc, "a.b.1.c", out, sizeof(out)));
    assert_string_equal(out, "d\xc3\xa9\xf0\x9f\x98\x80");
    assert_true(ironflow_json_int(doc, "a.b.0", &n) && n == 10);
    assert_true(ironflow_json_int(doc, "n", &n) && n == -8); /* the last one counts */
    assert_true(ironflow_json_double(doc, "xA", &d) && d > 1.24 && d < 1.26);
    assert_null(ironflow_json_at(doc, "a.b.2").p);
    assert_null(ironflow_json_at(doc, "a.b.1.c.d").p);
    assert_null(ironflow_json_at(doc, "nobody").p);
    assert_null(ironflow_json_at("[1", "0").p);
    assert_false(ironflow_json_int(doc, "xA", &n));
    assert_false(ironflow_json_string(doc, "n", out, sizeof(out)));
}

static void long_strings_are_cut_to_the_buffer(void **state)
{
    char out[4];

    (void)state;
    assert_true(ironflow_json_string("{\"a\":\"abcdef\"}", "a", out, sizeof(out)));
    assert_string_equal(out, "abc");
}

static void lone_surrogates_become_a_replacement(void **state)
{
    char out[16];

    (void)state;
    assert_true(ironflow_json_string("{\"a\":\"\\ud800x\"}", "a", out, sizeof(out)));
    assert_string_equal(out, "\xef\xbf\xbdx");
}

static void quoting_escapes_and_repairs(void **state)
{
    char *q = ironflow_json_quote("a\"b\\c\n\t\x01\xc3\xa9\xff");

    (void)state;
    assert_string_equal(q, "\"a\\\"b\\\\c\\n\\t\\u0001\xc3\xa9\xef\xbf\xbd\"");
    assert_true(valid(q));
    free(q);
}

static void times_are_rfc_3339(void **state)
{
    struct text t = { 0 };

    (void)state;
    text_time(&t, 0);
    text_char(&t, ' ');
    text_time(&t, 1709210096789); /* a leap day */
    assert_string_equal(text_z(&t), "1970-01-01T00:00:00.000Z 2024-02-29T12:34:56.789Z");
    text_done(&t);
}

static void urls_escape_everything_unusual(void **state)
{
    struct text t = { 0 };

    (void)state;
    text_url(&t, "a/b c\xc3\xa9-._~");
    assert_string_equal(text_z(&t), "a%2Fb%20c%C3%A9-._~");
    text_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_rfc_8259_allows),
        cmocka_unit_test(refuses_broken_text),
        cmocka_unit_test(depth_is_limited_without_recursion),
        cmocka_unit_test(truncated_text_is_refused),
        cmocka_unit_test(paths_lead_to_values),
        cmocka_unit_test(long_strings_are_cut_to_the_buffer),
        cmocka_unit_test(lone_surrogates_become_a_replacement),
        cmocka_unit_test(quoting_escapes_and_repairs),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(urls_escape_everything_unusual),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
