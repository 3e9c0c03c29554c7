#include "base/crypto.h"
#include "store/events.h"
#include "svc/events.h"
#include "svc/overview.h"
#include "svc/svc_tx_fixture.h"

/* Stores an event of the environment at this millisecond; several may share one. */
static int64_t add(struct tx_fixture *f, struct ctx *c, const char *name, const char *source)
{
    struct event e = { .id = ctx_id(c),
                       .name = str_from(name),
                       .data = S("{\"n\":1e400}"),
                       .version = 1,
                       .source = str_from(source) };

    (void)f;
    assert_int_equal(store_event_add(c, &e), ERR_OK);
    svc_count(c, 0, COUNT_EVENTS, 1);
    return e.id;
}

static struct event_page list(struct tx_fixture *f, struct event_filter filter)
{
    struct event_page page = { 0 };
    struct ctx *c = tx_read(f);

    if (svc_event_list(c, &filter, &page) != ERR_OK)
        fail_msg(STR_FMT, STR_ARG(err_text(c, c->err.code)));
    tx_read_end(f);
    return page;
}

static err_t list_error(struct tx_fixture *f, struct event_filter filter)
{
    struct event_page page;
    err_t e = svc_event_list(tx_read(f), &filter, &page);

    tx_read_end(f);
    return e;
}

/* 25 events, five of each millisecond. */
static void fill(struct tx_fixture *f, int64_t ids[25])
{
    for (int i = 0; i < 25; i += 5) {
        struct ctx *c = tx_begin(f);

        for (int k = i; k < i + 5; k++)
            ids[k] = add(f, c, k % 2 == 0 ? "even" : "odd", k % 5 == 0 ? "webhook" : "api");
        tx_commit(f);
    }
}

static void walking_older_neither_skips_nor_repeats(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;
    str_t cursor = STR_NULL;
    int64_t ids[25];
    size_t at = 25;
    int pages = 0;

    fill(f, ids);
    do {
        page = list(f, (struct event_filter){ .limit = 7, .cursor = cursor });
        assert_int_equal(page.has_prev, pages > 0);
        assert_int_equal(page.prev_cursor.n > 0, pages > 0);
        for (size_t i = 0; i < page.n; i++)
            assert_int_equal(page.events[i].id, ids[--at]);
        assert_int_equal(page.approx_total, 25 + pages);
        cursor = str_dup(&f->keep, page.next_cursor);
        pages++;
        (void)add(f, tx_begin(f), "late", "api"); /* newer ones do not shift older pages */
        tx_commit(f);
    } while (page.has_next);
    assert_int_equal(at, 0);
    assert_int_equal(pages, 4);
    assert_int_equal(cursor.n, 0);
}

static void walking_back_shows_the_same_pages(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;
    int64_t ids[25];
    str_t token;

    fill(f, ids);
    page = list(f, (struct event_filter){ .limit = 10 });
    assert_int_equal(page.events[9].id, ids[15]);
    token = str_dup(&f->keep, page.next_cursor);
    page = list(f, (struct event_filter){ .limit = 10, .cursor = token });
    assert_int_equal(page.events[0].id, ids[14]);
    assert_int_equal(page.events[9].id, ids[5]);
    token = str_dup(&f->keep, page.prev_cursor);
    page = list(f, (struct event_filter){ .limit = 10, .before = token });
    assert_int_equal(page.n, 10);
    assert_int_equal(page.events[0].id, ids[24]);
    assert_int_equal(page.events[9].id, ids[15]);
    assert_true(page.has_next);
    assert_false(page.has_prev);
    assert_int_equal(page.prev_cursor.n, 0);
    token = str_dup(&f->keep, page.next_cursor);
    page = list(f, (struct event_filter){ .limit = 4, .before = token });
    assert_int_equal(page.events[0].id, ids[19]);
    assert_int_equal(page.events[3].id, ids[16]);
    assert_true(page.has_prev);
}

