/* Percent escapes, queries and URLs. */
#include "codec/url.h"

#include "base/arena.h"
#include "base/must.h"
#include "base/test.h"

static struct arena arena;

static void escapes_are_decoded_once(void **state)
{
    str_t out;

    (void)state;
    assert_true(url_decode(&arena, S("plain+text"), false, &out));
    assert_str(out, "plain+text");
    assert_true(url_decode(&arena, S("a%2Fb%253A+c"), true, &out));
    assert_str(out, "a/b%3A c");
    assert_true(url_decode(&arena, S("%c3%A9"), false, &out));
    assert_str(out, "\xc3\xa9");
    assert_true(url_decode(&arena, S(""), false, &out));
    assert_str(out, "");
}

static void broken_escapes_are_refused(void **state)
{
    static const char *const bad[] = {
        "%", "%2", "a%2", "%zz", "%2g", "%ff", "%00", "\xff", "x%c3"
    };
    str_t out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(url_decode(&arena, str_from(bad[i]), false, &out));
    assert_false(url_decode(&arena, S("a\0b"), false, &out));
}

static void encoding_is_the_inverse(void **state)
{
    struct buf b;
    char all[255];
    str_t out;

    (void)state;
    buf_init_arena(&b, &arena, 4096);
    url_encode(&b, S("a b/c?d=\xc3\xa9~-._"));
    assert_str(buf_str(&b), "a%20b%2Fc%3Fd%3D%C3%A9~-._");
    for (int i = 1; i < 128; i++)
        all[i - 1] = (char)i;
    buf_clear(&b);
    url_encode(&b, (str_t){ all, 127 });
    assert_true(url_decode(&arena, buf_str(&b), true, &out));
    assert_true(str_eq(out, (str_t){ all, 127 }));
}

static void queries_are_walked(void **state)
{
    str_t query = S("&a=1&&b=x%26y=z&flag&=v&c=a+b");
    struct url_param p;

    (void)state;
    assert_int_equal(url_query_next(&arena, &query, &p), 1);
    assert_str(p.name, "a");
    assert_str(p.value, "1");
    assert_int_equal(url_query_next(&arena, &query, &p), 1);
    assert_str(p.name, "b");
    assert_str(p.value, "x&y=z");
    assert_int_equal(url_query_next(&arena, &query, &p), 1);
    assert_str(p.name, "flag");
    assert_str(p.value, "");
    assert_int_equal(url_query_next(&arena, &query, &p), 1);
    assert_str(p.name, "");
    assert_str(p.value, "v");
    assert_int_equal(url_query_next(&arena, &query, &p), 1);
    assert_str(p.value, "a b");
    assert_int_equal(url_query_next(&arena, &query, &p), 0);
    query = S("a=%2");
    assert_int_equal(url_query_next(&arena, &query, &p), -1);
}

static void urls_are_taken_apart(void **state)
{
    struct url u;

    (void)state;
    assert_true(url_parse(S("http://localhost:9123/api/ironflow?x=1#top"), &u));
    assert_false(u.tls);
    assert_str(u.host, "localhost");
    assert_int_equal(u.port, 9123);
    assert_str(u.path, "/api/ironflow?x=1");
    assert_true(url_parse(S("HTTPS://user:p@ss@example.com"), &u));
    assert_true(u.tls);
    assert_int_equal(u.port, 443);
    assert_str(u.host, "example.com");
    assert_str(u.user, "user:p@ss");
    assert_str(u.path, "");
    assert_true(url_parse(S("http://[::1]:80?q"), &u));
    assert_str(u.host, "::1");
    assert_int_equal(u.port, 80);
    assert_str(u.path, "?q");
}

static void other_texts_are_no_urls(void **state)
{
    static const char *const bad[] = {
        "",           "http",         "http:/",           "http://",       "ftp://a",
        "localhost",  "http://:80",   "http://a:",        "http://a:0",    "http://a:65536",
        "http://a:x", "http://a b/c", "http://[::1",      "http://[::1]x", "http://a/\n",
        "http://@",   "http://[]:1",  "https//localhost", "http://a:+1",
    };
    struct url u;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (url_parse(str_from(bad[i]), &u))
            print_error("accepted: %s\n", bad[i]);
        assert_false(url_parse(str_from(bad[i]), &u));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_decoded_once), cmocka_unit_test(broken_escapes_are_refused),
        cmocka_unit_test(encoding_is_the_inverse),  cmocka_unit_test(queries_are_walked),
        cmocka_unit_test(urls_are_taken_apart),     cmocka_unit_test(other_texts_are_no_urls),
    };
    int failed;

    arena_init(&arena);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
