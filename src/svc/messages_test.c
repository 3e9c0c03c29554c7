/* What subscribers will see: topics, order, payloads, positions (spec engine-ops section 7). */
#include "base/crypto.h"
#include "codec/json.h"
#include "svc/records.h"
#include "svc/streams.h"
#include "svc/svc_fixture.h"

static void pack(struct sim *s)
{
    sim_function(s, "{\"id\":\"pack\",\"triggers\":[{\"event\":\"e\"}],"
                    "\"retry\":{\"maxAttempts\":2,\"initialDelayMs\":1000}}");
    sim_worker(s, "w1", "[\"pack\"]", 4);
}

/* Topics from position `from` on, with `{run}` for the run's id, joined by blanks. */
static str_t topics(struct sim *s, int64_t from, int64_t run)
{
    struct op *m = sim_messages(s, from);
    str_t id = id_text(&s->arena, ID_RUN, run);
    struct buf b;

    buf_init_arena(&b, &s->arena, 1u << 20);
    for (size_t i = 0; i < m->n; i++) {
        str_t rest = m->messages[i].topic;
        ptrdiff_t at;

        assert_int_equal(m->messages[i].pos, from + (int64_t)i);
        if (i > 0)
            buf_char(&b, ' ');
        while ((at = str_find(rest, id)) >= 0) {
            buf_append(&b, str_slice(rest, 0, (size_t)at));
            buf_append(&b, S("{run}"));
            rest = str_slice(rest, (size_t)at + id.n, rest.n);
        }
        buf_append(&b, rest);
    }
    return buf_str(&b);
}

static int64_t next_pos(struct sim *s)
{
    return (int64_t)sim_messages(s, 1)->n + 1;
}

static void member(struct sim *s, const struct message *m, const char *path, const char *value)
{
    str_t found = STR_NULL;

    if (!json_path(m->json, str_from(path), &found))
        found = S("(none)");
    (void)s;
    if (!str_eq(found, str_from(value)))
        print_error("%s in " STR_FMT "\n", path, STR_ARG(m->json));
    assert_str(found, value);
}

/* 217 220 223: engine checklist. */
static void a_run_announces_itself_in_order(void **state)
{
    struct sim *s = *state;
    struct op *job;
    int64_t id, from;

    pack(s);
    assert_str(topics(s, 1, 0), "system.function.pack.registered system.worker.w1.connected");
    member(s, &sim_messages(s, 1)->messages[0], "id", "\"pack\"");
    member(s, &sim_messages(s, 1)->messages[0], "retry.maxAttempts", "2");
    from = next_pos(s);
    id = sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    sim_ok(s, sim_ack(job));
    sim_ok(s, sim_progress(job, 'a', 1));
    sim_steps(job, 'b', 1, "failed");
    sim_ok(s, sim_fail(job, "{\"message\":\"x\"}", true));
    assert_str(topics(s, from, id),
               "events:e system.run.{run}.created system.run.{run}.updated "
               "system.run.{run}.step.{run}:a:0.created system.run.{run}.step.{run}:a:0.completed "
               "system.run.{run}.step.{run}:b:0.created system.run.{run}.step.{run}:b:0.failed "
               "system.run.{run}.updated");
    from = next_pos(s);
    sim_pass(s, 1000);
    job = sim_take(s, "w1");
    sim_steps(job, 'a', 2, "completed"); /* a is memory; b is stored, but now succeeds */
    sim_ok(s, sim_complete(job, "{\"n\":1}"));
    sim_ok(s, sim_complete(job, "{\"n\":1}"));
    assert_str(topics(s, from, id), "system.run.{run}.updated "
                                    "system.run.{run}.step.{run}:b:0.completed "
                                    "system.run.{run}.completed");
}

