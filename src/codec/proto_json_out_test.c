/* Messages to JSON in each style, and the enums' words. */
#include "codec/proto_test.h"

static struct pb_run sample_run(void)
{
    return (struct pb_run){
        .id = S("run_1"),
        .function_id = S("f"),
        .execution_mode = PB_EXECUTION_MODE_PULL,
        .status = PB_RUN_STATUS_WAITING_FOR_CAPACITY,
        .attempt = 1,
        .input = S("{\"n\":12345678901234567890}"),
        .output = S("[1]"),
        .created_at = 1500,
        .updated_at = 2000,
    };
}

static void rpc_style(void **state)
{
    struct pb_run run = sample_run();

    (void)state;
    assert_str(TO(run, &run, PB_RPC),
               "{\"id\":\"run_1\",\"functionId\":\"f\",\"eventId\":\"\","
               "\"executionMode\":\"EXECUTION_MODE_PULL\",\"input\":{\"n\":12345678901234567890},"
               "\"output\":[1],\"outputValue\":[1],\"status\":\"RUN_STATUS_WAITING_FOR_CAPACITY\","
               "\"attempt\":1,\"maxAttempts\":0,\"createdAt\":\"1970-01-01T00:00:01.500Z\","
               "\"updatedAt\":\"1970-01-01T00:00:02Z\"}");
}

static void strict_style_wraps_what_is_no_object(void **state)
{
    struct pb_run_result r = { .run_id = S("r"), .status = PB_RUN_STATUS_COMPLETED };

    (void)state;
    r.output = S("null");
    assert_str(TO(run_result, &r, PB_RPC_STRICT),
               "{\"runId\":\"r\",\"functionId\":\"\",\"status\":\"RUN_STATUS_COMPLETED\","
               "\"output\":{\"value\":null},\"outputValue\":null,\"durationMs\":0}");
    r.output = S("{\"a\":1}");
    assert_str(TO(run_result, &r, PB_RPC_STRICT),
               "{\"runId\":\"r\",\"functionId\":\"\",\"status\":\"RUN_STATUS_COMPLETED\","
               "\"output\":{\"a\":1},\"durationMs\":0}");
}

static void rest_style(void **state)
{
    struct pb_run run = sample_run();
    struct pb_rest_run_list list = { .runs = &run, .runs_n = 1, .count = 1, .total_count = 9 };

    (void)state;
    assert_str(
        TO(rest_run_list, &list, PB_REST),
        "{\"runs\":[{\"id\":\"run_1\",\"function_id\":\"f\",\"event_id\":\"\","
        "\"execution_mode\":\"pull\",\"input\":{\"n\":12345678901234567890},\"output\":[1],"
        "\"status\":\"pending\",\"attempt\":1,\"max_attempts\":0,"
        "\"created_at\":\"1970-01-01T00:00:01.500Z\",\"updated_at\":\"1970-01-01T00:00:02Z\"}],"
        "\"count\":1,\"total_count\":9}");
    list = (struct pb_rest_run_list){ 0 };
    assert_str(TO(rest_run_list, &list, PB_REST), "{\"runs\":[],\"count\":0,\"total_count\":0}");
    assert_str(TO(rest_run_list, &list, PB_RPC), "{\"count\":0,\"totalCount\":\"0\"}");
}

static void rest_with_both_spellings(void **state)
{
    struct pb_resume_run_request r = { .run_id = S("r") };

    (void)state;
    assert_str(TO(resume_run_request, &r, PB_REST_BOTH), "{\"runId\":\"r\",\"run_id\":\"r\"}");
}

static void both_spellings_of_the_history(void **state)
{
    struct pb_function fn = { .id = S("f"), .timeout_ms = 5, .status = PB_FUNCTION_STATUS_ACTIVE };
    struct pb_function_history_entry entry = { .entity_version = 3, .function_snapshot = &fn };
    struct pb_get_function_at_version_response r = { .entry = &entry };

    (void)state;
    assert_str(
        TO(get_function_at_version_response, &r, PB_RPC),
        "{\"entry\":{\"entityVersion\":\"3\",\"entity_version\":3,"
        "\"functionSnapshot\":{\"id\":\"f\",\"timeoutMs\":5,\"status\":\"FUNCTION_STATUS_ACTIVE\"},"
        "\"function_snapshot\":{\"id\":\"f\",\"timeout_ms\":5,"
        "\"status\":\"FUNCTION_STATUS_ACTIVE\"}}}");
    assert_str(TO(get_function_at_version_response, &r, PB_RPC_STRICT),
               "{\"entry\":{\"entityVersion\":\"3\",\"functionSnapshot\":{\"id\":\"f\","
               "\"timeoutMs\":5,\"status\":\"FUNCTION_STATUS_ACTIVE\"}}}");
}

