/* The life of runs from the event to the end, through txn on one thread under a virtual clock. */
#include "svc/svc_fixture.h"

#define PACK                                                                                       \
    "{\"id\":\"pack\",\"triggers\":[{\"event\":\"parcel.booked\"}],"                               \
    "\"preferredMode\":\"EXECUTION_MODE_PULL\",\"retry\":{\"maxAttempts\":3,"                      \
    "\"initialDelayMs\":1000}}"

static void pack(struct sim *s)
{
    sim_function(s, PACK);
    sim_worker(s, "w1", "[\"pack\"]", 4);
}

static void assert_status(struct sim *s, int64_t run, enum run_status status)
{
    assert_int_equal(sim_get(s, run).status, status);
}

static void a_run_completes_with_three_steps(void **state)
{
    struct sim *s = *state;
    struct op *job, *steps;
    struct run run;
    int64_t id;

    pack(s);
    id = sim_emit(s, "parcel.booked", "{\"kg\":3.1000}");
    assert_status(s, id, RUN_PENDING);
    job = sim_take(s, "w1");
    assert_int_equal(job->id, id);
    assert_status(s, id, RUN_RUNNING);
    sim_ok(s, sim_ack(job));
    sim_steps(job, 'a', 3, "completed");
    sim_ok(s, sim_complete(job, "{\"ok\":true}"));
    run = sim_get(s, id);
    assert_int_equal(run.status, RUN_COMPLETED);
    assert_str(run.output, "{\"ok\":true}");
    assert_str(run.worker, "w1");
    assert_int_equal(run.started_at, SIM_START_MS);
    assert_int_equal(run.ended_at, SIM_START_MS);
    steps = sim_get_steps(s, id);
    assert_int_equal(steps->n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(steps->steps[i].sequence, i);
        assert_int_equal(steps->steps[i].status, STEP_COMPLETED);
    }
    assert_str(steps->steps[1].output, "{\"step\":\"b\"}");
}

static void what_a_worker_is_sent(void **state)
{
    struct sim *s = *state;
    const struct assignment *a;
    struct op *poll;

    pack(s);
    (void)sim_emit(s, "parcel.booked", "{\"kg\":1e400}");
    poll = sim_poll(s, "w1", 1);
    a = &poll->assignments[0];
    assert_str(a->function_id, "pack");
    assert_str(a->event.data, "{\"kg\":1e400}");
    assert_str(a->event.name, "parcel.booked");
    assert_int_equal(a->claim.run.attempt, 1);
    assert_int_equal(a->claim.job.execution_seq, 1);
    assert_int_equal(a->step_base, 0);
    assert_int_equal(a->steps_n, 0);
}

static void progress_is_memory_for_the_next_attempt(void **state)
{
    struct sim *s = *state;
    struct op *job, *poll;
    struct run run;
    int64_t id;

    pack(s);
    id = sim_emit(s, "parcel.booked", "{}");
    job = sim_take(s, "w1");
    sim_ok(s, sim_ack(job));
    sim_ok(s, sim_progress(job, 'a', 2));
    sim_steps(job, 'c', 1, "failed");
    job->report.has_step_offset = true;
    job->report.step_offset = 2;
    sim_ok(s, sim_fail(job, "{\"message\":\"no\",\"code\":\"ERROR\"}", true));
    run = sim_get(s, id);
    assert_int_equal(run.status, RUN_WAITING);
    assert_int_equal(run.attempt, 1);
    sim_pass(s, 999);
    assert_int_equal(sim_poll(s, "w1", 1)->n, 0);
    sim_pass(s, 1);
    assert_status(s, id, RUN_PENDING);
    poll = sim_poll(s, "w1", 1);
    assert_int_equal(poll->n, 1);
    assert_int_equal(poll->assignments[0].claim.run.attempt, 2);
    assert_int_equal(poll->assignments[0].steps_n, 2); /* the failed one is not memory */
    assert_int_equal(poll->assignments[0].step_base, 3);
    job = sim_job(s, poll, 0);
    sim_steps(job, 'c', 1, "completed");
    sim_ok(s, sim_complete(job, "1"));
    poll = sim_get_steps(s, id);
    assert_int_equal(poll->n, 3);
    assert_int_equal(poll->steps[2].attempt, 2);
    assert_int_equal(poll->steps[2].sequence, 2); /* the first one stays */
    assert_int_equal(poll->steps[2].status, STEP_COMPLETED);
    assert_int_equal(poll->steps[2].error.n, 0);
    run = sim_get(s, id);
    assert_int_equal(run.status, RUN_COMPLETED);
    assert_int_equal(run.error.n, 0);
}

