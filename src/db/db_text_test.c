/* The rewriting of statement text, case by case. */
#include "base/test.h"
#include "db/db_priv.h"

struct row {
    const char *text;
    const char *sqlite; /* NULL: refused */
    const char *pg;
    int args, env_param;
};

static const struct row rows[] = {
    { "SELECT 1", "SELECT 1", "SELECT 1", 0, 0 },
    { "$2,$1,$2", "?2,?1,?2", "$2,$1,$2", 2, 0 },
    { "a=$env AND b=$3", "a=?4 AND b=?3", "a=$4 AND b=$3", 3, 4 },
    { "$env $env", "?1 ?1", "$1 $1", 0, 1 },
    { "$64", "?64", "$64", 64, 0 },
    { "$65", NULL, NULL, 0, 0 },
    { "$0", NULL, NULL, 0, 0 },
    { "$name", NULL, NULL, 0, 0 },
    { "$1x", NULL, NULL, 0, 0 },
    { "'$1 {blob}'", "'$1 {blob}'", "'$1 {blob}'", 0, 0 },
    { "'it''s $1' $1", "'it''s $1' ?1", "'it''s $1' $1", 1, 0 },
    { "\"$1\"", "\"$1\"", "\"$1\"", 0, 0 },
    { "'open $1", "'open $1", "'open $1", 0, 0 },
    { "-- it's $9\n$1", "-- it's $9\n?1", "-- it's $9\n$1", 1, 0 },
    { "-- end $9", "-- end $9", "-- end $9", 0, 0 },
    { "/* $9 'x */$1", "/* $9 'x */?1", "/* $9 'x */$1", 1, 0 },
    { "/* $9", "/* $9", "/* $9", 0, 0 },
    { "k {id}, b {blob}", "k INTEGER PRIMARY KEY, b BLOB", "k BIGINT PRIMARY KEY, b BYTEA", 0, 0 },
    { "t {text}", "t TEXT", "t TEXT COLLATE \"C\"", 0, 0 },
    { ") {strict};", ") WITHOUT ROWID;", ") ;", 0, 0 },
    { "s {for_update}", "s ", "s FOR UPDATE", 0, 0 },
    { "s {skip_locked}", "s ", "s FOR UPDATE SKIP LOCKED", 0, 0 },
    { "{other}", NULL, NULL, 0, 0 },
    { "{ id }", "{ id }", "{ id }", 0, 0 },
    { "{", "{", "{", 0, 0 },
    { "$", "$", "$", 0, 0 },
    { "", "", "", 0, 0 },
};

static void check(const struct row *r, enum db_kind kind, const char *wanted)
{
    struct arena a;
    struct buf b;
    struct db_text info = { 0 };

    arena_init(&a);
    struct ctx c = { .arena = &a };
    buf_init_arena(&b, &a, DB_TEXT_BYTES_MAX);
    err_t e = db_text_expand(&c, kind, str_from(r->text), &b, &info);
    if (wanted == NULL) {
        assert_int_equal(e, ERR_INTERNAL);
    } else {
        assert_int_equal(e, ERR_OK);
        assert_str(buf_str(&b), wanted);
        assert_int_equal(info.args, r->args);
        assert_int_equal(info.env_param, r->env_param);
    }
    arena_done(&a);
}

static void every_row_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        check(&rows[i], DB_SQLITE, rows[i].sqlite);
        check(&rows[i], DB_PG, rows[i].pg);
    }
}

static void a_text_past_the_maximum_is_refused(void **state)
{
    struct arena a;
    struct buf b;
    struct db_text info = { 0 };

    (void)state;
    arena_init(&a);
    struct ctx c = { .arena = &a };
    buf_init_arena(&b, &a, 8);
    assert_int_equal(db_text_expand(&c, DB_PG, S("SELECT 123456"), &b, &info), ERR_INTERNAL);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table),
        cmocka_unit_test(a_text_past_the_maximum_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
