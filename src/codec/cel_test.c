/* Expressions as their users write them: payloads, limits, errors, equalities, threads. */
#include "codec/cel.h"

#include "base/sync.h"
#include "codec/cel_test.h"

static void both_bindings_of_an_event_work(void **state)
{
    (void)state;
    holds("data.total > 49");
    holds("event.data.total > 49");
    holds_not("event.data.total > 50");
    holds("name == 'order.placed' && event.version == 1");
    holds("data.customer.address.city == \"Bern\"");
    holds("data[\"customer\"].address['city'].startsWith('B')");
    holds("has(data.customer.id) && !has(data.customer.name) && !has(metadata.x)");
    holds("data.type in ['order', 'refund'] && 'b' in data.tags && 7 in data.tags");
    holds("'customer' in data && !('nobody' in data)");
    holds("size(data.tags) == 3 && data.items.size() == 2 && size(data.customer) == 2");
    holds("data.items.exists(i, i.qty == 0) && data.items.map(i, i.sku) == ['x', 'y']");
    holds("data.quote == 'a\"b'");
    holds("data.none == null && data.ok");
    holds("data.twice == 2");
}

static void missing_fields_are_errors_that_do_not_match(void **state)
{
    struct cel_env env = { test_names, COUNT_OF(test_names), 0 };
    struct cel_value vars[COUNT_OF(test_names)] = { 0 };
    struct cel_program *p;

    (void)state;
    faults("data.missing > 1", "no such key: missing");
    faults("data.total.deeper", "no such overload");
    faults("data.tags[3]", "index out of range");
    faults("data.tags[-1]", "index out of range");
    faults("data['x' + 'y']", "no such key: xy");
    faults("unset == 1", "variable has no value");
    faults("data.huge > 1", "number is out of range");
    holds("data.missing == 1 || data.total == 50");
    holds_not("data.missing == 1 && data.total == 0");
    faults("data.missing == 1 && data.ok", "no such key: missing");

    vars[1] = cel_json(&test_arena, S("{\"total\":1}"));
    assert_int_equal(cel_compile(&test_ctx, S("data.total == 1"), &env, &p), ERR_OK);
    assert_true(cel_match(&test_ctx, p, vars));
    cel_free(p);
    assert_int_equal(cel_compile(&test_ctx, S("data.other == 1"), &env, &p), ERR_OK);
    assert_false(cel_match(&test_ctx, p, vars));
    cel_free(p);
    assert_int_equal(cel_compile(&test_ctx, S("data.total"), &env, &p), ERR_OK);
    assert_false(cel_match(&test_ctx, p, vars));
    cel_free(p);
}

static void json_numbers_are_one_kind(void **state)
{
    (void)state;
    holds("type(data.total) == int && type(data.price) == double && type(data.big) == double");
    holds("data.total == 50.0 && data.total < 50.5 && data.price > 10");
    holds("data.total * 1.5 == 75.0 && data.price * 2 == 21.0 && data.price + data.count == 13.5");
    holds("(data.total + data.count) * 0.5 == 26.5");
    holds("data.count % 2 == 1 && data.total / 4 == 12");
    faults("1 + 1.0", "no such overload");
    faults("data.total + 1u", "no such overload");
    faults("data.total + 'x'", "no such overload");
}

static void bad_text_is_refused_with_its_place(void **state)
{
    (void)state;
    refused("", "1:1: expected an expression");
    refused("data.total >", "1:13: expected an expression");
    refused("data.total > 1 2", "1:16: unexpected text behind the expression");
    refused("data.total >\n  \xC3\xA4", "2:3: unexpected character");
    refused("total > 1", "1:1: unknown name 'total'");
    refused("upper(name)", "1:1: unknown function 'upper'");
    refused("name.upper()", "1:6: unknown function 'upper'");
    refused("size(name, 1)", "1:1: wrong number of arguments of 'size'");
    refused("name.startsWith()", "1:6: wrong number of arguments of 'startsWith'");
    refused("name.matches('a(')", "1:6: malformed pattern: 'missing )'");
    refused("has(data)", "1:5: has() needs a field selection");
    refused("has(data['x'])", "1:5: has() needs a field selection");
    refused("has(data.ok ? data.x : data.y)", "1:5: has() needs a field selection");
    refused("data.tags.all(1, true)", "1:15: expected the name of an item");
    refused("data.tags.all(x, true, 1)", "1:22: expected )");
    refused("'abc", "1:1: string is not closed");
    refused("'\\q'", "1:1: malformed escape in a string");
    refused("'\\ud800'", "1:1: malformed escape in a string");
    refused("9223372036854775808", "1:1: number is out of range");
    refused("1e999", "1:1: number is out of range");
    refused("0x1111111111111111111111111111111111111111111111111111111111111111111111",
            "1:1: number is out of range");
    refused("0.0000000000000000000000000000000000000000000000000000000000000000000001",
            "1:1: number is out of range");
    refused("12abc", "1:1: malformed number");
    refused("for", "1:1: reserved name 'for'");
    refused("data{a: 1}", "1:5: messages are not supported");
    refused("'\xFF'", "1:1: expression is not UTF-8");
}

