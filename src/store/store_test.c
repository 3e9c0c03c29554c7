/* The contract of the stores that the engine lives on, on SQLite and (with IRONFLOW_TEST_PG_URL) on
 * PostgreSQL: what one statement promises to the next. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/test.h"
#include "db/db.h"
#include "store/counters.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/ids.h"
#include "store/log.h"
#include "store/migrations.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/steps.h"
#include "store/timers.h"
#include "store/workers.h"

#define ENV 1
#define FN 7

static const char *pg_url;

struct world {
    struct arena arena;
    struct rng rng;
    struct id_gen ids;
    struct ctx c;
    struct db *db;
    struct db_conn *conn;
};

static void ok(struct world *w, err_t e)
{
    if (e != ERR_OK)
        fail_msg("%d: %s", (int)e, w->c.err.text);
}

static int setup(void **state)
{
    struct world *w = mem_zero(sizeof(*w));
    struct db_opts o = { .kind = pg_url ? DB_PG : DB_SQLITE,
                         .path = pg_url ? str_from(pg_url) : S(":memory:") };

    arena_init(&w->arena);
    rng_seed(&w->rng, 1);
    w->c = (struct ctx){
        .arena = &w->arena, .rng = &w->rng, .ids = &w->ids, .now_ms = 1767225600000, .env = ENV
    };
    ok(w, db_open(&w->c, &o, &w->db));
    ok(w, db_conn_open(&w->c, w->db, true, &w->conn));
    if (pg_url) {
        ok(w, db_begin(&w->c, w->conn, true));
        ok(w, db_script(&w->c, S("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")));
        ok(w, db_commit(&w->c));
    }
    ok(w, db_migrate(&w->c, w->conn, store_migrations, store_migrations_n));
    ok(w, db_begin(&w->c, w->conn, true));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    db_rollback(&w->c);
    db_conn_close(w->conn);
    db_close(w->db);
    arena_done(&w->arena);
    mem_free(w);
    return 0;
}

static struct run new_run(struct world *w)
{
    struct run r = { .id = ctx_id(&w->c),
                     .fn = FN,
                     .event_id = 5,
                     .status = RUN_PENDING,
                     .mode = MODE_PULL,
                     .attempt = 1,
                     .max_attempts = 3,
                     .fn_version = 2,
                     .updated_at = w->c.now_ms };

    ok(w, store_run_add(&w->c, &r));
    return r;
}

static struct job new_job(struct world *w, int64_t ready_at)
{
    struct job j = { .run_id = ctx_id(&w->c), .fn = FN, .ready_at = ready_at };

    ok(w, store_queue_add(&w->c, &j));
    return j;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void a_run_comes_back_as_it_was(void **state)
{
    struct world *w = *state;
    struct run r = new_run(w), got = { 0 };

    ok(w, store_run_get(&w->c, r.id, &got));
    assert_int_equal(got.event_id, 5);
    assert_int_equal(got.status, RUN_PENDING);
    assert_int_equal(got.fn_version, 2);
    assert_int_equal(got.worker.n + got.output.n + got.error.n, 0);
    assert_int_equal(store_run_get(&w->c, 1, &got), ERR_NOT_FOUND);
    w->c.env = ENV + 1;
    assert_int_equal(store_run_get(&w->c, r.id, &got), ERR_NOT_FOUND);
}

static void moves_demand_the_status_they_come_from(void **state)
{
    struct world *w = *state;
    struct run r = new_run(w), got = { 0 };

    r.status = RUN_RUNNING;
    r.worker = S("w");
    assert_int_equal(store_run_claimed(&w->c, &r, RUN_WAITING), ERR_INTERNAL);
    ok(w, store_run_claimed(&w->c, &r, RUN_PENDING));
    ok(w, store_run_get(&w->c, r.id, &got));
    assert_int_equal(got.started_at, w->c.now_ms);
    r.updated_at += 50;
    ok(w, store_run_claimed(&w->c, &r, RUN_RUNNING));
    ok(w, store_run_get(&w->c, r.id, &got));
    assert_int_equal(got.started_at, w->c.now_ms); /* the first one stays */
    r.status = RUN_COMPLETED;
    r.output = S("\"\\u0000 \x7f\"");
    r.ended_at = 9;
    r.execution_seq = 4;
    r.token = INT64_MAX;
    assert_int_equal(store_run_end(&w->c, &r, RUN_PENDING), ERR_INTERNAL);
    ok(w, store_run_end(&w->c, &r, RUN_RUNNING));
    ok(w, store_run_get(&w->c, r.id, &got));
    assert_true(str_eq(got.output, r.output));
    assert_int_equal(got.execution_seq, 4);
    assert_int_equal(got.token, INT64_MAX);
    assert_int_equal(got.ended_at, 9);
}

