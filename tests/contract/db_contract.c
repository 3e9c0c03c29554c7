/* What every backend of db.h must do. db_contract_test.c includes this file and runs the suite on a
 * SQLite file, in memory, and on PostgreSQL. One fixture a test: an empty database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "db/db_fault.h"
#include "db/migrate.h"

enum backend { ON_FILE, ON_MEMORY, ON_PG };

struct fix {
    enum backend backend;
    struct arena arena;
    struct rng rng;
    struct ctx c;
    struct db *d;
    struct db_conn *w;
    char dir[64];
    char schema[64];
    char url[512];
};

/* Set by the suite before its tests run. */
static enum backend suite_backend;
static const char *suite_pg_url;

#define ok(call) assert_ok(f, (call), __LINE__)

static void assert_ok(struct fix *f, err_t e, int line)
{
    if (e == ERR_OK)
        return;
    print_error("line %d: error %d: %s\n", line, (int)e, f->c.err.text);
    fail();
}

static void script(struct fix *f, const char *text)
{
    ok(db_begin(&f->c, f->w, true));
    ok(db_script(&f->c, str_from(text)));
    ok(db_commit(&f->c));
}

/* PostgreSQL: a schema of its own, chosen by the URL, so that every connection is in it. */
static void open_pg(struct fix *f)
{
    struct db_opts o = { .kind = DB_PG, .path = str_from(suite_pg_url) };
    char text[256];

    (void)snprintf(f->schema, sizeof(f->schema), "contract_%d", (int)getpid());
    ok(db_open(&f->c, &o, &f->d));
    ok(db_conn_open(&f->c, f->d, true, &f->w));
    (void)snprintf(text, sizeof(text), "DROP SCHEMA IF EXISTS %s CASCADE; CREATE SCHEMA %s",
                   f->schema, f->schema);
    script(f, text);
    db_conn_close(f->w);
    db_close(f->d);
    (void)snprintf(f->url, sizeof(f->url), "%s?options=-csearch_path%%3D%s", suite_pg_url,
                   f->schema);
}

static struct db_opts opts_of(const struct fix *f)
{
    struct db_opts o = { .kind = f->backend == ON_PG ? DB_PG : DB_SQLITE,
                         .path = str_from(f->url) };

    return o;
}

static const char schema_text[] =
    "CREATE TABLE item (k {id}, env BIGINT NOT NULL, n BIGINT, x DOUBLE PRECISION, t {text}, b "
    "{blob},"
    " UNIQUE (env, t));"
    "-- it's a comment with {unknown} and $9\n"
    "CREATE TABLE pair (a BIGINT NOT NULL, b BIGINT NOT NULL, v BIGINT NOT NULL,"
    " PRIMARY KEY (a, b)) {strict};"
    "CREATE INDEX item_n ON item (env, n) WHERE n > 0";

static int set_up(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));
    char path[] = "/tmp/db_contract.XXXXXX";

    f->backend = suite_backend;
    arena_init(&f->arena);
    rng_seed(&f->rng, 1);
    f->c = (struct ctx){ .arena = &f->arena, .clock = clock_system(), .rng = &f->rng, .env = 7 };
    if (f->backend == ON_MEMORY) {
        (void)snprintf(f->url, sizeof(f->url), ":memory:");
    } else if (f->backend == ON_FILE) {
        assert_non_null(mkdtemp(path));
        (void)snprintf(f->dir, sizeof(f->dir), "%s", path);
        (void)snprintf(f->url, sizeof(f->url), "%s/t.db", path);
    } else {
        open_pg(f);
    }
    struct db_opts o = opts_of(f);
    ok(db_open(&f->c, &o, &f->d));
    ok(db_conn_open(&f->c, f->d, true, &f->w));
    script(f, schema_text);
    *state = f;
    return 0;
}

