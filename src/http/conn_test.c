/* The server over real sockets: clients that are slow, broken, gone or hostile. */
#include "http/http_priv.h"
#include "http/socket_fixture.h"

static void malformed_request_is_answered_and_closed(void **state)
{
    struct fixture *f = *state;
    char text[1024], *body;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET / HTTP/1.1\nHost: a\n\nGET /echo?x" HEAD_A "\r\n"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 400);
    assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    assert_string_equal(body, "{\"code\":400,\"message\":\"malformed request: bare line feed\"}");
    expect_end(fd);
    assert_int_equal(fixture_get(f, &f->handled), 0);
}

/* The client keeps sending after we gave up on it; the answer must reach it all the same. */
static void refusal_survives_unread_bytes(void **state)
{
    struct fixture *f = *state;
    char *junk = mem_zero(1 << 20);

    f->opts.limits.body_bytes_max = 1000;
    fixture_start(f);
    int fd = dial(f);
    put(fd, S("POST /echo" HEAD_A "Content-Length: 1048576\r\n\r\n"));
    put(fd, (str_t){ junk, 1 << 20 });
    expect_reply(fd, 413, NULL);
    expect_end(fd);
    mem_free(junk);
}

static void slow_senders_get_408(void **state)
{
    struct fixture *f = *state;
    char text[1024], *body;

    f->opts.limits.header_ms = 400;
    f->opts.limits.body_ms = 60;
    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /echo HTTP/1.1\r\nHo"));
    expect_reply(fd, 408, NULL);
    expect_end(fd);
    fd = dial(f);
    put(fd, S("P")); /* may yet become the preface of HTTP/2 */
    expect_reply(fd, 408, NULL);
    expect_end(fd);
    fd = dial(f);
    put(fd, S("POST /echo" HEAD_A "Content-Length: 5\r\n\r\nhell"));
    assert_int_equal(take_reply(fd, text, sizeof(text), &body), 408);
    assert_non_null(strstr(body, "the request body did not arrive in time"));
    expect_end(fd);
    fd = dial(f);
    put(fd, S("POST /echo" HEAD_A "Transfer-Encoding: chunked\r\n\r\n5\r\nhe"));
    expect_reply(fd, 408, NULL);
    expect_end(fd);
    fixture_wait_connections(f, 0);
}

/* Every byte comes in time for the last one, but at this pace the body would take an hour. */
static void dripped_body_gets_408(void **state)
{
    struct fixture *f = *state;
    struct pollfd pfd = { .events = POLLIN };
    int drips = 0;

    f->opts.limits.body_ms = 500;
    fixture_start(f);
    int fd = dial(f);
    put(fd, S("POST /echo" HEAD_A "Content-Length: 100000\r\n\r\n"));
    pfd.fd = fd;
    while (poll(&pfd, 1, 20) == 0 && drips++ < 250)
        put(fd, S("x"));
    assert_in_range(drips, 3, 100);
    expect_reply(fd, 408, NULL);
}

/* Every byte comes in time for the last one, but the whole head does not. */
static void header_deadline_is_for_the_whole_head(void **state)
{
    struct fixture *f = *state;
    struct pollfd pfd = { .events = POLLIN };

    f->opts.limits.header_ms = 100;
    fixture_start(f);
    pfd.fd = dial(f);
    put(pfd.fd, S("GET /echo" HEAD_A "X: "));
    for (int i = 0; i < WAIT_MS / 10 && poll(&pfd, 1, 10) == 0; i++)
        put(pfd.fd, S("a"));
    expect_reply(pfd.fd, 408, NULL);
    expect_end(pfd.fd);
}

static void idle_connection_is_closed_quietly(void **state)
{
    struct fixture *f = *state;

    f->opts.limits.idle_ms = 400;
    fixture_start(f);
    int fresh = dial(f), used = dial(f);
    put(used, S("GET /echo?a" HEAD_A "\r\n"));
    expect_reply(used, 200, "a");
    expect_end(used);
    expect_end(fresh);
}

static void half_closed_client_gets_its_reply(void **state)
{
    struct fixture *f = *state;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /echo?a" HEAD_A "\r\nGET /echo?b" HEAD_A "\r\n"));
    shutdown(fd, SHUT_WR);
    expect_reply(fd, 200, "a");
    expect_reply(fd, 200, "b");
    expect_end(fd);
    fd = dial(f);
    put(fd, S("POST /echo" HEAD_A "Content-Length: 5\r\n\r\nhell"));
    shutdown(fd, SHUT_WR);
    expect_reply(fd, 400, NULL);
    expect_end(fd);
    fixture_wait_connections(f, 0);
}

