/* Branches: their ids, what they remember, what the call returns, and that threads share nothing.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/fixture.h"

#define MANY 150 /* their steps still fit into one report */

/* What a branch is to do; rc is what it returns after its steps. */
struct plan {
    int rc;
    const char *error;
    bool sleeps;
    atomic_int *calls;
    atomic_int *others; /* the branch waits until so many have begun */
    int await;
};

static int count_step(struct ironflow_run *run, void *arg, const char **output)
{
    *output = ironflow_run_printf(run, "{\"call\":%d}", atomic_fetch_add((atomic_int *)arg, 1) + 1);
    return IRONFLOW_OK;
}

static int follow(struct ironflow_run *branch, void *arg)
{
    const struct plan *p = arg;
    const char *out = NULL;
    int rc;

    if (p->others != NULL) {
        atomic_fetch_add(p->others, 1);
        while (atomic_load(p->others) < p->await)
            sched_yield();
    }
    rc = ironflow_step_run(branch, "a", count_step, p->calls, &out);
    if (rc == IRONFLOW_OK && p->sleeps)
        rc = ironflow_sleep(branch, "cool", 1000);
    if (rc != IRONFLOW_OK)
        return rc;
    if (p->error != NULL)
        ironflow_run_error(branch, "PLAN", "%s", p->error);
    ironflow_run_output(branch, out);
    return p->rc;
}

static bool recorded(struct fixture *f, const char *id)
{
    const char *steps = fixture_steps(f),
               *quoted = ironflow_run_printf(f->run, "\"id\":\"%s\"", id);

    return strstr(steps, quoted) != NULL;
}

static void branches_have_scopes_of_their_own(void **state)
{
    atomic_int calls = 0;
    struct plan p = { .calls = &calls };
    const struct ironflow_branch two[] = { { follow, &p }, { follow, &p } };
    const char *outs[2];
    struct fixture f = fixture_new("");

    (void)state;
    assert_int_equal(ironflow_step_run(f.run, "a", count_step, &calls, NULL), IRONFLOW_OK);
    assert_int_equal(ironflow_parallel(f.run, "f:n", two, 2, outs), IRONFLOW_OK);
    assert_true(recorded(&f, "run_k:a:0"));
    assert_true(recorded(&f, "run_k:f\\\\:n:0:a:0") && recorded(&f, "run_k:f\\\\:n:1:a:0"));
    assert_int_equal(ironflow_parallel(f.run, "f:n", two, 2, NULL), IRONFLOW_OK);
    assert_true(recorded(&f, "run_k:f\\\\:n:1:a:1")); /* not the result of the first one */
    assert_int_equal(calls, 5);
    assert_true(ironflow_json_valid(outs[0], strlen(outs[0])));
    assert_true(strcmp(outs[0], outs[1]) != 0);
    assert_int_equal(ironflow_parallel(f.run, "none", NULL, 0, NULL), IRONFLOW_OK);
    fixture_done(&f);
}

static void branches_run_at_the_same_time(void **state)
{
    atomic_int calls = 0, begun = 0;
    struct plan p = { .calls = &calls, .others = &begun, .await = 3 };
    const struct ironflow_branch three[] = { { follow, &p }, { follow, &p }, { follow, &p } };
    struct fixture f = fixture_new("");

    (void)state;
    assert_int_equal(ironflow_parallel(f.run, "fan", three, 3, NULL), IRONFLOW_OK);
    assert_int_equal(calls, 3);
    fixture_done(&f);
}

static int inner(struct ironflow_run *branch, size_t index, void *arg)
{
    (void)index;
    return ironflow_step_run(branch, "x", count_step, arg, NULL);
}

static int outer(struct ironflow_run *branch, size_t index, void *arg)
{
    const struct ironflow_map map = { .count = 3, .fn = inner, .arg = arg };

    ironflow_run_output(branch, index == 0 ? NULL : ironflow_run_input(branch));
    return ironflow_map(branch, "in", &map, NULL);
}

static void nesting_extends_the_scope(void **state)
{
    atomic_int calls = 0;
    const struct ironflow_map map = { .count = 2, .fn = outer, .arg = &calls };
    struct fixture f = fixture_new("{\"step_id\":\"run_k:out:1:in:2:x:0\",\"output\":1}");
    const char *outs[2];

    (void)state;
    assert_int_equal(ironflow_map(f.run, "out", &map, outs), IRONFLOW_OK);
    assert_int_equal(calls, 5);
    assert_true(recorded(&f, "run_k:out:0:in:2:x:0") && recorded(&f, "run_k:out:1:in:0:x:0"));
    assert_false(recorded(&f, "run_k:out:1:in:2:x:0"));
    assert_string_equal(outs[0], "null");
    assert_string_equal(outs[1], "[5]");
    fixture_done(&f);
}

