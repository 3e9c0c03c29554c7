#include "engine/function.h"

#include "base/mem.h"
#include "base/test.h"
#include "codec/proto.h"
#include "proto/ironflow.h"

struct fixture {
    struct arena arena;
    struct ctx c;
};

static int setup(void **state)
{
    struct fixture *f = mem_zero(sizeof(*f));

    arena_init(&f->arena);
    f->c.arena = &f->arena;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    arena_done(&f->arena);
    mem_free(f);
    return 0;
}

static err_t make(struct fixture *f, const char *json, struct function *out)
{
    struct pb_register_function_request in = { 0 };

    assert_int_equal(pb_from_json(&f->c, &pb_register_function_request_desc, str_from(json), &in),
                     ERR_OK);
    return function_make(&f->c, &in, out);
}

static struct function made(struct fixture *f, const char *json)
{
    struct function fn = { 0 };

    if (make(f, json, &fn) != ERR_OK)
        fail_msg("%s: " STR_FMT, json, STR_ARG(err_text(&f->c, ERR_INVALID)));
    return fn;
}

static const struct {
    const char *json;
    err_t err;
    const char *text;
} refusals[] = {
    { "{}", ERR_INVALID, "id is required" },
    { "{\"id\":\"a b\"}", ERR_INVALID, "id: blanks are not allowed" },
    { "{\"id\":\"a.*\"}", ERR_INVALID, "id: \"*\" and \">\" are not allowed" },
    { "{\"id\":\"a\",\"retry\":{\"maxAttempts\":-1}}", ERR_INVALID,
      "retry.maxAttempts: must be greater than 0" },
    { "{\"id\":\"a\",\"retry\":{\"backoffFactor\":0.5}}", ERR_INVALID,
      "retry.backoffFactor: must be at least 1" },
    { "{\"id\":\"a\",\"retry\":{\"backoffFactor\":-2}}", ERR_INVALID,
      "retry.backoffFactor: must be at least 1" },
    { "{\"id\":\"a\",\"retry\":{\"initialDelayMs\":-2}}", ERR_INVALID,
      "retry.initialDelayMs: must not be negative" },
    { "{\"id\":\"a\",\"retry\":{\"maxDelayMs\":-2}}", ERR_INVALID,
      "retry.maxDelayMs: must not be negative" },
    { "{\"id\":\"a\",\"timeoutMs\":-1}", ERR_INVALID, "timeoutMs: must not be negative" },
    { "{\"id\":\"a\",\"triggers\":[{\"event\":\"x\"},{}]}", ERR_INVALID,
      "triggers[1]: event or cron is required" },
    { "{\"id\":\"a\",\"triggers\":[{\"event\":\">.x\"}]}", ERR_INVALID,
      "triggers[0].event: \">\" must be the last token" },
    { "{\"id\":\"a\",\"triggers\":[{\"cron\":\"61 * * * *\"}]}", ERR_INVALID, NULL },
    { "{\"id\":\"a\",\"concurrency\":{\"limit\":0}}", ERR_INVALID,
      "concurrency.limit: must be greater than 0" },
    { "{\"id\":\"a\",\"debounce\":{\"period_ms\":999}}", ERR_INVALID,
      "debounce.period_ms: must be at least 1000" },
    { "{\"id\":\"a\",\"debounce\":{\"period_ms\":2000,\"max_wait_ms\":1999}}", ERR_INVALID,
      "debounce.max_wait_ms: must be at least period_ms" },
    { "{\"id\":\"a\",\"cancelOn\":[{\"event\":\"x\"}]}", ERR_INVALID,
      "cancelOn[0].match: is required" },
    { "{\"id\":\"a\",\"cancelOn\":[{\"match\":\"x\"}]}", ERR_INVALID,
      "cancelOn[0].event: is required" },
    { "{\"id\":\"a\",\"cancelOn\":[{\"event\":\"a.>.b\",\"match\":\"x\"}]}", ERR_INVALID,
      "cancelOn[0].event: \">\" must be the last token" },
    { "{\"id\":\"a\",\"cancelOn\":[{\"event\":\"x\",\"match\":\"y\"},"
      "{\"event\":\"x\",\"match\":\"y\"}]}",
      ERR_INVALID, "cancelOn[1]: repeats entry 0" },
    { "{\"id\":\"a\",\"endpointUrl\":\"ftp://x\"}", ERR_INVALID,
      "endpointUrl: must be an absolute http or https URL" },
    { "{\"id\":\"a\",\"endpointUrl\":\"/api/x\"}", ERR_INVALID,
      "endpointUrl: must be an absolute http or https URL" },
    { "{\"id\":\"a\",\"endpointUrl\":\"http:///x\"}", ERR_INVALID,
      "endpointUrl: must be an absolute http or https URL" },
    /* Not built yet. */
    { "{\"id\":\"a\",\"secrets\":[\"X\"]}", ERR_UNIMPLEMENTED,
      "secrets: secrets are not supported by this release" },
};

