/* Batches, step by step in single-threaded mode: who shares a commit, who is kept out of it, and
 * what everybody is told when it fails. */
#include "txn/calls_fixture.h"

static void calls_of_one_step_share_one_commit(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k[100];
    int64_t due;

    (void)state;
    for (int i = 0; i < 100; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_insert, i);
    assert_false(k[0]->done);
    assert_true(txn_step(f->t, &due));
    assert_int_equal(due, INT64_MAX);
    assert_int_equal(fx_stats(f).batches, 1);
    assert_int_equal(f->committed, 1);
    assert_int_equal(f->signals, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(k[i]->order, i + 1);
        assert_int_equal(k[i]->runs, 1);
        fx_expect(k[i], ERR_OK);
    }
    assert_false(txn_step(f->t, &due));
    fx_free(f);
}

static void a_batch_ends_at_its_bounds(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k[600];

    (void)state;
    for (int i = 0; i < 600; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_insert, i);
    fx_settle(f);
    assert_int_equal(fx_stats(f).batches, 3); /* 256, 256, 88 */
    for (int i = 0; i < 600; i++) {
        assert_int_equal(k[i]->order, i + 1);
        fx_expect(k[i], ERR_OK);
    }
    for (int i = 0; i < 8; i++) {
        k[i] = fx_call(f, CALL_WRITE, fx_run_insert, 1000 + i);
        k[i]->call.bytes = 2 << 20;
        assert_int_equal(txn_submit(f->t, &k[i]->call), ERR_OK);
    }
    fx_settle(f);
    assert_int_equal(fx_stats(f).batches, 7); /* two at a time */
    for (int i = 0; i < 8; i++)
        fx_expect(k[i], ERR_OK);
    fx_free(f);
}

static struct fx_call *submit_failing(struct fx *f, int64_t key, err_t e, int times)
{
    struct fx_call *k = fx_call(f, CALL_WRITE, fx_run_insert, key);

    k->fail = e;
    k->fails = times;
    assert_int_equal(txn_submit(f->t, &k->call), ERR_OK);
    return k;
}

static void a_call_that_fails_after_writing_hurts_nobody(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    struct fx_call *refused = fx_submit(f, CALL_WRITE, fx_run_refuse, 0);
    struct fx_call *bad = submit_failing(f, 2, ERR_CONFLICT, -1);
    struct fx_call *b = fx_submit(f, CALL_WRITE, fx_run_insert, 3);
    int64_t due;

    (void)state;
    assert_true(txn_step(f->t, &due));
    assert_int_equal(a->runs, 2);
    assert_int_equal(b->runs, 1);
    assert_int_equal(bad->runs, 2);
    assert_int_equal(bad->order, 4); /* after all others */
    assert_str(err_text(&bad->call.ctx, ERR_CONFLICT), "as the test wants it");
    assert_int_equal(f->signals, 2);
    assert_int_equal(f->last_signals[0].key, 1);
    assert_int_equal(f->last_signals[1].key, 3);
    assert_int_equal(f->begun, 3);
    assert_int_equal(f->committed, 1);
    assert_int_equal(f->rolled_back, 2);
    fx_expect(a, ERR_OK);
    fx_expect(b, ERR_OK);
    fx_expect(bad, ERR_CONFLICT);
    fx_expect(refused, ERR_CONFLICT);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 2);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_get, 2), -1);
    fx_free(f);
}

static void a_doomed_call_may_succeed_alone(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *bad = submit_failing(f, 1, ERR_CONFLICT, 1);
    struct fx_call *good = fx_submit(f, CALL_WRITE, fx_run_insert, 2);

    (void)state;
    fx_settle(f);
    fx_expect(good, ERR_OK);
    fx_expect(bad, ERR_OK);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 2);
    fx_free(f);
}

