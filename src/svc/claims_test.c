/* The last slot of clients that sleep when they are full: when it stays free, and for how long. On
 * PostgreSQL too when IRONFLOW_TEST_PG_URL names one. */
#include "svc/svc_fixture.h"

enum { HOLD_MS = 20000 };

static void worker(struct sim *s, const char *id, const char *runtime, int64_t slots)
{
    struct op *op = sim_op(s);

    op->reg = (struct worker){ .id = str_from(id),
                               .functions = S("[\"f\"]"),
                               .max_jobs = slots,
                               .sdk = S("0.29.0"),
                               .runtime = str_from(runtime) };
    sim_ok(s, sim_run(op, CALL_WRITE, op_worker));
}

static void ready(struct sim *s, int n)
{
    for (int i = 0; i < n; i++)
        (void)sim_emit(s, "go", "{}");
}

/* A poll that may be held. */
static struct op *poll(struct sim *s, const char *id, int64_t available)
{
    struct op *op = sim_op(s);

    op->worker = str_from(id);
    op->available = available;
    op->deadline_ms = s->clock.virtual_ms + HOLD_MS;
    sim_submit(op, CALL_WRITE, op_poll);
    sim_settle(s);
    return op;
}

static void pass(struct sim *s, int64_t ms)
{
    s->clock.virtual_ms += ms;
    sim_settle(s);
}

static void given(struct op *op, size_t n)
{
    assert_true(op->done);
    sim_ok(op->sim, op->call.result);
    assert_int_equal(op->n, n);
}

static struct sim *world(void **state)
{
    struct sim *s = *state;

    sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"go\"}]}");
    return s;
}

static void the_last_slot_waits_for_a_job_to_end(void **state)
{
    struct sim *s = world(state);
    struct op *first, *second;

    worker(s, "w", "node-v22.3.0", 3);
    ready(s, 6);
    first = poll(s, "w", 3);
    given(first, 2);
    second = poll(s, "w", 1);
    pass(s, 500);
    assert_false(second->done);
    sim_ok(s, sim_complete(sim_job(s, first, 0), "{}"));
    assert_false(second->done); /* the answer to the report goes first */
    pass(s, 3);
    given(second, 1);
}

static void the_last_slot_waits_no_longer_than_the_client_would_sleep(void **state)
{
    struct sim *s = world(state);
    struct op *second;

    worker(s, "w", "go", 3);
    ready(s, 6);
    given(poll(s, "w", 3), 2);
    second = poll(s, "w", 1);
    pass(s, 999);
    assert_false(second->done);
    pass(s, 1);
    given(second, 1);
}

/* It has waited for a job of its own; then it waits for work, and its time ends as any other's. */
static void without_work_it_is_held_to_its_end(void **state)
{
    struct sim *s = world(state);
    struct op *served, *idle;

    worker(s, "w", "python-3.12", 2);
    ready(s, 1);
    given(poll(s, "w", 2), 1);
    served = poll(s, "w", 1);
    pass(s, 5000);
    assert_false(served->done);
    ready(s, 1);
    given(served, 1);

    worker(s, "idle", "python-3.12", 2);
    ready(s, 1);
    given(poll(s, "idle", 2), 1);
    idle = poll(s, "idle", 1);
    pass(s, 1000);
    pass(s, HOLD_MS - 1001);
    assert_false(idle->done);
    pass(s, 1);
    given(idle, 0);
}

/* Jobs that have run for long do not end the next moment. */
static void beside_long_jobs_nothing_is_kept(void **state)
{
    struct sim *s = world(state);
    struct op *old, *young, *last;

    worker(s, "w", "node-v22.3.0", 3);
    ready(s, 1);
    old = poll(s, "w", 3);
    given(old, 1);
    sim_ok(s, sim_ack(sim_job(s, old, 0)));
    pass(s, 2000);
    ready(s, 2);
    young = poll(s, "w", 2);
    given(young, 1);
    pass(s, 400);
    sim_ok(s, sim_ack(sim_job(s, young, 0)));
    pass(s, 300);
    last = poll(s, "w", 1);
    pass(s, 699);
    assert_false(last->done);
    pass(s, 1); /* the youngest has run for a second */
    given(last, 1);
    sim_ok(s, sim_complete(sim_job(s, last, 0), "{}"));
    ready(s, 1);
    given(poll(s, "w", 1), 1);
}

static void others_are_filled(void **state)
{
    struct sim *s = world(state);

    worker(s, "c", "c17", 3);
    worker(s, "silent", "", 3);
    worker(s, "one", "node-v22.3.0", 1);
    ready(s, 7);
    given(poll(s, "c", 3), 3);
    given(poll(s, "silent", 3), 3);
    given(poll(s, "one", 1), 1);
}

/* A poll that was held for work and has room no more hands the run on. */
static void a_run_that_is_not_taken_goes_to_another_worker(void **state)
{
    struct sim *s = world(state);
    struct op *kept, *other;

    worker(s, "w", "node-v22.3.0", 2);
    worker(s, "other", "c17", 2);
    ready(s, 1);
    given(poll(s, "w", 2), 1);
    kept = poll(s, "w", 1);
    other = poll(s, "other", 1);
    ready(s, 1);
    given(other, 1);
    assert_false(kept->done);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    T(the_last_slot_waits_for_a_job_to_end),
    T(the_last_slot_waits_no_longer_than_the_client_would_sleep),
    T(without_work_it_is_held_to_its_end),
    T(beside_long_jobs_nothing_is_kept),
    T(others_are_filled),
    T(a_run_that_is_not_taken_goes_to_another_worker),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