static void remove_dir(const char *dir)
{
    static const char *const names[] = { "t.db", "t.db-wal", "t.db-shm", "t.db.lock" };
    char path[128];

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

static int tear_down(void **state)
{
    struct fix *f = *state;
    char text[128];

    db_fault_at(0, ERR_OK);
    if (f->c.tx != NULL)
        db_rollback(&f->c); /* the test failed */
    if (f->backend == ON_PG) {
        (void)snprintf(text, sizeof(text), "DROP SCHEMA %s CASCADE", f->schema);
        script(f, text);
    }
    db_conn_close(f->w);
    db_close(f->d);
    if (f->backend == ON_FILE)
        remove_dir(f->dir);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static const struct sql q_insert = {
    "INSERT INTO item (k, env, n, x, t, b) VALUES ($1, $env, $2, $3, $4, $5)"
};
static const struct sql q_insert_maybe = {
    "INSERT INTO item (k, env, n, x, t, b) VALUES ($1, $env, "
    "$2, $3, $4, $5) ON CONFLICT DO NOTHING"
};
static const struct sql q_all = { "SELECT k, n, x, t, b FROM item WHERE env = $env ORDER BY k" };
static const struct sql q_count = { "SELECT COUNT(*) FROM item WHERE env = $env" };
static const struct sql q_sum = { "SELECT SUM(n), MIN(n), MAX(n), AVG(x) FROM item" };
static const struct sql q_set_n = { "UPDATE item SET n = $2 WHERE env = $env AND k = $1" };
static const struct sql q_add_n = { "UPDATE item SET n = n + $1 WHERE env = $env AND n >= $2" };
static const struct sql q_delete = { "DELETE FROM item WHERE env = $env AND k = $1" };
static const struct sql q_echo = { "SELECT $2, $1, $2" };

static err_t insert(struct ctx *c, int64_t k, const char *t)
{
    return db_exec(c, &q_insert,
                   ARGS(DB_INT(k), DB_INT(k * 10), DB_REAL(0.5), DB_TEXT(str_from(t)), DB_NULL),
                   NULL);
}

static err_t query_int(struct ctx *c, const struct sql *q, struct db_args args, int64_t *out)
{
    struct db_rows r = { 0 };

    TRY(db_query(c, q, args, &r));
    while (db_row(&r))
        *out = db_int(&r, 0);
    return db_end(&r);
}

static int64_t count(struct fix *f)
{
    int64_t n = -1;
    bool own = f->c.tx == NULL;

    if (own)
        ok(db_begin(&f->c, f->w, false));
    ok(query_int(&f->c, &q_count, ARGS_NONE, &n));
    if (own)
        ok(db_commit(&f->c));
    return n;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void values_come_back_as_they_went_in(void **state)
{
    struct fix *f = *state;
    const struct db_val cases[][4] = {
        { DB_INT(INT64_MAX), DB_REAL(0.1), DB_TEXT(S("grün ✓")), DB_BLOB(S("\0\1\xff\0")) },
        { DB_INT(INT64_MIN), DB_REAL(-1e300), DB_TEXT(S("")), DB_BLOB(S("")) },
        { DB_INT(0), DB_REAL(0), DB_TEXT(S("'quoted' \"$1\" {blob}")), DB_BLOB(S("{}")) },
        { DB_INT(-1), DB_REAL(5e-324), DB_TEXT(STR_NULL), DB_BLOB(STR_NULL) },
    };
    struct db_rows r = { 0 };

    ok(db_begin(&f->c, f->w, true));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        f->c.env = i == 3 ? 8 : 7; /* the empty text is there already */
        ok(db_exec(&f->c, &q_insert,
                   ARGS(DB_INT((int64_t)i), cases[i][0], cases[i][1], cases[i][2], cases[i][3]),
                   NULL));
    }
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        f->c.env = i == 3 ? 8 : 7;
        if (i == 0 || i == 3)
            ok(db_query(&f->c, &q_all, ARGS_NONE, &r));
        assert_true(db_row(&r));
        assert_int_equal(db_int(&r, 0), i);
        assert_int_equal(db_int(&r, 1), cases[i][0].i);
        assert_true(db_real(&r, 2) == cases[i][1].r);
        assert_true(str_eq(db_str(&r, 3), cases[i][2].s));
        assert_true(str_eq(db_str(&r, 4), cases[i][3].s));
        assert_false(db_null(&r, 3));
        assert_false(db_null(&r, 4));
        if (i >= 2) {
            assert_false(db_row(&r));
            assert_false(db_row(&r));
            ok(db_end(&r));
        }
    }
    ok(db_commit(&f->c));
}

static void null_is_not_empty(void **state)
{
    struct fix *f = *state;
    struct db_rows r = { 0 };

    ok(db_begin(&f->c, f->w, true));
    ok(db_exec(&f->c, &q_insert, ARGS(DB_INT(1), DB_NULL, DB_NULL, DB_NULL, DB_NULL), NULL));
    ok(db_exec(
        &f->c, &q_insert,
        ARGS(DB_INT(2), DB_INT(3), DB_REAL(1.5), DB_TEXT_OR_NULL(S("")), DB_BLOB_OR_NULL(S("x"))),
        NULL));
    ok(db_query(&f->c, &q_all, ARGS_NONE, &r));
    assert_true(db_row(&r));
    for (int col = 1; col < 5; col++)
        assert_true(db_null(&r, col));
    assert_int_equal(db_int(&r, 1), 0);
    assert_true(db_real(&r, 2) == 0.0);
    assert_int_equal(db_str(&r, 3).n, 0);
    assert_true(db_row(&r));
    assert_int_equal(db_int(&r, 1), 3);
    assert_true(db_null(&r, 3));
    assert_str(db_str(&r, 4), "x");
    ok(db_end(&r));
    db_rollback(&f->c);
}

static void kinds_of_an_argument_may_change(void **state)
{
    struct fix *f = *state;
    struct db_rows r = { 0 };
    const struct db_val seen[] = { DB_NULL, DB_INT(5),    DB_TEXT(S("five")), DB_BLOB(S("b")),
                                   DB_NULL, DB_REAL(5.5), DB_INT(6) };

    ok(db_begin(&f->c, f->w, false));
    for (size_t i = 0; i < COUNT_OF(seen); i++) {
        ok(db_query(&f->c, &q_echo, ARGS(DB_INT(1), seen[i]), &r));
        assert_true(db_row(&r));
        assert_int_equal(db_int(&r, 1), 1);
        assert_int_equal(db_null(&r, 0), seen[i].kind == DB_VAL_NULL);
        if (seen[i].kind == DB_VAL_INT)
            assert_int_equal(db_int(&r, 2), seen[i].i);
        else if (seen[i].kind == DB_VAL_REAL)
            assert_true(db_real(&r, 2) == seen[i].r);
        else
            assert_true(str_eq(db_str(&r, 0), seen[i].s));
        ok(db_end(&r));
    }
    ok(db_commit(&f->c));
}

static void large_values_and_many_rows(void **state)
{
    struct fix *f = *state;
    size_t big = 3 << 20;
    char *p = arena_alloc(&f->arena, big);
    char name[32];
    struct db_rows r = { 0 };
    int64_t i = 0;

    memset(p, 'x', big);
    p[big - 1] = '\0';
    ok(db_begin(&f->c, f->w, true));
    for (; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "item %d", (int)i);
        ok(insert(&f->c, i, name));
    }
    ok(db_exec(&f->c, &q_insert,
               ARGS(DB_INT(i), DB_INT(1), DB_NULL, DB_NULL, DB_BLOB(((str_t){ p, big }))), NULL));
    ok(db_commit(&f->c));
    ok(db_begin(&f->c, f->w, false));
    ok(db_query(&f->c, &q_all, ARGS_NONE, &r));
    for (i = 0; i < 2000; i++) {
        assert_true(db_row(&r));
        assert_int_equal(db_int(&r, 0), i);
    }
    assert_true(db_row(&r));
    str_t back = db_str(&r, 4);
    assert_int_equal(back.n, big);
    assert_memory_equal(back.p, p, big);
    assert_false(db_row(&r));
    ok(db_end(&r));
    ok(db_commit(&f->c));
}

