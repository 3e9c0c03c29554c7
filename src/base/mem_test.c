/* Heap memory; the leak check of the sanitizer takes part. */
#include "base/mem.h"

#include <signal.h>
#include <string.h>

#include "base/must.h"
#include "base/test.h"

static void zero_is_cleared_and_resize_keeps(void **state)
{
    char *p = mem_zero(32);

    (void)state;
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(p[i], 0);
    memcpy(p, "content", 8);
    p = mem_resize(p, 4096);
    assert_string_equal(p, "content");
    mem_free(p);
}

static void sizes_of_nothing_give_memory(void **state)
{
    void *a = mem_alloc(0);
    void *b = mem_zero(0);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    a = mem_resize(a, 0);
    assert_non_null(a);
    mem_free(a);
    mem_free(b);
    mem_free(NULL);
}

static void free_at_frees_and_forgets(void **state)
{
    void *p = mem_alloc(10);

    (void)state;
    mem_free_at(&p);
    assert_null(p);
    mem_free_at(&p);
}

static void auto_frees(void **state)
{
    /* The leak check of the sanitizer is the assertion. */
    AUTO(mem_free_at) void *p = mem_alloc(10);

    (void)state;
    assert_non_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_cleared_and_resize_keeps),
        cmocka_unit_test(sizes_of_nothing_give_memory),
        cmocka_unit_test(free_at_frees_and_forgets),
        cmocka_unit_test(auto_frees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
