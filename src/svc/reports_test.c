/* Fences, repeated reports, leases and the merging of steps (spec engine-pull sections 5 to 7). */
#include "svc/svc_fixture.h"

static struct op *start(struct sim *s, int64_t *id)
{
    sim_function(s, "{\"id\":\"pack\",\"triggers\":[{\"event\":\"e\"}],"
                    "\"retry\":{\"maxAttempts\":3,\"initialDelayMs\":1000}}");
    sim_worker(s, "w1", "[\"pack\"]", 4);
    *id = sim_emit(s, "e", "{}");
    return sim_take(s, "w1");
}

static void assert_steps(struct sim *s, int64_t id, size_t n)
{
    assert_int_equal(sim_get_steps(s, id)->n, n);
}

/* ---- fences ---------------------------------------------------------------------------------- */

static void a_wrong_fence_changes_nothing(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    job->report.fence.token = S("0000000000000001");
    assert_int_equal(sim_progress(job, 'a', 1), ERR_STALE_EXECUTION);
    job->report.fence.token = S("not a token");
    assert_int_equal(sim_complete(job, "1"), ERR_STALE_EXECUTION);
    job->report.fence = job->fence;
    job->report.fence.execution_seq = 2;
    assert_int_equal(sim_complete(job, "1"), ERR_STALE_EXECUTION);
    job->fence.token = S("0000000000000001");
    assert_int_equal(sim_ack(job), ERR_STALE_EXECUTION);
    assert_steps(s, id, 0);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
}

static void an_unknown_job_is_stale(void **state)
{
    static const char *const odd[] = {
        "", "job_", "job_91", "job_0000000000001_1", "job_0000000000001_x", "run_0000000000001_1"
    };
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        job->job = str_from(odd[i]);
        assert_int_equal(sim_complete(job, "1"), ERR_STALE_EXECUTION);
        assert_int_equal(sim_ack(job), ERR_STALE_EXECUTION);
    }
}

static void a_valid_fence_needs_no_registration(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    job->worker = S("somebody-else");
    sim_ok(s, sim_ack(job));
    sim_ok(s, sim_complete(job, "1"));
    job->report.fence.token = S("0000000000000001");
    assert_int_equal(sim_complete(job, "1"), ERR_NOT_FOUND);
    assert_string_equal(s->text, "worker not registered");
}

static void without_fence_the_path_decides(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    sim_worker(s, "w2", "[\"pack\"]", 1);
    job->report.fence = job->fence = (struct fence){ 0 };
    job->worker = S("w2");
    assert_int_equal(sim_complete(job, "1"), ERR_STALE_EXECUTION);
    job->worker = S("w1");
    sim_ok(s, sim_ack(job));
    sim_ok(s, sim_progress(job, 'a', 1));
    sim_ok(s, sim_complete(job, "1"));
    sim_ok(s, sim_complete(job, "1"));
    assert_int_equal(sim_get(s, id).status, RUN_COMPLETED);
}

static void a_repeated_final_report_changes_nothing(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    sim_steps(job, 'a', 2, "completed");
    sim_ok(s, sim_fail(job, "{\"message\":\"x\"}", true));
    sim_steps(job, 'c', 1, "completed");
    sim_ok(s, sim_fail(job, "{\"message\":\"y\"}", true));
    assert_steps(s, id, 2);
    assert_str(sim_get(s, id).error, "{\"message\":\"x\"}");
    assert_int_equal(sim_complete(job, "1"), ERR_RUN_NOT_RUNNING);
    assert_int_equal(sim_progress(job, 'd', 1), ERR_RUN_NOT_RUNNING);
    assert_int_equal(sim_ack(job), ERR_RUN_NOT_RUNNING);
    sim_pass(s, 1000);
    sim_ok(s, sim_fail(job, "{}", true)); /* ready again, but not handed out */
    (void)sim_take(s, "w1");
    assert_int_equal(sim_fail(job, "{}", true), ERR_STALE_EXECUTION);
}

static void an_ended_run_answers_as_before(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    sim_ok(s, sim_complete(job, "1"));
    sim_ok(s, sim_complete(job, "2"));
    assert_str(sim_get(s, id).output, "1");
    assert_int_equal(sim_fail(job, "{}", true), ERR_RUN_NOT_RUNNING);
    assert_int_equal(sim_progress(job, 'a', 1), ERR_RUN_NOT_RUNNING);
    assert_int_equal(sim_ack(job), ERR_RUN_NOT_RUNNING);
}

