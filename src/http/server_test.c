/* The server over real sockets: what a well-behaved client sees. */
#include "http/socket_fixture.h"

static void keep_alive_serves_many_requests(void **state)
{
    struct fixture *f = *state;
    char text[64], want[16];

    fixture_start(f);
    int fd = dial(f);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "GET /echo?n%d" HEAD_A "\r\n", i);
        snprintf(want, sizeof(want), "n%d", i);
        put(fd, str_from(text));
        expect_reply(fd, 200, want);
    }
    assert_int_equal(http_server_connections(f->s), 1);
    close(fd);
    fixture_wait_connections(f, 0);
}

static void reply_carries_the_usual_headers(void **state)
{
    struct fixture *f = *state;
    char text[1024], *body;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("POST /echo" HEAD_A "Content-Length: 2\r\n\r\nhi"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 200);
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Length: 2\r\n"));
    assert_non_null(strstr(text, "\r\nDate: "));
    assert_non_null(strstr(text, " GMT\r\n"));
    assert_null(strstr(text, "Connection:"));
    put(fd, S("GET /inject" HEAD_A "\r\n"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 200);
    assert_null(strstr(text, "x-a"));
    assert_null(strstr(text, "x-c"));
    assert_non_null(strstr(text, "\r\nx-ok: yes\r\n"));
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    char text[128], want[16];

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /hold" HEAD_A "\r\n"));
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "POST /echo" HEAD_A "Content-Length: 3\r\n\r\n%03d", i);
        put(fd, str_from(text));
    }
    fixture_wait(f, &f->held_n, 1);
    assert_int_equal(fixture_get(f, &f->handled), 1); /* one at a time */
    fixture_release(f);
    expect_reply(fd, 200, "released");
    for (int i = 0; i < 50; i++) {
        snprintf(want, sizeof(want), "%03d", i);
        expect_reply(fd, 200, want);
    }
    close(fd);
}

/* Sends without blocking until nothing has been taken for a while; returns how much was. */
static size_t flood(int fd, str_t piece, size_t max)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };
    size_t sent = 0;

    while (sent < max && poll(&pfd, 1, 300) == 1) {
        size_t at = sent % piece.n;
        ssize_t n = send(fd, piece.p + at, piece.n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

        assert_true(n > 0);
        sent += (size_t)n;
    }
    return sent;
}

static void busy_connection_is_read_ahead_only_so_far(void **state)
{
    struct fixture *f = *state;
    str_t piece = S("GET /echo?x" HEAD_A "\r\n");

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /hold" HEAD_A "\r\n"));
    fixture_wait(f, &f->held_n, 1);
    size_t sent = flood(fd, piece, (size_t)256 << 20);
    assert_true(sent < (size_t)64 << 20); /* what the kernel buffers */
    fixture_release(f);
    expect_reply(fd, 200, "released");
    for (size_t i = 0; i < sent / piece.n && i < 1000; i++)
        expect_reply(fd, 200, "x");
    slam(fd);
    fixture_wait_connections(f, 0);
}