static void sizes_are_limited(void **state)
{
    static char text[CEL_TEXT_MAX + 2];
    size_t n;

    (void)state;
    memset(text, ' ', CEL_TEXT_MAX + 1);
    text[0] = '1';
    refused(text, "1:1: expression is longer than 8192 bytes");
    text[CEL_TEXT_MAX] = 0;
    assert_int_equal(test_eval(text).i, 1);

    for (n = 0; n < CEL_DEPTH_MAX; n++)
        text[n] = '(';
    text[n++] = '1';
    text[n] = 0;
    refused(text, "1:65: expression nests too deep");
    text[n - 2] = '1';
    memset(text + n - 1, ')', CEL_DEPTH_MAX - 1);
    text[n - 1 + CEL_DEPTH_MAX - 1] = 0;
    assert_int_equal(test_eval(text).i, 1);

    for (n = 0; n + 4 < CEL_TEXT_MAX; n += 2)
        memcpy(text + n, "1+", 2);
    memcpy(text + n, "1", 2);
    refused(text, "1:2002: expression is too large");
    memcpy(text + 1998, "1", 2);
    assert_int_equal(test_eval(text).i, 1000);

    for (n = 0; n < 200; n += 40) /* 120 KiB each when they are written out */
        memcpy(text + n, "name.matches('(a{100}){99}')          ||", 40);
    memcpy(text + n, "true", 5);
    refused(text, "1:166: patterns are too large");
    memcpy(text + 160, "true", 5);
    holds(text);
}

static void cost_is_limited(void **state)
{
    const char *twice =
        "[data.tags + data.tags].map(x, x + x + x + x + x + x).map(x, x + x + x + x)"
        ".map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x)"
        ".map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x)";
    const char *nested = "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, "
                         "[1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, "
                         "[1,2,3,4,5,6,7,8,9,10].all(e, a + b + c + d + e > 0)))))";
    err_t e;

    (void)state;
    (void)test_eval_cost(twice, 0, &e);
    assert_int_equal(e, ERR_OUT_OF_RANGE);
    assert_str(err_text(&test_ctx, e), "the expression took more than 100000 steps");
    (void)test_eval_cost(nested, 0, &e);
    assert_int_equal(e, ERR_OUT_OF_RANGE);
    (void)test_eval_cost(nested, 10000000, &e);
    assert_int_equal(e, ERR_OK);
    (void)test_eval_cost("1 + 1 == 2", 4, &e);
    assert_int_equal(e, ERR_OUT_OF_RANGE);
    (void)test_eval_cost("1 + 1 == 2", 5, &e);
    assert_int_equal(e, ERR_OK);
    (void)test_eval_cost("('a' + name).matches('(a*)*$' + 'b')", 40, &e);
    assert_int_equal(e, ERR_OUT_OF_RANGE);
}

/* Whatever reads a text pays for it; else a loop over a megabyte would cost as little as one over a
 * letter. */
static void long_texts_are_part_of_the_cost(void **state)
{
    static const char *const texts[] = {
        "text.startsWith(text)", "text.endsWith(text)",  "text <= text",
        "text == text",          "text in {'a': 1}",     "type(bytes(text)) == bytes",
        "int(text) == 0",        "duration(text) == 0",  "timestamp(text) == 0",
        "size(text) > 0",        "text.split('x') == 0", "bytes(text) < b'1'",
    };
    static const str_t names[] = { NAME("text") };
    struct cel_env env = { names, COUNT_OF(names), 100 };
    str_t text = { arena_zero(&test_arena, 1 << 20), 1 << 20 };
    struct cel_value var = cel_string(text), out;
    struct cel_program *p;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(cel_compile(&test_ctx, str_from(texts[i]), &env, &p), ERR_OK);
        if (cel_eval(&test_ctx, p, &var, &out) != ERR_OUT_OF_RANGE)
            fail_msg("%s is too cheap", texts[i]);
        cel_free(p);
    }
}