static void a_registration_is_refused_with_the_field(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct function fn;
        err_t e = make(f, refusals[i].json, &fn);

        if (e != refusals[i].err)
            fail_msg("%s: error %d", refusals[i].json, (int)e);
        if (refusals[i].text != NULL)
            assert_str(err_text(&f->c, e), refusals[i].text);
        else
            assert_true(str_starts(err_text(&f->c, e), S("triggers[0].cron: ")));
    }
}

static void defaults_are_filled_in(void **state)
{
    struct fixture *f = *state;
    struct function fn = made(f, "{\"id\":\"a\",\"retry\":{\"maxAttempts\":5}}");
    struct pb_function pb = { 0 };

    assert_str(fn.name, "a");
    assert_int_equal(fn.mode, MODE_PULL);
    assert_int_equal(fn.status, FN_ACTIVE);
    assert_int_equal(fn.version, 1);
    assert_int_equal(fn.retry.max_attempts, 5);
    assert_int_equal(fn.retry.initial_delay_ms, 1000);
    assert_int_equal(fn.retry.max_delay_ms, 300000);
    assert_true(fn.retry.backoff_factor == 2.0);
    assert_int_equal(function_to_pb(&f->c, &fn, &pb), ERR_OK);
    assert_int_equal(pb.timeout_ms, 600000);
    assert_int_equal(pb.preferred_mode, PB_EXECUTION_MODE_PULL);
    assert_str(pb.name, "a");
}

static void the_mode_follows_the_endpoint(void **state)
{
    struct fixture *f = *state;
    struct function fn;

    fn = made(f, "{\"id\":\"a\",\"preferredMode\":\"EXECUTION_MODE_PUSH\"}");
    assert_int_equal(fn.mode, MODE_PULL);
    fn = made(f, "{\"id\":\"a\",\"preferredMode\":\"EXECUTION_MODE_PULL\","
                 "\"endpointUrl\":\"http://127.0.0.1/x\"}");
    assert_int_equal(fn.mode, MODE_PULL);
    fn = made(f, "{\"id\":\"a\",\"mode\":\"push\"}");
    assert_int_equal(fn.mode, MODE_PULL);
    fn = made(f, "{\"id\":\"a\",\"endpointUrl\":\"http://127.0.0.1:3000/x\"}");
    assert_int_equal(fn.mode, MODE_PUSH);
    assert_str(fn.endpoint, "http://127.0.0.1:3000/x");
}

