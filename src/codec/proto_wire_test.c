/* Messages in binary form: recorded bytes, round trips, damage. */
#include <stdlib.h>
#include <string.h>

#include "codec/proto_test.h"

/* Bytes written as hex, as the wire contract prints them. */
static str_t hex(const char *z)
{
    str_t s = str_from(z);
    char *p = arena_alloc(&test_arena, s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i + 1 < s.n; i += 2) {
        char pair[3] = { s.p[i], s.p[i + 1], 0 };

        p[n++] = (char)strtol(pair, NULL, 16);
    }
    return (str_t){ p, n };
}

static err_t read_wire(const struct pb_message *d, str_t wire, void **out)
{
    *out = pb_new(&test_arena, d);
    return pb_from_wire(&test_ctx, d, wire, *out);
}

/* JSON in, wire, JSON out in REST style. */
static str_t through_wire(const struct pb_message *d, const char *json)
{
    void *back;

    assert_int_equal(read_wire(d, to_wire(d, from_json(d, json)), &back), ERR_OK);
    return to_json(d, back, PB_REST);
}

static void the_recorded_register_frame_is_read(void **state)
{
    void *out;
    struct pb_worker_register *r;

    (void)state;
    assert_int_equal(
        read_wire(&pb_worker_message_desc,
                  hex("0a1d0a0277311201681a026631200a2a060a016112016232060a0178120179"), &out),
        ERR_OK);
    r = ((struct pb_worker_message *)out)->register_;
    assert_str(r->worker_id, "w1");
    assert_str(r->hostname, "h");
    assert_int_equal(r->function_ids_n, 1);
    assert_str(r->function_ids[0], "f1");
    assert_int_equal(r->max_concurrent_jobs, 10);
    assert_str(r->labels[0].key, "a");
    assert_str(r->labels[0].value, "b");
    assert_str(r->version->runtime, "y");
}

static void the_recorded_reply_is_written(void **state)
{
    struct pb_worker_registered r = { .worker_id = S("w1"), .heartbeat_interval_ms = 15000 };
    struct pb_engine_message m = { .registered = &r };

    (void)state;
    assert_true(str_eq(to_wire(&pb_engine_message_desc, &m), hex("0a070a027731109875")));
}

static void every_kind_survives_the_round_trip(void **state)
{
    (void)state;
    assert_str(
        through_wire(&pb_run_desc,
                     "{\"id\":\"r\",\"status\":\"failed\",\"attempt\":-2,\"input\":{\"a\":[1,2.5,"
                     "true,null,\"x\\n\",{\"b\":{}},[]]},\"outputValue\":[],\"error\":{\"message\":"
                     "\"m\",\"retryable\":true},\"started_at\":\"2026-05-02T08:00:00.123Z\"}"),
        "{\"id\":\"r\",\"function_id\":\"\",\"event_id\":\"\",\"input\":{\"a\":[1,2.5,true,null,"
        "\"x\\n\",{\"b\":{}},[]]},\"output\":[],\"error\":{\"message\":\"m\",\"retryable\":true},"
        "\"status\":\"failed\",\"attempt\":-2,\"max_attempts\":0,"
        "\"started_at\":\"2026-05-02T08:00:00.123Z\",\"created_at\":\"1970-01-01T00:00:00Z\","
        "\"updated_at\":\"1970-01-01T00:00:00Z\"}");
    assert_str(through_wire(&pb_list_runs_request_desc,
                            "{\"statuses\":[\"failed\",\"paused\"],\"limit\":300}"),
               "{\"limit\":300,\"statuses\":[\"failed\",\"paused\"]}");
    assert_str(through_wire(&pb_query_sql_row_desc,
                            "{\"values\":[\"\",\"b\"],\"typedValues\":[null,\"x\",{\"a\":false}]}"),
               "{\"values\":[\"\",\"b\"],\"typed_values\":[null,\"x\",{\"a\":false}]}");
    assert_str(
        through_wire(&pb_health_response_desc, "{\"components\":{\"db\":{\"status\":\"up\"}}}"),
        "{\"components\":{\"db\":{\"status\":\"up\"}}}");
    assert_str(through_wire(&pb_update_consumer_group_request_desc, "{\"updateMask\":\"aB,c\"}"),
               "{\"update_mask\":\"aB,c\"}");
    assert_str(
        through_wire(&pb_rebuild_job_desc, "{\"progress\":0.25,\"estimatedRemaining\":\"1.5s\"}"),
        "{\"progress\":0.25,\"estimated_remaining\":\"1.500s\"}");
    assert_str(through_wire(&pb_rotate_webhook_secret_request_desc, "{\"graceSeconds\":0}"),
               "{\"grace_seconds\":0}");
    assert_str(through_wire(&pb_event_desc, "{\"timestamp\":\"1969-12-31T23:59:59.750Z\"}"),
               "{\"timestamp\":\"1969-12-31T23:59:59.750Z\"}");
}

