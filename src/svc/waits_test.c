/* Waits, children and events that cancel, through txn on both databases. */
#include "svc/svc_fixture.h"
#include "svc/waits.h"

static void world(struct sim *s, const char *extra)
{
    sim_function(s, str_z(&s->arena, str_printf(&s->arena,
                                                "{\"id\":\"pack\",\"triggers\":[{\"event\":\"go\"}]"
                                                ",\"preferredMode\":\"EXECUTION_MODE_PULL\"%s}",
                                                extra)));
    sim_worker(s, "w", "[\"pack\"]", 1000);
}

static err_t send_wait(struct op *job, const char *event, const char *match, int64_t timeout_ms)
{
    struct arena *a = &job->sim->arena;

    job->report.yield_type = S("wait_for_event");
    job->report.yield_step_id =
        str_printf(a, STR_FMT ":ok:0", STR_ARG(id_text(a, ID_RUN, job->id)));
    job->report.yield_event = str_from(event);
    job->report.yield_match = str_from(match);
    job->report.yield_timeout_ms = timeout_ms;
    return sim_send(job, REPORT_YIELDED);
}

static struct op *waiting(struct sim *s, const char *data, const char *match)
{
    struct op *job;

    (void)sim_emit(s, "go", data);
    job = sim_take(s, "w");
    sim_ok(s, send_wait(job, "ok", match, 60000));
    return job;
}

static err_t send_invoke(struct op *job, const char *type, const char *function)
{
    struct arena *a = &job->sim->arena;

    job->report.yield_type = str_from(type);
    job->report.yield_step_id =
        str_printf(a, STR_FMT ":%s:0", STR_ARG(id_text(a, ID_RUN, job->id)), function);
    job->report.yield_function = str_from(function);
    return sim_send(job, REPORT_YIELDED);
}

static void assert_run(struct sim *s, int64_t id, enum run_status status)
{
    assert_int_equal(sim_get(s, id).status, status);
}

static int64_t count(struct sim *s, const char *table)
{
    static const struct sql waits = { "SELECT count(*) FROM waits" };
    static const struct sql wakes = { "SELECT count(*) FROM wakes" };
    struct db_conn *conn = NULL;
    struct db_rows r;
    int64_t n = -1;
    struct ctx c = s->c;

    if (s->dir[0] == '\0' && sim_pg_url == NULL)
        fail_msg("needs a database that others can read");
    sim_ok(s, db_conn_open(&c, s->db, false, &conn));
    sim_ok(s, db_begin(&c, conn, false));
    sim_ok(s, db_query(&c, strcmp(table, "waits") == 0 ? &waits : &wakes, ARGS_NONE, &r));
    if (db_row(&r))
        n = db_int(&r, 0);
    sim_ok(s, db_end(&r));
    db_rollback(&c);
    db_conn_close(conn);
    return n;
}

static int setup_file(void **state)
{
    *state = sim_new(true);
    return 0;
}

static void an_event_completes_the_wait_with_itself(void **state)
{
    struct sim *s = *state;
    struct op *job, *steps, *poll;

    world(s, "");
    job = waiting(s, "{}", "");
    assert_run(s, job->id, RUN_PAUSED);
    assert_int_equal(sim_get(s, job->id).pause_reason, PAUSE_WAIT_EVENT);
    (void)sim_emit(s, "other", "{}");
    assert_run(s, job->id, RUN_PAUSED);
    (void)sim_emit(s, "ok", "{\"n\": 1.0, \"n\":2}");
    assert_run(s, job->id, RUN_PENDING);
    steps = sim_get_steps(s, job->id);
    assert_int_equal(steps->steps[0].status, STEP_COMPLETED);
    assert_true(str_find(steps->steps[0].output, S("\"data\":{\"n\": 1.0, \"n\":2}")) > 0);
    poll = sim_poll(s, "w", 1);
    assert_str(poll->assignments[0].steps[0].output, str_z(&s->arena, steps->steps[0].output));
    assert_int_equal(count(s, "waits"), 0);
}

/* 221: a wait announces itself as waiting. */
static void the_order_of_messages(void **state)
{
    static const char *const words[] = { "events:go", ".created",  ".updated", ".step.",
                                         ".updated",  "events:ok", ".step.",   ".updated" };
    struct sim *s = *state;
    struct op *job, *m;

    world(s, "");
    job = waiting(s, "{}", "");
    (void)sim_emit(s, "ok", "{}");
    (void)sim_take(s, "w");
    (void)job;
    m = sim_messages(s, 3); /* after those of the function and the worker */
    assert_int_equal(m->n, COUNT_OF(words));
    for (size_t i = 0; i < m->n; i++) {
        if (str_find(m->messages[i].topic, str_from(words[i])) < 0)
            fail_msg("%zu: " STR_FMT, i, STR_ARG(m->messages[i].topic));
    }
    assert_true(str_find(m->messages[3].json, S("\"status\":\"waiting\"")) > 0);
    assert_true(str_ends(m->messages[3].topic, S(".created")));
    assert_true(str_find(m->messages[4].json, S("\"pauseReason\":\"wait_event\"")) > 0);
    assert_true(str_ends(m->messages[6].topic, S(".completed")));
    assert_true(str_find(m->messages[6].json, S("\"name\":\"ok\"")) > 0);
}

