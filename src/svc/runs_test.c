/* Lists, totals and cancelling of runs. */
#include "svc/svc_fixture.h"

#define RETRY "\"retry\":{\"maxAttempts\":3,\"initialDelayMs\":1000}"

static void functions(struct sim *s)
{
    sim_function(s, "{\"id\":\"one\",\"triggers\":[{\"event\":\"one\"}]," RETRY "}");
    sim_function(s, "{\"id\":\"two\",\"triggers\":[{\"event\":\"two\"}]," RETRY "}");
    sim_worker(s, "w1", "[\"one\",\"two\"]", 50);
}

/* 12 runs of "one" in six states (two each), then 3 pending ones of "two"; a second apart. */
static void zoo(struct sim *s, int64_t ids[15])
{
    functions(s);
    for (int i = 0; i < 15; i++) {
        struct op *job, *cancel;

        s->clock.virtual_ms += 1000;
        ids[i] = sim_emit(s, i < 12 ? "one" : "two", "{}");
        if (i >= 12 || i / 2 == 5)
            continue;
        job = sim_take(s, "w1");
        assert_int_equal(job->id, ids[i]);
        switch (i / 2) {
        case 0:
            sim_ok(s, sim_complete(job, "1"));
            break;
        case 1:
            sim_ok(s, sim_fail(job, "{\"message\":\"x\"}", false));
            break;
        case 2:
            cancel = sim_op(s);
            cancel->id = ids[i];
            sim_ok(s, sim_run(cancel, CALL_WRITE, op_cancel));
            break;
        case 3:
            sim_ok(s, sim_sleep(job, "nap", s->clock.virtual_ms * 2));
            break;
        default:
            break; /* running */
        }
    }
}

static struct op *list(struct sim *s, struct run_filter f)
{
    struct op *op = sim_op(s);

    op->filter = f;
    sim_ok(s, sim_run(op, CALL_READ, op_run_list));
    return op;
}

static void the_newest_come_first(void **state)
{
    struct sim *s = *state;
    int64_t ids[15];
    struct op *l;

    zoo(s, ids);
    l = list(s, (struct run_filter){ 0 });
    assert_int_equal(l->n, 15);
    assert_int_equal(l->total, 15);
    for (int i = 0; i < 15; i++)
        assert_int_equal(l->runs[i].id, ids[14 - i]);
    l = list(s, (struct run_filter){ .limit = 4, .offset = 3 });
    assert_int_equal(l->n, 4);
    assert_int_equal(l->runs[0].id, ids[11]);
    assert_int_equal(l->total, 15);
    l = list(s, (struct run_filter){ .limit = 2, .before_id = ids[11] });
    assert_int_equal(l->n, 2);
    assert_int_equal(l->runs[0].id, ids[10]);
}

static void filters_count_what_they_show(void **state)
{
    static const struct {
        uint32_t statuses;
        const char *function;
        size_t n;
    } cases[] = {
        { 1u << RUN_COMPLETED, NULL, 2 },
        { 1u << RUN_FAILED, NULL, 2 },
        { 1u << RUN_CANCELLED, "one", 2 },
        { 1u << RUN_CANCELLED, "two", 0 },
        { 1u << RUN_PAUSED, NULL, 2 },
        { 1u << RUN_RUNNING, NULL, 2 },
        { 1u << RUN_PENDING, NULL, 5 },
        { 1u << RUN_PENDING, "one", 2 },
        { 1u << RUN_WAITING, NULL, 0 },
        { 1u << RUN_PENDING | 1u << RUN_RUNNING | 1u << RUN_PAUSED, NULL, 9 },
        { 1u << RUN_COMPLETED | 1u << RUN_PENDING, "one", 4 },
        { 1u << RUN_COMPLETED | 1u << RUN_FAILED, NULL, 4 },
        { 0, "two", 3 },
        { 0, "nobody", 0 },
    };
    struct sim *s = *state;
    int64_t ids[15];

    zoo(s, ids);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct op *l = list(s, (struct run_filter){ .statuses = cases[i].statuses,
                                                    .function_id = str_from(cases[i].function) });

        assert_int_equal(l->n, cases[i].n);
        assert_int_equal(l->total, cases[i].n);
        for (size_t k = 1; k < l->n; k++)
            assert_true(l->runs[k - 1].id > l->runs[k].id);
    }
}

static void times_are_bounds_of_creation(void **state)
{
    struct sim *s = *state;
    int64_t ids[15];
    struct op *l;

    zoo(s, ids);
    l = list(
        s, (struct run_filter){ .since_ms = SIM_START_MS + 3000, .until_ms = SIM_START_MS + 6000 });
    assert_int_equal(l->n, 3);
    assert_int_equal(l->total, 3);
    assert_int_equal(l->runs[2].id, ids[2]);
    l = list(s, (struct run_filter){
                    .since_ms = SIM_START_MS + 3000, .statuses = 1u << RUN_FAILED, .limit = 1 });
    assert_int_equal(l->n, 1);
    assert_int_equal(l->total, 2);
}

