/* Threads on SQLite: many calls in few commits, every reply after its commit, and a clean end. */
#include "txn/calls_fixture.h"

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

static void a_memory_database_is_served_by_the_writer_alone(void **state)
{
    struct fx *f = fx_new(FX_MEMORY, 3);

    (void)state;
    for (int64_t i = 1; i <= 200; i++) {
        struct fx_call *k = fx_submit(f, CALL_WRITE, fx_run_insert_then_get, i);

        assert_int_equal(fx_wait(k), ERR_OK);
        assert_true(k->got > 0);
        fx_drop(k);
        assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), i);
    }
    fx_free(f);
}

/* Holds the writer until it is let go, so that calls pile up behind it. */
static err_t run_hold(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    mutex_lock(&k->fx->lock);
    while (k->fx->hold)
        cond_wait(&k->fx->cond, &k->fx->lock);
    mutex_unlock(&k->fx->lock);
    return ERR_OK;
}

static void let_go(struct fx *f)
{
    mutex_lock(&f->lock);
    f->hold = false;
    cond_broadcast(&f->cond);
    mutex_unlock(&f->lock);
}

static void too_many_calls_are_refused_and_none_is_half_done(void **state)
{
    enum { N = 5000, MAX = 4096 };
    struct fx *f = fx_new(FX_FILE, 2);
    struct fx_call **k = mem_zero(N * sizeof(*k));
    struct fx_call *hold;
    int64_t accepted = 0;

    (void)state;
    f->hold = true;
    hold = fx_submit(f, CALL_WRITE, run_hold, 0);
    for (int i = 0; i < N; i++) {
        err_t e;

        k[i] = fx_call(f, CALL_WRITE, fx_run_insert, i);
        e = txn_submit(f->t, &k[i]->call);
        if (e == ERR_OK) {
            accepted++;
            continue;
        }
        assert_int_equal(e, ERR_UNAVAILABLE);
        assert_str(err_text(&k[i]->call.ctx, e), "too many requests are waiting");
        fx_drop(k[i]);
        k[i] = NULL;
    }
    assert_int_equal(accepted, MAX - 1); /* the one that holds the writer waits, too */
    assert_int_equal(fx_stats(f).rejected, N - (MAX - 1));
    let_go(f);
    fx_expect(hold, ERR_OK);
    for (int i = 0; i < N; i++) {
        if (k[i] != NULL)
            fx_expect(k[i], ERR_OK);
    }
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), accepted);
    assert_int_equal(fx_stats(f).waiting, 0);
    mem_free(k);
    fx_free(f);
}

/* ---- threads that look for what others wrote ------------------------------------------------- */

struct looker {
    struct fx *f;
    pthread_t thread;
    int64_t from, n;
    int64_t missed;
};

static void *look(void *arg)
{
    struct looker *l = arg;

    for (int64_t i = 0; i < l->n; i++) {
        struct fx_call *k = fx_call(l->f, CALL_WRITE, fx_run_insert, l->from + i);

        if (txn_run(l->f->t, &k->call) != ERR_OK)
            l->missed++;
        fx_drop(k);
        k = fx_call(l->f, CALL_READ, fx_run_get, l->from + i);
        if (txn_run(l->f->t, &k->call) != ERR_OK || k->got < 0)
            l->missed++;
        fx_drop(k);
    }
    return NULL;
}

static void every_thread_reads_what_it_wrote(void **state)
{
    enum { THREADS = 6, EACH = 200 };
    struct fx *f = fx_new(FX_FILE, 3);
    struct looker l[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        l[i] = (struct looker){ .f = f, .from = (int64_t)i * EACH, .n = EACH };
        thread_start(&l[i].thread, "look", look, &l[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(l[i].thread);
        assert_int_equal(l[i].missed, 0);
    }
    assert_int_equal(fx_now(f, CALL_READ, fx_run_count, 0), THREADS * EACH);
    fx_free(f);
}

/* Parked READs race with the commits that end their wait. */
static void no_signal_is_missed_while_a_read_parks(void **state)
{
    enum { ROUNDS = 100, WATCHERS = 8 };
    struct fx *f = fx_new(FX_FILE, 3);

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct fx_call *watch[WATCHERS], *emit = NULL;

        for (int j = 0; j < WATCHERS; j++) {
            watch[j] = fx_submit(f, CALL_READ, fx_run_watch_all, i);
            if (j == i % WATCHERS)
                emit = fx_submit(f, CALL_WRITE, fx_run_insert_and_end, i);
        }
        for (int j = 0; j < WATCHERS; j++)
            fx_expect(watch[j], ERR_OK);
        fx_expect(emit, ERR_OK);
    }
    assert_int_equal(fx_stats(f).parked, 0);
    fx_free(f);
}

/* Looks, finds nothing, and is held up until the write is done: its signal came before the park. */
static err_t run_slow_watch(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    TRY(fx_run_get(c));
    mutex_lock(&k->fx->lock);
    k->looked = true;
    cond_broadcast(&k->fx->cond);
    while (k->fx->hold)
        cond_wait(&k->fx->cond, &k->fx->lock);
    mutex_unlock(&k->fx->lock);
    return k->got >= 0 ? ERR_OK : txn_park(c, SIG_RUN_READY, &k->key, 1, 0);
}

static void a_signal_between_look_and_park_is_not_missed(void **state)
{
    struct fx *f = fx_new(FX_FILE, 2);
    struct fx_call *watch;

    (void)state;
    f->hold = true;
    watch = fx_submit(f, CALL_READ, run_slow_watch, 1);
    mutex_lock(&f->lock);
    while (!watch->looked)
        assert_true(cond_wait_for(&f->cond, &f->lock, 60000));
    mutex_unlock(&f->lock);
    fx_expect(fx_submit(f, CALL_WRITE, fx_run_insert, 1), ERR_OK);
    let_go(f);
    fx_expect(watch, ERR_OK);
    fx_free(f);
}

static void a_deadline_passes_by_the_real_clock(void **state)
{
    struct fx *f = fx_new(FX_FILE, 1);
    int64_t start = clock_now(clock_system());
    struct fx_call *k[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        k[i] = fx_call(f, i == 0 ? CALL_WRITE : CALL_READ, i == 0 ? fx_run_poll : fx_run_watch, 1);
        k[i]->deadline = start + 30;
        assert_int_equal(txn_submit(f->t, &k[i]->call), ERR_OK);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fx_wait(k[i]), ERR_OK);
        assert_true(clock_now(clock_system()) >= start + 30);
        fx_drop(k[i]);
    }
    fx_free(f);
}

