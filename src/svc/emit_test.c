/* Emitting and invoking: which runs start, what repeats answer, what is refused. */
#include "store/events.h"
#include "store/functions.h"
#include "svc/svc_fixture.h"

static void functions(struct sim *s)
{
    sim_function(s, "{\"id\":\"bill\",\"triggers\":[{\"event\":\"order.*\"}]}");
    sim_function(s, "{\"id\":\"pack\",\"triggers\":[{\"event\":\"order.placed\"},"
                    "{\"event\":\"order.>\"}]}");
    sim_function(s, "{\"id\":\"quiet\"}");
}

static err_t op_event_get(struct ctx *c)
{
    struct op *op = op_of(c);
    struct event e = { 0 };

    TRY(svc_event_get(c, op->id, &e));
    op->text = e.data;
    op->worker = e.metadata;
    op->total = e.seq;
    op->available = e.version;
    return ERR_OK;
}

static err_t invoke(struct sim *s, const char *function, const char *key, struct emitted *out)
{
    struct op *op = sim_op(s);
    err_t e;

    op->text = str_from(function);
    op->emit = (struct emit){ .data = S("{\"n\":1}"), .idempotency_key = str_from(key) };
    e = sim_run(op, CALL_WRITE, op_invoke);
    *out = op->emitted;
    return e;
}

static void every_matching_function_gets_one_run(void **state)
{
    struct sim *s = *state;
    struct emitted out = { 0 };
    struct op *op = sim_op(s);

    functions(s);
    sim_ok(s, sim_try_emit(s, "order.placed", "{\"total\":0.1000}", NULL, &out));
    assert_int_equal(out.runs_n, 2);
    op->id = out.event_id;
    sim_ok(s, sim_run(op, CALL_READ, op_event_get));
    assert_str(op->text, "{\"total\":0.1000}");
    assert_int_equal(op->available, 1);
    sim_ok(s, sim_try_emit(s, "nobody.listens", "null", NULL, &out));
    assert_int_equal(out.runs_n, 0);
    assert_true(out.event_id > 0);
}

static void absent_data_is_an_empty_object(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s), *get = sim_op(s);

    op->emit = (struct emit){ .name = S("a"), .metadata = S("{\"k\":\"v\"}"), .version = 3 };
    sim_ok(s, sim_run(op, CALL_WRITE, op_emit));
    get->id = op->emitted.event_id;
    sim_ok(s, sim_run(get, CALL_READ, op_event_get));
    assert_str(get->text, "{}");
    assert_str(get->worker, "{\"k\":\"v\"}");
    assert_int_equal(get->available, 3);
}

static void bad_requests_are_named(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s);

    op->emit = (struct emit){ .name = S("") };
    assert_int_equal(sim_run(op, CALL_WRITE, op_emit), ERR_INVALID);
    op->emit = (struct emit){ .name = S("a"), .version = -1 };
    assert_int_equal(sim_run(op, CALL_WRITE, op_emit), ERR_INVALID);
    assert_non_null(strstr(s->text, "version"));
    op->emit = (struct emit){ .name = S("a"), .metadata = S("[1]") };
    assert_int_equal(sim_run(op, CALL_WRITE, op_emit), ERR_INVALID);
    assert_non_null(strstr(s->text, "metadata"));
}

static void a_key_is_used_once(void **state)
{
    struct sim *s = *state;
    struct emitted first = { 0 }, again = { 0 };

    functions(s);
    sim_ok(s, sim_try_emit(s, "order.placed", "{}", "k1", &first));
    sim_ok(s, sim_try_emit(s, "something.else", "[1]", "k1", &again));
    assert_int_equal(again.event_id, first.event_id);
    assert_int_equal(again.runs_n, 2);
    assert_memory_equal(again.runs, first.runs, 2 * sizeof(int64_t));
    sim_ok(s, sim_try_emit(s, "order.placed", "{}", "k2", &again));
    assert_int_not_equal(again.event_id, first.event_id);
    assert_int_equal(sim_messages(s, 1)->n, 9); /* three functions; twice an event and two runs */
}

static void keys_belong_to_one_flow_and_function(void **state)
{
    struct sim *s = *state;
    struct emitted first = { 0 }, again = { 0 };

    functions(s);
    sim_ok(s, invoke(s, "quiet", "k1", &first));
    sim_ok(s, invoke(s, "quiet", "k1", &again));
    assert_int_equal(again.event_id, first.event_id);
    assert_int_equal(again.runs[0], first.runs[0]);
    assert_int_equal(invoke(s, "pack", "k1", &again), ERR_EXISTS);
    assert_int_equal(sim_try_emit(s, "a", "{}", "k1", &again), ERR_EXISTS);
    sim_ok(s, sim_try_emit(s, "a", "{}", "k2", &again));
    assert_int_equal(invoke(s, "quiet", "k2", &again), ERR_EXISTS);
}

