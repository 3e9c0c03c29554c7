/* The table of errors and TRY. */
#include "base/err.h"

#include "base/test.h"

static void rows_say_what_the_table_says(void **state)
{
    (void)state;
    assert_int_equal(err_http(ERR_OK), 200);
    assert_int_equal(err_http(ERR_NOT_FOUND), 404);
    assert_int_equal(err_http(ERR_PRECONDITION), 412);
    assert_str(err_rest_code(ERR_NOT_FOUND), "not_found");
    assert_str(err_rest_code(ERR_STALE_EXECUTION), "STALE_EXECUTION");
    assert_str(err_rpc_code(ERR_STALE_EXECUTION), "aborted");
    assert_str(err_rpc_code(ERR_METHOD), "unimplemented");
}

static void every_row_is_complete(void **state)
{
    (void)state;
    for (unsigned e = 0; e < ERR_COUNT; e++) {
        assert_in_range(err_http((err_t)e), 200, 599);
        assert_true(err_rest_code((err_t)e).n != 0);
        assert_true(err_rpc_code((err_t)e).n != 0);
    }
}

static err_t with_try(err_t inner, int *reached)
{
    TRY(inner);
    *reached = 1;
    return ERR_CONFLICT;
}

static void try_passes_errors_up(void **state)
{
    int reached = 0;

    (void)state;
    assert_int_equal(with_try(ERR_NOT_FOUND, &reached), ERR_NOT_FOUND);
    assert_int_equal(reached, 0);
    assert_int_equal(with_try(ERR_OK, &reached), ERR_CONFLICT);
    assert_int_equal(reached, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_say_what_the_table_says),
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(try_passes_errors_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
