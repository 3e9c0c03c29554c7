/* HTTP/2 over real sockets with clients that are slow, broken or hostile; frames made by hand. */
#include "http/h2_fixture.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define HELLO "\0\0\0\4\0\0\0\0\0" /* SETTINGS */
#define FRAME_HEAD 9

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONT };

/* GET http://a/ */
static const char get_block[] = { '\x82', '\x86', '\x84', '\x41', '\x01', 'a' };
/* POST http://a/ */
static const char post_block[] = { '\x83', '\x86', '\x84', '\x41', '\x01', 'a' };

static size_t frame(char *to, size_t n, int type, int flags, uint32_t id, const char *payload)
{
    char head[FRAME_HEAD] = { (char)(n >> 16),  (char)(n >> 8),  (char)n,
                              (char)type,       (char)flags,     (char)(id >> 24),
                              (char)(id >> 16), (char)(id >> 8), (char)id };

    memcpy(to, head, FRAME_HEAD);
    if (n > 0)
        memcpy(to + FRAME_HEAD, payload, n);
    return FRAME_HEAD + n;
}

/* Sends one; false when the server does not want any more. */
static bool put_frame(int fd, size_t n, int type, int flags, uint32_t id, const char *payload)
{
    char *text = mem_alloc(FRAME_HEAD + n);
    size_t total = frame(text, n, type, flags, id, payload);
    ssize_t sent = send(fd, text, total, MSG_NOSIGNAL);

    mem_free(text);
    return sent == (ssize_t)total;
}

static int dial_h2(const struct fixture *f)
{
    int fd = dial(f);

    put(fd, S(PREFACE));
    assert_true(put_frame(fd, 0, SETTINGS, 0, 0, NULL));
    return fd;
}

static bool take_full(int fd, char *p, size_t n)
{
    size_t got = 1;

    for (size_t at = 0; at < n; at += got) {
        got = take(fd, p + at, n - at);
        if (got == 0)
            return false;
    }
    return true;
}

static uint32_t be32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* The code of the next frame of the type (GOAWAY, RST_STREAM); -1 when the connection ends first.
 */
static int64_t take_code(int fd, int type)
{
    static char payload[1 << 16];
    char head[FRAME_HEAD];

    while (take_full(fd, head, FRAME_HEAD)) {
        size_t n = be32(head) >> 8;

        must(n <= sizeof(payload));
        if (!take_full(fd, payload, n))
            break;
        if (head[3] == type)
            return be32(payload + (type == GOAWAY ? 4 : 0));
    }
    return -1;
}

static void expect_goaway(int fd, uint32_t code)
{
    assert_int_equal(take_code(fd, GOAWAY), code);
    assert_int_equal(take_code(fd, GOAWAY), -1);
    close(fd);
}

/* ---- slow ---- */

static void slow_heads_end_the_connection(void **state)
{
    struct world *w = *state;

    w->f.opts.limits.header_ms = 400;
    fixture_start(&w->f);
    int fd = dial(&w->f); /* no SETTINGS */
    put(fd, S(PREFACE));
    expect_goaway(fd, NGHTTP2_SETTINGS_TIMEOUT);
    fd = dial(&w->f); /* not even the preface */
    put(fd, S("PRI * HTTP/2.0\r\n\r\nSM"));
    expect_goaway(fd, NGHTTP2_SETTINGS_TIMEOUT);
    fd = dial_h2(&w->f); /* a head without its end */
    assert_true(put_frame(fd, sizeof(get_block), HEADERS, 1, 1, get_block));
    expect_goaway(fd, NGHTTP2_ENHANCE_YOUR_CALM);
    fixture_wait_connections(&w->f, 0);
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 0);
}

