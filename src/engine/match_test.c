#include "engine/match.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/test.h"

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

/* "id" or "id:trigger,trigger", with a leading '-' paused, '#' archived, '!' deleted. */
static struct function parse(struct arena *a, const char *text, int64_t key)
{
    struct function fn = { .key = key, .status = FN_ACTIVE, .version = 1 };
    str_t rest = str_from(text), triggers, one;

    if (rest.p[0] == '-')
        fn.status = FN_PAUSED;
    else if (rest.p[0] == '#')
        fn.status = FN_ARCHIVED;
    else if (rest.p[0] == '!')
        fn.deleted = true;
    if (rest.p[0] == '-' || rest.p[0] == '#' || rest.p[0] == '!')
        rest = str_slice(rest, 1, rest.n);
    triggers = rest;
    assert_true(str_cut(&triggers, ':', &fn.id));
    fn.name = fn.id;
    fn.triggers = NEW_N(a, struct trigger, 8);
    while (str_cut(&triggers, ',', &one))
        fn.triggers[fn.triggers_n++].event = one;
    return fn;
}

static struct registry *build(struct fixture *f, const char *const *texts, size_t n)
{
    struct function *fns = NEW_N(&f->arena, struct function, n);

    for (size_t i = 0; i < n; i++)
        fns[i] = parse(&f->arena, texts[i], (int64_t)i + 1);
    return registry_new(fns, n, 7);
}

/* The ids that the event starts, joined by commas. */
static str_t matches(struct fixture *f, const struct registry *r, const char *event)
{
    struct event e = { .name = str_from(event) };
    const struct function **out;
    struct buf b;
    size_t n;

    registry_match(&f->c, r, &e, &out, &n);
    buf_init_arena(&b, &f->arena, 4096);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(&b, ',');
        buf_append(&b, out[i]->id);
    }
    return buf_str(&b);
}

static const char *const functions[] = {
    "exact:order.placed",
    "twice:order.placed,order.*,order.placed",
    "star:stripe.payment.*",
    "tail:order.>",
    "middle:order.*.done",
    "all:>",
    "-paused:order.placed",
    "#archived:order.placed",
    "!gone:order.placed",
    "alone",
    "two:a.b,a.c",
    "first:*.placed",
    "-sleeps",
};

static const struct {
    const char *event, *ids;
} rows[] = {
    { "order.placed", "exact,twice,tail,all,first" },
    { "order.PLACED", "twice,tail,all" },
    { "order", "all" },
    { "order.x.done", "tail,middle,all" },
    { "order.x.y.done", "tail,all" },
    { "stripe.payment.ok", "star,all" },
    { "stripe.payment.ok.eu", "all" },
    { "stripe.payment", "all" },
    { "a.b", "all,two" },
    { "a.c", "all,two" },
    { "ironflow.invoke.alone", "alone" },
    { "ironflow.invoke.exact", "exact" },
    { "ironflow.invoke.sleeps", "" },
    { "ironflow.invoke.gone", "" },
    { "ironflow.invoke.nobody", "" },
    { "ironflow.invoke", "all" },
};

static void table(void **state)
{
    struct fixture *f = *state;
    struct registry *r = build(f, functions, COUNT_OF(functions));

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_str(matches(f, r, rows[i].event), rows[i].ids);
    registry_free(r);
}

static void a_name_that_nobody_wants_runs_the_function_of_that_id(void **state)
{
    static const char *const fns[] = { "pack.parcel:x.y", "-off", "!gone", "other:pack" };
    struct fixture *f = *state;
    struct registry *r = build(f, fns, COUNT_OF(fns));

    assert_str(matches(f, r, "pack.parcel"), "pack.parcel");
    assert_str(matches(f, r, "pack"), "other");
    assert_str(matches(f, r, "off"), "");
    assert_str(matches(f, r, "gone"), "");
    assert_str(matches(f, r, "nobody"), "");
    registry_free(r);
}

static void lookups_find_by_key_and_id(void **state)
{
    struct fixture *f = *state;
    struct registry *r = build(f, functions, COUNT_OF(functions));

    assert_int_equal(registry_epoch(r), 7);
    assert_int_equal(registry_count(r), COUNT_OF(functions));
    assert_str(registry_at(r, 2)->id, "star");
    assert_str(registry_by_key(r, 9)->id, "gone");
    assert_null(registry_by_id(r, S("gone")));
    assert_null(registry_by_key(r, 99));
    assert_int_equal(registry_by_id(r, S("alone"))->key, 10);
    assert_null(registry_by_id(r, S("Alone")));
    registry_free(r);
    registry_free(NULL);
}

static void an_empty_registry_matches_nothing(void **state)
{
    struct fixture *f = *state;
    struct registry *r = registry_new(NULL, 0, 0);

    assert_str(matches(f, r, "a.b"), "");
    registry_free(r);
}

/* The trie and the hash agree with comparing every trigger with every name, token by token. */
static bool covers(str_t pattern, str_t name)
{
    str_t want, have;

    for (;;) {
        bool more = str_cut(&name, '.', &have);

        if (!str_cut(&pattern, '.', &want))
            return !more;
        if (!more)
            return false;
        if (str_eq(want, S(">")))
            return true;
        if (!str_eq(want, S("*")) && !str_eq(want, have))
            return false;
    }
}

