/* Publishing from a handler, against a server that plays from rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/stub.h"
#include "worker_priv.h"

#define JOB(completed)                                                                             \
    "{\"jobs\":[{\"job_id\":\"job_1\",\"run_id\":\"run_1\",\"function_id\":\"f\",\"attempt\":1,"   \
    "\"event\":{\"data\":{}},\"completed_steps\":[" completed "],\"execution_seq\":1,"             \
    "\"lease_token\":\"tok\"}]}"
#define POLL "GET /api/v1/workers/w1/jobs"
#define ONE_JOB(completed)                                                                         \
    { POLL, 1, 200, JOB(completed) },                                                              \
    {                                                                                              \
        POLL, 0, 204, ""                                                                           \
    }
#define REPORT "PUT /api/v1/workers/w1/jobs/job_1 "
#define PUBLISH "POST /ironflow.v1.PubSubService/Publish "
#define DONE "{\"status\":\"completed\""
#define FAILED "{\"status\":\"failed\",\"error\":{\"message\":"

static void quiet(void *arg, const char *line)
{
    (void)arg, (void)line;
}

static int mail(struct ironflow_run *run, void *arg)
{
    struct ironflow_published out;
    int rc = ironflow_publish(run, "mail.out", arg, &out);

    if (rc == IRONFLOW_OK)
        ironflow_run_output(
            run, ironflow_run_printf(run, "[\"%s\",\"%s\"]", out.event_id, out.sequence));
    return rc;
}

static int mail_branch(struct ironflow_run *branch, size_t index, void *arg)
{
    (void)index;
    return mail(branch, arg);
}

static int mails(struct ironflow_run *run, void *arg)
{
    const struct ironflow_map map = { .count = 3, .fn = mail_branch, .arg = arg };
    const char *outs[3];
    int rc = ironflow_map(run, "m", &map, outs);

    if (rc == IRONFLOW_OK)
        ironflow_run_output(run, outs[2]);
    return rc;
}

static void *run_worker(void *arg)
{
    (void)ironflow_worker_run(arg);
    return NULL;
}

/* Runs the handler once; the stub has its final report, which must begin with `report`. */
static struct stub *play(struct rule *rules, ironflow_handler handler, const char *data,
                         const char *report)
{
    char url[64], *arg = data != NULL ? mem_strdup(data) : NULL;
    struct ironflow_function f = { .id = "f", .handler = handler, .arg = arg };
    struct stub *stub = stub_new(rules, url, sizeof(url));
    struct ironflow_worker_config config = { .client = { .url = url },
                                             .id = "w1",
                                             .max_concurrent = 1,
                                             .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE,
                                             .log = quiet };
    struct ironflow_worker *w = ironflow_worker_new(&config);
    pthread_t thread;
    bool came;

    ironflow_worker_add(w, &f);
    assert_int_equal(pthread_create(&thread, NULL, run_worker, w), 0);
    came = stub_wait(stub, REPORT, 1);
    ironflow_worker_stop(w);
    pthread_join(thread, NULL);
    ironflow_worker_free(w);
    free(arg);
    assert_true(came);
    came = strncmp(stub_request(stub, REPORT, 0) + strlen(REPORT), report, strlen(report)) == 0;
    if (!came)
        print_error("%s\n", stub_request(stub, REPORT, 0));
    assert_true(came);
    return stub;
}

static bool contains(const char *request, const char *part)
{
    return request != NULL && strstr(request, part) != NULL;
}

static void a_message_is_a_step_and_names_its_run(void **state)
{
    struct rule rules[] = { ONE_JOB(""),
                            { PUBLISH, 0, 200, "{\"eventId\":\"evt_9\",\"sequence\":\"42\"}" },
                            { 0 } };
    struct stub *s = play(rules, mail, "{\"to\":\"ann\"}",
                          DONE ",\"output\":[\"evt_9\",\"42\"],\"step_offset\":0,\"steps\":[{"
                               "\"id\":\"run_1:publish:mail.out:0\",\"name\":\"publish:mail.out\","
                               "\"type\":\"invoke\",\"status\":\"completed\"");
    const char *r = stub_request(s, PUBLISH, 0);

    (void)state;
    assert_true(contains(r, "{\"topic\":\"mail.out\",\"data\":{\"to\":\"ann\"},"
                            "\"idempotencyKey\":\"run_1:publish:mail.out:0\"}"));
    assert_true(contains(r, "\r\nX-Ironflow-Run-ID: run_1\r\n"));
    assert_true(contains(stub_request(s, REPORT, 0),
                         "\"output\":{\"eventId\":\"evt_9\",\"sequence\":\"42\"}"));
    assert_false(contains(stub_request(s, REPORT, 0), "X-Ironflow-Run-ID"));
    stub_free(s);
}

static void what_is_no_object_travels_as_a_value(void **state)
{
    struct rule rules[] = { ONE_JOB(""),
                            { PUBLISH, 0, 200, "{\"eventId\":\"evt_9\",\"sequence\":43}" },
                            { 0 } };
    struct stub *s = play(rules, mail, " [1] ", DONE ",\"output\":[\"evt_9\",\"43\"]");

    (void)state;
    assert_true(contains(stub_request(s, PUBLISH, 0), "\"mail.out\",\"dataValue\":[1],"));
    stub_free(s);
}