static void a_completed_step_of_a_branch_is_not_run_again(void **state)
{
    atomic_int calls = 0;
    struct plan p = { .calls = &calls };
    const struct ironflow_branch two[] = { { follow, &p }, { follow, &p } };
    struct fixture f = fixture_new("{\"step_id\":\"run_k:fan:1:a:0\",\"output\":{\"call\":9}}");
    const char *outs[2];

    (void)state;
    assert_int_equal(ironflow_parallel(f.run, "fan", two, 2, outs), IRONFLOW_OK);
    assert_int_equal(calls, 1);
    assert_int_equal(f.run->pending_n, 1);
    assert_string_equal(outs[0], "{\"call\":1}");
    assert_string_equal(outs[1], "{\"call\":9}");
    fixture_done(&f);
}

static void siblings_of_a_failure_complete_and_the_first_for_good_is_told(void **state)
{
    atomic_int calls = 0, begun = 0;
    struct plan good = { .calls = &calls, .others = &begun, .await = 4 };
    struct plan again = good, bad = good, worse = good;
    const struct ironflow_branch four[] = {
        { follow, &again }, { follow, &good }, { follow, &bad }, { follow, &worse }
    };
    struct fixture f = fixture_new("");
    const char *outs[4];

    (void)state;
    again.rc = IRONFLOW_RETRY, again.error = "later";
    bad.rc = IRONFLOW_FAIL, bad.error = "never";
    worse.rc = IRONFLOW_FAIL;
    assert_int_equal(ironflow_parallel(f.run, "fan", four, 4, outs), IRONFLOW_FAIL);
    assert_string_equal(f.run->error_text, "never");
    assert_string_equal(f.run->error_code, "PLAN");
    assert_int_equal(f.run->pending_n, 4);
    assert_non_null(outs[1]);
    assert_null(outs[0]);
    assert_int_equal(ironflow_parallel(f.run, "one", &four[0], 1, NULL), IRONFLOW_RETRY);
    assert_int_equal(ironflow_parallel(f.run, "two", &four[3], 1, NULL), IRONFLOW_FAIL);
    assert_string_equal(f.run->error_text, "branch 0 of \"two\" failed");
    fixture_done(&f);
}

static void the_last_yield_is_reported_and_its_siblings_complete(void **state)
{
    atomic_int calls = 0;
    struct plan plain = { .calls = &calls }, sleeps = { .calls = &calls, .sleeps = true };
    struct plan fails = { .calls = &calls, .rc = IRONFLOW_FAIL };
    struct plan *const plans[] = { &sleeps, &plain, &sleeps, &fails };
    struct ironflow_branch four[4];
    struct fixture f = fixture_new("");

    (void)state;
    for (int i = 0; i < 4; i++)
        four[i] = (struct ironflow_branch){ follow, plans[i] };
    assert_int_equal(ironflow_parallel(f.run, "fan", four, 4, NULL), IRONFLOW_YIELD);
    assert_int_equal(f.run->yields, 2);
    assert_int_equal(f.run->yield_at, 2);
    assert_non_null(strstr(f.run->yield, "cool:0\",\"type\":\"sleep\""));
    assert_int_equal(f.run->pending_n, 4);
    assert_int_equal(ironflow_step_run(f.run, "after", count_step, &calls, NULL), IRONFLOW_YIELD);
    fixture_done(&f);
}

static int one_by_one(struct ironflow_run *branch, size_t index, void *arg)
{
    atomic_int *calls = arg;

    if ((size_t)atomic_load(calls) != index)
        return IRONFLOW_FAIL;
    if (index == 3)
        return IRONFLOW_RETRY;
    if (index == 1) {
        atomic_fetch_add(calls, 1);
        return ironflow_sleep(branch, "cool", 5);
    }
    return ironflow_step_run(branch, "a", count_step, calls, NULL);
}

