/* Both ways to compute CRC-32C against known values and each other. */
#include "base/crypto.h"
#include "base/crypto_priv.h"
#include "base/rng.h"
#include "base/test.h"

static void known_values(void **state)
{
    uint8_t zero[32] = { 0 };

    (void)state;
    /* The check value, and one of RFC 3720. */
    assert_int_equal(crypto_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_table(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crypto_crc32c(0, zero, sizeof(zero)), 0x8a9136aa);
    assert_int_equal(crc32c_table(0, zero, sizeof(zero)), 0x8a9136aa);
    assert_int_equal(crypto_crc32c(0, "", 0), 0);
}

static void both_ways_agree_at_every_length_and_alignment(void **state)
{
    uint8_t p[300];
    struct rng r;

    (void)state;
    rng_seed(&r, 3);
    for (size_t i = 0; i < sizeof(p); i++)
        p[i] = (uint8_t)rng_u64(&r);
    for (size_t from = 0; from < 9; from++) {
        for (size_t n = 0; n + from <= sizeof(p); n++)
            assert_int_equal(crypto_crc32c(99, p + from, n), crc32c_table(99, p + from, n));
    }
}

static void it_continues(void **state)
{
    uint32_t crc = crypto_crc32c(0, "1234", 4);

    (void)state;
    assert_int_equal(crypto_crc32c(crc, "56789", 5), 0xe3069283);
    crc = crc32c_table(0, "1", 1);
    assert_int_equal(crc32c_table(crc, "23456789", 8), 0xe3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(both_ways_agree_at_every_length_and_alignment),
        cmocka_unit_test(it_continues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
