/* Random scenes, single-threaded and repeatable: inserts, polls, watches, refusals, calls that fail
 * after writing, clients that go away, deadlines and failing database calls. After each scene
 * everything adds up: every call was answered once, every row that an answer promised is there or
 * was handed to exactly one poll, and nobody waits for a row that is there. */
#include "base/vec.h"
#include "txn/calls_fixture.h"

enum { SEEDS = 60, STEPS = 1500, KEYS = 8 };

struct scene {
    struct fx *f;
    struct rng rng;
    struct vec calls;
    int64_t made, taken;
};

/* Inserts, unless its key is there. */
static err_t run_emit(struct ctx *c)
{
    struct fx_call *k = c->call->arg;

    TRY(fx_run_get(c));
    if (k->got >= 0)
        return err_set(c, ERR_EXISTS, "it is there already");
    return fx_run_insert_and_end(c);
}

static void add(struct scene *s, enum call_kind kind, err_t (*run)(struct ctx *c), bool fails)
{
    struct fx_call *k = fx_call(s->f, kind, run, (int64_t)rng_below(&s->rng, KEYS));

    if (rng_below(&s->rng, 2) == 0)
        k->deadline = s->f->clock.virtual_ms + (int64_t)rng_below(&s->rng, 500);
    k->fail = ERR_CONFLICT;
    k->fails = fails ? (int)rng_below(&s->rng, 3) : 0;
    vec_push(&s->calls, k);
    assert_int_equal(txn_submit(s->f->t, &k->call), ERR_OK);
}

static void act(struct scene *s)
{
    static const err_t errors[] = { ERR_UNAVAILABLE, ERR_RETRY, ERR_INTERNAL, ERR_EXISTS };
    struct fx_call *k;
    int64_t due;

    switch (rng_below(&s->rng, 12)) {
    case 0:
    case 1:
    case 2:
        add(s, CALL_WRITE, run_emit, rng_below(&s->rng, 4) == 0);
        break;
    case 3:
    case 4:
        add(s, CALL_WRITE, fx_run_poll, rng_below(&s->rng, 4) == 0);
        break;
    case 5:
        add(s, CALL_READ, fx_run_watch_all, false);
        break;
    case 6:
        add(s, CALL_WRITE, fx_run_refuse, false);
        break;
    case 7:
        k = s->calls.n == 0 ? NULL : s->calls.items[rng_below(&s->rng, s->calls.n)];
        if (k != NULL)
            txn_cancel(s->f->t, &k->call);
        break;
    case 8:
        s->f->clock.virtual_ms += (int64_t)rng_below(&s->rng, 20);
        break;
    case 9:
        db_fault_at(1 + (int64_t)rng_below(&s->rng, 12), errors[rng_below(&s->rng, 4)]);
        break;
    default:
        (void)txn_step(s->f->t, &due);
    }
}

static int64_t row(struct scene *s, int64_t key)
{
    return fx_now(s->f, CALL_READ, fx_run_get, key);
}

/* Counts what was promised, and frees who has been answered. */
static void collect(struct scene *s)
{
    for (size_t i = 0; i < s->calls.n;) {
        struct fx_call *k = s->calls.items[i];

        if (!k->done) {
            i++;
            continue;
        }
        if (k->call.result == ERR_OK && k->call.run == run_emit)
            s->made++;
        if (k->call.result == ERR_OK && k->call.run == fx_run_poll)
            s->taken += k->got;
        assert_true(k->call.result != ERR_RETRY && k->call.result != ERR_PARKED);
        fx_drop(k);
        vec_swap_remove(&s->calls, i);
    }
}

/* The earliest time that anybody waits for. */
static int64_t earliest(const struct scene *s)
{
    int64_t due = INT64_MAX;

    for (size_t i = 0; i < s->calls.n; i++) {
        const struct fx_call *k = s->calls.items[i];

        if (k->call.run == fx_run_poll && k->deadline != 0 && k->deadline < due)
            due = k->deadline;
    }
    return due;
}

static void check(struct scene *s)
{
    int64_t due = 0;

    db_fault_at(0, ERR_OK);
    fx_settle(s->f);
    collect(s);
    assert_false(txn_step(s->f->t, &due));
    assert_int_equal(due, earliest(s));
    assert_true(due > s->f->clock.virtual_ms);
    assert_int_equal(fx_stats(s->f).waiting, 0);
    assert_int_equal(fx_stats(s->f).parked, s->calls.n);
    assert_int_equal(fx_now(s->f, CALL_READ, fx_run_count, 0), s->made - s->taken);
    for (size_t i = 0; i < s->calls.n; i++) {
        const struct fx_call *k = s->calls.items[i];

        assert_int_equal(row(s, k->key), -1);
    }
}

static void play(uint64_t seed)
{
    struct scene s = { .f = fx_new(FX_MEMORY, 0) };

    rng_seed(&s.rng, seed);
    for (int i = 0; i < STEPS; i++) {
        act(&s);
        if (i % 50 == 49)
            check(&s);
    }
    txn_stop(s.f->t);
    collect(&s);
    assert_int_equal(s.calls.n, 0);
    assert_true(s.made > 0);
    vec_done(&s.calls);
    fx_free(s.f);
}

static uint64_t last_seed;

static void every_scene_adds_up(void **state)
{
    const char *one = getenv("TXN_SIM_SEED");
    uint64_t from = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t to = one != NULL ? from : SEEDS;

    (void)state;
    for (last_seed = from; last_seed <= to; last_seed++)
        play(last_seed);
}

/* After a failure this is the one to play again. */
static int print_seed(void **state)
{
    (void)state;
    print_message("seeds played: up to %llu; TXN_SIM_SEED=n plays one\n",
                  (unsigned long long)last_seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_scene_adds_up, print_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