static void a_cancelled_run_refuses_its_holder(void **state)
{
    struct sim *s = *state;
    struct op *job, *cancel = sim_op(s);
    int64_t id;

    job = start(s, &id);
    cancel->id = id;
    sim_ok(s, sim_run(cancel, CALL_WRITE, op_cancel));
    assert_int_equal(sim_complete(job, "1"), ERR_RUN_NOT_RUNNING);
    assert_int_equal(sim_progress(job, 'a', 1), ERR_RUN_NOT_RUNNING);
    assert_int_equal(sim_ack(job), ERR_RUN_NOT_RUNNING);
    assert_steps(s, id, 0);
}

/* ---- leases ---------------------------------------------------------------------------------- */

static void an_expired_lease_goes_to_another_worker(void **state)
{
    struct sim *s = *state;
    struct op *job, *poll;
    int64_t id;

    job = start(s, &id);
    sim_ok(s, sim_ack(job));
    s->clock.virtual_ms++;
    sim_ok(s, sim_progress(job, 'a', 1)); /* 105 s from here */
    sim_pass(s, 104999);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    sim_pass(s, 1);
    assert_int_equal(sim_get(s, id).status, RUN_WAITING);
    sim_pass(s, 30000);
    assert_int_equal(sim_get(s, id).status, RUN_PENDING);
    sim_worker(s, "w2", "[\"pack\"]", 1);
    poll = sim_poll(s, "w2", 1);
    assert_int_equal(poll->n, 1);
    assert_int_equal(poll->assignments[0].claim.run.attempt, 1);
    assert_int_equal(poll->assignments[0].claim.job.execution_seq, 2);
    assert_int_equal(poll->assignments[0].steps_n, 1);
    assert_int_equal(sim_ack(job), ERR_NOT_FOUND); /* forgotten, and its fence is no longer valid */
    sim_worker(s, "w1", "[\"pack\"]", 4);
    assert_int_equal(sim_progress(job, 'b', 1), ERR_STALE_EXECUTION);
    assert_int_equal(sim_ack(job), ERR_STALE_EXECUTION);
    sim_ok(s, sim_complete(sim_job(s, poll, 0), "1"));
    assert_str(sim_get(s, id).worker, "w2");
}

static void without_ack_the_lease_is_short(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    sim_pass(s, 29999);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    sim_pass(s, 1);
    assert_int_equal(sim_get(s, id).status, RUN_PENDING);
    sim_ok(s, sim_ack(job)); /* late, but nobody else has it */
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    sim_pass(s, 89999);
    sim_ok(s, sim_complete(job, "1"));
}

static void the_holder_may_come_back_during_the_grace(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    sim_ok(s, sim_ack(job));
    sim_pass(s, 90000);
    assert_int_equal(sim_get(s, id).status, RUN_WAITING);
    sim_ok(s, sim_progress(job, 'a', 1));
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    sim_pass(s, 30000); /* the grace's timer finds nothing to do */
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    sim_worker(s, "w2", "[\"pack\"]", 1);
    assert_int_equal(sim_poll(s, "w2", 1)->n, 0);
    sim_pass(s, 75000);
    assert_int_equal(sim_get(s, id).status, RUN_WAITING);
    sim_ok(s, sim_complete(job, "1"));
    assert_int_equal(sim_get(s, id).status, RUN_COMPLETED);
}

static void a_late_failure_and_a_late_sleep_count(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    sim_ok(s, sim_ack(job));
    sim_pass(s, 120000);
    sim_pass(s, 0);
    assert_int_equal(sim_get(s, id).status, RUN_WAITING);
    sim_ok(s, sim_fail(job, "{\"message\":\"x\"}", true));
    assert_int_equal(sim_get(s, id).status, RUN_WAITING);
    sim_pass(s, 1000);
    sim_worker(s, "w1", "[\"pack\"]", 4); /* it was forgotten meanwhile */
    job = sim_take(s, "w1");
    sim_ok(s, sim_ack(job));
    sim_pass(s, 90000);
    sim_pass(s, 30000);
    assert_int_equal(sim_get(s, id).status, RUN_PENDING);
    sim_ok(s, sim_sleep(job, "nap", s->clock.virtual_ms + 10));
    assert_int_equal(sim_get(s, id).status, RUN_PAUSED);
    assert_int_equal(sim_get(s, id).attempt, 2);
}

