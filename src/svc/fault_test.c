/* The k-th call of the database fails, for every k: what was answered holds, what was refused can
 * be repeated, nothing is half done. */
#include "db/db_fault.h"
#include "store/counters.h"
#include "svc/operator.h"
#include "svc/svc_fixture.h"

#define ATTEMPTS 50

/* Repeats an operation until it is answered, as a client does. Only the first run meets the fault.
 */
static void persist(struct op *op, err_t (*run)(struct ctx *c))
{
    for (int i = 0; i < ATTEMPTS; i++) {
        sim_submit(op, CALL_WRITE, run);
        sim_settle(op->sim);
        for (int k = 0; !op->done && k < ATTEMPTS; k++) {
            op->sim->clock.virtual_ms += 100; /* it waits: a sleep of txn or its deadline */
            sim_settle(op->sim);
        }
        assert_true(op->done);
        if (op->call.result == ERR_OK)
            return;
        if (op->call.result != ERR_UNAVAILABLE)
            fail_msg("%d: %s", (int)op->call.result, op->sim->text);
    }
    fail_msg("never answered");
}

/* A claim whose answer was lost comes back when its lease is over. */
static void upkeep(struct sim *s)
{
    static err_t (*const steps[])(struct ctx *, int64_t *) = { svc_timers_fire, svc_leases_sweep };

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct op *op = sim_op(s);

        op->step = steps[i];
        do
            persist(op, op_upkeep);
        while (op->next_due <= s->clock.virtual_ms);
    }
}

static err_t op_counts(struct ctx *c)
{
    struct op *op = op_of(c);

    TRY(store_counter_sum(c, 0, 1u << RUN_COMPLETED, &op->id));
    return store_counter_sum(c, 0, UINT32_MAX, &op->total);
}

/* One run with two steps, a sleep and a failed attempt. Returns how many calls the database saw. */
static int64_t story(struct sim *s, int64_t fault_at)
{
    struct op *emit = sim_op(s), *poll = sim_op(s), *job;

    db_fault_at(fault_at, ERR_UNAVAILABLE);
    emit->emit = (struct emit){ .name = S("e"), .idempotency_key = S("once") };
    persist(emit, op_emit);
    poll->worker = S("w1");
    poll->available = 1;
    for (int part = 0; part < 3; part++) {
        poll->n = 0;
        for (int tries = 0; poll->n == 0; tries++) {
            assert_in_range(tries, 0, 40);
            s->clock.virtual_ms += 1000;
            upkeep(s);
            persist(poll, op_poll);
        }
        job = sim_job(s, poll, 0);
        persist(job, op_ack);
        sim_steps(job, 'a', 2, "completed");
        if (part == 0) {
            job->report.yield_type = S("sleep");
            job->report.yield_step_id = S("r:nap:0");
            job->report.yield_until_ms = s->clock.virtual_ms + 500;
        }
        job->report.kind = part == 0   ? REPORT_YIELDED
                           : part == 1 ? REPORT_FAILED
                                       : REPORT_COMPLETED;
        job->report.retryable = true;
        persist(job, op_report);
    }
    return db_fault_calls();
}

static void check(struct sim *s)
{
    struct op *l = sim_op(s), *counts = sim_op(s), *m;

    sim_ok(s, sim_run(l, CALL_READ, op_run_list));
    assert_int_equal(l->n, 1);
    assert_int_equal(l->runs[0].status, RUN_COMPLETED);
    assert_int_equal(l->runs[0].attempt, 2);
    assert_int_equal(sim_get_steps(s, l->runs[0].id)->n, 3);
    sim_ok(s, sim_run(counts, CALL_READ, op_counts));
    assert_int_equal(counts->id, 1);
    assert_int_equal(counts->total, 1);
    m = sim_messages(s, 1);
    for (size_t i = 0; i < m->n; i++)
        assert_int_equal(m->messages[i].pos, (int64_t)i + 1);
    assert_true(str_ends(m->messages[m->n - 1].topic, S(".completed")));
}

static void every_call_may_fail(void **state)
{
    int64_t calls = 1;

    (void)state;
    for (int64_t k = 1; k <= calls; k++) {
        struct sim *s = sim_new(false);

        sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"e\"}],"
                        "\"retry\":{\"maxAttempts\":3,\"initialDelayMs\":100}}");
        sim_worker(s, "w1", "[\"f\"]", 4);
        calls = story(s, k);
        db_fault_at(0, ERR_OK);
        check(s);
        sim_free(s);
    }
    assert_true(calls > 100);
}

/* ---- waits and children ---------------------------------------------------------------------- */

static struct op *persist_take(struct sim *s)
{
    struct op *poll = sim_op(s), *job;

    poll->worker = S("w1");
    poll->available = 1;
    for (int tries = 0; poll->n == 0; tries++) {
        assert_in_range(tries, 0, 40);
        s->clock.virtual_ms += 1000;
        upkeep(s);
        persist(poll, op_poll);
    }
    job = sim_job(s, poll, 0);
    persist(job, op_ack);
    return job;
}

