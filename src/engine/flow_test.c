/* Lanes, debounce windows and ticks: arithmetic and names. */
#include "base/mem.h"
#include "base/test.h"
#include "engine/debounce.h"
#include "engine/lane.h"
#include "engine/tick.h"

#define MIN_MS 60000

static struct arena arena;
static struct ctx ctx;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    ctx = (struct ctx){ .arena = &arena, .env = 7, .now_ms = 1767225600000 };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static void values_are_found_however_the_path_is_written(void **state)
{
    static const struct {
        const char *path, *value;
    } rows[] = {
        { "customerId", "c1" }, { "data.customerId", "c1" }, { "event.data.customerId", "c1" },
        { "n", "42" },          { "deep.er", "x" },          { "missing", "" },
        { "nothing", "" },      { "data.real", "yes" },      { "", "" },
        { "event.n", "" },      { "text", "a\"b" },
    };
    str_t data = S("{\"customerId\":\"c1\",\"n\":42,\"deep\":{\"er\":\"x\"},\"nothing\":null,"
                   "\"data\":{\"real\":\"yes\"},\"text\":\"a\\\"b\"}");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_str(flow_value(&ctx, data, str_from(rows[i].path)), rows[i].value);
    assert_str(flow_value(&ctx, S("[1]"), S("a")), "");
}

static void keys_differ_by_kind_and_value(void **state)
{
    int64_t a = lane_key(LANE_ACTOR, S("x")), b = lane_key(LANE_LIMIT, S("x"));

    (void)state;
    assert_true(a > 0 && b > 0 && a != b);
    assert_int_equal(a & 3, LANE_ACTOR);
    assert_int_equal(b & 3, LANE_LIMIT);
    assert_true(lane_key(LANE_LIMIT, S("")) > 0);
    assert_true(lane_key(LANE_LIMIT, S("y")) != b);
    assert_true(lane_key(LANE_LIMIT, S("x")) == b);
}

static void a_lane_never_admits_more_than_its_limit(void **state)
{
    struct lane l = { .key = lane_key(LANE_LIMIT, S("")), .cap = 2 };
    struct job jobs[4] = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i].lane = l.key;
        assert_int_equal(lane_missing(&jobs[i]), LANE_LIMIT);
        assert_int_equal(lane_enter(&l, &jobs[i], LANE_LIMIT), i < 2);
    }
    assert_int_equal(lane_missing(&jobs[0]), LANE_NONE);
    assert_int_equal(l.admitted, 2);
    assert_int_equal(l.waiting, 2);
    assert_int_equal(lane_room(&l), 0);
    lane_leave(&l, &jobs[0], LANE_LIMIT);
    assert_int_equal(lane_room(&l), 1);
    /* who comes now stands behind those who wait */
    struct job late = { .lane = l.key };
    assert_false(lane_enter(&l, &late, LANE_LIMIT));
    lane_admit(&l, &jobs[2], LANE_LIMIT);
    assert_int_equal(jobs[2].waits, 0);
    assert_int_equal(l.admitted, 2);
    assert_int_equal(l.waiting, 2);
    l.cap = 10;
    assert_int_equal(lane_room(&l), 2);
    lane_abandon(&l, &late);
    lane_abandon(&l, &jobs[3]);
    lane_leave(&l, &jobs[1], LANE_LIMIT);
    lane_leave(&l, &jobs[2], LANE_LIMIT);
    assert_true(lane_idle(&l));
    l.worker = 5;
    assert_false(lane_idle(&l));
}