static void a_deadline_and_an_event_at_the_same_moment(void **state)
{
    struct sim *s = *state;
    struct op *job;

    world(s, "");
    job = waiting(s, "{}", "");
    s->clock.virtual_ms += 60000; /* due, and not yet looked at */
    (void)sim_emit(s, "ok", "{}");
    sim_pass(s, 0);
    assert_run(s, job->id, RUN_PENDING);
    (void)sim_complete(sim_take(s, "w"), "1");
    job = waiting(s, "{}", "");
    sim_pass(s, 60000);
    (void)sim_emit(s, "ok", "{}");
    assert_run(s, job->id, RUN_FAILED);
    assert_int_equal(sim_get_steps(s, job->id)->steps[0].status, STEP_TIMED_OUT);
    assert_true(str_find(sim_get(s, job->id).error, S("WAIT_TIMEOUT")) > 0);
    assert_int_equal(count(s, "waits"), 0);
}

static void many_are_woken_in_slices_and_new_ones_are_not(void **state)
{
    struct sim *s = *state;
    int64_t ids[WAKES_PER_CALL + 200], late;
    size_t pending = 0;

    world(s, "");
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = waiting(s, "{}", "")->id;
    (void)sim_emit(s, "ok", "{}");
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        pending += sim_get(s, ids[i]).status == RUN_PENDING;
    assert_true(pending > 0 && pending <= WAKES_PER_CALL);
    assert_int_equal(count(s, "wakes"), 1);
    late = sim_emit(s, "go", "{\"late\":1}");
    for (;;) { /* the late one is behind those that are awake */
        struct op *job = sim_take(s, "w");

        if (job->id != late) {
            sim_ok(s, sim_complete(job, "1"));
            continue;
        }
        sim_ok(s, send_wait(job, "ok", "", 60000));
        break;
    }
    sim_reopen(s); /* what is left is in the database */
    sim_pass(s, 0);
    assert_int_equal(count(s, "wakes"), 0);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_not_equal(sim_get(s, ids[i]).status, RUN_PAUSED);
    assert_run(s, late, RUN_PAUSED);
}

static void filters_beyond_the_slice_are_all_asked(void **state)
{
    struct sim *s = *state;
    int64_t last = 0;

    world(s, "");
    for (int i = 0; i < WAKES_PER_CALL + 120; i++) {
        struct op *job;

        (void)sim_emit(s, "go", "{}");
        job = sim_take(s, "w");
        sim_ok(s, send_wait(job, "ok", str_z(&s->arena, str_printf(&s->arena, "data.n > %d", i)),
                            60000));
        last = job->id;
    }
    (void)sim_emit(s, "ok", "{\"n\":1}");
    sim_pass(s, 0);
    assert_int_equal(count(s, "waits"), WAKES_PER_CALL + 119);
    (void)sim_emit(s, "ok", "{\"n\":100000}");
    assert_run(s, last, RUN_PAUSED);
    sim_pass(s, 0);
    assert_run(s, last, RUN_PENDING);
    assert_int_equal(count(s, "waits"), 0);
}

static void every_end_of_a_run_removes_its_rows(void **state)
{
    static const char *const cancels =
        ",\"cancelOn\":[{\"event\":\"stop\",\"match\":\"k\"},{\"event\":\"s.*\",\"match\":\"k\"}]";
    struct sim *s = *state;
    struct op *job, *op;

    world(s, cancels);
    (void)sim_emit(s, "go", "{\"k\":\"a\"}");
    assert_int_equal(count(s, "waits"), 2);
    sim_ok(s, sim_complete(sim_take(s, "w"), "1"));
    assert_int_equal(count(s, "waits"), 0);
    (void)sim_emit(s, "go", "{\"k\":\"a\"}");
    sim_ok(s, sim_fail(sim_take(s, "w"), NULL, false));
    assert_int_equal(count(s, "waits"), 0);
    job = waiting(s, "{\"k\":\"a\"}", "");
    assert_int_equal(count(s, "waits"), 3);
    op = sim_op(s);
    op->id = job->id;
    sim_ok(s, sim_run(op, CALL_WRITE, op_cancel));
    assert_int_equal(count(s, "waits"), 0);
    job = waiting(s, "{\"k\":\"a\"}", "");
    sim_pass(s, 60000);
    assert_run(s, job->id, RUN_FAILED);
    assert_int_equal(count(s, "waits"), 0);
    job = waiting(s, "{\"k\":\"a\"}", "");
    (void)sim_emit(s, "s.x", "{\"k\":\"a\"}");
    assert_run(s, job->id, RUN_CANCELLED);
    assert_str(sim_get(s, job->id).cancellation_cause, "cancel-on-event");
    assert_int_equal(count(s, "waits"), 0);
    (void)sim_emit(s, "go", "{}");
    assert_int_equal(count(s, "waits"), 0);
}

