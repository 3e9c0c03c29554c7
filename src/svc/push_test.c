/* Push runs without HTTP: claims, outcomes and their fences, circuit breakers, recovery. */
#include "svc/push.h"

#include "svc/breakers.h"
#include "svc/operator.h"
#include "svc/svc_fixture.h"

#define URL "http://127.0.0.1:1/x"

/* A claim, with what the operations of the fixture do not have. */
struct pusher {
    struct op *op;
    int64_t fn, room;
    struct push_claims got;
    struct push_outcome out;
    str_t key;
    struct breaker_view *breakers;
    size_t n;
    bool more;
};

static struct pusher *pusher_of(struct ctx *c)
{
    return (struct pusher *)(uintptr_t)((struct op *)c->call->arg)->text.p;
}

static struct pusher *pusher_new(struct sim *s)
{
    struct pusher *p = NEW(&s->arena, struct pusher);

    p->op = sim_op(s);
    p->op->text = (str_t){ (const char *)p, sizeof(*p) };
    p->room = 10;
    return p;
}

static err_t op_claim(struct ctx *c)
{
    struct pusher *p = pusher_of(c);
    struct push_target *targets = NULL;
    size_t n = 0;

    TRY(svc_push_targets(c, &targets, &n));
    if (n == 0 && p->fn == 0)
        return err_set(c, ERR_NOT_FOUND, "no push function");
    if (p->fn == 0)
        p->fn = targets[0].fn;
    return svc_push_claim(c, &p->fn, p->room, &p->got);
}

static err_t op_outcome(struct ctx *c)
{
    return svc_push_report(c, &pusher_of(c)->out);
}

static err_t op_breakers(struct ctx *c)
{
    return svc_breaker_list(c, &pusher_of(c)->breakers, &pusher_of(c)->n);
}

static err_t op_reset(struct ctx *c)
{
    return svc_breaker_reset(c, pusher_of(c)->key);
}

static err_t op_pause(struct ctx *c)
{
    const struct op *op = c->call->arg;
    bool paused = false;

    return svc_run_pause(c, op->id, &paused);
}

static err_t op_resume(struct ctx *c)
{
    struct op *op = c->call->arg;

    return svc_run_resume(c, op->id, STR_NULL, &op->run);
}

static err_t op_recover(struct ctx *c)
{
    c->env = 0;
    return svc_push_recover(c, &pusher_of(c)->more);
}

static void push_function(struct sim *s)
{
    sim_function(s, "{\"id\":\"push\",\"triggers\":[{\"event\":\"e\"}],\"endpointUrl\":\"" URL "\","
                    "\"retry\":{\"maxAttempts\":9,\"initialDelayMs\":1}}");
}

/* Claims that come at once. */
static struct pusher *claimed(struct sim *s)
{
    struct pusher *p = pusher_new(s);

    sim_ok(s, sim_run(p->op, CALL_WRITE, op_claim));
    assert_true(p->got.n > 0);
    return p;
}

/* Parked: *p stays with txn. */
static struct pusher *claim_waits(struct sim *s)
{
    struct pusher *p = pusher_new(s);

    sim_submit(p->op, CALL_WRITE, op_claim);
    sim_settle(s);
    assert_false(p->op->done);
    return p;
}

static void outcome(struct sim *s, const struct pusher *claim, size_t i, bool answered)
{
    struct pusher *p = pusher_new(s);

    p->out = (struct push_outcome){ .fn = claim->fn,
                                    .job = claim->got.claims[i].job,
                                    .endpoint = claim->got.endpoint,
                                    .answered = answered };
    p->out.report = (struct report){ .kind = answered ? REPORT_COMPLETED : REPORT_FAILED,
                                     .output = S("1"),
                                     .error = S("{\"message\":\"x\",\"code\":\"PUSH_HTTP_500\"}"),
                                     .retryable = true };
    sim_ok(s, sim_run(p->op, CALL_WRITE, op_outcome));
}

static struct breaker breaker(struct sim *s)
{
    struct pusher *p = pusher_new(s);

    sim_ok(s, sim_run(p->op, CALL_READ, op_breakers));
    assert_true(p->n <= 1);
    return p->n == 0 ? (struct breaker){ 0 } : p->breakers[0].b;
}

static void an_answer_ends_the_run(void **state)
{
    struct sim *s = *state;
    struct pusher *p;
    int64_t id;

    push_function(s);
    id = sim_emit(s, "e", "{}");
    p = claimed(s);
    assert_str(p->got.endpoint, URL);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    outcome(s, p, 0, true);
    assert_int_equal(sim_get(s, id).status, RUN_COMPLETED);
    outcome(s, p, 0, true); /* a repeat, after a commit that nobody heard of */
    assert_int_equal(breaker(s).updated_at, 0);
}

