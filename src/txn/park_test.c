/* Parked calls, step by step under a virtual clock: woken in the batch that made their work, in
 * their order, as many as there is work for; deadlines; clients that go away. */
#include "txn/calls_fixture.h"

static int step(struct fx *f, int64_t *due)
{
    int n = 0;

    while (txn_step(f->t, due))
        n++;
    return n;
}

static void a_parked_poll_shares_the_commit_that_made_its_work(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *emit;
    uint64_t before;

    (void)state;
    fx_settle(f);
    assert_int_equal(fx_stats(f).parked, 1);
    assert_int_equal(fx_stats(f).waiting, 0);
    before = fx_stats(f).batches;
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    fx_settle(f);
    assert_int_equal(fx_stats(f).batches, before + 1);
    assert_int_equal(fx_stats(f).parked, 0);
    assert_int_equal(poll->got, 1);
    assert_int_equal(poll->runs, 2);
    fx_expect(emit, ERR_OK);
    fx_expect(poll, ERR_OK);
    fx_free(f);
}

static void a_poll_parked_in_a_batch_is_woken_by_the_same_batch(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);

    (void)state;
    fx_settle(f);
    assert_int_equal(fx_stats(f).batches, 1);
    assert_int_equal(poll->got, 1);
    fx_expect(emit, ERR_OK);
    fx_expect(poll, ERR_OK);
    fx_free(f);
}

static void as_many_wake_as_there_were_signals_oldest_first(void **state)
{
    enum { N = 6 };
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k[N], *emit;

    (void)state;
    for (int i = 0; i < N; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    fx_settle(f);
    for (int i = 0; i < N; i++) {
        emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
        fx_settle(f);
        fx_expect(emit, ERR_OK);
        for (int j = 0; j < N; j++) {
            assert_int_equal(k[j]->done, j <= i);
            assert_int_equal(k[j]->runs, j <= i ? 2 : 1);
        }
    }
    for (int i = 0; i < N; i++)
        fx_expect(k[i], ERR_OK);
    fx_free(f);
}

/* Raises the signal of its key without making a row. */
static err_t run_signal(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    k->runs++;
    signal_add(c, SIG_RUN_READY, k->key);
    return ERR_OK;
}

static void who_parks_again_keeps_its_place(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *b = fx_submit(f, CALL_WRITE, fx_run_poll, 1);

    (void)state;
    fx_settle(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fx_now(f, CALL_WRITE, run_signal, 1), -2);
    assert_int_equal(a->runs, 4);
    assert_int_equal(b->runs, 1);
    assert_int_equal(fx_now(f, CALL_WRITE, fx_run_insert, 1), -2);
    assert_true(a->done);
    assert_false(b->done);
    txn_cancel(f->t, &b->call);
    fx_expect(a, ERR_OK);
    fx_expect(b, ERR_CANCELED);
    fx_free(f);
}

/* Like a poll, but from its second run on it may refuse before it has touched anything. */
static err_t run_fickle_poll(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    if (k->runs > 0 && k->fails != 0) {
        k->runs++;
        return fx_fail(c);
    }
    return fx_run_poll(c);
}

static void a_wake_up_that_ends_in_an_error_is_handed_on(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, run_fickle_poll, 1);
    struct fx_call *b = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *emit;

    (void)state;
    fx_settle(f);
    a->fail = ERR_FORBIDDEN;
    a->fails = -1;
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    fx_settle(f);
    assert_int_equal(b->got, 1);
    fx_expect(emit, ERR_OK);
    fx_expect(a, ERR_FORBIDDEN);
    fx_expect(b, ERR_OK);
    fx_free(f);
}

/* Like a watch that is refused when it is woken. */
static err_t run_fickle_watch(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    return k->runs > 0 ? fx_fail(c) : fx_run_watch(c);
}

static void a_queued_wake_up_is_handed_on_as_well(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_READ, run_fickle_watch, 1);
    struct fx_call *b = fx_submit(f, CALL_READ, fx_run_watch, 1);
    struct fx_call *c = fx_submit(f, CALL_READ, fx_run_watch, 1);

    (void)state;
    fx_settle(f);
    a->fail = ERR_FORBIDDEN;
    a->fails = -1;
    fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, 1), ERR_OK);
    fx_expect(a, ERR_FORBIDDEN);
    assert_true(b->done);
    assert_false(c->done); /* one signal, one answer */
    txn_cancel(f->t, &c->call);
    fx_expect(b, ERR_OK);
    fx_expect(c, ERR_CANCELED);
    fx_free(f);
}

