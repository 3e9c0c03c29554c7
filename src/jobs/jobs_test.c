/* Jobs keep themselves going: on one thread under a virtual clock, and with the threads of txn. */
#include "jobs/jobs.h"

#include "db/db_fault.h"
#include "svc/svc_fixture.h"

static struct jobs *start(struct sim *s)
{
    struct jobs *j = NULL;

    sim_function(s, "{\"id\":\"pack\",\"triggers\":[{\"event\":\"e\"}],"
                    "\"retry\":{\"maxAttempts\":3,\"initialDelayMs\":1000}}");
    sim_worker(s, "w1", "[\"pack\"]", 4);
    assert_int_equal(jobs_start(&s->c, s->t, &j), ERR_OK);
    sim_settle(s);
    return j;
}

/* Only time passes; nobody calls the housekeeping. */
static void pass(struct sim *s, int64_t ms)
{
    s->clock.virtual_ms += ms;
    sim_settle(s);
}

static void a_sleeper_wakes_by_itself(void **state)
{
    struct sim *s = *state;
    struct jobs *j = start(s);
    int64_t id = sim_emit(s, "e", "{}");

    sim_ok(s, sim_sleep(sim_take(s, "w1"), "nap", SIM_START_MS + 500));
    sim_settle(s);
    pass(s, 499);
    assert_int_equal(sim_get(s, id).status, RUN_PAUSED);
    pass(s, 1);
    assert_int_equal(sim_get(s, id).status, RUN_PENDING);
    jobs_stop(j);
}

static void an_earlier_timer_is_not_late(void **state)
{
    struct sim *s = *state;
    struct jobs *j = start(s);
    int64_t late = sim_emit(s, "e", "{}"), early = sim_emit(s, "e", "{}");

    sim_ok(s, sim_sleep(sim_take(s, "w1"), "nap", SIM_START_MS + 90000));
    sim_ok(s, sim_sleep(sim_take(s, "w1"), "nap", SIM_START_MS + 10));
    pass(s, 10);
    assert_int_equal(sim_get(s, early).status, RUN_PENDING);
    assert_int_equal(sim_get(s, late).status, RUN_PAUSED);
    jobs_stop(j);
}

static void a_held_poll_gets_what_a_timer_made_ready(void **state)
{
    struct sim *s = *state;
    struct jobs *j = start(s);
    struct op *poll = sim_op(s);

    (void)sim_emit(s, "e", "{}");
    sim_ok(s, sim_fail(sim_take(s, "w1"), "{\"message\":\"x\"}", true));
    poll->worker = S("w1");
    poll->available = 1;
    poll->deadline_ms = SIM_START_MS + 20000;
    sim_submit(poll, CALL_WRITE, op_poll);
    pass(s, 999);
    assert_false(poll->done);
    pass(s, 1);
    assert_true(poll->done);
    assert_int_equal(poll->n, 1);
    assert_int_equal(poll->assignments[0].claim.run.attempt, 2);
    jobs_stop(j);
}

static void lost_leases_come_back(void **state)
{
    struct sim *s = *state;
    struct jobs *j = start(s);
    int64_t id = sim_emit(s, "e", "{}");

    sim_ok(s, sim_ack(sim_take(s, "w1")));
    for (int64_t ms = 0; ms < 92000; ms += 1000)
        pass(s, 1000);
    assert_int_equal(sim_get(s, id).status, RUN_WAITING);
    pass(s, 30000);
    assert_int_equal(sim_get(s, id).status, RUN_PENDING);
    jobs_stop(j);
}

static void many_timers_fire_in_slices(void **state)
{
    struct sim *s = *state;
    struct jobs *j = start(s);
    struct op *poll;
    struct run_filter pending = { .statuses = 1u << RUN_PENDING, .limit = 1 };

    sim_worker(s, "w1", "[\"pack\"]", 1000);
    for (int i = 0; i < 600; i++)
        (void)sim_emit(s, "e", "{}");
    while ((poll = sim_poll(s, "w1", 1000))->n > 0) {
        for (size_t i = 0; i < poll->n; i++)
            sim_ok(s, sim_sleep(sim_job(s, poll, i), "nap", SIM_START_MS + 1000));
    }
    pass(s, 1000);
    poll = sim_op(s);
    poll->filter = pending;
    sim_ok(s, sim_run(poll, CALL_READ, op_run_list));
    assert_int_equal(poll->total, 600);
    jobs_stop(j);
}

static void a_failing_slice_is_tried_again(void **state)
{
    struct sim *s = *state;
    struct jobs *j = start(s);
    int64_t id = sim_emit(s, "e", "{}");

    sim_ok(s, sim_sleep(sim_take(s, "w1"), "nap", SIM_START_MS + 500));
    sim_settle(s);
    for (int k = 1; k <= 12; k++) {
        db_fault_at(k, ERR_UNAVAILABLE); /* whoever it hits */
        pass(s, 100);
        db_fault_at(0, ERR_OK);
    }
    pass(s, 2000);
    assert_int_equal(sim_get(s, id).status, RUN_PENDING);
    jobs_stop(j);
}

static void stopping_twice_over_leaves_nothing(void **state)
{
    struct sim *s = *state;
    struct jobs *j = start(s);

    jobs_stop(j);
    sim_settle(s);
    jobs_stop(NULL);
    j = NULL;
    assert_int_equal(jobs_start(&s->c, s->t, &j), ERR_OK); /* queued, never run */
    jobs_stop(j);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        T(a_sleeper_wakes_by_itself),
        T(an_earlier_timer_is_not_late),
        T(a_held_poll_gets_what_a_timer_made_ready),
        T(lost_leases_come_back),
        T(many_timers_fire_in_slices),
        T(a_failing_slice_is_tried_again),
        T(stopping_twice_over_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
