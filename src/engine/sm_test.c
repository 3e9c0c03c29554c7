/* The tables of legal moves. */
#include "engine/sm.h"

#include "base/test.h"

static void every_state_has_a_name_and_a_way(void **state)
{
    static const struct sm *const all[] = { &run_sm, &step_sm, &job_sm };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        for (int s = 0; s < all[i]->n; s++) {
            bool leads = false, led_to = all[i]->rows[s].flags & SM_START;

            if (!all[i]->rows[s].name)
                continue;
            for (int t = 0; t < all[i]->n; t++) {
                leads = leads || sm_may(all[i], s, t);
                led_to = led_to || sm_may(all[i], t, s);
            }
            assert_true(leads || sm_final(all[i], s));
            assert_true(led_to);
        }
    }
}

static void final_runs_stay_as_they_are(void **state)
{
    (void)state;
    for (int t = 0; t < RUN_STATUS_COUNT; t++) {
        assert_false(sm_may(&run_sm, RUN_COMPLETED, t));
        assert_false(sm_may(&run_sm, RUN_CANCELLED, t));
        assert_int_equal(sm_may(&run_sm, RUN_FAILED, t), t == RUN_RUNNING); /* resume */
    }
}

static void every_open_run_can_be_cancelled(void **state)
{
    (void)state;
    for (int s = 0; s < RUN_STATUS_COUNT; s++) {
        if (run_sm.rows[s].name && !sm_final(&run_sm, s))
            assert_true(sm_may(&run_sm, s, RUN_CANCELLED));
    }
}

static void a_completed_step_changes_only_when_its_result_is_dropped(void **state)
{
    (void)state;
    for (int t = 0; t < STEP_STATUS_COUNT; t++)
        assert_int_equal(sm_may(&step_sm, STEP_COMPLETED, t), t == STEP_PENDING); /* resume */
}

static void a_refused_move_names_both_states(void **state)
{
    struct ctx c = { 0 };

    (void)state;
    assert_int_equal(sm_move(&c, &run_sm, RUN_PENDING, RUN_RUNNING), ERR_OK);
    assert_int_equal(sm_move(&c, &run_sm, RUN_COMPLETED, RUN_RUNNING), ERR_PRECONDITION);
    assert_string_equal(c.err.text, "a completed run cannot become running");
}

static void numbers_that_are_no_state_are_refused(void **state)
{
    static const int odd[] = { -1, 0, 1, RUN_STATUS_COUNT, 1000 };
    struct ctx c = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        assert_int_equal(sm_move(&c, &run_sm, odd[i], RUN_RUNNING), ERR_PRECONDITION);
        assert_int_equal(sm_move(&c, &run_sm, RUN_RUNNING, odd[i]), ERR_PRECONDITION);
        assert_str(sm_name(&run_sm, odd[i]), "?");
        assert_false(sm_final(&run_sm, odd[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_a_name_and_a_way),
        cmocka_unit_test(final_runs_stay_as_they_are),
        cmocka_unit_test(every_open_run_can_be_cancelled),
        cmocka_unit_test(a_completed_step_changes_only_when_its_result_is_dropped),
        cmocka_unit_test(a_refused_move_names_both_states),
        cmocka_unit_test(numbers_that_are_no_state_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
