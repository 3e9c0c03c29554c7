/* The worker against a server that plays from rules: reports, fences, retries, leases, the end. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/stub.h"
#include "worker_priv.h"

#define JOB(more)                                                                                  \
    "{\"jobs\":[{\"job_id\":\"job_1\",\"run_id\":\"run_1\",\"function_id\":\"f\",\"attempt\":1,"   \
    "\"event\":{\"id\":\"evt_1\",\"name\":\"e\",\"data\":{}},\"completed_steps\":[],"              \
    "\"step_sequence_base\":2,\"execution_seq\":1,\"lease_token\":\"tok\"" more "}]}"
#define FENCE "\"execution_seq\":1,\"lease_token\":\"tok\""
#define POLL "GET /api/v1/workers/w1/jobs"
#define ACK "PUT /api/v1/workers/w1/jobs/job_1/ack"
#define REPORT "PUT /api/v1/workers/w1/jobs/job_1 "

/* One job, then nothing. */
#define ONE_JOB                                                                                    \
    { POLL, 1, 200, JOB("") },                                                                     \
    {                                                                                              \
        POLL, 0, 204, ""                                                                           \
    }

struct scene {
    struct stub *stub;
    struct ironflow_worker *worker;
    pthread_t thread;
    int result, calls, last;
    const char *wait_for; /* the handler waits until the server got this */
    int step_rc;
};

static void quiet(void *arg, const char *line)
{
    (void)arg, (void)line;
}

static int step(struct ironflow_run *run, void *arg, const char **output)
{
    struct scene *s = arg;

    s->calls++;
    if (s->step_rc != IRONFLOW_OK)
        ironflow_run_error(run, "BAD", "it went wrong");
    *output = "{\"ok\":1}";
    return s->step_rc;
}

static int two_steps(struct ironflow_run *run, void *arg)
{
    struct scene *s = arg;

    s->last = ironflow_step_run(run, "a", step, s, NULL);
    if (s->last == IRONFLOW_OK)
        s->last = ironflow_step_run(run, "b", step, s, NULL);
    if (s->wait_for != NULL)
        (void)stub_wait(s->stub, s->wait_for, 1);
    ironflow_run_output(run, "[7]");
    return s->last;
}

static int step_then_sleep(struct ironflow_run *run, void *arg)
{
    int rc = ironflow_step_run(run, "a", step, arg, NULL);

    return rc == IRONFLOW_OK ? ironflow_sleep_until(run, "cool", 1709210096789) : rc;
}

/* Stops its own worker, once or twice, and goes on. */
static int stop_inside(struct ironflow_run *run, void *arg)
{
    struct scene *s = arg;

    ironflow_worker_stop(s->worker);
    if (s->calls == 2) {
        ironflow_worker_stop(s->worker);
        while (!ironflow_run_lost(run))
            (void)sched_yield();
        return IRONFLOW_LOST;
    }
    return ironflow_step_run(run, "a", step, s, NULL);
}

static int broken_output(struct ironflow_run *run, void *arg)
{
    (void)arg;
    ironflow_run_output(run, "{nope");
    return IRONFLOW_OK;
}

static void *run_worker(void *arg)
{
    struct scene *s = arg;

    s->result = ironflow_worker_run(s->worker);
    return NULL;
}

static void scene_begin(struct scene *s, struct rule *rules, ironflow_handler handler,
                        const struct ironflow_worker_config *extra)
{
    static const char *const events[] = { "e", NULL };
    struct ironflow_worker_config config = *extra;
    struct ironflow_function f = { .id = "f", .events = events, .handler = handler, .arg = s };
    char url[64];

    s->stub = stub_new(rules, url, sizeof(url));
    config.client.url = url;
    config.id = "w1";
    config.max_concurrent = 2;
    config.log = quiet;
    s->worker = ironflow_worker_new(&config);
    assert_non_null(s->worker);
    ironflow_worker_add(s->worker, &f);
    assert_int_equal(pthread_create(&s->thread, NULL, run_worker, s), 0);
}

/* Waits for the request, then ends the worker, whose result must be `result`. */
static void scene_end(struct scene *s, const char *until, int n, int result)
{
    bool came = until == NULL || stub_wait(s->stub, until, n);

    if (result == IRONFLOW_OK)
        ironflow_worker_stop(s->worker);
    pthread_join(s->thread, NULL);
    ironflow_worker_free(s->worker);
    assert_true(came);
    assert_int_equal(s->result, result);
}