static void a_sleep_and_a_cancel_announce_themselves(void **state)
{
    struct sim *s = *state;
    struct op *cancel = sim_op(s), *m;
    int64_t id, from;

    pack(s);
    id = sim_emit(s, "e", "{}");
    from = next_pos(s);
    sim_ok(s, sim_sleep(sim_take(s, "w1"), "nap", SIM_START_MS + 5000));
    cancel->id = id;
    cancel->text = S("no \"need\"");
    sim_ok(s, sim_run(cancel, CALL_WRITE, op_cancel));
    assert_str(topics(s, from, id),
               "system.run.{run}.updated system.run.{run}.step.{run}:nap:0.created "
               "system.run.{run}.updated system.run.{run}.step.{run}:nap:0.failed "
               "system.run.{run}.cancelled");
    m = sim_messages(s, from);
    member(s, &m->messages[1], "status", "\"sleeping\"");
    member(s, &m->messages[1], "type", "\"sleep\"");
    member(s, &m->messages[2], "status", "\"paused\"");
    member(s, &m->messages[2], "pauseReason", "\"sleep\"");
    member(s, &m->messages[4], "status", "\"cancelled\"");
    member(s, &m->messages[4], "cancellationCause", "\"user\"");
    member(s, &m->messages[4], "reason", "\"no \\\"need\\\"\"");
}

/* 218 */
static void payloads_show_the_run_as_it_was(void **state)
{
    struct sim *s = *state;
    struct op *job, *m;
    int64_t id, from;

    pack(s);
    from = next_pos(s);
    id = sim_emit(s, "e", "{\"kg\":1e400}");
    s->clock.virtual_ms += 10;
    job = sim_take(s, "w1");
    s->clock.virtual_ms += 10;
    sim_steps(job, 'a', 1, "completed");
    sim_ok(s, sim_complete(job, "[0.1000]"));
    m = sim_messages(s, from);
    assert_int_equal(m->n, 6);
    assert_str(m->messages[0].json, "{\"kg\":1e400}");
    assert_true(m->messages[0].event_id > 0);
    member(s, &m->messages[1], "id",
           str_z(&s->arena, str_printf(&s->arena, "\"" STR_FMT "\"",
                                       STR_ARG(id_text(&s->arena, ID_RUN, id)))));
    member(s, &m->messages[1], "functionId", "\"pack\"");
    member(s, &m->messages[1], "status", "\"pending\"");
    member(s, &m->messages[1], "attempt", "1");
    member(s, &m->messages[1], "maxAttempts", "2");
    member(s, &m->messages[1], "input", "{\"kg\":1e400}");
    member(s, &m->messages[1], "createdAt", "\"2026-01-01T00:00:00.000Z\"");
    member(s, &m->messages[1], "output", "(none)"); /* it has one by now */
    member(s, &m->messages[1], "startedAt", "(none)");
    member(s, &m->messages[2], "status", "\"running\"");
    member(s, &m->messages[2], "workerId", "\"w1\"");
    member(s, &m->messages[2], "startedAt", "\"2026-01-01T00:00:00.010Z\"");
    member(s, &m->messages[2], "updatedAt", "\"2026-01-01T00:00:00.010Z\"");
    member(s, &m->messages[2], "endedAt", "(none)");
    member(s, &m->messages[4], "output", "{\"step\":\"a\"}");
    member(s, &m->messages[4], "sequence", "0");
    member(s, &m->messages[4], "durationMs", "0");
    member(s, &m->messages[4], "functionId", "\"pack\"");
    member(s, &m->messages[5], "status", "\"completed\"");
    member(s, &m->messages[5], "output", "[0.1000]");
    member(s, &m->messages[5], "endedAt", "\"2026-01-01T00:00:00.020Z\"");
}

/* 219 */
static void failures_carry_their_error(void **state)
{
    struct sim *s = *state;
    struct op *m;
    int64_t from;

    pack(s);
    (void)sim_emit(s, "e", "{}");
    from = next_pos(s);
    sim_ok(s, sim_fail(sim_take(s, "w1"), "{\"message\":\"x\",\"code\":\"Y\"}", false));
    m = sim_messages(s, from);
    member(s, &m->messages[m->n - 1], "error.message", "\"x\"");
    member(s, &m->messages[m->n - 1], "error.code", "\"Y\"");
    member(s, &m->messages[m->n - 1], "status", "\"failed\"");
}

