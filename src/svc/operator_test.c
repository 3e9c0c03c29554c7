/* Operators through the use cases: the order of their messages, counters, lanes, retention, refused
 * messages. */
#include "svc/operator.h"

#include "engine/run.h"
#include "store/counters.h"
#include "svc/audit.h"
#include "svc/outbox.h"
#include "svc/svc_fixture.h"

static err_t op_pause(struct ctx *c)
{
    return svc_run_pause(c, op_of(c)->id, &op_of(c)->ended_all);
}

static err_t op_resume(struct ctx *c)
{
    return svc_run_resume(c, op_of(c)->id, op_of(c)->text, &op_of(c)->run);
}

static err_t op_patch(struct ctx *c)
{
    struct op *op = op_of(c);

    op->steps = NEW(c->arena, struct step);
    return svc_step_patch(c, op->text, S("\"patched\""), S("why"), op->steps);
}

static err_t op_inject(struct ctx *c)
{
    struct op *op = op_of(c);
    str_t previous;

    op->steps = NEW(c->arena, struct step);
    return svc_step_inject(c, op->id, op->text, S("\"injected\""), S("why"), op->steps, &previous);
}

static err_t op_trail(struct ctx *c)
{
    struct op *op = op_of(c);
    struct audit_filter f = { .limit = 1000 };
    struct audit_trail t = { 0 };

    TRY(svc_audit_trail(c, op->id, &f, &t));
    op->total = t.total;
    return ERR_OK;
}

static err_t op_count(struct ctx *c)
{
    return store_counter_sum(c, 0, 1u << op_of(c)->active, &op_of(c)->total);
}

static err_t op_says_running(struct ctx *c)
{
    static const struct sql q = { "UPDATE runs SET status = 2 WHERE id = $1 AND env = $env" };

    return db_exec(c, &q, ARGS(DB_INT(op_of(c)->id)), NULL);
}

static err_t op_letters(struct ctx *c)
{
    struct dead_letter *list = NULL;

    return svc_dead_letters(c, 100, 0, &list, &op_of(c)->n);
}

static struct op *of_run(struct sim *s, int64_t id, const char *text)
{
    struct op *op = sim_op(s);

    op->id = id;
    op->text = str_from(text);
    return op;
}

static int64_t counted(struct sim *s, enum run_status status)
{
    struct op *op = sim_op(s);

    op->active = (int64_t)status;
    sim_ok(s, sim_run(op, CALL_READ, op_count));
    return op->total;
}

static int64_t entries(struct sim *s, int64_t id)
{
    struct op *op = of_run(s, id, "");

    sim_ok(s, sim_run(op, CALL_READ, op_trail));
    return op->total;
}

static void pack(struct sim *s, const char *more)
{
    sim_function(s, str_z(&s->arena, str_printf(&s->arena,
                                                "{\"id\":\"pack\",\"triggers\":[{\"event\":\"e\"}],"
                                                "\"retry\":{\"maxAttempts\":1}%s}",
                                                more)));
    sim_worker(s, "w1", "[\"pack\"]", 4);
}

/* A run that failed at step b behind step a. */
static int64_t failed_run(struct sim *s)
{
    int64_t id = sim_emit(s, "e", "{}");
    struct op *job = sim_take(s, "w1");

    sim_ok(s, sim_progress(job, 'a', 1));
    sim_steps(job, 'b', 1, "failed");
    sim_ok(s, sim_fail(job, "{\"message\":\"x\"}", false));
    return id;
}

static str_t step_ref(struct sim *s, int64_t run, size_t i)
{
    return id_text(&s->arena, ID_STEP, sim_get_steps(s, run)->steps[i].id);
}

/* The last words of the topics from a position on. */
static str_t words(struct sim *s, int64_t from)
{
    struct op *m = sim_messages(s, from);
    struct buf b;

    buf_init_arena(&b, &s->arena, 4096);
    for (size_t i = 0; i < m->n; i++) {
        str_t topic = m->messages[i].topic;
        size_t at = topic.n;

        while (at > 0 && topic.p[at - 1] != '.')
            at--;
        if (b.n > 0)
            buf_char(&b, ' ');
        if (str_index(topic, ':') >= 0)
            buf_append(&b, S("step."));
        buf_append(&b, str_slice(topic, at, topic.n));
    }
    return buf_str(&b);
}

static int64_t next_pos(struct sim *s)
{
    return (int64_t)sim_messages(s, 1)->n + 1;
}