static const struct ironflow_worker_config none = { .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE };
static const struct ironflow_worker_config each = { .checkpoint_ms = IRONFLOW_CHECKPOINT_EACH };

static bool contains(const char *request, const char *part)
{
    return request != NULL && strstr(request, part) != NULL;
}

static void a_run_is_acknowledged_and_reported(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct scene s = { 0 };
    const char *r;

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, REPORT "{\"status\":\"completed\"", 1, IRONFLOW_OK);
    r = stub_request(s.stub, "RegisterFunction", 0);
    assert_true(contains(r, "\"id\":\"f\"") && contains(r, "[{\"event\":\"e\"}]") &&
                contains(r, "EXECUTION_MODE_PULL"));
    assert_true(contains(stub_request(s.stub, "w1/register", 0), "\"max_concurrent_jobs\":2"));
    assert_true(contains(stub_request(s.stub, ACK, 0), "{\"run_id\":\"run_1\"," FENCE "}"));
    assert_int_equal(stub_count(s.stub, "progress"), 0);
    r = stub_request(s.stub, REPORT, 0);
    assert_true(contains(r, "\"output\":[7],\"step_offset\":2,\"steps\":[{\"id\":\"run_1:a:0\""));
    assert_true(contains(r, "\"run_1:b:0\"") && contains(r, FENCE "}"));
    stub_free(s.stub);
}

static void each_step_is_reported_before_the_next(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &each);
    scene_end(&s, "\"status\":\"completed\",\"output\"", 1, IRONFLOW_OK);
    assert_true(
        contains(stub_request(s.stub, REPORT, 0), "\"status\":\"progress\",\"step_offset\":2"));
    assert_true(
        contains(stub_request(s.stub, REPORT, 1), "\"status\":\"progress\",\"step_offset\":3"));
    assert_false(contains(stub_request(s.stub, REPORT, 2), "\"steps\""));
    stub_free(s.stub);
}

/* The first step is reported at once, the second one by the ticker while the handler is busy. */
static void steps_are_reported_together_after_a_while(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct ironflow_worker_config config = { .checkpoint_ms = 50 };
    struct scene s = { .wait_for = "\"step_offset\":3" };

    (void)state;
    scene_begin(&s, rules, two_steps, &config);
    scene_end(&s, "\"status\":\"completed\",\"output\"", 1, IRONFLOW_OK);
    assert_int_equal(stub_count(s.stub, "progress"), 2);
    assert_true(contains(stub_request(s.stub, "\"step_offset\":3", 0), "run_1:b:0"));
    stub_free(s.stub);
}

static void a_refused_ack_drops_the_run(void **state)
{
    struct rule rules[] = { ONE_JOB, { ACK, 0, 409, "{\"code\":\"STALE_EXECUTION\"}" }, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, ACK, 1, IRONFLOW_OK);
    assert_int_equal(s.calls, 0);
    assert_int_equal(stub_count(s.stub, REPORT), 0);
    stub_free(s.stub);
}

static void an_ack_without_answer_is_repeated(void **state)
{
    struct rule rules[] = { ONE_JOB, { ACK, 2, 503, "{}" }, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_int_equal(stub_count(s.stub, ACK), 3);
    stub_free(s.stub);
}

static void a_stale_fence_stops_the_handler(void **state)
{
    struct rule rules[] = { ONE_JOB, { REPORT, 0, 409, "{\"code\":\"STALE_EXECUTION\"}" }, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &each);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.last, IRONFLOW_LOST);
    assert_int_equal(stub_count(s.stub, REPORT), 1);
    stub_free(s.stub);
}

static void refused_progress_travels_with_the_end(void **state)
{
    struct rule rules[] = { ONE_JOB, { "\"progress\"", 0, 400, "{\"error\":\"no\"}" }, { 0 } };
    struct scene s = { 0 };
    const char *r;

    (void)state;
    scene_begin(&s, rules, two_steps, &each);
    scene_end(&s, "\"status\":\"completed\",\"output\"", 1, IRONFLOW_OK);
    assert_int_equal(stub_count(s.stub, "\"progress\""), 1);
    r = stub_request(s.stub, "\"status\":\"completed\",\"output\"", 0);
    assert_true(contains(r, "\"step_offset\":2") && contains(r, "run_1:a:0") &&
                contains(r, "run_1:b:0"));
    stub_free(s.stub);
}

static void trouble_repeats_the_final_report(void **state)
{
    struct rule rules[] = { ONE_JOB, { REPORT, 1, 503, "{}" }, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, REPORT, 2, IRONFLOW_OK);
    assert_string_equal(stub_request(s.stub, REPORT, 0), stub_request(s.stub, REPORT, 1));
    stub_free(s.stub);
}

