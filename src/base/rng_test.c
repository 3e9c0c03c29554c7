/* Sequences, uniformity and secrets. */
#include "base/rng.h"

#include <string.h>

#include "base/must.h"
#include "base/test.h"

static void one_seed_gives_one_sequence(void **state)
{
    struct rng a, b, c;

    (void)state;
    rng_seed(&a, 7);
    rng_seed(&b, 7);
    rng_seed(&c, 8);
    for (int i = 0; i < 100; i++) {
        uint64_t v = rng_u64(&a);

        assert_true(v == rng_u64(&b));
        assert_true(v != rng_u64(&c));
    }
}

static void kernel_seeds_differ(void **state)
{
    struct rng a, b;

    (void)state;
    rng_init(&a);
    rng_init(&b);
    assert_true(rng_u64(&a) != rng_u64(&b));
}

static void below_is_uniform(void **state)
{
    struct rng r;
    int count[6] = { 0 };

    (void)state;
    rng_seed(&r, 1);
    for (int i = 0; i < 60000; i++) {
        uint64_t v = rng_below(&r, 6);

        assert_true(v < 6);
        count[v]++;
    }
    for (size_t i = 0; i < COUNT_OF(count); i++)
        assert_in_range(count[i], 9600, 10400);
    assert_int_equal(rng_below(&r, 1), 0);
    assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void secrets_fill_all_bytes(void **state)
{
    unsigned char p[600] = { 0 };
    unsigned char zero[64] = { 0 };

    (void)state;
    rng_secret(p, sizeof(p) - 1);
    assert_int_equal(p[sizeof(p) - 1], 0);
    for (size_t i = 0; i + 64 < sizeof(p); i += 64)
        assert_int_not_equal(memcmp(p + i, zero, 64), 0);
    rng_secret(p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_gives_one_sequence),
        cmocka_unit_test(kernel_seeds_differ),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(secrets_fill_all_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
