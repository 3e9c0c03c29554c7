#include "svc/functions.h"

#include "base/sync.h"
#include "codec/json.h"
#include "db/db_fault.h"
#include "engine/function.h"
#include "engine/match.h"
#include "svc/events.h"
#include "svc/overview.h"
#include "svc/svc_tx_fixture.h"

static void put(struct tx_fixture *f, const char *json, int64_t version, bool created)
{
    struct ctx *c = tx_begin(f);
    struct function fn = { 0 };
    bool is_new = !created;

    if (tx_register(c, json, &fn, &is_new) != ERR_OK)
        fail_msg("%s: " STR_FMT, json, STR_ARG(err_text(c, c->err.code)));
    assert_int_equal(fn.version, version);
    assert_int_equal(is_new, created);
    tx_commit(f);
}

static struct function get(struct tx_fixture *f, const char *id)
{
    struct function fn = { 0 };
    struct ctx *c = tx_read(f);

    assert_int_equal(svc_function_get(c, str_from(id), &fn), ERR_OK);
    tx_read_end(f);
    return fn;
}

/* "type:reason@version ..." of a page of history. */
static str_t history(struct tx_fixture *f, const char *id, int64_t from, int64_t limit, bool *more)
{
    struct ctx *c = tx_read(f);
    struct function_change *list;
    struct buf b;
    size_t n;

    assert_int_equal(svc_function_history(c, str_from(id), from, limit, &list, &n, more), ERR_OK);
    buf_init_arena(&b, c->arena, 4096);
    for (size_t i = 0; i < n; i++) {
        assert_true(list[i].event_id > 0);
        assert_true(list[i].recorded_at >= TX_START_MS);
        buf_printf(&b, "%s" STR_FMT ":" STR_FMT "@%lld", i > 0 ? " " : "", STR_ARG(list[i].type),
                   STR_ARG(list[i].reason), (long long)list[i].version);
    }
    tx_read_end(f);
    return buf_str(&b);
}

/* The description in the snapshot of a version. */
static str_t description_at(struct tx_fixture *f, const char *id, int64_t version)
{
    struct ctx *c = tx_read(f);
    struct function_change change = { 0 };
    str_t value = STR_NULL, text = STR_NULL;

    if (svc_function_at(c, str_from(id), version, &change) != ERR_OK)
        fail_msg("%s@%d: " STR_FMT, id, (int)version, STR_ARG(err_text(c, c->err.code)));
    assert_int_equal(change.version, version);
    if (json_get(change.snapshot, S("description"), &value))
        assert_true(json_string(c->arena, value, &text));
    tx_read_end(f);
    return text;
}

static err_t at_error(struct tx_fixture *f, const char *id, int64_t version)
{
    struct function_change change = { 0 };
    err_t e = svc_function_at(tx_read(f), str_from(id), version, &change);

    tx_read_end(f);
    return e;
}

static void versions_rise_with_changes_only(void **state)
{
    struct tx_fixture *f = *state;
    bool more = true;

    put(f, "{\"id\":\"a\",\"metadata\":{\"x\":1,\"h\":\"1\"}}", 1, true);
    assert_str(history(f, "a", 0, 0, &more), "");
    assert_false(more);
    put(f, "{\"id\":\"a\",\"metadata\":{\"h\":\"1\",\"x\":1}}", 1, false);
    assert_str(history(f, "a", 0, 0, &more), "");
    put(f, "{\"id\":\"a\",\"metadata\":{\"x\":1,\"h\":\"2\"}}", 2, false);
    put(f,
        "{\"id\":\"a\",\"metadata\":{\"x\":1,\"h\":\"2\"},\"description\":\"d\","
        "\"change_reason\":\"because\"}",
        3, false);
    put(f,
        "{\"id\":\"a\",\"metadata\":{\"x\":1,\"h\":\"2\"},\"description\":\"d\","
        "\"retry\":{\"max_attempts\":9}}",
        4, false);
    assert_str(history(f, "a", 0, 0, &more), "update:@1 update:because@2 update:@3");
    assert_int_equal(get(f, "a").version, 4);
    assert_int_equal(get(f, "a").retry.max_attempts, 9);
}

