/* Step ids, memoization and waits, on a run without a server: results stay pending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker_priv.h"

struct fixture {
    struct ironflow_worker *worker;
    struct ironflow_run *run;
    int calls;
};

static struct fixture fixture_new(const char *assignment)
{
    struct ironflow_worker_config config = { .client = { .url = "http://127.0.0.1:1" },
                                             .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE };
    struct fixture f = { .worker = ironflow_worker_new(&config) };

    assert_non_null(f.worker);
    f.run = mem_new(sizeof(*f.run));
    f.run->worker = f.worker;
    pthread_mutex_init(&f.run->lock, NULL);
    pthread_cond_init(&f.run->flushed, NULL);
    f.run->json = mem_strdup(assignment);
    assert_true(run_begin(f.run, 0));
    return f;
}

static void fixture_done(struct fixture *f)
{
    run_end(f->run);
    pool_done(&f->run->pool);
    text_done(&f->run->pending);
    free(f->run);
    ironflow_worker_free(f->worker);
}

#define PLAIN                                                                                      \
    "{\"job_id\":\"job_1\",\"run_id\":\"run_k\",\"function_id\":\"f\",\"attempt\":2,"              \
    "\"event\":{\"id\":\"evt_1\",\"name\":\"e\",\"data\":{\"n\":1e400}},"                          \
    "\"execution_seq\":7,\"lease_token\":\"to\\\"k\",\"step_sequence_base\":3,"

static int count_step(struct ironflow_run *run, void *arg, const char **output)
{
    struct fixture *f = arg;

    *output = ironflow_run_printf(run, "{\"call\":%d}", ++f->calls);
    return IRONFLOW_OK;
}

static int failing_step(struct ironflow_run *run, void *arg, const char **output)
{
    (void)output;
    ironflow_run_error(run, "E1", "no \"stock\"");
    return *(int *)arg;
}

static int nesting_step(struct ironflow_run *run, void *arg, const char **output)
{
    return ironflow_step_run(run, "inner", count_step, arg, output);
}

static int broken_step(struct ironflow_run *run, void *arg, const char **output)
{
    (void)run, (void)arg;
    *output = "{broken";
    return IRONFLOW_OK;
}

static void an_assignment_is_read(void **state)
{
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");

    (void)state;
    assert_string_equal(ironflow_run_id(f.run), "run_k");
    assert_int_equal(ironflow_run_attempt(f.run), 2);
    assert_string_equal(ironflow_run_input(f.run), "{\"n\":1e400}");
    assert_string_equal(f.run->fence, "\"execution_seq\":7,\"lease_token\":\"to\\\"k\"");
    assert_true(f.run->fenced);
    assert_int_equal(f.run->step_offset, 3);
    fixture_done(&f);
}

static void ids_count_uses_of_a_name_and_escape_it(void **state)
{
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");

    (void)state;
    assert_string_equal(run_step_id(f.run, "pay"), "run_k:pay:0");
    assert_string_equal(run_step_id(f.run, "pay"), "run_k:pay:1");
    assert_string_equal(run_step_id(f.run, "ship"), "run_k:ship:0");
    assert_string_equal(run_step_id(f.run, "a:b\\c"), "run_k:a\\:b\\\\c:0");
    assert_string_equal(run_step_id(f.run, "compensate:a:b"), "run_k:compensate:a\\:b:0");
    assert_string_equal(run_step_id(f.run, "publish:x"), "run_k:publish:x:0");
    for (int i = 0; i < 1000; i++) { /* names beyond the first size of the map */
        char name[16];

        (void)snprintf(name, sizeof(name), "n%d", i);
        (void)run_step_id(f.run, name);
    }
    assert_string_equal(run_step_id(f.run, "n77"), "run_k:n77:1");
    fixture_done(&f);
}

