/* Fences, leases and the order of dispatch. */
#include "engine/schedule.h"

#include "base/test.h"

#define WORKER 77
#define TOKEN 4711

static struct job held(void)
{
    return (struct job){ .run_id = 1,
                         .state = JOB_CLAIMED,
                         .execution_seq = 3,
                         .token = TOKEN,
                         .worker = WORKER,
                         .acked = true };
}

static const struct fence_claim right = {
    .job_seq = 3, .seq = 3, .token = TOKEN, .worker = WORKER
};

static enum fence_verdict check(struct fence_claim f, struct job j, enum job_report kind)
{
    return fence_check(&f, &j, kind);
}

static void the_holder_is_current(void **state)
{
    struct fence_claim other_worker = right;

    (void)state;
    assert_int_equal(check(right, held(), JOB_OPEN), FENCE_CURRENT);
    assert_int_equal(check(right, held(), JOB_REPORTED_COMPLETED), FENCE_CURRENT);
    other_worker.worker = 1; /* the token shows who it is */
    assert_int_equal(check(other_worker, held(), JOB_OPEN), FENCE_CURRENT);
}

static void another_segment_or_token_is_stale(void **state)
{
    struct fence_claim f = right;

    (void)state;
    f.job_seq = f.seq = 2;
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_STALE);
    f.job_seq = f.seq = 4;
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_STALE);
    f = right;
    f.seq = 2; /* body and path disagree */
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_STALE);
    f = right;
    f.token = TOKEN + 1;
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_STALE);
    f.token = -1; /* no token at all */
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_STALE);
}

static void a_run_that_nobody_got_has_no_holder(void **state)
{
    struct job j = { .run_id = 1, .state = JOB_READY };
    struct fence_claim f = { 0 };

    (void)state;
    assert_int_equal(check(f, j, JOB_OPEN), FENCE_STALE);
}

static void without_a_token_the_path_must_name_the_holder(void **state)
{
    struct fence_claim f = { .job_seq = 3, .worker = WORKER };

    (void)state;
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_CURRENT);
    f.seq = 3;
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_CURRENT);
    f.worker = 1;
    assert_int_equal(check(f, held(), JOB_OPEN), FENCE_STALE);
}

static void the_last_holder_may_report_until_somebody_else_has_it(void **state)
{
    struct job j = held();

    (void)state;
    j.state = JOB_PARKED; /* recovery grace */
    assert_int_equal(check(right, j, JOB_OPEN), FENCE_REVIVE);
    assert_int_equal(check(right, j, JOB_REPORTED_FAILED), FENCE_REVIVE);
    j.state = JOB_READY; /* grace over, not handed out yet */
    assert_int_equal(check(right, j, JOB_REPORTED_COMPLETED), FENCE_REVIVE);
    j.state = JOB_CLAIMED;
    j.execution_seq++;
    j.token++;
    assert_int_equal(check(right, j, JOB_REPORTED_COMPLETED), FENCE_STALE);
}

static void a_repeated_final_report_is_recognised(void **state)
{
    struct job j = held();

    (void)state;
    j.state = JOB_PARKED;
    j.reported = JOB_REPORTED_FAILED; /* retry delay */
    assert_int_equal(check(right, j, JOB_REPORTED_FAILED), FENCE_REPEATED);
    assert_int_equal(check(right, j, JOB_REPORTED_COMPLETED), FENCE_NOT_RUNNING);
    assert_int_equal(check(right, j, JOB_OPEN), FENCE_NOT_RUNNING);
    j.reported = JOB_REPORTED_YIELDED;
    assert_int_equal(check(right, j, JOB_REPORTED_YIELDED), FENCE_REPEATED);
    j.state = JOB_READY; /* awake, not handed out yet */
    assert_int_equal(check(right, j, JOB_REPORTED_YIELDED), FENCE_REPEATED);
}