static void an_unchanged_registration_answers_what_is_stored(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn = { 0 };
    struct pb_function pb = { 0 };
    struct ctx *c;
    bool created;

    put(f, "{\"id\":\"a\",\"metadata\":{\"x\":1,\"h\":\"1\"}}", 1, true);
    c = tx_begin(f);
    assert_int_equal(
        tx_register(c, "{\"id\":\"a\",\"metadata\":{\"h\":\"1\",\"x\":1}}", &fn, &created), ERR_OK);
    assert_int_equal(db_writes(c), 0);
    assert_int_equal(function_to_pb(c, &fn, &pb), ERR_OK);
    assert_str(pb.metadata, "{\"x\":1,\"h\":\"1\"}");
    assert_str(fn.name, "a");
    tx_commit(f);
}

static void history_pages_are_exclusive_and_ascend(void **state)
{
    struct tx_fixture *f = *state;
    struct ctx *c;
    bool more;

    put(f, "{\"id\":\"a\",\"description\":\"1\"}", 1, true);
    for (int i = 2; i <= 6; i++) {
        char json[64];

        (void)snprintf(json, sizeof(json), "{\"id\":\"a\",\"description\":\"%d\"}", i);
        put(f, json, i, false);
    }
    assert_str(history(f, "a", 0, 2, &more), "update:@1 update:@2");
    assert_true(more);
    assert_str(history(f, "a", 2, 2, &more), "update:@3 update:@4");
    assert_true(more);
    assert_str(history(f, "a", 4, 2, &more), "update:@5");
    assert_false(more);
    assert_str(history(f, "a", 3, 2, &more), "update:@4 update:@5");
    assert_false(more);
    assert_str(history(f, "a", 5, 2, &more), "");
    assert_false(more);
    c = tx_read(f);
    {
        struct function_change *list;
        size_t n;

        assert_int_equal(svc_function_history(c, S("b"), 0, 0, &list, &n, &more), ERR_NOT_FOUND);
        assert_int_equal(svc_function_history(c, S("a"), 0, -1, &list, &n, &more), ERR_INVALID);
        assert_int_equal(svc_function_history(c, S("a"), -1, 0, &list, &n, &more), ERR_INVALID);
    }
    tx_read_end(f);
}

static void every_version_can_be_read(void **state)
{
    struct tx_fixture *f = *state;

    put(f, "{\"id\":\"a\",\"description\":\"one\"}", 1, true);
    put(f, "{\"id\":\"a\",\"description\":\"two\"}", 2, false);
    put(f, "{\"id\":\"a\",\"description\":\"three\"}", 3, false);
    assert_str(description_at(f, "a", 1), "one");
    assert_str(description_at(f, "a", 2), "two");
    assert_str(description_at(f, "a", 3), "three");
    assert_int_equal(at_error(f, "a", 4), ERR_NOT_FOUND);
    assert_int_equal(at_error(f, "a", 0), ERR_NOT_FOUND);
    assert_int_equal(at_error(f, "b", 1), ERR_NOT_FOUND);
}

static void set_status(struct tx_fixture *f, const char *id, enum fn_status s, int64_t version)
{
    struct function fn = { 0 };

    assert_int_equal(svc_function_set_status(tx_begin(f), str_from(id), s, &fn), ERR_OK);
    assert_int_equal(fn.status, s);
    assert_int_equal(fn.version, version);
    tx_commit(f);
}

static void a_status_change_is_recorded_and_survives_registration(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn;
    bool more;

    put(f, "{\"id\":\"a\",\"description\":\"one\"}", 1, true);
    set_status(f, "a", FN_PAUSED, 2);
    set_status(f, "a", FN_PAUSED, 2);
    put(f, "{\"id\":\"a\",\"description\":\"one\"}", 2, false);
    put(f, "{\"id\":\"a\",\"description\":\"two\"}", 3, false);
    assert_int_equal(get(f, "a").status, FN_PAUSED);
    set_status(f, "a", FN_ACTIVE, 4);
    assert_str(history(f, "a", 0, 0, &more), "status_change:@1 update:@2 status_change:@3");
    assert_str(description_at(f, "a", 2), "one");
    assert_int_equal(svc_function_set_status(tx_begin(f), S("a"), (enum fn_status)0, &fn),
                     ERR_INVALID);
    assert_int_equal(svc_function_set_status(&f->w.c, S("zzz"), FN_PAUSED, &fn), ERR_NOT_FOUND);
    tx_rollback(f);
}