/* 223 224: ids that topics could take apart, and what undoes a step. */
static void topics_hold_step_ids_verbatim_and_payloads_their_types(void **state)
{
    struct report_step list[] = {
        { .id = S("r:tool\\.a\\:b.c>*:0"), .name = S("tool.a:b.c>*"), .status = S("completed") },
        { .id = S("r:compensate:book:0"),
          .name = S("compensate:book"),
          .type = S("compensate"),
          .status = S("completed"),
          .compensation_for = S("book") },
    };
    struct sim *s = *state;
    struct op *job, *m;
    int64_t from, id;

    pack(s);
    id = sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    from = next_pos(s);
    job->report.steps = list;
    job->report.steps_n = COUNT_OF(list);
    sim_ok(s, sim_fail(job, "{\"message\":\"x\"}", false));
    assert_str(topics(s, from, id),
               "system.run.{run}.step.r:tool\\.a\\:b.c>*:0.created "
               "system.run.{run}.step.r:tool\\.a\\:b.c>*:0.completed "
               "system.run.{run}.step.r:compensate:book:0.created "
               "system.run.{run}.step.r:compensate:book:0.completed system.run.{run}.failed");
    m = sim_messages(s, from);
    member(s, &m->messages[0], "stepId", "\"r:tool\\\\.a\\\\:b.c>*:0\"");
    member(s, &m->messages[0], "type", "\"invoke\"");
    member(s, &m->messages[3], "type", "\"compensate\"");
    member(s, &m->messages[3], "compensationFor", "\"book\"");
}

/* 225: what a subscriber asks for right after the end is all there, in one piece. */
static void the_last_100_messages_after_the_end_are_the_whole_run(void **state)
{
    struct sim *s = *state;
    struct op *job, *m;
    int64_t from, id;

    pack(s);
    from = next_pos(s);
    id = sim_emit(s, "e", "{}");
    job = sim_take(s, "w1");
    sim_ok(s, sim_progress(job, 'a', 26));
    sim_steps(job, 'A', 20, "completed");
    sim_ok(s, sim_complete(job, "1"));
    m = sim_messages(s, from);
    assert_int_equal(m->n, 3 + 2 * 46 + 1); /* event, created, updated; steps; completed */
    assert_true(str_ends(m->messages[1].topic, S(".created")));
    assert_true(str_ends(m->messages[m->n - 1].topic, S(".completed")));
    for (size_t i = 1; i < m->n; i++)
        assert_true(str_find(m->messages[i].topic, id_text(&s->arena, ID_RUN, id)) > 0);
}

static void workers_come_and_go(void **state)
{
    struct sim *s = *state;
    struct op *m;

    sim_worker(s, "w.1", "[\"x\"]", 1);
    sim_worker(s, "w.1", "[\"x\"]", 1); /* known already */
    sim_pass(s, 90001);
    assert_str(topics(s, 1, 0), "system.worker.w.1.connected system.worker.w.1.disconnected");
    m = sim_messages(s, 1);
    member(s, &m->messages[0], "workerId", "\"w.1\"");
}

static err_t op_drains(struct ctx *c)
{
    return svc_worker_drains(c, op_of(c)->worker);
}

static err_t op_alive(struct ctx *c)
{
    return svc_worker_alive(c, op_of(c)->worker);
}

static err_t op_gone(struct ctx *c)
{
    return svc_stream_gone(c, &op_of(c)->reg);
}

static void worker_does(struct sim *s, const char *id, err_t (*run)(struct ctx *c))
{
    struct op *op = sim_op(s);

    op->worker = str_from(id);
    sim_ok(s, sim_run(op, CALL_WRITE, run));
}

/* The one message since position `from` is about the health of w1. */
static void health_is(struct sim *s, int64_t from, const char *health, const char *draining)
{
    struct op *m = sim_messages(s, from);

    assert_int_equal(m->n, 1);
    assert_str(m->messages[0].topic, "system.worker.w1.health");
    member(s, &m->messages[0], "workerId", "\"w1\"");
    member(s, &m->messages[0], "health", health);
    member(s, &m->messages[0], "draining", draining);
}

