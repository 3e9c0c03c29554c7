/* Pointer arrays. */
#include "base/vec.h"

#include "base/test.h"

static void push_keeps_order(void **state)
{
    struct vec v = { 0 };
    int numbers[100];

    (void)state;
    for (int i = 0; i < 100; i++)
        vec_push(&v, &numbers[i]);
    assert_int_equal(v.n, 100);
    for (size_t i = 0; i < 100; i++)
        assert_ptr_equal(v.items[i], &numbers[i]);
    vec_done(&v);
    assert_int_equal(v.n, 0);
    assert_null(v.items);
}

static void removal_puts_the_last_in_the_place(void **state)
{
    struct vec v = { 0 };
    int a, b, c;

    (void)state;
    vec_push(&v, &a);
    vec_push(&v, &b);
    vec_push(&v, &c);
    vec_swap_remove(&v, 0);
    assert_int_equal(v.n, 2);
    assert_ptr_equal(v.items[0], &c);
    vec_swap_remove(&v, 1);
    assert_int_equal(v.n, 1);
    assert_ptr_equal(v.items[0], &c);
    vec_swap_remove(&v, 0);
    assert_int_equal(v.n, 0);
    vec_done(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_keeps_order),
        cmocka_unit_test(removal_puts_the_last_in_the_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
