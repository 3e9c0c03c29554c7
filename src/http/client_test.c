/* The client against our own server: replies of any status, and words for people when none comes.
 */
#include "http/client.h"

#include "http/server_fixture.h"

struct client {
    struct fixture f;
    struct http_client *h;
    char base[64];
};

static void client_init(struct client *t)
{
    fixture_init(&t->f);
    fixture_start(&t->f);
    assert_int_equal(http_client_new(&t->f.c, &t->h), ERR_OK);
    snprintf(t->base, sizeof(t->base), "http://127.0.0.1:%d", http_server_port(t->f.s));
}

static void client_done(struct client *t)
{
    http_client_free(t->h);
    fixture_done(&t->f);
}

static err_t client_try(struct client *t, const char *method, const char *path, str_t body,
                        struct http_client_res *out)
{
    struct http_client_req req = { .method = method,
                                   .url = str_printf(&t->f.arena, "%s%s", t->base, path),
                                   .body = body,
                                   .timeout_ms = 60000 };

    return http_client_send(&t->f.c, t->h, &req, out);
}

static void replies_arrive_whole(void **state)
{
    struct client t;
    struct http_client_res res = { 0 };

    (void)state;
    client_init(&t);
    assert_int_equal(client_try(&t, "GET", "/echo?abc", STR_NULL, &res), ERR_OK);
    assert_int_equal(res.status, 200);
    assert_str(res.type, "text/plain");
    assert_str(res.body, "abc");
    assert_int_equal(client_try(&t, "POST", "/echo", S("hello"), &res), ERR_OK);
    assert_str(res.body, "hello");
    assert_int_equal(client_try(&t, "DELETE", "/echo", S("gone"), &res), ERR_OK);
    assert_str(res.body, "gone");
    assert_int_equal(client_try(&t, "POST", "/echo?empty", STR_NULL, &res), ERR_OK);
    assert_str(res.body, "empty");
    assert_int_equal(client_try(&t, "GET", "/none", STR_NULL, &res), ERR_OK);
    assert_int_equal(res.status, 204);
    assert_int_equal(res.type.n, 0);
    assert_int_equal(http_server_connections(t.f.s), 1); /* kept alive */
    client_done(&t);
}

static void any_status_is_a_reply(void **state)
{
    struct client t;
    struct http_client_res res = { 0 };

    (void)state;
    client_init(&t);
    assert_int_equal(client_try(&t, "BREW", "/echo", STR_NULL, &res), ERR_OK);
    assert_int_equal(res.status, 400);
    assert_str(res.type, "application/json");
    client_done(&t);
}

static void faults_are_told_in_words(void **state)
{
    static const struct http_header evil[] = { { { "x-a", 3 }, { "b\r\nx-c: d", 9 } } };
    struct client t;
    struct http_client_res res = { 0 };

    (void)state;
    client_init(&t);
    struct http_client_req req = { .method = "GET", .timeout_ms = 30000 };
    req.url = S("http://127.0.0.1:1/x");
    assert_int_equal(http_client_send(&t.f.c, t.h, &req, &res), ERR_UNAVAILABLE);
    assert_string_equal(t.f.c.err.text, "cannot reach http://127.0.0.1:1/x: connection refused");
    req.url = S("file:///etc/passwd");
    assert_int_equal(http_client_send(&t.f.c, t.h, &req, &res), ERR_INVALID);
    req.url = str_printf(&t.f.arena, "%s/hold", t.base);
    req.timeout_ms = 100;
    assert_int_equal(http_client_send(&t.f.c, t.h, &req, &res), ERR_DEADLINE);
    assert_non_null(strstr(t.f.c.err.text, "within 100 ms"));
    req.headers = evil;
    req.headers_n = 1;
    assert_int_equal(http_client_send(&t.f.c, t.h, &req, &res), ERR_INVALID);
    client_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_arrive_whole),
        cmocka_unit_test(any_status_is_a_reply),
        cmocka_unit_test(faults_are_told_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