static void messages_of_operators_are_in_order(void **state)
{
    struct sim *s = *state;
    struct op *op, *job;
    int64_t id, from;

    pack(s, "");
    id = failed_run(s);
    from = next_pos(s);
    op = of_run(s, id, "");
    op->text = step_ref(s, id, 1);
    sim_ok(s, sim_run(op, CALL_WRITE, op_patch));
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    job = sim_take(s, "w1");
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_pause));
    sim_ok(s, sim_progress(job, 'c', 1));
    op = of_run(s, id, "");
    op->text = step_ref(s, id, 2);
    sim_ok(s, sim_run(op, CALL_WRITE, op_inject));
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    sim_ok(s, sim_complete(sim_take(s, "w1"), "1"));
    assert_str(words(s, from),
               "step.patched resumed updated step.created step.completed updated step.injected "
               "resumed updated completed");
}

static void a_patch_tells_its_output(void **state)
{
    struct sim *s = *state;
    int64_t id, from;
    struct op *op, *m;
    str_t v = STR_NULL;

    pack(s, "");
    id = failed_run(s);
    from = next_pos(s);
    op = of_run(s, id, "");
    op->text = step_ref(s, id, 1);
    sim_ok(s, sim_run(op, CALL_WRITE, op_patch));
    m = sim_messages(s, from);
    assert_int_equal(m->n, 1);
    assert_true(str_ends(m->messages[0].topic, S(":b:0.patched")));
    assert_true(json_get(m->messages[0].json, S("output"), &v));
    assert_str(v, "\"patched\"");
    assert_true(json_get(m->messages[0].json, S("status"), &v));
    assert_str(v, "\"completed\"");
}

static void counters_follow(void **state)
{
    struct sim *s = *state;
    int64_t id;

    pack(s, "");
    id = failed_run(s);
    assert_int_equal(counted(s, RUN_FAILED), 1);
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    assert_int_equal(counted(s, RUN_FAILED), 0);
    assert_int_equal(counted(s, RUN_RUNNING), 1);
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_pause));
    sim_ok(s, sim_progress(sim_take(s, "w1"), 'b', 1));
    assert_int_equal(counted(s, RUN_RUNNING), 0);
    assert_int_equal(counted(s, RUN_PAUSED), 1);
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    sim_ok(s, sim_complete(sim_take(s, "w1"), "1"));
    assert_int_equal(counted(s, RUN_PAUSED), 0);
    assert_int_equal(counted(s, RUN_COMPLETED), 1);
}

static void of_two_resumes_in_one_batch_one_wins(void **state)
{
    struct sim *s = *state;
    struct op *a, *b;
    int64_t id;

    pack(s, "");
    id = failed_run(s);
    a = of_run(s, id, "");
    b = of_run(s, id, "");
    sim_submit(a, CALL_WRITE, op_resume);
    sim_submit(b, CALL_WRITE, op_resume);
    sim_settle(s);
    sim_ok(s, a->call.result);
    assert_int_equal(b->call.result, ERR_PRECONDITION);
    assert_int_equal(sim_poll(s, "w1", 4)->n, 1);
}

/* What its next report yields for. */
static void waits(struct op *job)
{
    job->report.yield_type = S("wait_for_event");
    job->report.yield_step_id = S("approval");
    job->report.yield_event = S("approved");
}

static void an_event_that_ends_the_wait_of_a_held_run_is_noted(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    pack(s, "");
    id = sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    waits(job);
    sim_ok(s, sim_send(job, REPORT_YIELDED));
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_pause));
    (void)sim_emit(s, "approved", "{\"by\":1}");
    assert_int_equal(sim_get_steps(s, id)->steps[0].status, STEP_COMPLETED);
    assert_int_equal(sim_get(s, id).pause_reason, PAUSE_INJECTION);
    assert_int_equal(sim_poll(s, "w1", 1)->n, 0);
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    assert_int_equal(sim_poll(s, "w1", 1)->n, 1);
}

static void a_run_that_is_resumed_from_a_step_waits_for_no_later_one(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    pack(s, "");
    id = sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    sim_ok(s, sim_progress(job, 'a', 1));
    job->report.steps_n = 0;
    waits(job);
    sim_ok(s, sim_send(job, REPORT_YIELDED));
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_pause));
    sim_ok(s, sim_run(of_run(s, id, str_z(&s->arena, step_ref(s, id, 0))), CALL_WRITE, op_resume));
    (void)sim_emit(s, "approved", "{}");
    assert_int_equal(sim_get_steps(s, id)->steps[0].status, STEP_PENDING);
    assert_int_equal(sim_get_steps(s, id)->steps[1].status, STEP_PENDING);
    assert_int_equal(sim_poll(s, "w1", 1)->n, 1);
}

