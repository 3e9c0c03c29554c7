/* HTTP/2 with prior knowledge, over real sockets: requests, bodies and their windows, resets, the
 * end of connections; clients that behave. */
#include "http/h2_fixture.h"

static void both_protocols_share_the_port(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    fixture_start(&w->f);
    int fd = dial(&w->f);
    client_open(c, &w->f, 0, false);
    size_t i = client_get(c, "/echo?two");
    expect_answer(c, i, 200, "two");
    put(fd, S("GET /echo?one HTTP/1.1\r\nHost: a\r\n\r\n"));
    expect_reply(fd, 200, "one");
    i = client_post(c, "/echo", S("body"));
    expect_answer(c, i, 200, "body");
    assert_int_equal(http_server_connections(w->f.s), 2);
    client_close(c);
    close(fd);
    fixture_wait_connections(&w->f, 0);
}

static void reply_carries_the_usual_fields(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t i = client_get(c, "/inject?x");
    expect_answer(c, i, 200, "");
    assert_non_null(strstr(c->a[i].head, "content-type: text/plain\n"));
    assert_non_null(strstr(c->a[i].head, "content-length: 0\n"));
    assert_non_null(strstr(c->a[i].head, " GMT\n"));
    assert_non_null(strstr(c->a[i].head, "x-ok: yes\n"));
    assert_null(strstr(c->a[i].head, "x-a"));
    i = client_ask(c, "HEAD", "/echo?12345", STR_NULL, false, NULL, NULL);
    expect_answer(c, i, 200, "");
    assert_non_null(strstr(c->a[i].head, "content-length: 5\n"));
    i = client_get(c, "/none");
    expect_answer(c, i, 204, "");
    assert_null(strstr(c->a[i].head, "content-length"));
}

/* More at once than the client may have open: the others follow as these end. */
static void many_streams_at_once(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    char path[32], want[16];

    world_open(w, 0, false);
    while (c->settings_n == 0)
        assert_true(client_turn(c, WAIT_MS));
    assert_int_equal(
        nghttp2_session_get_remote_settings(c->s, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 256);
    for (size_t i = 0; i < 1000; i++) {
        snprintf(path, sizeof(path), "/echo?n%zu", i);
        client_get(c, path);
    }
    client_wait(c, 1000);
    for (size_t i = 0; i < 1000; i++) {
        snprintf(want, sizeof(want), "n%zu", i);
        expect_answer(c, i, 200, want);
    }
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 1000);
}

static void held_streams_do_not_stop_others(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    for (int i = 0; i < HELD_MAX; i++)
        client_get(c, "/hold");
    client_flush(c);
    client_wait_for(c, &w->f, &w->f.held_n, HELD_MAX);
    size_t i = client_get(c, "/echo?x");
    expect_answer(c, i, 200, "x");
    assert_int_equal(http_server_busy(w->f.s), HELD_MAX);
    while (fixture_get(&w->f, &w->f.held_n) > 0)
        fixture_release(&w->f);
    client_wait(c, HELD_MAX + 1);
    expect_answer(c, 0, 200, "released");
    assert_int_equal(http_server_busy(w->f.s), 0);
    assert_int_equal(fixture_get(&w->f, &w->f.undelivered), 0);
}

/* Both windows of both sides are much smaller than the bodies. */
static void big_bodies_pass_small_windows(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    size_t n = (size_t)3 << 20;
    char *body = mem_alloc(n);

    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 23);
    w->f.opts.limits.window_bytes = 20000;
    world_open(w, 500, false);
    for (int i = 0; i < 4; i++)
        client_post(c, "/echo", (str_t){ body, n });
    client_wait(c, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(c->a[i].status, 200);
        assert_int_equal(c->a[i].body_n, n);
        assert_memory_equal(c->a[i].body, body, n);
    }
    mem_free(body);
}

static void body_limits_are_kept(void **state)
{
    static char body[2000];
    struct world *w = *state;
    struct client *c = &w->c;

    memset(body, 'x', sizeof(body));
    w->f.opts.limits.body_bytes_max = 1000;
    world_open(w, 0, false);
    size_t fits = client_post(c, "/echo", (str_t){ body, 1000 });
    size_t grows = client_post(c, "/echo", (str_t){ body, 1001 });
    size_t told = client_ask(c, "POST", "/echo", STR_NULL, true, "content-length", "1001");
    expect_answer(c, fits, 200, NULL);
    assert_int_equal(c->a[fits].body_n, 1000);
    expect_answer(c, grows, 413, NULL);
    expect_answer(c, told, 413, "{\"code\":413,\"message\":\"the request body is too large\"}");
    assert_int_equal(c->a[told].code, NGHTTP2_NO_ERROR);
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 1);
    size_t after = client_get(c, "/echo?x"); /* the connection lives on */
    expect_answer(c, after, 200, "x");
}