static void both_spellings_of_a_payload(void **state)
{
    struct pb_audit_event e = { .id = S("a"), .payload = S("1"), .run_id = S("r") };
    struct pb_get_audit_trail_response r = { .events = &e, .events_n = 1 };

    (void)state;
    assert_str(TO(get_audit_trail_response, &r, PB_RPC),
               "{\"events\":[{\"id\":\"a\",\"runId\":\"r\",\"run_id\":\"r\",\"payload\":1,"
               "\"payloadValue\":1,\"payload_value\":1,\"metadata\":{}}],"
               "\"totalCount\":0,\"total_count\":0}");
}

static void json_in_bytes_is_text_except_in_strict_style(void **state)
{
    struct pb_inject_step_output_response r = { .step_id = S("s"),
                                                .previous_output = S("{\"total\": 42}") };

    (void)state;
    assert_str(TO(inject_step_output_response, &r, PB_RPC),
               "{\"stepId\":\"s\",\"step_id\":\"s\",\"previousOutput\":\"{\\\"total\\\": 42}\","
               "\"previous_output\":\"{\\\"total\\\": 42}\"}");
    assert_str(TO(inject_step_output_response, &r, PB_RPC_STRICT),
               "{\"stepId\":\"s\",\"previousOutput\":\"eyJ0b3RhbCI6IDQyfQ==\"}");
}

static void webhooks_answer_in_snake_case(void **state)
{
    struct pb_webhook_source s = { .id = S("wh_1"), .event_prefix = S("p"), .created_at = 1000 };
    const char *want =
        "{\"id\":\"wh_1\",\"event_prefix\":\"p\",\"created_at\":\"1970-01-01T00:00:01Z\"}";

    (void)state;
    assert_str(TO(webhook_source, &s, PB_RPC), want);
    assert_str(TO(webhook_source, &s, PB_RPC_STRICT), want);
}

static void waits_answer_numbers_and_camel_case(void **state)
{
    struct pb_wait_projection_catchup_response r = { .caught_up = true, .current_seq = 58 };
    const char *want = "{\"caughtUp\":true,\"timedOut\":false,\"currentSeq\":58,\"targetSeq\":0,"
                       "\"behindByEvents\":0,\"rebuilding\":false,\"mode\":\"\"}";

    (void)state;
    assert_str(TO(wait_projection_catchup_response, &r, PB_REST), want);
    assert_str(TO(wait_projection_catchup_response, &r, PB_RPC), want);
}

static void the_rest_of_the_kinds(void **state)
{
    struct pb_component_health ok = { .status = S("up") };
    struct pb_component_health_pair pair = { S("db"), &ok };
    struct pb_health_response h = { .status = S("healthy"),
                                    .components = &pair,
                                    .components_n = 1 };
    str_t values[] = { S("a"), S("b") }, typed[] = { S("1"), S("null") };
    struct pb_query_sql_row row = {
        .values = values, .values_n = 2, .typed_values = typed, .typed_values_n = 2
    };
    struct pb_rebuild_job job = { .progress = 0.5, .estimated_remaining = 5300, .dry_run = true };
    struct pb_update_consumer_group_request u = { .update_mask = S("filter_expr,ack_mode") };
    struct pb_wait_event_yield y = { .payload_json = S("\xff\x01") };
    struct pb_subscribe_options o = { .has_start_after_sequence = true };

    (void)state;
    assert_str(TO(health_response, &h, PB_RPC),
               "{\"status\":\"healthy\",\"components\":{\"db\":{\"status\":\"up\"}}}");
    assert_str(TO(query_sql_row, &row, PB_RPC),
               "{\"values\":[\"a\",\"b\"],\"typedValues\":[1,null]}");
    assert_str(TO(rebuild_job, &job, PB_RPC),
               "{\"progress\":0.5,\"estimatedRemaining\":\"5.300s\",\"dryRun\":true}");
    assert_str(TO(update_consumer_group_request, &u, PB_RPC),
               "{\"updateMask\":\"filterExpr,ackMode\"}");
    assert_str(TO(wait_event_yield, &y, PB_RPC), "{\"payloadJson\":\"/wE=\"}");
    assert_str(TO(subscribe_options, &o, PB_RPC), "{\"startAfterSequence\":\"0\"}");
}

