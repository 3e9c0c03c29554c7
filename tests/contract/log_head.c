/* PostgreSQL: transactions become visible out of order, yet the log has no gap below its head. The
 * first draws its key first and commits last; the relay, which numbers rows by key without a
 * cursor, still finds it, and nothing that a reader has passed changes. IRONFLOW_TEST_PG_URL names
 * the database, whose schema is made anew. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/test.h"
#include "db/db.h"
#include "store/events.h"
#include "store/log.h"
#include "store/migrations.h"
#include "svc/access.h"
#include "svc/app.h"
#include "svc/batch.h"
#include "svc/messages.h"
#include "svc/records.h"
#include "svc/registry.h"
#include "svc/upkeep.h"
#include "txn/txn.h"

enum { SIDES = 5, SEEDS = 20, MOVES = 150 };

#define START_MS 1767225600000

/* One connection and its transaction; the last two are the relay and the reader. */
struct side {
    struct arena arena;
    struct signal_list signals;
    struct id_gen ids;
    struct ctx c;
    struct db_conn *conn;
    bool open, prepared;
};

struct world {
    struct app app;
    struct clock clock;
    struct rng rng;
    struct arena arena;
    struct db *db;
    struct side sides[SIDES], relay, reader;
    int64_t head; /* what the reader has seen, complete */
    int64_t committed, seen;
};

/* ---- transactions by hand ----------------------------------------------------------------------
 */

static void ok(struct side *s, err_t e)
{
    if (e != ERR_OK)
        fail_msg("%d: %s", (int)e, s->c.err.text);
}

static void side_open(struct world *w, struct side *s, int64_t slot, bool write)
{
    arena_init(&s->arena);
    s->ids = (struct id_gen){ .slot = slot };
    s->c = (struct ctx){ .arena = &s->arena,
                         .clock = &w->clock,
                         .rng = &w->rng,
                         .ids = &s->ids,
                         .env = ENV_DEFAULT_KEY,
                         .signals = &s->signals,
                         .app = &w->app };
    ok(s, db_conn_open(&s->c, w->db, write, &s->conn));
}

static void side_close(struct side *s)
{
    db_conn_close(s->conn);
    mem_free(s->signals.items);
    arena_done(&s->arena);
}

static void begin(struct world *w, struct side *s, bool write)
{
    arena_reset(&s->arena);
    s->signals.n = 0;
    s->c.now_ms = w->clock.virtual_ms;
    s->c.env = ENV_DEFAULT_KEY;
    ok(s, db_begin(&s->c, s->conn, write));
    if (write)
        ok(s, svc_batch_begin(&s->c));
    s->open = true;
}

/* Everything but the COMMIT: from here on it has its key in the log. */
static void prepare(struct side *s)
{
    ok(s, svc_batch_before_commit(&s->c));
    s->prepared = true;
}

static void finish(struct world *w, struct side *s, bool commit)
{
    if (commit)
        ok(s, db_commit(&s->c));
    else
        db_rollback(&s->c);
    s->c.tx = NULL;
    svc_batch_after(&s->c, commit);
    s->open = s->prepared = false;
    w->committed += commit;
}

/* An event without its counters: one thread holds all transactions, so none may wait for another.
 */
static void emit(struct world *w, struct side *s)
{
    struct event e = { .name = S("head.moved"), .data = S("{}"), .version = 1, .source = S("api") };
    int64_t pos = -1;

    begin(w, s, true);
    e.id = ctx_id(&s->c);
    ok(s, store_event_add(&s->c, &e));
    ok(s, message_event(&s->c, &e, &pos));
    assert_int_equal(pos, 0); /* nobody knows it yet */
}

/* The relay works until nothing is left to number. */
static void relay(struct world *w)
{
    int64_t due = 0;

    do {
        begin(w, &w->relay, true);
        w->relay.c.env = 0;
        ok(&w->relay, svc_log_relay(&w->relay.c, &due));
        ok(&w->relay, svc_batch_before_commit(&w->relay.c));
        ok(&w->relay, db_commit(&w->relay.c));
        svc_batch_after(&w->relay.c, true);
    } while (due <= w->clock.virtual_ms);
}

/* A subscriber: reads on from where it stands. What lies below the head is complete and final, so
 * it may never meet a gap, and at the end it has seen every committed event once. */