static const struct {
    const char *a, *b;
    bool same;
} pairs[] = {
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"name\":\"a\"}", true },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"timeoutMs\":600000}", true },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"metadata\":{}}", true },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"retry\":{\"maxAttempts\":3}}", true },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"changeReason\":\"why\"}", true },
    { "{\"id\":\"a\",\"preferredMode\":\"EXECUTION_MODE_PULL\"}",
      "{\"id\":\"a\",\"preferred_mode\":2}", true },
    { "{\"id\":\"a\",\"metadata\":{\"x\":1,\"y\":{\"p\":[1, 2],\"q\":null}}}",
      "{\"id\":\"a\",\"metadata\":{\"y\": {\"q\":null ,\"p\":[1,2]},\"x\":1}}", true },
    { "{\"id\":\"a\",\"metadata\":{\"x\":\"\\u0041\"}}",
      "{\"id\":\"a\",\"metadata\":{\"x\":\"A\"}}", true },
    { "{\"id\":\"a\",\"metadata\":{\"x\":[1,2]}}", "{\"id\":\"a\",\"metadata\":{\"x\":[2,1]}}",
      false },
    { "{\"id\":\"a\",\"metadata\":{\"x\":1}}", "{\"id\":\"a\",\"metadata\":{\"x\":2}}", false },
    { "{\"id\":\"a\",\"metadata\":{\"x\":1}}", "{\"id\":\"a\",\"metadata\":{\"x\":\"1\"}}", false },
    { "{\"id\":\"a\",\"metadata\":{\"__ironflow_code_hash\":\"5c0f9a12b7d3e644\"}}",
      "{\"id\":\"a\",\"metadata\":{\"__ironflow_code_hash\":\"5c0f9a12b7d3e645\"}}", false },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"description\":\"x\"}", false },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"triggers\":[{\"event\":\"x\"}]}", false },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"retry\":{\"maxAttempts\":4}}", false },
    { "{\"id\":\"a\"}", "{\"id\":\"a\",\"recording\":true}", false },
};

static void configurations_are_compared_by_meaning(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct function a = made(f, pairs[i].a), b = made(f, pairs[i].b);
        bool same = !pairs[i].same;

        assert_int_equal(function_same(&f->c, a.config, b.config, &same), ERR_OK);
        if (same != pairs[i].same)
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    }
}

static void metadata_keeps_the_bytes_of_the_user(void **state)
{
    struct fixture *f = *state;
    struct function fn = made(f, "{\"id\":\"a\",\"metadata\":{ \"z\":1e400, \"a\": 0.1000,"
                                 "\"n\":12345678901234567890}}");
    struct pb_function pb = { 0 };

    assert_int_equal(function_to_pb(&f->c, &fn, &pb), ERR_OK);
    assert_str(pb.metadata, "{ \"z\":1e400, \"a\": 0.1000,\"n\":12345678901234567890}");
}

static void deep_metadata_is_compared_without_recursion(void **state)
{
    struct fixture *f = *state;
    struct function a, b;
    struct buf text;
    bool same = false;

    buf_init_arena(&text, &f->arena, 65536);
    buf_append(&text, S("{\"id\":\"a\",\"metadata\":{\"x\":"));
    for (int i = 0; i < 120; i++)
        buf_append(&text, S("["));
    for (int i = 0; i < 120; i++)
        buf_append(&text, S("]"));
    buf_append(&text, S("}}"));
    a = made(f, str_z(&f->arena, buf_str(&text)));
    b = a;
    b.config = str_printf(&f->arena, STR_FMT " ", STR_ARG(a.config));
    assert_int_equal(function_same(&f->c, a.config, b.config, &same), ERR_OK);
    assert_true(same);
}

static void a_configuration_decodes_to_what_was_registered(void **state)
{
    struct fixture *f = *state;
    struct function a = made(f, "{\"id\":\"a\",\"name\":\"A\",\"description\":\"d\",\"recording\":"
                                "true,\"triggers\":[{\"event\":\"x.*\"},{\"event\":\"y\"}],"
                                "\"retry\":{\"backoffFactor\":1.5,\"initialDelayMs\":7}}");
    struct function b = { .id = a.id, .config = a.config };

    assert_int_equal(function_decode(&f->c, &b), ERR_OK);
    assert_str(b.name, "A");
    assert_str(b.description, "d");
    assert_true(b.recording);
    assert_int_equal(b.mode, MODE_PULL);
    assert_int_equal(b.triggers_n, 2);
    assert_str(b.triggers[0].event, "x.*");
    assert_str(b.triggers[1].event, "y");
    assert_true(b.retry.backoff_factor == 1.5);
    assert_int_equal(b.retry.initial_delay_ms, 7);
    b.config = S("{\"id\":");
    assert_int_equal(function_decode(&f->c, &b), ERR_INTERNAL);
}

