/* Which waits an event finds, timeouts, and who can be told of failed invokes. */
#include "engine/wait.h"

#include <stdio.h>

#include "base/test.h"

struct fixture {
    struct arena arena;
    struct ctx c;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){ 0 };
    arena_init(&f.arena);
    f.c = (struct ctx){ .arena = &f.arena };
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    arena_done(&f->arena);
    return 0;
}

/* Does an event with this data find the wait of a run whose own event had `own`? */
static bool finds(struct fixture *f, const char *match, const char *value, const char *own,
                  const char *data)
{
    struct event e = { .id = 1, .name = S("ok"), .data = str_from(data), .source = S("api") };
    struct wait_filter filter = { .event = &e };
    struct wait_key key;
    str_t at;
    bool found;

    if (wait_key_make(&f->c, S("ok"), str_from(match), str_from(value), str_from(own), &key) !=
        ERR_OK)
        fail_msg("%s: %s", match, f->c.err.text);
    found = wait_value(&f->c, key.path, &e, &at) && str_eq(at, key.value) &&
            wait_filter_holds(&f->c, &filter, key.filter);
    wait_filter_done(&filter);
    return found;
}

static void an_event_finds_its_waits(void **state)
{
    static const struct {
        const char *match, *value, *own, *data;
        bool found;
    } cases[] = {
        { "", "", "{}", "{}", true },
        { "a", "", "{\"a\":1}", "{\"a\":1}", true },
        { "a", "", "{\"a\":1}", "{\"a\":\"1\"}", true },
        { "a", "", "{\"a\":1}", "{\"a\":2}", false },
        { "a", "", "{\"a\":1}", "{}", false },
        { "data.a.b", "", "{\"a\":{\"b\":\"x\"}}", "{\"a\":{\"b\":\"x\"}}", true },
        { "a.b", "", "{\"a\":{\"b\":\"x\"}}", "{\"a\":{\"b\":\"y\"}}", false },
        { "a", "", "{}", "{}", true },
        { "a", "", "{}", "{\"a\":\"\"}", true },
        { "a", "", "{}", "{\"a\":\"x\"}", false },
        { "a", "", "5", "{\"b\":1}", true },
        { "a-b", "", "{\"a-b\":true}", "{\"a-b\":\"true\"}", true },
        { "a", "[1,2]", "{}", "{\"a\":[1,2]}", true },
        { "a", "\"x\"", "{\"a\":\"y\"}", "{\"a\":\"x\"}", true },
        { "a", "\"\\u0000\"", "{}", "{\"a\":\"\\u0000\"}", true },
        { "data.a == \"x\"", "", "{}", "{\"a\":\"x\"}", true },
        { "data.a=='x'", "", "{}", "{\"a\":\"x\"}", true },
        { "data.a == \"5\"", "", "{}", "{\"a\":5}", false },
        { "data.a == 5", "", "{}", "{\"a\":5.0}", true },
        { "data.a == 5", "", "{}", "{\"a\":\"5\"}", false },
        { "data.a == 0.5", "", "{}", "{\"a\":5e-1}", true },
        { "data.a == true", "", "{}", "{\"a\":true}", true },
        { "data.a == null", "", "{}", "{\"a\":null}", true },
        { "\"x\" == data.a.b", "", "{}", "{\"a\":{\"b\":\"x\"}}", true },
        { "event.data.a == \"x\"", "", "{}", "{\"a\":\"x\"}", true },
        { "data.a == \"x\" && data.b > 1", "", "{}", "{\"a\":\"x\",\"b\":2}", true },
        { "data.a == \"x\" && data.b > 1", "", "{}", "{\"a\":\"x\",\"b\":1}", false },
        { "data.a == \"x\" || data.b > 1", "", "{}", "{\"b\":2}", true },
        { "has(data.b) || data.a == \"x\"", "", "{}", "{\"b\":0}", true },
        { "name == \"ok\" && event.source == \"api\"", "", "{}", "{}", true },
        { "data.a != \"x\"", "", "{}", "{\"a\":\"x\"}", false },
        { "data.a / 0 == 1", "", "{}", "{\"a\":1}", false },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (finds(f, cases[i].match, cases[i].value, cases[i].own, cases[i].data) != cases[i].found)
            fail_msg("case %zu: %s with %s", i, cases[i].match, cases[i].data);
    }
}

static void long_values_are_compared_whole(void **state)
{
    struct fixture *f = *state;
    char a[300], b[300];

    (void)snprintf(a, sizeof(a), "{\"a\":\"%0250d\"}", 1);
    (void)snprintf(b, sizeof(b), "{\"a\":\"%0250d\"}", 2);
    assert_true(finds(f, "a", "", a, a));
    assert_false(finds(f, "a", "", a, b));
    assert_true(finds(f, "a", "", "{\"a\":\"#x\"}", "{\"a\":\"#x\"}"));
}

