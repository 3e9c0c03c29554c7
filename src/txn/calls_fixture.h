/* Calls of the tests: they insert, read, fail and wait; and how a test follows them. */
#pragma once

#include "txn/txn_fixture.h"

/* One call of a test; key, deadline and fail are what its function needs. */
struct fx_call {
    struct call call;
    struct arena arena;
    struct fx *fx;
    int64_t key;      /* row, or what it waits for */
    int64_t got;      /* what a read found */
    int64_t deadline; /* to park with */
    err_t fail;       /* returned after the write */
    int fails;        /* times to return it; negative: always */
    int runs, parks, order;
    atomic_bool done;
    bool saw_timeout, looked;
    bool here; /* done ran on the loop that it was for */
};

static const struct sql fx_insert = { "INSERT INTO txn_t (id, v) VALUES ($1, $2)" };
static const struct sql fx_count = { "SELECT count(*) FROM txn_t" };
static const struct sql fx_get = { "SELECT v FROM txn_t WHERE id = $1" };
static const struct sql fx_take = { "DELETE FROM txn_t WHERE id = $1" };
static const struct sql fx_lock = { "SELECT v FROM txn_t WHERE id = $1 {for_update}" };
static const struct sql fx_set = { "UPDATE txn_t SET v = $1 WHERE id = $2" };
static const struct sql fx_bump = { "UPDATE txn_t SET v = v + 1 WHERE id = $1" };

static inline struct fx_call *fx_of(struct ctx *c)
{
    return c->call->arg;
}

static inline err_t fx_fail(struct ctx *c)
{
    struct fx_call *k = fx_of(c);

    if (k->fails == 0)
        return ERR_OK;
    k->fails--;
    return err_set(c, k->fail, "as the test wants it");
}

/* Inserts its key, signals it, then fails if it shall. */
static inline err_t fx_run_insert(struct ctx *c)
{
    struct fx_call *k = fx_of(c);

    k->runs++;
    TRY(db_exec(c, &fx_insert, ARGS(DB_INT(k->key), DB_INT(c->now_ms)), NULL));
    ++*(int64_t *)c->batch;
    signal_add(c, SIG_RUN_READY, k->key);
    return fx_fail(c);
}

/* Fails before any write. */
static inline err_t fx_run_refuse(struct ctx *c)
{
    fx_of(c)->runs++;
    return err_set(c, ERR_CONFLICT, "refused");
}

static inline err_t fx_run_count(struct ctx *c)
{
    struct fx_call *k = fx_of(c);
    struct db_rows r = { 0 };

    k->runs++;
    TRY(db_query(c, &fx_count, ARGS_NONE, &r));
    k->got = db_row(&r) ? db_int(&r, 0) : -1;
    return db_end(&r);
}

/* The value of its key, or -1. */
static inline err_t fx_run_get(struct ctx *c)
{
    struct fx_call *k = fx_of(c);
    struct db_rows r = { 0 };

    k->runs++;
    TRY(db_query(c, &fx_get, ARGS(DB_INT(k->key)), &r));
    k->got = db_row(&r) ? db_int(&r, 0) : -1;
    return db_end(&r);
}

/* Like a poll: takes the row of its key, or waits until somebody made one. */
static inline err_t fx_run_poll(struct ctx *c)
{
    struct fx_call *k = fx_of(c);
    int64_t taken = 0;

    k->runs++;
    k->saw_timeout = c->call->timed_out;
    TRY(db_exec(c, &fx_take, ARGS(DB_INT(k->key)), &taken));
    k->got = taken;
    if (taken > 0)
        return fx_fail(c);
    if (c->call->timed_out)
        return ERR_OK;
    k->parks++;
    return txn_park(c, SIG_RUN_READY, &k->key, 1, k->deadline);
}

/* A READ that waits until its key is there. */
static inline err_t fx_run_watch(struct ctx *c)
{
    struct fx_call *k = fx_of(c);

    TRY(fx_run_get(c));
    if (k->got >= 0 || c->call->timed_out)
        return ERR_OK;
    k->parks++;
    return txn_park(c, SIG_RUN_READY, &k->key, 1, k->deadline);
}