/* ---- loops ----------------------------------------------------------------------------------- */

static void *run_loop(void *loop)
{
    loop_run(loop);
    return NULL;
}

static void on_loop_done(struct call *call)
{
    struct fx_call *k = call->arg;

    k->here = loop_here(call->loop);
    fx_done(call);
}

static void replies_arrive_on_their_loops_in_order(void **state)
{
    enum { LOOPS = 3, N = 600 };
    struct fx *f = fx_new(FX_FILE, 2);
    struct loop *loop[LOOPS];
    pthread_t thread[LOOPS];
    struct fx_call *k[N];
    int last[LOOPS] = { 0 };

    (void)state;
    for (int i = 0; i < LOOPS; i++) {
        loop[i] = loop_new();
        thread_start(&thread[i], "loop", run_loop, loop[i]);
    }
    for (int i = 0; i < N; i++) {
        k[i] = fx_call(f, CALL_WRITE, fx_run_insert, i);
        k[i]->call.loop = loop[i % LOOPS];
        k[i]->call.done = on_loop_done;
        assert_int_equal(txn_submit(f->t, &k[i]->call), ERR_OK);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(fx_wait(k[i]), ERR_OK);
        assert_true(k[i]->here);
        assert_true(k[i]->order > last[i % LOOPS]);
        last[i % LOOPS] = k[i]->order;
        fx_drop(k[i]);
    }
    for (int i = 0; i < LOOPS; i++) {
        loop_stop(loop[i]);
        thread_join(thread[i]);
        loop_free(loop[i]);
    }
    fx_free(f);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void a_cancel_from_another_thread_ends_a_wait(void **state)
{
    struct fx *f = fx_new(FX_FILE, 2);
    struct fx_call *a = fx_submit(f, CALL_WRITE, fx_run_poll, 1);
    struct fx_call *b = fx_submit(f, CALL_READ, fx_run_watch, 1);

    (void)state;
    fx_await_parked(f, 2);
    txn_cancel(f->t, &a->call);
    txn_cancel(f->t, &b->call);
    fx_expect(a, ERR_CANCELED);
    fx_expect(b, ERR_CANCELED);
    assert_int_equal(fx_stats(f).parked, 0);
    fx_free(f);
}

static void stopping_finishes_what_waits_and_answers_the_parked(void **state)
{
    enum { N = 500 };
    struct fx *f = fx_new(FX_FILE, 2);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, -1);
    struct fx_call *watch = fx_submit(f, CALL_READ, fx_run_watch, -1);
    struct fx_call *k[N];

    (void)state;
    fx_await_parked(f, 2);
    for (int i = 0; i < N; i++)
        k[i] = fx_submit(f, CALL_WRITE, fx_run_insert_then_get, i);
    txn_stop(f->t);
    for (int i = 0; i < N; i++)
        fx_expect(k[i], ERR_OK);
    fx_expect(poll, ERR_UNAVAILABLE);
    fx_expect(watch, ERR_UNAVAILABLE);
    fx_free(f);
}

static void a_failed_disk_is_reported_once(void **state)
{
    struct fx *f = fx_new(FX_FILE, 2);
    struct fx_call *poll = fx_submit(f, CALL_WRITE, fx_run_poll, -1);

    (void)state;
    fx_await_parked(f, 1);
    fx_expect(fx_submit(f, CALL_WRITE, fx_run_break_commit, 1), ERR_UNAVAILABLE);
    fx_await_fatal(f);
    assert_int_equal(f->fatals, 1);
    txn_stop(f->t);
    fx_expect(poll, ERR_UNAVAILABLE);
    fx_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_seen_by_the_next_read),
        cmocka_unit_test(many_calls_share_a_commit),
        cmocka_unit_test(a_memory_database_is_served_by_the_writer_alone),
        cmocka_unit_test(too_many_calls_are_refused_and_none_is_half_done),
        cmocka_unit_test(every_thread_reads_what_it_wrote),
        cmocka_unit_test(no_signal_is_missed_while_a_read_parks),
        cmocka_unit_test(a_signal_between_look_and_park_is_not_missed),
        cmocka_unit_test(a_deadline_passes_by_the_real_clock),
        cmocka_unit_test(replies_arrive_on_their_loops_in_order),
        cmocka_unit_test(a_cancel_from_another_thread_ends_a_wait),
        cmocka_unit_test(stopping_finishes_what_waits_and_answers_the_parked),
        cmocka_unit_test(a_failed_disk_is_reported_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
