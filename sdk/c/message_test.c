/* Messages of a stream: jobs as they are heard, reports as they are said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stream_priv.h"
#include "test/fixture.h"

#define FENCE ",\"execution_seq\":7,\"lease_token\":\"tok\"}}"
#define OPEN(kind) "{\"" kind "\":{\"jobId\":\"job_1\""

static void says(struct text *t, const char *want)
{
    assert_string_equal(text_z(t), want);
    assert_true(ironflow_json_valid(t->p, t->n));
    t->n = 0;
}

static void a_job_becomes_an_assignment(void **state)
{
    static const char job[] =
        "{\"jobId\":\"job_9\",\"runId\":\"run_9\",\"functionId\":\"f\",\"attempt\":2,"
        "\"event\":{\"id\":\"evt_1\",\"entityId\":\"e\",\"entity_id\":\"e\",\"data\":[1],"
        "\"dataValue\":[1],\"version\":3},\"completedSteps\":["
        "{\"stepId\":\"run_9:a:0\",\"name\":\"a\",\"output\":{\"x\":1e400}},"
        "{\"stepId\":\"run_9:b:0\",\"name\":\"b\",\"output\":5,\"outputValue\":5},"
        "{\"stepId\":\"run_9:c:0\",\"name\":\"c\",\"status\":\"failed\","
        "\"errorJson\":\"eyJtZXNzYWdlIjoibm8ifQ==\"}],"
        "\"executionSeq\":\"12\",\"leaseToken\":\"tok\"}";
    char *got = message_assignment(json_value(job, sizeof(job) - 1));

    (void)state;
    assert_string_equal(
        got, "{\"job_id\":\"job_9\",\"run_id\":\"run_9\",\"function_id\":\"f\",\"attempt\":2,"
             "\"event\":{\"id\":\"evt_1\",\"entity_id\":\"e\",\"version\":3,\"data\":[1]},"
             "\"completed_steps\":["
             "{\"step_id\":\"run_9:a:0\",\"name\":\"a\",\"output\":{\"x\":1e400}},"
             "{\"step_id\":\"run_9:b:0\",\"name\":\"b\",\"output\":5},"
             "{\"step_id\":\"run_9:c:0\",\"name\":\"c\",\"status\":\"failed\","
             "\"error\":{\"message\":\"no\"}}],"
             "\"execution_seq\":12,\"lease_token\":\"tok\"}");
    free(got);
}

static void steps_and_ends_carry_the_fence(void **state)
{
    struct fixture f = fixture_new("");
    struct step s = { .id = "run_k:a:0", .name = "a", .started_ms = 5, .ended_ms = 9 };
    struct text t = { 0 };

    (void)state;
    s.output = "{\"n\":1}";
    message_step(&t, f.run, &s);
    says(&t, OPEN("stepCompleted") ",\"stepId\":\"run_k:a:0\",\"output\":{\"n\":1},\"durationMs\":"
                                   "4" FENCE);
    s.output = "[0.10]";
    message_step(&t, f.run, &s);
    says(&t, OPEN("stepCompleted") ",\"stepId\":\"run_k:a:0\",\"outputValue\":[0.10],"
                                   "\"durationMs\":4" FENCE);
    s.output = "null";
    message_step(&t, f.run, &s);
    says(&t, OPEN("stepCompleted") ",\"stepId\":\"run_k:a:0\",\"durationMs\":4" FENCE);
    ironflow_run_error(f.run, "BAD", "it \"broke\"");
    s.output = NULL;
    message_step(&t, f.run, &s);
    says(&t, OPEN("stepFailed") ",\"stepId\":\"run_k:a:0\",\"error\":{\"message\":\"it "
                                "\\\"broke\\\"\",\"code\":\"BAD\",\"retryable\":false},"
                                "\"durationMs\":4" FENCE);
    message_final(&t, f.run, IRONFLOW_RETRY);
    says(&t, OPEN("jobFailed") ",\"error\":{\"message\":\"it \\\"broke\\\"\",\"code\":\"BAD\","
                               "\"retryable\":true}" FENCE);
    ironflow_run_output(f.run, "\"x\"");
    message_final(&t, f.run, IRONFLOW_OK);
    says(&t, OPEN("jobCompleted") ",\"outputValue\":\"x\"" FENCE);
    text_done(&t);
    fixture_done(&f);
}

/* What a handler waits for, as the stream says it. */
static void yields(int rc, struct fixture *f, const char *want)
{
    struct text t = { 0 };

    assert_int_equal(rc, IRONFLOW_YIELD);
    message_final(&t, f->run, rc);
    says(&t, want);
    text_done(&t);
    fixture_done(f);
}

static void yields_are_translated(void **state)
{
    static const struct ironflow_wait text = { .event = "e",
                                               .match = "id",
                                               .match_value = "\"7\"" },
                                      number = { .event = "e", .match = "id", .match_value = "7" };
    struct fixture f = fixture_new("");

    (void)state;
    yields(ironflow_sleep_until(f.run, "nap", 1709210096789), &f,
           OPEN("stepYielded") ",\"stepId\":\"run_k:nap:0\",\"sleep\":{\"until\":\"2024-02-29T12:34"
                               ":56.789Z\"}" FENCE);
    f = fixture_new("");
    yields(ironflow_wait_for_event(f.run, "w", &text, NULL), &f,
           OPEN("stepYielded") ",\"stepId\":\"run_k:w:0\",\"waitEvent\":{\"eventName\":\"e\","
                               "\"matchExpression\":\"id\",\"matchValue\":\"7\"}" FENCE);
    f = fixture_new("");
    yields(ironflow_wait_for_event(f.run, "w", &number, NULL), &f,
           OPEN("stepYielded") ",\"stepId\":\"run_k:w:0\",\"waitEvent\":{\"eventName\":\"e\","
                               "\"matchExpression\":\"data.id == 7\"}" FENCE);
    f = fixture_new("");
    yields(ironflow_invoke_function(f.run, "g", "{\"a\":1}", 500, NULL), &f,
           OPEN("stepYielded") ",\"stepId\":\"run_k:g:0\",\"invokeFunction\":{\"functionId\":\"g\","
                               "\"inputJson\":\"eyJhIjoxfQ==\",\"invokeTimeoutMs\":500}" FENCE);
    f = fixture_new("");
    yields(ironflow_invoke_async(f.run, "g", "[1]", NULL), &f,
           OPEN("stepYielded") ",\"stepId\":\"run_k:g:0\",\"invokeFunctionAsync\":{\"functionId\":"
                               "\"g\",\"inputJson\":\"WzFd\"}" FENCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_becomes_an_assignment),
        cmocka_unit_test(steps_and_ends_carry_the_fence),
        cmocka_unit_test(yields_are_translated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