static void an_empty_page_still_leads_back(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;
    int64_t ids[25];
    str_t token;

    page = list(f, (struct event_filter){ 0 });
    assert_int_equal(page.n, 0);
    assert_false(page.has_next);
    assert_false(page.has_prev);
    fill(f, ids);
    token = base64_encode(&f->keep, str_printf(&f->keep, "%lld|" STR_FMT, (long long)id_ms(ids[24]),
                                               STR_ARG(id_text(&f->keep, ID_EVENT, ids[24]))));
    page = list(f, (struct event_filter){ .before = token });
    assert_int_equal(page.n, 0);
    assert_true(page.has_next);
    assert_false(page.has_prev);
    token = str_dup(&f->keep, page.next_cursor);
    page = list(f, (struct event_filter){ .limit = 1, .cursor = token });
    assert_int_equal(page.events[0].id, ids[24]);
    token = base64_encode(&f->keep, str_printf(&f->keep, "%lld|" STR_FMT, (long long)id_ms(ids[0]),
                                               STR_ARG(id_text(&f->keep, ID_EVENT, ids[0]))));
    page = list(f, (struct event_filter){ .cursor = token });
    assert_int_equal(page.n, 0);
    assert_false(page.has_next);
    assert_true(page.has_prev);
    token = str_dup(&f->keep, page.prev_cursor);
    page = list(f, (struct event_filter){ .limit = 1, .before = token });
    assert_int_equal(page.events[0].id, ids[0]);
}

static void filters_apply_to_rows_and_not_to_the_total(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;
    int64_t ids[25];

    fill(f, ids);
    page = list(f, (struct event_filter){ .name = S("even"), .limit = 100 });
    assert_int_equal(page.n, 13);
    assert_int_equal(page.approx_total, 25);
    page = list(f, (struct event_filter){ .sources = S("webhook"), .limit = 100 });
    assert_int_equal(page.n, 5);
    page = list(f, (struct event_filter){ .sources = S("cron,webhook"), .limit = 100 });
    assert_int_equal(page.n, 5);
    page = list(f, (struct event_filter){ .sources = S("api,webhook"), .limit = 100 });
    assert_int_equal(page.n, 25);
    page = list(f, (struct event_filter){ .sources = S("hook"), .limit = 100 });
    assert_int_equal(page.n, 0);
    page = list(f, (struct event_filter){ .name = S("odd"), .sources = S("webhook") });
    assert_int_equal(page.n, 2);
    page = list(f, (struct event_filter){ .limit = 0 });
    assert_int_equal(page.n, 20);
    assert_str(page.events[0].data, "{\"n\":1e400}");
    assert_str(page.events[0].source, "api");
}

static void since_is_inclusive_and_until_exclusive(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;
    int64_t ids[25];

    fill(f, ids);
    page = list(f, (struct event_filter){ .since_ms = id_ms(ids[10]), .until_ms = id_ms(ids[20]) });
    assert_int_equal(page.n, 10);
    assert_int_equal(page.events[0].id, ids[19]);
    assert_int_equal(page.events[9].id, ids[10]);
    page = list(f, (struct event_filter){ .since_ms = id_ms(ids[24]) + 1 });
    assert_int_equal(page.n, 0);
    page = list(f, (struct event_filter){ .until_ms = 1 });
    assert_int_equal(page.n, 0);
    page = list(f, (struct event_filter){ .since_ms = 1, .limit = 100 });
    assert_int_equal(page.n, 25);
}

static void bad_requests_are_refused(void **state)
{
    static const char *const tokens[] = {
        "x", "!!!!", "MXxldnRfMQ==", "MTc2NzIyNTYwMDAwMQ==", "fGV2dF8x", "",
    };
    struct tx_fixture *f = *state;
    int64_t ids[25];

    fill(f, ids);
    for (size_t i = 0; tokens[i][0] != '\0'; i++) {
        assert_int_equal(list_error(f, (struct event_filter){ .cursor = str_from(tokens[i]) }),
                         ERR_INVALID);
        assert_int_equal(list_error(f, (struct event_filter){ .before = str_from(tokens[i]) }),
                         ERR_INVALID);
    }
    assert_int_equal(list_error(f, (struct event_filter){ .limit = -1 }), ERR_INVALID);
    assert_int_equal(list_error(f, (struct event_filter){ .cursor = S("a"), .before = S("a") }),
                     ERR_INVALID);
}

