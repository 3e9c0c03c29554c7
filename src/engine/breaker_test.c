/* Circuit breakers: the states, and who changes them. */
#include "engine/breaker.h"

#include "base/test.h"

#define NOW 1000000
#define OPEN 60000

struct fixture {
    struct arena arena;
    struct ctx c;
    struct breaker b;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){ .b = { .fn = 1, .endpoint = S("http://x/") } };
    arena_init(&f.arena);
    f.c.arena = &f.arena;
    f.c.now_ms = NOW;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    arena_done(&f->arena);
    return 0;
}

struct effect {
    bool changed, wakes;
};

static struct effect result(struct fixture *f, int64_t run, bool ok)
{
    struct effect e = { 0 };

    assert_int_equal(breaker_result(&f->c, &f->b, run, ok, OPEN, &e.changed, &e.wakes), ERR_OK);
    return e;
}

static void open_it(struct fixture *f)
{
    for (int i = 0; i < BREAKER_FAILURES; i++)
        (void)result(f, i, false);
    assert_int_equal(f->b.state, BREAKER_OPEN);
}

static void five_failures_in_a_row_open_it(void **state)
{
    struct fixture *f = *state;

    assert_false(result(f, 1, true).changed);
    for (int i = 1; i < BREAKER_FAILURES; i++) {
        assert_true(result(f, i, false).changed);
        assert_int_equal(f->b.state, BREAKER_CLOSED);
        assert_int_equal(f->b.failures, i);
        assert_int_equal(breaker_ask(&f->b, NOW), BREAKER_ADMITS);
    }
    assert_true(result(f, 5, true).changed);
    assert_int_equal(f->b.failures, 0);
    open_it(f);
    assert_int_equal(f->b.failures, BREAKER_FAILURES);
    assert_int_equal(f->b.last_failure, NOW);
    assert_int_equal(f->b.until, NOW + OPEN);
}

static void what_was_under_way_when_it_opened_changes_nothing(void **state)
{
    struct fixture *f = *state;

    open_it(f);
    f->c.now_ms += 5;
    assert_false(result(f, 77, true).changed);
    assert_true(result(f, 78, false).changed); /* the time of the last failure */
    assert_int_equal(f->b.state, BREAKER_OPEN);
    assert_int_equal(f->b.failures, BREAKER_FAILURES);
    assert_int_equal(f->b.until, NOW + OPEN);
}

static void only_the_probe_decides(void **state)
{
    struct fixture *f = *state;
    struct effect e;

    open_it(f);
    assert_int_equal(breaker_ask(&f->b, NOW + OPEN - 1), BREAKER_REFUSES);
    f->c.now_ms = NOW + OPEN;
    assert_int_equal(breaker_ask(&f->b, f->c.now_ms), BREAKER_PROBES);
    assert_int_equal(breaker_probe(&f->c, &f->b, 9, f->c.now_ms + 100), ERR_OK);
    assert_int_equal(breaker_ask(&f->b, f->c.now_ms), BREAKER_REFUSES);
    (void)result(f, 8, false);
    (void)result(f, 8, true);
    assert_int_equal(f->b.state, BREAKER_HALF_OPEN);
    e = result(f, 9, true);
    assert_true(e.changed && e.wakes);
    assert_int_equal(f->b.state, BREAKER_CLOSED);
    assert_int_equal(f->b.failures, 0);
}

static void a_bad_probe_opens_it_again(void **state)
{
    struct fixture *f = *state;
    struct effect e;

    open_it(f);
    f->c.now_ms = NOW + OPEN;
    assert_int_equal(breaker_probe(&f->c, &f->b, 9, f->c.now_ms + 100), ERR_OK);
    f->c.now_ms += 10;
    e = result(f, 9, false);
    assert_true(e.changed && e.wakes);
    assert_int_equal(f->b.state, BREAKER_OPEN);
    assert_int_equal(f->b.failures, BREAKER_FAILURES + 1);
    assert_int_equal(f->b.until, f->c.now_ms + OPEN);
}

static void a_lost_probe_is_replaced(void **state)
{
    struct fixture *f = *state;

    open_it(f);
    assert_int_equal(breaker_probe(&f->c, &f->b, 9, NOW + 100), ERR_OK);
    assert_int_equal(breaker_ask(&f->b, NOW + 100), BREAKER_PROBES);
    assert_int_equal(breaker_probe(&f->c, &f->b, 10, NOW + 200), ERR_OK);
    (void)result(f, 9, true);
    assert_int_equal(f->b.state, BREAKER_HALF_OPEN);
    (void)result(f, 10, true);
    assert_int_equal(f->b.state, BREAKER_CLOSED);
}

static void a_reset_closes_it_in_any_state(void **state)
{
    struct fixture *f = *state;

    open_it(f);
    assert_int_equal(breaker_reset(&f->c, &f->b), ERR_OK);
    assert_int_equal(f->b.state, BREAKER_CLOSED);
    assert_int_equal(f->b.failures, 0);
    assert_int_equal(breaker_reset(&f->c, &f->b), ERR_OK);
    open_it(f);
    assert_int_equal(breaker_probe(&f->c, &f->b, 9, NOW + 100), ERR_OK);
    assert_int_equal(breaker_reset(&f->c, &f->b), ERR_OK);
    (void)result(f, 9, false); /* counts as any other now */
    assert_int_equal(f->b.failures, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(five_failures_in_a_row_open_it), T(what_was_under_way_when_it_opened_changes_nothing),
        T(only_the_probe_decides),         T(a_bad_probe_opens_it_again),
        T(a_lost_probe_is_replaced),       T(a_reset_closes_it_in_any_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
