/* Base64 against the vectors of RFC 4648. */
#include "base/arena.h"
#include "base/crypto.h"
#include "base/must.h"
#include "base/test.h"

static void vectors_of_rfc_4648(void **state)
{
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *const text[] = { "",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    struct arena a;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        str_t out = STR_NULL;

        assert_str(base64_encode(&a, str_from(plain[i])), text[i]);
        assert_true(base64_decode(&a, str_from(text[i]), &out));
        assert_str(out, plain[i]);
    }
    arena_done(&a);
}

static void both_alphabets(void **state)
{
    struct arena a;
    str_t out = STR_NULL;

    (void)state;
    arena_init(&a);
    assert_str(base64_encode(&a, S("\xfb\xff\xfe\x01")), "+//+AQ==");
    assert_str(base64url_encode(&a, S("\xfb\xff\xfe\x01")), "-__-AQ");
    assert_true(base64_decode(&a, S("-__-AQ"), &out));
    assert_str(out, "\xfb\xff\xfe\x01");
    assert_true(base64_decode(&a, S("+//+AQ=="), &out));
    assert_str(out, "\xfb\xff\xfe\x01");
    arena_done(&a);
}

static void every_length_comes_back(void **state)
{
    struct arena a;
    char p[256];

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof(p); i++)
        p[i] = (char)(i * 7 + 3);
    for (size_t n = 0; n <= sizeof(p); n++) {
        str_t out = STR_NULL;

        assert_true(base64_decode(&a, base64_encode(&a, (str_t){ p, n }), &out));
        assert_true(str_eq(out, (str_t){ p, n }));
        assert_true(base64_decode(&a, base64url_encode(&a, (str_t){ p, n }), &out));
        assert_true(str_eq(out, (str_t){ p, n }));
    }
    arena_done(&a);
}

static void other_text_is_refused(void **state)
{
    static const char *const bad[] = { "Z",    "Zm9vY", "=",     "==",    "===",   "====",
                                       "Z===", "Zg=",   "Zm8==", "Zg==Z", "Zm 9v", "Zm9*",
                                       "Zh==", "Zm9=",  "Zh",    "Z=g=",  "Zm9v\n" };
    struct arena a;
    str_t out = S("untouched");

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(base64_decode(&a, str_from(bad[i]), &out));
    assert_str(out, "untouched");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_rfc_4648),
        cmocka_unit_test(both_alphabets),
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(other_text_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
