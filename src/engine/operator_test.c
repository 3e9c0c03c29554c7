/* Pausing, resuming and changing results, on values alone: each race has one legal outcome. */
#include "engine/operator.h"

#include "engine/run_fixture.h"
#include "engine/schedule.h"
#include "engine/sm.h"

static const struct retry_policy retry = { 3, 1000, 300000, 2.0 };

static int setup_claimed(void **state)
{
    (void)setup(state);
    claim(*state);
    return 0;
}

static err_t ask_pause(struct world *w)
{
    return run_pause(&w->c, &w->run, &w->job, &w->move, &w->answer);
}

static enum fence_verdict late(const struct world *w, enum job_report kind)
{
    struct fence_claim f = { .job_seq = w->job.execution_seq, .token = w->job.token };

    return fence_check(&f, &w->job, kind);
}

/* Paused behind a progress report. */
static void hold(struct world *w)
{
    assert_int_equal(ask_pause(w), ERR_OK);
    assert_int_equal(w->answer, PAUSE_NOTED);
    w->move = (struct run_move){ .from = RUN_RUNNING };
    run_hold(&w->c, &w->run, &w->job, &w->move);
}

static void a_flag_is_consumed_at_the_next_boundary(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask_pause(w), ERR_OK);
    assert_true(w->run.pause_requested);
    assert_int_equal(w->run.status, RUN_RUNNING);
    assert_int_equal(ask_pause(w), ERR_OK);
    assert_int_equal(w->answer, PAUSE_KEPT);
    w->move = (struct run_move){ .from = RUN_RUNNING };
    run_hold(&w->c, &w->run, &w->job, &w->move);
    assert_true(run_held(&w->run));
    assert_false(w->run.pause_requested);
    assert_int_equal(w->job.state, JOB_PARKED);
    assert_int_equal(w->job.lease_until, 0);
    assert_int_equal(job_run_status(&w->job), RUN_PAUSED);
    assert_int_equal(ask_pause(w), ERR_OK);
    assert_int_equal(w->answer, PAUSE_KEPT);
}

static void without_a_flag_nothing_is_held(void **state)
{
    struct world *w = *state;
    struct job before = w->job;

    run_hold(&w->c, &w->run, &w->job, &w->move);
    assert_int_equal(w->run.status, RUN_RUNNING);
    assert_memory_equal(&before, &w->job, sizeof(before));
}

static void whoever_held_it_is_refused(void **state)
{
    struct world *w = *state;

    hold(w);
    for (int kind = JOB_OPEN; kind <= JOB_REPORTED_YIELDED; kind++)
        assert_int_equal(late(w, (enum job_report)kind), FENCE_NOT_RUNNING);
    assert_int_equal(run_resume(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    for (int kind = JOB_OPEN; kind <= JOB_REPORTED_YIELDED; kind++)
        assert_int_equal(late(w, (enum job_report)kind), FENCE_NOT_RUNNING);
}

static void a_completion_wins_over_the_flag(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask_pause(w), ERR_OK);
    assert_int_equal(run_report_completed(&w->c, &w->run, &w->job, S("1"), &w->move), ERR_OK);
    run_hold(&w->c, &w->run, &w->job, &w->move);
    assert_int_equal(w->run.status, RUN_COMPLETED);
    assert_false(w->run.pause_requested);
    assert_int_equal(ask_pause(w), ERR_PRECONDITION);
}

static void a_failure_that_would_be_retried_pauses(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask_pause(w), ERR_OK);
    assert_int_equal(run_report_failed(&w->c, &w->run, &w->job, &retry, S("{}"), true, &w->move),
                     ERR_OK);
    run_hold(&w->c, &w->run, &w->job, &w->move);
    assert_true(run_held(&w->run));
    assert_int_equal((int)w->move.timer.kind, 0);
    assert_int_equal(w->move.from, RUN_RUNNING);
    assert_int_equal(late(w, JOB_REPORTED_FAILED), FENCE_REPEATED);
}