static void the_highest_id_is_known_after_a_restart(void **state)
{
    struct world *w = *state;
    int64_t last = -1;

    ok(w, store_id_last(&w->c, &last));
    assert_int_equal(last, 0);
    (void)new_run(w);
    ok(w, store_id_last(&w->c, &last));
    assert_int_equal(last, w->ids.last);
}

/* ---- queue ----------------------------------------------------------------------------------- */

static void ready_jobs_come_oldest_first(void **state)
{
    struct world *w = *state;
    struct job a = new_job(w, 30), b = new_job(w, 10), d = new_job(w, 10), *jobs = NULL;
    size_t n = 0;

    ok(w, store_queue_ready(&w->c, FN, 0, 2, &jobs, &n));
    assert_int_equal(n, 2);
    assert_int_equal(jobs[0].run_id, b.run_id);
    assert_int_equal(jobs[1].run_id, d.run_id);
    b.state = JOB_CLAIMED;
    b.worker = 3;
    b.execution_seq = 1;
    b.token = 77;
    b.lease_until = 500;
    ok(w, store_queue_put(&w->c, &b));
    ok(w, store_queue_ready(&w->c, FN, 0, 9, &jobs, &n));
    assert_int_equal(n, 2);
    assert_int_equal(jobs[1].run_id, a.run_id);
    ok(w, store_queue_ready(&w->c, FN + 1, 0, 9, &jobs, &n));
    assert_int_equal(n, 0);
}

static void an_ack_needs_the_whole_fence(void **state)
{
    struct world *w = *state;
    struct job j = new_job(w, 1), got = { 0 };
    bool done = true, found = false;

    ok(w, store_queue_ack(&w->c, j.run_id, 0, 0, 900, &done));
    assert_false(done); /* nobody has claimed it */
    j.state = JOB_CLAIMED;
    j.execution_seq = 2;
    j.token = 77;
    j.worker = 3;
    ok(w, store_queue_put(&w->c, &j));
    ok(w, store_queue_ack(&w->c, j.run_id, 2, 78, 900, &done));
    assert_false(done);
    ok(w, store_queue_ack(&w->c, j.run_id, 1, 77, 900, &done));
    assert_false(done);
    ok(w, store_queue_ack(&w->c, j.run_id, 2, 77, 900, &done));
    assert_true(done);
    ok(w, store_queue_get(&w->c, j.run_id, &got, &found));
    assert_true(found && got.acked);
    assert_int_equal(got.lease_until, 900);
    w->c.env++;
    ok(w, store_queue_ack(&w->c, j.run_id, 2, 77, 900, &done));
    assert_false(done);
    ok(w, store_queue_get(&w->c, j.run_id, &got, &found));
    assert_false(found);
}

