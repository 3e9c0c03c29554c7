/* The audit list of an environment is read in bounded pieces, and nothing is lost between them. */
#include "svc/audit.h"

#include "svc/batch.h"
#include "svc/svc_fixture.h"

#define FEW 100

struct reader {
    struct op *op;
    struct audit_filter f;
    struct audit_trail page;
    str_t function;
};

static struct reader *reader_of(struct ctx *c)
{
    return (struct reader *)(uintptr_t)((struct op *)c->call->arg)->text.p;
}

static err_t op_cancelled(struct ctx *c)
{
    return audit_debounce(c, 7, id_from_ms(c->now_ms), S("key"));
}

static err_t op_list(struct ctx *c)
{
    struct reader *r = reader_of(c);

    return svc_audit_list(c, 0, r->function, &r->f, &r->page);
}

static void list(struct sim *s, struct reader *r)
{
    r->op = sim_op(s);
    r->op->text = (str_t){ (const char *)r, sizeof(*r) };
    r->page = (struct audit_trail){ 0 };
    sim_ok(s, sim_run(r->op, CALL_READ, op_list));
}

/* Rows that nobody asks for, each of a transaction of its own. */
static void add_rows(struct sim *s, int n)
{
    for (int i = 0; i < n; i++)
        sim_ok(s, sim_run(sim_op(s), CALL_WRITE, op_cancelled));
}

static void a_rare_entry_behind_many_rows_is_found(void **state)
{
    struct sim *s = *state;
    struct reader r = { .f = { .limit = 10, .type = S("run.created") } };
    int64_t run;
    int pages = 1;

    sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"e\"}],\"recording\":true}");
    run = sim_emit(s, "e", "{}");
    add_rows(s, AUDIT_LIST_ROWS + FEW);
    list(s, &r);
    assert_true(r.page.more);
    assert_int_equal(r.page.events_n, 0);
    assert_int_equal(r.page.total, 0); /* among those that were read */
    for (; r.page.events_n == 0 && r.page.more; pages++) {
        r.f.row = r.page.row;
        r.f.ordinal = r.page.ordinal;
        list(s, &r);
    }
    assert_int_equal(pages, 2);
    assert_int_equal(r.page.events_n, 1);
    assert_int_equal(r.page.events[0].run_id, run);
    assert_false(r.page.more);
}

static void pages_join_without_gap(void **state)
{
    struct sim *s = *state;
    struct reader r = { .f = { .limit = 7 } };
    int64_t last = INT64_MAX;
    int seen = 0;

    add_rows(s, FEW);
    do {
        list(s, &r);
        assert_int_equal(r.page.total, FEW);
        for (size_t i = 0; i < r.page.events_n; i++, seen++) {
            assert_true(r.page.events[i].row < last);
            last = r.page.events[i].row;
        }
        r.f.row = r.page.row;
        r.f.ordinal = r.page.ordinal;
    } while (r.page.more);
    assert_int_equal(seen, FEW);
}

static void an_unknown_function_is_an_empty_list(void **state)
{
    struct sim *s = *state;
    struct reader r = { .f = { .limit = 7 }, .function = S("nobody") };

    add_rows(s, 1);
    list(s, &r);
    assert_int_equal(r.page.total, 0);
    assert_false(r.page.more);
}

static err_t op_trail(struct ctx *c)
{
    struct reader *r = reader_of(c);

    return svc_audit_trail(c, r->op->id, &r->f, &r->page);
}

/* Results of 5 MiB each: no page holds them all, and each is there once. */
static void a_large_trail_comes_in_pages(void **state)
{
    enum { STEPS = 6, SIZE = 5 << 20 };
    struct sim *s = *state;
    struct reader r = { .f = { .limit = 1000, .type = S("step.completed") } };
    char *text = arena_alloc(&s->arena, SIZE);
    struct op *job;
    int seen = 0, pages = 0;

    sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"e\"}],\"recording\":true}");
    sim_worker(s, "w", "[\"f\"]", 4);
    (void)sim_emit(s, "e", "{}");
    job = sim_take(s, "w");
    memset(text, '1', SIZE);
    for (int i = 0; i < STEPS; i++) {
        struct report_step *step;

        sim_steps(job, (char)('a' + i), 1, "completed");
        step = (struct report_step *)(uintptr_t)job->report.steps;
        step->output = (str_t){ text, SIZE };
        sim_ok(s, sim_send(job, REPORT_PROGRESS));
    }
    r.op = sim_op(s);
    r.op->id = job->id;
    r.op->text = (str_t){ (const char *)&r, sizeof(r) };
    do {
        r.page = (struct audit_trail){ 0 };
        sim_ok(s, sim_run(r.op, CALL_READ, op_trail));
        assert_int_equal(r.page.total, STEPS);
        assert_in_range(r.page.events_n, 1, 2);
        for (size_t i = 0; i < r.page.events_n; i++)
            assert_true(r.page.events[i].payload.n > SIZE);
        seen += (int)r.page.events_n;
        r.f.row = r.page.row;
        r.f.ordinal = r.page.ordinal;
        pages++;
    } while (r.page.more);
    assert_int_equal(seen, STEPS);
    assert_int_equal(pages, 3);
}

static err_t op_delete(struct ctx *c)
{
    return svc_function_delete(c, S("f"));
}

/* Its runs are still there. */
static void a_deleted_function_keeps_its_list(void **state)
{
    struct sim *s = *state;
    struct reader r = { .f = { .limit = 7 }, .function = S("f") };

    sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"e\"}],\"recording\":true}");
    (void)sim_emit(s, "e", "{}");
    sim_ok(s, sim_run(sim_op(s), CALL_WRITE, op_delete));
    list(s, &r);
    assert_int_equal(r.page.total, 1);
    assert_str(r.page.events[0].function_id, "f");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        T(a_rare_entry_behind_many_rows_is_found), T(pages_join_without_gap),
        T(an_unknown_function_is_an_empty_list),   T(a_deleted_function_keeps_its_list),
        T(a_large_trail_comes_in_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
