/* Bodies and statuses of errors. */
#include "api/errors.h"

#include "api/api.h"
#include "base/test.h"

static struct arena arena;

static str_t body(bool rpc, err_t e, const char *text)
{
    struct buf b;

    buf_init_arena(&b, &arena, 4096);
    api_error_json(&b, rpc, e, str_from(text));
    return buf_str(&b);
}

static void rest_has_three_strings(void **state)
{
    (void)state;
    assert_str(body(false, ERR_NOT_FOUND, "run \"x\" not found"),
               "{\"error\":\"run \\\"x\\\" not found\",\"message\":\"run \\\"x\\\" not found\","
               "\"code\":\"not_found\"}");
    assert_str(body(false, ERR_STALE_EXECUTION, "gone"),
               "{\"error\":\"gone\",\"message\":\"gone\",\"code\":\"STALE_EXECUTION\"}");
}

static void connect_has_code_and_message(void **state)
{
    (void)state;
    assert_str(body(true, ERR_INVALID, "name: required"),
               "{\"code\":\"invalid_argument\",\"message\":\"name: required\"}");
}

static void connect_status_follows_from_the_code(void **state)
{
    (void)state;
    assert_int_equal(api_rpc_status(ERR_PRECONDITION), 400);
    assert_int_equal(err_http(ERR_PRECONDITION), 412);
    assert_int_equal(api_rpc_status(ERR_CONFLICT), 409);
    assert_int_equal(api_rpc_status(ERR_EXISTS), 409);
    assert_int_equal(api_rpc_status(ERR_TOO_LARGE), 429);
    assert_int_equal(api_rpc_status(ERR_UNIMPLEMENTED), 501);
    assert_int_equal(api_rpc_status(ERR_CANCELED), 499);
    assert_int_equal(api_rpc_status(ERR_UNCERTAIN), 503);
    for (err_t e = ERR_INVALID; e < ERR_COUNT; e++)
        assert_true(api_rpc_status(e) >= 400);
}

static void errors_of_the_server_have_bodies_too(void **state)
{
    (void)state;
    assert_str(
        api_error_body(&arena, 413, "too large"),
        "{\"error\":\"too large\",\"message\":\"too large\",\"code\":\"resource_exhausted\"}");
    assert_str(api_error_body(&arena, 431, "headers"),
               "{\"error\":\"headers\",\"message\":\"headers\",\"code\":\"invalid_argument\"}");
    assert_str(api_error_body(&arena, 505, "version"),
               "{\"error\":\"version\",\"message\":\"version\",\"code\":\"internal\"}");
}

static int stop(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rest_has_three_strings),
        cmocka_unit_test(connect_has_code_and_message),
        cmocka_unit_test(connect_status_follows_from_the_code),
        cmocka_unit_test(errors_of_the_server_have_bodies_too),
    };

    arena_init(&arena);
    return cmocka_run_group_tests(tests, NULL, stop);
}