static void a_job_has_what_the_clients_insist_on(void **state)
{
    struct pb_rest_completed_step step = { .step_id = S("r:s:0"), .name = S("s") };
    struct pb_rest_job_event event = {
        .id = S("e"), .name = S("n"), .data = S("{}"), .timestamp = 1000, .version = 1
    };
    struct pb_rest_job job = { .job_id = S("j"),
                               .run_id = S("r"),
                               .function_id = S("f"),
                               .attempt = 1,
                               .event = &event,
                               .completed_steps = &step,
                               .completed_steps_n = 1,
                               .execution_seq = 2,
                               .lease_token = S("t") };

    (void)state;
    assert_str(TO(rest_job, &job, PB_REST),
               "{\"job_id\":\"j\",\"run_id\":\"r\",\"function_id\":\"f\",\"attempt\":1,"
               "\"event\":{\"id\":\"e\",\"name\":\"n\",\"data\":{},"
               "\"timestamp\":\"1970-01-01T00:00:01Z\",\"version\":1},"
               "\"completed_steps\":[{\"step_id\":\"r:s:0\",\"name\":\"s\",\"output\":null}],"
               "\"step_sequence_base\":0,\"execution_seq\":2,\"lease_token\":\"t\"}");
}

static void words_of_enums(void **state)
{
    int32_t v = 77;

    (void)state;
    assert_str(pb_enum_name(&pb_run_status_enum, PB_RUN_STATUS_FAILED), "RUN_STATUS_FAILED");
    assert_str(pb_enum_name(&pb_run_status_enum, 99), "RUN_STATUS_UNSPECIFIED");
    assert_str(pb_enum_word(&pb_step_status_enum, PB_STEP_STATUS_TIMED_OUT), "timed_out");
    assert_str(pb_enum_word(&pb_run_status_enum, PB_RUN_STATUS_WAITING_FOR_CAPACITY), "pending");
    assert_true(pb_enum_parse(&pb_run_status_enum, S("Waiting_For_Capacity"), &v));
    assert_int_equal(v, PB_RUN_STATUS_WAITING_FOR_CAPACITY);
    assert_false(pb_enum_parse(&pb_run_status_enum, S("1"), &v));
    assert_false(pb_enum_parse(&pb_run_status_enum, S(""), &v));
    assert_int_equal(v, PB_RUN_STATUS_WAITING_FOR_CAPACITY);
}

static void every_rpc_is_listed_once(void **state)
{
    size_t n = 0, streams = 0, gets = 0;

    (void)state;
    for (; pb_rpcs[n].path.n; n++) {
        streams += pb_rpcs[n].kind != PB_UNARY;
        gets += pb_rpcs[n].get;
        for (size_t k = 0; k < n; k++)
            assert_false(str_eq(pb_rpcs[k].path, pb_rpcs[n].path));
    }
    assert_int_equal(n, 113);
    assert_int_equal(streams, 6);
    assert_true(gets > 30);
    assert_str(pb_rpcs[0].path, "/ironflow.v1.AgentToolsService/RegisterTool");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rpc_style),
        cmocka_unit_test(strict_style_wraps_what_is_no_object),
        cmocka_unit_test(rest_style),
        cmocka_unit_test(rest_with_both_spellings),
        cmocka_unit_test(both_spellings_of_the_history),
        cmocka_unit_test(both_spellings_of_a_payload),
        cmocka_unit_test(json_in_bytes_is_text_except_in_strict_style),
        cmocka_unit_test(webhooks_answer_in_snake_case),
        cmocka_unit_test(waits_answer_numbers_and_camel_case),
        cmocka_unit_test(the_rest_of_the_kinds),
        cmocka_unit_test(a_job_has_what_the_clients_insist_on),
        cmocka_unit_test(words_of_enums),
        cmocka_unit_test(every_rpc_is_listed_once),
    };

    return RUN_TESTS(tests);
}