static void a_full_batch_wakes_in_the_next_one(void **state)
{
    enum { N = 256 };
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 5);
    struct fx_call *k[N];
    int64_t due;

    (void)state;
    fx_settle(f);
    for (int i = 0; i < N; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_insert, i);
    assert_true(txn_step(f->t, &due));
    assert_false(poll->done);
    assert_true(txn_step(f->t, &due));
    assert_int_equal(poll->got, 1);
    fx_expect(poll, ERR_OK);
    for (int i = 0; i < N; i++)
        fx_expect(k[i], ERR_OK);
    fx_free(f);
}

static err_t run_poll_all(struct ctx *c)
{
    struct fx_call *k = c->call->arg;
    const int64_t keys[] = { 1, 2, 3, 2 };

    k->runs++;
    k->saw_timeout = c->call->timed_out;
    if (k->runs > 1)
        return ERR_OK;
    return txn_park(c, SIG_RUN_ENDED, keys, COUNT_OF(keys), k->deadline);
}

static err_t run_end(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    signal_add(c, SIG_RUN_ENDED, k->key);
    return ERR_OK;
}

static void other_signals_wake_all_under_any_of_their_keys(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);

    (void)state;
    for (int64_t key = 1; key <= 3; key++) {
        struct fx_call *a = fx_submit(f, CALL_WRITE, run_poll_all, 0);
        struct fx_call *b = fx_submit(f, CALL_READ, run_poll_all, 0);

        fx_settle(f);
        assert_int_equal(fx_stats(f).parked, 2);
        (void)fx_now(f, CALL_WRITE, run_end, 4);
        fx_settle(f);
        assert_int_equal(fx_stats(f).parked, 2);
        (void)fx_now(f, CALL_WRITE, run_end, key);
        fx_settle(f);
        assert_int_equal(fx_stats(f).parked, 0);
        fx_expect(a, ERR_OK);
        fx_expect(b, ERR_OK);
    }
    fx_free(f);
}

static void a_parked_read_looks_after_the_commit(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *watch = fx_submit(f, CALL_READ, fx_run_watch, 1);
    struct fx_call *emit;

    (void)state;
    fx_settle(f);
    assert_int_equal(watch->parks, 1);
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    fx_settle(f);
    assert_int_equal(watch->got, 1000000);
    fx_expect(emit, ERR_OK);
    fx_expect(watch, ERR_OK);
    fx_free(f);
}

static void deadlines_run_the_call_again(void **state)
{
    enum { N = 50 };
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k[N];
    int64_t due;

    (void)state;
    for (int i = 0; i < N; i++) {
        k[i] = fx_call(f, i % 2 == 0 ? CALL_WRITE : CALL_READ,
                       i % 2 == 0 ? fx_run_poll : fx_run_watch, i);
        k[i]->deadline = 1000000 + 10 * (1 + (i * 7) % N); /* in no order */
        assert_int_equal(txn_submit(f->t, &k[i]->call), ERR_OK);
    }
    step(f, &due);
    assert_int_equal(fx_stats(f).parked, N);
    for (int done = 1; done <= N; done++) {
        int64_t before = due;

        assert_int_equal(due, 1000000 + 10 * done);
        f->clock.virtual_ms = due - 1;
        assert_int_equal(step(f, &due), 0);
        assert_int_equal(due, before);
        f->clock.virtual_ms = due;
        assert_int_equal(step(f, &due), 1);
        assert_int_equal(fx_stats(f).parked, N - done);
    }
    assert_int_equal(due, INT64_MAX);
    for (int i = 0; i < N; i++) {
        assert_int_equal(k[i]->runs, 2);
        if (i % 2 == 0)
            assert_true(k[i]->saw_timeout);
        fx_expect(k[i], ERR_OK);
    }
    fx_free(f);
}

/* Waits for one signal of its key. */
static err_t run_wait_once(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    return k->runs++ > 0 ? ERR_OK : txn_park(c, SIG_RUN_ENDED, &k->key, 1, 0);
}

/* Notes that it was here, in row 100, and waits. */
static err_t run_visitor(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    k->runs++;
    if (c->call->timed_out)
        return ERR_OK;
    TRY(db_exec(c, &fx_bump, ARGS(DB_INT(100)), NULL));
    signal_add(c, SIG_RUN_ENDED, 100);
    return txn_park(c, SIG_TIMER, NULL, 0, c->now_ms + 100);
}

