/* What a worker registers for its functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker_priv.h"

static int nothing(struct ironflow_run *run, void *arg)
{
    (void)run;
    (void)arg;
    return IRONFLOW_OK;
}

static void check(const struct ironflow_function *f, const char *json)
{
    struct text t = { 0 };

    function_text(&t, f);
    text_char(&t, '\0');
    assert_string_equal(t.p, json);
    text_done(&t);
}

static void a_plain_function(void **state)
{
    static const char *const events[] = { "a", "b.*", NULL };

    (void)state;
    check(&(struct ironflow_function){ .id = "f", .events = events, .handler = nothing },
          "{\"id\":\"f\",\"name\":\"f\",\"preferredMode\":\"EXECUTION_MODE_PULL\",\"triggers\":"
          "[{\"event\":\"a\"},{\"event\":\"b.*\"}],\"retry\":{}}");
}

static void schedules_filters_limits_and_actors(void **state)
{
    static const char *const events[] = { "a", NULL };
    static const struct ironflow_trigger triggers[] = {
        { .event = "b", .expression = "data.n > \"5\"" }, { .cron = "*/30 * * * * *" }, { 0 }
    };
    static const struct ironflow_cancel_on cancel_on[] = { { "x", "data.id" },
                                                           { "y", "id" },
                                                           { 0 } };
    struct ironflow_function f = { .id = "f",
                                   .events = events,
                                   .handler = nothing,
                                   .flow = { .triggers = triggers,
                                             .concurrency_limit = 2,
                                             .concurrency_key = "customerId",
                                             .actor_key = "user",
                                             .debounce_ms = 3000,
                                             .debounce_key = "depot",
                                             .debounce_max_ms = 9000,
                                             .cancel_on = cancel_on } };

    (void)state;
    check(&f, "{\"id\":\"f\",\"name\":\"f\",\"preferredMode\":\"EXECUTION_MODE_PULL\",\"triggers\":"
              "[{\"event\":\"a\"},{\"event\":\"b\",\"expression\":\"data.n > \\\"5\\\"\"},"
              "{\"cron\":\"*/30 * * * * *\"}],\"retry\":{},"
              "\"concurrency\":{\"limit\":2,\"key\":\"customerId\"},"
              "\"debounce\":{\"period_ms\":3000,\"key\":\"depot\",\"max_wait_ms\":9000},"
              "\"actorKey\":\"user\",\"cancelOn\":[{\"event\":\"x\",\"match\":\"data.id\"},"
              "{\"event\":\"y\",\"match\":\"id\"}]}");
    f.events = NULL;
    f.flow = (struct ironflow_flow){ .concurrency_limit = 1, .debounce_ms = 1000 };
    check(&f, "{\"id\":\"f\",\"name\":\"f\",\"preferredMode\":\"EXECUTION_MODE_PULL\",\"triggers\":"
              "[],\"retry\":{},\"concurrency\":{\"limit\":1},\"debounce\":{\"period_ms\":1000}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_function),
        cmocka_unit_test(schedules_filters_limits_and_actors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