static void a_message_is_not_published_again(void **state)
{
    struct rule rules[] = {
        ONE_JOB("{\"step_id\":\"run_1:publish:mail.out:0\",\"name\":\"publish:mail.out\","
                "\"output\":{\"eventId\":\"evt_7\",\"sequence\":\"7\"}}"),
        { 0 }
    };
    struct stub *s = play(rules, mail, NULL, DONE ",\"output\":[\"evt_7\",\"7\"]");

    (void)state;
    assert_int_equal(stub_count(s, PUBLISH), 0);
    stub_free(s);
}

static void a_server_without_topics_fails_the_run_clearly(void **state)
{
    struct rule rules[] = { ONE_JOB(""),
                            { PUBLISH, 0, 501,
                              "{\"code\":\"unimplemented\",\"message\":\"topics are not built\"}" },
                            { 0 } };
    struct stub *s = play(rules, mail, NULL,
                          FAILED "\"publish to mail.out: topics are not built (status 501)\","
                                 "\"code\":\"PUBLISH_FAILED\",\"retryable\":false}");
    const char *r = stub_request(s, REPORT, 0);

    (void)state;
    assert_true(contains(r, "\"name\":\"publish:mail.out\"") &&
                contains(r, "\"status\":\"failed\",\"started_at\""));
    assert_int_equal(stub_count(s, PUBLISH), 1);
    assert_true(contains(stub_request(s, PUBLISH, 0), "\"data\":{},"));
    stub_free(s);
}

static void trouble_is_retried_and_refusal_is_not(void **state)
{
    static const struct {
        int status;
        const char *body, *retryable;
    } rows[] = {
        { 503, "{}", "\"retryable\":true}" },
        { 429, "{}", "\"retryable\":true}" },
        { 400, "{\"message\":\"reserved\"}", "\"retryable\":false}" },
        { 401, "{}", "\"retryable\":false}" },
        { 200, "{\"sequence\":\"1\"}", "\"retryable\":true}" },
        { 200, "no JSON", "\"retryable\":true}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rule rules[] = { ONE_JOB(""), { PUBLISH, 0, rows[i].status, rows[i].body }, { 0 } };
        struct stub *s = play(rules, mail, NULL, FAILED "\"publish to mail.out: ");

        assert_true(contains(stub_request(s, REPORT, 0), rows[i].retryable));
        stub_free(s);
    }
}

static void broken_data_is_not_sent(void **state)
{
    struct rule rules[] = { ONE_JOB(""), { 0 } };
    struct stub *s = play(rules, mail, "{", FAILED "\"publish to mail.out: the data is not JSON\"");

    (void)state;
    assert_int_equal(stub_count(s, PUBLISH), 0);
    stub_free(s);
}

static void branches_publish_side_by_side(void **state)
{
    struct rule rules[] = { ONE_JOB(""),
                            { PUBLISH, 0, 200, "{\"eventId\":\"evt_9\",\"sequence\":\"42\"}" },
                            { 0 } };
    struct stub *s = play(rules, mails, NULL, DONE ",\"output\":[\"evt_9\",\"42\"]");

    (void)state;
    assert_int_equal(stub_count(s, PUBLISH), 3);
    for (int i = 0; i < 3; i++) {
        char key[64];

        (void)snprintf(key, sizeof(key), "\"idempotencyKey\":\"run_1:m:%d:publish:mail.out:0\"", i);
        assert_int_equal(stub_count(s, key), 1);
    }
    stub_free(s);
}

static void a_push_handler_publishes(void **state)
{
    static const char body[] = "{\"run_id\":\"run_1\",\"function_id\":\"f\",\"event\":{},"
                               "\"steps\":[]}";
    struct rule rules[] = { { PUBLISH, 0, 200, "{\"eventId\":\"evt_9\",\"sequence\":\"42\"}" },
                            { 0 } };
    const struct ironflow_function functions[] = { { .id = "f", .handler = mails } };
    char url[64], *answer;
    struct stub *s = stub_new(rules, url, sizeof(url));
    struct ironflow_push push = { .functions = functions,
                                  .functions_n = 1,
                                  .client = { .url = url } };
    int status = 0;

    (void)state;
    answer = ironflow_push_handle(&push, NULL, body, sizeof(body) - 1, &status);
    assert_int_equal(status, 200);
    assert_true(contains(answer, "{\"status\":\"completed\",\"result\":[\"evt_9\",\"42\"],"
                                 "\"steps\":[{\"id\":\"run_1:m:"));
    assert_int_equal(stub_count(s, PUBLISH), 3);
    assert_true(contains(stub_request(s, PUBLISH, 0), "\r\nX-Ironflow-Run-ID: run_1\r\n"));
    ironflow_free(answer);
    push.client.url = "ftp://nowhere";
    answer = ironflow_push_handle(&push, NULL, body, sizeof(body) - 1, &status);
    assert_int_equal(status, 500);
    ironflow_free(answer);
    stub_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_a_step_and_names_its_run),
        cmocka_unit_test(what_is_no_object_travels_as_a_value),
        cmocka_unit_test(a_message_is_not_published_again),
        cmocka_unit_test(a_server_without_topics_fails_the_run_clearly),
        cmocka_unit_test(trouble_is_retried_and_refusal_is_not),
        cmocka_unit_test(broken_data_is_not_sent),
        cmocka_unit_test(branches_publish_side_by_side),
        cmocka_unit_test(a_push_handler_publishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
