/* Executors on PostgreSQL: every call in its own transaction, lost races run again, waits survive
 * without signals. Runs when IRONFLOW_TEST_PG_URL names a server that the tests may write to. */
#include "txn/calls_fixture.h"

static void a_write_is_seen_by_the_next_read(void **state)
{
    struct fx *f = fx_new(FX_PG, 4);

    (void)state;
    for (int64_t i = 1; i <= 50; i++) {
        fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, i), ERR_OK);
        assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), i);
    }
    fx_free(f);
}

/* All add one to the same row after reading it: without running again some would be lost or
 * refused. */
static err_t run_increment(struct ctx *c)
{
    struct fx_call *k = c->call->arg;
    struct db_rows r = { 0 };
    int64_t v;

    k->runs++;
    TRY(db_query(c, &fx_lock, ARGS(DB_INT(1)), &r));
    v = db_row(&r) ? db_int(&r, 0) : -1;
    TRY(db_end(&r));
    return db_exec(c, &fx_set, ARGS(DB_INT(v + 1), DB_INT(1)), NULL);
}

static void calls_on_one_row_queue_up(void **state)
{
    enum { N = 100 };
    struct fx *f = fx_new(FX_PG, 4);
    struct fx_call *k[N];
    int64_t start;

    (void)state;
    fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, 1), ERR_OK);
    start = fx_now(f, CALL_READ, fx_run_get, 1);
    for (int i = 0; i < N; i++)
        k[i] = fx_submit(f, CALL_WRITE, run_increment, 1);
    for (int i = 0; i < N; i++)
        fx_expect(k[i], ERR_OK);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_get, 1), start + N);
    fx_free(f);
}

/* Two rows in an order that depends on the key: deadlocks, until each has had its turn. */
static err_t run_crosswise(struct ctx *c)
{
    struct fx_call *k = c->call->arg;
    int64_t first = k->key % 2 == 0 ? 1 : 2;

    k->runs++;
    TRY(db_exec(c, &fx_bump, ARGS(DB_INT(first)), NULL));
    (void)usleep(2000);
    return db_exec(c, &fx_bump, ARGS(DB_INT(3 - first)), NULL);
}

static void deadlocks_run_again(void **state)
{
    enum { N = 8 };
    struct fx *f = fx_new(FX_PG, 2);
    struct fx_call *k[N];
    int64_t start[2];

    (void)state;
    for (int64_t i = 0; i < 2; i++) {
        fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, i + 1), ERR_OK);
        start[i] = fx_now(f, CALL_READ, fx_run_get, i + 1);
    }
    for (int i = 0; i < N; i++)
        k[i] = fx_submit(f, CALL_WRITE, run_crosswise, i);
    for (int i = 0; i < N; i++)
        fx_expect(k[i], ERR_OK);
    for (int64_t i = 0; i < 2; i++)
        assert_int_equal(fx_now(f, CALL_READ, fx_run_get, i + 1), start[i] + N);
    assert_true(fx_stats(f).reruns > 0);
    fx_free(f);
}

static void an_error_rolls_its_own_call_back_only(void **state)
{
    struct fx *f = fx_new(FX_PG, 3);
    struct fx_call *bad = fx_call(f, CALL_WRITE, fx_run_insert, 1);
    struct fx_call *good;

    (void)state;
    bad->fail = ERR_CONFLICT;
    bad->fails = -1;
    assert_int_equal(txn_submit(f->t, &bad->call), ERR_OK);
    good = fx_submit(f, CALL_WRITE, fx_run_insert, 2);
    fx_expect(bad, ERR_CONFLICT);
    fx_expect(good, ERR_OK);
    assert_int_equal(f->signals, 1);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_get, 1), -1);

    /* A unique violation is tried again a few times and then told. */
    bad = fx_submit(f, CALL_WRITE, fx_run_insert, 2);
    assert_int_equal(fx_wait(bad), ERR_EXISTS);
    assert_true(bad->runs > 1);
    fx_drop(bad);
    fx_free(f);
}

static void parked_calls_wake_after_the_commit(void **state)
{
    enum { N = 20 };
    struct fx *f = fx_new(FX_PG, 4);
    struct fx_call *poll[N], *watch[N], *emit[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        poll[i] = fx_submit(f, CALL_WRITE, fx_run_poll, i);
        watch[i] = fx_submit(f, CALL_READ, fx_run_watch, 1000 + i);
    }
    for (int i = 0; i < N; i++) {
        emit[i] = fx_submit(f, CALL_WRITE, fx_run_insert, i);
        fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, 1000 + i), ERR_OK);
    }
    for (int i = 0; i < N; i++) {
        fx_expect(emit[i], ERR_OK);
        fx_expect(poll[i], ERR_OK);
        fx_expect(watch[i], ERR_OK);
    }
    fx_free(f);
}