static void request_may_be_split_at_every_byte(void **state)
{
    static const char *texts[] = {
        "POST /echo" HEAD_A "Content-Length: 5\r\n\r\nhello",
        "POST /echo" HEAD_A "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    };
    struct fixture *f = *state;

    fixture_start(f);
    for (size_t k = 0; k < COUNT_OF(texts); k++) {
        str_t text = str_from(texts[k]);
        int fd = dial(f);

        for (size_t i = 1; i < text.n; i++) {
            put(fd, str_slice(text, 0, i));
            put(fd, str_slice(text, i, text.n));
            expect_reply(fd, 200, "hello");
        }
        for (size_t i = 0; i < text.n; i++)
            put(fd, str_slice(text, i, i + 1));
        expect_reply(fd, 200, "hello");
        close(fd);
    }
}

static void head_and_no_content_have_no_body(void **state)
{
    struct fixture *f = *state;
    char text[1024], *body;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("HEAD /echo?abc" HEAD_A "\r\nGET /none" HEAD_A "\r\nGET /echo?d" HEAD_A "\r\n"));
    assert_int_equal(take_reply_as(fd, text, sizeof(text), &body, true), 200);
    assert_non_null(strstr(text, "Content-Length: 3\r\n"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 204);
    assert_null(strstr(text, "Content-Length"));
    assert_null(strstr(text, "Content-Type"));
    expect_reply(fd, 200, "d");
    close(fd);
}

static void old_version_closes_unless_asked(void **state)
{
    struct fixture *f = *state;
    char text[1024], *body;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /echo?a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 200);
    assert_non_null(strstr(text, "Connection: keep-alive\r\n"));
    put(fd, S("GET /echo?a HTTP/1.0\r\n\r\n"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 200);
    assert_non_null(strstr(text, "Connection: close\r\n"));
    expect_end(fd);
    fd = dial(f);
    put(fd, S("GET /echo?a" HEAD_A "Connection: close\r\n\r\nGET /echo?b" HEAD_A "\r\n"));
    expect_reply(fd, 200, "a");
    expect_end(fd);
    assert_int_equal(fixture_get(f, &f->handled), 3); /* what follows a close is not read */
}

static void client_that_waits_is_told_to_continue(void **state)
{
    struct fixture *f = *state;
    char text[256], *body;

    f->opts.limits.body_bytes_max = 100;
    fixture_start(f);
    int fd = dial(f);
    put(fd, S("POST /echo" HEAD_A "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 100);
    put(fd, S("hi"));
    expect_reply(fd, 200, "hi");
    put(fd, S("POST /echo" HEAD_A "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"));
    expect_reply(fd, 200, "hi"); /* it did not wait */
    put(fd, S("POST /echo" HEAD_A "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n"));
    expect_reply(fd, 413, NULL);
    expect_end(fd);
}

static void large_reply_arrives_whole(void **state)
{
    struct fixture *f = *state;
    size_t cap = BIG_BYTES + 1024;
    char *text = mem_alloc(cap), *body;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /big" HEAD_A "\r\nGET /echo?next" HEAD_A "\r\n"));
    assert_int_equal(take_reply(fd, text, cap, &body), 200);
    assert_int_equal(strspn(body, "b"), BIG_BYTES);
    expect_reply(fd, 200, "next");
    close(fd);
    mem_free(text);
}

static void connections_spread_evenly(void **state)
{
    enum { CONNS = 1000 };
    struct fixture *f = *state;
    int *fds = mem_zero(sizeof(*fds) * CONNS);

    f->opts.loops = LOOPS_MAX;
    fixture_start(f);
    for (int i = 0; i < CONNS; i++)
        fds[i] = dial(f);
    fixture_wait_connections(f, CONNS);
    for (int i = 0; i < CONNS; i++)
        put(fds[i], S("GET /echo?yes" HEAD_A "\r\n"));
    for (int i = 0; i < CONNS; i++)
        expect_reply(fds[i], 200, "yes");
    for (int i = 0; i < LOOPS_MAX; i++)
        assert_int_equal(fixture_get(f, &f->seen[i]), CONNS / LOOPS_MAX);
    for (int i = 0; i < CONNS; i++)
        close(fds[i]);
    fixture_wait_connections(f, 0);
    mem_free(fds);
}

static void drain_finishes_what_runs(void **state)
{
    struct fixture *f = *state;
    char text[1024], *body;

    f->opts.loops = 2;
    fixture_start(f);
    int idle = dial(f), busy = dial(f);
    put(idle, S("GET /echo?a" HEAD_A "\r\n"));
    expect_reply(idle, 200, "a");
    put(busy, S("GET /hold" HEAD_A "\r\n"));
    fixture_wait(f, &f->held_n, 1);
    assert_int_equal(http_server_busy(f->s), 1);
    http_server_drain(f->s);
    expect_end(idle);
    fixture_wait_connections(f, 1);
    fixture_release(f);
    assert_int_equal(take_reply(busy, text, sizeof(text), &body), 200);
    assert_string_equal(body, "released");
    assert_non_null(strstr(text, "Connection: close\r\n"));
    expect_end(busy);
    assert_int_equal(http_server_busy(f->s), 0);
    fixture_wait_connections(f, 0);
    assert_int_equal(try_dial(f), -1);
}

static void stop_frees_what_is_held(void **state)
{
    struct fixture *f = *state;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /hold" HEAD_A "\r\n"));
    fixture_wait(f, &f->held_n, 1);
    http_server_stop(f->s);
    f->s = NULL;
    expect_end(fd);
}

static void port_in_use_is_said(void **state)
{
    struct fixture f, g;
    char want[64];

    (void)state;
    fixture_init(&f);
    fixture_start(&f);
    fixture_init(&g);
    g.opts.port = http_server_port(f.s);
    assert_int_equal(http_server_start(&g.c, &g.opts, &g.s), ERR_UNAVAILABLE);
    snprintf(want, sizeof(want), "port %d is already in use", g.opts.port);
    assert_string_equal(g.c.err.text, want);
    g.opts.host = "nowhere.invalid";
    assert_int_equal(http_server_start(&g.c, &g.opts, &g.s), ERR_UNAVAILABLE);
    fixture_done(&g);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(keep_alive_serves_many_requests),
        SERVER_TEST(reply_carries_the_usual_headers),
        SERVER_TEST(pipelined_requests_are_answered_in_order),
        SERVER_TEST(busy_connection_is_read_ahead_only_so_far),
        SERVER_TEST(request_may_be_split_at_every_byte),
        SERVER_TEST(head_and_no_content_have_no_body),
        SERVER_TEST(old_version_closes_unless_asked),
        SERVER_TEST(client_that_waits_is_told_to_continue),
        SERVER_TEST(large_reply_arrives_whole),
        SERVER_TEST(connections_spread_evenly),
        SERVER_TEST(drain_finishes_what_runs),
        SERVER_TEST(stop_frees_what_is_held),
        cmocka_unit_test(port_in_use_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