static void a_completed_step_is_not_run_again(void **state)
{
    struct fixture f =
        fixture_new(PLAIN "\"completed_steps\":[{\"step_id\":\"run_k:pay:0\",\"name\":\"pay\","
                          "\"output\":{\"big\": 12345678901234567890}},"
                          "{\"step_id\":\"run_k:a\\\\:b:0\",\"name\":\"a:b\",\"output\":null},"
                          "{\"step_id\":\"run_k:bad:0\",\"name\":\"bad\",\"status\":\"failed\"}]}");
    const char *out = NULL;

    (void)state;
    assert_int_equal(ironflow_step_run(f.run, "pay", count_step, &f, &out), IRONFLOW_OK);
    assert_string_equal(out, "{\"big\": 12345678901234567890}");
    assert_int_equal(ironflow_step_run(f.run, "a:b", count_step, &f, &out), IRONFLOW_OK);
    assert_string_equal(out, "null");
    assert_int_equal(f.calls, 0);
    assert_int_equal(f.run->pending_n, 0);
    assert_int_equal(ironflow_step_run(f.run, "pay", count_step, &f, &out), IRONFLOW_OK);
    assert_string_equal(out, "{\"call\":1}"); /* the second use of the name is another step */
    assert_int_equal(ironflow_step_run(f.run, "bad", count_step, &f, NULL), IRONFLOW_OK);
    assert_int_equal(f.calls, 2); /* a failed step does not count as done */
    assert_int_equal(f.run->pending_n, 2);
    fixture_done(&f);
}

static void what_a_step_did_is_recorded(void **state)
{
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");
    struct text list = { 0 };
    char out[128];
    int code = IRONFLOW_RETRY;

    (void)state;
    assert_int_equal(ironflow_step_run(f.run, "ok", count_step, &f, NULL), IRONFLOW_OK);
    assert_int_equal(ironflow_step_run(f.run, "no", failing_step, &code, NULL), IRONFLOW_RETRY);
    code = IRONFLOW_FAIL;
    assert_int_equal(ironflow_step_run(f.run, "no", failing_step, &code, NULL), IRONFLOW_FAIL);
    assert_int_equal(ironflow_step_run(f.run, "bad", broken_step, NULL, NULL), IRONFLOW_FAIL);
    text_char(&list, '[');
    text_add(&list, f.run->pending.p, f.run->pending.n);
    text_char(&list, ']');
    (void)text_z(&list);
    assert_true(ironflow_json_string(list.p, "0.status", out, sizeof(out)));
    assert_string_equal(out, "completed");
    assert_true(ironflow_json_string(list.p, "1.error.message", out, sizeof(out)));
    assert_string_equal(out, "no \"stock\"");
    assert_memory_equal(ironflow_json_at(list.p, "1.error.retryable").p, "true", 4);
    assert_memory_equal(ironflow_json_at(list.p, "2.error.retryable").p, "false", 5);
    assert_true(ironflow_json_string(list.p, "2.id", out, sizeof(out)));
    assert_string_equal(out, "run_k:no:1");
    assert_true(ironflow_json_string(list.p, "3.error.code", out, sizeof(out)));
    assert_string_equal(out, "INVALID_OUTPUT");
    text_done(&list);
    fixture_done(&f);
}

static void a_sleep_yields_once_and_nothing_runs_after_it(void **state)
{
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");

    (void)state;
    assert_int_equal(ironflow_sleep_until(f.run, "cool", 1709210096789), IRONFLOW_YIELD);
    assert_string_equal(f.run->yield, "{\"step_id\":\"run_k:cool:0\",\"type\":\"sleep\","
                                      "\"until\":\"2024-02-29T12:34:56.789Z\"}");
    assert_int_equal(ironflow_step_run(f.run, "after", count_step, &f, NULL), IRONFLOW_YIELD);
    assert_int_equal(ironflow_sleep(f.run, "again", 5), IRONFLOW_YIELD);
    assert_int_equal(f.calls, 0);
    fixture_done(&f);
}

static void a_sleep_that_is_over_is_passed(void **state)
{
    struct fixture f =
        fixture_new(PLAIN "\"completed_steps\":[{\"step_id\":\"run_k:cool:0\",\"name\":\"cool\","
                          "\"output\":null}]}");

    (void)state;
    assert_int_equal(ironflow_sleep(f.run, "cool", 60000), IRONFLOW_OK);
    assert_null(f.run->yield);
    fixture_done(&f);
}

static void steps_do_not_nest(void **state)
{
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");

    (void)state;
    assert_int_equal(ironflow_step_run(f.run, "outer", nesting_step, &f, NULL), IRONFLOW_FAIL);
    assert_int_equal(f.calls, 0);
    fixture_done(&f);
}