static void a_forgotten_worker_registers_again(void **state)
{
    struct rule rules[] = { { POLL, 1, 404, "{\"error\":\"worker not registered\"}" },
                            ONE_JOB,
                            { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_int_equal(stub_count(s.stub, "w1/register"), 2);
    stub_free(s.stub);
}

static void a_refused_key_ends_the_worker(void **state)
{
    struct rule rules[] = { { POLL, 0, 401, "{\"error\":\"invalid API key\"}" }, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, NULL, 0, IRONFLOW_REFUSED);
    stub_free(s.stub);
}

static void a_refused_function_ends_the_start(void **state)
{
    struct rule rules[] = { { "RegisterFunction", 0, 400, "{\"message\":\"bad id\"}" }, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, NULL, 0, IRONFLOW_REFUSED);
    assert_int_equal(stub_count(s.stub, "w1/register"), 0);
    stub_free(s.stub);
}

static void a_wait_is_yielded_with_its_steps(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct scene s = { 0 };
    const char *r;

    (void)state;
    scene_begin(&s, rules, step_then_sleep, &none);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    r = stub_request(s.stub, REPORT, 0);
    assert_true(contains(r, "{\"status\":\"yielded\",\"yield\":{\"step_id\":\"run_1:cool:0\","
                            "\"type\":\"sleep\",\"until\":\"2024-02-29T12:34:56.789Z\"},"
                            "\"step_offset\":2,\"steps\":[{\"id\":\"run_1:a:0\""));
    stub_free(s.stub);
}

static void a_failed_step_fails_the_run(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct scene s = { .step_rc = IRONFLOW_RETRY };

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_true(contains(stub_request(s.stub, REPORT, 0),
                         "{\"status\":\"failed\",\"error\":{\"message\":\"it went wrong\","
                         "\"code\":\"BAD\",\"retryable\":true}"));
    stub_free(s.stub);
}

static void output_that_is_no_json_fails_for_good(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, broken_output, &none);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_true(contains(stub_request(s.stub, REPORT, 0), "INVALID_OUTPUT\",\"retryable\":false"));
    stub_free(s.stub);
}

static void a_missing_function_is_told(void **state)
{
    struct rule rules[] = { { POLL, 1, 200,
                              "{\"jobs\":[{\"job_id\":\"job_1\",\"run_id\":\"r\","
                              "\"function_id\":\"other\",\"attempt\":1}]}" },
                            { POLL, 0, 204, "" },
                            { 0 } };
    struct scene s = { 0 };
    const char *r;

    (void)state;
    scene_begin(&s, rules, two_steps, &none);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    r = stub_request(s.stub, REPORT, 0);
    assert_true(contains(r, "\"code\":\"FUNCTION_NOT_FOUND\",\"retryable\":false}}"));
    assert_int_equal(stub_count(s.stub, ACK), 0); /* without a token there is nothing to fence */
    stub_free(s.stub);
}

static void heartbeats_name_the_jobs(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct ironflow_worker_config config = { .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE,
                                             .heartbeat_ms = 20 };
    struct scene s = { .wait_for = "\"active_jobs\":1,\"jobs\":[{\"job_id\":\"job_1\"" };

    (void)state;
    scene_begin(&s, rules, two_steps, &config);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_true(stub_count(s.stub, s.wait_for) > 0);
    stub_free(s.stub);
}

static void a_short_run_needs_no_ack_when_it_may_be_late(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct ironflow_worker_config config = { .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE,
                                             .ack_after_ms = 20000 };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, two_steps, &config);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_int_equal(stub_count(s.stub, ACK), 0);
    stub_free(s.stub);
}

static void a_late_ack_comes_for_a_long_run(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct ironflow_worker_config config = { .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE,
                                             .ack_after_ms = 20 };
    struct scene s = { .wait_for = ACK };

    (void)state;
    scene_begin(&s, rules, two_steps, &config);
    scene_end(&s, REPORT, 1, IRONFLOW_OK);
    assert_int_equal(stub_count(s.stub, ACK), 1);
    stub_free(s.stub);
}

static void a_stop_lets_runs_finish(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct scene s = { 0 };

    (void)state;
    scene_begin(&s, rules, stop_inside, &each);
    scene_end(&s, "\"status\":\"completed\",\"output\"", 1, IRONFLOW_OK);
    assert_int_equal(s.calls, 1);
    stub_free(s.stub);
}