static void an_actor_comes_before_its_lane(void **state)
{
    struct function f = { .actor_key = S("user"), .concurrency = { .limit = 3, .key = S("team") } };
    struct run run = { 0 };
    struct job job = { 0 };

    (void)state;
    lane_assign(&ctx, &f, S("{\"user\":\"ann\",\"team\":\"red\"}"), &run, &job);
    assert_str(run.actor, "ann");
    assert_true(job.actor == lane_key(LANE_ACTOR, S("ann")));
    assert_true(job.lane == lane_key(LANE_LIMIT, S("red")));
    assert_int_equal(lane_missing(&job), LANE_ACTOR);
    job.holds = LANE_ACTOR;
    assert_int_equal(lane_missing(&job), LANE_LIMIT);
    assert_true(lane_limit(&f, LANE_ACTOR) == 1);
    assert_true(lane_limit(&f, LANE_LIMIT) == 3);
    assert_true(lane_limit(NULL, LANE_LIMIT) == LANE_UNLIMITED);
    /* no actor: no order; no key: the shared lane */
    run = (struct run){ 0 };
    job = (struct job){ 0 };
    lane_assign(&ctx, &f, S("{}"), &run, &job);
    assert_int_equal(job.actor, 0);
    assert_true(job.lane == lane_key(LANE_LIMIT, S("")));
}

static void a_burst_ends_a_period_after_its_last_event_but_not_behind_its_longest_wait(void **state)
{
    struct function f = { .key = 3,
                          .version = 2,
                          .debounce = { .period_ms = 1000, .max_wait_ms = 1500, .key = S("k") } };
    struct event e = { .id = 11, .data = S("{\"k\":\"x\"}") };
    struct debounce_entry entry = { 0 };
    int64_t at = ctx.now_ms;

    (void)state;
    debounce_arm(&ctx, &f, &e, &entry);
    assert_str(entry.key, "x");
    assert_int_equal(entry.env, 7);
    assert_int_equal(entry.fn_version, 2);
    assert_int_equal(entry.fires_at - at, 1000);
    ctx.now_ms = at + 400;
    e.id = 12;
    debounce_again(&ctx, &f, &e, &entry);
    assert_int_equal(entry.event_id, 12);
    assert_int_equal(entry.armed_at, at);
    assert_int_equal(entry.fires_at - at, 1400);
    ctx.now_ms = at + 900;
    debounce_again(&ctx, &f, &e, &entry);
    assert_int_equal(entry.fires_at - at, 1500);
    /* without a bound it moves on for ever */
    f.debounce.max_wait_ms = 0;
    ctx.now_ms = at + 100000;
    debounce_again(&ctx, &f, &e, &entry);
    assert_int_equal(entry.fires_at - at, 101000);
}

static void only_active_functions_tick(void **state)
{
    struct trigger triggers[] = { { .event = S("a.b") },
                                  { .cron = S("* * * * *"), .event = S("tick") },
                                  { .cron = S("*/30 * * * * *") },
                                  { .cron = S("@hourly"), .event = S("a.*") } };
    struct function f = { .key = 9,
                          .id = S("fn"),
                          .status = FN_ACTIVE,
                          .triggers = triggers,
                          .triggers_n = COUNT_OF(triggers) };
    struct tick *ticks;
    size_t n;

    (void)state;
    ctx.now_ms = 1767225600000 + 1;
    ticks_of(&ctx, &f, &ticks, &n);
    assert_int_equal(n, 3);
    assert_int_equal(ticks[0].ord, 1);
    assert_str(ticks[0].event, "tick");
    assert_int_equal(ticks[0].next_at, 1767225600000 + MIN_MS);
    assert_str(ticks[1].event, "ironflow.cron.fn");
    assert_int_equal(ticks[1].next_at, 1767225600000 + 30000);
    assert_str(ticks[2].event, "ironflow.cron.fn"); /* a pattern is no name */
    assert_int_equal(function_next_run(&f, ctx.now_ms), 1767225600000 + 30000);
    f.status = FN_PAUSED;
    ticks_of(&ctx, &f, &ticks, &n);
    assert_int_equal(n, 0);
    assert_int_equal(function_next_run(&f, ctx.now_ms), 0);
    assert_str(tick_data(&ctx, 1767225600000), "{\"scheduled_at\":\"2026-01-01T00:00:00.000Z\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_are_found_however_the_path_is_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(keys_differ_by_kind_and_value, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lane_never_admits_more_than_its_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_actor_comes_before_its_lane, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_burst_ends_a_period_after_its_last_event_but_not_behind_its_longest_wait, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(only_active_functions_tick, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
