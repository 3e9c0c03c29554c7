/* Streaming requests and replies over both protocols: full duplex, back-pressure either way, ends,
 * aborts, clients that leave. */
#include "http/h2_fixture.h"

/* ---- HTTP/2 ---- */

/* Each message is answered before the next one is sent. */
static void echo_is_full_duplex(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    char text[16];
    size_t n = 0;

    world_open(w, 0, false);
    size_t i = client_ask(c, "POST", "/s/echo", STR_NULL, true, NULL, NULL);
    client_wait_status(c, i); /* the head comes before any of the body */
    assert_int_equal(c->a[i].status, 200);
    for (int k = 0; k < 100; k++) {
        size_t len = (size_t)snprintf(text, sizeof(text), "m%d.", k);

        client_more(c, i, (str_t){ text, len }, true);
        n += len;
        client_wait_body(c, i, n);
        assert_memory_equal(c->a[i].body + n - len, text, len);
    }
    assert_false(c->a[i].closed);
    client_more(c, i, STR_NULL, false);
    client_wait(c, 1);
    assert_int_equal(c->a[i].code, NGHTTP2_NO_ERROR);
    assert_non_null(strstr(c->a[i].head, "x-end: yes\n")); /* a trailer */
    assert_null(strstr(c->a[i].head, "x-evil"));
    assert_null(strstr(c->a[i].head, "content-length"));
    assert_int_equal(fixture_get(&w->f, &w->f.undelivered), 0);
    assert_int_equal(http_server_busy(w->f.s), 0);
}

static void big_echoes_pass_small_windows(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    size_t n = (size_t)2 << 20;
    char *body = mem_alloc(n);

    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 23);
    w->f.opts.limits.window_bytes = 100000;
    w->f.opts.limits.body_bytes_max = 1000; /* is not for streams */
    world_open(w, 700, false);
    for (int i = 0; i < 4; i++)
        client_post(c, "/s/echo", (str_t){ body, n });
    client_wait(c, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(c->a[i].body_n, n);
        assert_memory_equal(c->a[i].body, body, n);
    }
    assert_true(fixture_get(&w->f, &w->stuffed) > 0);
    assert_int_equal(fixture_get(&w->f, &w->got), 4 * n);
    mem_free(body);
}

/* The client may be ahead of its reader by the window, and other streams go on meanwhile, although
 * several such readers have more unread than the connection's window. */
static void window_opens_as_the_body_is_consumed(void **state)
{
    enum { WINDOW = 30000, READERS = 8 };
    static char body[WINDOW * 2];
    struct world *w = *state;
    struct client *c = &w->c;

    memset(body, 'x', sizeof(body));
    w->f.opts.limits.window_bytes = WINDOW;
    world_open(w, 0, false);
    while (c->settings_n < 2) /* its own are acknowledged too: the window counts */
        assert_true(client_turn(c, WAIT_MS));
    for (int i = 0; i < READERS; i++)
        client_ask(c, "POST", "/s/sink", (str_t){ body, sizeof(body) }, true, NULL, NULL);
    client_wait_for(c, &w->f, &w->got, (size_t)READERS * WINDOW);
    assert_false(client_turn(c, 50) && client_turn(c, 50));
    assert_int_equal(fixture_get(&w->f, &w->got), (size_t)READERS * WINDOW);
    size_t i = client_post(c, "/echo", S("through"));
    expect_answer(c, i, 200, "through");
    world_sip(w, WINDOW / 2);
    client_wait_for(c, &w->f, &w->got, (size_t)READERS * WINDOW + WINDOW / 2);
    world_sip(w, WINDOW / 2);
    client_wait_for(c, &w->f, &w->got, (size_t)READERS * WINDOW + WINDOW);
    client_close(c);
    fixture_wait_connections(&w->f, 0);
    fixture_wait(&w->f, &w->ended, READERS);
}

/* Without room in the bound on bodies the connection's window holds what is unread; it comes back
 * when the streams end. */
