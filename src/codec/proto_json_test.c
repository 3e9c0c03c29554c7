/* Messages from JSON: the reading half of the JSON mapping rules. */
#include "codec/proto_test.h"

static void both_spellings_are_read(void **state)
{
    struct pb_register_function_request *r = FROM(
        register_function_request,
        " {\"id\":\"pack\",\"preferredMode\":\"EXECUTION_MODE_PULL\",\"unknown\":{\"x\":[1,{}]},"
        "\"debounce\":{\"period_ms\":3000,\"maxWaitMs\":\"9000\"},"
        "\"triggers\":[{\"event\":\"a.b\"},{\"cron\":\"* * * * *\"}],\"endpoint_url\":\"u\","
        "\"retry\":{\"maxAttempts\":4,\"backoff_factor\":1.5},\"secrets\":[\"A\",\"B\\u0042\"],"
        "\"metadata\":{ \"n\": 12345678901234567890, \"n\": 1e400 },\"recording\":true} ");

    (void)state;
    assert_str(r->id, "pack");
    assert_int_equal(r->preferred_mode, PB_EXECUTION_MODE_PULL);
    assert_int_equal(r->debounce->period_ms, 3000);
    assert_int_equal(r->debounce->max_wait_ms, 9000);
    assert_int_equal(r->triggers_n, 2);
    assert_str(r->triggers[0].event, "a.b");
    assert_str(r->triggers[1].cron, "* * * * *");
    assert_str(r->endpoint_url, "u");
    assert_int_equal(r->retry->max_attempts, 4);
    assert_true(r->retry->backoff_factor > 1.4);
    assert_int_equal(r->secrets_n, 2);
    assert_str(r->secrets[1], "BB");
    assert_str(r->metadata, "{ \"n\": 12345678901234567890, \"n\": 1e400 }");
    assert_true(r->recording);
    assert_null(r->concurrency);
}

static void null_is_unset(void **state)
{
    struct pb_trigger_request *t =
        FROM(trigger_request, "{\"event\":null,\"data\":null,\"version\":null,\"metadata\":null}");
    struct pb_register_function_request *r =
        FROM(register_function_request, "{\"triggers\":null,\"retry\":null,\"recording\":null}");
    struct pb_rest_emit_body *e = FROM(rest_emit_body, "{\"data\":null}");

    (void)state;
    assert_int_equal(t->event.n, 0);
    assert_int_equal(t->data.n, 0);
    assert_int_equal(r->triggers_n, 0);
    assert_null(r->retry);
    assert_str(e->data, "null"); /* a Value may be null */
}

static void payload_pairs_are_one(void **state)
{
    (void)state;
    assert_str(FROM(trigger_request, "{\"data\":{\"a\" : 1}}")->data, "{\"a\" : 1}");
    assert_str(FROM(trigger_request, "{\"dataValue\":[1]}")->data, "[1]");
    assert_str(FROM(trigger_request, "{\"data_value\":null}")->data, "null");
    assert_str(FROM(trigger_request, "{\"data\":{},\"dataValue\":7}")->data, "7");
    assert_str(FROM(trigger_request, "{\"dataValue\":7,\"data\":{}}")->data, "7");
    refused(&pb_trigger_request_desc, "{\"data\":[1]}", "data: expected an object");
    refused(&pb_trigger_request_desc, "{\"metadata\":3}", "metadata: expected an object");
}

