/* Growth, the maximum and the sticky refusal. */
#include "base/buf.h"

#include "base/arena.h"
#include "base/test.h"

static void it_grows_on_the_heap(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100000);
    for (int i = 0; i < 10000; i++)
        buf_append(&b, S("0123456789"));
    assert_false(b.full);
    assert_int_equal(buf_str(&b).n, 100000);
    assert_str(str_slice(buf_str(&b), 99990, 100000), "0123456789");
    buf_done(&b);
}

static void it_grows_in_an_arena(void **state)
{
    struct arena a;
    struct buf b;

    (void)state;
    arena_init(&a);
    buf_init_arena(&b, &a, 1 << 20);
    for (int i = 0; i < 5000; i++) {
        buf_char(&b, (char)('a' + i % 26));
        /* Something in between, so that it must move. */
        if (i % 1000 == 0)
            (void)arena_alloc(&a, 8);
    }
    assert_int_equal(b.n, 5000);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(b.p[i], 'a' + (int)(i % 26));
    arena_done(&a);
}

static void past_the_maximum_everything_is_dropped(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    buf_append(&b, S("abc"));
    buf_append(&b, S("def"));
    assert_true(b.full);
    buf_char(&b, 'x');
    buf_printf(&b, "%d", 1);
    buf_u64(&b, 1);
    assert_null(buf_reserve(&b, 1));
    assert_str(buf_str(&b), "abc");
    buf_clear(&b);
    assert_false(b.full);
    buf_append(&b, S("12345"));
    assert_false(b.full);
    buf_char(&b, '6');
    assert_true(b.full);
    assert_str(buf_str(&b), "12345");
    buf_done(&b);
}

static void a_zeroed_buf_takes_nothing(void **state)
{
    struct buf b = { 0 };

    (void)state;
    buf_append(&b, STR_NULL);
    assert_false(b.full);
    buf_char(&b, 'x');
    assert_true(b.full);
    assert_int_equal(buf_str(&b).n, 0);
    buf_done(&b);
}

static void printf_fits_exactly(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 300);
    buf_printf(&b, "%0300d", 7);
    assert_false(b.full);
    assert_int_equal(b.n, 300);
    assert_int_equal(b.p[299], '7');
    buf_clear(&b);
    buf_printf(&b, "%0301d", 7);
    assert_true(b.full);
    assert_int_equal(b.n, 0);
    buf_clear(&b);
    buf_printf(&b, "%s=%d", "a", 1);
    assert_str(buf_str(&b), "a=1");
    buf_done(&b);
}

static void integers_of_every_size(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    buf_i64(&b, INT64_MIN);
    buf_char(&b, ' ');
    buf_i64(&b, INT64_MAX);
    buf_char(&b, ' ');
    buf_i64(&b, 0);
    buf_char(&b, ' ');
    buf_i64(&b, -1);
    buf_char(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    assert_str(buf_str(&b), "-9223372036854775808 9223372036854775807 0 -1 18446744073709551615");
    buf_done(&b);
}

static void reserve_and_commit(void **state)
{
    struct buf b;
    char *p;

    (void)state;
    buf_init(&b, 10);
    assert_non_null(buf_reserve(&b, 0));
    p = buf_reserve(&b, 10);
    assert_non_null(p);
    memcpy(p, "0123456789", 10);
    buf_commit(&b, 4);
    assert_str(buf_str(&b), "0123");
    assert_null(buf_reserve(&b, 7));
    assert_true(b.full);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_on_the_heap),
        cmocka_unit_test(it_grows_in_an_arena),
        cmocka_unit_test(past_the_maximum_everything_is_dropped),
        cmocka_unit_test(a_zeroed_buf_takes_nothing),
        cmocka_unit_test(printf_fits_exactly),
        cmocka_unit_test(integers_of_every_size),
        cmocka_unit_test(reserve_and_commit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