/* A list of characters needs forty bytes for each; the limit comes before the list. */
static void lists_are_paid_for_before_they_are_made(void **state)
{
    static const str_t names[] = { NAME("text"), NAME("list") };
    static const char *const texts[] = { "size(text.split('')) > 0", "size(list + list) > 0" };
    struct cel_env env = { names, COUNT_OF(names), 0 };
    struct cel_value *items = NEW_N(&test_arena, struct cel_value, 150000);
    struct cel_value vars[] = { cel_string((str_t){ arena_zero(&test_arena, 390000), 390000 }),
                                cel_list(items, 150000) };
    struct cel_value out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        size_t used = test_arena.used;
        struct cel_program *p;

        assert_int_equal(cel_compile(&test_ctx, str_from(texts[i]), &env, &p), ERR_OK);
        assert_int_equal(cel_eval(&test_ctx, p, vars, &out), ERR_OUT_OF_RANGE);
        assert_in_range(test_arena.used - used, 0, 1 << 20);
        cel_free(p);
    }
}

/* Whether a text could grow where it stood in the arena must not decide. */
static void cost_is_the_same_wherever_memory_comes_from(void **state)
{
    static const char text[] = "['a', 'b', 'c'].join(name + name + name + name).replace('', name)"
                               ".format([]) != strings.quote(name)";
    static const size_t fills[] = { 0, 1000, 1800, 4000, 6000, 7000, 7800 };
    struct cel_value vars[COUNT_OF(test_names)] = { 0 }, out;
    struct arena a;
    struct ctx c = { .arena = &a };

    (void)state;
    for (size_t cost = 20; cost < 120; cost++) {
        struct cel_env env = { test_names, COUNT_OF(test_names), cost };
        struct cel_program *p;
        err_t first = ERR_OK;

        assert_int_equal(cel_compile(&test_ctx, S(text), &env, &p), ERR_OK);
        for (size_t i = 0; i < COUNT_OF(fills); i++) {
            err_t e;

            arena_init(&a);
            (void)arena_alloc(&a, fills[i]);
            vars[2] = cel_string(S("order.placed"));
            e = cel_eval(&c, p, vars, &out);
            first = i == 0 ? e : first;
            if (e != first)
                fail_msg("with %zu steps and %zu bytes taken", cost, fills[i]);
            arena_done(&a);
        }
        cel_free(p);
    }
}

static void memory_is_part_of_the_cost(void **state)
{
    err_t e;

    (void)state;
    (void)test_eval_cost("[1,2,3,4,5,6,7,8].exists(a, [1,2,3,4,5,6,7,8].exists(b, [1,2,3,4,5,6,7,8]"
                         ".exists(c, name.matches('((a{100}){100}){10' + '0}'))))",
                         0, &e);
    assert_int_equal(e, ERR_OUT_OF_RANGE);
    (void)test_eval_cost("['0123456789'].map(x, x.replace('', x)).map(x, x.replace('', x))"
                         ".map(x, x.replace('', x)).map(x, x.replace('', x))",
                         0, &e);
    assert_int_equal(e, ERR_OUT_OF_RANGE);
    assert_true(test_arena.used < (size_t)64 << 20);
}

static void *compile_deepest(void *arg)
{
    static const char level[] = "true||true&&1<1+1*-(";
    char text[CEL_TEXT_MAX];
    struct cel_env env = { test_names, COUNT_OF(test_names), 0 };
    struct arena arena;
    struct ctx c = { .arena = &arena };
    struct cel_program *p;
    size_t n = 0;

    (void)arg;
    for (int i = 0; i + 1 < CEL_DEPTH_MAX; i++, n += sizeof(level) - 1)
        memcpy(text + n, level, sizeof(level) - 1);
    text[n++] = '1';
    memset(text + n, ')', CEL_DEPTH_MAX - 1);
    arena_init(&arena);
    must(cel_compile(&c, (str_t){ text, n + CEL_DEPTH_MAX - 1 }, &env, &p) == ERR_OK);
    cel_free(p);
    arena_done(&arena);
    return NULL;
}

static void the_deepest_expression_fits_a_thread(void **state)
{
    pthread_t t;

    (void)state;
    thread_start(&t, "cel", compile_deepest, NULL);
    thread_join(t);
}