/* A head that is wrong is over, even though its stream is reset: the others go on. */
static void wrong_head_is_no_slow_head(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.header_ms = 400;
    world_open(w, 0, false);
    size_t held = client_get(c, "/hold");
    size_t early = client_ask(c, "GET", "/", STR_NULL, false, "connection", "close");
    size_t whole = client_get(c, "no-slash");
    client_wait(c, 2);
    assert_int_equal(c->a[early].code, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(c->a[whole].code, NGHTTP2_PROTOCOL_ERROR);
    for (int k = 0; k < 12; k++)
        (void)client_turn(c, 50);
    assert_false(c->goaway);
    fixture_release(&w->f);
    expect_answer(c, held, 200, "released");
}

static void idle_connection_is_told_and_closed(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.idle_ms = 400;
    world_open(w, 0, false);
    size_t i = client_get(c, "/hold"); /* is no idleness */
    client_wait_for(c, &w->f, &w->f.held_n, 1);
    for (int k = 0; k < 12; k++)
        (void)client_turn(c, 50);
    assert_false(c->goaway);
    fixture_release(&w->f);
    expect_answer(c, i, 200, "released");
    client_wait_end(c);
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
    client_close(c);
    fixture_wait_connections(&w->f, 0);
}

static void slow_bodies_get_408(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.body_ms = 60;
    world_open(w, 0, false);
    size_t told = client_ask(c, "POST", "/echo", S("abc"), true, "content-length", "5");
    size_t grows = client_ask(c, "POST", "/echo", STR_NULL, true, NULL, NULL);
    size_t stream = client_ask(c, "POST", "/s/echo", S("abc"), true, NULL, NULL);
    expect_answer(c, told, 408, NULL);
    expect_answer(c, grows, 408, NULL);
    assert_false(c->a[stream].closed); /* may take as long as it likes */
    client_more(c, stream, S("def"), false);
    expect_answer(c, stream, 200, "abcdef");
}

static void socket_that_is_not_read_is_closed(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.write_ms = 60;
    world_open(w, INT32_MAX, false);
    assert_int_equal(nghttp2_session_set_local_window_size(c->s, 0, 0, INT32_MAX), 0);
    client_get(c, "/big");
    client_get(c, "/drip");
    client_flush(c);
    fixture_wait(&w->f, &w->f.handled, 2);
    fixture_wait_connections(&w->f, 0);
    assert_int_equal(fixture_get(&w->f, &w->ended), 1);
}

/* A window that opens by drips is as good as none. */
static void dripping_reader_is_reset(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.write_ms = 600;
    world_open(w, 0, true);
    size_t i = client_get(c, "/big");
    client_wait_body(c, i, 65535);
    while (!c->a[i].closed) {
        assert_true(c->a[i].body_n < 65535 + 2000);
        assert_int_equal(nghttp2_submit_window_update(c->s, 0, 0, 1), 0);
        assert_int_equal(nghttp2_submit_window_update(c->s, 0, client_id(i), 1), 0);
        (void)client_turn(c, 10);
        pause_ms(5);
    }
    assert_int_equal(c->a[i].code, NGHTTP2_CANCEL);
}

static void replies_in_flight_are_bounded(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    struct client other;

    w->f.opts.limits.replies_bytes_max = (size_t)1 << 20;
    world_open(w, 0, true);
    size_t i = client_get(c, "/big");
    client_wait_body(c, i, 65535);
    client_open(&other, &w->f, 0, false);
    size_t k = client_get(&other, "/big");
    expect_answer(&other, k, 503, NULL);
    assert_non_null(strstr(other.a[k].head, "retry-after: 1\n"));
    expect_answer(&other, client_get(&other, "/echo?small"), 200, "small");
    client_reset(c, i, NGHTTP2_CANCEL);
    expect_answer(c, client_get(c, "/none"), 204, ""); /* the reset was seen */
    k = client_get(&other, "/big");
    expect_answer(&other, k, 200, NULL);
    assert_int_equal(other.a[k].body_n, BIG_BYTES);
    client_close(&other);
}

/* ---- broken ---- */

static void wrong_bytes_end_the_connection(void **state)
{
    static const struct {
        str_t bytes;
        int64_t code;
    } cases[] = {
        { { "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24 }, -1 },
        { { PREFACE "\0\0\0\6\0\0\0\0\0", 33 }, NGHTTP2_PROTOCOL_ERROR },        /* no SETTINGS */
        { { PREFACE HELLO "\0\0\1\1\5\0\0\0\0x", 43 }, NGHTTP2_PROTOCOL_ERROR }, /* stream 0 */
        { { PREFACE HELLO "\0\0\2\1\5\0\0\0\1\xff\xff", 44 }, NGHTTP2_COMPRESSION_ERROR },
        { { PREFACE HELLO "\0\0\5\6\0\0\0\0\0abcde", 47 }, NGHTTP2_FRAME_SIZE_ERROR },
    };
    struct world *w = *state;

    fixture_start(&w->f);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int fd = dial(&w->f);

        put(fd, cases[i].bytes);
        assert_int_equal(take_code(fd, GOAWAY), cases[i].code);
        close(fd);
    }
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 0);
    fixture_wait_connections(&w->f, 0);
}

static void too_much_body_for_the_window_ends_the_connection(void **state)
{
    static char body[1 << 14];
    struct world *w = *state;

    w->f.opts.limits.window_bytes = 100;
    fixture_start(&w->f);
    int fd = dial_h2(&w->f);
    assert_true(put_frame(fd, 0, SETTINGS, 1, 0, NULL));
    assert_true(put_frame(fd, sizeof(post_block), HEADERS, 4, 1, post_block));
    for (int i = 0; i < 8; i++) /* in spite of it the default is all there is for the connection */
        (void)put_frame(fd, sizeof(body), DATA, 0, 1, body);
    assert_true(take_code(fd, GOAWAY) == NGHTTP2_FLOW_CONTROL_ERROR ||
                take_code(fd, RST_STREAM) == NGHTTP2_FLOW_CONTROL_ERROR);
    close(fd);
    fixture_wait_connections(&w->f, 0);
}

/* ---- hostile ---- */

/* Many small frames that cost us something: the connection ends, the server goes on. */
static void floods_end_the_connection(void **state)
{
    static const struct {
        size_t n;
        int type;
        uint32_t id;
        bool acked; /* more answers than we keep: ends at once */
    } cases[] = {
        { 8, PING, 0, true },
        { 0, SETTINGS, 0, true },
        { 5, PRIORITY, 3, false },
        { 0, DATA, 1, false },
    };
    static const char payload[8] = { 0, 0, 0, 1 };
    struct world *w = *state;

    fixture_start(&w->f);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int fd = dial_h2(&w->f);
        bool open = true;

        assert_true(put_frame(fd, sizeof(post_block), HEADERS, 4, 1, post_block));
        for (int k = 0; k < 20000 && open; k++)
            open = put_frame(fd, cases[i].n, cases[i].type, 0, cases[i].id, payload);
        int64_t code = take_code(fd, GOAWAY);
        assert_true(code == NGHTTP2_ENHANCE_YOUR_CALM || (code == -1 && cases[i].acked));
        close(fd);
    }
    int fd = dial(&w->f);
    put(fd, S("GET /echo?x HTTP/1.1\r\nHost: a\r\n\r\n"));
    expect_reply(fd, 200, "x");
    close(fd);
    fixture_wait_connections(&w->f, 0);
}