static void one_event_cancels_many_in_slices(void **state)
{
    struct sim *s = *state;
    int64_t first, id = 0;

    world(s, ",\"cancelOn\":[{\"event\":\"stop\",\"match\":\"k\"}]");
    first = sim_emit(s, "go", "{\"k\":1}");
    for (int i = 0; i < WAKES_PER_CALL + 50; i++)
        id = sim_emit(s, "go", "{\"k\":1}");
    (void)sim_emit(s, "stop", "{\"k\":1}");
    assert_run(s, first, RUN_CANCELLED);
    assert_run(s, id, RUN_PENDING);
    first = sim_emit(s, "go", "{\"k\":1}");
    sim_pass(s, 0);
    assert_run(s, id, RUN_CANCELLED);
    assert_run(s, first, RUN_PENDING); /* the event is older than this run */
    assert_int_equal(count(s, "waits"), 1);
}

static void a_long_chain_of_invokes_fails_whole(void **state)
{
    struct sim *s = *state;
    int64_t first;
    struct op *job;

    world(s, "");
    first = sim_emit(s, "go", "{}");
    for (int i = 0; i < 150; i++)
        sim_ok(s, send_invoke(sim_take(s, "w"), "invoke_function", "pack"));
    job = sim_take(s, "w");
    sim_ok(s, sim_fail(job, "{\"message\":\"deep\"}", false));
    assert_run(s, first, RUN_PAUSED);
    assert_int_equal(count(s, "wakes"), 1);
    sim_pass(s, 0);
    assert_run(s, first, RUN_FAILED);
    assert_true(str_find(sim_get(s, first).error, S("INVOKE_FAILED")) > 0);
    assert_int_equal(count(s, "wakes"), 0);
}

/* Whose run was made for an endpoint need not be one. */
static void a_worker_is_no_endpoint_because_its_run_once_had_one(void **state)
{
    struct sim *s = *state;
    int64_t id;

    sim_function(s, "{\"id\":\"pack\",\"triggers\":[{\"event\":\"go\"}],\"preferredMode\":"
                    "\"EXECUTION_MODE_PUSH\",\"endpointUrl\":\"http://127.0.0.1:1/\"}");
    id = sim_emit(s, "go", "{}");
    world(s, "");
    sim_ok(s, send_invoke(sim_take(s, "w"), "invoke_function", "nobody"));
    assert_run(s, id, RUN_FAILED);
}

static void a_child_that_ends_late_changes_nothing(void **state)
{
    struct sim *s = *state;
    struct op *parent, *child;

    world(s, "");
    (void)sim_emit(s, "go", "{}");
    parent = sim_take(s, "w");
    sim_ok(s, send_invoke(parent, "invoke_function", "pack"));
    child = sim_take(s, "w");
    sim_pass(s, 29999);
    assert_run(s, parent->id, RUN_PAUSED);
    sim_pass(s, 1);
    assert_run(s, parent->id, RUN_FAILED); /* its worker cannot be told */
    assert_int_equal(sim_get_steps(s, parent->id)->steps[0].status, STEP_TIMED_OUT);
    sim_ok(s, sim_complete(child, "1"));
    assert_run(s, child->id, RUN_COMPLETED);
    assert_int_equal(sim_get_steps(s, parent->id)->steps[0].status, STEP_TIMED_OUT);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup_file, sim_teardown)
    T(an_event_completes_the_wait_with_itself),
    T(the_order_of_messages),
    T(a_deadline_and_an_event_at_the_same_moment),
    T(many_are_woken_in_slices_and_new_ones_are_not),
    T(filters_beyond_the_slice_are_all_asked),
    T(every_end_of_a_run_removes_its_rows),
    T(one_event_cancels_many_in_slices),
    T(a_long_chain_of_invokes_fails_whole),
    T(a_child_that_ends_late_changes_nothing),
    T(a_worker_is_no_endpoint_because_its_run_once_had_one),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