/* However many are bad, the good ones get through and nobody runs more than a few times. */
static void many_doomed_calls_end_in_bounded_work(void **state)
{
    enum { N = 200 };
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k[N];

    (void)state;
    for (int i = 0; i < N; i++)
        k[i] = i % 2 == 0 ? submit_failing(f, i, ERR_INTERNAL, -1)
                          : fx_submit(f, CALL_WRITE, fx_run_insert, i);
    fx_settle(f);
    for (int i = 0; i < N; i++) {
        assert_true(k[i]->runs <= 6);
        fx_expect(k[i], i % 2 == 0 ? ERR_INTERNAL : ERR_OK);
    }
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), N / 2);
    assert_int_equal(f->signals, N / 2);
    fx_free(f);
}

static void a_dead_transaction_is_treated_like_a_doomed_one(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_insert, i);
    db_fault_at(3, ERR_UNAVAILABLE); /* begin, insert, insert */
    fx_settle(f);
    for (int i = 0; i < 3; i++)
        fx_expect(k[i], ERR_OK);
    assert_int_equal(f->rolled_back, 1);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 3);
    fx_free(f);
}

static void a_failed_commit_answers_all_with_unavailable(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    struct fx_call *refused = fx_submit(f, CALL_WRITE, fx_run_refuse, 0);
    struct fx_call *next = fx_submit(f, CALL_WRITE, fx_run_insert_then_get, 2);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 9);

    (void)state;
    db_fault_at(5, ERR_UNAVAILABLE); /* begin, two inserts, delete, commit */
    fx_settle(f);
    assert_str(err_text(&a->call.ctx, ERR_UNAVAILABLE), "injected fault");
    fx_expect(a, ERR_UNAVAILABLE);
    fx_expect(refused, ERR_UNAVAILABLE);
    fx_expect(next, ERR_UNAVAILABLE);
    assert_int_equal(f->signals, 0);
    assert_int_equal(f->fatals, 0);
    /* Who had parked looked again, since what it saw was undone, and waits. */
    assert_int_equal(poll->runs, 2);
    assert_int_equal(fx_stats(f).parked, 1);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 0);
    fx_expect(fx_submit(f, CALL_WRITE, fx_run_refuse, 0), ERR_CONFLICT);
    fx_free(f);
    fx_drop(poll);
}

static void a_lost_race_runs_the_batch_again(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    struct fx_call *b = fx_submit(f, CALL_WRITE, fx_run_insert, 2);

    (void)state;
    db_fault_at(4, ERR_RETRY); /* begin, insert, insert, commit */
    fx_settle(f);
    assert_int_equal(a->runs, 2);
    fx_expect(a, ERR_OK);
    fx_expect(b, ERR_OK);
    assert_int_equal(f->signals, 2);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 2);
    fx_free(f);
}

static void a_failed_disk_answers_and_ends_it_all(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, 9);
    struct fx_call *late = fx_call(f, CALL_WRITE, fx_run_insert, 2);

    (void)state;
    db_fault_at(4, ERR_FATAL); /* begin, insert, delete, commit */
    fx_settle(f);
    assert_int_equal(f->fatals, 1);
    fx_expect(a, ERR_UNAVAILABLE);
    fx_expect(poll, ERR_UNAVAILABLE);
    assert_int_equal(txn_submit(f->t, &late->call), ERR_UNAVAILABLE);
    fx_drop(late);
    fx_free(f);
}

static void a_hook_that_refuses_the_batch_makes_each_run_alone(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_insert, 1);
    struct fx_call *b = fx_submit(f, CALL_WRITE, fx_run_insert, 2);

    (void)state;
    f->before_commit_err = ERR_TOO_LARGE;
    fx_settle(f);
    fx_expect(a, ERR_OK);
    fx_expect(b, ERR_OK);
    assert_int_equal(f->signals, 2);
    assert_int_equal(f->committed, 2);

    a = fx_submit(f, CALL_WRITE, fx_run_insert, 3);
    f->before_commit_err = ERR_UNAVAILABLE;
    fx_settle(f);
    fx_expect(a, ERR_UNAVAILABLE);
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), 2);
    fx_free(f);
}