static void held_and_expired_jobs_are_found(void **state)
{
    struct world *w = *state;
    int64_t held = 0, *ids = NULL, *envs = NULL;
    struct job *jobs = NULL;
    size_t n = 0;

    for (int i = 0; i < 5; i++) {
        struct job j = new_job(w, 1);

        j.state = i < 4 ? JOB_CLAIMED : JOB_PARKED;
        j.worker = 3;
        j.lease_until = 100 * i;
        ok(w, store_queue_put(&w->c, &j));
    }
    ok(w, store_queue_held_count(&w->c, 3, 100, &held));
    assert_int_equal(held, 4);
    ok(w, store_queue_held_count(&w->c, 3, 2, &held));
    assert_int_equal(held, 2);
    ok(w, store_queue_held(&w->c, 3, 3, &jobs, &n));
    assert_int_equal(n, 3);
    w->c.env = 0; /* a job looks at all environments */
    ok(w, store_queue_expired(&w->c, 200, 10, &ids, &envs, &n));
    assert_int_equal(n, 3);
    assert_int_equal(envs[0], ENV);
    ok(w, store_queue_expired(&w->c, 200, 1, &ids, &envs, &n));
    assert_int_equal(n, 1);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static struct step step_named(struct world *w, const char *id)
{
    return (struct step){ .id = ctx_id(&w->c),
                          .run_id = 9,
                          .step_id = str_from(id),
                          .name = S("n"),
                          .type = STEP_INVOKE,
                          .status = STEP_FAILED,
                          .error = S("{}"),
                          .attempt = 1 };
}

static void a_step_id_is_stored_once_in_a_run(void **state)
{
    struct world *w = *state;
    struct step s = step_named(w, "r:a:0"), again = step_named(w, "r:a:0"), got = { 0 };
    bool added = false;

    ok(w, store_step_add(&w->c, &s, &added));
    assert_true(added);
    ok(w, store_step_add(&w->c, &again, &added));
    assert_false(added);
    again.run_id = 10;
    ok(w, store_step_add(&w->c, &again, &added));
    assert_true(added);
    ok(w, store_step_find(&w->c, 9, S("r:a:0"), &got));
    assert_int_equal(got.id, s.id);
    assert_int_equal(store_step_find(&w->c, 9, S("r:b:0"), &got), ERR_NOT_FOUND);
    s.status = STEP_COMPLETED;
    s.output = S("null");
    s.error = STR_NULL;
    ok(w, store_step_put(&w->c, &s));
    ok(w, store_step_get(&w->c, s.id, &got));
    assert_str(got.output, "null");
    assert_int_equal(got.error.n, 0);
}

static void steps_are_listed_in_sequence(void **state)
{
    struct world *w = *state;
    struct step *steps = NULL, s;
    bool added;
    size_t n = 0;

    for (int i = 0; i < 4; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "s%d", i);
        s = step_named(w, id);
        s.sequence = 3 - i;
        s.status = i % 2 == 0 ? STEP_COMPLETED : STEP_SLEEPING;
        ok(w, store_step_add(&w->c, &s, &added));
    }
    ok(w, store_step_list(&w->c, 9, 0, &steps, &n));
    assert_int_equal(n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(steps[i].sequence, i);
    ok(w, store_step_list(&w->c, 9, STEP_COMPLETED, &steps, &n));
    assert_int_equal(n, 2);
    ok(w, store_step_open(&w->c, 9, &steps, &n));
    assert_int_equal(n, 2);
    steps[0].status = STEP_COMPLETED;
    steps[0].error = STR_NULL;
    ok(w, store_step_status(&w->c, &steps[0]));
    ok(w, store_step_get(&w->c, steps[0].id, &s));
    assert_str(s.error, "{}"); /* untouched */
    ok(w, store_step_open(&w->c, 9, &steps, &n));
    assert_int_equal(n, 1);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void timers_fire_in_order(void **state)
{
    struct world *w = *state;
    struct timer *due = NULL;
    int64_t next = 0;
    bool gone = false;
    size_t n = 0;

    ok(w, store_timer_next(&w->c, &next));
    assert_true(next == INT64_MAX);
    for (int i = 0; i < 3; i++) {
        struct timer t = { .due = 300 - 100 * i,
                           .id = i + 1,
                           .env = ENV,
                           .kind = TIMER_RETRY,
                           .run_id = 8,
                           .execution_seq = 2,
                           .step = 4 };

        ok(w, store_timer_add(&w->c, &t));
    }
    ok(w, store_timer_due(&w->c, 200, 10, &due, &n));
    assert_int_equal(n, 2);
    assert_int_equal(due[0].due, 100);
    assert_int_equal(due[0].step, 4);
    ok(w, store_timer_del(&w->c, &due[0], &gone));
    assert_true(gone);
    ok(w, store_timer_del(&w->c, &due[0], &gone));
    assert_false(gone);
    ok(w, store_timer_next(&w->c, &next));
    assert_int_equal(next, 200);
}

static void a_worker_is_replaced_but_keeps_its_age(void **state)
{
    struct world *w = *state;
    struct worker in = { .id = S("w"),
                         .hostname = S("a"),
                         .functions = S("[]"),
                         .max_jobs = 1,
                         .labels = S("{}"),
                         .transport = 1,
                         .registered_at = 10,
                         .last_seen = 10 };
    struct worker got = { 0 };
    struct worker_stale *stale = NULL;
    bool found = false;
    size_t n = 0;

    in.key = store_worker_key(&w->c, in.id);
    ok(w, store_worker_put(&w->c, &in));
    in.registered_at = in.last_seen = 20;
    in.max_jobs = 5;
    ok(w, store_worker_put(&w->c, &in));
    ok(w, store_worker_get(&w->c, S("w"), &got, &found));
    assert_true(found);
    assert_int_equal(got.registered_at, 10);
    assert_int_equal(got.last_seen, 20);
    assert_int_equal(got.max_jobs, 5);
    ok(w, store_worker_drains(&w->c, in.key));
    ok(w, store_worker_sickens(&w->c, in.key, 20, &found));
    assert_false(found);
    ok(w, store_worker_sickens(&w->c, in.key, 21, &found));
    assert_true(found);
    ok(w, store_worker_sickens(&w->c, in.key, 21, &found));
    assert_false(found); /* it is so already */
    ok(w, store_worker_stale(&w->c, 21, WORKER_UNHEALTHY, 9, &stale, &n));
    assert_int_equal(n, 0);
    ok(w, store_worker_stale(&w->c, 21, 0, 9, &stale, &n));
    assert_int_equal(n, 1);
    assert_int_equal(stale[0].health, WORKER_UNHEALTHY | WORKER_DRAINING);
    ok(w, store_worker_seen(&w->c, in.key, 30));
    ok(w, store_worker_get(&w->c, S("w"), &got, &found));
    assert_int_equal(got.health, WORKER_DRAINING);
    ok(w, store_worker_evict(&w->c, in.key, 21, &found));
    assert_false(found); /* it was seen meanwhile */
    ok(w, store_worker_evict(&w->c, in.key, 31, &found));
    assert_true(found);
    w->c.env++;
    assert_int_not_equal(store_worker_key(&w->c, S("w")), in.key);
}

static void keys_and_counters(void **state)
{
    struct world *w = *state;
    struct idempotency in = { .flow = FLOW_INVOKE, .fn = FN, .event_id = 3, .run_ids = S("[]") };
    struct idempotency got = { 0 };
    bool done = false;
    int64_t n = 0;

    ok(w, store_idempotency_add(&w->c, S("k"), &in, &done));
    assert_true(done);
    in.event_id = 4;
    ok(w, store_idempotency_add(&w->c, S("k"), &in, &done));
    assert_false(done);
    ok(w, store_idempotency_get(&w->c, S("k"), &got, &done));
    assert_true(done);
    assert_int_equal(got.event_id, 3);
    ok(w, store_idempotency_get(&w->c, S("K"), &got, &done));
    assert_false(done);
    ok(w, store_counter_add(&w->c, ENV, FN, RUN_PENDING, 0, 5));
    ok(w, store_counter_add(&w->c, ENV, FN, RUN_PENDING, 1, -2));
    ok(w, store_counter_add(&w->c, ENV, FN + 1, RUN_PENDING, 0, 10));
    ok(w, store_counter_add(&w->c, ENV, FN, RUN_RUNNING, 0, 100));
    ok(w, store_counter_add(&w->c, ENV + 1, FN, RUN_PENDING, 0, 1000));
    ok(w, store_counter_sum(&w->c, FN, 1u << RUN_PENDING, &n));
    assert_int_equal(n, 3);
    ok(w, store_counter_sum(&w->c, 0, 1u << RUN_PENDING | 1u << RUN_RUNNING, &n));
    assert_int_equal(n, 113);
}

static void events_keep_their_bytes(void **state)
{
    struct world *w = *state;
    struct event e = { .id = 4,
                       .name = S("a.b"),
                       .data = S("{\"a\":1e400,\"a\":2}"),
                       .version = 1,
                       .source = S("api") };
    struct event got = { 0 };

    ok(w, store_event_add(&w->c, &e));
    ok(w, store_event_get(&w->c, 4, &got));
    assert_str(got.data, "{\"a\":1e400,\"a\":2}");
    assert_int_equal(got.seq, 0);
    ok(w, store_event_set_seq(&w->c, 4, 77));
    ok(w, store_event_get(&w->c, 4, &got));
    assert_int_equal(got.seq, 77);
    w->c.env++;
    assert_int_equal(store_event_get(&w->c, 4, &got), ERR_NOT_FOUND);
}

static void the_log_is_read_by_position(void **state)
{
    struct world *w = *state;
    struct log_row row = {
        .created_at = 1, .count = 10, .crc = UINT32_MAX, .filter = UINT64_MAX, .records = S("xyz")
    };
    struct log_row *rows = NULL, last = { 0 };
    bool found = true;
    size_t n = 0;

    ok(w, store_log_last(&w->c, &last, &found));
    assert_false(found);
    for (int i = 0; i < 5; i++) {
        row.first_pos = 1 + i * 10;
        row.last_pos = row.first_pos + 9;
        row.end_bytes += 3;
        ok(w, store_log_add(&w->c, &row));
    }
    ok(w, store_log_read(&w->c, 15, 100, &rows, &n));
    assert_int_equal(n, 4);
    assert_int_equal(rows[0].first_pos, 11);
    assert_int_equal(rows[0].crc, UINT32_MAX);
    assert_true(rows[0].filter == UINT64_MAX);
    assert_str(rows[0].records, "xyz");
    ok(w, store_log_read(&w->c, 51, 100, &rows, &n));
    assert_int_equal(n, 0);
    ok(w, store_log_del(&w->c, 11));
    ok(w, store_log_read(&w->c, 1, 100, &rows, &n));
    assert_int_equal(n, 3);
    assert_int_equal(rows[0].first_pos, 21);
    ok(w, store_log_last(&w->c, &last, &found));
    assert_true(found);
    assert_int_equal(last.last_pos, 50);
    assert_int_equal(last.end_bytes, 15);
}

static void unnumbered_rows_wait_in_the_order_they_came(void **state)
{
    struct world *w = *state;
    struct log_row row = { .created_at = 1, .count = 2, .records = S("a") }, *rows = NULL;
    size_t n = 0;

    for (int i = 0; i < 3; i++) {
        row.created_at = 10 - i;
        ok(w, store_log_add(&w->c, &row));
    }
    ok(w, store_log_unnumbered(&w->c, 10, &rows, &n));
    assert_int_equal(n, 3);
    assert_int_equal(rows[0].created_at, 10);
    assert_true(rows[0].id < rows[1].id && rows[1].id < rows[2].id);
    rows[0].first_pos = 1;
    rows[0].last_pos = 2;
    ok(w, store_log_number(&w->c, &rows[0]));
    ok(w, store_log_unnumbered(&w->c, 10, &rows, &n));
    assert_int_equal(n, 2);
    assert_int_equal(rows[0].created_at, 9);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
static const struct CMUnitTest tests[] = {
    T(a_run_comes_back_as_it_was),
    T(moves_demand_the_status_they_come_from),
    T(the_highest_id_is_known_after_a_restart),
    T(ready_jobs_come_oldest_first),
    T(an_ack_needs_the_whole_fence),
    T(held_and_expired_jobs_are_found),
    T(a_step_id_is_stored_once_in_a_run),
    T(steps_are_listed_in_sequence),
    T(timers_fire_in_order),
    T(a_worker_is_replaced_but_keeps_its_age),
    T(keys_and_counters),
    T(events_keep_their_bytes),
    T(the_log_is_read_by_position),
    T(unnumbered_rows_wait_in_the_order_they_came),
};

int main(void)
{
    int failed = cmocka_run_group_tests_name("SQLite", tests, NULL, NULL);

    pg_url = getenv("IRONFLOW_TEST_PG_URL");
    if (pg_url == NULL) {
        print_message("NOT RUN: PostgreSQL (IRONFLOW_TEST_PG_URL is not set)\n");
        return failed;
    }
    return failed + cmocka_run_group_tests_name("PostgreSQL", tests, NULL, NULL);
}