static void a_second_stop_abandons_them(void **state)
{
    struct rule rules[] = { ONE_JOB, { 0 } };
    struct scene s = { .calls = 2 };

    (void)state;
    scene_begin(&s, rules, stop_inside, &each);
    scene_end(&s, ACK, 1, IRONFLOW_OK);
    assert_int_equal(stub_count(s.stub, REPORT), 0);
    stub_free(s.stub);
}

static void a_client_emits_and_reads_ids(void **state)
{
    static const enum stub_style styles[] = { STUB_PLAIN, STUB_CHUNKED, STUB_CLOSES };
    struct rule rules[] = { { "POST /api/v1/events", 0, 200,
                              "{\"event_id\":\"evt_1\",\"run_ids\":[\"r1\",\"r2\"]}" },
                            { "POST /api/v1/functions/a%2Fb/invoke", 0, 200,
                              "{\"run_id\":\"r3\",\"event_id\":\"evt_2\"}" },
                            { "GET /api/v1/runs/none", 0, 404, "{\"error\":\"run not found\"}" },
                            { 0 } };
    struct ironflow_emit_options o = { .metadata = "{\"a\":1}", .idempotency_key = "k" };
    struct ironflow_emitted e;
    char url[64], *out = NULL;
    struct stub *stub = stub_new(rules, url, sizeof(url));
    struct ironflow_client *c =
        ironflow_client_new(&(struct ironflow_config){ .url = url, .api_key = "ifkey_1" });

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        stub_style(stub, styles[i]);
        assert_int_equal(ironflow_emit(c, "e", "{\"n\":1}", &o, &e), IRONFLOW_OK);
        assert_string_equal(e.event_id, "evt_1");
        assert_int_equal(e.run_count, 2);
        assert_string_equal(e.run_ids[1], "r2");
        ironflow_emitted_done(&e);
        assert_true(stub_wait_closed(stub, styles[i] == STUB_CLOSES)); /* else it is a race */
        assert_int_equal(ironflow_invoke(c, "a/b", NULL, NULL, &e), IRONFLOW_OK);
        assert_string_equal(e.run_ids[0], "r3");
        ironflow_emitted_done(&e);
    }
    assert_true(contains(stub_request(stub, "/events", 0), "\"idempotency_key\":\"k\""));
    assert_int_equal(ironflow_run_get(c, "none", &out), IRONFLOW_REFUSED);
    assert_int_equal(ironflow_client_status(c), 404);
    assert_string_equal(ironflow_client_error(c), "run not found (status 404)");
    assert_int_equal(ironflow_emit(c, "e", "{", NULL, &e), IRONFLOW_FAIL);
    stub_free(stub);
    assert_int_equal(ironflow_run_get(c, "none", &out), IRONFLOW_UNREACHABLE);
    ironflow_client_free(c);
}

static void unusable_urls_are_refused(void **state)
{
    static const char *const bad[] = { "localhost:9123", "ftp://x",    "http://",   "http://a b",
                                       "http://x:y",     "http://u@h", "http://h?x" };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(ironflow_client_new(&(struct ironflow_config){ .url = bad[i] }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_acknowledged_and_reported),
        cmocka_unit_test(each_step_is_reported_before_the_next),
        cmocka_unit_test(steps_are_reported_together_after_a_while),
        cmocka_unit_test(a_refused_ack_drops_the_run),
        cmocka_unit_test(an_ack_without_answer_is_repeated),
        cmocka_unit_test(a_stale_fence_stops_the_handler),
        cmocka_unit_test(refused_progress_travels_with_the_end),
        cmocka_unit_test(trouble_repeats_the_final_report),
        cmocka_unit_test(a_forgotten_worker_registers_again),
        cmocka_unit_test(a_refused_key_ends_the_worker),
        cmocka_unit_test(a_refused_function_ends_the_start),
        cmocka_unit_test(a_wait_is_yielded_with_its_steps),
        cmocka_unit_test(a_failed_step_fails_the_run),
        cmocka_unit_test(output_that_is_no_json_fails_for_good),
        cmocka_unit_test(a_missing_function_is_told),
        cmocka_unit_test(heartbeats_name_the_jobs),
        cmocka_unit_test(a_late_ack_comes_for_a_long_run),
        cmocka_unit_test(a_short_run_needs_no_ack_when_it_may_be_late),
        cmocka_unit_test(a_stop_lets_runs_finish),
        cmocka_unit_test(a_second_stop_abandons_them),
        cmocka_unit_test(a_client_emits_and_reads_ids),
        cmocka_unit_test(unusable_urls_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