static void what_cannot_be_waited_for_is_refused(void **state)
{
    static const struct {
        const char *event, *match;
    } cases[] = { { "", "" },          { "a.>.b", "" },        { "x", "data.a ==" },
                  { "x", "who == 1" }, { "x", "data.a == (" }, { "x", "size(1, 2, 3) == 1" } };
    struct fixture *f = *state;
    struct wait_key key;

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(wait_key_make(&f->c, str_from(cases[i].event), str_from(cases[i].match),
                                       STR_NULL, S("{}"), &key),
                         ERR_INVALID);
}

static void cancel_specs_need_a_value(void **state)
{
    struct cancel_on spec = { S("stop"), S("data.a") };
    struct fixture *f = *state;
    struct wait_key key;

    assert_true(wait_key_cancel(&f->c, &spec, S("{\"a\":0}"), &key));
    assert_str(key.path, "=a");
    assert_str(key.value, "0");
    assert_false(wait_key_cancel(&f->c, &spec, S("{\"b\":0}"), &key));
    assert_false(wait_key_cancel(&f->c, &spec, S("[]"), &key));
}

static void patterns_match_by_token(void **state)
{
    (void)state;
    assert_true(wait_pattern_matches(S("a.*.c"), S("a.b.c")));
    assert_false(wait_pattern_matches(S("a.*.c"), S("a.c")));
    assert_false(wait_pattern_matches(S("a.*"), S("a.b.c")));
    assert_true(wait_pattern_matches(S("a.>"), S("a.b.c")));
    assert_false(wait_pattern_matches(S("a.>"), S("a")));
    assert_true(wait_pattern_matches(S(">"), S("a")));
    assert_true(wait_pattern_matches(S("*"), S("a")));
    assert_false(wait_pattern_matches(S("*"), S("a.b")));
}

static void timeouts_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {
        { "500ms", 500 },    { "30s", 30000 },  { "5m", 300000 }, { "1.5h", 5400000 },
        { "7d", 604800000 }, { " 2 s ", 2000 }, { "0s", 0 },      { ".5s", 500 },
        { "", -1 },          { "5", -1 },       { "s", -1 },      { "-1s", -1 },
        { "1..5s", -1 },     { "1e3s", -1 },    { "1w", -1 },     { "999999999999d", -1 },
        { "1s2", -1 },       { ".s", -1 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms = -1;

        (void)wait_timeout_parse(str_from(cases[i].text), &ms);
        if (ms != cases[i].ms)
            fail_msg("%s: %lld", cases[i].text, (long long)ms);
    }
}

static void who_can_be_told_of_failed_invokes(void **state)
{
    (void)state;
    assert_false(invoke_failures_known(S(""), S("")));
    assert_false(invoke_failures_known(S("0.29.0"), S("node-v22.3.0")));
    assert_false(invoke_failures_known(S("0.9.12"), S("bun-1.1")));
    assert_true(invoke_failures_known(S("0.30.0"), S("node-v22.3.0")));
    assert_true(invoke_failures_known(S("1.0.0"), S("deno-2")));
    assert_false(invoke_failures_known(S("odd"), S("node-v22")));
    assert_true(invoke_failures_known(S("0.12.0"), S("go1.22")));
    assert_true(invoke_failures_known(S("0.12.0"), S("python-3.12")));
    assert_true(invoke_failures_known(S("c"), S("c17")));
}

static void an_event_as_an_object(void **state)
{
    struct fixture *f = *state;
    struct event e = { .id = id_from_ms(1767225600000),
                       .name = S("a\"b"),
                       .data = S("{\"z\":1.0,\"a\":1e400}"),
                       .version = 2,
                       .source = S("api") };
    str_t text = event_object_json(&f->c, &e);

    assert_true(str_find(text, S("\"name\":\"a\\\"b\",\"data\":{\"z\":1.0,\"a\":1e400},"
                                 "\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"version\":2,"
                                 "\"source\":\"api\"}")) > 0);
    e.metadata = S("{\"k\":\"v\"}");
    assert_true(str_ends(event_object_json(&f->c, &e), S("\"metadata\":{\"k\":\"v\"}}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        T(an_event_finds_its_waits),
        T(long_values_are_compared_whole),
        T(what_cannot_be_waited_for_is_refused),
        T(cancel_specs_need_a_value),
        T(patterns_match_by_token),
        T(timeouts_are_read),
        T(who_can_be_told_of_failed_invokes),
        T(an_event_as_an_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