static void a_token_decodes_as_published(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;
    int64_t ids[25];
    str_t text;

    fill(f, ids);
    page = list(f, (struct event_filter){ .limit = 1 });
    assert_true(base64_decode(&f->keep, page.next_cursor, &text));
    assert_str(text,
               str_z(&f->keep, str_printf(&f->keep, "%lld|" STR_FMT, (long long)id_ms(ids[24]),
                                          STR_ARG(id_text(&f->keep, ID_EVENT, ids[24])))));
}

static void the_total_is_capped(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;

    svc_count(tx_begin(f), 0, COUNT_EVENTS, 10000);
    tx_commit(f);
    page = list(f, (struct event_filter){ 0 });
    assert_int_equal(page.approx_total, 10000);
    assert_false(page.approx_capped);
    svc_count(tx_begin(f), 0, COUNT_EVENTS, 1);
    tx_commit(f);
    page = list(f, (struct event_filter){ 0 });
    assert_int_equal(page.approx_total, 10000);
    assert_true(page.approx_capped);
}

static void other_environments_are_not_listed(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page;
    int64_t ids[25];

    fill(f, ids);
    f->r.c.env = 2;
    page = list(f, (struct event_filter){ 0 });
    assert_int_equal(page.n, 0);
    assert_int_equal(page.approx_total, 0);
    f->r.c.env = ENV_DEFAULT_KEY;
}

static void the_overview_adds_up(void **state)
{
    struct tx_fixture *f = *state;
    struct overview o = { 0 };
    struct run_count *counts;
    struct function fn;
    int64_t ids[25];
    struct ctx *c;
    bool created;
    size_t n;

    fill(f, ids);
    c = tx_begin(f);
    assert_int_equal(tx_register(c, "{\"id\":\"a\"}", &fn, &created), ERR_OK);
    svc_count(c, fn.key, RUN_PENDING, 3);
    svc_count(c, fn.key, RUN_RUNNING, 2);
    svc_count(c, fn.key, RUN_PAUSED, 1);
    svc_count(c, fn.key, RUN_COMPLETED, 7);
    tx_commit(f);
    c = tx_read(f);
    assert_int_equal(svc_overview(c, &o), ERR_OK);
    assert_int_equal(o.functions, 1);
    assert_int_equal(o.workers, 0);
    assert_int_equal(o.events, 25);
    assert_int_equal(o.runs_total, 13);
    assert_int_equal(o.runs_active, 5);
    assert_int_equal(o.runs[RUN_COMPLETED], 7);
    assert_int_equal(o.runs[RUN_PAUSED], 1);
    assert_int_equal(o.recent_n, 10);
    assert_int_equal(o.recent[0].id, ids[24]);
    assert_int_equal(svc_run_counts(c, &counts, &n), ERR_OK);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_str(counts[i].environment, "env_default");
        assert_str(counts[i].function_id, "a");
    }
    assert_int_equal(counts[0].status, RUN_RUNNING);
    assert_int_equal(counts[0].n, 2);
    tx_read_end(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, tx_setup, tx_teardown)
static const struct CMUnitTest tests[] = {
    T(walking_older_neither_skips_nor_repeats),
    T(walking_back_shows_the_same_pages),
    T(an_empty_page_still_leads_back),
    T(filters_apply_to_rows_and_not_to_the_total),
    T(since_is_inclusive_and_until_exclusive),
    T(bad_requests_are_refused),
    T(a_token_decodes_as_published),
    T(the_total_is_capped),
    T(other_environments_are_not_listed),
    T(the_overview_adds_up),
};

TX_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
