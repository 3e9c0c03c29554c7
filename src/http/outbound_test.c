/* Calls to others: which addresses they may reach, and how they end. */
#include "http/outbound.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "http/server_fixture.h"

/* One call on a loop of its own, which this thread runs. */
struct caller {
    struct outbound_req req; /* first: done casts back */
    struct loop *loop;
    struct outbound *o;
    struct loop_msg over;
};

static void on_over(struct loop_msg *m)
{
    struct caller *k = (struct caller *)(void *)((char *)m - offsetof(struct caller, over));

    outbound_free(k->o);
    loop_stop(k->loop);
}

static void call_done(struct outbound_req *r)
{
    struct caller *k = (struct caller *)r;

    k->over.fn = on_over;
    loop_post(k->loop, &k->over);
}

static void caller_init(struct fixture *f, struct caller *k, const char *url)
{
    static const struct http_header headers[] = { { { "Content-Type", 12 },
                                                    { "text/plain", 10 } } };

    *k = (struct caller){ .req = { .url = url,
                                   .body = S("hello"),
                                   .headers = headers,
                                   .headers_n = COUNT_OF(headers),
                                   .timeout_ms = WAIT_MS,
                                   .arena = &f->arena,
                                   .done = call_done } };
    k->loop = loop_new();
    assert_int_equal(outbound_new(&f->c, k->loop, &k->o), ERR_OK);
}

/* Calls and waits for the end. */
static struct outbound_req call(struct fixture *f, const char *url, int64_t timeout_ms)
{
    struct caller k;

    caller_init(f, &k, url);
    k.req.timeout_ms = timeout_ms;
    outbound_send(k.o, &k.req);
    loop_run(k.loop);
    loop_free(k.loop);
    return k.req;
}

static const char *url_of(struct fixture *f, const char *path)
{
    return str_printf(&f->arena, "http://127.0.0.1:%d%s", http_server_port(f->s), path).p;
}

static void link_local_addresses_are_refused(void **state)
{
    static const struct {
        const char *text;
        bool allowed;
    } cases[] = {
        { "169.254.169.254", false },
        { "169.254.0.1", false },
        { "169.253.255.255", true },
        { "127.0.0.1", true },
        { "10.0.0.1", true },
        { "fe80::1", false },
        { "febf::1", false },
        { "fec0::1", true },
        { "fd00:ec2::254", false },
        { "fd00:ec2::253", true },
        { "::ffff:169.254.169.254", false },
        { "64:ff9b::169.254.169.254", false },
        { "64:ff9b::1.2.3.4", true },
        { "::1", true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sockaddr_in in = { .sin_family = AF_INET };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
        bool v4 = inet_pton(AF_INET, cases[i].text, &in.sin_addr) == 1;
        const void *address = v4 ? (const void *)&in : &in6;

        assert_true(v4 || inet_pton(AF_INET6, cases[i].text, &in6.sin6_addr) == 1);
        if (outbound_address_allowed(address) != cases[i].allowed)
            fail_msg("%s", cases[i].text);
    }
    assert_false(outbound_address_allowed(&(struct sockaddr){ .sa_family = AF_UNIX }));
}

static void calls_end_in_many_ways(void **state)
{
    struct fixture *f = *state;
    struct outbound_req r;
    const char *gone;

    fixture_start(f);
    r = call(f, url_of(f, "/echo"), WAIT_MS);
    assert_int_equal(r.end, OUTBOUND_REPLY);
    assert_int_equal(r.status, 200);
    assert_str(r.reply, "hello");
    r = call(f, url_of(f, "/none"), WAIT_MS);
    assert_int_equal(r.status, 204);
    assert_int_equal(call(f, url_of(f, "/hold"), 50).end, OUTBOUND_TIMEOUT);
    assert_int_equal(call(f, url_of(f, "/big"), WAIT_MS).end, OUTBOUND_TOO_LARGE);
    r = call(f, "http://169.254.169.254/latest/meta-data", WAIT_MS);
    assert_int_equal(r.end, OUTBOUND_REFUSED);
    assert_true(r.why.n > 0);
    assert_int_equal(call(f, "http://", WAIT_MS).end, OUTBOUND_UNUSABLE);
    gone = url_of(f, "/");
    http_server_stop(f->s);
    f->s = NULL;
    assert_int_equal(call(f, gone, WAIT_MS).end, OUTBOUND_CONNECT);
}

static void free_ends_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    struct caller k;

    fixture_start(f);
    caller_init(f, &k, url_of(f, "/hold"));
    outbound_send(k.o, &k.req);
    for (int i = 0; i < WAIT_MS && fixture_get(f, &f->held_n) == 0; i++) {
        uv_run(loop_uv(k.loop), UV_RUN_NOWAIT);
        pause_ms(1);
    }
    assert_int_equal(fixture_get(f, &f->held_n), 1);
    outbound_free(k.o);
    assert_int_equal(k.req.end, OUTBOUND_STOPPED);
    k.o = NULL; /* done has posted the end of the loop */
    loop_run(k.loop);
    loop_free(k.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(link_local_addresses_are_refused),
        SERVER_TEST(calls_end_in_many_ways),
        SERVER_TEST(free_ends_what_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