static void the_deadline_of_a_wait_does_not_fail_a_held_run(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    pack(s, "");
    id = sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    waits(job);
    job->report.yield_timeout_ms = 1000;
    sim_ok(s, sim_send(job, REPORT_YIELDED));
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_pause));
    sim_pass(s, 5000);
    assert_int_equal(sim_get(s, id).status, RUN_PAUSED);
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    job = sim_take(s, "w1");
    waits(job);
    job->report.yield_timeout_ms = 1000;
    sim_ok(s, sim_send(job, REPORT_YIELDED));
    sim_pass(s, 1);
    assert_int_equal(sim_get(s, id).status, RUN_FAILED); /* the first deadline stays */
}

static void a_held_run_leaves_its_lane(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    pack(s, ",\"concurrency\":{\"limit\":1}");
    id = sim_emit(s, "e", "{}");
    (void)sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_pause));
    assert_int_equal(sim_poll(s, "w1", 1)->n, 0);
    sim_ok(s, sim_progress(job, 'a', 1));
    job = sim_take(s, "w1"); /* the other one */
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    assert_int_equal(sim_poll(s, "w1", 1)->n, 0);
    sim_ok(s, sim_complete(job, "1"));
    assert_int_equal(sim_take(s, "w1")->id, id);
}

static void a_resumed_run_is_cancelled_by_events_again(void **state)
{
    struct sim *s = *state;
    int64_t id;

    pack(s, ",\"cancelOn\":[{\"event\":\"stop\",\"match\":\"data.k\"}]");
    id = sim_emit(s, "e", "{\"k\":7}");
    sim_ok(s, sim_fail(sim_take(s, "w1"), "{\"message\":\"x\"}", false));
    (void)sim_emit(s, "stop", "{\"k\":7}");
    assert_int_equal(sim_get(s, id).status, RUN_FAILED);
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    (void)sim_emit(s, "stop", "{\"k\":7}");
    assert_int_equal(sim_get(s, id).status, RUN_CANCELLED);
}

/* The handler fails while an event is waited for; nobody tells a run that has ended. */
static void a_wait_of_a_failed_run_is_taken_up_again(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id;

    pack(s, "");
    id = sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    waits(job);
    sim_ok(s, sim_send(job, REPORT_YIELDED));
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    sim_ok(s, sim_fail(sim_take(s, "w1"), "{\"message\":\"x\"}", false));
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    job = sim_take(s, "w1");
    waits(job);
    sim_ok(s, sim_send(job, REPORT_YIELDED));
    assert_int_equal(sim_poll(s, "w1", 1)->n, 0);
    (void)sim_emit(s, "approved", "{}");
    assert_int_equal(sim_poll(s, "w1", 1)->n, 1);
}

/* A child that failed, and was resumed while its parent waits for it anew, tells it again. */
static void a_resumed_child_tells_its_parent(void **state)
{
    struct sim *s = *state;
    struct op *job, *poll;
    int64_t parent, child;

    pack(s, "");
    sim_function(s, "{\"id\":\"child\",\"retry\":{\"maxAttempts\":1}}");
    sim_worker(s, "w2", "[\"child\"]", 4);
    parent = sim_emit(s, "e", "{}");
    for (int i = 0; i < 2; i++) {
        job = sim_take(s, "w1");
        job->report.yield_type = S("invoke_function");
        job->report.yield_step_id = S("call");
        job->report.yield_function = S("child");
        sim_ok(s, sim_send(job, REPORT_YIELDED));
        if (i == 1)
            break;
        job = sim_take(s, "w2");
        child = job->id;
        sim_ok(s, sim_fail(job, "{\"message\":\"x\"}", false));
        assert_int_equal(sim_get(s, parent).status, RUN_FAILED);
        sim_ok(s, sim_run(of_run(s, child, ""), CALL_WRITE, op_resume));
        sim_ok(s, sim_run(of_run(s, parent, ""), CALL_WRITE, op_resume));
    }
    poll = sim_poll(s, "w2", 4);
    assert_int_equal(poll->n, 1); /* the same child, resumed */
    sim_ok(s, sim_complete(sim_job(s, poll, 0), "\"late\""));
    poll = sim_poll(s, "w1", 1);
    assert_int_equal(poll->n, 1);
    assert_str(poll->assignments[0].steps[0].output, "\"late\"");
}

static void retain(struct sim *s)
{
    while (sim_upkeep_once(s, svc_audit_retain))
        ;
}

#define DAY_MS (24LL * 3600 * 1000)