static void a_lost_run_stops(void **state)
{
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");

    (void)state;
    atomic_store(&f.run->lost, true);
    assert_int_equal(ironflow_step_run(f.run, "x", count_step, &f, NULL), IRONFLOW_LOST);
    assert_int_equal(f.calls, 0);
    fixture_done(&f);
}

static void a_wait_yields_what_it_waits_for(void **state)
{
    static const struct ironflow_wait wait = {
        .event = "ok", .match = "data.id", .match_value = "[1]", .timeout_ms = 90
    };
    static const struct ironflow_wait bad = { .event = "ok", .match_value = "[1" };
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");
    struct fixture over =
        fixture_new(PLAIN "\"completed_steps\":[{\"step_id\":\"run_k:w:0\",\"name\":\"w\","
                          "\"output\":{\"id\":\"evt_2\",\"data\":{\"a\": 1.0}}}]}");
    const char *event = NULL;

    (void)state;
    assert_int_equal(ironflow_wait_for_event(f.run, "w", &bad, NULL), IRONFLOW_FAIL);
    assert_int_equal(ironflow_wait_for_event(f.run, "w", &wait, &event), IRONFLOW_YIELD);
    assert_null(event);
    assert_string_equal(f.run->yield, "{\"step_id\":\"run_k:w:0\",\"type\":\"wait_for_event\","
                                      "\"event_filter\":{\"event\":\"ok\",\"match\":\"data.id\","
                                      "\"match_value\":[1],\"timeout\":\"90ms\"}}");
    assert_int_equal(ironflow_wait_for_event(over.run, "w", &wait, &event), IRONFLOW_OK);
    assert_string_equal(event, "{\"id\":\"evt_2\",\"data\":{\"a\": 1.0}}");
    assert_null(over.run->yield);
    fixture_done(&f);
    fixture_done(&over);
}

static void an_invoke_yields_and_finds_its_result(void **state)
{
    struct fixture f = fixture_new(PLAIN "\"completed_steps\":[]}");
    struct fixture over = fixture_new(
        PLAIN "\"completed_steps\":[{\"step_id\":\"run_k:g:0\",\"name\":\"g\",\"output\":[3]},"
              "{\"step_id\":\"run_k:g:1\",\"name\":\"g\",\"output\":null,\"status\":\"failed\","
              "\"error\":{\"message\":\"no paper\"}},"
              "{\"step_id\":\"run_k:g:2\",\"name\":\"g\",\"output\":{\"run_id\":\"run_c\"}}]}");
    const char *out = NULL;

    (void)state;
    assert_int_equal(ironflow_invoke_function(f.run, "g", "{", 0, &out), IRONFLOW_FAIL);
    assert_int_equal(ironflow_invoke_function(f.run, "g", "[1]", 500, &out), IRONFLOW_YIELD);
    assert_string_equal(f.run->yield,
                        "{\"step_id\":\"run_k:g:0\",\"type\":\"invoke_function\","
                        "\"function_id\":\"g\",\"input\":[1],\"invoke_timeout_ms\":500}");
    assert_int_equal(ironflow_invoke_async(f.run, "g", NULL, &out), IRONFLOW_YIELD);
    assert_int_equal(ironflow_invoke_function(over.run, "g", NULL, 0, &out), IRONFLOW_OK);
    assert_string_equal(out, "[3]");
    assert_int_equal(ironflow_invoke_function(over.run, "g", NULL, 0, &out), IRONFLOW_FAIL);
    assert_string_equal(over.run->error_text, "invoke of g failed: no paper");
    assert_int_equal(ironflow_invoke_async(over.run, "g", NULL, &out), IRONFLOW_OK);
    assert_string_equal(out, "run_c");
    fixture_done(&f);
    fixture_done(&over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_assignment_is_read),
        cmocka_unit_test(ids_count_uses_of_a_name_and_escape_it),
        cmocka_unit_test(a_completed_step_is_not_run_again),
        cmocka_unit_test(what_a_step_did_is_recorded),
        cmocka_unit_test(a_sleep_yields_once_and_nothing_runs_after_it),
        cmocka_unit_test(a_sleep_that_is_over_is_passed),
        cmocka_unit_test(a_wait_yields_what_it_waits_for),
        cmocka_unit_test(an_invoke_yields_and_finds_its_result),
        cmocka_unit_test(steps_do_not_nest),
        cmocka_unit_test(a_lost_run_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