static str_t random_text(struct arena *a, struct rng *rng, bool pattern)
{
    size_t tokens = 1 + rng_below(rng, 4);
    struct buf b;

    buf_init_arena(&b, a, 256);
    for (size_t i = 0; i < tokens; i++) {
        uint64_t pick = rng_below(rng, pattern ? 5 : 3);

        if (i > 0)
            buf_char(&b, '.');
        if (pick == 4 && i + 1 == tokens)
            buf_char(&b, '>');
        else if (pick >= 3)
            buf_char(&b, '*');
        else
            buf_char(&b, (char)('a' + pick));
    }
    return buf_str(&b);
}

static void random_patterns_agree_with_a_plain_comparison(void **state)
{
    enum { N = 200 };
    struct fixture *f = *state;
    struct function fns[N] = { 0 };
    struct registry *r;
    struct rng rng;

    rng_seed(&rng, 4711);
    for (int i = 0; i < N; i++) {
        fns[i] = (struct function){ .key = i + 1, .status = FN_ACTIVE, .triggers_n = 2 };
        fns[i].id = str_printf(&f->arena, "fn-%d", i);
        fns[i].triggers = NEW_N(&f->arena, struct trigger, 2);
        fns[i].triggers[0].event = random_text(&f->arena, &rng, true);
        fns[i].triggers[1].event = random_text(&f->arena, &rng, true);
    }
    r = registry_new(fns, N, 1);
    for (int round = 0; round < 500; round++) {
        struct event e = { .name = random_text(&f->arena, &rng, false) };
        const struct function **out;
        size_t n, at = 0;

        registry_match(&f->c, r, &e, &out, &n);
        for (int i = 0; i < N; i++) {
            if (!covers(fns[i].triggers[0].event, e.name) &&
                !covers(fns[i].triggers[1].event, e.name))
                continue;
            assert_true(at < n);
            assert_int_equal(out[at++]->key, i + 1);
        }
        assert_int_equal(at, n);
    }
    registry_free(r);
}

/* Filters decide after the names; a program is shared by later snapshots. */
static void filters_choose_among_those_with_the_name(void **state)
{
    static const struct {
        const char *data;
        size_t n;
    } cases[] = { { "{\"n\":1}", 2 }, { "{\"n\":7}", 3 }, { "{}", 1 }, { "{\"n\":\"x\"}", 1 } };
    struct fixture *f = *state;
    struct trigger triggers[][2] = {
        { { .event = S("go"), .expression = S("data.n > 5") },
          { .event = S("go"), .expression = S("event.data.n == 7") } },
        { { .event = S("*"), .expression = S("data.n >= 1") }, { .event = S("no") } },
        { { .event = S("go") }, { .event = S("go") } },
        { { .event = S("go"), .expression = S("no such(") }, { .event = S("no") } }
    };
    struct function fns[COUNT_OF(triggers)] = { 0 };
    struct registry *first, *second;

    for (size_t i = 0; i < COUNT_OF(triggers); i++)
        fns[i] = (struct function){ .key = (int64_t)i + 1,
                                    .id = str_printf(&f->arena, "f%zu", i),
                                    .status = FN_ACTIVE,
                                    .triggers = triggers[i],
                                    .triggers_n = 2 };
    first = registry_new(fns, COUNT_OF(fns), 1);
    for (size_t i = 0; i < COUNT_OF(fns); i++)
        fns[i].triggers = registry_at(first, i)->triggers;
    second = registry_new(fns, COUNT_OF(fns), 2);
    registry_free(first);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct event e = { .name = S("go"), .data = str_from(cases[i].data) };
        const struct function **out;
        size_t n;

        registry_match(&f->c, second, &e, &out, &n);
        assert_int_equal(n, cases[i].n);
        assert_int_equal(out[n - 1]->key, 3);
    }
    registry_free(second);
}

/* What this thread has computed: others may have the processor meanwhile. */
static int64_t cpu_ns(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Ten thousand functions: the cost of a match does not grow with them. Sanitized builds are an
 * order slower than the 20 us that a release build keeps with room to spare. */
static void ten_thousand_functions_match_in_microseconds(void **state)
{
    enum { N = 10000, ROUNDS = 2000 };
    struct fixture *f = *state;
    struct function *fns = NEW_N(&f->arena, struct function, N);
    struct registry *r;
    int64_t start, ns;

    for (int i = 0; i < N; i++) {
        fns[i] = (struct function){ .key = i + 1, .status = FN_ACTIVE, .triggers_n = 1 };
        fns[i].id = str_printf(&f->arena, "fn-%d", i);
        fns[i].triggers = NEW_N(&f->arena, struct trigger, 1);
        fns[i].triggers[0].event = i % 2 == 0 ? str_printf(&f->arena, "shop-%d.order.placed", i)
                                              : str_printf(&f->arena, "shop-%d.*.placed", i);
    }
    r = registry_new(fns, N, 1);
    start = cpu_ns();
    for (int i = 0; i < ROUNDS; i++) {
        char name[64];
        int at = i % N;

        (void)snprintf(name, sizeof(name), "shop-%d.order.placed", at);
        assert_int_equal(matches(f, r, name).n, at < 10 ? 4 : at < 100 ? 5 : at < 1000 ? 6 : 7);
    }
    ns = (cpu_ns() - start) / ROUNDS;
    print_message("one match: %lld ns\n", (long long)ns);
    assert_true(ns < 200000);
    registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(table, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_nobody_wants_runs_the_function_of_that_id,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(lookups_find_by_key_and_id, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_registry_matches_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(random_patterns_agree_with_a_plain_comparison, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(filters_choose_among_those_with_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(ten_thousand_functions_match_in_microseconds, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