static void trails_are_kept_as_long_as_was_asked(void **state)
{
    struct sim *s = *state;
    int64_t week, ever;

    pack(s, ",\"recording\":true,\"recordingRetention\":\"7d\"");
    week = failed_run(s);
    pack(s, ",\"recording\":true,\"recordingRetention\":\"forever\"");
    ever = failed_run(s);
    s->clock.virtual_ms += 7 * DAY_MS - 1000;
    retain(s);
    assert_true(entries(s, week) > 0);
    s->clock.virtual_ms += 2000;
    retain(s);
    assert_int_equal(entries(s, week), 0);
    assert_true(entries(s, ever) > 0);
    s->clock.virtual_ms += 10000 * DAY_MS;
    retain(s);
    assert_true(entries(s, ever) > 0);
}

static void the_trail_of_a_resumed_run_lives_on(void **state)
{
    struct sim *s = *state;
    int64_t id, n;

    pack(s, ",\"recording\":true,\"recordingRetention\":\"7d\"");
    id = failed_run(s);
    s->clock.virtual_ms += 6 * DAY_MS;
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_resume));
    s->clock.virtual_ms += 6 * DAY_MS;
    n = entries(s, id);
    retain(s);
    assert_int_equal(entries(s, id), n);
    sim_worker(s, "w1", "[\"pack\"]", 4);
    sim_ok(s, sim_complete(sim_take(s, "w1"), "1"));
    s->clock.virtual_ms += 6 * DAY_MS;
    retain(s);
    assert_true(entries(s, id) > n);
    s->clock.virtual_ms += 2 * DAY_MS;
    retain(s);
    assert_int_equal(entries(s, id), 0);
}

static void refused_messages_are_tried_ten_times_with_growing_pauses(void **state)
{
    static const int64_t waits[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256 };
    struct sim *s = *state;
    struct op *op = sim_op(s);
    int64_t from;

    s->app.refused_events = S("bad");
    s->app.outbox_backoff_ms = 1000;
    from = next_pos(s);
    (void)sim_emit(s, "bad.one", "{}");
    (void)sim_emit(s, "good.one", "{}");
    assert_int_equal(sim_messages(s, from)->n, 1);
    for (size_t i = 0; i < COUNT_OF(waits); i++) {
        s->clock.virtual_ms += waits[i] * 1000 - 1;
        (void)sim_upkeep_once(s, svc_outbox_retry);
        sim_ok(s, sim_run(op, CALL_READ, op_letters));
        assert_int_equal(op->n, 0);
        s->clock.virtual_ms += 1;
        assert_true(sim_upkeep_once(s, svc_outbox_retry));
    }
    sim_ok(s, sim_run(op, CALL_READ, op_letters));
    assert_int_equal(op->n, 1);
    assert_false(sim_upkeep_once(s, svc_outbox_retry));
    assert_int_equal(sim_messages(s, from)->n, 1);
}

/* On PostgreSQL a resume may commit between the look at the queue row, which is not there yet, and
 * the look at the run. */
static void who_looks_while_a_run_is_resumed_looks_again(void **state)
{
    static err_t (*const runs[])(struct ctx *) = { op_pause, op_cancel, op_resume, op_inject };
    struct sim *s = *state;
    int64_t id;

    pack(s, "");
    id = failed_run(s);
    sim_ok(s, sim_run(of_run(s, id, ""), CALL_WRITE, op_says_running));
    for (size_t i = 0; i < COUNT_OF(runs); i++)
        assert_int_equal(sim_run(of_run(s, id, "a"), CALL_WRITE, runs[i]), ERR_UNAVAILABLE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)

static const struct CMUnitTest tests[] = {
    T(messages_of_operators_are_in_order),
    T(a_patch_tells_its_output),
    T(counters_follow),
    T(of_two_resumes_in_one_batch_one_wins),
    T(an_event_that_ends_the_wait_of_a_held_run_is_noted),
    T(a_run_that_is_resumed_from_a_step_waits_for_no_later_one),
    T(the_deadline_of_a_wait_does_not_fail_a_held_run),
    T(a_held_run_leaves_its_lane),
    T(a_resumed_run_is_cancelled_by_events_again),
    T(a_wait_of_a_failed_run_is_taken_up_again),
    T(a_resumed_child_tells_its_parent),
    T(trails_are_kept_as_long_as_was_asked),
    T(the_trail_of_a_resumed_run_lives_on),
    T(refused_messages_are_tried_ten_times_with_growing_pauses),
    T(who_looks_while_a_run_is_resumed_looks_again),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