static void aggregates_are_numbers(void **state)
{
    struct fix *f = *state;
    struct db_rows r = { 0 };
    static const int64_t n[] = { 4000000000000000000, 5223372036854775806, -12345678, 100000000 };
    int64_t sum = 0;

    ok(db_begin(&f->c, f->w, true));
    for (size_t i = 0; i < COUNT_OF(n); i++) {
        sum += i < 2 ? 0 : n[i];
        ok(db_exec(&f->c, &q_insert,
                   ARGS(DB_INT((int64_t)i), DB_INT(n[i]), DB_REAL((double)i), DB_NULL, DB_NULL),
                   NULL));
    }
    for (int64_t k = 0; k < 2; k++)
        ok(db_exec(&f->c, &q_delete, ARGS(DB_INT(k)), NULL));
    ok(db_query(&f->c, &q_sum, ARGS_NONE, &r));
    assert_true(db_row(&r));
    assert_int_equal(db_int(&r, 0), sum);
    assert_int_equal(db_int(&r, 1), -12345678);
    assert_int_equal(db_int(&r, 2), 100000000);
    assert_true(db_real(&r, 3) == 2.5);
    ok(db_end(&r));
    for (size_t i = 0; i < 4; i++) {
        static const int64_t sums[] = { -1, 0, INT64_MIN, 10000 };
        ok(db_exec(&f->c, &q_set_n, ARGS(DB_INT(2), DB_INT(sums[i])), NULL));
        ok(db_exec(&f->c, &q_set_n, ARGS(DB_INT(3), DB_INT(0)), NULL));
        int64_t back = 1;
        ok(query_int(&f->c, &q_sum, ARGS_NONE, &back));
        assert_int_equal(back, sums[i]);
    }
    db_rollback(&f->c);
}

