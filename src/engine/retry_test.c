/* Delays between attempts. */
#include "engine/retry.h"

#include "base/test.h"

static void the_default_waits_one_then_two_seconds(void **state)
{
    struct retry_policy p = retry_default();

    (void)state;
    assert_int_equal(p.max_attempts, 3);
    assert_int_equal(retry_delay_ms(&p, 1), 1000);
    assert_int_equal(retry_delay_ms(&p, 2), 2000);
    assert_int_equal(retry_delay_ms(&p, 3), 4000);
}

static void no_delay_is_above_the_maximum(void **state)
{
    struct retry_policy p = retry_default();

    (void)state;
    assert_int_equal(retry_delay_ms(&p, 9), 256000);
    assert_int_equal(retry_delay_ms(&p, 10), 300000);
    assert_int_equal(retry_delay_ms(&p, INT64_MAX), 300000); /* and it does not take for ever */
    p.max_delay_ms = 10;
    assert_int_equal(retry_delay_ms(&p, 1), 10);
}

static void a_factor_of_one_keeps_the_delay(void **state)
{
    struct retry_policy p = { 9, 700, 300000, 1.0 };

    (void)state;
    assert_int_equal(retry_delay_ms(&p, 1), 700);
    assert_int_equal(retry_delay_ms(&p, INT64_MAX), 700);
}

static void fractions_are_cut(void **state)
{
    struct retry_policy p = { 9, 1001, 300000, 1.5 };

    (void)state;
    assert_int_equal(retry_delay_ms(&p, 2), 1501);
    assert_int_equal(retry_delay_ms(&p, 3), 2252);
}

static void odd_policies_do_not_go_back_in_time(void **state)
{
    struct retry_policy p = { 3, -5, -5, 0.1 };

    (void)state;
    assert_int_equal(retry_delay_ms(&p, 5), 0);
    p = (struct retry_policy){ 3, 1000, 0, 2.0 };
    assert_int_equal(retry_delay_ms(&p, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_waits_one_then_two_seconds),
        cmocka_unit_test(no_delay_is_above_the_maximum),
        cmocka_unit_test(a_factor_of_one_keeps_the_delay),
        cmocka_unit_test(fractions_are_cut),
        cmocka_unit_test(odd_policies_do_not_go_back_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