/* A held request is told, may end early, and its reply is sent but does not count as delivered. */
static void half_close_while_handling_is_told(void **state)
{
    struct fixture *f = *state;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /hold" HEAD_A "\r\nGET /echo?b" HEAD_A "\r\n"));
    fixture_wait(f, &f->held_n, 1);
    shutdown(fd, SHUT_WR);
    fixture_wait(f, &f->half_closed, 1);
    assert_int_equal(fixture_get(f, &f->gone), 0);
    fixture_release(f);
    expect_reply(fd, 200, "released");
    expect_reply(fd, 200, "b");
    expect_end(fd);
    fixture_wait(f, &f->undelivered, 1);
}

/* Those behind it begin when it is known already; nobody would tell them later. */
static void half_close_is_told_to_pipelined_requests(void **state)
{
    struct fixture *f = *state;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /hold" HEAD_A "\r\nGET /hold" HEAD_A "\r\n"));
    fixture_wait(f, &f->held_n, 1);
    shutdown(fd, SHUT_WR);
    fixture_wait(f, &f->half_closed, 1);
    fixture_release(f);
    expect_reply(fd, 200, "released");
    fixture_wait(f, &f->half_closed, 2);
    fixture_release(f);
    expect_reply(fd, 200, "released");
    expect_end(fd);
    fixture_wait(f, &f->undelivered, 2);
}

static void abort_while_handling_is_told(void **state)
{
    struct fixture *f = *state;

    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /hold" HEAD_A "\r\n"));
    fixture_wait(f, &f->held_n, 1);
    slam(fd);
    fixture_wait(f, &f->gone, 1);
    fixture_wait_connections(f, 0);
    assert_int_equal(http_server_busy(f->s), 1); /* the reply is still owed */
    fixture_release(f);
    fixture_wait(f, &f->replied, 1);
    assert_int_equal(fixture_get(f, &f->undelivered), 1);
    assert_int_equal(http_server_busy(f->s), 0);
}

static void reply_on_gone(struct http_req *req)
{
    struct fixture *f = req->user;
    struct http_res res = { .status = 200, .body = S("ended early") };
    bool delivered = http_reply(req, &res);

    mutex_lock(&f->lock);
    f->gone++;
    f->undelivered += !delivered;
    mutex_unlock(&f->lock);
}

static void early_handler(struct http_req *req, void *arg)
{
    struct fixture *f = arg;

    req->user = f;
    req->on_gone = reply_on_gone;
    mutex_lock(&f->lock);
    f->handled++;
    mutex_unlock(&f->lock);
}

static void reply_may_come_from_on_gone(void **state)
{
    struct fixture *f = *state;

    f->opts.handler = early_handler;
    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /" HEAD_A "\r\n"));
    fixture_wait(f, &f->handled, 1);
    shutdown(fd, SHUT_WR);
    expect_reply(fd, 200, "ended early");
    expect_end(fd);
    fd = dial(f);
    put(fd, S("GET /" HEAD_A "\r\n"));
    fixture_wait(f, &f->handled, 2);
    slam(fd);
    fixture_wait(f, &f->gone, 2);
    fixture_wait_connections(f, 0);
    assert_int_equal(fixture_get(f, &f->undelivered), 2);
    assert_int_equal(http_server_busy(f->s), 0);
}

static void abort_in_a_body_leaves_nothing(void **state)
{
    struct fixture *f = *state;

    f->opts.limits.bodies_bytes_max = 100;
    fixture_start(f);
    for (int i = 0; i < 20; i++) {
        int fd = dial(f);

        put(fd, S("POST /echo" HEAD_A "Content-Length: 80\r\n\r\nhell"));
        slam(fd);
    }
    fixture_wait_connections(f, 0);
    assert_int_equal(fixture_get(f, &f->handled), 0);
    int fd = dial(f); /* the reserved bytes came back */
    put(fd, S("POST /echo" HEAD_A "Content-Length: 5\r\n\r\nhello"));
    expect_reply(fd, 200, "hello");
    close(fd);
}

static void bodies_in_flight_are_bounded(void **state)
{
    static char body[80];
    struct fixture *f = *state;

    memset(body, 'x', sizeof(body));
    f->opts.limits.bodies_bytes_max = 100;
    f->opts.loops = 2;
    fixture_start(f);
    int first = dial(f), second = dial(f), third = dial(f);
    put(first, S("POST /hold" HEAD_A "Content-Length: 80\r\n\r\n"));
    put(first, (str_t){ body, sizeof(body) });
    fixture_wait(f, &f->held_n, 1);
    put(second, S("POST /echo" HEAD_A "Expect: 100-continue\r\nContent-Length: 80\r\n\r\n"));
    put(third, S("POST /echo" HEAD_A "Content-Length: 3\r\n\r\nabc"));
    expect_reply(third, 200, "abc"); /* there is room for this one */
    struct pollfd pfd = { .fd = second, .events = POLLIN };
    assert_int_equal(poll(&pfd, 1, 50), 0);
    fixture_release(f);
    expect_reply(first, 200, "released");
    expect_reply(second, 100, "");
    put(second, (str_t){ body, sizeof(body) });
    expect_reply(second, 200, NULL);
    close(first);
    close(second);
    close(third);
}

