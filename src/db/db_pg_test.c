/* What only PostgreSQL does: races between writers, and connections that are lost. Runs on the
 * server that IRONFLOW_TEST_PG_URL names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"
#include "base/test.h"
#include "db/db_line.h"
#include "db/migrate.h"

/* One client of the database: a context with its own arena and connection. */
struct client {
    struct arena arena;
    struct rng rng;
    struct ctx c;
    struct db_conn *k;
};

struct fix {
    struct client a, b;
    struct db *d;
    char schema[64];
    char url[512];
};

static const char *pg_url;

static const struct sql q_add = { "UPDATE t SET n = n + $2 WHERE k = $1" };
static const struct sql q_lock = { "SELECT n FROM t WHERE k = $1 {for_update}" };
static const struct sql q_skip = { "SELECT k FROM t ORDER BY k LIMIT 1 {skip_locked}" };
static const struct sql q_sum = { "SELECT SUM(n) FROM t" };
static const struct sql q_pid = { "SELECT pg_backend_pid()" };
static const struct sql q_kill = { "SELECT pg_terminate_backend($1::int, 5000)" };
static const struct sql q_text = { "SELECT $1" };

#define ok(cl, call) assert_ok((cl), (call), __LINE__)

static void assert_ok(struct client *cl, err_t e, int line)
{
    if (e == ERR_OK)
        return;
    print_error("line %d: error %d: %s\n", line, (int)e, cl->c.err.text);
    fail();
}

static void client_init(struct client *cl)
{
    arena_init(&cl->arena);
    cl->c = (struct ctx){ .arena = &cl->arena, .clock = clock_system(), .rng = &cl->rng };
}

static void script(struct client *cl, const char *text)
{
    ok(cl, db_begin(&cl->c, cl->k, true));
    ok(cl, db_script(&cl->c, str_from(text)));
    ok(cl, db_commit(&cl->c));
}

static void open_url(struct fix *f, const char *url)
{
    struct db_opts o = { .kind = DB_PG, .path = str_from(url) };

    ok(&f->a, db_open(&f->a.c, &o, &f->d));
    ok(&f->a, db_conn_open(&f->a.c, f->d, true, &f->a.k));
}

static int set_up(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));
    char text[256];

    client_init(&f->a);
    client_init(&f->b);
    (void)snprintf(f->schema, sizeof(f->schema), "db_pg_%d", (int)getpid());
    (void)snprintf(f->url, sizeof(f->url), "%s?options=-csearch_path%%3D%s", pg_url, f->schema);
    open_url(f, pg_url);
    (void)snprintf(text, sizeof(text), "DROP SCHEMA IF EXISTS %s CASCADE; CREATE SCHEMA %s",
                   f->schema, f->schema);
    script(&f->a, text);
    db_conn_close(f->a.k);
    db_close(f->d);
    open_url(f, f->url);
    ok(&f->b, db_conn_open(&f->b.c, f->d, true, &f->b.k));
    script(&f->a, "CREATE TABLE t (k {id}, n BIGINT NOT NULL);"
                  "INSERT INTO t (k, n) VALUES (1, 10), (2, 20)");
    *state = f;
    return 0;
}

static void client_done(struct client *cl)
{
    if (cl->c.tx != NULL)
        db_rollback(&cl->c);
    db_conn_close(cl->k);
    arena_done(&cl->arena);
}

static int tear_down(void **state)
{
    struct fix *f = *state;
    char text[128];

    if (f->a.c.tx != NULL)
        db_rollback(&f->a.c);
    if (f->b.c.tx != NULL)
        db_rollback(&f->b.c);
    (void)snprintf(text, sizeof(text), "DROP SCHEMA %s CASCADE", f->schema);
    script(&f->a, text);
    client_done(&f->a);
    client_done(&f->b);
    db_close(f->d);
    free(f);
    return 0;
}

static err_t query_int(struct client *cl, const struct sql *q, struct db_args args, int64_t *out)
{
    struct db_rows r = { 0 };

    TRY(db_query(&cl->c, q, args, &r));
    while (db_row(&r))
        *out = db_int(&r, 0);
    return db_end(&r);
}

static int64_t sum(struct client *cl)
{
    int64_t n = -1;

    ok(cl, db_begin(&cl->c, cl->k, false));
    ok(cl, query_int(cl, &q_sum, ARGS_NONE, &n));
    ok(cl, db_commit(&cl->c));
    return n;
}