static void a_parked_claim_is_served_with_the_emit(void **state)
{
    struct sim *s = *state;
    struct pusher *p;

    push_function(s);
    p = claim_waits(s);
    (void)sim_emit(s, "e", "{}");
    sim_settle(s);
    assert_true(p->op->done);
    assert_int_equal(p->got.n, 1);
}

static void the_outcome_of_a_cancelled_run_is_dropped(void **state)
{
    struct sim *s = *state;
    struct pusher *p;
    struct op *cancel = sim_op(s);

    push_function(s);
    cancel->id = sim_emit(s, "e", "{}");
    p = claimed(s);
    sim_ok(s, sim_run(cancel, CALL_WRITE, op_cancel));
    outcome(s, p, 0, true);
    assert_int_equal(sim_get(s, cancel->id).status, RUN_CANCELLED);
    (void)claim_waits(s);
}

static void a_lost_push_is_sent_again_and_its_late_outcome_dropped(void **state)
{
    struct sim *s = *state;
    struct pusher *first, *second;
    int64_t id;

    push_function(s);
    id = sim_emit(s, "e", "{}");
    first = claimed(s);
    sim_pass(s, 119000);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    sim_pass(s, 3000);
    second = claimed(s);
    assert_int_equal(second->got.claims[0].job.execution_seq,
                     first->got.claims[0].job.execution_seq + 1);
    outcome(s, first, 0, false);
    assert_int_equal(sim_get(s, id).status, RUN_RUNNING);
    assert_int_equal(breaker(s).failures, 1); /* the endpoint failed all the same */
    outcome(s, second, 0, true);
    assert_int_equal(sim_get(s, id).status, RUN_COMPLETED);
    assert_int_equal(breaker(s).failures, 0);
}

static void a_restart_sends_at_once_what_was_under_way(void **state)
{
    struct sim *s = *state;
    struct pusher *p = pusher_new(s), *late;
    int64_t a, b;

    push_function(s);
    a = sim_emit(s, "e", "{}");
    b = sim_emit(s, "e", "{}");
    late = claimed(s);
    assert_int_equal(late->got.n, 2);
    sim_ok(s, sim_run(p->op, CALL_WRITE, op_recover));
    assert_true(p->more);
    assert_int_equal(sim_get(s, a).status, RUN_PENDING);
    outcome(s, late, 1, true); /* nobody else has it yet: it counts */
    assert_int_equal(sim_get(s, b).status, RUN_COMPLETED);
    sim_ok(s, sim_run(p->op, CALL_WRITE, op_recover));
    assert_false(p->more);
    assert_int_equal(claimed(s)->got.n, 1);
}

/* Five failures, and a sixth run that waits. */
static int64_t opened(struct sim *s)
{
    struct pusher *p;
    int64_t last = 0;

    push_function(s);
    for (int i = 0; i < 6; i++)
        last = sim_emit(s, "e", "{}");
    p = pusher_new(s);
    p->room = 5;
    sim_ok(s, sim_run(p->op, CALL_WRITE, op_claim));
    assert_int_equal(p->got.n, 5);
    for (size_t i = 0; i < 5; i++)
        outcome(s, p, i, false);
    assert_int_equal(breaker(s).state, BREAKER_OPEN);
    return last;
}

static void an_open_breaker_lets_one_probe_through(void **state)
{
    struct sim *s = *state;
    struct pusher *probe, *rest;

    (void)opened(s);
    probe = claim_waits(s);
    sim_pass(s, 59000);
    assert_false(probe->op->done);
    sim_pass(s, 1001);
    assert_true(probe->op->done);
    assert_int_equal(probe->got.n, 1);
    assert_int_equal(breaker(s).state, BREAKER_HALF_OPEN);
    rest = claim_waits(s);
    outcome(s, probe, 0, true);
    sim_settle(s);
    assert_true(rest->op->done);
    assert_int_equal(rest->got.n, 5);
    assert_int_equal(breaker(s).state, BREAKER_CLOSED);
}

static void a_bad_probe_keeps_it_open_for_as_long_again(void **state)
{
    struct sim *s = *state;
    struct pusher *probe, *next;

    (void)opened(s);
    probe = claim_waits(s);
    sim_pass(s, 60001);
    next = claim_waits(s);
    outcome(s, probe, 0, false);
    sim_pass(s, 59000);
    assert_false(next->op->done);
    assert_int_equal(breaker(s).state, BREAKER_OPEN);
    sim_pass(s, 2000);
    assert_true(next->op->done);
    assert_int_equal(next->got.n, 1);
}

