/* What a broken must does, and AUTO. */
#include "base/must.h"

#include <signal.h>

#include "base/test.h"

static void break_it(void)
{
    must(1 == 2);
}

static void keep_it(void)
{
    must(1 == 1);
}

static void a_broken_must_aborts(void **state)
{
    (void)state;
    assert_int_equal(test_signal_of(break_it), SIGABRT);
}

static void a_kept_must_does_nothing(void **state)
{
    (void)state;
    assert_int_equal(test_signal_of(keep_it), 0);
}

static void count_up(int **at)
{
    (**at)++;
}

static void auto_runs_when_the_scope_ends(void **state)
{
    int count = 0;

    (void)state;
    {
        AUTO(count_up) int *at = &count;

        assert_int_equal(*at, 0);
    }
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_must_aborts),
        cmocka_unit_test(a_kept_must_does_nothing),
        cmocka_unit_test(auto_runs_when_the_scope_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