static void endless_head_ends_the_connection(void **state)
{
    static const char field[] = { 0, 1, 'x', 1, 'y' };
    struct world *w = *state;
    bool open = true;

    fixture_start(&w->f);
    int fd = dial_h2(&w->f);
    assert_true(put_frame(fd, sizeof(get_block), HEADERS, 1, 1, get_block));
    for (int k = 0; k < 1000 && open; k++)
        open = put_frame(fd, sizeof(field), CONT, 0, 1, field);
    assert_int_equal(take_code(fd, GOAWAY), -1);
    close(fd);
    fixture_wait_connections(&w->f, 0);
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 0);
}

/* A few bytes of a head that stand for many: each names the same big field. */
static void compressed_head_is_measured_unpacked(void **state)
{
    static char block[16384];
    struct world *w = *state;

    fixture_start(&w->f);
    int fd = dial_h2(&w->f);
    size_t n = sizeof(get_block);
    memcpy(block, get_block, n);
    memcpy(block + n, "\x40\x01x\x7f\xb1\x16", 6); /* a value of 3,000 bytes, indexed */
    n += 6;
    memset(block + n, 'v', 3000);
    n += 3000;
    memset(block + n, 0xbe, sizeof(block) - n);
    assert_true(put_frame(fd, sizeof(block), HEADERS, 5, 1, block));
    assert_int_equal(take_code(fd, HEADERS) >= 0, true); /* the head of a 431 */
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 0);
    close(fd);
    fixture_wait_connections(&w->f, 0);
}