static void unread_streams_hold_the_connections_window(void **state)
{
    enum { WINDOW = 20000 };
    static char body[WINDOW];
    struct world *w = *state;
    struct client *c = &w->c;

    memset(body, 'x', sizeof(body));
    w->f.opts.limits.window_bytes = WINDOW; /* 80,000 for the connection */
    w->f.opts.limits.bodies_bytes_max = 1000;
    world_open(w, 0, false);
    for (int round = 0; round < 3; round++) {
        size_t first = c->n, got = fixture_get(&w->f, &w->got);

        for (int i = 0; i < 3; i++)
            client_ask(c, "POST", "/s/sink", (str_t){ body, sizeof(body) }, true, NULL, NULL);
        client_wait_for(c, &w->f, &w->got, got + (size_t)3 * WINDOW);
        for (size_t i = first; i < c->n; i++)
            client_reset(c, i, NGHTTP2_CANCEL);
        client_wait_for(c, &w->f, &w->ended, c->n);
    }
    size_t i = client_post(c, "/s/echo", (str_t){ body, sizeof(body) });
    expect_answer(c, i, 200, NULL);
    assert_int_equal(c->a[i].body_n, sizeof(body));
}

/* The bytes came before the reply was begun, and there was no room for them. */
static void late_start_counts_what_came_before(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    size_t held = world_open_full(w);
    size_t i = client_ask(c, "POST", "/s/late", WORLD_BODY, true, NULL, NULL);
    client_wait_body(c, i, WORLD_BODY.n);
    client_more(c, i, S("more"), false);
    expect_answer(c, i, 200, NULL);
    assert_int_equal(c->a[i].body_n, WORLD_BODY.n + 4);
    fixture_release(&w->f);
    expect_answer(c, held, 200, "released");
}

/* The client opens its window by hand: the writer is stopped and told when there is room. */
static void slow_reader_stops_the_writer(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    size_t given = 0;

    world_open(w, 0, true);
    size_t i = client_get(c, "/drip");
    client_wait_body(c, i, 65535);
    assert_false(client_turn(c, 50));
    /* Stopped once before the window was full and once behind it, with one call between. */
    assert_int_equal(fixture_get(&w->f, &w->stuffed), 2);
    assert_int_equal(fixture_get(&w->f, &w->roomed), 2);
    while (c->a[i].body_n < DRIP_BYTES) {
        size_t n = c->a[i].body_n;

        assert_int_equal(nghttp2_session_consume(c->s, client_id(i), n - given), 0);
        given = n;
        assert_true(client_turn(c, WAIT_MS));
    }
    expect_answer(c, i, 200, NULL);
    assert_true(fixture_get(&w->f, &w->roomed) > 20);
}

static void reader_that_stopped_is_reset(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.write_ms = 60;
    world_open(w, 0, true);
    size_t stream = client_get(c, "/drip"), whole = client_get(c, "/big");
    client_wait(c, 2);
    assert_int_equal(c->a[stream].code, NGHTTP2_CANCEL);
    assert_int_equal(c->a[whole].code, NGHTTP2_CANCEL);
    assert_int_equal(fixture_get(&w->f, &w->f.gone), 1);
    assert_int_equal(http_server_busy(w->f.s), 0);
}

static void writer_that_does_not_stop_loses_its_client(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, true);
    size_t i = client_get(c, "/s/hoard");
    client_wait(c, 1);
    assert_int_equal(c->a[i].code, NGHTTP2_INTERNAL_ERROR);
    fixture_wait(&w->f, &w->ended, 1);
    assert_int_equal(fixture_get(&w->f, &w->f.gone), 1);
}

