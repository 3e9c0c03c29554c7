/* Reports from their decoded JSON. */
#include "svc/update.h"

#include "base/test.h"
#include "codec/json.h"
#include "engine/run.h"
#include "engine/wait.h"

#define MESSAGE_MAX ((size_t)4 << 20) /* of the streams, and of bodies */

/* Characters that need six bytes each in JSON, as many as a message holds. */
static void a_long_error_stays_json_up_to_the_parent(void **state)
{
    struct arena arena;
    struct ctx c = { .arena = &arena };
    struct pb_rest_job_update in = { 0 };
    struct pb_rest_step_error error = { 0 };
    struct report out = { .kind = REPORT_FAILED };
    struct json_error je;
    char *text;
    str_t value, step;

    (void)state;
    arena_init(&arena);
    text = arena_alloc(&arena, MESSAGE_MAX);
    memset(text, 1, MESSAGE_MAX);
    error.message = (str_t){ text, MESSAGE_MAX };
    in.error = &error;
    assert_int_equal(report_from_update(&c, &in, &out), ERR_OK);
    assert_true(json_check(out.error, &value, &je));
    step = invoke_error_json(&c, error_message(&c, out.error), S("f"), 1,
                             error_message(&c, out.error));
    assert_true(json_check(invoke_run_error_json(&c, S("f"), step), &value, &je));
    arena_done(&arena);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_long_error_stays_json_up_to_the_parent),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