static void abandoned_requests_are_bounded(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    for (size_t i = 0; i < 1000; i++) {
        client_get(c, "/keep");
        client_flush(c);
        client_reset(c, i, NGHTTP2_CANCEL);
    }
    size_t i = client_get(c, "/echo?x");
    while (!c->a[i].closed)
        assert_true(client_turn(c, WAIT_MS));
    assert_int_equal(c->a[i].code, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 512);
    assert_int_equal(http_server_busy(w->f.s), 512);
}

static void rapid_resets_end_the_connection(void **state)
{
    static const char cancel[4] = { 0, 0, 0, NGHTTP2_CANCEL };
    struct world *w = *state;
    bool open = true;

    fixture_start(&w->f);
    int fd = dial_h2(&w->f);
    for (uint32_t id = 1; id < 60000 && open; id += 2)
        open = put_frame(fd, sizeof(get_block), HEADERS, 5, id, get_block) &&
               put_frame(fd, sizeof(cancel), RST_STREAM, 0, id, cancel);
    assert_true(take_code(fd, GOAWAY) >= 0);
    close(fd);
    fixture_wait_connections(&w->f, 0);
    assert_true(fixture_get(&w->f, &w->f.handled) < 30000);
    assert_int_equal(http_server_busy(w->f.s), 0);
}

/* Requests without end from a client that reads nothing: it is not read either, then closed. */
static void greedy_client_that_does_not_read_is_stopped(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.write_ms = 200;
    world_open(w, INT32_MAX, false);
    assert_int_equal(nghttp2_session_set_local_window_size(c->s, 0, 0, INT32_MAX), 0);
    for (int i = 0; i < 20; i++)
        client_get(c, "/big");
    client_flush(c);
    fixture_wait_connections(&w->f, 0);
    assert_true(fixture_get(&w->f, &w->f.handled) <= 4); /* 32 MiB each */
}

static void churn_leaves_a_working_server(void **state)
{
    struct world *w = *state;
    char text[1024];
    size_t n = 0;

    memcpy(text, PREFACE, n = strlen(PREFACE));
    n += frame(text + n, 0, SETTINGS, 0, 0, NULL);
    n += frame(text + n, sizeof(get_block), HEADERS, 5, 1, get_block);
    n += frame(text + n, sizeof(post_block), HEADERS, 4, 3, post_block);
    n += frame(text + n, 5, DATA, 0, 3, "hello");
    n += frame(text + n, 5, DATA, 1, 3, "world");
    n += frame(text + n, 4, RST_STREAM, 0, 3, "\0\0\0\x8");
    n += frame(text + n, 8, GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0");
    w->f.opts.loops = LOOPS_MAX;
    fixture_start(&w->f);
    for (size_t i = 0; i < 2000; i++) {
        int fd = dial(&w->f);

        put(fd, (str_t){ text, i % (n + 1) });
        if (i % 3 == 0)
            slam(fd);
        else
            close(fd);
    }
    fixture_wait_connections(&w->f, 0);
    assert_int_equal(http_server_busy(w->f.s), 0);
    struct client *c = &w->c;
    client_open(c, &w->f, 0, false);
    size_t i = client_post(c, "/echo", S("hello"));
    expect_answer(c, i, 200, "hello");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(slow_heads_end_the_connection),
        WORLD_TEST(wrong_head_is_no_slow_head),
        WORLD_TEST(idle_connection_is_told_and_closed),
        WORLD_TEST(slow_bodies_get_408),
        WORLD_TEST(socket_that_is_not_read_is_closed),
        WORLD_TEST(dripping_reader_is_reset),
        WORLD_TEST(replies_in_flight_are_bounded),
        WORLD_TEST(wrong_bytes_end_the_connection),
        WORLD_TEST(too_much_body_for_the_window_ends_the_connection),
        WORLD_TEST(floods_end_the_connection),
        WORLD_TEST(endless_head_ends_the_connection),
        WORLD_TEST(compressed_head_is_measured_unpacked),
        WORLD_TEST(abandoned_requests_are_bounded),
        WORLD_TEST(rapid_resets_end_the_connection),
        WORLD_TEST(greedy_client_that_does_not_read_is_stopped),
        WORLD_TEST(churn_leaves_a_working_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
