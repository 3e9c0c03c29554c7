/* From requests to messages: bodies, queries, paths, Connect's headers and GET. */
#include "api/api_priv.h"
#include "base/test.h"

static struct arena arena;
static struct router *router;
static struct http_req req;
static struct api_call *call;

/* Decodes a request whose headers are given as "name: value" lines. */
static err_t decode(const char *method, const char *path, const char *query, const char *headers,
                    const char *body)
{
    str_t rest = str_from(headers), line;

    req = (struct http_req){ .method = str_from(method),
                             .path = str_from(path),
                             .query = str_from(query),
                             .body = str_from(body) };
    req.headers = NEW_N(&arena, struct http_header, 8);
    while (str_cut(&rest, '\n', &line)) {
        struct http_header *h = &req.headers[req.headers_n++];

        h->value = line;
        assert_true(str_cut(&h->value, ':', &h->name));
        h->value = str_trim(h->value);
    }
    call = NEW(&arena, struct api_call);
    call_init(&call->call, CALL_READ, NULL, call, &arena);
    call->req = &req;
    call->arrived_ms = 1000;
    call->rpc = str_starts(req.path, S("/ironflow.v1."));
    api_head_read(&req, &call->head);
    router_find(router, router_method(req.method), req.path, &call->match);
    assert_non_null(call->match.ep);
    call->ep = call->match.ep;
    return api_decode(&call->call.ctx, call);
}

static str_t why(void)
{
    return err_text(&call->call.ctx, call->call.ctx.err.code);
}

#define TRIGGER "/ironflow.v1.IronflowService/Trigger"
#define GET_RUN "/ironflow.v1.IronflowService/GetRun"
#define JSON_TYPE "content-type: application/json"

static void rest_bodies_need_no_content_type(void **state)
{
    const struct pb_rest_emit_body *in;

    (void)state;
    assert_int_equal(decode("POST", "/api/v1/events", "", "",
                            "{\"name\":\"a.b\",\"data\":{\"n\":1e400},\"idempotencyKey\":\"k\"}"),
                     ERR_OK);
    in = call->in;
    assert_str(in->name, "a.b");
    assert_str(in->data, "{\"n\":1e400}");
    assert_str(in->idempotency_key, "k");
    assert_int_equal(decode("POST", "/api/v1/events", "", "content-type: text/plain", "{}"),
                     ERR_MEDIA_TYPE);
    assert_int_equal(
        decode("POST", "/api/v1/events", "", "content-type: Application/JSON; charset=utf-8", "{}"),
        ERR_OK);
}

static void a_wrong_type_names_its_field(void **state)
{
    (void)state;
    assert_int_equal(decode("POST", "/api/v1/events", "", "", "{\"name\":7}"), ERR_INVALID);
    assert_true(str_find(why(), S("name")) >= 0);
    assert_int_equal(decode("POST", "/api/v1/events", "", "", "{\"name\":"), ERR_INVALID);
}

static void the_path_wins_over_the_body(void **state)
{
    const struct pb_cancel_run_request *in;

    (void)state;
    assert_int_equal(
        decode("POST", "/api/v1/runs/run_1/cancel", "", "", "{\"id\":\"run_2\",\"reason\":\"r\"}"),
        ERR_OK);
    in = call->in;
    assert_str(in->id, "run_1");
    assert_str(in->reason, "r");
    assert_int_equal(decode("POST", "/api/v1/runs/run_1/cancel", "", "", ""), ERR_OK);
    in = call->in;
    assert_str(in->id, "run_1");
}

static void queries_are_decoded_and_checked(void **state)
{
    const struct pb_rest_list_runs_query *in;

    (void)state;
    assert_int_equal(decode("GET", "/api/v1/runs",
                            "status=pending,failed&limit=7&function_id=a%20b&unknown=1&offset=", "",
                            ""),
                     ERR_OK);
    in = call->in;
    assert_int_equal(in->status_n, 2);
    assert_int_equal(in->status[0], PB_RUN_STATUS_WAITING_FOR_CAPACITY);
    assert_int_equal(in->status[1], PB_RUN_STATUS_FAILED);
    assert_int_equal(in->limit, 7);
    assert_str(in->function_id, "a b");
    assert_int_equal(decode("GET", "/api/v1/runs", "limit=x", "", ""), ERR_INVALID);
    assert_true(str_find(why(), S("limit")) >= 0);
    assert_int_equal(decode("GET", "/api/v1/runs", "status=sleeping", "", ""), ERR_INVALID);
    assert_int_equal(decode("GET", "/api/v1/runs", "since=yesterday", "", ""), ERR_INVALID);
    assert_int_equal(decode("GET", "/api/v1/runs", "limit=%zz", "", ""), ERR_INVALID);
}

