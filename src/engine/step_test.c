/* Names, merging and yields of steps. */
#include "engine/step.h"

#include "base/test.h"

static void names_come_out_of_step_ids(void **state)
{
    static const struct {
        const char *id, *name;
    } cases[] = {
        { "run_k20:cool:0", "cool" },
        { "run_k20:fan:1:cool:3", "cool" },
        { "run_k20:with\\:colon:0", "with:colon" },
        { "run_k20:back\\\\slash:0", "back\\slash" },
        { "run_k20:ends\\\\:0", "ends\\" },
        { "run_k20:compensate:charge:0", "compensate:charge" },
        { "run_k20:publish:a\\:b.c:0", "publish:a:b.c" },
        { "run_k20:fan:0:compensate:x:0", "compensate:x" },
        { "run_k20:approve.it:0", "approve.it" },
        { "plain", "plain" },
        { "two:parts", "two" },
        { ":0", ":0" },
        { "", "" },
        { "a::0", "" },
        { "\\::0", ":" },
    };
    struct arena a;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_str(step_name_of(&a, str_from(cases[i].id)), cases[i].name);
    arena_done(&a);
}

static void unknown_types_are_plain_steps(void **state)
{
    (void)state;
    for (int t = STEP_INVOKE; t < STEP_TYPE_COUNT; t++)
        assert_int_equal(step_type_parse(step_type_word((enum step_type)t)), t);
    assert_int_equal(step_type_parse(S("")), STEP_INVOKE);
    assert_int_equal(step_type_parse(S("publish")), STEP_INVOKE);
}

static void only_results_are_reported(void **state)
{
    enum step_status s = STEP_PENDING;

    (void)state;
    assert_true(step_status_parse(S("completed"), &s) && s == STEP_COMPLETED);
    assert_true(step_status_parse(S("failed"), &s) && s == STEP_FAILED);
    assert_false(step_status_parse(S("running"), &s));
    assert_false(step_status_parse(S(""), &s));
}

static struct step stored(enum step_status status)
{
    return (struct step){ .id = 1,
                          .run_id = 2,
                          .step_id = S("r:a:0"),
                          .sequence = 4,
                          .attempt = 2,
                          .status = status,
                          .output = S("\"old\""),
                          .input = S("\"in\"") };
}

static const struct step report = { .id = 9,
                                    .run_id = 2,
                                    .step_id = { "r:a:0", 5 },
                                    .sequence = 7,
                                    .attempt = 1,
                                    .status = STEP_COMPLETED,
                                    .output = { "\"new\"", 5 } };

static void a_new_report_replaces_a_failed_one(void **state)
{
    struct step s = stored(STEP_FAILED);

    (void)state;
    assert_int_equal(step_merge(&s, &report), STEP_REPLACED);
    assert_int_equal(s.id, 1);
    assert_int_equal(s.sequence, 4);
    assert_int_equal(s.attempt, 3);
    assert_int_equal(s.status, STEP_COMPLETED);
    assert_str(s.output, "\"new\"");
    assert_str(s.input, "\"in\"");
}

static void results_are_never_taken_back(void **state)
{
    struct step s = stored(STEP_COMPLETED), failed = report;

    (void)state;
    failed.status = STEP_FAILED;
    assert_int_equal(step_merge(&s, &report), STEP_UNCHANGED);
    assert_int_equal(step_merge(&s, &failed), STEP_UNCHANGED);
    assert_str(s.output, "\"old\"");
    s = stored(STEP_FAILED);
    s.patched_at = 5;
    assert_int_equal(step_merge(&s, &report), STEP_UNCHANGED);
}

static void a_yield_keeps_its_first_deadline(void **state)
{
    static const struct step fresh = {
        .type = STEP_SLEEP, .status = STEP_SLEEPING, .started_at = 50, .wake_at = 900
    };
    struct step s = stored(STEP_SLEEPING), wait = fresh;

    (void)state;
    s.type = STEP_SLEEP;
    s.wake_at = 100;
    assert_int_equal(step_yield_again(&s, &fresh), YIELD_PARK);
    assert_int_equal(s.wake_at, 100);
    s = stored(STEP_COMPLETED);
    assert_int_equal(step_yield_again(&s, &fresh), YIELD_DONE);
    s = stored(STEP_FAILED);
    assert_int_equal(step_yield_again(&s, &fresh), YIELD_REOPEN);
    assert_int_equal(s.wake_at, 900);
    assert_int_equal(s.status, STEP_SLEEPING);
    assert_int_equal(s.attempt, 3);
    assert_int_equal(s.output.n, 0);
    wait.type = STEP_WAIT_FOR_EVENT;
    wait.status = STEP_WAITING;
    s = stored(STEP_TIMED_OUT);
    s.event_ref = 7;
    assert_int_equal(step_yield_again(&s, &wait), YIELD_REOPEN);
    assert_int_equal(s.status, STEP_WAITING);
    assert_int_equal(s.event_ref, 0);
    assert_int_equal(step_yield_again(&s, &wait), YIELD_PARK);
}

static void waking_completes_the_sleep(void **state)
{
    struct step s = stored(STEP_SLEEPING);

    (void)state;
    s.started_at = 40;
    step_wake(&s, 100);
    assert_int_equal(s.status, STEP_COMPLETED);
    assert_int_equal(s.ended_at, 100);
    assert_int_equal(s.duration_ms, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_out_of_step_ids),
        cmocka_unit_test(unknown_types_are_plain_steps),
        cmocka_unit_test(only_results_are_reported),
        cmocka_unit_test(a_new_report_replaces_a_failed_one),
        cmocka_unit_test(results_are_never_taken_back),
        cmocka_unit_test(a_yield_keeps_its_first_deadline),
        cmocka_unit_test(waking_completes_the_sleep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