/* What is thrown away must not stay in the connection's window. */
static void refused_bodies_leave_the_window_open(void **state)
{
    static char body[3000];
    struct world *w = *state;
    struct client *c = &w->c;

    memset(body, 'x', sizeof(body));
    w->f.opts.limits.body_bytes_max = 2000;
    w->f.opts.limits.window_bytes = 4000; /* 16,000 for the connection */
    world_open(w, 0, false);
    for (size_t i = 0; i < 200; i++) {
        size_t k = client_post(c, i % 2 > 0 ? "/echo" : "/s/no", (str_t){ body, sizeof(body) });

        expect_answer(c, k, i % 2 > 0 ? 413 : 401, NULL);
    }
    size_t k = client_post(c, "/echo", (str_t){ body, 2000 });
    expect_answer(c, k, 200, NULL);
}

static void bodies_in_flight_are_bounded(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    size_t held = world_open_full(w);
    size_t told = client_ask(c, "POST", "/echo", WORLD_BODY, false, "content-length", "80");
    size_t grows = client_post(c, "/echo", WORLD_BODY);
    size_t small = client_post(c, "/echo", S("abc"));
    expect_answer(c, small, 200, "abc"); /* there is room for this one */
    assert_false(client_turn(c, 50));
    assert_false(c->a[told].closed || c->a[grows].closed);
    fixture_release(&w->f);
    expect_answer(c, held, 200, "released");
    expect_answer(c, told, 200, NULL);
    expect_answer(c, grows, 200, NULL);
    assert_int_equal(c->a[grows].body_n, WORLD_BODY.n);
}

static void full_server_says_so_at_the_deadline(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    w->f.opts.limits.body_ms = 400;
    size_t held = world_open_full(w);
    size_t i = client_post(c, "/echo", WORLD_BODY);
    expect_answer(c, i, 503, NULL);
    fixture_release(&w->f);
    expect_answer(c, held, 200, "released");
}

static void head_limits_are_kept(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    char *big = mem_zero(20000), *path = mem_zero(20000);

    memset(big, 'v', 8000);
    memset(path, 'p', 17000);
    path[0] = '/';
    w->f.opts.limits.header_bytes_max = 24000;
    world_open(w, 0, false);
    size_t fits = client_ask(c, "GET", "/echo?x", STR_NULL, false, "x-big", big);
    size_t large = client_ask(c, "GET", path, STR_NULL, false, "x-big", big);
    size_t url = client_get(c, path);
    expect_answer(c, fits, 200, "x");
    expect_answer(c, large, 414, NULL);
    expect_answer(c, url, 414, NULL);
    memset(big, 'v', 19990);
    size_t two = client_ask(c, "GET", "/echo?0123456789", STR_NULL, false, "x-big", big);
    expect_answer(c, two, 200, NULL);
    path[10000] = '\0';
    size_t sum = client_ask(c, "GET", path, STR_NULL, false, "x-big", big);
    expect_answer(c, sum, 431, NULL);
    mem_free(big);
    mem_free(path);
}

static void odd_heads_are_refused(void **state)
{
    static const struct {
        const char *method, *path, *name, *value;
        int status; /* 0: the stream is reset */
    } cases[] = {
        { "GET", "/echo?ok", "host", "a", 200 },
        { "GET", "/echo?ok", "host", "b", 400 },
        { "GET", "/echo#f", NULL, NULL, 400 },
        { "GET", "/echo", "expect", "magic", 417 },
        { "GET", "/echo", "connection", "close", 0 },
        { "GET", "/echo", "transfer-encoding", "chunked", 0 },
        { "GET", "/echo", "content-length", "5", 0 }, /* and none came */
        { "GET", "echo", NULL, NULL, 0 },
    };
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    for (size_t k = 0; k < COUNT_OF(cases); k++) {
        size_t i = client_ask(c, cases[k].method, cases[k].path, STR_NULL, false, cases[k].name,
                              cases[k].value);
        expect_answer(c, i, cases[k].status, NULL);
    }
    assert_int_equal(fixture_get(&w->f, &w->f.handled), 1);
}

static void continue_is_said_when_there_is_room(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t i = client_ask(c, "POST", "/echo", STR_NULL, true, "expect", "100-continue");
    while (c->informed == 0)
        assert_true(client_turn(c, WAIT_MS));
    client_more(c, i, S("late"), false);
    expect_answer(c, i, 200, "late");
}

static void reset_while_handling_is_told(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t held = client_get(c, "/hold");
    client_wait_for(c, &w->f, &w->f.held_n, 1);
    client_reset(c, held, NGHTTP2_CANCEL);
    client_wait_for(c, &w->f, &w->f.gone, 1);
    assert_int_equal(http_server_busy(w->f.s), 1); /* the reply is still owed */
    size_t i = client_get(c, "/echo?x");
    expect_answer(c, i, 200, "x");
    fixture_release(&w->f);
    fixture_wait(&w->f, &w->f.replied, 1);
    assert_int_equal(fixture_get(&w->f, &w->f.undelivered), 1);
    assert_int_equal(http_server_busy(w->f.s), 0);
}