static void path_segments_are_decoded_once(void **state)
{
    (void)state;
    assert_int_equal(decode("GET", "/api/v1/events/a%2Fb%252F", "", "", ""), ERR_OK);
    assert_str(api_param(call, "id"), "a/b%2F");
    assert_int_equal(decode("GET", "/api/v1/events/a%0ab", "", "", ""), ERR_INVALID);
    assert_int_equal(decode("GET", "/api/v1/events/a%ff", "", "", ""), ERR_INVALID);
    assert_int_equal(decode("GET", "/api/v1/events/a%2", "", "", ""), ERR_INVALID);
}

static void connect_wants_a_known_content_type(void **state)
{
    (void)state;
    assert_int_equal(decode("POST", TRIGGER, "", JSON_TYPE, "{\"event\":\"e\"}"), ERR_OK);
    assert_false(call->binary || call->strict);
    assert_int_equal(decode("POST", TRIGGER, "", "", "{}"), ERR_MEDIA_TYPE);
    assert_int_equal(decode("POST", TRIGGER, "", "content-type: application/grpc", "{}"),
                     ERR_MEDIA_TYPE);
    assert_int_equal(decode("POST", TRIGGER, "", "content-type: application/proto", "\x0a\x01z"),
                     ERR_OK);
    assert_true(call->binary);
    assert_str(((const struct pb_trigger_request *)call->in)->event, "z");
    assert_int_equal(decode("POST", TRIGGER, "", JSON_TYPE "\ncontent-encoding: gzip", "{}"),
                     ERR_UNIMPLEMENTED);
}

static void connect_headers_are_checked(void **state)
{
    static const char *const bad[] = { "connect-protocol-version: 2",
                                       "connect-timeout-ms: 12345678901", "connect-timeout-ms: -5",
                                       "connect-timeout-ms: 5s", "connect-timeout-ms: +5" };

    (void)state;
    assert_int_equal(decode("POST", TRIGGER, "",
                            JSON_TYPE "\nconnect-protocol-version: 1\nconnect-timeout-ms: 250", ""),
                     ERR_OK);
    assert_true(call->strict);
    assert_int_equal(call->call.ctx.deadline_ms, 1250);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(decode("POST", TRIGGER, "", bad[i], "{}"), ERR_INVALID);
}

static void connect_get_carries_the_message_in_the_query(void **state)
{
    const struct pb_get_run_request *in;

    (void)state;
    assert_int_equal(
        decode("GET", GET_RUN, "encoding=json&message=%7B%22id%22%3A%22r%22%7D", "", ""), ERR_OK);
    in = call->in;
    assert_str(in->id, "r");
    assert_int_equal(
        decode("GET", GET_RUN, "message=CgFy&base64=1&connect=v1&encoding=proto", "", ""), ERR_OK);
    in = call->in;
    assert_str(in->id, "r");
    assert_true(call->binary);
    assert_int_equal(decode("GET", GET_RUN, "encoding=json", "", ""), ERR_INVALID);
    assert_int_equal(decode("GET", GET_RUN, "encoding=xml&message=a", "", ""), ERR_INVALID);
    assert_int_equal(decode("GET", GET_RUN, "message=%7B%7D&compression=gzip", "", ""),
                     ERR_UNIMPLEMENTED);
    assert_int_equal(decode("GET", GET_RUN, "encoding=json&message=***&base64=1", "", ""),
                     ERR_INVALID);
    assert_true(str_starts(why(), S("message:")));
    assert_int_equal(decode("GET", GET_RUN, "message=%7B%7D", "", ""), ERR_INVALID);
    assert_true(str_starts(why(), S("encoding:")));
}

static int start(void **state)
{
    (void)state;
    arena_init(&arena);
    router = router_new();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    router_free(router);
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rest_bodies_need_no_content_type),
        cmocka_unit_test(a_wrong_type_names_its_field),
        cmocka_unit_test(the_path_wins_over_the_body),
        cmocka_unit_test(queries_are_decoded_and_checked),
        cmocka_unit_test(path_segments_are_decoded_once),
        cmocka_unit_test(connect_wants_a_known_content_type),
        cmocka_unit_test(connect_headers_are_checked),
        cmocka_unit_test(connect_get_carries_the_message_in_the_query),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