static void a_payload_that_is_no_object_goes_into_both_fields(void **state)
{
    struct pb_job_completed j = { .output = S("true") };
    str_t wire = to_wire(&pb_job_completed_desc, &j);
    void *out;

    (void)state;
    assert_true(str_eq(wire, hex("120d0a0b0a0576616c7565120220013202"
                                 "2001")));
    assert_int_equal(read_wire(&pb_job_completed_desc, wire, &out), ERR_OK);
    assert_str(((struct pb_job_completed *)out)->output, "true");
    /* the companion first: it still wins */
    assert_int_equal(read_wire(&pb_job_completed_desc,
                               hex("32022001"
                                   "120d0a0b0a0576616c756512022001"),
                               &out),
                     ERR_OK);
    assert_str(((struct pb_job_completed *)out)->output, "true");
}

static void long_content_has_long_lengths(void **state)
{
    struct buf b;
    void *out;
    char *text = arena_alloc(&test_arena, 20000);
    struct pb_job_completed j = { .job_id = S("x") };

    (void)state;
    memset(text, 'y', 20000);
    buf_init_arena(&b, &test_arena, 1 << 20);
    buf_append(&b, S("{\"a\":[{\"b\":\""));
    buf_append(&b, (str_t){ text, 20000 });
    buf_append(&b, S("\"},\""));
    buf_append(&b, (str_t){ text, 200 });
    buf_append(&b, S("\"]}"));
    j.output = buf_str(&b);
    assert_int_equal(read_wire(&pb_job_completed_desc, to_wire(&pb_job_completed_desc, &j), &out),
                     ERR_OK);
    assert_true(str_eq(((struct pb_job_completed *)out)->output, j.output));
}

static void packed_and_unpacked_lists_are_read(void **state)
{
    void *out;
    struct pb_list_runs_request *r;

    (void)state;
    assert_int_equal(read_wire(&pb_list_runs_request_desc, hex("52030402635004500763"), &out),
                     ERR_INVALID); /* a stray byte at the end */
    assert_int_equal(read_wire(&pb_list_runs_request_desc,
                               hex("5203040263"
                                   "50045007"),
                               &out),
                     ERR_OK);
    r = out;
    assert_int_equal(r->statuses_n, 4); /* 0x63 is no status and is dropped */
    assert_int_equal(r->statuses[0], 4);
    assert_int_equal(r->statuses[1], 2);
    assert_int_equal(r->statuses[3], 7);
}

static void unknown_fields_are_skipped(void **state)
{
    void *out;

    (void)state;
    /* 1000: varint, fixed64, bytes, fixed32; then id */
    assert_int_equal(read_wire(&pb_get_run_request_desc,
                               hex("c03e05"
                                   "c13e0102030405060708"
                                   "c23e0161"
                                   "c53e01020304"
                                   "0a0172"),
                               &out),
                     ERR_OK);
    assert_str(((struct pb_get_run_request *)out)->id, "r");
}

static void malformed_bytes_are_refused(void **state)
{
    static const char *const bad[] = {
        "0a",
        "0a05",
        "0a0161ff",
        "ffffffffffffffffffff01",
        "08",
        "00",
        "0b",
        "0e0161",
        "0801",   /* id as a varint */
        "0a01ff", /* not UTF-8 */
        "0affffffffffffffff7f",
        "0a80808080808080808001",
    };
    void *out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (read_wire(&pb_get_run_request_desc, hex(bad[i]), &out) != ERR_INVALID)
            print_error("accepted: %s\n", bad[i]);
        assert_int_equal(read_wire(&pb_get_run_request_desc, hex(bad[i]), &out), ERR_INVALID);
    }
}

