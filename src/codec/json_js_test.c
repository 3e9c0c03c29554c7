/* JSON as JavaScript prints it: expectations were made with JSON.stringify(JSON.parse(text)). */
#include "base/must.h"
#include "base/test.h"
#include "codec/json.h"

static const struct {
    const char *in, *out;
} pairs[] = {
    { " { \"a\" : [ 1 , 2 ] ,\n\"b\":{ } } ", "{\"a\":[1,2],\"b\":{}}" },
    { "[true, false ,null]", "[true,false,null]" },
    { "\"\\u0041\\/\\u00e9\\n\\u0009\\u0001\\u007f\"", "\"A/\xC3\xA9\\n\\t\\u0001\x7f\"" },
    { "\"\\ud83d\\ude00 <&> \xE2\x80\xA8\"", "\"\xF0\x9F\x98\x80 <&> \xE2\x80\xA8\"" },
    { "{\"\\u0061\":\"a\\\"b\\\\\"}", "{\"a\":\"a\\\"b\\\\\"}" },
    { "[0,-0,0.0,1,-1,10,1.0,1.50,100.10]", "[0,0,0,1,-1,10,1,1.5,100.1]" },
    { "[1e3,1E+3,12e-1,1e21,1e20,123e-20,1e-6,1e-7,-0.5e-7]",
      "[1000,1000,1.2,1e+21,100000000000000000000,1.23e-18,0.000001,1e-7,-5e-8]" },
    { "[0.1000,0.000001234,123456789012345,9007199254740993]",
      "[0.1,0.000001234,123456789012345,9007199254740993]" },
    /* JavaScript cannot hold these: they stay */
    { "[1e400,12345678901234567890,0.12345678901234567891234]",
      "[1e400,12345678901234567890,0.12345678901234567891234]" },
    { "[5e-324,1.7976931348623157e308,4.35,0.3]", "[5e-324,1.7976931348623157e+308,4.35,0.3]" },
    { "\"\"", "\"\"" },
};

static void texts_are_printed_as_javascript_would(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct json_error e;
        struct buf b;
        struct json_out w = { .b = &b };
        str_t value;

        buf_init_arena(&b, &a, 4096);
        assert_true(json_check(str_from(pairs[i].in), &value, &e));
        json_put_js(&w, &a, value);
        assert_str(buf_str(&b), pairs[i].out);
        assert_true(json_check(buf_str(&b), &value, &e));
    }
    arena_done(&a);
}

static void commas_are_put_between_values(void **state)
{
    struct arena a;
    struct buf b;
    struct json_out w = { .b = &b };

    (void)state;
    arena_init(&a);
    buf_init_arena(&b, &a, 4096);
    json_open(&w, '[');
    json_put_js(&w, &a, S("1.0"));
    json_put_js(&w, &a, S("[ 2 ]"));
    json_put_js(&w, &a, STR_NULL);
    json_close(&w, ']');
    assert_str(buf_str(&b), "[1,[2],null]");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_printed_as_javascript_would),
        cmocka_unit_test(commas_are_put_between_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