static void a_direct_invoke_lists_its_trigger_last(void **state)
{
    struct fixture *f = *state;
    struct function fn = made(f, "{\"id\":\"a.b\",\"triggers\":[{\"event\":\"x\"}]}");
    struct pb_function pb = { 0 };
    str_t snapshot, value;

    fn.invoked = true;
    assert_int_equal(function_to_pb(&f->c, &fn, &pb), ERR_OK);
    assert_int_equal(pb.triggers_n, 2);
    assert_str(pb.triggers[0].event, "x");
    assert_str(pb.triggers[1].event, "ironflow.invoke.a.b");
    assert_int_equal(function_snapshot(&f->c, &fn, &snapshot), ERR_OK);
    assert_true(json_get(snapshot, S("triggers"), &value));
    assert_str(value, "[{\"event\":\"x\"}]");

    fn = made(f, "{\"id\":\"a\",\"triggers\":[{\"event\":\"ironflow.invoke.a\"}]}");
    fn.invoked = true;
    assert_int_equal(function_to_pb(&f->c, &fn, &pb), ERR_OK);
    assert_int_equal(pb.triggers_n, 1);
}

static void history_restores_what_it_recorded(void **state)
{
    struct fixture *f = *state;
    struct function old =
        made(f, "{\"id\":\"a\",\"description\":\"old\",\"metadata\":{\"k\":[1]}}");
    struct function fn = made(f, "{\"id\":\"a\",\"description\":\"new\"}");
    struct function_record r = { .type = S("update"), .actor = S("ak_1"), .reason = S("a \"b\"") };
    struct function_record back = { 0 };
    str_t json;
    bool same = false;

    old.version = 3;
    old.created_at = 1700000000123;
    assert_int_equal(function_snapshot(&f->c, &old, &r.snapshot), ERR_OK);
    assert_int_equal(function_record_json(&f->c, &old, &r, &json), ERR_OK);
    assert_int_equal(function_record_read(&f->c, json, &back), ERR_OK);
    assert_str(back.type, "update");
    assert_str(back.actor, "ak_1");
    assert_str(back.reason, "a \"b\"");
    assert_int_equal(function_restore(&f->c, back.snapshot, &fn), ERR_OK);
    assert_str(fn.description, "old");
    assert_int_equal(function_same(&f->c, fn.config, old.config, &same), ERR_OK);
    assert_true(same);
    assert_str(fn.config, str_z(&f->arena, old.config));
    assert_int_equal(function_record_read(&f->c, S("{}"), &back), ERR_INTERNAL);
}

static void an_archived_state_cannot_be_restored(void **state)
{
    struct fixture *f = *state;
    struct function fn = made(f, "{\"id\":\"a\"}");
    str_t snapshot;

    fn.status = FN_ARCHIVED;
    assert_int_equal(function_snapshot(&f->c, &fn, &snapshot), ERR_OK);
    assert_int_equal(function_restore(&f->c, snapshot, &fn), ERR_INVALID);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_registration_is_refused_with_the_field),
        T(defaults_are_filled_in),
        T(the_mode_follows_the_endpoint),
        T(configurations_are_compared_by_meaning),
        T(metadata_keeps_the_bytes_of_the_user),
        T(deep_metadata_is_compared_without_recursion),
        T(a_configuration_decodes_to_what_was_registered),
        T(a_direct_invoke_lists_its_trigger_last),
        T(history_restores_what_it_recorded),
        T(an_archived_state_cannot_be_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