static void the_health_of_a_worker_is_told_when_it_changes(void **state)
{
    struct sim *s = *state;
    int64_t from;

    sim_worker(s, "w1", "[\"x\"]", 1);
    from = next_pos(s);
    for (int i = 0; i < 3; i++) {
        sim_pass(s, 30000);
        worker_does(s, "w1", op_beat);
    }
    assert_int_equal(sim_messages(s, from)->n, 0);
    sim_pass(s, 45001);
    health_is(s, from++, "\"unhealthy\"", "false");
    sim_pass(s, 5000); /* said once */
    sim_poll(s, "w1", 1);
    health_is(s, from++, "\"healthy\"", "false");
    worker_does(s, "w1", op_drains);
    worker_does(s, "w1", op_drains);
    health_is(s, from++, "\"healthy\"", "true");
    sim_pass(s, 45001);
    health_is(s, from++, "\"unhealthy\"", "true");
    sim_worker(s, "w1", "[\"x\"]", 1); /* a new life */
    health_is(s, from++, "\"healthy\"", "false");
    sim_pass(s, 45001);
    sim_pass(s, 45001);
    assert_str(topics(s, from, 0), "system.worker.w1.health system.worker.w1.disconnected");
    worker_does(s, "w1", op_drains); /* it is gone */
    worker_does(s, "w1", op_alive);
    assert_int_equal(sim_messages(s, from)->n, 2);
}

/* The server claims for a stream by itself, so only its messages are signs of life. */
static void a_stream_is_well_as_long_as_its_worker_speaks(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s);
    int64_t from;

    op->reg = (struct worker){
        .id = S("w1"), .functions = S("[\"x\"]"), .max_jobs = 1, .transport = 2, .session = 7
    };
    sim_ok(s, sim_run(op, CALL_WRITE, op_worker));
    assert_str(topics(s, 1, 0), "system.worker.w1.connected");
    from = next_pos(s);
    for (int i = 0; i < 3; i++) {
        sim_pass(s, 40000);
        worker_does(s, "w1", op_alive);
    }
    assert_int_equal(sim_messages(s, from)->n, 0);
    for (int i = 0; i < 3; i++) {
        sim_pass(s, 16000);
        sim_poll(s, "w1", 1);
    }
    health_is(s, from++, "\"unhealthy\"", "false");
    worker_does(s, "w1", op_alive);
    health_is(s, from++, "\"healthy\"", "false");
    sim_ok(s, sim_run(op, CALL_WRITE, op_gone)); /* the stream ended */
    sim_ok(s, sim_run(op, CALL_WRITE, op_gone));
    assert_str(topics(s, from, 0), "system.worker.w1.disconnected");
}

static err_t op_message_then_fail(struct ctx *c)
{
    struct emitted out;
    struct emit in = { .name = S("e") };

    TRY(svc_emit(c, &in, &out));
    return err_set(c, ERR_CONFLICT, "too late");
}

static void what_is_rolled_back_takes_no_position(void **state)
{
    struct sim *s = *state;
    struct op *bad = sim_op(s), *good = sim_op(s);

    pack(s);
    good->emit = (struct emit){ .name = S("e") };
    sim_submit(bad, CALL_WRITE, op_message_then_fail);
    sim_submit(good, CALL_WRITE, op_emit);
    sim_settle(s);
    assert_int_equal(bad->call.result, ERR_CONFLICT);
    sim_ok(s, good->call.result);
    assert_str(topics(s, 3, good->emitted.runs[0]), "events:e system.run.{run}.created");
}

static err_t op_event_seq(struct ctx *c)
{
    struct event e = { 0 };

    TRY(svc_event_get(c, op_of(c)->id, &e));
    op_of(c)->total = e.seq;
    return ERR_OK;
}

