/* Threads on SQLite: many calls in few commits, every reply after its commit, and a clean end. */
#include "txn/txn_fixture.h"

static void a_write_is_seen_by_the_next_read(void **state)
{
    struct fx *f = fx_new(FX_FILE, 2);

    (void)state;
    for (int64_t i = 1; i <= 200; i++) {
        fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, i), ERR_OK);
        assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), i);
    }
    fx_free(f);
}

static void many_calls_share_a_commit(void **state)
{
    enum { N = 2000 };
    struct fx *f = fx_new(FX_FILE, 2);
    struct fx_call *k[N];
    struct txn_stats s;

    (void)state;
    for (int i = 0; i < N; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_insert, i);
    for (int i = 0; i < N; i++)
        fx_expect(k[i], ERR_OK);
    s = fx_stats(f);
    assert_int_equal(s.writes, N);
    assert_int_equal(s.waiting, 0);
    assert_true(s.batches < N / 2);
    assert_int_equal(f->committed, s.batches);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), N);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_seen_by_the_next_read),
        cmocka_unit_test(many_calls_share_a_commit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