static void abort_and_refusal_are_seen(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t cut = client_get(c, "/s/abort");
    size_t no = client_ask(c, "POST", "/s/no", S("part"), true, NULL, NULL);
    client_wait(c, 2);
    assert_int_equal(c->a[cut].code, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(c->a[no].status, 401);
    assert_string_equal(c->a[no].body, "no");
    assert_int_equal(c->a[no].code, NGHTTP2_NO_ERROR);
    assert_int_equal(http_server_busy(w->f.s), 0);
}

static void head_of_a_stream_has_no_body(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t i = client_ask(c, "HEAD", "/drip", STR_NULL, false, NULL, NULL);
    expect_answer(c, i, 200, "");
    fixture_wait(&w->f, &w->ended, 1);
    assert_int_equal(fixture_get(&w->f, &w->f.gone), 0);
    assert_int_equal(fixture_get(&w->f, &w->f.undelivered), 0);
}

static void cancelled_stream_is_told(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t echo = client_ask(c, "POST", "/s/echo", S("abc"), true, NULL, NULL);
    size_t sink = client_get(c, "/sink");
    client_wait_body(c, echo, 3);
    client_reset(c, echo, NGHTTP2_CANCEL);
    client_wait_for(c, &w->f, &w->f.gone, 1);
    assert_int_equal(fixture_get(&w->f, &w->ended), 1);
    client_reset(c, sink, NGHTTP2_CANCEL);
    client_wait_for(c, &w->f, &w->f.gone, 2);
    assert_int_equal(http_server_busy(w->f.s), 0);
}

/* ---- HTTP/1 ---- */

/* Reads to the end of the connection. */
static size_t take_all(int fd, char *text, size_t cap)
{
    size_t n = 0, got = 1;

    while (got > 0) {
        must(n + 1 < cap);
        got = take(fd, text + n, cap - n - 1);
        n += got;
    }
    text[n] = '\0';
    close(fd);
    return n;
}

static void h1_reply_is_chunked_and_the_connection_lives(void **state)
{
    static const char want[] = "\r\n\r\n3\r\nabc\r\n0\r\nx-end: yes\r\n\r\n";
    struct world *w = *state;
    char text[8192];

    fixture_start(&w->f);
    int fd = dial(&w->f);
    put(fd, S("POST /s/echo" HEAD_A "Content-Length: 3\r\n\r\nabc"));
    put(fd, S("POST /s/echo" HEAD_A
              "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"));
    put(fd, S("GET /echo?x" HEAD_A "Connection: close\r\n\r\n"));
    take_all(fd, text, sizeof(text));
    char *first = strstr(text, want), *second = first != NULL ? strstr(first + 1, want) : NULL;
    assert_non_null(second);
    assert_non_null(strstr(text, "Content-Type: application/connect+proto\r\n"));
    assert_non_null(strstr(text, "Transfer-Encoding: chunked\r\n"));
    assert_null(strstr(text, "x-evil"));
    assert_non_null(strstr(second, "\r\n\r\nx"));
    fixture_wait(&w->f, &w->ended, 2);
}

static void h1_old_client_gets_a_plain_reply(void **state)
{
    struct world *w = *state;
    char text[8192];

    fixture_start(&w->f);
    int fd = dial(&w->f);
    put(fd, S("POST /s/echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"));
    size_t n = take_all(fd, text, sizeof(text));
    assert_null(strstr(text, "chunked"));
    assert_string_equal(text + n - 7, "\r\n\r\nabc");
    fd = dial(&w->f);
    put(fd, S("HEAD /drip" HEAD_A "Connection: close\r\n\r\n"));
    n = take_all(fd, text, sizeof(text));
    assert_string_equal(text + n - 4, "\r\n\r\n");
}

/* Counts the bytes of chunks; the reply ends the connection. */
static size_t take_chunks(int fd, size_t *biggest)
{
    size_t cap = DRIP_BYTES * 2, total = 0;
    char *text = mem_alloc(cap), *at;

    take_all(fd, text, cap);
    at = strstr(text, "\r\n\r\n") + 4;
    for (size_t n = 1; n > 0; total += n) {
        n = (size_t)strtoul(at, &at, 16);
        must(strncmp(at, "\r\n", 2) == 0);
        at += 2 + n;
        must(strncmp(at, "\r\n", 2) == 0);
        at += 2;
        *biggest = n > *biggest ? n : *biggest;
    }
    mem_free(text);
    return total;
}

static void h1_slow_reader_stops_the_writer(void **state)
{
    struct world *w = *state;
    size_t biggest = 0;

    fixture_start(&w->f);
    int fd = dial(&w->f);
    put(fd, S("GET /drip" HEAD_A "Connection: close\r\n\r\n"));
    fixture_wait(&w->f, &w->stuffed, 1);
    assert_int_equal(fixture_get(&w->f, &w->ended), 0);
    assert_int_equal(take_chunks(fd, &biggest), DRIP_BYTES);
    assert_int_equal(biggest, 1000);
    fixture_wait(&w->f, &w->ended, 1);
    assert_true(fixture_get(&w->f, &w->roomed) > 1);
}

static void h1_reader_that_stopped_is_closed(void **state)
{
    struct world *w = *state;

    w->f.opts.limits.write_ms = 60;
    fixture_start(&w->f);
    int drip = dial(&w->f), hog = dial(&w->f);
    put(drip, S("GET /drip" HEAD_A "\r\n"));
    put(hog, S("GET /s/hoard" HEAD_A "\r\n"));
    fixture_wait(&w->f, &w->ended, 2);
    assert_int_equal(fixture_get(&w->f, &w->f.gone), 2);
    fixture_wait_connections(&w->f, 0);
    close(drip);
    close(hog);
}

static void h1_client_that_leaves_is_told(void **state)
{
    struct world *w = *state;
    char text[1024];

    fixture_start(&w->f);
    int fd = dial(&w->f);
    put(fd, S("GET /sink" HEAD_A "\r\n"));
    fixture_wait(&w->f, &w->f.handled, 1);
    slam(fd);
    fixture_wait(&w->f, &w->ended, 1);
    assert_int_equal(fixture_get(&w->f, &w->f.gone), 1);
    fd = dial(&w->f);
    put(fd, S("GET /sink" HEAD_A "\r\n"));
    fixture_wait(&w->f, &w->f.handled, 2);
    shutdown(fd, SHUT_WR); /* may yet read: it gets the end */
    take_all(fd, text, sizeof(text));
    assert_non_null(strstr(text, "\r\n\r\n0\r\n\r\n"));
    fixture_wait(&w->f, &w->f.undelivered, 2);
    assert_int_equal(fixture_get(&w->f, &w->f.half_closed), 1);
    fd = dial(&w->f);
    put(fd, S("GET /s/abort" HEAD_A "\r\n"));
    take_all(fd, text, sizeof(text));
    assert_non_null(strstr(text, "5\r\nbegun\r\n"));
    assert_null(strstr(text, "0\r\n\r\n"));
    fixture_wait_connections(&w->f, 0);
}

static void h1_stop_ends_streams(void **state)
{
    struct world *w = *state;

    fixture_start(&w->f);
    int fd = dial(&w->f), stuck = dial(&w->f);
    put(fd, S("GET /sink" HEAD_A "\r\n"));
    put(stuck, S("GET /drip" HEAD_A "\r\n"));
    fixture_wait(&w->f, &w->f.handled, 2);
    http_server_stop(w->f.s);
    w->f.s = NULL;
    assert_int_equal(w->ended, 2);
    close(fd);
    close(stuck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(echo_is_full_duplex),
        WORLD_TEST(big_echoes_pass_small_windows),
        WORLD_TEST(window_opens_as_the_body_is_consumed),
        WORLD_TEST(unread_streams_hold_the_connections_window),
        WORLD_TEST(late_start_counts_what_came_before),
        WORLD_TEST(slow_reader_stops_the_writer),
        WORLD_TEST(reader_that_stopped_is_reset),
        WORLD_TEST(writer_that_does_not_stop_loses_its_client),
        WORLD_TEST(abort_and_refusal_are_seen),
        WORLD_TEST(head_of_a_stream_has_no_body),
        WORLD_TEST(cancelled_stream_is_told),
        WORLD_TEST(h1_reply_is_chunked_and_the_connection_lives),
        WORLD_TEST(h1_old_client_gets_a_plain_reply),
        WORLD_TEST(h1_slow_reader_stops_the_writer),
        WORLD_TEST(h1_reader_that_stopped_is_closed),
        WORLD_TEST(h1_client_that_leaves_is_told),
        WORLD_TEST(h1_stop_ends_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