static err_t add(struct client *cl, int64_t k, int64_t n)
{
    return db_exec(&cl->c, &q_add, ARGS(DB_INT(k), DB_INT(n)), NULL);
}

/* Ends the server's side of a client's connection, and waits until it has ended. */
static void kill_backend(struct client *victim, struct client *killer)
{
    int64_t pid = 0;
    int64_t done = 0;
    bool own = victim->c.tx == NULL;

    if (own)
        ok(victim, db_begin(&victim->c, victim->k, false));
    ok(victim, query_int(victim, &q_pid, ARGS_NONE, &pid));
    if (own)
        ok(victim, db_commit(&victim->c));
    ok(killer, db_begin(&killer->c, killer->k, false));
    ok(killer, query_int(killer, &q_kill, ARGS(DB_INT(pid)), &done));
    ok(killer, db_commit(&killer->c));
    assert_int_equal(done, 1);
}

/* ---- races ----------------------------------------------------------------------------------- */

struct second_writer {
    struct client *cl;
    err_t result;
};

/* Takes the second row, then wants the first. */
static void *write_downwards(void *arg)
{
    struct second_writer *w = arg;
    struct client *cl = w->cl;

    w->result = add(cl, 1, 100);
    if (w->result == ERR_OK) {
        w->result = db_commit(&cl->c);
    } else {
        must(db_is_dead(&cl->c));
        db_rollback(&cl->c);
    }
    return NULL;
}

static void a_deadlock_is_run_again_by_one(void **state)
{
    struct fix *f = *state;
    struct second_writer w = { .cl = &f->b };
    pthread_t t;

    ok(&f->a, db_begin(&f->a.c, f->a.k, true));
    ok(&f->b, db_begin(&f->b.c, f->b.k, true));
    ok(&f->a, add(&f->a, 1, 1));
    ok(&f->b, add(&f->b, 2, 200));
    thread_start(&t, "writer", write_downwards, &w);
    err_t mine = add(&f->a, 2, 2);
    if (mine == ERR_OK)
        mine = db_commit(&f->a.c);
    else
        db_rollback(&f->a.c);
    thread_join(t);
    assert_true((mine == ERR_OK) != (w.result == ERR_OK));
    assert_int_equal(mine == ERR_OK ? w.result : mine, ERR_RETRY);
    assert_int_equal(sum(&f->a), mine == ERR_OK ? 33 : 330);
}

static void locked_rows_are_skipped(void **state)
{
    struct fix *f = *state;
    int64_t n = 0;

    ok(&f->a, db_begin(&f->a.c, f->a.k, true));
    ok(&f->a, query_int(&f->a, &q_lock, ARGS(DB_INT(1)), &n));
    assert_int_equal(n, 10);
    ok(&f->b, db_begin(&f->b.c, f->b.k, true));
    ok(&f->b, query_int(&f->b, &q_skip, ARGS_NONE, &n));
    assert_int_equal(n, 2);
    db_rollback(&f->b.c);
    db_rollback(&f->a.c);
}

static void *migrate(void *arg)
{
    struct second_writer *w = arg;
    static const struct migration m[] = {
        { 1, "one", "CREATE TABLE m (k {id})" },
        { 2, "two", "INSERT INTO m (k) VALUES (1); INSERT INTO t (k, n) VALUES (3, 30)" },
    };

    w->result = db_migrate(&w->cl->c, w->cl->k, m, COUNT_OF(m));
    return NULL;
}

static void two_nodes_migrate_one_after_the_other(void **state)
{
    struct fix *f = *state;
    struct second_writer a = { .cl = &f->a };
    struct second_writer b = { .cl = &f->b };
    pthread_t t;

    thread_start(&t, "node", migrate, &b);
    (void)migrate(&a);
    thread_join(t);
    ok(&f->a, a.result);
    ok(&f->b, b.result);
    assert_int_equal(sum(&f->a), 60);
}

/* ---- lost connections ------------------------------------------------------------------------ */

static void an_idle_connection_comes_back_by_itself(void **state)
{
    struct fix *f = *state;

    assert_int_equal(sum(&f->a), 30);
    for (int i = 0; i < 3; i++) {
        kill_backend(&f->a, &f->b);
        assert_int_equal(sum(&f->a), 30); /* with its statements prepared anew */
    }
}

