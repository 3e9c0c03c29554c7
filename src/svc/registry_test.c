#include "svc/registry.h"

#include "base/sync.h"
#include "engine/match.h"
#include "svc/svc_tx_fixture.h"

static const struct registry *snapshot(struct ctx *c)
{
    const struct registry *r = NULL;

    assert_int_equal(svc_registry(c, &r), ERR_OK);
    return r;
}

static void put(struct ctx *c, const char *json)
{
    struct function fn;
    bool created;

    assert_int_equal(tx_register(c, json, &fn, &created), ERR_OK);
}

static void an_unchanged_environment_is_loaded_once(void **state)
{
    struct tx_fixture *f = *state;
    const struct registry *a, *b;

    put(tx_begin(f), "{\"id\":\"a\"}");
    tx_commit(f);
    a = snapshot(tx_read(f));
    tx_read_end(f);
    b = snapshot(tx_read(f));
    tx_read_end(f);
    assert_ptr_equal(a, b);
    assert_int_equal(registry_count(a), 1);
}

static void a_write_sees_what_its_own_transaction_registered(void **state)
{
    struct tx_fixture *f = *state;
    struct ctx *c = tx_begin(f);

    assert_int_equal(registry_count(snapshot(c)), 0);
    put(c, "{\"id\":\"a\",\"triggers\":[{\"event\":\"x\"}]}");
    assert_non_null(registry_by_id(snapshot(c), S("a")));
    assert_int_equal(registry_by_id(snapshot(c), S("a"))->triggers_n, 1);
    tx_commit(f);
    assert_non_null(registry_by_id(snapshot(tx_read(f)), S("a")));
    tx_read_end(f);
}

static void what_was_rolled_back_is_never_served(void **state)
{
    struct tx_fixture *f = *state;
    struct ctx *c = tx_begin(f);

    put(c, "{\"id\":\"ghost\"}");
    assert_non_null(registry_by_id(snapshot(c), S("ghost")));
    tx_rollback(f);
    c = tx_begin(f);
    assert_null(registry_by_id(snapshot(c), S("ghost")));
    put(c, "{\"id\":\"real\"}");
    assert_null(registry_by_id(snapshot(c), S("ghost")));
    assert_non_null(registry_by_id(snapshot(c), S("real")));
    tx_commit(f);
    assert_null(registry_by_id(snapshot(tx_read(f)), S("ghost")));
    tx_read_end(f);
}

static void a_reader_keeps_to_its_own_time(void **state)
{
    struct tx_fixture *f = *state;
    struct ctx *r;

    put(tx_begin(f), "{\"id\":\"a\"}");
    tx_commit(f);
    r = tx_read(f);
    assert_int_equal(registry_count(snapshot(r)), 1);
    put(tx_begin(f), "{\"id\":\"b\"}");
    tx_commit(f);
    assert_int_equal(registry_count(snapshot(tx_begin(f))), 2);
    tx_commit(f);
    if (tx_pg_url == NULL) /* a snapshot of SQLite; PostgreSQL reads what is committed */
        assert_int_equal(registry_count(snapshot(r)), 1);
    tx_read_end(f);
    assert_int_equal(registry_count(snapshot(tx_read(f))), 2);
    tx_read_end(f);
}

static void a_borrowed_snapshot_outlives_many_newer_ones(void **state)
{
    struct tx_fixture *f = *state;
    const struct registry *old;
    struct arena other;

    put(tx_begin(f), "{\"id\":\"a\",\"description\":\"first\"}");
    tx_commit(f);
    arena_init(&other);
    f->r.c.arena = &other; /* what tx_read resets is not what this call uses */
    old = snapshot(tx_read(f));
    tx_read_end(f);
    f->r.c.arena = &f->r.arena;
    for (int i = 0; i < 10; i++) {
        char json[64];

        (void)snprintf(json, sizeof(json), "{\"id\":\"a\",\"description\":\"%d\"}", i);
        put(tx_begin(f), json);
        assert_int_equal(registry_count(snapshot(&f->w.c)), 1);
        tx_commit(f);
    }
    assert_str(registry_by_id(old, S("a"))->description, "first");
    assert_int_equal(registry_by_id(old, S("a"))->version, 1);
    arena_done(&other);
}

