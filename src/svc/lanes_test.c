/* Lanes through the use cases: what a claim costs beside full ones, slices after a raised limit,
 * and rules that need two workers and a lost lease. On PostgreSQL too when IRONFLOW_TEST_PG_URL
 * names one. LANED=n: so many runs in full lanes. */
#include "svc/svc_fixture.h"

static void lane_fn(struct sim *s, const char *limit)
{
    sim_function(s, str_z(&s->arena, str_printf(&s->arena,
                                                "{\"id\":\"lane\",\"triggers\":[{\"event\":"
                                                "\"lane.go\"}],\"concurrency\":{\"limit\":%s,"
                                                "\"key\":\"k\"}}",
                                                limit)));
}

/* Nanoseconds of a claim of one run that is ready, least of several rounds. */
static int64_t claim_cost(struct sim *s)
{
    int64_t best = INT64_MAX;

    for (int round = 0; round < 5; round++) {
        enum { CLAIMS = 200 };
        int64_t spent = 0;

        for (int i = 0; i < CLAIMS; i++)
            (void)sim_emit(s, "plain.go", "{}");
        for (int i = 0; i < CLAIMS; i++) {
            int64_t at = clock_mono_ns();
            struct op *job = sim_take(s, "w");

            spent += clock_mono_ns() - at;
            sim_ok(s, sim_complete(job, "{}"));
        }
        best = spent / CLAIMS < best ? spent / CLAIMS : best;
    }
    return best;
}

static void full_lanes_do_not_change_the_cost_of_a_claim(void **state)
{
    struct sim *s = *state;
    const char *wanted = getenv("LANED");
    int64_t n = wanted ? strtol(wanted, NULL, 10) : 5000, before, after;

    sim_function(s, "{\"id\":\"plain\",\"triggers\":[{\"event\":\"plain.go\"}]}");
    lane_fn(s, "1");
    sim_worker(s, "w", "[\"plain\",\"lane\"]", 1000);
    (void)claim_cost(s); /* warms up */
    before = claim_cost(s);
    for (int64_t i = 0; i < n; i++)
        (void)sim_emit(s, "lane.go", i % 2 ? "{\"k\":1}" : "{\"k\":2}");
    assert_int_equal(sim_poll(s, "w", 10)->n, 2);
    after = claim_cost(s);
    for (int i = 0; i < 5 && after >= before * 2; i++) /* others may have the processor */
        after = claim_cost(s);
    print_message("a claim: %lld ns, with %lld runs in full lanes: %lld ns\n", (long long)before,
                  (long long)n, (long long)after);
    assert_true(after < before * 2);
}

/* Takes and completes whatever is ready, until nothing is; returns how many. */
static int64_t work(struct sim *s, const char *worker)
{
    int64_t done = 0;

    for (;;) {
        struct op *poll = sim_poll(s, worker, 100);

        if (poll->n == 0)
            return done;
        for (size_t i = 0; i < poll->n; i++, done++)
            sim_ok(s, sim_complete(sim_job(s, poll, i), "{}"));
    }
}

static void a_raised_limit_admits_in_slices(void **state)
{
    struct sim *s = *state;
    struct op *op;
    int slices = 0;

    lane_fn(s, "1");
    sim_worker(s, "w", "[\"lane\"]", 1000);
    for (int i = 0; i < 600; i++)
        (void)sim_emit(s, "lane.go", "{}");
    op = sim_poll(s, "w", 256);
    assert_int_equal(op->n, 1);
    lane_fn(s, "500");
    while (sim_upkeep_once(s, svc_lanes_sweep))
        slices++;
    assert_true(slices >= 2);
    assert_int_equal(sim_poll(s, "w", 256)->n, 256);
    assert_int_equal(sim_poll(s, "w", 256)->n, 243); /* 500 with the first one */
    assert_int_equal(sim_poll(s, "w", 256)->n, 0);
    /* each that leaves admits one */
    sim_ok(s, sim_complete(sim_job(s, op, 0), "{}"));
    assert_int_equal(sim_poll(s, "w", 256)->n, 1);
    assert_false(sim_upkeep_once(s, svc_lanes_sweep));
}

static void every_run_of_a_lane_is_served(void **state)
{
    struct sim *s = *state;

    lane_fn(s, "3");
    sim_worker(s, "w", "[\"lane\"]", 1000);
    for (int i = 0; i < 100; i++)
        (void)sim_emit(s, "lane.go", i % 3 ? "{\"k\":\"a\"}" : "{\"k\":\"b\"}");
    assert_int_equal(work(s, "w"), 100);
    /* without a limit nobody waits, nor does anybody who waited */
    for (int i = 0; i < 10; i++)
        (void)sim_emit(s, "lane.go", "{}");
    assert_int_equal(sim_poll(s, "w", 100)->n, 3);
    sim_function(s, "{\"id\":\"lane\",\"triggers\":[{\"event\":\"lane.go\"}]}");
    while (sim_upkeep_once(s, svc_lanes_sweep))
        ;
    assert_int_equal(sim_poll(s, "w", 100)->n, 7);
}