static void attempts_run_out(void **state)
{
    static const int64_t delays[] = { 1000, 2000 };
    struct sim *s = *state;
    struct run run;
    int64_t id;

    pack(s);
    id = sim_emit(s, "parcel.booked", "{}");
    for (int i = 0; i < 3; i++) {
        sim_ok(s, sim_fail(sim_take(s, "w1"), "{\"message\":\"no\",\"code\":\"X\"}", true));
        if (i < 2) {
            assert_status(s, id, RUN_WAITING);
            sim_pass(s, delays[i]);
        }
    }
    run = sim_get(s, id);
    assert_int_equal(run.status, RUN_FAILED);
    assert_int_equal(run.attempt, 3);
    assert_str(run.error, "{\"message\":\"no\",\"code\":\"X\"}");
}

static void an_error_that_is_not_retryable_ends_the_run(void **state)
{
    struct sim *s = *state;
    int64_t id;

    pack(s);
    id = sim_emit(s, "parcel.booked", "{}");
    sim_ok(s, sim_fail(sim_take(s, "w1"), NULL, false));
    assert_status(s, id, RUN_FAILED);
    assert_str(sim_get(s, id).error, "{\"message\":\"unknown error\",\"code\":\"ERROR\"}");
}

static void a_sleep_parks_the_run_until_its_time(void **state)
{
    struct sim *s = *state;
    struct op *job, *poll;
    struct run run;
    int64_t id;

    pack(s);
    id = sim_emit(s, "parcel.booked", "{}");
    job = sim_take(s, "w1");
    sim_ok(s, sim_progress(job, 'a', 1));
    sim_ok(s, sim_sleep(job, "cool down\\: now", SIM_START_MS + 60000));
    run = sim_get(s, id);
    assert_int_equal(run.status, RUN_PAUSED);
    assert_int_equal(run.pause_reason, PAUSE_SLEEP);
    poll = sim_get_steps(s, id);
    assert_int_equal(poll->steps[1].status, STEP_SLEEPING);
    assert_str(poll->steps[1].name, "cool down: now");
    assert_int_equal(poll->steps[1].sequence, 1);
    sim_pass(s, 59999);
    assert_status(s, id, RUN_PAUSED);
    sim_pass(s, 1);
    run = sim_get(s, id);
    assert_int_equal(run.status, RUN_PENDING);
    assert_int_equal(run.pause_reason, PAUSE_NONE);
    poll = sim_poll(s, "w1", 1);
    assert_int_equal(poll->assignments[0].steps_n, 2);
    assert_int_equal(poll->assignments[0].claim.run.attempt, 1);
    assert_int_equal(poll->assignments[0].claim.job.execution_seq, 2);
    assert_int_equal(poll->assignments[0].steps[1].type, STEP_SLEEP);
    assert_int_equal(poll->assignments[0].steps[1].duration_ms, 60000);
    sim_ok(s, sim_complete(sim_job(s, poll, 0), "null"));
    assert_status(s, id, RUN_COMPLETED);
}

static void a_sleep_that_is_over_goes_on_at_once(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    pack(s);
    id = sim_emit(s, "parcel.booked", "{}");
    sim_ok(s, sim_sleep(sim_take(s, "w1"), "nap", SIM_START_MS - 5));
    sim_pass(s, 0);
    assert_status(s, id, RUN_PENDING);
    job = sim_take(s, "w1");
    sim_ok(s, sim_sleep(job, "nap", SIM_START_MS + 99999)); /* yields the same one again */
    assert_status(s, id, RUN_PENDING);
    sim_ok(s, sim_complete(sim_take(s, "w1"), "1"));
}

static void a_run_outlives_a_restart_at_every_stage(void **state)
{
    struct sim *s = sim_new(true);
    struct op *job, *poll;
    int64_t id;

    (void)state;
    pack(s);
    id = sim_emit(s, "parcel.booked", "{}");
    sim_reopen(s);
    job = sim_take(s, "w1");
    sim_ok(s, sim_ack(job));
    sim_ok(s, sim_progress(job, 'a', 1));
    sim_reopen(s);
    sim_ok(s, sim_progress(job, 'b', 1)); /* the lease survived */
    sim_ok(s, sim_sleep(job, "nap", s->clock.virtual_ms + 1000));
    sim_reopen(s);
    s->clock.virtual_ms += 5000; /* the server was down meanwhile */
    sim_pass(s, 0);
    poll = sim_poll(s, "w1", 1);
    assert_int_equal(poll->n, 1);
    assert_int_equal(poll->assignments[0].steps_n, 3);
    job = sim_job(s, poll, 0);
    sim_ok(s, sim_complete(job, "2"));
    sim_reopen(s);
    sim_ok(s, sim_complete(job, "2")); /* repeated: the answer was lost */
    assert_status(s, id, RUN_COMPLETED);
    sim_free(s);
}