static void pages_by_row_value_and_text_sorts_by_bytes(void **state)
{
    struct fix *f = *state;
    static const struct sql q_pair = { "INSERT INTO pair (a, b, v) VALUES ($1, $2, $2 + $1)" };
    static const struct sql q_page = {
        "SELECT a, b FROM pair WHERE (a, b) > ($1, $2) ORDER BY a, b LIMIT $3"
    };
    static const struct sql q_texts = { "SELECT t FROM item WHERE env = $env ORDER BY t" };
    static const char *const sorted[] = { "A-b", "B", "a", "aB", "\xc3\xa4" };
    struct db_rows r = { 0 };

    ok(db_begin(&f->c, f->w, true));
    for (int64_t i = 0; i < 9; i++)
        ok(db_exec(&f->c, &q_pair, ARGS(DB_INT(i / 3), DB_INT(i % 3)), NULL));
    ok(db_query(&f->c, &q_page, ARGS(DB_INT(0), DB_INT(1), DB_INT(3)), &r));
    for (int64_t i = 2; i < 5; i++) {
        assert_true(db_row(&r));
        assert_int_equal(db_int(&r, 0) * 3 + db_int(&r, 1), i);
    }
    assert_false(db_row(&r));
    ok(db_end(&r));
    for (size_t i = 0; i < COUNT_OF(sorted); i++)
        ok(insert(&f->c, (int64_t)(100 - i), sorted[i]));
    ok(db_query(&f->c, &q_texts, ARGS_NONE, &r));
    for (size_t i = 0; i < COUNT_OF(sorted); i++) {
        assert_true(db_row(&r));
        assert_str(db_str(&r, 0), sorted[i]);
    }
    ok(db_end(&r));
    db_rollback(&f->c);
}

/* ---- statements ------------------------------------------------------------------------------ */

static void arguments_in_any_order_and_repeated(void **state)
{
    struct fix *f = *state;
    struct db_rows r = { 0 };

    ok(db_begin(&f->c, f->w, false));
    ok(db_query(&f->c, &q_echo, ARGS(DB_INT(11), DB_TEXT(S("two"))), &r));
    assert_true(db_row(&r));
    assert_str(db_str(&r, 0), "two");
    assert_int_equal(db_int(&r, 1), 11);
    assert_str(db_str(&r, 2), "two");
    ok(db_end(&r));
    ok(db_commit(&f->c));
}

static void env_comes_from_the_context(void **state)
{
    struct fix *f = *state;

    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    ok(insert(&f->c, 2, "b"));
    f->c.env = 9;
    assert_int_equal(count(f), 0);
    ok(insert(&f->c, 3, "a"));
    assert_int_equal(count(f), 1);
    f->c.env = 7;
    assert_int_equal(count(f), 2);
    ok(db_commit(&f->c));
}