static void a_late_call_is_not_run(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k = fx_call(f, CALL_WRITE, fx_run_insert, 1);

    (void)state;
    k->call.ctx.deadline_ms = 1000500;
    assert_int_equal(txn_submit(f->t, &k->call), ERR_OK);
    f->clock.virtual_ms = 1000500;
    fx_settle(f);
    assert_int_equal(k->runs, 0);
    fx_expect(k, ERR_DEADLINE);
    fx_free(f);
}

static err_t run_time(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    k->got = c->now_ms;
    k->key = ctx_id(c);
    return ERR_OK;
}

static void time_and_ids_never_go_back(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *a = fx_submit(f, CALL_WRITE, run_time, 0);
    struct fx_call *b;

    (void)state;
    fx_settle(f);
    f->clock.virtual_ms -= 500;
    b = fx_submit(f, CALL_READ, run_time, 0);
    fx_settle(f);
    assert_int_equal(a->got, 1000000);
    assert_int_equal(b->got, 1000000);
    assert_true(b->key > a->key);
    fx_expect(a, ERR_OK);
    fx_expect(b, ERR_OK);
    fx_free(f);
}

static void a_read_follows_its_write_with_txn_next(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 0);
    struct fx_call *k = fx_submit(f, CALL_WRITE, fx_run_insert_then_get, 5);

    (void)state;
    fx_settle(f);
    assert_int_equal(k->got, 1000000);
    assert_int_equal(k->runs, 2);
    fx_expect(k, ERR_OK);
    fx_free(f);
}

/* Fails each of the database calls that the scene makes, with each error in turn: an answer of
 * ERR_OK and a row go together, always. */
static void an_error_at_any_place_leaves_nothing_half_done(void **state)
{
    static const err_t errors[] = { ERR_UNAVAILABLE, ERR_RETRY,  ERR_INTERNAL,
                                    ERR_UNCERTAIN,   ERR_EXISTS, ERR_FATAL };

    (void)state;
    for (size_t e = 0; e < COUNT_OF(errors); e++) {
        bool hit = true;

        for (int64_t at = 1; hit; at++) {
            struct fx *f = fx_new(FX_MEMORY, 0);
            struct fx_call *k[4];

            for (int i = 0; i < 3; i++)
                k[i] = fx_submit(f, CALL_WRITE, fx_run_insert, i);
            k[3] = submit_failing(f, 3, ERR_CONFLICT, -1);
            db_fault_at(at, errors[e]);
            fx_settle(f);
            hit = db_fault_calls() >= at;
            db_fault_at(0, ERR_OK);
            for (int i = 0; i < 4; i++) {
                bool ok = k[i]->call.result == ERR_OK;
                bool unsure = k[i]->call.result == ERR_UNCERTAIN;

                assert_true(k[i]->done);
                if (f->fatals == 0 && !unsure)
                    assert_int_equal(fx_now(f, CALL_READ, fx_run_get, i) >= 0, ok);
                assert_false(i == 3 && ok);
                fx_drop(k[i]);
            }
            assert_int_equal(f->fatals, hit && errors[e] == ERR_FATAL);
            fx_free(f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_of_one_step_share_one_commit),
        cmocka_unit_test(a_batch_ends_at_its_bounds),
        cmocka_unit_test(a_call_that_fails_after_writing_hurts_nobody),
        cmocka_unit_test(a_doomed_call_may_succeed_alone),
        cmocka_unit_test(many_doomed_calls_end_in_bounded_work),
        cmocka_unit_test(a_dead_transaction_is_treated_like_a_doomed_one),
        cmocka_unit_test(a_failed_commit_answers_all_with_unavailable),
        cmocka_unit_test(a_lost_race_runs_the_batch_again),
        cmocka_unit_test(a_failed_disk_answers_and_ends_it_all),
        cmocka_unit_test(a_hook_that_refuses_the_batch_makes_each_run_alone),
        cmocka_unit_test(a_late_call_is_not_run),
        cmocka_unit_test(time_and_ids_never_go_back),
        cmocka_unit_test(a_read_follows_its_write_with_txn_next),
        cmocka_unit_test(an_error_at_any_place_leaves_nothing_half_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