static void lost_connection_tells_all_its_requests(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    for (int i = 0; i < 5; i++)
        client_get(c, "/hold");
    client_ask(c, "POST", "/echo", S("part"), true, NULL, NULL);
    client_flush(c);
    fixture_wait(&w->f, &w->f.held_n, 5);
    slam(c->fd);
    fixture_wait(&w->f, &w->f.gone, 5);
    fixture_wait_connections(&w->f, 0);
    for (int i = 0; i < 5; i++)
        fixture_release(&w->f);
    fixture_wait(&w->f, &w->f.replied, 5);
    assert_int_equal(fixture_get(&w->f, &w->f.undelivered), 5);
    c->fd = -1;
}

static void half_closed_client_gets_its_replies(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t held = client_get(c, "/hold");
    client_wait_for(c, &w->f, &w->f.held_n, 1);
    shutdown(c->fd, SHUT_WR);
    fixture_wait(&w->f, &w->f.half_closed, 1);
    fixture_release(&w->f);
    expect_answer(c, held, 200, "released");
    client_wait_end(c);
    fixture_wait(&w->f, &w->f.undelivered, 1);
    fixture_wait_connections(&w->f, 0);
}

/* It waited for room for its body when the client shut its side. */
static void half_close_is_told_to_whom_is_handled_later(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    size_t first = world_open_full(w);
    size_t second = client_post(c, "/hold", WORLD_BODY);
    client_flush(c);
    shutdown(c->fd, SHUT_WR);
    fixture_wait(&w->f, &w->f.half_closed, 1);
    fixture_release(&w->f);
    expect_answer(c, first, 200, "released");
    fixture_wait(&w->f, &w->f.half_closed, 2);
    fixture_release(&w->f);
    expect_answer(c, second, 200, "released");
    client_wait_end(c);
    fixture_wait(&w->f, &w->f.undelivered, 2);
}

/* First a notice, under which requests are still served, then the end. */
static void drain_finishes_what_is_open(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;
    struct client idle;

    w->f.opts.limits.idle_ms = 2000; /* a sweep each half second */
    fixture_start(&w->f);
    client_open(&idle, &w->f, 0, false);
    expect_answer(&idle, client_get(&idle, "/echo?i"), 200, "i");
    client_open(c, &w->f, 0, false);
    size_t held = client_get(c, "/hold");
    client_wait_for(c, &w->f, &w->f.held_n, 1);
    http_server_drain(w->f.s);
    client_wait_end(&idle);
    assert_true(idle.goaway);
    assert_int_equal(idle.goaway_code, NGHTTP2_NO_ERROR);
    while (!c->goaway)
        assert_true(client_turn(c, WAIT_MS));
    assert_int_equal(c->goaway_last, INT32_MAX);
    while (c->goaway_last == INT32_MAX)
        assert_true(client_turn(c, WAIT_MS));
    assert_int_equal(c->goaway_last, client_id(held));
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
    fixture_release(&w->f);
    expect_answer(c, held, 200, "released");
    client_wait_end(c);
    client_close(c);
    client_close(&idle);
    fixture_wait_connections(&w->f, 0);
}

static void stop_ends_open_streams(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    client_get(c, "/hold");
    client_ask(c, "POST", "/s/echo", S("abc"), true, NULL, NULL);
    client_wait_for(c, &w->f, &w->f.held_n, 1);
    client_wait_body(c, 1, 3);
    http_server_stop(w->f.s);
    w->f.s = NULL;
    assert_int_equal(w->f.gone, 2);
    client_wait_end(c);
}

static void clients_goaway_ends_the_connection(void **state)
{
    struct world *w = *state;
    struct client *c = &w->c;

    world_open(w, 0, false);
    size_t i = client_get(c, "/hold");
    client_wait_for(c, &w->f, &w->f.held_n, 1);
    assert_int_equal(nghttp2_submit_goaway(c->s, 0, 0, NGHTTP2_NO_ERROR, NULL, 0), 0);
    client_flush(c);
    fixture_release(&w->f);
    expect_answer(c, i, 200, "released");
    client_wait_end(c);
    fixture_wait_connections(&w->f, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(both_protocols_share_the_port),
        WORLD_TEST(reply_carries_the_usual_fields),
        WORLD_TEST(many_streams_at_once),
        WORLD_TEST(held_streams_do_not_stop_others),
        WORLD_TEST(big_bodies_pass_small_windows),
        WORLD_TEST(body_limits_are_kept),
        WORLD_TEST(refused_bodies_leave_the_window_open),
        WORLD_TEST(bodies_in_flight_are_bounded),
        WORLD_TEST(full_server_says_so_at_the_deadline),
        WORLD_TEST(head_limits_are_kept),
        WORLD_TEST(odd_heads_are_refused),
        WORLD_TEST(continue_is_said_when_there_is_room),
        WORLD_TEST(reset_while_handling_is_told),
        WORLD_TEST(lost_connection_tells_all_its_requests),
        WORLD_TEST(half_closed_client_gets_its_replies),
        WORLD_TEST(half_close_is_told_to_whom_is_handled_later),
        WORLD_TEST(drain_finishes_what_is_open),
        WORLD_TEST(stop_ends_open_streams),
        WORLD_TEST(clients_goaway_ends_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