static void what_a_call_wrote_before_it_parked_is_kept(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *watch, *k;
    int64_t start, due;

    (void)state;
    fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, 100), ERR_OK);
    start = fx_now(f, CALL_READ, fx_run_get, 100);
    watch = fx_call(f, CALL_READ, run_wait_once, 100);
    assert_int_equal(txn_submit(f->t, &watch->call), ERR_OK);
    fx_settle(f);
    k = fx_submit(f, CALL_WRITE, run_visitor, 0);
    db_fault_at(3, ERR_UNAVAILABLE); /* begin, update, commit: it looks in again */
    step(f, &due);
    assert_int_equal(k->runs, 2);
    fx_expect(watch, ERR_OK);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_get, 100), start + 1);
    f->clock.virtual_ms = due;
    step(f, &due);
    fx_expect(k, ERR_OK);
    fx_free(f);
}

/* Lets n random deadlines in, takes some of them out again, and follows the rest in their order. */
static void deadlines_come_and_leave(struct rng *rng)
{
    enum { N = 120 };
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k[N];
    int64_t due;

    for (int i = 0; i < N; i++) {
        k[i] = fx_call(f, CALL_WRITE, fx_run_poll, i);
        k[i]->deadline = 1000001 + (int64_t)rng_below(rng, 10000);
        assert_int_equal(txn_submit(f->t, &k[i]->call), ERR_OK);
    }
    step(f, &due);
    for (size_t left = N; left > 0; left = fx_stats(f).parked) {
        int64_t first = INT64_MAX;

        txn_cancel(f->t, &k[rng_below(rng, N)]->call);
        for (int i = 0; i < N; i++) {
            if (!k[i]->done && k[i]->deadline < first)
                first = k[i]->deadline;
        }
        assert_false(txn_step(f->t, &due));
        assert_int_equal(due, first);
        if (first == INT64_MAX)
            break;
        f->clock.virtual_ms = due;
        step(f, &due);
        assert_true(fx_stats(f).parked < left);
    }
    for (int i = 0; i < N; i++)
        fx_drop(k[i]);
    fx_free(f);
}

/* Calls leave the heap from its middle; whatever is left still comes up in order. */
static void deadlines_stay_in_order_when_others_leave(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    for (int i = 0; i < 30; i++)
        deadlines_come_and_leave(&rng);
}

static err_t run_sleeper(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    k->runs++;
    k->parks += c->call->timed_out;
    return k->parks == 3 ? ERR_OK : txn_park(c, SIG_TIMER, NULL, 0, c->now_ms + 100);
}

static void a_call_may_park_on_time_alone_again_and_again(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k = fx_submit(f, CALL_WRITE, run_sleeper, 0);
    int64_t due;

    (void)state;
    step(f, &due);
    for (int i = 1; i <= 3; i++) {
        assert_false(k->done);
        assert_int_equal(due, 1000000 + 100 * i);
        f->clock.virtual_ms = due;
        step(f, &due);
    }
    fx_expect(k, ERR_OK);
    fx_free(f);
}

static void a_call_may_be_handed_in_for_later(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k = fx_call(f, CALL_WRITE, fx_run_insert, 1);
    struct fx_call *gone = fx_call(f, CALL_WRITE, fx_run_insert, 2);
    int64_t due;

    (void)state;
    assert_int_equal(txn_submit_after(f->t, &k->call, 500), ERR_OK);
    assert_int_equal(txn_submit_after(f->t, &gone->call, 500), ERR_OK);
    txn_cancel(f->t, &gone->call);
    fx_expect(gone, ERR_CANCELED);
    assert_int_equal(step(f, &due), 0);
    assert_int_equal(due, 1000500);
    assert_int_equal(f->begun, 0); /* no transaction before its time */
    f->clock.virtual_ms = due;
    step(f, &due);
    assert_int_equal(k->runs, 1);
    fx_expect(k, ERR_OK);
    fx_free(f);
}

static void the_deadline_of_the_request_ends_a_wait(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k = fx_call(f, CALL_WRITE, fx_run_poll, 1);
    int64_t due;

    (void)state;
    k->deadline = 1000900;
    k->call.ctx.deadline_ms = 1000500;
    assert_int_equal(txn_submit(f->t, &k->call), ERR_OK);
    step(f, &due);
    assert_int_equal(due, 1000500);
    f->clock.virtual_ms = due;
    step(f, &due);
    assert_int_equal(k->runs, 1);
    fx_expect(k, ERR_DEADLINE);
    fx_free(f);
}