static void enums_are_read_in_any_form(void **state)
{
    static const char *const words[] = {
        "\"RUN_STATUS_FAILED\"", "\"FAILED\"", "\"failed\"", "4", "\"4\"", "\"Run_Status_Failed\""
    };
    struct pb_list_runs_request *r;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        str_t json = str_printf(&test_arena, "{\"status\":%s}", words[i]);

        assert_int_equal(FROM(list_runs_request, str_z(&test_arena, json))->status,
                         PB_RUN_STATUS_FAILED);
    }
    assert_int_equal(FROM(list_runs_request, "{\"status\":\"pending\"}")->status,
                     PB_RUN_STATUS_WAITING_FOR_CAPACITY);
    assert_int_equal(FROM(list_runs_request, "{\"status\":\"nonsense\"}")->status, 0);
    assert_int_equal(FROM(list_runs_request, "{\"status\":1}")->status, 0);
    r = FROM(list_runs_request, "{\"statuses\":[\"paused\",\"nonsense\",3,99]}");
    assert_int_equal(r->statuses_n, 2); /* a list drops what it does not know */
    assert_int_equal(r->statuses[0], PB_RUN_STATUS_PAUSED);
    assert_int_equal(r->statuses[1], PB_RUN_STATUS_COMPLETED);
    refused(&pb_list_runs_request_desc, "{\"status\":{}}", "status: ");
}

static void numbers_have_ranges(void **state)
{
    (void)state;
    assert_int_equal(FROM(trigger_request, "{\"version\":1.0}")->version, 1);
    assert_int_equal(FROM(trigger_request, "{\"version\":\"-3\"}")->version, -3);
    assert_int_equal(
        FROM(append_event_request, "{\"expectedVersion\":\"9007199254740993\"}")->expected_version,
        9007199254740993);
    assert_int_equal(FROM(append_event_request, "{\"expected_version\":-1}")->expected_version, -1);
    refused(&pb_trigger_request_desc, "{\"version\":2147483648}", "version: not an integer");
    refused(&pb_trigger_request_desc, "{\"version\":1.5}", "version: not an integer");
    refused(&pb_trigger_request_desc, "{\"version\":\"\"}", "version: expected an integer");
    refused(&pb_trigger_request_desc, "{\"version\":\"1x\"}", "version: expected an integer");
    refused(&pb_trigger_request_desc, "{\"version\":\" 1\"}", "version: expected an integer");
    refused(&pb_trigger_request_desc, "{\"version\":true}", "version: expected an integer");
    refused(&pb_wait_projection_catchup_request_desc, "{\"minSeq\":-1}", "min_seq: not an integer");
    refused(&pb_wait_projection_catchup_request_desc, "{\"minSeq\":\"9223372036854775808\"}",
            "min_seq: ");
    refused(&pb_tool_def_desc, "{\"timeoutMs\":-1}", "timeout_ms: ");
    refused(&pb_retry_config_desc, "{\"backoffFactor\":\"x\"}", "backoff_factor: ");
}

static void times_and_durations(void **state)
{
    struct pb_wait_projection_catchup_request *w;

    (void)state;
    assert_int_equal(FROM(list_runs_request, "{\"since\":\"1970-01-01T01:00:01.5+01:00\"}")->since,
                     1500);
    refused(&pb_list_runs_request_desc, "{\"since\":\"yesterday\"}", "since: expected an RFC 3339");
    refused(&pb_list_runs_request_desc, "{\"since\":5}", "since: expected a string");
    w = FROM(wait_projection_catchup_request, "{\"timeout\":\"5.300s\"}");
    assert_true(w->has_timeout);
    assert_int_equal(w->timeout, 5300);
    w = FROM(wait_projection_catchup_request, "{\"timeout\":\"0s\"}");
    assert_true(w->has_timeout);
    assert_int_equal(w->timeout, 0);
    assert_false(FROM(wait_projection_catchup_request, "{}")->has_timeout);
    refused(&pb_wait_projection_catchup_request_desc, "{\"timeout\":\"-1s\"}", "timeout: ");
}

static void presence_of_optional_fields(void **state)
{
    struct pb_rotate_webhook_secret_request *r =
        FROM(rotate_webhook_secret_request, "{\"graceSeconds\":0}");

    (void)state;
    assert_true(r->has_grace_seconds);
    assert_false(FROM(rotate_webhook_secret_request, "{}")->has_grace_seconds);
    assert_false(FROM(rotate_webhook_secret_request, "{\"graceSeconds\":null}")->has_grace_seconds);
}