static void follow(struct world *w)
{
    struct log_row *rows = NULL;
    size_t n = 0;

    begin(w, &w->reader, false);
    ok(&w->reader, store_log_read(&w->reader.c, w->head + 1, 100000, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        struct record_reader reader;
        struct record rec = { 0 };
        struct event e = { 0 };

        ok(&w->reader, message_row_check(&w->reader.c, &rows[i]));
        assert_int_equal(rows[i].first_pos, w->head + 1);
        assert_int_equal(rows[i].count, 1);
        assert_true(records_open(&reader, rows[i].records));
        assert_int_equal(records_next(&reader, &rec), 1);
        assert_int_equal(rec.kind, RECORD_EVENT);
        ok(&w->reader, store_event_get(&w->reader.c, rec.id, &e));
        assert_int_equal(e.seq, rows[i].first_pos);
        w->head = rows[i].last_pos;
        w->seen++;
    }
    db_rollback(&w->reader.c);
    w->reader.c.tx = NULL;
}

/* ---- the database -------------------------------------------------------------------------------
 */

static void make_schema(struct world *w)
{
    struct side s = { 0 };
    str_t key, id;

    side_open(w, &s, 0, true);
    ok(&s, db_begin(&s.c, s.conn, true));
    ok(&s, db_script(&s.c, S("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")));
    ok(&s, db_commit(&s.c));
    ok(&s, db_migrate(&s.c, s.conn, store_migrations, store_migrations_n));
    begin(w, &s, true);
    ok(&s, svc_access_bootstrap(&s.c, &key, &id));
    finish(w, &s, true);
    w->committed = 0;
    side_close(&s);
}

static int set_up(void **state)
{
    struct world *w = mem_zero(sizeof(*w));
    struct db_opts o = { .kind = DB_PG, .path = str_from(getenv("IRONFLOW_TEST_PG_URL")) };
    struct ctx c = { .arena = &w->arena };

    arena_init(&w->arena);
    clock_init_virtual(&w->clock, START_MS);
    rng_seed(&w->rng, 1);
    w->app = (struct app){ .db_kind = DB_PG,
                           .registry = registry_cache_new(),
                           .access = access_cache_new() };
    if (db_open(&c, &o, &w->db) != ERR_OK)
        fail_msg("%s", c.err.text);
    make_schema(w);
    for (int i = 0; i < SIDES; i++)
        side_open(w, &w->sides[i], i + 1, true);
    side_open(w, &w->relay, SIDES + 1, true);
    side_open(w, &w->reader, SIDES + 2, false);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < SIDES; i++)
        side_close(&w->sides[i]);
    side_close(&w->relay);
    side_close(&w->reader);
    db_close(w->db);
    registry_cache_free(w->app.registry);
    access_cache_free(w->app.access);
    arena_done(&w->arena);
    mem_free(w);
    return 0;
}

/* ---- tests
 * --------------------------------------------------------------------------------------- */

static int64_t log_key(struct world *w, int64_t pos)
{
    struct log_row *rows = NULL;
    size_t n = 0;
    int64_t key;

    begin(w, &w->reader, false);
    ok(&w->reader, store_log_read(&w->reader.c, pos, 1, &rows, &n));
    assert_int_equal(n, 1);
    key = rows[0].id;
    db_rollback(&w->reader.c);
    w->reader.c.tx = NULL;
    return key;
}

static void the_first_key_may_commit_last(void **state)
{
    struct world *w = *state;
    struct side *first = &w->sides[0], *second = &w->sides[1];

    emit(w, first);
    prepare(first);
    emit(w, second);
    prepare(second);
    finish(w, second, true);
    relay(w);
    follow(w);
    assert_int_equal(w->seen, 1); /* the head does not wait for who may never come */
    finish(w, first, true);
    relay(w);
    follow(w);
    assert_int_equal(w->seen, 2);
    assert_int_equal(w->head, 2);
    assert_true(log_key(w, 2) < log_key(w, 1)); /* it was drawn first indeed */
}

static void one_relay_at_a_time(void **state)
{
    struct world *w = *state;
    struct side *other = &w->sides[0];
    int64_t due = 0;

    emit(w, &w->sides[1]);
    prepare(&w->sides[1]);
    finish(w, &w->sides[1], true);
    begin(w, other, true);
    other->c.env = 0;
    ok(other, svc_log_relay(&other->c, &due)); /* it has the lock and has numbered the row */
    relay(w);                                  /* the second one leaves it alone */
    follow(w);
    assert_int_equal(w->seen, 0);
    prepare(other);
    finish(w, other, true);
    follow(w);
    assert_int_equal(w->seen, 1);
}

static void random_move(struct world *w)
{
    struct side *s = &w->sides[rng_below(&w->rng, SIDES)];
    uint64_t roll = rng_below(&w->rng, 10);

    w->clock.virtual_ms += (int64_t)rng_below(&w->rng, 3);
    if (roll == 0)
        relay(w);
    else if (roll == 1)
        follow(w);
    else if (!s->open)
        emit(w, s);
    else if (!s->prepared)
        prepare(s);
    else
        finish(w, s, rng_below(&w->rng, 5) != 0);
}

static void no_order_of_commits_leaves_a_gap(void **state)
{
    struct world *w = *state;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        rng_seed(&w->rng, seed);
        for (int i = 0; i < MOVES; i++)
            random_move(w);
        for (int i = 0; i < SIDES; i++)
            if (w->sides[i].open)
                finish(w, &w->sides[i], w->sides[i].prepared);
        relay(w);
        follow(w);
        if (w->seen != w->committed || w->head != w->committed)
            fail_msg("seed %d: %lld committed, %lld seen, head %lld", (int)seed,
                     (long long)w->committed, (long long)w->seen, (long long)w->head);
    }
    print_message("%lld transactions in %d seeds\n", (long long)w->committed, SEEDS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_first_key_may_commit_last),
        T(one_relay_at_a_time),
        T(no_order_of_commits_leaves_a_gap),
    };

    if (getenv("IRONFLOW_TEST_PG_URL") == NULL) {
        print_message("skipped: IRONFLOW_TEST_PG_URL names no PostgreSQL\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
