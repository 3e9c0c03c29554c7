/* Order, layout and text of ids. */
#include "base/id.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/test.h"

#define NOW 1777708800000 /* 2026-05-02T08:00:00Z */

static void ids_grow_within_a_millisecond(void **state)
{
    struct id_gen g = { 0, 3 };
    int64_t last = 0;

    (void)state;
    /* More than a millisecond holds: it borrows from the next ones. */
    for (int i = 0; i < 10000; i++) {
        int64_t id = id_next(&g, NOW);

        assert_true(id > last);
        assert_int_equal((id >> 12) & 1023, 3);
        last = id;
    }
    assert_int_equal(id_ms(last), NOW + 2);
}

static void a_clock_that_goes_back_does_not_matter(void **state)
{
    struct id_gen g = { 0, 1023 };
    int64_t first = id_next(&g, NOW);
    int64_t second = id_next(&g, NOW - 100000);

    (void)state;
    assert_true(second > first);
    assert_int_equal(id_ms(second), NOW);
    assert_true(id_next(&g, NOW + 1) > second);
    assert_int_equal(id_ms(g.last), NOW + 1);
}

static void another_slot_continues_above(void **state)
{
    struct id_gen g = { 0, 500 };
    int64_t first = id_next(&g, NOW);
    int64_t lower, higher;

    (void)state;
    g.slot = 2;
    lower = id_next(&g, NOW);
    assert_true(lower > first);
    assert_int_equal((lower >> 12) & 1023, 2);
    g.slot = 900;
    higher = id_next(&g, NOW);
    assert_true(higher > lower);
    assert_int_equal((higher >> 12) & 1023, 900);
}

static void ids_are_positive_at_any_time(void **state)
{
    struct id_gen g = { 0, 0 };

    (void)state;
    assert_true(id_next(&g, 0) > 0);
    assert_true(id_next(&g, INT64_MIN) > 0);
    assert_true(id_next(&g, INT64_MAX) > 0);
}

static void times_inside(void **state)
{
    struct id_gen g = { 0, 77 };
    int64_t id = id_next(&g, NOW);

    (void)state;
    assert_int_equal(id_ms(id), NOW);
    assert_true(id_from_ms(NOW) <= id);
    assert_true(id_from_ms(NOW + 1) > id);
    assert_int_equal(id_ms(id_from_ms(NOW)), NOW);
    assert_int_equal(id_from_ms(0), 0);
}

static void text_goes_there_and_back(void **state)
{
    static const char *const prefix[ID_KIND_COUNT] = { "run_", "evt_", "step_",
                                                       "job_", "ob_",  "aud_" };
    static const int64_t ids[] = { 1, 31, 32, (int64_t)1 << 60, INT64_MAX, 0x123456789abcdef };
    struct arena a;

    (void)state;
    arena_init(&a);
    for (unsigned kind = 0; kind < ID_KIND_COUNT; kind++) {
        for (size_t i = 0; i < COUNT_OF(ids); i++) {
            str_t text = id_text(&a, kind, ids[i]);
            int64_t back = 0;

            assert_true(str_starts(text, str_from(prefix[kind])));
            assert_int_equal(text.n, strlen(prefix[kind]) + 13);
            assert_true(id_parse(kind, text, &back));
            assert_true(back == ids[i]);
            assert_false(id_parse((kind + 1) % ID_KIND_COUNT, text, &back));
        }
    }
    assert_str(id_text(&a, ID_RUN, INT64_MAX), "run_7zzzzzzzzzzzz");
    assert_str(id_text(&a, ID_STEP, 33), "step_0000000000011");
    arena_done(&a);
}

static void print_appends_the_text(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_append(&b, S("id="));
    id_print(&b, ID_EVENT, 10);
    assert_str(buf_str(&b), "id=evt_000000000000a");
    buf_done(&b);
}

static void text_order_is_id_order(void **state)
{
    struct id_gen g = { 0, 5 };
    struct arena a;
    str_t last = S("run_");

    (void)state;
    arena_init(&a);
    for (int i = 0; i < 3000; i++) {
        str_t text = id_text(&a, ID_RUN, id_next(&g, NOW + i * 37 % 1000));

        assert_true(str_cmp(last, text) < 0);
        last = text;
    }
    arena_done(&a);
}

static void other_text_is_no_id(void **state)
{
    static const char *const bad[] = {
        "",
        "run_",
        "run_0000000000001x", /* too long */
        "run_00000000001",    /* too short */
        "run_000000000000i",  /* not in the alphabet */
        "run_000000000000A",  /* upper case */
        "run_8000000000000",  /* beyond 63 bits */
        "run_0000000000000",  /* no id is 0 */
        "RUN_0000000000001",
        "evt_0000000000001",
        "0000000000001",
        "run_00000000000 1",
        "run_\377000000000001",
        "run_-000000000001",
    };
    int64_t id = 5;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(id_parse(ID_RUN, str_from(bad[i]), &id));
    assert_false(id_parse(ID_RUN, STR_NULL, &id));
    assert_false(id_parse(ID_RUN,
                          S("run_00000000000\0"
                            "1"),
                          &id));
    assert_int_equal(id, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_grow_within_a_millisecond),
        cmocka_unit_test(a_clock_that_goes_back_does_not_matter),
        cmocka_unit_test(another_slot_continues_above),
        cmocka_unit_test(ids_are_positive_at_any_time),
        cmocka_unit_test(times_inside),
        cmocka_unit_test(text_goes_there_and_back),
        cmocka_unit_test(print_appends_the_text),
        cmocka_unit_test(text_order_is_id_order),
        cmocka_unit_test(other_text_is_no_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