static void a_flagged_run_that_is_ready_is_held_without_a_claim(void **state)
{
    struct world *w = *state;

    assert_int_equal(run_unclaim(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_int_equal(ask_pause(w), ERR_OK);
    assert_int_equal(w->answer, PAUSE_NOTED);
    assert_int_equal(run_hold_ready(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_int_equal(w->move.from, RUN_PENDING);
    assert_false(w->move.ready || w->move.ended);
    assert_true(run_held(&w->run));
    assert_false(w->run.pause_requested);
    assert_int_equal(w->job.state, JOB_PARKED);
    assert_int_equal(w->job.execution_seq, 1);
    assert_int_equal(job_run_status(&w->job), RUN_PAUSED);
    assert_int_equal(late(w, JOB_REPORTED_COMPLETED), FENCE_NOT_RUNNING);
    assert_int_equal(run_resume(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_true(w->move.ready);
}

static void a_sleeping_run_is_held_at_once_and_its_timer_does_not_wake_it(void **state)
{
    struct world *w = *state;
    struct step nap = { .id = 9, .status = STEP_SLEEPING, .wake_at = NOW + 1000 };

    assert_int_equal(run_report_sleep(&w->c, &w->run, &w->job, &nap, &w->move), ERR_OK);
    assert_int_equal(ask_pause(w), ERR_OK);
    assert_int_equal(w->answer, PAUSE_DONE);
    assert_int_equal(w->move.from, RUN_PAUSED);
    assert_true(run_held(&w->run));
    assert_int_equal(w->job.ready_at, NOW + 1000);
    assert_false(run_waits_for(&w->run, &w->job, 9));
}

static void a_resumed_run_says_running_before_anybody_has_it(void **state)
{
    struct world *w = *state;

    hold(w);
    assert_int_equal(run_resume(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_int_equal(w->run.status, RUN_RUNNING);
    assert_int_equal(w->run.pause_reason, PAUSE_NONE);
    assert_int_equal(w->job.state, JOB_READY);
    assert_int_equal(job_run_status(&w->job), RUN_RUNNING);
    assert_true(w->move.ready);
    assert_int_equal(run_resume(&w->c, &w->run, &w->job, &w->move), ERR_PRECONDITION);
    assert_int_equal(run_claim(&w->c, &w->run, &w->job, 78, NOW + 30000, &w->move), ERR_OK);
    assert_int_equal(w->move.from, RUN_RUNNING);
    assert_int_equal(w->job.execution_seq, 2);
    assert_int_equal(run_unclaim(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_int_equal(job_run_status(&w->job), RUN_PENDING);
}

static void a_failed_run_resumes_with_a_fresh_budget_and_its_old_fences(void **state)
{
    struct world *w = *state;
    struct job again;

    w->run.attempt = 3;
    assert_int_equal(run_report_failed(&w->c, &w->run, &w->job, &retry, S("{}"), true, &w->move),
                     ERR_OK);
    again = run_job_again(&w->c, &w->run, 77, 4);
    assert_int_equal(run_resume(&w->c, &w->run, &again, &w->move), ERR_OK);
    assert_int_equal(w->move.from, RUN_FAILED);
    assert_int_equal(w->run.attempt, 1);
    assert_int_equal(w->run.ended_at, 0);
    assert_int_equal(w->run.error.n, 0);
    w->job = again;
    assert_int_equal(late(w, JOB_REPORTED_FAILED), FENCE_REPEATED);
    assert_int_equal(late(w, JOB_REPORTED_COMPLETED), FENCE_NOT_RUNNING);
    assert_int_equal(run_claim(&w->c, &w->run, &w->job, 77, NOW + 30000, &w->move), ERR_OK);
    assert_int_equal(w->job.execution_seq, 2);
    assert_int_equal(w->job.step_next, 4);
}

static void only_paused_and_failed_runs_resume(void **state)
{
    struct world *w = *state;

    for (int status = RUN_RUNNING; status < RUN_STATUS_COUNT; status++) {
        struct run run = w->run;
        struct job job = { .state = JOB_PARKED, .reported = JOB_REPORTED_YIELDED };
        bool may = status == RUN_PAUSED || status == RUN_FAILED;

        run.status = (enum run_status)status;
        assert_int_equal(run_resume(&w->c, &run, &job, &w->move), may ? ERR_OK : ERR_PRECONDITION);
    }
}

static void cancel_ends_a_held_and_a_resumed_run(void **state)
{
    struct world *w = *state;

    hold(w);
    assert_int_equal(run_resume(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_int_equal(run_cancel(&w->c, &w->run, &w->job, S("user"), &w->move), ERR_OK);
    assert_int_equal(run_resume(&w->c, &w->run, &w->job, &w->move), ERR_PRECONDITION);
}

static void patches_keep_the_first_original(void **state)
{
    struct step s = { .status = STEP_FAILED, .error = S("{}"), .event_ref = 4 };

    (void)state;
    step_patch(&s, S("1"), S("ak_1"), NOW);
    assert_int_equal(s.status, STEP_COMPLETED);
    assert_int_equal(s.original_output.n, 0);
    assert_int_equal(s.error.n, 0);
    assert_int_equal(s.event_ref, 0);
    s.patched_at = 0;
    step_patch(&s, S("2"), S("ak_1"), NOW);
    step_patch(&s, S("3"), S("ak_2"), NOW + 1);
    assert_str(s.original_output, "1");
    assert_str(s.output, "3");
    assert_str(s.patched_by, "ak_2");
    assert_int_equal(s.patched_at, NOW + 1);
}

static void which_steps_may_be_patched(void **state)
{
    struct world *w = *state;

    for (int rs = RUN_RUNNING; rs < RUN_STATUS_COUNT; rs++) {
        for (int ss = STEP_PENDING; ss < STEP_STATUS_COUNT; ss++) {
            struct step s = { .status = (enum step_status)ss };
            bool ended = ss == STEP_COMPLETED || ss == STEP_FAILED || ss == STEP_TIMED_OUT ||
                         ss == STEP_PENDING; /* pending: its result was dropped */
            bool may = ended && rs != RUN_COMPLETED && rs != RUN_CANCELLED &&
                       (rs == RUN_FAILED || rs == RUN_PAUSED || ss == STEP_COMPLETED);

            w->run.status = (enum run_status)rs;
            assert_int_equal(step_patch_check(&w->c, &w->run, &s), may ? ERR_OK : ERR_PRECONDITION);
        }
    }
}

static void only_completed_steps_of_held_runs_are_injected(void **state)
{
    struct world *w = *state;
    struct step s = { .status = STEP_COMPLETED };

    assert_int_equal(step_inject_check(&w->c, &w->run, &s), ERR_PRECONDITION);
    hold(w);
    assert_int_equal(step_inject_check(&w->c, &w->run, &s), ERR_OK);
    s.status = STEP_FAILED;
    assert_int_equal(step_inject_check(&w->c, &w->run, &s), ERR_PRECONDITION);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_claimed, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_flag_is_consumed_at_the_next_boundary),
        T(without_a_flag_nothing_is_held),
        T(whoever_held_it_is_refused),
        T(a_completion_wins_over_the_flag),
        T(a_failure_that_would_be_retried_pauses),
        T(a_flagged_run_that_is_ready_is_held_without_a_claim),
        T(a_sleeping_run_is_held_at_once_and_its_timer_does_not_wake_it),
        T(a_resumed_run_says_running_before_anybody_has_it),
        T(a_failed_run_resumes_with_a_fresh_budget_and_its_old_fences),
        T(only_paused_and_failed_runs_resume),
        T(cancel_ends_a_held_and_a_resumed_run),
        T(patches_keep_the_first_original),
        T(which_steps_may_be_patched),
        T(only_completed_steps_of_held_runs_are_injected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