static void full_server_says_so_at_the_deadline(void **state)
{
    static const char *texts[] = {
        "POST /echo" HEAD_A "Content-Length: 80\r\n\r\nabc",
        "POST /echo" HEAD_A
        "Transfer-Encoding: chunked\r\n\r\n1e\r\n123456789012345678901234567890",
    };
    static char body[80];
    struct fixture *f = *state;

    memset(body, 'x', sizeof(body));
    f->opts.limits.bodies_bytes_max = 100;
    f->opts.limits.body_ms = 400;
    fixture_start(f);
    int held = dial(f);
    put(held, S("POST /hold" HEAD_A "Content-Length: 80\r\n\r\n"));
    put(held, (str_t){ body, sizeof(body) });
    fixture_wait(f, &f->held_n, 1);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int fd = dial(f);

        put(fd, str_from(texts[i]));
        expect_reply(fd, 503, NULL);
        close(fd);
    }
    fixture_release(f);
    expect_reply(held, 200, "released");
    close(held);
}

static void slow_reader_is_closed(void **state)
{
    struct fixture *f = *state;

    f->opts.limits.write_ms = 60;
    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /big" HEAD_A "\r\n"));
    fixture_wait(f, &f->handled, 1);
    fixture_wait_connections(f, 0);
    close(fd);
}

/* It needs far longer than write_ms for the whole reply, but never that long for a part of it. */
static void slow_but_steady_reader_is_kept(void **state)
{
    struct fixture *f = *state;
    size_t cap = (size_t)1 << 20, total = 0, n = 1;
    char *piece = mem_alloc(cap);

    f->opts.limits.write_ms = 1500;
    fixture_start(f);
    int fd = dial(f);
    put(fd, S("GET /big" HEAD_A "Connection: close\r\n\r\n"));
    for (size_t due = cap; n > 0; due += cap) {
        while (total < due && n > 0) {
            n = take(fd, piece, cap);
            total += n;
        }
        pause_ms(80);
    }
    assert_true(total > BIG_BYTES);
    close(fd);
    mem_free(piece);
}

static void replies_in_flight_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct pollfd pfd = { .events = POLLIN };
    char text[4096], *body;

    f->opts.limits.replies_bytes_max = 1000;
    fixture_start(f);
    pfd.fd = dial(f);
    put(pfd.fd, S("GET /big" HEAD_A "\r\n"));
    assert_int_equal(poll(&pfd, 1, WAIT_MS),
                     1); /* it has begun, and stops when the kernel is full */
    int other = dial(f);
    put(other, S("GET /big" HEAD_A "\r\n"));
    assert_int_equal(take_reply(other, text, sizeof(text), &body), 503);
    assert_non_null(strstr(text, "\r\nRetry-After: 1\r\n"));
    expect_end(other);
    other = dial(f);
    put(other, S("GET /echo?small" HEAD_A "\r\n"));
    expect_reply(other, 200, "small");
    close(pfd.fd);
    fixture_wait_connections(f, 1);
    put(other, S("GET /big" HEAD_A "\r\n"));
    pfd.fd = other;
    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
    char start[16] = "";
    assert_true(take(other, start, 12) == 12);
    assert_string_equal(start, "HTTP/1.1 200");
    close(other);
}

static void one_connection_too_many_is_refused(void **state)
{
    struct fixture *f = *state;

    f->opts.limits.connections_max = 2;
    fixture_start(f);
    int a = dial(f), b = dial(f), c = dial(f);
    expect_reply(c, 503, "{\"code\":503,\"message\":\"too many connections\"}");
    close(c);
    put(b, S("GET /echo?b" HEAD_A "\r\n"));
    expect_reply(b, 200, "b");
    close(a);
    close(b);
    fixture_wait_connections(f, 0);
    a = dial(f);
    put(a, S("GET /echo?a" HEAD_A "\r\n"));
    expect_reply(a, 200, "a");
    close(a);
}

