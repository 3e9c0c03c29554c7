/* SHA-256 against known values, from several threads; comparison. */
#include "base/crypto.h"

#include "base/arena.h"
#include "base/sync.h"
#include "base/test.h"

static void sha256_of_known_texts(void **state)
{
    struct arena a;
    uint8_t out[SHA256_SIZE];

    (void)state;
    arena_init(&a);
    crypto_sha256(S("abc"), out);
    assert_str(crypto_hex(&a, out, sizeof(out)),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256(STR_NULL, out);
    assert_str(crypto_hex(&a, out, sizeof(out)),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    arena_done(&a);
}

/* RFC 4231, cases 2 and 6. */
static void hmac_of_known_texts(void **state)
{
    const str_t split[] = { S("what do ya want "), S("for nothing?") };
    const str_t large = S("Test Using Larger Than Block-Size Key - Hash Key First");
    char key[131];
    struct arena a;
    uint8_t out[SHA256_SIZE];

    (void)state;
    arena_init(&a);
    crypto_hmac_sha256(S("Jefe"), split, 2, out);
    assert_str(crypto_hex(&a, out, sizeof(out)),
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    crypto_hmac_sha256((str_t){ key, sizeof(key) }, &large, 1, out);
    assert_str(crypto_hex(&a, out, sizeof(out)),
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    arena_done(&a);
}

static void *hash_often(void *arg)
{
    uint8_t *out = arg;

    for (int i = 0; i < 1000; i++)
        crypto_sha256(S("abc"), out);
    return NULL;
}

static void threads_hash_at_once(void **state)
{
    uint8_t out[4][SHA256_SIZE];
    uint8_t want[SHA256_SIZE];
    pthread_t t[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        thread_start(&t[i], "hash", hash_often, out[i]);
    for (int i = 0; i < 4; i++)
        thread_join(t[i]);
    crypto_sha256(S("abc"), want);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(out[i], want, SHA256_SIZE);
}

static void equality(void **state)
{
    (void)state;
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_true(crypto_equal("abc", "abd", 2));
    assert_true(crypto_equal(NULL, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_known_texts),
        cmocka_unit_test(hmac_of_known_texts),
        cmocka_unit_test(threads_hash_at_once),
        cmocka_unit_test(equality),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