static void a_statement_that_lost_its_connection_may_run_again(void **state)
{
    struct fix *f = *state;

    ok(&f->a, db_begin(&f->a.c, f->a.k, true));
    ok(&f->a, add(&f->a, 1, 5));
    kill_backend(&f->a, &f->b);
    assert_int_equal(add(&f->a, 1, 5), ERR_RETRY);
    assert_true(db_is_dead(&f->a.c));
    db_rollback(&f->a.c);
    assert_int_equal(sum(&f->a), 30);
}

static void a_commit_that_lost_its_connection_is_uncertain(void **state)
{
    struct fix *f = *state;

    ok(&f->a, db_begin(&f->a.c, f->a.k, true));
    ok(&f->a, add(&f->a, 1, 5));
    kill_backend(&f->a, &f->b);
    assert_int_equal(db_commit(&f->a.c), ERR_UNCERTAIN);
    assert_null(f->a.c.tx);
    assert_int_equal(sum(&f->a), 30);
    /* Without a write there is no doubt, and a read has its rows already. */
    ok(&f->a, db_begin(&f->a.c, f->a.k, true));
    kill_backend(&f->a, &f->b);
    assert_int_equal(db_commit(&f->a.c), ERR_RETRY);
    ok(&f->a, db_begin(&f->a.c, f->a.k, false));
    kill_backend(&f->a, &f->b);
    ok(&f->a, db_commit(&f->a.c));
}

/* ---- lines ----------------------------------------------------------------------------------- */

#define KIND 710202699

/* A timeout that only ends a test that fails. */
static err_t hear(struct client *cl, struct db_line *l, str_t *out)
{
    *out = STR_NULL;
    for (int i = 0; i < 200 && out->n == 0; i++)
        TRY(db_line_hear(&cl->c, l, -1, 100, out));
    return ERR_OK;
}

static void what_one_line_says_the_others_hear(void **state)
{
    struct fix *f = *state;
    struct db_line *a = NULL, *b = NULL;
    str_t text;

    ok(&f->a, db_line_open(&f->a.c, f->d, "db_pg_test", &a));
    ok(&f->b, db_line_open(&f->b.c, f->d, "db_pg_test", &b));
    ok(&f->a, db_line_say(&f->a.c, a, S("one ' two")));
    ok(&f->a, db_line_say(&f->a.c, a, S("three")));
    ok(&f->b, hear(&f->b, b, &text));
    assert_str(text, "one ' two");
    ok(&f->b, hear(&f->b, b, &text));
    assert_str(text, "three");
    ok(&f->a, db_line_hear(&f->a.c, a, -1, 0, &text)); /* not itself */
    assert_int_equal(text.n, 0);
    db_line_close(a);
    db_line_close(b);
}

static void a_name_is_owned_by_one_line_until_it_is_closed(void **state)
{
    struct fix *f = *state;
    struct db_line *a = NULL, *b = NULL;
    bool mine = false;
    int64_t n = 0;

    ok(&f->a, db_line_open(&f->a.c, f->d, "db_pg_test", &a));
    ok(&f->b, db_line_open(&f->b.c, f->d, "db_pg_test", &b));
    ok(&f->a, db_line_own(&f->a.c, a, KIND, 5, &mine));
    assert_true(mine);
    ok(&f->b, db_line_own(&f->b.c, b, KIND, 5, &mine));
    assert_false(mine);
    ok(&f->b, db_line_own(&f->b.c, b, KIND, 6, &mine));
    assert_true(mine);
    ok(&f->b, db_line_owned(&f->b.c, b, KIND, &n));
    assert_int_equal(n, 2);
    db_line_close(a);
    for (int i = 0; i < 200 && n == 2; i++) { /* the server notices it a moment later */
        (void)usleep(50000);
        ok(&f->b, db_line_owned(&f->b.c, b, KIND, &n));
    }
    assert_int_equal(n, 1);
    ok(&f->b, db_line_own(&f->b.c, b, KIND, 5, &mine));
    assert_true(mine);
    db_line_close(b);
}