static void maps_bytes_and_masks(void **state)
{
    struct pb_worker_register *w =
        FROM(worker_register,
             "{\"labels\":{\"zone\":\"b\",\"a\\nb\":\"\"},\"version\":{\"sdk\":\"1\"}}");
    struct pb_update_consumer_group_request *u =
        FROM(update_consumer_group_request, "{\"updateMask\":\"filterExpr,ackMode\"}");

    (void)state;
    assert_int_equal(w->labels_n, 2);
    assert_str(w->labels[0].key, "zone");
    assert_str(w->labels[1].key, "a\nb");
    assert_str(w->version->sdk, "1");
    assert_str(u->update_mask, "filter_expr,ack_mode");
    assert_str(FROM(wait_event_yield, "{\"payloadJson\":\"eyJhIjoxfQ\"}")->payload_json,
               "{\"a\":1}");
    refused(&pb_wait_event_yield_desc, "{\"payloadJson\":\"!\"}", "payload_json: expected base64");
    refused(&pb_worker_register_desc, "{\"labels\":{\"a\":1}}", "labels: expected strings");
    refused(&pb_worker_register_desc, "{\"labels\":[]}", "labels: expected an object");
    refused(&pb_update_consumer_group_request_desc, "{\"updateMask\":\"a\\\"b\"}",
            "update_mask: malformed mask");
}

static void json_in_bytes_is_text_or_base64(void **state)
{
    static const char *const forms[] = { "\"{\\\"total\\\": 50}\"", "\"eyJ0b3RhbCI6IDUwfQ==\"",
                                         "{\"total\": 50}" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        str_t json = str_printf(&test_arena, "{\"new_output\":%s}", forms[i]);

        assert_str(FROM(inject_step_output_request, str_z(&test_arena, json))->new_output,
                   "{\"total\": 50}");
    }
    assert_str(FROM(inject_step_output_request, "{\"newOutput\":\"5\"}")->new_output, "5");
    refused(&pb_inject_step_output_request_desc, "{\"newOutput\":\"{oops\"}", "new_output: ");
}

static void wrong_shapes_are_named(void **state)
{
    (void)state;
    refused(&pb_trigger_request_desc, "[]", "invalid JSON at byte 0: expected an object");
    refused(&pb_trigger_request_desc, "", "invalid JSON at byte 0: unexpected end");
    refused(&pb_trigger_request_desc, "{\"event\":1}", "event: expected a string");
    refused(&pb_trigger_request_desc, "{\"event\":\"a\"", "invalid JSON at byte 12");
    refused(&pb_trigger_request_desc, "{\"event\":\"a\",}", "invalid JSON at byte 13");
    refused(&pb_trigger_request_desc, "{} {}", "invalid JSON at byte 3: text behind");
    refused(&pb_trigger_request_desc, "{\"event\":\"a\",\"event\":\"b\"}", "event: given twice");
    refused(&pb_trigger_request_desc, "{\"runIds\":[}", "invalid JSON at byte 11");
    refused(&pb_register_function_request_desc, "{\"timeoutMs\":1,\"timeout_ms\":1}",
            "timeout_ms: given twice");
    refused(&pb_register_function_request_desc, "{\"triggers\":{}}", "triggers: expected a list");
    refused(&pb_register_function_request_desc, "{\"triggers\":[1]}",
            "triggers: expected an object");
    refused(&pb_register_function_request_desc, "{\"triggers\":[{}", "invalid JSON at byte 15");
    refused(&pb_register_function_request_desc, "{\"recording\":\"true\"}", "recording: expected");
    refused(&pb_register_function_request_desc, "{\"secrets\":[null]}", "secrets: expected");
}

static void names_may_be_escaped(void **state)
{
    (void)state;
    assert_str(FROM(trigger_request, "{\"\\u0065vent\":\"x\"}")->event, "x");
}

/* A chain of objects in a payload counts together with the messages around it. */
static void depth_counts_the_whole_document(void **state)
{
    struct buf b;
    void *msg;

    (void)state;
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
        buf_init_arena(&b, &test_arena, 10000);
        buf_append(&b, S("{\"dataValue\":"));
        for (size_t i = 0; i < depth; i++)
            buf_char(&b, '[');
        for (size_t i = 0; i < depth; i++)
            buf_char(&b, ']');
        buf_char(&b, '}');
        msg = pb_new(&test_arena, &pb_trigger_request_desc);
        assert_int_equal(pb_from_json(&test_ctx, &pb_trigger_request_desc, buf_str(&b), msg),
                         depth < JSON_DEPTH_MAX ? ERR_OK : ERR_INVALID);
    }
}