/* A slice that admits runs to actors sends them on into the lane that it admits from next. */
static void a_slice_counts_whom_it_sent_into_a_lane(void **state)
{
    struct sim *s = *state;

    sim_function(s, "{\"id\":\"act\",\"triggers\":[{\"event\":\"act.go\"}],"
                    "\"actorKey\":\"user\",\"concurrency\":{\"limit\":1}}");
    sim_worker(s, "w", "[\"act\"]", 1000);
    for (int i = 0; i < 300; i++)
        (void)sim_emit(s, "act.go", "{\"user\":\"ann\"}");
    for (int i = 0; i < 5; i++)
        (void)sim_emit(s, "act.go",
                       str_z(&s->arena, str_printf(&s->arena, "{\"user\":\"bob%d\"}", i)));
    sim_function(s, "{\"id\":\"act\",\"triggers\":[{\"event\":\"act.go\"}],"
                    "\"concurrency\":{\"limit\":1000}}");
    while (sim_upkeep_once(s, svc_lanes_sweep))
        ;
    assert_int_equal(work(s, "w"), 305);
}

/* The owner of an actor is gone: after its time the next worker takes over. */
static void an_actor_outlives_its_worker(void **state)
{
    struct sim *s = *state;
    struct op *job;

    sim_function(s, "{\"id\":\"act\",\"triggers\":[{\"event\":\"act.go\"}],"
                    "\"actorKey\":\"user\"}");
    sim_worker(s, "a", "[\"act\"]", 10);
    sim_worker(s, "b", "[\"act\"]", 10);
    (void)sim_emit(s, "act.go", "{\"user\":\"ann\"}");
    job = sim_take(s, "a");
    sim_ok(s, sim_ack(job));
    (void)sim_emit(s, "act.go", "{\"user\":\"ann\"}");
    sim_ok(s, sim_complete(job, "{}"));
    assert_int_equal(sim_poll(s, "b", 10)->n, 0);
    for (int i = 0; i < 10; i++) { /* b gives signs of life, a none */
        assert_int_equal(sim_poll(s, "b", 10)->n, i < 9 ? 0 : 1);
        sim_pass(s, 10500);
    }
}

/* A lost lease frees the slot; who comes back late may finish, but not run beside another. */
static void a_lost_lease_frees_the_slot(void **state)
{
    struct sim *s = *state;
    struct op *first, *second;
    int64_t a, b;

    lane_fn(s, "1");
    sim_worker(s, "w", "[\"lane\"]", 10);
    a = sim_emit(s, "lane.go", "{}");
    b = sim_emit(s, "lane.go", "{}");
    first = sim_take(s, "w");
    assert_int_equal(first->id, a);
    sim_ok(s, sim_ack(first));
    sim_worker(s, "v", "[\"lane\"]", 10);
    sim_pass(s, 90001);
    sim_worker(s, "v", "[\"lane\"]", 10);
    second = sim_take(s, "v");
    assert_int_equal(second->id, b);
    sim_ok(s, sim_ack(second));
    sim_ok(s, sim_progress(first, 'a', 1));
    assert_int_equal(sim_get(s, a).status, RUN_WAITING);
    sim_ok(s, sim_ack(first));
    assert_int_equal(sim_get(s, a).status, RUN_WAITING);
    sim_pass(s, 30001); /* the grace is over: it stands in line */
    assert_int_equal(sim_get(s, a).status, RUN_PENDING);
    assert_int_equal(sim_poll(s, "v", 10)->n, 0);
    sim_ok(s, sim_complete(first, "1"));
    assert_int_equal(sim_get(s, a).status, RUN_COMPLETED);
    sim_ok(s, sim_complete(second, "2"));
    assert_int_equal(sim_get(s, b).status, RUN_COMPLETED);
    (void)sim_emit(s, "lane.go", "{}");
    sim_worker(s, "v", "[\"lane\"]", 10);
    assert_int_equal(sim_poll(s, "v", 10)->n, 1);
}

static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, sim_setup, sim_teardown)
    T(full_lanes_do_not_change_the_cost_of_a_claim),
    T(a_raised_limit_admits_in_slices),
    T(every_run_of_a_lane_is_served),
    T(a_slice_counts_whom_it_sent_into_a_lane),
    T(an_actor_outlives_its_worker),
    T(a_lost_lease_frees_the_slot),
};

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
