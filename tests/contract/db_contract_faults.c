/* Part of db_contract.c, which includes it: an injected fault at every call of a transaction. */

static err_t read_all(struct ctx *c, int64_t *sum)
{
    struct db_rows r = { 0 };

    *sum = 0;
    TRY(db_query(c, &q_all, ARGS_NONE, &r));
    while (db_row(&r))
        *sum += db_int(&r, 1) + (int64_t)db_str(&r, 3).n;
    return db_end(&r);
}

static err_t work(struct ctx *c)
{
    int64_t sum = 0;
    int64_t changed = 0;

    TRY(insert(c, 10, "ten"));
    TRY(insert(c, 11, "eleven"));
    TRY(read_all(c, &sum));
    TRY(db_exec(c, &q_set_n, ARGS(DB_INT(1), DB_INT(sum)), &changed));
    TRY(db_script(c, S("DELETE FROM item WHERE k = 2")));
    return db_exec(c, &q_delete, ARGS(DB_INT(11)), NULL);
}

static err_t work_in_tx(struct fix *f)
{
    TRY(db_begin(&f->c, f->w, true));
    err_t e = work(&f->c);
    if (e == ERR_OK)
        return db_commit(&f->c);
    db_rollback(&f->c);
    return e;
}

static int64_t fingerprint(struct fix *f)
{
    int64_t sum = -1;

    ok(db_begin(&f->c, f->w, false));
    ok(read_all(&f->c, &sum));
    ok(db_commit(&f->c));
    return sum;
}

/* For every k: the error comes out as it is, and the state is the one before. */
static void fail_every_call(struct fix *f, err_t wanted)
{
    int64_t before = fingerprint(f);
    int64_t k = 1;

    for (;; k++) {
        db_fault_at(k, wanted);
        err_t e = work_in_tx(f);
        int64_t calls = db_fault_calls();
        db_fault_at(0, ERR_OK);
        assert_null(f->c.tx);
        if (e == ERR_OK) {
            assert_true(calls < k);
            break;
        }
        assert_int_equal(e, wanted);
        assert_int_equal(calls, k);
        assert_string_equal(f->c.err.text, "injected fault");
        assert_int_equal(fingerprint(f), before);
    }
    assert_int_equal(k, 14); /* begin, 4 exec, query, 5 rows and their end, script, commit, none */
    assert_true(fingerprint(f) != before);
}

static void add_two(struct fix *f)
{
    ok(db_begin(&f->c, f->w, true));
    for (int64_t i = 1; i <= 2; i++)
        ok(insert(&f->c, i, i == 1 ? "a" : "b"));
    ok(db_commit(&f->c));
}

static void unavailable_at_every_call(void **state)
{
    add_two(*state);
    fail_every_call(*state, ERR_UNAVAILABLE);
}

static void retry_at_every_call(void **state)
{
    add_two(*state);
    fail_every_call(*state, ERR_RETRY);
}

static void fatal_at_every_call(void **state)
{
    add_two(*state);
    fail_every_call(*state, ERR_FATAL);
}

static void a_fault_that_ends_the_transaction_is_seen(void **state)
{
    struct fix *f = *state;

    ok(db_begin(&f->c, f->w, true));
    db_fault_at(2, ERR_RETRY);
    ok(insert(&f->c, 1, "a"));
    assert_false(db_is_dead(&f->c));
    assert_int_equal(insert(&f->c, 2, "b"), ERR_RETRY);
    assert_true(db_is_dead(&f->c));
    assert_int_equal(insert(&f->c, 3, "c"), ERR_UNAVAILABLE);
    db_rollback(&f->c);
    assert_int_equal(count(f), 0);
}

static void an_uncertain_commit_may_have_happened(void **state)
{
    struct fix *f = *state;

    ok(db_begin(&f->c, f->w, true));
    ok(insert(&f->c, 1, "a"));
    db_fault_at(1, ERR_UNCERTAIN);
    assert_int_equal(db_commit(&f->c), ERR_UNCERTAIN);
    assert_null(f->c.tx);
    assert_int_equal(count(f), 1);
}