static void a_deleted_function_comes_back_with_the_next_version(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn;
    bool more;

    put(f, "{\"id\":\"a\",\"description\":\"one\"}", 1, true);
    put(f, "{\"id\":\"a\",\"description\":\"two\"}", 2, false);
    assert_int_equal(svc_function_mark_invoked(tx_begin(f), get(f, "a").key), ERR_OK);
    tx_commit(f);
    assert_int_equal(svc_function_delete(tx_begin(f), S("a")), ERR_OK);
    tx_commit(f);
    assert_int_equal(svc_function_get(tx_read(f), S("a"), &fn), ERR_NOT_FOUND);
    tx_read_end(f);
    assert_int_equal(svc_function_delete(tx_begin(f), S("a")), ERR_NOT_FOUND);
    tx_rollback(f);
    assert_str(history(f, "a", 0, 0, &more), "update:@1 delete:@2");
    assert_str(description_at(f, "a", 2), "two");
    assert_int_equal(at_error(f, "a", 3), ERR_NOT_FOUND);
    put(f, "{\"id\":\"a\",\"description\":\"again\"}", 3, true);
    put(f, "{\"id\":\"a\",\"description\":\"four\"}", 4, false);
    assert_str(history(f, "a", 0, 0, &more), "update:@1 delete:@2 update:@3");
    assert_str(description_at(f, "a", 3), "again");
    assert_false(get(f, "a").invoked);
}

static void a_rollback_restores_the_configuration_and_is_recorded(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn = { 0 };
    struct ctx *c;
    bool more, same = false;
    str_t first;

    put(f, "{\"id\":\"a\",\"description\":\"one\",\"metadata\":{\"k\":[1, 2]}}", 1, true);
    first = str_dup(&f->keep, get(f, "a").config);
    put(f, "{\"id\":\"a\",\"description\":\"two\"}", 2, false);
    set_status(f, "a", FN_PAUSED, 3);
    c = tx_begin(f);
    assert_int_equal(svc_function_rollback(c, S("a"), 1, S("bad deploy"), &fn), ERR_OK);
    assert_int_equal(fn.version, 4);
    assert_int_equal(fn.status, FN_PAUSED);
    assert_str(fn.description, "one");
    assert_int_equal(function_same(c, fn.config, first, &same), ERR_OK);
    assert_true(same);
    tx_commit(f);
    assert_str(get(f, "a").config, str_z(&f->keep, first));
    assert_str(history(f, "a", 0, 0, &more), "update:@1 status_change:@2 rollback:bad deploy@3");
    assert_str(description_at(f, "a", 3), "two");
    assert_str(description_at(f, "a", 4), "one");

    c = tx_begin(f);
    assert_int_equal(svc_function_rollback(c, S("a"), 9, STR_NULL, &fn), ERR_NOT_FOUND);
    assert_int_equal(svc_function_rollback(c, S("b"), 1, STR_NULL, &fn), ERR_NOT_FOUND);
    tx_rollback(f);
}

static void an_archived_version_is_no_target(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn = { 0 };
    struct ctx *c;

    put(f, "{\"id\":\"a\",\"description\":\"one\"}", 1, true);
    set_status(f, "a", FN_ARCHIVED, 2);
    set_status(f, "a", FN_ACTIVE, 3);
    c = tx_begin(f);
    assert_int_equal(svc_function_rollback(c, S("a"), 2, STR_NULL, &fn), ERR_INVALID);
    assert_int_equal(db_writes(c), 0);
    assert_int_equal(svc_function_rollback(c, S("a"), 1, STR_NULL, &fn), ERR_OK);
    tx_commit(f);
}

static void a_refused_registration_writes_nothing(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn = { 0 };
    struct ctx *c = tx_begin(f);
    bool created;

    assert_int_equal(tx_register(c, "{\"id\":\"a b\"}", &fn, &created), ERR_INVALID);
    assert_int_equal(tx_register(c, "{\"id\":\"a\",\"secrets\":[\"S\"]}", &fn, &created),
                     ERR_UNIMPLEMENTED);
    assert_int_equal(db_writes(c), 0);
    tx_rollback(f);
}

static str_t ids(struct tx_fixture *f, struct function_filter filter, int64_t *total)
{
    struct ctx *c = tx_read(f);
    struct function *list;
    struct buf b;
    size_t n;

    assert_int_equal(svc_function_list(c, &filter, &list, &n, total), ERR_OK);
    buf_init_arena(&b, c->arena, 4096);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s" STR_FMT, i > 0 ? " " : "", STR_ARG(list[i].id));
    tx_read_end(f);
    return buf_str(&b);
}

