#include "base/test.h"
#include "engine/match.h"

static const struct {
    const char *text;
    bool event, pattern, id; /* allowed as */
} rows[] = {
    { "order", true, true, true },
    { "order.placed", true, true, true },
    { "bestellung.größe", true, true, true },
    { "a-b_c:d/e%f", true, true, true },
    { "", false, false, false },
    { " ", false, false, false },
    { "\xc2\xa0", false, false, false },
    { "two words", true, true, false },
    { "a\xc2\xa0"
      "b",
      true, true, false },
    { "a\xe2\x80\x83"
      "b",
      true, true, false },
    { "a\tb", false, false, false },
    { "a\x7f", false, false, false },
    { "a\xc2\x85"
      "b",
      false, false, false },
    { "a\xff", false, false, false },
    { "a\xed\xa0\x80", false, false, false },
    { "order.*", false, true, false },
    { "*", false, true, false },
    { ">", false, true, false },
    { "order.>", false, true, false },
    { "order.>.x", false, false, false },
    { ">.x", false, false, false },
    { "*.x.*", false, true, false },
    { "order*", true, false, false },
    { "a>b", true, false, false },
    { ".a", false, false, false },
    { "a.", false, false, false },
    { "a..b", false, false, false },
    { ".", false, false, false },
};

static void table(void **state)
{
    struct arena arena;
    struct ctx c = { .arena = &arena };

    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        str_t s = str_from(rows[i].text);

        if ((event_name_check(&c, s) == ERR_OK) != rows[i].event ||
            (event_pattern_check(&c, s) == ERR_OK) != rows[i].pattern ||
            (function_id_check(&c, s) == ERR_OK) != rows[i].id)
            fail_msg("row %zu: \"%s\"", i, rows[i].text);
    }
    arena_done(&arena);
}

static void refusals_name_the_reason(void **state)
{
    struct arena arena;
    struct ctx c = { .arena = &arena };

    (void)state;
    arena_init(&arena);
    assert_int_equal(event_name_check(&c, STR_NULL), ERR_INVALID);
    assert_str(err_text(&c, ERR_INVALID), "name is required");
    assert_int_equal(event_name_check(&c, S("a.*")), ERR_INVALID);
    assert_str(err_text(&c, ERR_INVALID), "name: the token \"*\" is a wildcard");
    assert_int_equal(function_id_check(&c, S("a b")), ERR_INVALID);
    assert_str(err_text(&c, ERR_INVALID), "id: blanks are not allowed");
    assert_int_equal(event_pattern_check(&c, S(">.a")), ERR_INVALID);
    assert_str(err_text(&c, ERR_INVALID), "event: \">\" must be the last token");
    arena_done(&arena);
}

static void names_have_a_length(void **state)
{
    struct arena arena;
    struct ctx c = { .arena = &arena };
    char *p;

    (void)state;
    arena_init(&arena);
    p = arena_alloc(&arena, EVENT_NAME_MAX + 1);
    memset(p, 'a', EVENT_NAME_MAX + 1);
    assert_int_equal(event_name_check(&c, (str_t){ p, EVENT_NAME_MAX }), ERR_OK);
    assert_int_equal(event_name_check(&c, (str_t){ p, EVENT_NAME_MAX + 1 }), ERR_INVALID);
    assert_int_equal(function_id_check(&c, (str_t){ p, FUNCTION_ID_MAX }), ERR_OK);
    assert_int_equal(function_id_check(&c, (str_t){ p, FUNCTION_ID_MAX + 1 }), ERR_INVALID);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(refusals_name_the_reason),
        cmocka_unit_test(names_have_a_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