static void an_invoke_starts_just_its_function(void **state)
{
    struct sim *s = *state;
    struct emitted out = { 0 };

    functions(s);
    sim_function(s, "{\"id\":\"greedy\",\"triggers\":[{\"event\":\">\"}]}");
    sim_ok(s, invoke(s, "quiet", NULL, &out));
    assert_int_equal(out.runs_n, 1);
    sim_worker(s, "w1", "[\"quiet\"]", 1);
    assert_int_equal(sim_take(s, "w1")->id, out.runs[0]);
    sim_ok(s, sim_try_emit(s, "ironflow.invoke.quiet", "{}", NULL, &out));
    assert_int_equal(out.runs_n, 1);
    assert_int_equal(invoke(s, "nobody", NULL, &out), ERR_NOT_FOUND);
}

static err_t op_invoked(struct ctx *c)
{
    struct function *fns = NULL;
    size_t n = 0;

    TRY(store_functions_all(c, &fns, &n));
    for (size_t i = 0; i < n; i++)
        op_of(c)->total += fns[i].invoked;
    return ERR_OK;
}

static void the_first_invoke_marks_the_function(void **state)
{
    struct sim *s = *state;
    struct emitted out = { 0 };
    struct op *op = sim_op(s);

    functions(s);
    sim_ok(s, sim_run(op, CALL_READ, op_invoked));
    assert_int_equal(op->total, 0);
    sim_ok(s, invoke(s, "quiet", NULL, &out));
    sim_ok(s, sim_run(op, CALL_READ, op_invoked));
    assert_int_equal(op->total, 1);
}

static err_t op_pause(struct ctx *c)
{
    struct function f = { 0 };

    return svc_function_set_status(c, op_of(c)->text, FN_PAUSED, &f);
}

static void paused_functions_start_nothing(void **state)
{
    struct sim *s = *state;
    struct emitted out = { 0 };
    struct op *op = sim_op(s);

    functions(s);
    op->text = S("pack");
    sim_ok(s, sim_run(op, CALL_WRITE, op_pause));
    sim_ok(s, sim_try_emit(s, "order.placed", "{}", NULL, &out));
    assert_int_equal(out.runs_n, 1);
    assert_int_equal(invoke(s, "pack", NULL, &out), ERR_PRECONDITION);
}

static void the_id_of_a_function_names_it_when_nothing_matches(void **state)
{
    struct sim *s = *state;
    struct emitted out = { 0 };

    functions(s);
    sim_ok(s, sim_try_emit(s, "quiet", "{}", NULL, &out));
    assert_int_equal(out.runs_n, 1);
}

static err_t op_batch(struct ctx *c)
{
    struct emit in[3] = { { .name = S("order.placed") },
                          { .name = S("order.placed"), .idempotency_key = S("k") },
                          { .name = op_of(c)->text, .idempotency_key = S("k") } };
    struct emitted *out = NEW_N(c->arena, struct emitted, 3);

    TRY(svc_emit_batch(c, in, 3, out));
    op_of(c)->total = out[1].event_id == out[2].event_id;
    op_of(c)->n = out[0].runs_n + out[1].runs_n;
    return ERR_OK;
}

static void a_batch_is_one_or_nothing(void **state)
{
    struct sim *s = *state;
    struct op *op = sim_op(s);
    size_t before;

    functions(s);
    before = sim_messages(s, 1)->n;
    op->text = S("bad name\n");
    assert_int_equal(sim_run(op, CALL_WRITE, op_batch), ERR_INVALID);
    assert_int_equal(strncmp(s->text, "events[2]: ", 11), 0);
    assert_int_equal(sim_messages(s, 1)->n, before);
    op->text = S("order.placed");
    sim_ok(s, sim_run(op, CALL_WRITE, op_batch));
    assert_int_equal(op->n, 4);
    assert_int_equal(op->total, 1); /* the second use of the key in one batch, too */
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    T(every_matching_function_gets_one_run),
    T(absent_data_is_an_empty_object),
    T(bad_requests_are_named),
    T(a_key_is_used_once),
    T(keys_belong_to_one_flow_and_function),
    T(an_invoke_starts_just_its_function),
    T(the_first_invoke_marks_the_function),
    T(paused_functions_start_nothing),
    T(the_id_of_a_function_names_it_when_nothing_matches),
    T(a_batch_is_one_or_nothing),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