static void unchanged_functions_are_taken_over_whole(void **state)
{
    struct tx_fixture *f = *state;
    const struct function *fn;

    put(tx_begin(f), "{\"id\":\"a\",\"name\":\"A\",\"description\":\"d\",\"recording\":true,"
                     "\"triggers\":[{\"event\":\"x\"}],\"retry\":{\"maxAttempts\":7}}");
    assert_int_equal(registry_count(snapshot(&f->w.c)), 1);
    tx_commit(f);
    put(tx_begin(f), "{\"id\":\"b\"}");
    fn = registry_by_id(snapshot(&f->w.c), S("a"));
    assert_str(fn->name, "A");
    assert_str(fn->description, "d");
    assert_true(fn->recording);
    assert_int_equal(fn->retry.max_attempts, 7);
    assert_str(fn->triggers[0].event, "x");
    tx_commit(f);
}

static void a_change_raises_the_signal_of_its_environment(void **state)
{
    struct tx_fixture *f = *state;

    put(tx_begin(f), "{\"id\":\"a\"}");
    assert_int_equal(f->w.signals.n, 1);
    assert_int_equal(f->w.signals.items[0].sig, SIG_REGISTRY);
    assert_int_equal(f->w.signals.items[0].key, ENV_DEFAULT_KEY);
    tx_commit(f);
    put(tx_begin(f), "{\"id\":\"a\"}");
    assert_int_equal(f->w.signals.n, 0);
    tx_commit(f);
}

/* Readers on threads of their own while the writer registers: every snapshot is whole. */
struct reader {
    struct tx_fixture *f;
    struct tx_side side;
    pthread_t thread;
    int64_t seen;
};

static void *read_until_all_are_there(void *arg)
{
    struct reader *r = arg;

    while (r->seen < 100) {
        const struct registry *reg;
        err_t e = db_begin(&r->side.c, r->side.conn, false);

        if (e == ERR_OK)
            e = svc_registry(&r->side.c, &reg);
        must(e == ERR_OK);
        must((int64_t)registry_count(reg) >= r->seen);
        r->seen = (int64_t)registry_count(reg);
        for (size_t i = 0; i < registry_count(reg); i++)
            must(registry_by_id(reg, registry_at(reg, i)->id) == registry_at(reg, i));
        db_rollback(&r->side.c);
        r->side.c.tx = NULL;
        arena_reset(&r->side.arena);
    }
    return NULL;
}

static void threads_share_snapshots(void **state)
{
    struct tx_fixture *f = *state;
    struct reader readers[3] = { 0 };

    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        tx_side_open(f, &readers[i].side, false);
        thread_start(&readers[i].thread, "reader", read_until_all_are_there, &readers[i]);
    }
    for (int i = 0; i < 100; i++) {
        char json[64];

        (void)snprintf(json, sizeof(json), "{\"id\":\"fn-%d\"}", i);
        put(tx_begin(f), json);
        assert_int_equal(registry_count(snapshot(&f->w.c)), i + 1);
        tx_commit(f);
    }
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        thread_join(readers[i].thread);
        db_conn_close(readers[i].side.conn);
        arena_done(&readers[i].side.arena);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, tx_setup, tx_teardown)
static const struct CMUnitTest tests[] = {
    T(an_unchanged_environment_is_loaded_once),
    T(a_write_sees_what_its_own_transaction_registered),
    T(what_was_rolled_back_is_never_served),
    T(a_reader_keeps_to_its_own_time),
    T(a_borrowed_snapshot_outlives_many_newer_ones),
    T(unchanged_functions_are_taken_over_whole),
    T(a_change_raises_the_signal_of_its_environment),
    T(threads_share_snapshots),
};

TX_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
