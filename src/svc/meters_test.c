/* What the metrics count: only what was committed, once, under names whose number is bounded. */
#include "svc/meters.h"

#include "db/db_fault.h"
#include "svc/svc_fixture.h"

static err_t op_meters(struct ctx *c)
{
    return svc_meters_read(c, &op_of(c)->meters);
}

static const struct meter_report *report(struct sim *s)
{
    struct op *op = sim_op(s);

    sim_ok(s, sim_run(op, CALL_READ, op_meters));
    return &op->meters;
}

static uint64_t count(const struct histogram *h)
{
    uint64_t n = 0;

    for (size_t k = 0; k <= METER_BUCKETS; k++)
        n += h->by_bucket[k];
    return n;
}

static err_t op_boot(struct ctx *c)
{
    str_t key, id;

    return svc_access_bootstrap(c, &key, &id); /* the environment and its name */
}

static int setup(void **state)
{
    struct sim *s;
    int e = sim_setup(state);

    s = *state;
    sim_ok(s, sim_run(sim_op(s), CALL_WRITE, op_boot));
    s->app.meters = meters_new();
    sim_function(s, "{\"id\":\"one\",\"triggers\":[{\"event\":\"one\"}],"
                    "\"retry\":{\"maxAttempts\":1}}");
    sim_worker(s, "w1", "[\"one\"]", 50);
    return e;
}

static int teardown(void **state)
{
    struct sim *s = *state;
    struct meters *m = s->app.meters;
    int e = sim_teardown(state);

    meters_free(m);
    return e;
}

static void runs_and_steps_are_counted_when_they_end(void **state)
{
    struct sim *s = *state;
    const struct meter_report *r = report(s);
    struct op *job;

    assert_int_equal(r->runs_n + r->steps_n + r->workers_lost, 0);
    (void)sim_emit(s, "one", "{}");
    (void)sim_emit(s, "one", "{}");
    job = sim_take(s, "w1");
    sim_steps(job, 'a', 2, "completed");
    job->report.steps[0].duration_ms = 40;
    sim_ok(s, sim_send(job, REPORT_PROGRESS));
    assert_int_equal(report(s)->runs_n, 0);
    sim_ok(s, sim_send(job, REPORT_PROGRESS)); /* the same steps again */
    job->report.steps_n = 0;
    s->clock.virtual_ms += 2000;
    sim_ok(s, sim_complete(job, "1"));
    sim_ok(s, sim_complete(job, "1")); /* the same report again */
    job = sim_take(s, "w1");
    sim_steps(job, 'a', 1, "failed");
    sim_ok(s, sim_send(job, REPORT_FAILED));
    r = report(s);
    assert_int_equal(r->runs_n, 1);
    assert_str(r->runs[0].function_id, "one");
    assert_str(r->runs[0].environment, "env_default");
    assert_int_equal(count(&r->runs[0].h), 2);
    assert_int_equal(r->runs[0].h.by_bucket[8], 2); /* 1 to 2.5 s */
    assert_int_equal(r->runs[0].h.sum_ms, 4000);
    assert_int_equal(r->steps_n, 2);
    assert_str(r->steps[0].name, "a");
    assert_int_equal(r->steps[0].by_status[STEP_COMPLETED], 1);
    assert_int_equal(r->steps[0].by_status[STEP_FAILED], 1);
    assert_int_equal(r->steps[0].h.by_bucket[3], 1); /* 25 to 50 ms */
    assert_str(r->steps[1].name, "b");
    assert_int_equal(count(&r->steps[1].h), 1);
}

/* The at-th call of the database fails: whether the report was refused. */
static bool refused(struct op *job, int64_t at)
{
    err_t e;

    db_fault_at(at, ERR_UNAVAILABLE);
    e = sim_run(job, CALL_WRITE, op_report);
    db_fault_at(0, ERR_OK);
    return e != ERR_OK;
}

static void what_was_rolled_back_is_not_counted(void **state)
{
    struct sim *s = *state;
    const struct meter_report *r;
    struct op *job;

    (void)sim_emit(s, "one", "{}");
    job = sim_take(s, "w1");
    sim_steps(job, 'a', 3, "completed");
    job->report.kind = REPORT_COMPLETED;
    for (int64_t at = 1; refused(job, at) && at < 200; at++)
        assert_int_equal(report(s)->steps_n, 0);
    r = report(s);
    assert_int_equal(r->steps_n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(count(&r->steps[i].h), 1);
    assert_int_equal(count(&r->runs[0].h), 1);
}

static void cancelled_runs_end_with_their_steps(void **state)
{
    struct sim *s = *state;
    const struct meter_report *r;
    struct op *job, *cancel = sim_op(s);

    cancel->id = sim_emit(s, "one", "{}");
    job = sim_take(s, "w1");
    job->report.yield_type = S("sleep");
    job->report.yield_step_id = S("r:nap:0");
    job->report.yield_until_ms = s->clock.virtual_ms + 60000;
    sim_ok(s, sim_send(job, REPORT_YIELDED));
    s->clock.virtual_ms += 700;
    sim_ok(s, sim_run(cancel, CALL_WRITE, op_cancel));
    r = report(s);
    assert_int_equal(r->runs_n, 1);
    assert_int_equal(count(&r->runs[0].h), 1);
    assert_int_equal(r->steps_n, 1);
    assert_int_equal(r->steps[0].by_status[STEP_FAILED], 1);
    assert_int_equal(r->steps[0].h.sum_ms, 700);
}

static void lost_workers_are_counted(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s);

    s->clock.virtual_ms += 200000;
    op->step = svc_workers_evict;
    sim_ok(s, sim_run(op, CALL_WRITE, op_upkeep));
    assert_int_equal(report(s)->workers_lost, 1);
}

static void made_up_names_cannot_fill_the_memory(void **state)
{
    struct sim *s = *state;
    struct op *job;
    const struct meter_report *r;
    uint64_t other = 0;
    char text[32];
    int64_t fn;

    (void)sim_emit(s, "one", "{}");
    job = sim_take(s, "w1");
    fn = sim_get(s, job->id).fn;
    for (int i = 0; i < METER_NAMES_MAX + 100; i++) {
        struct meter_fact f = { METER_STEP, STEP_COMPLETED, fn, 1, STR_NULL };

        f.name = (str_t){ text, (size_t)snprintf(text, sizeof(text), "step-%d", i) };
        meters_add(s->app.meters, &f, 1);
        meters_add(s->app.meters, &f, 1);
    }
    r = report(s);
    assert_int_equal(r->steps_n, METER_NAMES_MAX + 1);
    for (size_t i = 0; i < r->steps_n; i++)
        if (str_eq(r->steps[i].name, S("other")))
            other = count(&r->steps[i].h);
    assert_int_equal(other, 200);
}

static void nothing_is_counted_when_they_are_off(void **state)
{
    struct sim *s = *state;
    struct meters *m = s->app.meters;
    struct op *job;

    s->app.meters = NULL;
    (void)sim_emit(s, "one", "{}");
    job = sim_take(s, "w1");
    sim_ok(s, sim_complete(job, "1"));
    s->app.meters = m;
    assert_int_equal(report(s)->runs_n, 0);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    T(runs_and_steps_are_counted_when_they_end), T(what_was_rolled_back_is_not_counted),
    T(cancelled_runs_end_with_their_steps),      T(lost_workers_are_counted),
    T(made_up_names_cannot_fill_the_memory),     T(nothing_is_counted_when_they_are_off),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