/* Whichever statement fails: nothing of the change remains, in the tables or in the caches. */
static void a_change_that_fails_halfway_leaves_nothing(void **state)
{
    struct tx_fixture *f = *state;
    err_t e = ERR_UNAVAILABLE;
    bool more;

    put(f, "{\"id\":\"a\",\"description\":\"one\"}", 1, true);
    for (int64_t k = 1; e != ERR_OK; k++) {
        struct ctx *c = tx_begin(f);
        struct function fn = { 0 };
        const struct registry *r;
        bool created;

        assert_true(k < 50);
        db_fault_at(k, ERR_UNAVAILABLE);
        e = tx_register(c, "{\"id\":\"a\",\"description\":\"two\"}", &fn, &created);
        if (e == ERR_OK)
            e = svc_registry(c, &r);
        db_fault_at(0, ERR_OK);
        if (e == ERR_OK) {
            tx_commit(f);
            assert_true(k > 4);
            continue;
        }
        assert_int_equal(e, ERR_UNAVAILABLE);
        tx_rollback(f);
        assert_int_equal(get(f, "a").version, 1);
        assert_str(get(f, "a").description, "one");
        assert_str(history(f, "a", 0, 0, &more), "");
    }
    assert_int_equal(get(f, "a").version, 2);
    assert_str(history(f, "a", 0, 0, &more), "update:@1");
}

static void lists_filter_and_page(void **state)
{
    struct tx_fixture *f = *state;
    int64_t total = 0;

    put(f, "{\"id\":\"pay-one\"}", 1, true);
    put(f, "{\"id\":\"ship\",\"name\":\"Pay later\"}", 1, true);
    put(f, "{\"id\":\"gone\"}", 1, true);
    put(f, "{\"id\":\"old\"}", 1, true);
    put(f, "{\"id\":\"rest\"}", 1, true);
    set_status(f, "old", FN_ARCHIVED, 2);
    set_status(f, "rest", FN_PAUSED, 2);
    assert_int_equal(svc_function_delete(tx_begin(f), S("gone")), ERR_OK);
    tx_commit(f);
    assert_str(ids(f, (struct function_filter){ 0 }, &total), "pay-one ship rest");
    assert_int_equal(total, 3);
    assert_str(ids(f, (struct function_filter){ .name = S("PAY") }, &total), "pay-one ship");
    assert_str(ids(f, (struct function_filter){ .status = FN_ARCHIVED }, &total), "old");
    assert_str(ids(f, (struct function_filter){ .status = FN_PAUSED }, &total), "rest");
    assert_str(ids(f, (struct function_filter){ .mode = MODE_PULL }, &total), "pay-one ship rest");
    assert_str(ids(f, (struct function_filter){ .mode = MODE_PUSH }, &total), "");
    assert_str(ids(f, (struct function_filter){ .limit = 1, .offset = 1 }, &total), "ship");
    assert_int_equal(total, 3);
}

static void the_first_direct_invoke_marks_the_function_once(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn;
    struct ctx *c;

    put(f, "{\"id\":\"a\"}", 1, true);
    fn = get(f, "a");
    assert_false(fn.invoked);
    c = tx_begin(f);
    assert_int_equal(svc_function_mark_invoked(c, fn.key), ERR_OK);
    assert_int_equal(f->w.signals.n, 1);
    tx_commit(f);
    assert_true(get(f, "a").invoked);
    c = tx_begin(f);
    assert_int_equal(svc_function_mark_invoked(c, fn.key), ERR_OK);
    assert_int_equal(f->w.signals.n, 0);
    assert_int_equal(db_writes(c), 0);
    tx_rollback(f);
    put(f, "{\"id\":\"a\",\"description\":\"x\"}", 2, false);
    assert_true(get(f, "a").invoked);
    assert_int_equal(get(f, "a").version, 2);
}

static void environments_do_not_see_each_other(void **state)
{
    struct tx_fixture *f = *state;
    struct function fn;

    put(f, "{\"id\":\"a\"}", 1, true);
    f->w.c.env = f->r.c.env = 2;
    assert_int_equal(svc_function_get(tx_read(f), S("a"), &fn), ERR_NOT_FOUND);
    tx_read_end(f);
    put(f, "{\"id\":\"a\",\"description\":\"other\"}", 1, true);
    f->w.c.env = f->r.c.env = ENV_DEFAULT_KEY;
    assert_str(get(f, "a").description, "");
}