static void cancelling_ends_every_open_run(void **state)
{
    struct sim *s = *state;
    int64_t ids[15];
    struct op *op;

    zoo(s, ids);
    for (int i = 6; i < 15; i++) {
        op = sim_op(s);
        op->id = ids[i];
        op->text = S("enough");
        sim_ok(s, sim_run(op, CALL_WRITE, op_cancel));
        assert_int_equal(op->run.status, RUN_CANCELLED);
        assert_str(op->run.cancellation_cause, "user");
        assert_int_equal(op->run.ended_at, s->clock.virtual_ms);
        sim_ok(s, sim_run(op, CALL_WRITE, op_cancel)); /* once more: nothing happens */
    }
    assert_int_equal(list(s, (struct run_filter){ .statuses = 1u << RUN_CANCELLED })->total, 11);
    assert_int_equal(sim_poll(s, "w1", 50)->n, 0);
    sim_pass(s, 400LL * 365 * 86400000); /* the sleepers' timers find nothing */
    assert_int_equal(list(s, (struct run_filter){ .statuses = 1u << RUN_CANCELLED })->n, 11);
}

static void ended_runs_cannot_be_cancelled(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s);
    int64_t ids[15];

    zoo(s, ids);
    op->id = ids[0];
    assert_int_equal(sim_run(op, CALL_WRITE, op_cancel), ERR_PRECONDITION);
    op->id = ids[2];
    assert_int_equal(sim_run(op, CALL_WRITE, op_cancel), ERR_PRECONDITION);
    op->id = 12345;
    assert_int_equal(sim_run(op, CALL_WRITE, op_cancel), ERR_NOT_FOUND);
}

static void open_steps_fail_with_the_run(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s), *steps;
    int64_t ids[15];

    zoo(s, ids);
    op->id = ids[6];
    sim_ok(s, sim_run(op, CALL_WRITE, op_cancel));
    steps = sim_get_steps(s, ids[6]);
    assert_int_equal(steps->n, 1);
    assert_int_equal(steps->steps[0].status, STEP_FAILED);
    assert_true(str_find(steps->steps[0].error, S("\"CANCELLED\"")) > 0);
}

static err_t steps_read(struct op *op, int64_t id, struct step_filter part)
{
    op->id = id;
    op->part = part;
    return sim_run(op, CALL_READ, op_run_steps);
}

static void steps_come_in_parts_and_never_in_excess(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s), *job;
    int64_t id;

    functions(s);
    id = sim_emit(s, "one", "{}");
    job = sim_take(s, "w1");
    sim_steps(job, 'a', 5, "completed"); /* 12 bytes of output each */
    sim_ok(s, sim_send(job, REPORT_PROGRESS));
    sim_ok(s, steps_read(op, id, (struct step_filter){ .bytes_max = 60 }));
    assert_int_equal(op->n, 5);
    sim_ok(s, steps_read(op, id, (struct step_filter){ .limit = 2, .offset = 3 }));
    assert_int_equal(op->n, 2);
    assert_str(op->steps[0].name, "d");
    assert_int_equal(steps_read(op, id, (struct step_filter){ .bytes_max = 59 }), ERR_TOO_LARGE);
    assert_true(str_find(str_from(s->text), S("limit=4")) > 0);
    sim_ok(s, steps_read(op, id, (struct step_filter){ .bytes_max = 59, .limit = 4 }));
    assert_int_equal(op->n, 4);
    assert_int_equal(steps_read(op, 12345, (struct step_filter){ 0 }), ERR_NOT_FOUND);
}

static void environments_do_not_see_each_other(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s);
    int64_t ids[15];

    zoo(s, ids);
    op->id = ids[0];
    sim_submit(op, CALL_READ, op_run_get);
    op->call.ctx.env = ENV_DEFAULT_KEY + 1;
    sim_settle(s);
    assert_int_equal(op->call.result, ERR_NOT_FOUND);
    op = sim_op(s);
    op->id = ids[14];
    sim_submit(op, CALL_WRITE, op_cancel);
    op->call.ctx.env = ENV_DEFAULT_KEY + 1;
    sim_settle(s);
    assert_int_equal(op->call.result, ERR_NOT_FOUND);
    assert_int_equal(sim_get(s, ids[14]).status, RUN_PENDING);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    T(the_newest_come_first),
    T(filters_count_what_they_show),
    T(times_are_bounds_of_creation),
    T(cancelling_ends_every_open_run),
    T(ended_runs_cannot_be_cancelled),
    T(open_steps_fail_with_the_run),
    T(steps_come_in_parts_and_never_in_excess),
    T(environments_do_not_see_each_other),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