static void one_at_a_time_keeps_the_order_and_ends_at_a_failure(void **state)
{
    atomic_int calls = 0;
    const struct ironflow_map map = {
        .count = 9, .fn = one_by_one, .arg = &calls, .max_concurrent = 1
    };
    struct fixture f = fixture_new("");
    struct fixture slept = fixture_new("{\"step_id\":\"run_k:m:1:cool:0\"}");

    (void)state;
    assert_int_equal(ironflow_map(f.run, "m", &map, NULL), IRONFLOW_YIELD);
    assert_int_equal(calls, 3); /* the wait of one lets the next one run */
    assert_true(recorded(&f, "run_k:m:2:a:0"));
    atomic_store(&calls, 0);
    assert_int_equal(ironflow_map(slept.run, "m", &map, NULL), IRONFLOW_RETRY);
    assert_int_equal(calls, 3);
    assert_string_equal(slept.run->error_text, "branch 3 of \"m\" failed");
    fixture_done(&f);
    fixture_done(&slept);
}

static int work(struct ironflow_run *branch, size_t index, void *arg)
{
    const char *out = NULL;

    for (int i = 0; i < 3; i++) {
        int rc = ironflow_step_run(branch, "w", count_step, arg, &out);

        if (rc != IRONFLOW_OK)
            return rc;
    }
    ironflow_run_output(
        branch, ironflow_run_printf(branch, "[%zu,\"%s\"]", index, ironflow_run_id(branch)));
    return IRONFLOW_OK;
}

static void many_branches_share_few_threads(void **state)
{
    static const char *outs[MANY];
    atomic_int calls = 0;
    const struct ironflow_map map = { .count = MANY, .fn = work, .arg = &calls };
    struct fixture f = fixture_new("");
    const char *steps;
    json_t all;
    int n = 0;

    (void)state;
    assert_int_equal(ironflow_map(f.run, "m", &map, outs), IRONFLOW_OK);
    assert_int_equal(calls, 3 * MANY);
    for (int i = 0; i < MANY; i++)
        assert_string_equal(outs[i], ironflow_run_printf(f.run, "[%d,\"run_k\"]", i));
    steps = fixture_steps(&f);
    all = json_value(steps, strlen(steps));
    for (struct json_walk w = json_walk(all); json_step(&w);)
        n++;
    assert_int_equal(n, f.run->pending_n);
    fixture_done(&f);
}

/* Uses the outer run, which is not its own. */
static int stray(struct ironflow_run *branch, void *arg)
{
    atomic_int calls = 0;

    (void)branch;
    return ironflow_step_run(arg, "a", count_step, &calls, NULL);
}

static int swallow(struct ironflow_run *branch, void *arg)
{
    (void)arg;
    (void)ironflow_sleep(branch, "cool", 5);
    return IRONFLOW_OK;
}

static int yield_nothing(struct ironflow_run *branch, void *arg)
{
    (void)branch, (void)arg;
    return IRONFLOW_YIELD;
}

static int lose(struct ironflow_run *branch, void *arg)
{
    (void)branch, (void)arg;
    return IRONFLOW_LOST;
}

static void quiet(void *arg, const char *line)
{
    (void)line;
    ++*(int *)arg;
}

static void misuse_is_caught(void **state)
{
    struct fixture f = fixture_new("");
    const struct ironflow_branch outside = { stray, f.run }, nothing = { yield_nothing, NULL },
                                 swallows = { swallow, NULL }, loses = { lose, NULL };
    int lines = 0;

    (void)state;
    f.worker->config.log = quiet;
    f.worker->config.log_arg = &lines;
    assert_int_equal(ironflow_parallel(f.run, "s", &outside, 1, NULL), IRONFLOW_FAIL);
    assert_int_equal(lines, 1);
    assert_int_equal(ironflow_parallel(f.run, "n", &nothing, 1, NULL), IRONFLOW_FAIL);
    assert_string_equal(f.run->error_code, "INVALID_YIELD");
    assert_int_equal(f.run->pending_n, 0);
    assert_int_equal(ironflow_parallel(f.run, "w", &swallows, 1, NULL), IRONFLOW_YIELD);
    f.run->yield = NULL;
    assert_int_equal(ironflow_parallel(f.run, "l", &loses, 1, NULL), IRONFLOW_LOST);
    assert_int_equal(ironflow_parallel(f.run, "l", &loses, 1, NULL), IRONFLOW_LOST);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_have_scopes_of_their_own),
        cmocka_unit_test(branches_run_at_the_same_time),
        cmocka_unit_test(nesting_extends_the_scope),
        cmocka_unit_test(a_completed_step_of_a_branch_is_not_run_again),
        cmocka_unit_test(siblings_of_a_failure_complete_and_the_first_for_good_is_told),
        cmocka_unit_test(the_last_yield_is_reported_and_its_siblings_complete),
        cmocka_unit_test(one_at_a_time_keeps_the_order_and_ends_at_a_failure),
        cmocka_unit_test(many_branches_share_few_threads),
        cmocka_unit_test(misuse_is_caught),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