static void changed_rows_and_writes_are_counted(void **state)
{
    struct fix *f = *state;
    static const struct sql q_returning = {
        "UPDATE item SET n = n + 1 WHERE env = $env RETURNING k"
    };
    int64_t changed = -1;
    int64_t key = 0;

    ok(db_begin(&f->c, f->w, true));
    assert_int_equal(db_writes(&f->c), 0);
    for (int64_t i = 1; i <= 4; i++)
        ok(insert(&f->c, i, i == 1 ? "a" : i == 2 ? "b" : i == 3 ? "c" : "d"));
    assert_int_equal(db_writes(&f->c), 4);
    ok(db_exec(&f->c, &q_add_n, ARGS(DB_INT(1), DB_INT(20)), &changed));
    assert_int_equal(changed, 3);
    ok(db_exec(&f->c, &q_add_n, ARGS(DB_INT(1), DB_INT(1000)), &changed));
    assert_int_equal(changed, 0);
    ok(db_exec(&f->c, &q_delete, ARGS(DB_INT(2)), &changed));
    assert_int_equal(changed, 1);
    assert_int_equal(db_writes(&f->c), 6);
    ok(query_int(&f->c, &q_returning, ARGS_NONE, &key));
    assert_int_equal(db_writes(&f->c), 7);
    assert_int_equal(count(f), 3);
    assert_int_equal(db_writes(&f->c), 7);
    ok(db_commit(&f->c));
    ok(db_begin(&f->c, f->w, true));
    assert_int_equal(db_writes(&f->c), 0);
    ok(db_commit(&f->c));
}

static void on_conflict_changes_nothing(void **state)
{
    struct fix *f = *state;
    int64_t changed = -1;

    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    for (int64_t k = 1; k <= 2; k++) {
        ok(db_exec(&f->c, &q_insert_maybe,
                   ARGS(DB_INT(k), DB_INT(0), DB_NULL, DB_TEXT(S("a")), DB_NULL), &changed));
        assert_int_equal(changed, 0);
    }
    assert_int_equal(db_writes(&f->c), 1);
    ok(db_commit(&f->c));
    assert_int_equal(count(f), 1);
}

static void unique_violation_is_exists(void **state)
{
    struct fix *f = *state;

    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    assert_int_equal(insert(&f->c, 2, "a"), ERR_EXISTS);
    assert_int_equal(db_is_dead(&f->c), f->backend == ON_PG);
    if (f->backend == ON_PG) {
        assert_int_equal(insert(&f->c, 3, "b"), ERR_UNAVAILABLE);
        assert_int_equal(db_commit(&f->c), ERR_UNAVAILABLE);
        assert_int_equal(count(f), 0);
        return;
    }
    assert_int_equal(insert(&f->c, 1, "b"), ERR_EXISTS);
    assert_int_equal(db_writes(&f->c), 1);
    ok(insert(&f->c, 3, "b"));
    ok(db_commit(&f->c));
    assert_int_equal(count(f), 2);
}

static void a_wrong_statement_is_our_bug_with_text(void **state)
{
    struct fix *f = *state;
    static const struct sql wrong[] = { { "SELEKT 1" },
                                        { "SELECT x FROM nowhere" },
                                        { "SELECT {nothing}" },
                                        { "SELECT $65" },
                                        { "SELECT $word" } };

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        ok(db_begin(&f->c, f->w, true));
        f->c.err.text[0] = '\0';
        assert_int_equal(db_exec(&f->c, &wrong[i], ARGS_NONE, NULL), ERR_INTERNAL);
        assert_true(f->c.err.text[0] != '\0');
        db_rollback(&f->c);
    }
}

static void macros_become_the_words_of_each_database(void **state)
{
    struct fix *f = *state;
    static const struct sql q_locked = {
        "SELECT k FROM item WHERE env = $env AND t = '{x} $3' ORDER BY k LIMIT 1 {for_update}"
    };
    static const struct sql q_skip = {
        "SELECT k FROM item WHERE env = $env /* {x} $3 */ ORDER BY k LIMIT $1 {skip_locked}"
    };
    int64_t k = 0;

    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 5, "{x} $3"));
    ok(query_int(&f->c, &q_locked, ARGS_NONE, &k));
    assert_int_equal(k, 5);
    k = 0;
    ok(query_int(&f->c, &q_skip, ARGS(DB_INT(3)), &k));
    assert_int_equal(k, 5);
    ok(db_commit(&f->c));
}