static void heartbeats_renew_what_they_list(void **state)
{
    struct sim *s = *state;
    struct op *one, *two, *beat = sim_op(s);
    int64_t id, other;

    one = start(s, &id);
    other = sim_emit(s, "e", "{}");
    two = sim_take(s, "w1");
    sim_ok(s, sim_ack(one));
    sim_ok(s, sim_ack(two));
    sim_pass(s, 60000);
    beat->worker = S("w1");
    beat->active = 2;
    beat->has_jobs = true;
    beat->jobs = (const str_t[]){ one->job, S("job_unknown") };
    beat->jobs_n = 2;
    sim_ok(s, sim_run(beat, CALL_WRITE, op_beat));
    sim_pass(s, 30000);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    assert_int_equal(sim_get(s, other).status, RUN_WAITING);
    beat->jobs = &two->job; /* in its grace: it is alive after all */
    beat->jobs_n = 1;
    sim_ok(s, sim_run(beat, CALL_WRITE, op_beat));
    assert_int_equal(sim_get(s, other).status, RUN_RUNNING);
    beat->has_jobs = false; /* the short form renews everything */
    sim_ok(s, sim_run(beat, CALL_WRITE, op_beat));
    sim_pass(s, 104999);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    assert_int_equal(sim_get(s, other).status, RUN_RUNNING);
}

static void a_claim_that_was_not_delivered_goes_back(void **state)
{
    struct sim *s = *state;
    struct op *job, *poll;
    int64_t id, first;

    job = start(s, &first);
    sim_ok(s, sim_complete(job, "1"));
    id = sim_emit(s, "e", "{}");
    s->clock.virtual_ms += 10;
    (void)sim_emit(s, "e", "{}");
    poll = sim_poll(s, "w1", 1);
    assert_int_equal(poll->claims[0].run.id, id);
    sim_ok(s, sim_run(poll, CALL_WRITE, op_release));
    assert_int_equal(sim_get(s, id).status, RUN_PENDING);
    poll = sim_poll(s, "w1", 1); /* it kept its place */
    assert_int_equal(poll->claims[0].run.id, id);
    assert_int_equal(poll->claims[0].job.execution_seq, 2);
    sim_ok(s, sim_ack(sim_job(s, poll, 0)));
    sim_ok(s, sim_run(poll, CALL_WRITE, op_release)); /* too late: it works on it */
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
}