static void a_line_that_was_cut_says_so(void **state)
{
    struct fix *f = *state;
    static const struct sql cut = { "SELECT count(pg_terminate_backend(pid, 5000)) FROM "
                                    "pg_stat_activity WHERE query LIKE '%pg_notify%' "
                                    "AND pid <> pg_backend_pid()" };
    struct db_line *a = NULL;
    int64_t n = 0;
    str_t text;
    err_t e = ERR_OK;

    ok(&f->a, db_line_open(&f->a.c, f->d, "db_pg_test", &a));
    ok(&f->a, db_line_say(&f->a.c, a, S("last words")));
    ok(&f->b, db_begin(&f->b.c, f->b.k, false));
    ok(&f->b, query_int(&f->b, &cut, ARGS_NONE, &n));
    ok(&f->b, db_commit(&f->b.c));
    assert_true(n >= 1);
    for (int i = 0; i < 200 && e == ERR_OK; i++)
        e = db_line_hear(&f->a.c, a, -1, 100, &text);
    assert_int_equal(e, ERR_UNAVAILABLE);
    assert_int_equal(db_line_say(&f->a.c, a, S("nothing")), ERR_UNAVAILABLE);
    db_line_close(a);
}

static void an_unreachable_server_is_unavailable(void **state)
{
    struct fix *f = *state;
    struct db_opts o = { .kind = DB_PG, .path = S("postgresql://x@127.0.0.1:1/x") };
    struct db *d = NULL;

    assert_int_equal(db_open(&f->a.c, &o, &d), ERR_UNAVAILABLE);
    assert_non_null(strstr(f->a.c.err.text, "cannot reach the database"));
    assert_null(strchr(f->a.c.err.text, '\n'));
    o.path = S("postgresql://%%%");
    assert_int_equal(db_open(&f->a.c, &o, &d), ERR_UNAVAILABLE);
    assert_null(d);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void text_with_a_zero_byte_is_refused(void **state)
{
    struct fix *f = *state;
    int64_t n = 0;

    ok(&f->a, db_begin(&f->a.c, f->a.k, true));
    assert_int_equal(query_int(&f->a, &q_text, ARGS(DB_TEXT(S("a\0b"))), &n), ERR_INVALID);
    db_rollback(&f->a.c);
    ok(&f->a, db_begin(&f->a.c, f->a.k, true));
    assert_int_equal(query_int(&f->a, &q_text, ARGS(DB_TEXT(S("\xff"))), &n), ERR_INVALID);
    db_rollback(&f->a.c);
}

static void many_columns_types_are_numbers(void **state)
{
    struct fix *f = *state;
    static const struct sql q = {
        "SELECT 1::smallint, -2::int, true, 1.5::real, -70000.25::float8, 123456789012::numeric,"
        " -99999999::numeric, 0::numeric, 10000::numeric, 1e30::numeric, -0.5::numeric"
    };
    static const int64_t wanted[] = { 1,         -2, 1,     1,         -70000, 123456789012,
                                      -99999999, 0,  10000, INT64_MAX, 0 };
    struct db_rows r = { 0 };

    ok(&f->a, db_begin(&f->a.c, f->a.k, false));
    ok(&f->a, db_query(&f->a.c, &q, ARGS_NONE, &r));
    assert_true(db_row(&r));
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        assert_int_equal(db_int(&r, (int)i), wanted[i]);
    assert_true(db_real(&r, 3) == 1.5);
    assert_true(db_real(&r, 4) == -70000.25);
    assert_true(db_real(&r, 1) == -2.0);
    ok(&f->a, db_end(&r));
    ok(&f->a, db_commit(&f->a.c));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_deadlock_is_run_again_by_one),
        T(locked_rows_are_skipped),
        T(two_nodes_migrate_one_after_the_other),
        T(an_idle_connection_comes_back_by_itself),
        T(a_statement_that_lost_its_connection_may_run_again),
        T(a_commit_that_lost_its_connection_is_uncertain),
        T(what_one_line_says_the_others_hear),
        T(a_name_is_owned_by_one_line_until_it_is_closed),
        T(a_line_that_was_cut_says_so),
        T(an_unreachable_server_is_unavailable),
        T(text_with_a_zero_byte_is_refused),
        T(many_columns_types_are_numbers),
    };

    pg_url = getenv("IRONFLOW_TEST_PG_URL");
    if (pg_url == NULL) {
        print_message("NOT RUN: db on PostgreSQL (IRONFLOW_TEST_PG_URL is not set)\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