static void persist_emit(struct sim *s, const char *name, const char *key)
{
    struct op *op = sim_op(s);

    op->emit = (struct emit){ .name = str_from(name),
                              .data = S("{\"k\":1}"),
                              .idempotency_key = str_from(key) };
    persist(op, op_emit);
}

static void persist_yield(struct op *job, const char *type, const char *step)
{
    job->report.kind = REPORT_YIELDED;
    job->report.yield_type = str_from(type);
    job->report.yield_step_id = str_from(step);
    job->report.yield_event = S("ok");
    job->report.yield_function = S("f");
    job->report.yield_timeout_ms = 3600000;
    persist(job, op_report);
}

/* Two runs wait for one event; one of them then invokes a child, the other is cancelled by an
 * event. */
static int64_t waiting_story(struct sim *s, int64_t fault_at)
{
    db_fault_at(fault_at, ERR_UNAVAILABLE);
    persist_emit(s, "e", "one");
    persist_emit(s, "e", "two");
    persist_yield(persist_take(s), "wait_for_event", "r:ok:0");
    persist_yield(persist_take(s), "wait_for_event", "r:ok:0");
    persist_emit(s, "ok", "three");
    persist_yield(persist_take(s), "invoke_function", "r:f:0");
    for (int i = 0; i < 3; i++) { /* the other one, the child, the first one again */
        struct op *job = persist_take(s);

        job->report.kind = REPORT_COMPLETED;
        persist(job, op_report);
    }
    persist_emit(s, "e", "four");
    persist_emit(s, "stop", "five");
    return db_fault_calls();
}

static void waiting_check(struct sim *s)
{
    struct op *l = sim_op(s), *m;
    size_t children = 0, cancelled = 0;

    sim_ok(s, sim_run(l, CALL_READ, op_run_list));
    assert_int_equal(l->n, 4);
    for (size_t i = 0; i < l->n; i++) {
        children += l->runs[i].parent_run != 0;
        cancelled += l->runs[i].status == RUN_CANCELLED;
        assert_true(l->runs[i].status == RUN_CANCELLED || l->runs[i].status == RUN_COMPLETED);
    }
    assert_int_equal(children, 1);
    assert_int_equal(cancelled, 1);
    m = sim_messages(s, 1);
    for (size_t i = 0; i < m->n; i++)
        assert_int_equal(m->messages[i].pos, (int64_t)i + 1);
}

static void every_call_of_waits_may_fail(void **state)
{
    int64_t calls = 1;

    (void)state;
    for (int64_t k = 1; k <= calls; k++) {
        struct sim *s = sim_new(false);

        sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"e\"}],"
                        "\"cancelOn\":[{\"event\":\"stop\",\"match\":\"x\"},"
                        "{\"event\":\"stop\",\"match\":\"k\"}]}");
        sim_worker(s, "w1", "[\"f\"]", 4);
        calls = waiting_story(s, k);
        db_fault_at(0, ERR_OK);
        waiting_check(s);
        sim_free(s);
    }
    assert_true(calls > 150);
}

/* ---- resume ---------------------------------------------------------------------------------- */

static err_t op_resume(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_run_resume(c, op->id, STR_NULL, &op->run);
}

/* A failed run with one step. */
static int64_t failed_run(struct sim *s)
{
    int64_t id = sim_emit(s, "e", "{}");
    struct op *job = sim_take(s, "w1");

    sim_ok(s, sim_progress(job, 'a', 1));
    job->report.steps_n = 0;
    sim_ok(s, sim_fail(job, "{\"message\":\"no\"}", false));
    return id;
}

/* A resume that was refused has put the status back; the next one goes on as if it had not been. */
static int64_t resume_once(struct sim *s, int64_t id, int64_t fault_at)
{
    struct op *op = sim_op(s), *job;
    int64_t calls;
    err_t e;

    op->id = id;
    db_fault_at(fault_at, ERR_UNAVAILABLE);
    e = sim_run(op, CALL_WRITE, op_resume);
    calls = db_fault_calls();
    db_fault_at(0, ERR_OK);
    assert_int_equal(sim_get(s, id).status, e == ERR_OK ? RUN_RUNNING : RUN_FAILED);
    assert_int_equal(sim_poll(s, "w1", 0)->n, 0);
    if (e != ERR_OK)
        sim_ok(s, sim_run(op, CALL_WRITE, op_resume));
    job = sim_take(s, "w1");
    assert_int_equal(job->id, id);
    sim_ok(s, sim_complete(job, "1"));
    assert_int_equal(sim_get(s, id).status, RUN_COMPLETED);
    assert_int_equal(sim_get_steps(s, id)->n, 1);
    return calls;
}

static void every_call_of_a_resume_may_fail(void **state)
{
    struct sim *s = sim_new(false);
    int64_t k = 1;

    (void)state;
    sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"e\"}],"
                    "\"cancelOn\":[{\"event\":\"stop\",\"match\":\"k\"}]}");
    sim_worker(s, "w1", "[\"f\"]", 4);
    while (resume_once(s, failed_run(s), k) >= k)
        k++;
    assert_true(k > 10);
    sim_free(s);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(every_call_may_fail),
                                           cmocka_unit_test(every_call_of_waits_may_fail),
                                           cmocka_unit_test(every_call_of_a_resume_may_fail) };

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
