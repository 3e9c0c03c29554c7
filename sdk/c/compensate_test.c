/* Compensations: when they run, in which order, what they leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/fixture.h"

/* What the compensations of a test did, as letters. */
struct tale {
    char did[32];
    int n;
};

struct undo {
    struct tale *tale;
    char letter;
    int rc;
};

static int undo(struct ironflow_run *run, void *arg, const char **output)
{
    const struct undo *u = arg;

    u->tale->did[u->tale->n++] = u->letter;
    if (u->rc != IRONFLOW_OK)
        ironflow_run_error(run, "UNDO", "cannot undo %c", u->letter);
    *output = ironflow_run_printf(run, "\"%c\"", u->letter);
    return u->rc;
}

static void register_all(struct ironflow_run *run, const char *steps, struct undo *undos)
{
    for (size_t i = 0; steps[i] != '\0'; i++) {
        char name[2] = { steps[i], '\0' };

        assert_int_equal(ironflow_compensate(run, name, undo, &undos[i]), IRONFLOW_OK);
    }
}

/* The final report for a handler that returned rc. */
static const char *report_of(struct fixture *f, int rc)
{
    struct text t = { 0 };
    const char *report;

    report_put_final(&t, f->run, rc);
    assert_true(ironflow_json_valid(t.p, t.n));
    report = pool_dup(&f->run->pool, t.p, t.n);
    text_done(&t);
    return report;
}

static bool text_at(const char *json, const char *path, const char *want)
{
    char got[128];

    return ironflow_json_string(json, path, got, sizeof(got)) && strcmp(got, want) == 0;
}

static void a_failure_for_good_undoes_in_reverse_order(void **state)
{
    struct fixture f = fixture_new("");
    struct tale tale = { 0 };
    struct undo undos[] = { { &tale, 'a', 0 }, { &tale, 'b', IRONFLOW_RETRY }, { &tale, 'c', 0 } };
    const char *r;

    (void)state;
    register_all(f.run, "abc", undos);
    ironflow_run_error(f.run, "GONE", "no stock");
    r = report_of(&f, IRONFLOW_FAIL);
    assert_string_equal(tale.did, "cba");
    assert_true(text_at(r, "error.code", "GONE") && text_at(r, "error.message", "no stock"));
    assert_true(text_at(r, "steps.0.id", "run_k:compensate:c:0"));
    assert_true(text_at(r, "steps.0.name", "compensate:c"));
    assert_true(text_at(r, "steps.0.type", "compensate"));
    assert_true(text_at(r, "steps.0.compensation_for", "c"));
    assert_true(text_at(r, "steps.0.status", "completed") && text_at(r, "steps.0.output", "c"));
    assert_true(text_at(r, "steps.1.status", "failed"));
    assert_true(text_at(r, "steps.1.error.message", "cannot undo b"));
    assert_memory_equal(ironflow_json_at(r, "steps.1.error.retryable").p, "false", 5);
    assert_true(text_at(r, "steps.2.id", "run_k:compensate:a:0"));
    fixture_done(&f);
}

static void nothing_else_undoes(void **state)
{
    static const int results[] = { IRONFLOW_OK, IRONFLOW_RETRY, IRONFLOW_UNREACHABLE,
                                   IRONFLOW_YIELD };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct fixture f = fixture_new("");
        struct tale tale = { 0 };
        struct undo undos[] = { { &tale, 'a', 0 } };

        register_all(f.run, "a", undos);
        if (results[i] == IRONFLOW_YIELD)
            assert_int_equal(ironflow_sleep(f.run, "cool", 5), IRONFLOW_YIELD);
        assert_null(strstr(report_of(&f, results[i]), "compensate"));
        assert_int_equal(tale.n, 0);
        fixture_done(&f);
    }
}

static void a_result_that_is_no_json_undoes(void **state)
{
    struct fixture f = fixture_new("");
    struct tale tale = { 0 };
    struct undo undos[] = { { &tale, 'a', 0 } };
    const char *r;

    (void)state;
    register_all(f.run, "a", undos);
    ironflow_run_output(f.run, "{broken");
    r = report_of(&f, IRONFLOW_OK);
    assert_true(text_at(r, "error.code", "INVALID_OUTPUT"));
    assert_string_equal(tale.did, "a");
    fixture_done(&f);
}

static void what_was_undone_is_not_undone_again(void **state)
{
    struct fixture f = fixture_new("{\"step_id\":\"run_k:compensate:b:0\",\"output\":null},"
                                   "{\"step_id\":\"run_k:compensate:a:0\",\"status\":\"failed\"}");
    struct tale tale = { 0 };
    struct undo undos[] = { { &tale, 'a', 0 }, { &tale, 'b', 0 }, { &tale, 'c', 0 } };

    (void)state;
    register_all(f.run, "abc", undos);
    (void)report_of(&f, IRONFLOW_FAIL);
    assert_string_equal(tale.did, "ca");
    (void)report_of(&f, IRONFLOW_FAIL);
    assert_int_equal(tale.n, 2);
    fixture_done(&f);
}

static int in_branch(struct ironflow_run *branch, size_t index, void *arg)
{
    struct undo *undos = arg;

    register_all(branch, "a", &undos[2 * index]);
    register_all(branch, "a", &undos[2 * index + 1]); /* the second use of the step's name */
    return IRONFLOW_OK;
}

static void branches_register_with_their_run(void **state)
{
    struct fixture f = fixture_new("");
    struct tale tale = { 0 };
    struct undo undos[] = {
        { &tale, '1', 0 }, { &tale, '2', 0 }, { &tale, '3', 0 }, { &tale, '4', 0 }
    };
    const struct ironflow_map map = {
        .count = 2, .fn = in_branch, .arg = undos, .max_concurrent = 1
    };
    const char *r;

    (void)state;
    assert_int_equal(ironflow_map(f.run, "fan", &map, NULL), IRONFLOW_OK);
    r = report_of(&f, IRONFLOW_FAIL);
    assert_string_equal(tale.did, "4321");
    assert_true(text_at(r, "steps.0.id", "run_k:fan:1:compensate:a:1"));
    assert_true(text_at(r, "steps.3.id", "run_k:fan:0:compensate:a:0"));
    fixture_done(&f);
}

static int lose(struct ironflow_run *run, void *arg, const char **output)
{
    (void)output;
    atomic_store(&run->lost, true);
    return undo(run, arg, output);
}

static void a_lost_run_leaves_the_rest_to_others(void **state)
{
    struct fixture f = fixture_new("");
    struct tale tale = { 0 };
    struct undo undos[] = { { &tale, 'a', 0 }, { &tale, 'b', 0 } };

    (void)state;
    register_all(f.run, "a", undos);
    assert_int_equal(ironflow_compensate(f.run, "b", lose, &undos[1]), IRONFLOW_OK);
    (void)report_of(&f, IRONFLOW_FAIL);
    assert_string_equal(tale.did, "b");
    assert_int_equal(f.run->pending_n, 0);
    assert_int_equal(ironflow_compensate(f.run, "c", lose, &undos[1]), IRONFLOW_LOST);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_for_good_undoes_in_reverse_order),
        cmocka_unit_test(nothing_else_undoes),
        cmocka_unit_test(a_result_that_is_no_json_undoes),
        cmocka_unit_test(what_was_undone_is_not_undone_again),
        cmocka_unit_test(branches_register_with_their_run),
        cmocka_unit_test(a_lost_run_leaves_the_rest_to_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