static void positions_go_on_after_a_restart(void **state)
{
    struct sim *s = sim_new(true);
    struct emitted out = { 0 };
    struct op *op = sim_op(s);
    int64_t next;

    (void)state;
    pack(s);
    (void)sim_emit(s, "e", "{}");
    next = next_pos(s);
    sim_reopen(s);
    s->clock.virtual_ms++;
    sim_ok(s, sim_try_emit(s, "e", "{}", NULL, &out));
    assert_int_equal(sim_messages(s, next)->messages[0].pos, next);
    op->id = out.event_id;
    sim_ok(s, sim_run(op, CALL_READ, op_event_seq));
    assert_int_equal(op->total, next); /* the event's row knows it, too */
    sim_free(s);
}

static void old_messages_are_deleted_but_never_the_newest(void **state)
{
    struct sim *s = *state;
    struct op *m;
    int64_t last;

    pack(s);
    for (int i = 0; i < 600; i++) {
        s->clock.virtual_ms++;
        (void)sim_emit(s, "e", "{}");
    }
    last = next_pos(s) - 1;
    sim_pass(s, 8LL * 86400000); /* the worker is forgotten: one message more */
    m = sim_messages(s, 1);
    assert_int_equal(m->n, 1);
    assert_int_equal(m->messages[0].pos, last + 1);
    assert_str(m->messages[0].topic, "system.worker.w1.disconnected");
    sim_pass(s, 8LL * 86400000);
    assert_int_equal(sim_messages(s, 1)->n, 1);
}

static void filters_find_what_rows_hold(void **state)
{
    uint64_t row =
        message_filter(S("system.run.run_1.created")) | message_filter(S("events:a.b.c"));
    size_t strangers = 0;

    (void)state;
    assert_int_equal(row & message_filter(S("system.run.run_1")),
                     message_filter(S("system.run.run_1")));
    assert_int_equal(row & message_filter(S("events:a.b")), message_filter(S("events:a.b")));
    for (int i = 2; i < 200; i++) {
        char text[32];
        uint64_t f;

        (void)snprintf(text, sizeof(text), "system.run.run_%d", i);
        f = message_filter(str_from(text));
        strangers += (row & f) == f;
    }
    assert_true(strangers < 20);
}

static err_t count_one(struct ctx *c, const struct message *m, void *arg)
{
    (void)c;
    (void)m;
    ++*(size_t *)arg;
    return ERR_OK;
}

static void damaged_rows_are_noticed(void **state)
{
    static const char *const bad[] = { "", "\x02", "\x01short", "\x01\0\0\0\0\0\0\0\0\x09",
                                       "\x01\0\0\0\0\0\0\0\0\x02\x01\x09" };
    static const size_t sizes[] = { 0, 1, 6, 10, 12 };
    struct arena a;
    struct ctx c = { .arena = &a };
    struct log_row row = { .records = S("abc"), .crc = 1 };
    size_t seen = 0;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(message_each(&c, (str_t){ bad[i], sizes[i] }, 1, count_one, &seen),
                         ERR_INTERNAL);
    assert_int_equal(message_row_check(&c, &row), ERR_INTERNAL);
    row.crc = crypto_crc32c(0, "abc", 3);
    assert_int_equal(message_row_check(&c, &row), ERR_OK);
    arena_done(&a);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    T(a_run_announces_itself_in_order),
    T(a_sleep_and_a_cancel_announce_themselves),
    T(payloads_show_the_run_as_it_was),
    T(failures_carry_their_error),
    T(topics_hold_step_ids_verbatim_and_payloads_their_types),
    T(the_last_100_messages_after_the_end_are_the_whole_run),
    T(workers_come_and_go),
    T(the_health_of_a_worker_is_told_when_it_changes),
    T(a_stream_is_well_as_long_as_its_worker_speaks),
    T(what_is_rolled_back_takes_no_position),
    cmocka_unit_test(positions_go_on_after_a_restart),
    T(old_messages_are_deleted_but_never_the_newest),
    cmocka_unit_test(filters_find_what_rows_hold),
    cmocka_unit_test(damaged_rows_are_noticed),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
