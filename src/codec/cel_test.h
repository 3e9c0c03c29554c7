/* What the tests of expressions share: a context, variables like those of a trigger, short forms.
 */
#pragma once

#include "base/must.h"
#include "base/test.h"
#include "codec/cel_priv.h"

static struct arena test_arena;
static struct ctx test_ctx = { .arena = &test_arena };

/* The variables of every expression here: event and its parts, and a time. */
#define NAME(lit)                                                                                  \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }
static const str_t test_names[] = { NAME("event"),    NAME("data"), NAME("name"),
                                    NAME("metadata"), NAME("now"),  NAME("unset") };

#define TEST_DATA                                                                                  \
    "{\"total\":50,\"price\":10.5,\"count\":3,\"big\":12345678901234567890,\"huge\":1e400,"        \
    "\"type\":\"order\",\"q\\u0075ote\":\"a\\\"b\",\"none\":null,\"ok\":true,"                     \
    "\"tags\":[\"a\",\"b\",7],\"customer\":{\"id\":\"c1\",\"address\":{\"city\":\"Bern\"}},"       \
    "\"items\":[{\"sku\":\"x\",\"qty\":2},{\"sku\":\"y\",\"qty\":0}],\"twice\":1,\"twice\":2}"

static inline struct cel_value test_eval_cost(const char *text, size_t cost, err_t *e)
{
    struct cel_env env = { test_names, COUNT_OF(test_names), cost };
    struct cel_entry *entries = NEW_N(&test_arena, struct cel_entry, 3);
    struct cel_value vars[COUNT_OF(test_names)] = { 0 }, out = { 0 };
    struct cel_program *p;

    vars[1] = cel_json(&test_arena, S(TEST_DATA));
    vars[2] = cel_string(S("order.placed"));
    vars[3] = cel_json(&test_arena, S("{}"));
    vars[4] = cel_time_ms(1777708800123); /* 2026-05-02T08:00:00.123Z, a Saturday */
    entries[0] = (struct cel_entry){ cel_string(S("data")), vars[1] };
    entries[1] = (struct cel_entry){ cel_string(S("name")), vars[2] };
    entries[2] = (struct cel_entry){ cel_string(S("version")), cel_int(1) };
    vars[0] = cel_map(entries, 3);
    *e = cel_compile(&test_ctx, str_from(text), &env, &p);
    if (*e != ERR_OK)
        fail_msg("%s: %s", text, test_ctx.err.text);
    *e = cel_eval(&test_ctx, p, vars, &out);
    if (*e == ERR_OK && (out.type == CEL_STRING || out.type == CEL_BYTES))
        out.s = str_dup(&test_arena, out.s); /* it may point into the program */
    cel_free(p);
    return out;
}

static inline struct cel_value test_eval(const char *text)
{
    err_t e;
    struct cel_value v = test_eval_cost(text, 0, &e);

    if (e != ERR_OK)
        fail_msg("%s: %s", text, test_ctx.err.text);
    return v;
}

/* The expression is the bool true; the bool false. */
static inline void holds(const char *text)
{
    struct cel_value v = test_eval(text);

    if (v.type == CEL_ERROR)
        fail_msg("%s: " STR_FMT, text, STR_ARG(v.s));
    if (v.type != CEL_BOOL || !v.boolean)
        fail_msg("%s does not hold", text);
}

static inline void holds_not(const char *text)
{
    struct cel_value v = test_eval(text);

    if (v.type != CEL_BOOL || v.boolean)
        fail_msg("%s is not false", text);
}

/* The expression compiles and its value is this error. */
static inline void faults(const char *text, const char *want)
{
    struct cel_value v = test_eval(text);

    if (v.type != CEL_ERROR)
        fail_msg("%s is no error", text);
    assert_str(v.s, want);
}

/* The expression does not compile, for this reason. */
static inline void refused(const char *text, const char *want)
{
    struct cel_env env = { test_names, COUNT_OF(test_names), 0 };
    struct cel_program *p;

    if (cel_compile(&test_ctx, str_from(text), &env, &p) != ERR_INVALID)
        fail_msg("accepted: %s", text);
    assert_str(str_from(test_ctx.err.text), want);
}

static inline int test_run(const struct CMUnitTest *tests, size_t n)
{
    int failed;

    arena_init(&test_arena);
    failed = _cmocka_run_group_tests("cel", tests, n, NULL, NULL);
    arena_done(&test_arena);
    return failed;
}

#define RUN_TESTS(tests) test_run((tests), COUNT_OF(tests))