static void an_ended_run_remembers_its_last_segment(void **state)
{
    struct run r = { .status = RUN_COMPLETED, .execution_seq = 3, .token = TOKEN };
    struct fence_claim f = right;

    (void)state;
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_REPORTED_COMPLETED), FENCE_REPEATED);
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_REPORTED_FAILED), FENCE_NOT_RUNNING);
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_OPEN), FENCE_NOT_RUNNING);
    r.status = RUN_FAILED;
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_REPORTED_FAILED), FENCE_REPEATED);
    r.status = RUN_CANCELLED;
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_REPORTED_FAILED), FENCE_NOT_RUNNING);
    f.token++;
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_REPORTED_FAILED), FENCE_STALE);
    f = (struct fence_claim){ .job_seq = 3, .worker = WORKER };
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_OPEN), FENCE_NOT_RUNNING);
    assert_int_equal(fence_check_ended(&f, &r, 1, JOB_OPEN), FENCE_STALE);
    r.execution_seq = 0; /* cancelled before anybody had it */
    f.job_seq = 0;
    assert_int_equal(fence_check_ended(&f, &r, WORKER, JOB_OPEN), FENCE_STALE);
}

static void the_job_tells_the_status_of_its_run(void **state)
{
    struct job j = held();

    (void)state;
    assert_int_equal(job_run_status(&j), RUN_RUNNING);
    j.state = JOB_PARKED;
    assert_int_equal(job_run_status(&j), RUN_WAITING);
    j.reported = JOB_REPORTED_FAILED;
    assert_int_equal(job_run_status(&j), RUN_WAITING);
    j.reported = JOB_REPORTED_YIELDED;
    assert_int_equal(job_run_status(&j), RUN_PAUSED);
    j.state = JOB_READY;
    assert_int_equal(job_run_status(&j), RUN_PENDING);
}

static void leases_are_renewed_seldom_and_never_shortened(void **state)
{
    (void)state;
    assert_int_equal(lease_renewed(1000, 1000 + 89999, 90000), 1000 + 105000);
    assert_int_equal(lease_renewed(1000, 1000 + 90000, 90000), 1000 + 90000);
    assert_int_equal(lease_renewed(1000, 1000 + 105000, 90000), 1000 + 105000);
    assert_int_equal(lease_renewed(1000, 0, 90000), 1000 + 105000);
}

static void the_oldest_jobs_come_first(void **state)
{
    struct job jobs[] = {
        { .run_id = 5, .ready_at = 20 },
        { .run_id = 4, .ready_at = 30 },
        { .run_id = 3, .ready_at = 20 },
        { .run_id = 9, .ready_at = 10 },
    };

    (void)state;
    assert_int_equal(jobs_oldest_first(jobs, 4, 3), 3);
    assert_int_equal(jobs[0].run_id, 9);
    assert_int_equal(jobs[1].run_id, 3);
    assert_int_equal(jobs[2].run_id, 5);
    assert_int_equal(jobs_oldest_first(jobs, 4, 9), 4);
    assert_int_equal(jobs_oldest_first(NULL, 0, 9), 0);
}

static void published_clients_that_poll_nap_when_full(void **state)
{
    static const char *const nap[] = { "node-v22.3.0", "bun-1.1", "go", "python-3.12" };
    struct worker w = { .transport = 1 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(nap); i++) {
        w.runtime = str_from(nap[i]);
        w.transport = 1;
        assert_true(polls_nap_when_full(&w));
        w.transport = 2; /* on a stream nobody polls */
        assert_false(polls_nap_when_full(&w));
    }
    w = (struct worker){ .transport = 1, .runtime = S("c17") };
    assert_false(polls_nap_when_full(&w));
    w.runtime = S("");
    assert_false(polls_nap_when_full(&w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_holder_is_current),
        cmocka_unit_test(another_segment_or_token_is_stale),
        cmocka_unit_test(a_run_that_nobody_got_has_no_holder),
        cmocka_unit_test(without_a_token_the_path_must_name_the_holder),
        cmocka_unit_test(the_last_holder_may_report_until_somebody_else_has_it),
        cmocka_unit_test(a_repeated_final_report_is_recognised),
        cmocka_unit_test(an_ended_run_remembers_its_last_segment),
        cmocka_unit_test(the_job_tells_the_status_of_its_run),
        cmocka_unit_test(leases_are_renewed_seldom_and_never_shortened),
        cmocka_unit_test(the_oldest_jobs_come_first),
        cmocka_unit_test(published_clients_that_poll_nap_when_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