static void a_stale_result_says_so(void **state)
{
    struct fix *f = *state;
    struct db_rows one = { 0 };
    struct db_rows two = { 0 };

    ok(db_begin(&f->c, f->w, true));
    for (int64_t i = 1; i <= 3; i++)
        ok(insert(&f->c, i, i == 1 ? "a" : i == 2 ? "b" : "c"));
    ok(db_query(&f->c, &q_all, ARGS_NONE, &one));
    assert_true(db_row(&one));
    ok(db_query(&f->c, &q_all, ARGS_NONE, &two));
    assert_false(db_row(&one));
    assert_int_equal(db_end(&one), ERR_INTERNAL);
    assert_true(db_row(&two));
    assert_int_equal(db_int(&two, 0), 1);
    ok(db_end(&two));
    /* A result that nobody ended does not hold up the commit. */
    ok(db_query(&f->c, &q_all, ARGS_NONE, &one));
    assert_true(db_row(&one));
    ok(db_commit(&f->c));
    assert_int_equal(count(f), 3);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void rollback_undoes_and_commit_keeps(void **state)
{
    struct fix *f = *state;
    struct db_rows r = { 0 };

    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    ok(db_query(&f->c, &q_all, ARGS_NONE, &r));
    assert_true(db_row(&r));
    db_rollback(&f->c);
    assert_null(f->c.tx);
    assert_int_equal(count(f), 0);
    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    ok(db_commit(&f->c));
    assert_null(f->c.tx);
    assert_int_equal(count(f), 1);
    if (f->backend == ON_MEMORY)
        return;
    db_conn_close(f->w);
    db_close(f->d);
    struct db_opts o = opts_of(f);
    ok(db_open(&f->c, &o, &f->d));
    ok(db_conn_open(&f->c, f->d, true, &f->w));
    assert_int_equal(count(f), 1);
}

static void a_reader_keeps_its_snapshot_and_sees_the_next(void **state)
{
    struct fix *f = *state;
    struct ctx reader = f->c;
    struct db_conn *k = NULL;
    int64_t n = -1;

    assert_int_equal(db_has_readers(f->d), f->backend != ON_MEMORY);
    if (f->backend == ON_MEMORY) {
        assert_int_equal(db_conn_open(&f->c, f->d, false, &k), ERR_PRECONDITION);
        return;
    }
    ok(db_conn_open(&reader, f->d, false, &k));
    ok(db_begin(&reader, k, false));
    ok(query_int(&reader, &q_count, ARGS_NONE, &n));
    assert_int_equal(n, 0);
    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    ok(db_commit(&f->c));
    ok(query_int(&reader, &q_count, ARGS_NONE, &n));
    assert_int_equal(n, 0);
    ok(db_commit(&reader));
    ok(db_begin(&reader, k, false));
    ok(query_int(&reader, &q_count, ARGS_NONE, &n));
    assert_int_equal(n, 1);
    assert_int_equal(insert(&reader, 2, "b"), ERR_UNAVAILABLE);
    db_rollback(&reader);
    db_conn_close(k);
    assert_int_equal(count(f), 1);
}

static void a_read_transaction_of_the_writer_writes_nothing(void **state)
{
    struct fix *f = *state;

    ok(db_begin(&f->c, f->w, false));
    assert_int_equal(insert(&f->c, 1, "a"), ERR_UNAVAILABLE);
    assert_int_equal(db_writes(&f->c), 0);
    db_rollback(&f->c);
    assert_int_equal(count(f), 0);
}

static void a_failed_script_dooms_the_transaction(void **state)
{
    struct fix *f = *state;

    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    assert_int_equal(db_script(&f->c, S("CREATE TABLE q (a BIGINT); CREATE TABLE q (a BIGINT)")),
                     ERR_INTERNAL);
    assert_true(db_is_dead(&f->c));
    assert_int_equal(insert(&f->c, 2, "b"), ERR_UNAVAILABLE);
    assert_int_equal(db_commit(&f->c), ERR_UNAVAILABLE);
    assert_int_equal(count(f), 0);
    script(f, "CREATE TABLE q (a BIGINT); DROP TABLE q");
}

/* ---- migrations ------------------------------------------------------------------------------ */

static const struct migration steps[] = {
    { 1, "one", "CREATE TABLE m1 (k {id}, t {text}, b {blob}); CREATE INDEX m1_t ON m1 (t)" },
    { 2, "two", "INSERT INTO m1 (k, t) VALUES (1, 'x')" },
    { 3, "three", "CREATE TABLE m3 (a BIGINT PRIMARY KEY) {strict}" },
};
static const struct sql q_m1 = { "SELECT COUNT(*) FROM m1" };
static const struct sql q_done = { "SELECT COUNT(*) FROM schema_migrations" };

static int64_t read_int(struct fix *f, const struct sql *q)
{
    int64_t n = -1;

    ok(db_begin(&f->c, f->w, false));
    ok(query_int(&f->c, q, ARGS_NONE, &n));
    ok(db_commit(&f->c));
    return n;
}

static void migrations_run_once_and_forward(void **state)
{
    struct fix *f = *state;

    ok(db_migrate(&f->c, f->w, steps, 1));
    assert_int_equal(read_int(f, &q_done), 1);
    assert_int_equal(read_int(f, &q_m1), 0);
    for (int i = 0; i < 3; i++)
        ok(db_migrate(&f->c, f->w, steps, 3));
    assert_int_equal(read_int(f, &q_done), 3);
    assert_int_equal(read_int(f, &q_m1), 1);
    assert_int_equal(db_migrate(&f->c, f->w, steps, 2), ERR_PRECONDITION);
    assert_non_null(strstr(f->c.err.text, "schema 3, this program knows 2"));
    assert_int_equal(read_int(f, &q_done), 3);
}

static void a_failed_migration_leaves_nothing(void **state)
{
    struct fix *f = *state;
    struct migration bad[] = { steps[0],
                               { 2, "bad", "DELETE FROM m1; CREATE TABLE m1 (a BIGINT)" } };

    assert_int_equal(db_migrate(&f->c, f->w, bad, 2), ERR_INTERNAL);
    assert_null(f->c.tx);
    assert_int_equal(read_int(f, &q_done), 1);
    ok(db_migrate(&f->c, f->w, steps, 3));
    assert_int_equal(read_int(f, &q_m1), 1);
}

#include "db_contract_faults.c"

#define CONTRACT(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
static const struct CMUnitTest contract[] = {
    CONTRACT(values_come_back_as_they_went_in),
    CONTRACT(null_is_not_empty),
    CONTRACT(kinds_of_an_argument_may_change),
    CONTRACT(large_values_and_many_rows),
    CONTRACT(aggregates_are_numbers),
    CONTRACT(pages_by_row_value_and_text_sorts_by_bytes),
    CONTRACT(arguments_in_any_order_and_repeated),
    CONTRACT(env_comes_from_the_context),
    CONTRACT(changed_rows_and_writes_are_counted),
    CONTRACT(on_conflict_changes_nothing),
    CONTRACT(unique_violation_is_exists),
    CONTRACT(a_wrong_statement_is_our_bug_with_text),
    CONTRACT(macros_become_the_words_of_each_database),
    CONTRACT(a_stale_result_says_so),
    CONTRACT(rollback_undoes_and_commit_keeps),
    CONTRACT(a_reader_keeps_its_snapshot_and_sees_the_next),
    CONTRACT(a_read_transaction_of_the_writer_writes_nothing),
    CONTRACT(a_failed_script_dooms_the_transaction),
    CONTRACT(migrations_run_once_and_forward),
    CONTRACT(a_failed_migration_leaves_nothing),
    CONTRACT(unavailable_at_every_call),
    CONTRACT(retry_at_every_call),
    CONTRACT(fatal_at_every_call),
    CONTRACT(a_fault_that_ends_the_transaction_is_seen),
    CONTRACT(an_uncertain_commit_may_have_happened),
};
