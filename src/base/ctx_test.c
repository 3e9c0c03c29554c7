/* Error details, what is replaced in them, and ids. */
#include "base/ctx.h"

#include "base/test.h"

static void the_detail_is_kept_with_its_code(void **state)
{
    struct ctx c = { 0 };

    (void)state;
    assert_int_equal(err_set(&c, ERR_NOT_FOUND, "run %s not found", "run_1"), ERR_NOT_FOUND);
    assert_str(err_text(&c, ERR_NOT_FOUND), "run run_1 not found");
    /* The detail of one error says nothing about another. */
    assert_str(err_text(&c, ERR_CONFLICT), "the request conflicts with the current state");
}

static void every_error_has_a_general_text(void **state)
{
    struct ctx c = { 0 };

    (void)state;
    for (unsigned e = 0; e < ERR_COUNT; e++)
        assert_true(err_text(&c, (err_t)e).n != 0);
}

static void the_old_detail_may_be_an_argument(void **state)
{
    struct ctx c = { 0 };

    (void)state;
    err_ignore(err_set(&c, ERR_INVALID, "bad value"), "it only sets the text");
    err_ignore(err_set(&c, ERR_INVALID, "item %d: %s", 3, c.err.text), "it only sets the text");
    assert_str(err_text(&c, ERR_INVALID), "item 3: bad value");
}

static void control_characters_and_bad_utf8_are_replaced(void **state)
{
    struct ctx c = { 0 };
    str_t text;

    (void)state;
    err_ignore(err_set(&c, ERR_INVALID, "%s",
                       "a\nb\tc\x1b[31m\x7f\xc2\x9b\xff\xed\xa0\x80 \xc3\xa9\xe2\x82"),
               "it only sets the text");
    text = err_text(&c, ERR_INVALID);
    assert_true(str_is_utf8(text));
    assert_str(text, "a b c\xef\xbf\xbd[31m\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                     "\xef\xbf\xbd\xef\xbf\xbd \xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
}

/* Characters of one to four bytes at every offset, through both cuts: formatting and detail. */
static void long_text_is_cut_between_characters(void **state)
{
    static const char *const chars[] = { "x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    struct ctx c = { 0 };

    (void)state;
    for (size_t k = 0; k < COUNT_OF(chars); k++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[4096];
            size_t n = shift;
            str_t got;

            memset(text, '-', shift);
            while (n + 8 < sizeof(text)) {
                memcpy(text + n, chars[k], strlen(chars[k]));
                n += strlen(chars[k]);
            }
            text[n] = '\0';
            err_ignore(err_set(&c, ERR_INVALID, "%s", text), "it only sets the text");
            got = err_text(&c, ERR_INVALID);
            assert_in_range(got.n, 508, 511);
            assert_true(str_starts(str_from(text), got));
            assert_true(str_is_utf8(got));
        }
    }
}

static void an_empty_detail_counts_as_none(void **state)
{
    struct ctx c = { 0 };

    (void)state;
    err_ignore(err_set(&c, ERR_NOT_FOUND, "%s", ""), "it only sets the text");
    assert_str(err_text(&c, ERR_NOT_FOUND), "not found");
}

static void ids_have_the_time_of_the_call(void **state)
{
    struct id_gen ids = { 0, 1 };
    struct ctx c = { .ids = &ids, .now_ms = 1777708800000 };
    int64_t first = ctx_id(&c);

    (void)state;
    assert_int_equal(id_ms(first), 1777708800000);
    assert_true(ctx_id(&c) > first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_detail_is_kept_with_its_code),
        cmocka_unit_test(every_error_has_a_general_text),
        cmocka_unit_test(the_old_detail_may_be_an_argument),
        cmocka_unit_test(control_characters_and_bad_utf8_are_replaced),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(an_empty_detail_counts_as_none),
        cmocka_unit_test(ids_have_the_time_of_the_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