static void a_cancelled_call_leaves_the_table(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *b = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *early, *emit;

    (void)state;
    fx_settle(f);
    txn_cancel(f->t, &a->call);
    assert_int_equal(fx_stats(f).parked, 1);
    fx_expect(a, ERR_CANCELED);
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    fx_settle(f);
    fx_expect(emit, ERR_OK);
    fx_expect(b, ERR_OK);

    /* Cancelled before it ran: it runs, and ends instead of parking. */
    early = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 7);
    txn_cancel(f->t, &early->call);
    txn_cancel(f->t, &emit->call);
    fx_settle(f);
    assert_int_equal(early->runs, 1);
    fx_expect(early, ERR_CANCELED);
    fx_expect(emit, ERR_OK);
    assert_int_equal(fx_stats(f).parked, 0);
    fx_free(f);
}

/* The wake-up was of a batch that was rolled back: nothing happened, the poll still waits. */
static void a_rolled_back_wake_up_leaves_no_trace(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *emit, *bad;

    (void)state;
    fx_settle(f);
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 2);
    bad = fx_call(f, CALL_WRITE, fx_run_insert, 1);
    bad->fail = ERR_CONFLICT;
    bad->fails = -1;
    assert_int_equal(txn_submit(f->t, &bad->call), ERR_OK);
    fx_settle(f);
    fx_expect(emit, ERR_OK);
    fx_expect(bad, ERR_CONFLICT);
    assert_false(poll->done);
    assert_int_equal(fx_stats(f).parked, 1);
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    fx_settle(f);
    fx_expect(emit, ERR_OK);
    assert_int_equal(poll->got, 1);
    fx_expect(poll, ERR_OK);
    fx_free(f);
}

/* The woken poll takes the row and then fails: the emit stands, the poll runs alone and may
 * succeed. */
static void a_doomed_poll_does_not_take_the_emit_with_it(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *emit;

    (void)state;
    fx_settle(f);
    poll->fail = ERR_INTERNAL;
    poll->fails = 1;
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    fx_settle(f);
    fx_expect(emit, ERR_OK);
    assert_int_equal(poll->got, 1);
    fx_expect(poll, ERR_OK);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 0);
    fx_free(f);
}

static void stopping_answers_who_is_parked(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *b = fx_submit(f, CALL_READ, fx_run_watch, 1);
    struct fx_call *emit, *poll, *late = fx_call(f, CALL_WRITE, fx_run_insert, 8);

    (void)state;
    fx_settle(f);
    emit = fx_submit(f, CALL_WRITE, fx_run_insert, 7);
    poll = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    txn_stop(f->t);
    fx_expect(a, ERR_UNAVAILABLE);
    fx_expect(b, ERR_UNAVAILABLE);
    fx_expect(poll, ERR_UNAVAILABLE);
    fx_expect(emit, ERR_OK);
    assert_int_equal(txn_submit(f->t, &late->call), ERR_UNAVAILABLE);
    fx_drop(late);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parked_poll_shares_the_commit_that_made_its_work),
        cmocka_unit_test(a_poll_parked_in_a_batch_is_woken_by_the_same_batch),
        cmocka_unit_test(as_many_wake_as_there_were_signals_oldest_first),
        cmocka_unit_test(who_parks_again_keeps_its_place),
        cmocka_unit_test(a_wake_up_that_ends_in_an_error_is_handed_on),
        cmocka_unit_test(a_queued_wake_up_is_handed_on_as_well),
        cmocka_unit_test(a_full_batch_wakes_in_the_next_one),
        cmocka_unit_test(other_signals_wake_all_under_any_of_their_keys),
        cmocka_unit_test(a_parked_read_looks_after_the_commit),
        cmocka_unit_test(deadlines_run_the_call_again),
        cmocka_unit_test(what_a_call_wrote_before_it_parked_is_kept),
        cmocka_unit_test(deadlines_stay_in_order_when_others_leave),
        cmocka_unit_test(a_call_may_park_on_time_alone_again_and_again),
        cmocka_unit_test(a_call_may_be_handed_in_for_later),
        cmocka_unit_test(the_deadline_of_the_request_ends_a_wait),
        cmocka_unit_test(a_cancelled_call_leaves_the_table),
        cmocka_unit_test(a_rolled_back_wake_up_leaves_no_trace),
        cmocka_unit_test(a_doomed_poll_does_not_take_the_emit_with_it),
        cmocka_unit_test(stopping_answers_who_is_parked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