static void lists_of_messages_are_bounded(void **state)
{
    struct buf b;
    void *msg = pb_new(&test_arena, &pb_trigger_batch_request_desc);

    (void)state;
    buf_init_arena(&b, &test_arena, 1 << 20);
    buf_append(&b, S("{\"events\":[{}"));
    for (int i = 1; i < PB_LIST_MAX; i++)
        buf_append(&b, S(",{}"));
    buf_append(&b, S("]}"));
    assert_int_equal(pb_from_json(&test_ctx, &pb_trigger_batch_request_desc, buf_str(&b), msg),
                     ERR_OK);
    assert_int_equal(((struct pb_trigger_batch_request *)msg)->events_n, PB_LIST_MAX);
    b.n -= 2;
    buf_append(&b, S(",{}]}"));
    assert_int_equal(pb_from_json(&test_ctx, &pb_trigger_batch_request_desc, buf_str(&b),
                                  pb_new(&test_arena, &pb_trigger_batch_request_desc)),
                     ERR_INVALID);
}

static void text_sets_one_field(void **state)
{
    struct pb_rest_list_runs_query q = { 0 };
    const struct pb_message *d = &pb_rest_list_runs_query_desc;

    (void)state;
    assert_int_equal(pb_set_text(&test_ctx, d, S("function_id"), S("f"), &q), ERR_OK);
    assert_int_equal(pb_set_text(&test_ctx, d, S("status"), S("pending, failed,"), &q), ERR_OK);
    assert_int_equal(pb_set_text(&test_ctx, d, S("since"), S("1970-01-01T00:00:01Z"), &q), ERR_OK);
    assert_int_equal(pb_set_text(&test_ctx, d, S("limit"), S("0"), &q), ERR_OK);
    assert_int_equal(pb_set_text(&test_ctx, d, S("offset"), S(""), &q), ERR_OK);
    assert_int_equal(pb_set_text(&test_ctx, d, S("whatever"), S("x"), &q), ERR_OK);
    assert_str(q.function_id, "f");
    assert_int_equal(q.status_n, 2);
    assert_int_equal(q.status[0], PB_RUN_STATUS_WAITING_FOR_CAPACITY);
    assert_int_equal(q.since, 1000);
    assert_true(q.has_limit);
    assert_int_equal(q.limit, 0);
    assert_int_equal(pb_set_text(&test_ctx, d, S("limit"), S("ten"), &q), ERR_INVALID);
    assert_string_equal(test_ctx.err.text, "limit: expected an integer");
    assert_int_equal(pb_set_text(&test_ctx, d, S("status"), S("failed,odd"), &q), ERR_INVALID);
    assert_int_equal(pb_set_text(&test_ctx, d, S("until"), S("soon"), &q), ERR_INVALID);
    assert_int_equal(pb_set_text(&test_ctx, d, S("functionId"), S("\xff"), &q), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_are_read),
        cmocka_unit_test(null_is_unset),
        cmocka_unit_test(payload_pairs_are_one),
        cmocka_unit_test(enums_are_read_in_any_form),
        cmocka_unit_test(numbers_have_ranges),
        cmocka_unit_test(times_and_durations),
        cmocka_unit_test(presence_of_optional_fields),
        cmocka_unit_test(maps_bytes_and_masks),
        cmocka_unit_test(json_in_bytes_is_text_or_base64),
        cmocka_unit_test(wrong_shapes_are_named),
        cmocka_unit_test(names_may_be_escaped),
        cmocka_unit_test(depth_counts_the_whole_document),
        cmocka_unit_test(lists_of_messages_are_bounded),
        cmocka_unit_test(text_sets_one_field),
    };

    return RUN_TESTS(tests);
}