static void bad_times_and_payloads_are_refused(void **state)
{
    void *out;

    (void)state;
    /* since: nanos 10^9; seconds beyond the year 9999; min_seq above 2^63 */
    assert_int_equal(read_wire(&pb_list_runs_request_desc, hex("1a06108094ebdc03"), &out),
                     ERR_INVALID);
    assert_int_equal(read_wire(&pb_list_runs_request_desc, hex("1a0708ffffffffff7f"), &out),
                     ERR_INVALID);
    assert_int_equal(
        read_wire(&pb_wait_projection_catchup_request_desc, hex("10ffffffffffffffffff01"), &out),
        ERR_INVALID);
    /* output_value: NaN; a string that is no UTF-8; a struct cut short; number as a varint */
    assert_int_equal(read_wire(&pb_job_completed_desc, hex("320911000000000000f87f"), &out),
                     ERR_INVALID);
    assert_int_equal(read_wire(&pb_job_completed_desc, hex("32031a01ff"), &out), ERR_INVALID);
    assert_int_equal(read_wire(&pb_job_completed_desc, hex("32042a020a05"), &out), ERR_INVALID);
    assert_int_equal(read_wire(&pb_job_completed_desc, hex("32021005"), &out), ERR_INVALID);
    /* update_mask: a path with a quote, which would end the text that it is printed in */
    assert_int_equal(read_wire(&pb_update_consumer_group_request_desc, hex("12050a03612262"), &out),
                     ERR_INVALID);
}

/* Lists in lists: each level is tag and length around the one inside. */
static str_t nested_value(size_t depth)
{
    struct buf b;
    size_t opens[2 * 200];

    assert_true(depth <= 200);
    buf_init_arena(&b, &test_arena, 10000);
    for (size_t i = 0; i < depth; i++) {
        opens[2 * i] = pb_put_open(&b, 6);
        opens[2 * i + 1] = pb_put_open(&b, 1);
    }
    for (size_t i = 2 * depth; i > 0; i--)
        pb_put_close(&b, opens[i - 1]);
    return buf_str(&b);
}

static void the_depth_of_payloads_is_bounded(void **state)
{
    struct json_error e;
    str_t out, value;

    (void)state;
    assert_int_equal(pb_payload_to_json(&test_ctx, nested_value(JSON_DEPTH_MAX), false, &out),
                     ERR_OK);
    assert_true(json_check(out, &value, &e));
    assert_int_equal(pb_payload_to_json(&test_ctx, nested_value(JSON_DEPTH_MAX + 1), false, &out),
                     ERR_INVALID);
}

static void numbers_beyond_a_double_travel_as_text(void **state)
{
    (void)state;
    assert_str(through_wire(&pb_trigger_request_desc, "{\"dataValue\":[1e400,1e300]}"),
               "{\"data\":[\"1e400\",1e+300]}");
}

/* Every prefix and every flipped byte of a message full of kinds. */
static void damage_is_survived(void **state)
{
    str_t wire = to_wire(
        &pb_worker_message_desc,
        from_json(&pb_worker_message_desc,
                  "{\"jobFailed\":{\"jobId\":\"j\",\"error\":{\"message\":\"m\",\"details\":"
                  "{\"a\":[1,{\"b\":null}]}},\"steps\":[{\"id\":\"s\",\"outputValue\":[true]}]},"
                  "\"heartbeat\":{\"jobs\":[{\"startedAt\":\"2026-05-02T08:00:00Z\"}],"
                  "\"metrics\":{\"cpuPercent\":0.5}},\"register\":{\"labels\":{\"a\":\"b\"}}}"));
    char *copy = malloc(wire.n);
    void *out;

    (void)state;
    assert_non_null(copy);
    for (size_t i = 0; i < wire.n; i++) {
        char *cut = malloc(i + 1); /* exact sizes, so that the sanitizer sees a step too far */

        assert_non_null(cut);
        memcpy(cut, wire.p, i);
        (void)read_wire(&pb_worker_message_desc, (str_t){ cut, i }, &out);
        free(cut);
        for (int k = 0; k < 256; k += 3) {
            memcpy(copy, wire.p, wire.n);
            copy[i] = (char)k;
            if (read_wire(&pb_worker_message_desc, (str_t){ copy, wire.n }, &out) == ERR_OK)
                (void)to_json(&pb_worker_message_desc, out, PB_RPC);
        }
    }
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_recorded_register_frame_is_read),
        cmocka_unit_test(the_recorded_reply_is_written),
        cmocka_unit_test(every_kind_survives_the_round_trip),
        cmocka_unit_test(a_payload_that_is_no_object_goes_into_both_fields),
        cmocka_unit_test(long_content_has_long_lengths),
        cmocka_unit_test(packed_and_unpacked_lists_are_read),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(bad_times_and_payloads_are_refused),
        cmocka_unit_test(the_depth_of_payloads_is_bounded),
        cmocka_unit_test(numbers_beyond_a_double_travel_as_text),
        cmocka_unit_test(damage_is_survived),
    };

    return RUN_TESTS(tests);
}