static void history_entries_are_no_events_of_the_environment(void **state)
{
    struct tx_fixture *f = *state;
    struct event_page page = { 0 };
    struct overview o = { 0 };

    put(f, "{\"id\":\"a\"}", 1, true);
    put(f, "{\"id\":\"a\",\"description\":\"x\"}", 2, false);
    assert_int_equal(svc_event_list(tx_read(f), &(struct event_filter){ 0 }, &page), ERR_OK);
    assert_int_equal(page.n, 0);
    assert_int_equal(page.approx_total, 0);
    assert_int_equal(svc_overview(&f->r.c, &o), ERR_OK);
    assert_int_equal(o.functions, 1);
    assert_int_equal(o.recent_n, 0);
    assert_int_equal(o.events, 0);
    tx_read_end(f);
}

/* Several writers of PostgreSQL register the same new id: one creates it, the others change it, and
 * history counts every change once. */
struct racer {
    struct tx_fixture *f;
    struct tx_side side;
    struct id_gen ids;
    pthread_t thread;
    int number, created;
};

enum { RACERS = 4, RACES = 10 };

static err_t race_once(struct racer *r, const char *json, bool *created)
{
    struct ctx *c = &r->side.c;
    struct function fn = { 0 };
    err_t e;

    arena_reset(&r->side.arena);
    r->side.signals.n = 0;
    TRY(db_begin(c, r->side.conn, true));
    e = svc_batch_begin(c);
    if (e == ERR_OK)
        e = tx_register(c, json, &fn, created);
    if (e == ERR_OK)
        e = svc_batch_before_commit(c);
    if (e == ERR_OK)
        e = db_commit(c);
    else
        db_rollback(c);
    c->tx = NULL;
    svc_batch_after(c, e == ERR_OK);
    return e;
}

static void *race(void *arg)
{
    struct racer *r = arg;

    for (int i = 0; i < RACES; i++) {
        bool created = false;
        char json[64];
        err_t e;

        (void)snprintf(json, sizeof(json), "{\"id\":\"a\",\"description\":\"%d-%d\"}", r->number,
                       i);
        do {
            e = race_once(r, json, &created);
        } while (e == ERR_RETRY);
        must(e == ERR_OK);
        r->created += created;
    }
    return NULL;
}

static void racing_registrations_leave_no_gap(void **state)
{
    struct tx_fixture *f = *state;
    struct racer racers[RACERS] = { 0 };
    struct function_change *list;
    int created = 0;
    bool more;
    size_t n;

    if (tx_pg_url == NULL) /* SQLite has one writer */
        skip();
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){ .f = f, .number = i, .ids = { .slot = i + 1 } };
        tx_side_open(f, &racers[i].side, true);
        racers[i].side.c.ids = &racers[i].ids;
        thread_start(&racers[i].thread, "racer", race, &racers[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        thread_join(racers[i].thread);
        created += racers[i].created;
        db_conn_close(racers[i].side.conn);
        arena_done(&racers[i].side.arena);
        mem_free(racers[i].side.signals.items);
    }
    assert_int_equal(created, 1);
    assert_int_equal(get(f, "a").version, RACERS * RACES);
    assert_int_equal(svc_function_history(tx_read(f), S("a"), 0, 1000, &list, &n, &more), ERR_OK);
    assert_int_equal(n, RACERS * RACES - 1);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(list[i].version, i + 1);
    tx_read_end(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, tx_setup, tx_teardown)
static const struct CMUnitTest tests[] = {
    T(versions_rise_with_changes_only),
    T(an_unchanged_registration_answers_what_is_stored),
    T(history_pages_are_exclusive_and_ascend),
    T(every_version_can_be_read),
    T(a_status_change_is_recorded_and_survives_registration),
    T(a_deleted_function_comes_back_with_the_next_version),
    T(a_rollback_restores_the_configuration_and_is_recorded),
    T(an_archived_version_is_no_target),
    T(a_refused_registration_writes_nothing),
    T(a_change_that_fails_halfway_leaves_nothing),
    T(lists_filter_and_page),
    T(the_first_direct_invoke_marks_the_function_once),
    T(racing_registrations_leave_no_gap),
    T(environments_do_not_see_each_other),
    T(history_entries_are_no_events_of_the_environment),
};

TX_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