static void a_reset_lets_all_go(void **state)
{
    struct sim *s = *state;
    struct pusher *p = pusher_new(s), *waits;

    (void)opened(s);
    waits = claim_waits(s);
    p->key = S("push|" URL "2");
    assert_int_equal(sim_run(p->op, CALL_WRITE, op_reset), ERR_NOT_FOUND);
    p->key = S("push|" URL);
    sim_ok(s, sim_run(p->op, CALL_WRITE, op_reset));
    sim_settle(s);
    assert_true(waits->op->done);
    assert_int_equal(breaker(s).state, BREAKER_CLOSED);
}

static void breakers_are_forgotten_after_a_day(void **state)
{
    struct sim *s = *state;

    (void)opened(s);
    s->clock.virtual_ms += BREAKER_KEPT_MS;
    while (sim_upkeep_once(s, svc_breakers_expire))
        ;
    assert_int_equal(breaker(s).updated_at, s->clock.virtual_ms - BREAKER_KEPT_MS);
    s->clock.virtual_ms += 1;
    while (sim_upkeep_once(s, svc_breakers_expire))
        ;
    assert_int_equal(breaker(s).updated_at, 0);
}

static void a_function_that_pulls_now_is_left_alone(void **state)
{
    struct sim *s = *state;
    struct pusher *p;

    push_function(s);
    p = claim_waits(s);
    sim_function(s, "{\"id\":\"push\",\"triggers\":[{\"event\":\"e\"}]}");
    (void)sim_emit(s, "e", "{}");
    sim_settle(s);
    assert_true(p->op->done);
    assert_true(p->got.gone);
    assert_int_equal(p->got.n, 0);
}

static void on_run(struct sim *s, int64_t id, err_t (*run)(struct ctx *c))
{
    struct op *op = sim_op(s);

    op->id = id;
    sim_ok(s, sim_run(op, CALL_WRITE, run));
}

static void a_flagged_run_is_held_instead_of_sent(void **state)
{
    struct sim *s = *state;
    struct pusher *p;
    int64_t flagged, other;

    push_function(s);
    flagged = sim_emit(s, "e", "{}");
    on_run(s, flagged, op_pause);
    other = sim_emit(s, "e", "{}");
    p = claimed(s);
    assert_int_equal(p->got.n, 1);
    assert_int_equal(p->got.claims[0].run.id, other);
    assert_int_equal(sim_get(s, flagged).status, RUN_PAUSED);
    assert_int_equal(sim_get(s, flagged).pause_reason, PAUSE_INJECTION);
    assert_false(sim_get(s, flagged).pause_requested);
    on_run(s, flagged, op_resume);
    p = claimed(s);
    assert_int_equal(p->got.claims[0].run.id, flagged);
    outcome(s, p, 0, true);
    assert_int_equal(sim_get(s, flagged).status, RUN_COMPLETED);
}

static void a_flagged_run_is_held_after_its_retry_delay(void **state)
{
    struct sim *s = *state;
    struct pusher *p;
    int64_t id;

    push_function(s);
    id = sim_emit(s, "e", "{}");
    outcome(s, claimed(s), 0, false);
    assert_int_equal(sim_get(s, id).status, RUN_WAITING);
    on_run(s, id, op_pause);
    p = claim_waits(s);
    sim_pass(s, 10);
    assert_int_equal(sim_get(s, id).status, RUN_PAUSED);
    assert_int_equal(p->got.n, 0);
    on_run(s, id, op_resume);
    assert_int_equal(claimed(s)->got.claims[0].run.id, id);
}

static void a_flagged_run_is_no_probe(void **state)
{
    struct sim *s = *state;
    struct pusher *p;
    int64_t flagged = opened(s);

    on_run(s, flagged, op_pause);
    assert_int_equal(sim_get(s, flagged).status, RUN_PENDING);
    p = claim_waits(s);
    sim_pass(s, 60001);
    assert_true(p->op->done);
    assert_int_equal(p->got.n, 0);
    assert_int_equal(sim_get(s, flagged).status, RUN_PAUSED);
    outcome(s, claimed(s), 0, true);
    assert_int_equal(breaker(s).state, BREAKER_CLOSED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        T(an_answer_ends_the_run),
        T(a_parked_claim_is_served_with_the_emit),
        T(the_outcome_of_a_cancelled_run_is_dropped),
        T(a_lost_push_is_sent_again_and_its_late_outcome_dropped),
        T(a_restart_sends_at_once_what_was_under_way),
        T(an_open_breaker_lets_one_probe_through),
        T(a_bad_probe_keeps_it_open_for_as_long_again),
        T(a_reset_lets_all_go),
        T(breakers_are_forgotten_after_a_day),
        T(a_function_that_pulls_now_is_left_alone),
        T(a_flagged_run_is_held_instead_of_sent),
        T(a_flagged_run_is_held_after_its_retry_delay),
        T(a_flagged_run_is_no_probe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