/* Inserts like another node would: without a signal here. */
static err_t run_silent_insert(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    return db_exec(c, &fx_insert, ARGS(DB_INT(k->key), DB_INT(1)), NULL);
}

static void a_parked_call_looks_again_without_a_signal(void **state)
{
    struct fx *f = fx_new(FX_PG, 2);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);

    (void)state;
    fx_await_parked(f, 1);
    fx_expect(fx_submit(f, CALL_WRITE, run_silent_insert, 1), ERR_OK);
    assert_int_equal(fx_wait(poll), ERR_OK);
    assert_int_equal(poll->got, 1);
    assert_false(poll->saw_timeout);
    fx_drop(poll);
    fx_free(f);
}

/* Leaves its row and waits until it is taken away. */
static err_t run_leave_and_wait(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    TRY(fx_run_get(c));
    if (k->runs > 1)
        return k->got < 0 ? ERR_OK : txn_park(c, SIG_RUN_READY, NULL, 0, 0);
    TRY(db_exec(c, &fx_insert, ARGS(DB_INT(k->key), DB_INT(1)), NULL));
    signal_add(c, SIG_RUN_READY, k->key);
    return txn_park(c, SIG_RUN_READY, NULL, 0, 0);
}

static void what_a_call_wrote_before_it_parked_is_kept(void **state)
{
    struct fx *f = fx_new(FX_PG, 2);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *k;

    (void)state;
    fx_await_parked(f, 1);
    k = fx_submit(f, CALL_WRITE, run_leave_and_wait, 1);
    assert_int_equal(fx_wait(poll), ERR_OK);
    assert_int_equal(poll->got, 1);
    fx_drop(poll);
    fx_expect(k, ERR_OK);
    fx_free(f);
}

static err_t run_lost_commit(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    TRY(fx_run_insert(c));
    if (k->runs == 1)
        db_fault_at(1, k->fail);
    return ERR_OK;
}

static void a_commit_that_may_have_happened_is_not_repeated(void **state)
{
    struct fx *f = fx_new(FX_PG, 2);
    struct fx_call *k = fx_call(f, CALL_WRITE, run_lost_commit, 1);

    (void)state;
    k->fail = ERR_UNCERTAIN;
    assert_int_equal(txn_submit(f->t, &k->call), ERR_OK);
    assert_int_equal(fx_wait(k), ERR_UNCERTAIN);
    assert_int_equal(k->runs, 1);
    fx_drop(k);

    k = fx_call(f, CALL_WRITE, run_lost_commit, 2);
    k->fail = ERR_RETRY;
    assert_int_equal(txn_submit(f->t, &k->call), ERR_OK);
    assert_int_equal(fx_wait(k), ERR_OK);
    assert_int_equal(k->runs, 2);
    fx_drop(k);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 2);
    fx_free(f);
}

static void stopping_finishes_what_waits(void **state)
{
    enum { N = 100 };
    struct fx *f = fx_new(FX_PG, 4);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, -1);
    struct fx_call *k[N];

    (void)state;
    fx_await_parked(f, 1);
    for (int i = 0; i < N; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_insert_then_get, i);
    txn_stop(f->t);
    for (int i = 0; i < N; i++)
        fx_expect(k[i], ERR_OK);
    fx_expect(poll, ERR_UNAVAILABLE);
    fx_free(f);
}

static void the_steps_work_on_postgresql_too(void **state)
{
    struct fx *f = fx_new(FX_PG, 0);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *emit;

    (void)state;
    fx_settle(f);
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    fx_expect(emit, ERR_OK);
    fx_expect(poll, ERR_OK);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 0);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_seen_by_the_next_read),
        cmocka_unit_test(calls_on_one_row_queue_up),
        cmocka_unit_test(deadlocks_run_again),
        cmocka_unit_test(an_error_rolls_its_own_call_back_only),
        cmocka_unit_test(parked_calls_wake_after_the_commit),
        cmocka_unit_test(a_parked_call_looks_again_without_a_signal),
        cmocka_unit_test(what_a_call_wrote_before_it_parked_is_kept),
        cmocka_unit_test(a_commit_that_may_have_happened_is_not_repeated),
        cmocka_unit_test(stopping_finishes_what_waits),
        cmocka_unit_test(the_steps_work_on_postgresql_too),
    };

    fx_pg_url = getenv("IRONFLOW_TEST_PG_URL");
    if (fx_pg_url == NULL) {
        print_message("skipped: IRONFLOW_TEST_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