/* The same, woken with all others that wait for the key. */
static inline err_t fx_run_watch_all(struct ctx *c)
{
    struct fx_call *k = fx_of(c);

    TRY(fx_run_get(c));
    return k->got >= 0 ? ERR_OK : txn_park(c, SIG_RUN_ENDED, &k->key, 1, 0);
}

static inline err_t fx_run_insert_and_end(struct ctx *c)
{
    TRY(fx_run_insert(c));
    signal_add(c, SIG_RUN_ENDED, fx_of(c)->key);
    return ERR_OK;
}

/* The disk fails in the commit of its batch. */
static inline err_t fx_run_break_commit(struct ctx *c)
{
    TRY(fx_run_insert(c));
    db_fault_at(1, ERR_FATAL);
    return ERR_OK;
}

static inline err_t fx_run_insert_then_get(struct ctx *c)
{
    TRY(fx_run_insert(c));
    return txn_next(c, CALL_READ, fx_run_get);
}

static inline void fx_done(struct call *call)
{
    struct fx_call *k = call->arg;
    struct fx *f = k->fx;

    mutex_lock(&f->lock);
    assert_false(k->done);
    k->done = true;
    k->order = ++f->done_n;
    cond_broadcast(&f->cond);
    mutex_unlock(&f->lock);
}

static inline struct fx_call *fx_call(struct fx *f, enum call_kind kind,
                                      err_t (*run)(struct ctx *c), int64_t key)
{
    struct fx_call *k = mem_zero(sizeof(*k));

    arena_init(&k->arena);
    call_init(&k->call, kind, run, k, &k->arena);
    k->call.done = fx_done;
    k->fx = f;
    k->key = key;
    k->got = -2;
    return k;
}

static inline struct fx_call *fx_submit(struct fx *f, enum call_kind kind,
                                        err_t (*run)(struct ctx *c), int64_t key)
{
    struct fx_call *k = fx_call(f, kind, run, key);

    assert_int_equal(txn_submit(f->t, &k->call), ERR_OK);
    return k;
}

static inline void fx_drop(struct fx_call *k)
{
    arena_done(&k->arena);
    mem_free(k);
}

/* Single-threaded: steps until nothing is left to do. */
static inline void fx_settle(struct fx *f)
{
    int64_t due;

    while (txn_step(f->t, &due))
        ;
}

static inline err_t fx_wait(struct fx_call *k)
{
    if (k->fx->o.threads == 0)
        fx_settle(k->fx);
    mutex_lock(&k->fx->lock);
    while (!k->done)
        assert_true(cond_wait_for(&k->fx->cond, &k->fx->lock, 60000));
    mutex_unlock(&k->fx->lock);
    return k->call.result;
}

/* Waits for its end, checks it and frees it. */
static inline void fx_expect(struct fx_call *k, err_t e)
{
    err_t got = fx_wait(k);

    if (got != e)
        print_error("text: %s\n", k->call.ctx.err.text);
    assert_int_equal(got, e);
    fx_drop(k);
}

/* Runs a function of this file to its end and returns what it got. */
static inline int64_t fx_now(struct fx *f, enum call_kind kind, err_t (*run)(struct ctx *c),
                             int64_t key)
{
    struct fx_call *k = fx_call(f, kind, run, key);
    int64_t got;

    assert_int_equal(txn_run(f->t, &k->call), ERR_OK);
    got = k->got;
    fx_drop(k);
    return got;
}

static inline struct txn_stats fx_stats(struct fx *f)
{
    struct txn_stats s = { 0 };

    txn_stats(f->t, &s);
    return s;
}

/* Threads: waits until that many calls are parked. */
static inline void fx_await_parked(struct fx *f, size_t n)
{
    for (int i = 0; fx_stats(f).parked != n; i++) {
        assert_true(i < 30000);
        (void)usleep(1000);
    }
}

static inline void fx_await_fatal(struct fx *f)
{
    mutex_lock(&f->lock);
    while (f->fatals == 0)
        assert_true(cond_wait_for(&f->cond, &f->lock, 60000));
    mutex_unlock(&f->lock);
}
