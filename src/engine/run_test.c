/* Every rule of a run's life, on values alone. */
#include "engine/retry.h"
#include "engine/run_fixture.h"

static void assert_state(const struct world *w, enum run_status status, enum job_state state)
{
    assert_int_equal(w->run.status, status);
    assert_int_equal(w->job.state, state);
}

static void a_new_run_is_ready_at_once(void **state)
{
    struct world *w = *state;

    assert_state(w, RUN_PENDING, JOB_READY);
    assert_int_equal(id_ms(w->run.id), NOW);
    assert_int_equal(w->job.run_id, w->run.id);
    assert_int_equal(w->job.ready_at, NOW);
    assert_int_equal(w->run.attempt, 1);
    assert_int_equal(w->run.max_attempts, 3);
    assert_int_equal(w->run.fn_version, 2);
    assert_int_equal(w->run.event_id, 5);
    assert_int_equal(w->job.execution_seq, 0);
}

static void each_claim_is_a_new_segment(void **state)
{
    struct world *w = *state;
    int64_t token;

    claim(w);
    assert_state(w, RUN_RUNNING, JOB_CLAIMED);
    assert_int_equal(w->move.from, RUN_PENDING);
    assert_false(w->move.ended || w->move.ready);
    assert_int_equal(w->job.execution_seq, 1);
    assert_int_equal(w->job.worker, 77);
    assert_int_equal(w->run.started_at, NOW);
    token = w->job.token;
    assert_true(token > 0);
    assert_int_equal(run_unclaim(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_state(w, RUN_PENDING, JOB_READY);
    assert_true(w->move.ready);
    assert_int_equal(w->job.ready_at, NOW); /* it keeps its place */
    w->c.now_ms += 50;
    claim(w);
    assert_int_equal(w->job.execution_seq, 2);
    assert_int_not_equal(w->job.token, token);
    assert_int_equal(w->run.started_at, NOW);
}

static void nobody_claims_twice(void **state)
{
    struct world *w = *state;
    struct world before;

    claim(w);
    before = *w;
    assert_int_equal(run_claim(&w->c, &w->run, &w->job, 1, NOW + 1, &w->move), ERR_PRECONDITION);
    assert_memory_equal(&before.run, &w->run, sizeof(w->run));
    assert_memory_equal(&before.job, &w->job, sizeof(w->job));
}

static void completion_ends_it(void **state)
{
    struct world *w = *state;

    claim(w);
    w->c.now_ms += 9;
    w->run.error = S("{}");
    assert_int_equal(run_report_completed(&w->c, &w->run, &w->job, S("1"), &w->move), ERR_OK);
    assert_int_equal(w->run.status, RUN_COMPLETED);
    assert_true(w->move.ended);
    assert_int_equal(w->move.from, RUN_RUNNING);
    assert_str(w->run.output, "1");
    assert_int_equal(w->run.error.n, 0);
    assert_int_equal(w->run.ended_at, NOW + 9);
    assert_int_equal(w->run.execution_seq, 1);
    assert_int_equal(w->run.token, w->job.token);
}

static void failures_retry_while_attempts_are_left(void **state)
{
    struct world *w = *state;
    struct retry_policy retry = retry_default();

    for (int64_t attempt = 1; attempt <= 3; attempt++) {
        int64_t delay = retry_delay_ms(&retry, attempt);

        claim(w);
        assert_int_equal(w->run.attempt, attempt);
        assert_int_equal(
            run_report_failed(&w->c, &w->run, &w->job, &retry, S("{\"n\":1}"), true, &w->move),
            ERR_OK);
        assert_str(w->run.error, "{\"n\":1}");
        if (attempt == 3)
            break;
        assert_state(w, RUN_WAITING, JOB_PARKED);
        assert_int_equal(w->move.timer.kind, TIMER_RETRY);
        assert_int_equal(w->move.timer.due, w->c.now_ms + delay);
        assert_true(run_timer_wanted(&w->job, &w->move.timer));
        w->c.now_ms += delay;
        assert_int_equal(run_retry_due(&w->c, &w->run, &w->job, &w->move), ERR_OK);
        assert_state(w, RUN_PENDING, JOB_READY);
        assert_true(w->move.ready);
    }
    assert_int_equal(w->run.status, RUN_FAILED);
    assert_true(w->move.ended);
    assert_int_equal(w->run.ended_at, w->c.now_ms);
}

static void what_is_not_retryable_fails_at_once(void **state)
{
    struct world *w = *state;
    struct retry_policy retry = retry_default();

    claim(w);
    assert_int_equal(run_report_failed(&w->c, &w->run, &w->job, &retry, S("{}"), false, &w->move),
                     ERR_OK);
    assert_int_equal(w->run.status, RUN_FAILED);
    assert_int_equal(w->run.attempt, 1);
    assert_int_equal((int)w->move.timer.kind, 0);
}

static void a_sleep_parks_and_wakes(void **state)
{
    struct world *w = *state;
    struct step s = { .id = 3, .status = STEP_SLEEPING, .wake_at = NOW + 500 };
    struct timer t;

    claim(w);
    assert_int_equal(run_report_sleep(&w->c, &w->run, &w->job, &s, &w->move), ERR_OK);
    assert_state(w, RUN_PAUSED, JOB_PARKED);
    assert_int_equal(w->run.pause_reason, PAUSE_SLEEP);
    assert_int_equal(w->job.lease_until, 0);
    t = w->move.timer;
    assert_int_equal(t.kind, TIMER_SLEEP);
    assert_int_equal(t.step, 3);
    assert_true(run_timer_wanted(&w->job, &t));
    w->c.now_ms += 500;
    assert_int_equal(run_wake(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_state(w, RUN_PENDING, JOB_READY);
    assert_int_equal(w->run.pause_reason, PAUSE_NONE);
    assert_int_equal(w->run.attempt, 1);
    assert_int_equal(w->job.ready_at, NOW + 500);
    assert_false(run_timer_wanted(&w->job, &t));
}

static void a_yield_whose_result_is_there_goes_on(void **state)
{
    struct world *w = *state;

    claim(w);
    w->c.now_ms += 5;
    assert_int_equal(run_report_again(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_state(w, RUN_PENDING, JOB_READY);
    assert_int_equal(w->job.ready_at, NOW + 5);
    assert_int_equal(w->job.reported, JOB_REPORTED_YIELDED);
}

static void a_lost_lease_goes_through_the_grace(void **state)
{
    struct world *w = *state;
    struct timer t;

    claim(w);
    w->job.acked = true;
    assert_int_equal(run_lease_expired(&w->c, &w->run, &w->job, 30000, &w->move), ERR_OK);
    assert_state(w, RUN_WAITING, JOB_PARKED);
    t = w->move.timer;
    assert_int_equal(t.kind, TIMER_GRACE);
    assert_int_equal(t.due, NOW + 30000);
    w->c.now_ms += 30000;
    assert_int_equal(run_grace_over(&w->c, &w->run, &w->job, &w->move), ERR_OK);
    assert_state(w, RUN_PENDING, JOB_READY);
    assert_int_equal(w->run.attempt, 1);
}

static void without_an_ack_there_is_no_grace(void **state)
{
    struct world *w = *state;

    claim(w);
    assert_int_equal(run_lease_expired(&w->c, &w->run, &w->job, 30000, &w->move), ERR_OK);
    assert_state(w, RUN_PENDING, JOB_READY);
    assert_int_equal((int)w->move.timer.kind, 0);
}

static void whoever_comes_back_in_time_goes_on(void **state)
{
    struct world *w = *state;
    int64_t token;
    struct timer t;

    claim(w);
    token = w->job.token;
    w->job.acked = true;
    assert_int_equal(run_lease_expired(&w->c, &w->run, &w->job, 30000, &w->move), ERR_OK);
    t = w->move.timer;
    assert_int_equal(run_revive(&w->c, &w->run, &w->job, NOW + 105000, &w->move), ERR_OK);
    assert_state(w, RUN_RUNNING, JOB_CLAIMED);
    assert_int_equal(w->move.from, RUN_WAITING);
    assert_int_equal(w->job.token, token);
    assert_int_equal(w->job.execution_seq, 1);
    assert_false(run_timer_wanted(&w->job, &t)); /* the grace's timer does nothing any more */
    w->c.now_ms += 1000;
    assert_int_equal(run_lease_expired(&w->c, &w->run, &w->job, 30000, &w->move), ERR_OK);
    assert_false(run_timer_wanted(&w->job, &t)); /* nor does it cut the second grace short */
    assert_true(run_timer_wanted(&w->job, &w->move.timer));
}

static void timers_of_other_segments_or_kinds_are_not_wanted(void **state)
{
    struct world *w = *state;
    struct retry_policy retry = retry_default();
    struct timer t;

    claim(w);
    assert_int_equal(run_report_failed(&w->c, &w->run, &w->job, &retry, S("{}"), true, &w->move),
                     ERR_OK);
    t = w->move.timer;
    t.kind = TIMER_GRACE;
    assert_false(run_timer_wanted(&w->job, &t));
    t = w->move.timer;
    t.execution_seq++;
    assert_false(run_timer_wanted(&w->job, &t));
    t = w->move.timer;
    t.due--;
    assert_false(run_timer_wanted(&w->job, &t));
}

static void every_open_state_can_be_cancelled_once(void **state)
{
    struct world *w = *state;

    for (int open = 0; open < 4; open++) {
        static const enum run_status statuses[] = { RUN_PENDING, RUN_RUNNING, RUN_WAITING,
                                                    RUN_PAUSED };
        w->run.status = statuses[open];
        w->run.pause_reason = PAUSE_SLEEP;
        assert_int_equal(run_cancel(&w->c, &w->run, &w->job, S("user"), &w->move), ERR_OK);
        assert_int_equal(w->run.status, RUN_CANCELLED);
        assert_int_equal(w->run.pause_reason, PAUSE_NONE);
        assert_int_equal(w->move.from, statuses[open]);
        assert_true(w->move.ended);
        assert_str(w->run.cancellation_cause, "user");
        assert_int_equal(run_cancel(&w->c, &w->run, &w->job, S("user"), &w->move),
                         ERR_PRECONDITION);
    }
    w->run.status = RUN_COMPLETED;
    assert_int_equal(run_cancel(&w->c, &w->run, &w->job, S("user"), &w->move), ERR_PRECONDITION);
}

static void errors_always_have_a_message(void **state)
{
    struct world *w = *state;

    assert_str(run_error_json(&w->c, S("{\"message\":\"x\",\"code\":\"C\"}")),
               "{\"message\":\"x\",\"code\":\"C\"}");
    assert_str(run_error_json(&w->c, S("\"it \\\"broke\\\"\"")),
               "{\"message\":\"it \\\"broke\\\"\",\"code\":\"ERROR\"}");
    assert_str(run_error_json(&w->c, S("{\"message\":5}")),
               "{\"message\":\"{\\\"message\\\":5}\",\"code\":\"ERROR\"}");
    assert_str(
        run_error_json(&w->c, S("{\"code\":\"C\",\"details\":{\"a\":1},\"retryable\":false}")),
        "{\"message\":\"unknown error\",\"code\":\"C\",\"details\":{\"a\":1},"
        "\"retryable\":false}");
    assert_str(run_error_json(&w->c, S("{\"message\":\"\",\"code\":\"C\"}")),
               "{\"message\":\"unknown error\",\"code\":\"C\"}");
    assert_str(run_error_json(&w->c, S("{\"message\":7,\"code\":\"C\"}")),
               "{\"message\":\"unknown error\",\"code\":\"C\"}");
    assert_str(run_error_json(&w->c, S("{\"message\":\"\"}")),
               "{\"message\":\"unknown error\",\"code\":\"ERROR\"}");
    assert_str(run_error_json(&w->c, STR_NULL),
               "{\"message\":\"unknown error\",\"code\":\"ERROR\"}");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_new_run_is_ready_at_once),
        T(each_claim_is_a_new_segment),
        T(nobody_claims_twice),
        T(completion_ends_it),
        T(failures_retry_while_attempts_are_left),
        T(what_is_not_retryable_fails_at_once),
        T(a_sleep_parks_and_wakes),
        T(a_yield_whose_result_is_there_goes_on),
        T(a_lost_lease_goes_through_the_grace),
        T(without_an_ack_there_is_no_grace),
        T(whoever_comes_back_in_time_goes_on),
        T(timers_of_other_segments_or_kinds_are_not_wanted),
        T(every_open_state_can_be_cancelled_once),
        T(errors_always_have_a_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