static void silent_workers_are_forgotten(void **state)
{
    struct sim *s = *state;
    struct op *poll = sim_op(s);

    sim_worker(s, "w1", "[\"pack\"]", 4);
    sim_pass(s, 60000);
    assert_int_equal(sim_poll(s, "w1", 1)->n, 0); /* a sign of life */
    sim_pass(s, 90000);
    assert_int_equal(sim_poll(s, "w1", 1)->n, 0);
    sim_pass(s, 90001);
    poll->worker = S("w1");
    poll->available = 1;
    assert_int_equal(sim_run(poll, CALL_WRITE, op_poll), ERR_NOT_FOUND);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void sequences_follow_the_offset(void **state)
{
    struct sim *s = *state;
    struct op *job, *steps;
    int64_t id;

    job = start(s, &id);
    sim_ok(s, sim_progress(job, 'a', 2));
    job->report.has_step_offset = true;
    job->report.step_offset = 7;
    sim_ok(s, sim_progress(job, 'c', 2));
    job->report.has_step_offset = false;
    sim_ok(s, sim_progress(job, 'e', 1)); /* behind the highest */
    steps = sim_get_steps(s, id);
    assert_int_equal(steps->n, 5);
    assert_int_equal(steps->steps[1].sequence, 1);
    assert_int_equal(steps->steps[2].sequence, 7);
    assert_int_equal(steps->steps[4].sequence, 9);
    assert_str(steps->steps[4].name, "e");
}

static void a_repeated_step_is_stored_once(void **state)
{
    struct sim *s = *state;
    struct op *job, *steps;
    int64_t id;

    job = start(s, &id);
    sim_ok(s, sim_progress(job, 'a', 2));
    sim_steps(job, 'a', 3, "failed"); /* never downgrades */
    sim_ok(s, sim_complete(job, "1"));
    steps = sim_get_steps(s, id);
    assert_int_equal(steps->n, 3);
    assert_int_equal(steps->steps[0].status, STEP_COMPLETED);
    assert_int_equal(steps->steps[0].attempt, 1);
    assert_int_equal(steps->steps[2].status, STEP_FAILED);
}

static void times_lie_between_creation_and_now(void **state)
{
    struct sim *s = *state;
    struct op *job;
    struct step *step;
    int64_t id;

    job = start(s, &id);
    s->clock.virtual_ms += 1000;
    sim_steps(job, 'a', 3, "completed");
    job->report.steps[0].started_at = 5;
    job->report.steps[0].ended_at = SIM_START_MS * 2;
    job->report.steps[1].duration_ms = 400;
    job->report.steps[2].started_at = SIM_START_MS + 300;
    job->report.steps[2].ended_at = SIM_START_MS + 700;
    sim_ok(s, sim_send(job, REPORT_PROGRESS));
    step = sim_get_steps(s, id)->steps;
    assert_int_equal(step[0].started_at, SIM_START_MS);
    assert_int_equal(step[0].ended_at, SIM_START_MS + 1000);
    assert_int_equal(step[1].started_at, SIM_START_MS + 600);
    assert_int_equal(step[1].duration_ms, 400);
    assert_int_equal(step[2].duration_ms, 400);
}

static void malformed_reports_are_refused_whole(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    sim_steps(job, 'a', 2, "completed");
    job->report.steps[1].status = S("perhaps");
    assert_int_equal(sim_send(job, REPORT_PROGRESS), ERR_INVALID);
    job->report.steps[1].status = S("completed");
    job->report.steps[1].id = STR_NULL;
    assert_int_equal(sim_send(job, REPORT_PROGRESS), ERR_INVALID);
    sim_steps(job, 'a', 1, "completed");
    job->report.has_step_offset = true;
    job->report.step_offset = -1;
    assert_int_equal(sim_send(job, REPORT_PROGRESS), ERR_INVALID);
    job->report.has_step_offset = false;
    sim_steps(job, 'a', 501, "completed");
    assert_int_equal(sim_send(job, REPORT_PROGRESS), ERR_INVALID);
    job->report.steps_n = 0;
    job->report.yield_type = S("nonsense");
    assert_int_equal(sim_send(job, REPORT_YIELDED), ERR_INVALID);
    assert_steps(s, id, 0);
}

static void a_bad_yield_changes_nothing(void **state)
{
    static const char *const types[] = { "wait_for_event", "invoke_function",
                                         "invoke_function_async", "nap" };
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    job = start(s, &id);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        sim_steps(job, 'a', 1, "completed");
        job->report.yield_type = str_from(types[i]);
        job->report.yield_step_id = S("x:y:0");
        assert_int_equal(sim_send(job, REPORT_YIELDED), ERR_INVALID);
        assert_non_null(strstr(s->text, "yield: "));
    }
    assert_steps(s, id, 0);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
}

static void a_yield_may_carry_steps(void **state)
{
    struct sim *s = *state;
    struct op *job, *steps;
    int64_t id;

    job = start(s, &id);
    sim_steps(job, 'a', 2, "completed");
    sim_ok(s, sim_sleep(job, "nap", SIM_START_MS + 50));
    sim_ok(s, sim_sleep(job, "nap", SIM_START_MS + 99)); /* the answer was lost */
    steps = sim_get_steps(s, id);
    assert_int_equal(steps->n, 3);
    assert_int_equal(steps->steps[2].sequence, 2);
    assert_int_equal(steps->steps[2].wake_at, SIM_START_MS + 50);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    T(a_wrong_fence_changes_nothing),
    T(an_unknown_job_is_stale),
    T(a_valid_fence_needs_no_registration),
    T(without_fence_the_path_decides),
    T(a_repeated_final_report_changes_nothing),
    T(an_ended_run_answers_as_before),
    T(a_cancelled_run_refuses_its_holder),
    T(an_expired_lease_goes_to_another_worker),
    T(without_ack_the_lease_is_short),
    T(the_holder_may_come_back_during_the_grace),
    T(a_late_failure_and_a_late_sleep_count),
    T(heartbeats_renew_what_they_list),
    T(a_claim_that_was_not_delivered_goes_back),
    T(silent_workers_are_forgotten),
    T(sequences_follow_the_offset),
    T(a_repeated_step_is_stored_once),
    T(times_lie_between_creation_and_now),
    T(malformed_reports_are_refused_whole),
    T(a_bad_yield_changes_nothing),
    T(a_yield_may_carry_steps),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
