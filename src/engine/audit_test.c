/* Packs of the audit trail: what goes in comes out, in the order of its times, and no bytes of a
 * damaged disk do harm. */
#include "engine/audit.h"

#include "base/test.h"

struct world {
    struct arena arena;
    struct ctx c;
    struct buf pack;
};

static int setup(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));

    arena_init(&w->arena);
    w->c = (struct ctx){ .arena = &w->arena };
    buf_init_arena(&w->pack, &w->arena, 1 << 20);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    arena_done(&w->arena);
    test_free(w);
    return 0;
}

static void entries_come_back_as_they_were(void **state)
{
    struct audit_entry in = { .type = AUDIT_STEP_PATCHED,
                              .at = INT64_MAX,
                              .step = 1,
                              .a = 300,
                              .b = 0,
                              .text = S("{\"new\":1}"),
                              .before = S("null"),
                              .by = S("ak_1"),
                              .reason = S("why \xc3\xa4") };
    struct world *w = *state;
    struct audit_entry *out = NULL;
    size_t n = 0;

    audit_pack(&w->pack, &in);
    assert_int_equal(audit_unpack(&w->c, buf_str(&w->pack), &out, &n), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(out->type, AUDIT_STEP_PATCHED);
    assert_int_equal(out->at, INT64_MAX);
    assert_int_equal(out->step, 1);
    assert_int_equal(out->a, 300);
    assert_str(out->text, "{\"new\":1}");
    assert_str(out->before, "null");
    assert_str(out->by, "ak_1");
    assert_str(out->reason, "why \xc3\xa4");
}

static void entries_are_sorted_by_time_and_keep_their_order_where_it_is_equal(void **state)
{
    static const int64_t times[] = { 5, 3, 5, 3, 9, 1 }, want[] = { 5, 1, 3, 0, 2, 4 };
    struct world *w = *state;
    struct audit_entry *out = NULL;
    size_t n = 0;

    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct audit_entry e = { .type = AUDIT_STEP_STARTED, .at = times[i], .a = (int64_t)i };

        audit_pack(&w->pack, &e);
    }
    assert_int_equal(audit_unpack(&w->c, buf_str(&w->pack), &out, &n), ERR_OK);
    assert_int_equal(n, COUNT_OF(times));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(out[i].a, want[i]);
}

static void damaged_packs_are_refused(void **state)
{
    struct audit_entry e = { .type = AUDIT_STEP_FAILED, .at = 5, .step = 7, .text = S("{}") };
    struct world *w = *state;
    struct audit_entry *out = NULL;
    size_t n = 0;
    str_t pack;

    audit_pack(&w->pack, &e);
    pack = buf_str(&w->pack);
    for (size_t cut = 0; cut < pack.n; cut++) {
        if (cut == 1)
            continue; /* no entries: nothing is wrong with that */
        assert_int_equal(audit_unpack(&w->c, str_slice(pack, 0, cut), &out, &n), ERR_INTERNAL);
    }
    w->pack.p[1] = (char)AUDIT_TYPE_COUNT;
    assert_int_equal(audit_unpack(&w->c, buf_str(&w->pack), &out, &n), ERR_INTERNAL);
    w->pack.p[0] = 99;
    assert_int_equal(audit_unpack(&w->c, buf_str(&w->pack), &out, &n), ERR_INTERNAL);
}

static void every_type_has_a_word_and_a_payload(void **state)
{
    struct world *w = *state;
    struct run run = { .id = 1, .event_id = 2 };
    struct audit_about about = { .run = &run, .function_id = S("f"), .input = S("{}") };

    for (int t = 1; t < AUDIT_TYPE_COUNT; t++) {
        struct audit_entry e = { .type = (enum audit_type)t,
                                 .step = t < AUDIT_STEP_CREATED ? 0 : 5,
                                 .a = RUN_PENDING,
                                 .b = RUN_RUNNING };
        str_t payload = STR_NULL;

        assert_true(audit_type_word(e.type).n > 0);
        assert_int_equal(audit_payload(&w->c, &e, &about, &payload), ERR_OK);
        if (t == AUDIT_DEBOUNCE_CANCELLED)
            assert_true(str_starts(payload, S("{\"eventId\":\"evt_")));
        else if (e.step == 0)
            assert_true(str_starts(payload, S("{\"runId\":\"run_")));
        else
            assert_true(str_starts(payload, S("{\"stepId\":")));
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(entries_come_back_as_they_were),
        T(entries_are_sorted_by_time_and_keep_their_order_where_it_is_equal),
        T(damaged_packs_are_refused),
        T(every_type_has_a_word_and_a_payload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