/* Answered by SETTINGS: three bytes of length, type 4. */
static void preface_of_http2_is_recognized(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct fixture *f = *state;
    char frame[9];

    fixture_start(f);
    for (size_t cut = 0; cut < sizeof(preface) - 1; cut++) {
        int fd = dial(f);

        put(fd, (str_t){ preface, cut });
        put(fd, (str_t){ preface + cut, sizeof(preface) - 1 - cut });
        for (size_t n = 0; n < sizeof(frame);)
            n += take(fd, frame + n, sizeof(frame) - n);
        assert_int_equal(frame[3], 4);
        close(fd);
    }
    for (size_t cut = 1; cut < 4; cut++) { /* begins like it and is not */
        int fd = dial(f);

        put(fd, (str_t){ preface, cut });
        put(fd, S("X / HTTP/1.1\r\n\r\n"));
        expect_reply(fd, 400, NULL);
        expect_end(fd);
    }
    assert_int_equal(fixture_get(f, &f->handled), 0);
    fixture_wait_connections(f, 0);
}

static size_t ahead_most; /* of the connection of `answer_later`; of its loop's thread */

static void answer_later(struct http_req *req, void *arg)
{
    const struct conn *conn = ((struct request *)req)->conn;
    struct release *rel = mem_zero(sizeof(*rel));

    rel->f = arg;
    rel->req = req;
    rel->msg.fn = on_release;
    ahead_most = conn->ahead_cap > ahead_most ? conn->ahead_cap : ahead_most;
    loop_post(req->loop, &rel->msg);
}

/* The client is always ahead of its replies: what is read ahead is never all used. */
static void endless_pipeline_takes_no_more_memory(void **state)
{
    enum { REQUESTS = 8000 };
    static const char head[] = "POST /" HEAD_A "Content-Length: 400\r\n\r\n";
    static char text[sizeof(head) - 1 + 400], in[65536];
    struct fixture *f = *state;
    struct pollfd pfd = { 0 };
    size_t sent = 0;

    memset(text, 'x', sizeof(text));
    memcpy(text, head, sizeof(head) - 1);
    f->opts.handler = answer_later;
    fixture_start(f);
    pfd.fd = dial(f);
    while (fixture_get(f, &f->replied) < REQUESTS) {
        size_t at = sent % sizeof(text);

        pfd.events = sent < REQUESTS * sizeof(text) ? POLLIN | POLLOUT : POLLIN;
        assert_true(poll(&pfd, 1, 10) >= 0);
        if ((pfd.revents & POLLOUT) != 0) {
            ssize_t n = send(pfd.fd, text + at, sizeof(text) - at, MSG_NOSIGNAL | MSG_DONTWAIT);

            sent += n > 0 ? (size_t)n : 0;
        }
        if ((pfd.revents & POLLIN) != 0)
            (void)take(pfd.fd, in, sizeof(in));
    }
    close(pfd.fd);
    http_server_stop(f->s);
    f->s = NULL;
    assert_in_range(ahead_most, 1, 128 << 10);
}

/* Many clients that come and go at odd moments; what is left must be a server that works. */
static void churn_leaves_a_working_server(void **state)
{
    static const char text[] = "POST /echo" HEAD_A "Content-Length: 5\r\n\r\nhello";
    struct fixture *f = *state;

    f->opts.loops = LOOPS_MAX;
    fixture_start(f);
    for (size_t i = 0; i < 2000; i++) {
        int fd = dial(f);

        put(fd, (str_t){ text, i % sizeof(text) });
        if (i % 3 == 0)
            slam(fd);
        else
            close(fd);
    }
    fixture_wait_connections(f, 0);
    assert_int_equal(http_server_busy(f->s), 0);
    int fd = dial(f);
    put(fd, S(text));
    expect_reply(fd, 200, "hello");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(malformed_request_is_answered_and_closed),
        SERVER_TEST(refusal_survives_unread_bytes),
        SERVER_TEST(slow_senders_get_408),
        SERVER_TEST(dripped_body_gets_408),
        SERVER_TEST(header_deadline_is_for_the_whole_head),
        SERVER_TEST(idle_connection_is_closed_quietly),
        SERVER_TEST(half_closed_client_gets_its_reply),
        SERVER_TEST(half_close_while_handling_is_told),
        SERVER_TEST(half_close_is_told_to_pipelined_requests),
        SERVER_TEST(abort_while_handling_is_told),
        SERVER_TEST(reply_may_come_from_on_gone),
        SERVER_TEST(abort_in_a_body_leaves_nothing),
        SERVER_TEST(bodies_in_flight_are_bounded),
        SERVER_TEST(full_server_says_so_at_the_deadline),
        SERVER_TEST(slow_reader_is_closed),
        SERVER_TEST(slow_but_steady_reader_is_kept),
        SERVER_TEST(replies_in_flight_are_bounded),
        SERVER_TEST(one_connection_too_many_is_refused),
        SERVER_TEST(preface_of_http2_is_recognized),
        SERVER_TEST(endless_pipeline_takes_no_more_memory),
        SERVER_TEST(churn_leaves_a_working_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