static void polls_share_what_is_there_by_age(void **state)
{
    struct sim *s = *state;
    struct op *poll;
    int64_t ids[4];

    sim_function(s, "{\"id\":\"one\",\"triggers\":[{\"event\":\"one\"}]}");
    sim_function(s, "{\"id\":\"two\",\"triggers\":[{\"event\":\"two\"}]}");
    sim_worker(s, "w1", "[\"one\",\"two\",\"never-registered\"]", 3);
    for (int i = 0; i < 4; i++) {
        ids[i] = sim_emit(s, i % 2 == 0 ? "two" : "one", "{}");
        s->clock.virtual_ms++;
    }
    poll = sim_poll(s, "w1", 2);
    assert_int_equal(poll->n, 2);
    assert_int_equal(poll->claims[0].run.id, ids[0]);
    assert_int_equal(poll->claims[1].run.id, ids[1]);
    poll = sim_poll(s, "w1", 9); /* three at once are all it can do */
    assert_int_equal(poll->n, 1);
    assert_int_equal(poll->claims[0].run.id, ids[2]);
    assert_int_equal(sim_poll(s, "w1", 9)->n, 0);
    assert_int_equal(sim_poll(s, "w1", 0)->n, 0);
}

static void a_held_poll_wakes_with_the_emit(void **state)
{
    struct sim *s = *state;
    struct op *first = sim_op(s), *second = sim_op(s);

    pack(s);
    first->worker = second->worker = S("w1");
    first->available = second->available = 1;
    first->deadline_ms = second->deadline_ms = SIM_START_MS + 20000;
    sim_submit(first, CALL_WRITE, op_poll);
    sim_submit(second, CALL_WRITE, op_poll);
    sim_settle(s);
    assert_false(first->done || second->done);
    (void)sim_emit(s, "parcel.booked", "{}");
    sim_settle(s);
    assert_true(first->done);
    assert_false(second->done); /* one run wakes one poll */
    assert_int_equal(first->n, 1);
    s->clock.virtual_ms += 20000;
    sim_settle(s);
    assert_true(second->done);
    assert_int_equal(second->call.result, ERR_OK);
    assert_int_equal(second->n, 0);
}

static void a_caller_waits_for_the_end(void **state)
{
    struct sim *s = *state;
    struct op *wait = sim_op(s), *late = sim_op(s);

    pack(s);
    wait->id = late->id = sim_emit(s, "parcel.booked", "{}");
    wait->deadline_ms = SIM_START_MS + 30000;
    late->deadline_ms = SIM_START_MS + 10;
    sim_submit(wait, CALL_READ, op_wait);
    sim_submit(late, CALL_READ, op_wait);
    sim_settle(s);
    assert_false(wait->done);
    s->clock.virtual_ms += 10;
    sim_settle(s);
    assert_true(late->done);
    assert_false(late->ended_all);
    assert_int_equal(late->runs[0].status, RUN_PENDING);
    sim_ok(s, sim_complete(sim_take(s, "w1"), "7"));
    sim_settle(s);
    assert_true(wait->done && wait->ended_all);
    assert_str(wait->runs[0].output, "7");
}

static void a_worker_that_is_unknown_must_register(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s);

    op->worker = S("nobody");
    op->available = 1;
    assert_int_equal(sim_run(op, CALL_WRITE, op_poll), ERR_NOT_FOUND);
    assert_string_equal(s->text, "worker not registered");
    assert_int_equal(sim_run(op, CALL_WRITE, op_beat), ERR_NOT_FOUND);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    T(a_run_completes_with_three_steps),
    T(what_a_worker_is_sent),
    T(progress_is_memory_for_the_next_attempt),
    T(attempts_run_out),
    T(an_error_that_is_not_retryable_ends_the_run),
    T(a_sleep_parks_the_run_until_its_time),
    T(a_sleep_that_is_over_goes_on_at_once),
    cmocka_unit_test(a_run_outlives_a_restart_at_every_stage),
    T(polls_share_what_is_there_by_age),
    T(a_held_poll_wakes_with_the_emit),
    T(a_caller_waits_for_the_end),
    T(a_worker_that_is_unknown_must_register),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