static size_t equalities(const char *text, struct cel_program **p, const struct cel_equality **eq)
{
    struct cel_env env = { test_names, COUNT_OF(test_names), 0 };
    size_t n;

    assert_int_equal(cel_compile(&test_ctx, str_from(text), &env, p), ERR_OK);
    *eq = cel_equalities(*p, &n);
    return n;
}

static void equalities_of_the_outermost_and_are_found(void **state)
{
    const struct cel_equality *eq;
    struct cel_program *p;

    (void)state;
    assert_int_equal(equalities("data.runId == \"run_k20\"", &p, &eq), 1);
    assert_int_equal(eq[0].path_n, 2);
    assert_str(eq[0].path[0], "data");
    assert_str(eq[0].path[1], "runId");
    assert_str(eq[0].value.s, "run_k20");
    cel_free(p);

    assert_int_equal(equalities("data.a > 1 && (5 == event.data['b'].c && data.d == null) && "
                                "(data.e == 1 || data.f == 2) && name == 'x'",
                                &p, &eq),
                     3);
    for (size_t i = 0; i < 3; i++)
        if (eq[i].path_n == 4) {
            assert_str(eq[i].path[0], "event");
            assert_str(eq[i].path[2], "b");
            assert_str(eq[i].path[3], "c");
            assert_int_equal(eq[i].value.i, 5);
        } else {
            assert_true(eq[i].path_n == 1 || eq[i].value.type == CEL_NULL);
        }
    cel_free(p);
}

static void other_conditions_give_no_equalities(void **state)
{
    static const char *const texts[] = {
        "data.a == data.b",
        "data.a == 1 || data.b == 2",
        "!(data.a == 1)",
        "data.a != 1",
        "data.ok ? data.a == 1 : data.b == 2 && data.c == 3",
        "data.ok ? data.b == 2 && data.c == 3 : data.a == 1",
        "data.items.all(i, i.sku == 'x' && data.a == 1)",
        "has(data.a) == true",
        "data.tags[0] == 'a'",
        "[data.a == 1][0]",
        "data.a + 1 == 2",
        "data.a",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const struct cel_equality *eq;
        struct cel_program *p;

        if (equalities(texts[i], &p, &eq) != 0)
            fail_msg("%s", texts[i]);
        cel_free(p);
    }
}

static void *evaluate_often(void *arg)
{
    struct arena arena;
    struct ctx c = { .arena = &arena };
    struct cel_value vars[COUNT_OF(test_names)] = { 0 };

    arena_init(&arena);
    for (int i = 0; i < 500; i++) {
        arena_reset(&arena);
        vars[1] = cel_json(&arena, i % 2 ? S("{\"id\":\"c9\"}") : S("{\"id\":\"d9\"}"));
        must(cel_match(&c, arg, vars) == (i % 2 == 1));
    }
    arena_done(&arena);
    return NULL;
}

static void a_program_is_shared_by_threads(void **state)
{
    struct cel_env env = { test_names, COUNT_OF(test_names), 0 };
    struct cel_program *p;
    pthread_t t[3];

    (void)state;
    assert_int_equal(cel_compile(&test_ctx, S("data.id.matches('^c[0-9]$')"), &env, &p), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(t); i++)
        thread_start(&t[i], "cel", evaluate_often, p);
    for (size_t i = 0; i < COUNT_OF(t); i++)
        thread_join(t[i]);
    cel_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_bindings_of_an_event_work),
        cmocka_unit_test(missing_fields_are_errors_that_do_not_match),
        cmocka_unit_test(json_numbers_are_one_kind),
        cmocka_unit_test(bad_text_is_refused_with_its_place),
        cmocka_unit_test(sizes_are_limited),
        cmocka_unit_test(cost_is_limited),
        cmocka_unit_test(long_texts_are_part_of_the_cost),
        cmocka_unit_test(cost_is_the_same_wherever_memory_comes_from),
        cmocka_unit_test(lists_are_paid_for_before_they_are_made),
        cmocka_unit_test(memory_is_part_of_the_cost),
        cmocka_unit_test(the_deepest_expression_fits_a_thread),
        cmocka_unit_test(equalities_of_the_outermost_and_are_found),
        cmocka_unit_test(other_conditions_give_no_equalities),
        cmocka_unit_test(a_program_is_shared_by_threads),
    };

    return RUN_TESTS(tests);
}
