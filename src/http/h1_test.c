/* The parser as a table: what it makes of good requests, and which status a bad one gets, whole and
 * byte by byte, as both ways must agree. */
#include "http/h1.h"

#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/test.h"

static const struct h1_limits limits = { .header_bytes_max = 2048,
                                         .url_bytes_max = 512,
                                         .body_bytes_max = 1000 };

/* The parser and what it said last. */
struct parse {
    struct arena arena;
    struct h1 *h1;
    enum h1_event event;
    size_t used;
    bool head;
};

static void parse_init(struct parse *t)
{
    *t = (struct parse){ .h1 = h1_new() };
    arena_init(&t->arena);
    h1_start(t->h1, &t->arena, &limits);
}

static void parse_done(struct parse *t)
{
    h1_free(t->h1);
    arena_done(&t->arena);
}

/* Feeds pieces of step bytes until the request ends or the text does. */
static void parse_text(struct parse *t, str_t text, size_t step)
{
    size_t used = 0;

    do {
        size_t end = t->used + step < text.n ? t->used + step : text.n;

        t->event = h1_feed(t->h1, str_slice(text, t->used, end), &used);
        t->used += used;
        t->head |= t->event == H1_HEAD;
    } while (t->event == H1_HEAD || (t->event == H1_MORE && t->used < text.n));
}

struct bad_row {
    const char *name, *text;
    int status;
};

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct bad_row bad_rows[] = {
    { "folded header", GET "X: a\r\n b\r\n\r\n", 400 },
    { "folded with a tab", GET "X: a\r\n\tb\r\n\r\n", 400 },
    { "blank before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
    { "both lengths", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400 },
    { "both lengths turned", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400 },
    { "length and an unknown coding", POST "Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\n",
      400 },
    { "two lengths", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400 },
    { "two equal lengths", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400 },
    { "a list of lengths", POST "Content-Length: 5, 5\r\n\r\nhello", 400 },
    { "negative length", POST "Content-Length: -5\r\n\r\nhello", 400 },
    { "signed length", POST "Content-Length: +5\r\n\r\nhello", 400 },
    { "hexadecimal length", POST "Content-Length: 0x5\r\n\r\nhello", 400 },
    { "length with a blank inside", POST "Content-Length: 1 0\r\n\r\nhellohello", 400 },
    { "empty length", POST "Content-Length: \r\n\r\nhello", 400 },
    { "length above 64 bits", POST "Content-Length: 18446744073709551616\r\n\r\n", 400 },
    { "length of 30 digits", POST "Content-Length: 100000000000000000000000000005\r\n\r\n", 400 },
    { "bare line feed after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400 },
    { "bare line feed after a header", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400 },
    { "bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400 },
    { "carriage return in a value", GET "X: a\rb\r\n\r\n", 400 },
    { "carriage return in front of the end", GET "X: a\r\r\n\r\n", 400 },
    { "carriage return as a line end", GET "X: a\rY: b\r\n\r\n", 400 },
    { "blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
    { "tab before the colon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", 400 },
    { "blank in a name", GET "X Y: a\r\n\r\n", 400 },
    { "header without a colon", GET "nonsense\r\n\r\n", 400 },
    { "empty header name", GET ": a\r\n\r\n", 400 },
    { "bracket in a name", GET "X(: a\r\n\r\n", 400 },
    { "byte above ASCII in a name", GET "X\xc3\xa9: a\r\n\r\n", 400 },
    { "no Host", "GET / HTTP/1.1\r\n\r\n", 400 },
    { "two Hosts", GET "Host: b\r\n\r\n", 400 },
    { "two equal Hosts", GET HOST "\r\n", 400 },
    { "a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400 },
    { "path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
    { "user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
    { "blank in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
    { "control character in a value", GET "X: a\x01\r\n\r\n", 400 },
    { "escape in a value", GET "X: \x1b[0m\r\n\r\n", 400 },
    { "delete in a value", GET "X: a\x7f\r\n\r\n", 400 },
    { "chunk size not a number", CHUNKED "x\r\nhello\r\n0\r\n\r\n", 400 },
    { "chunk size with a prefix", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", 400 },
    { "negative chunk size", CHUNKED "-5\r\nhello\r\n0\r\n\r\n", 400 },
    { "signed chunk size", CHUNKED "+5\r\nhello\r\n0\r\n\r\n", 400 },
    { "blank before a chunk size", CHUNKED " 5\r\nhello\r\n0\r\n\r\n", 400 },
    { "blank after a chunk size", CHUNKED "5 \r\nhello\r\n0\r\n\r\n", 400 },
    { "empty chunk size", CHUNKED "\r\nhello\r\n0\r\n\r\n", 400 },
    { "chunk size above 64 bits", CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", 400 },
    { "chunk ends with a bare line feed", CHUNKED "5\r\nhello\n0\r\n\r\n", 400 },
    { "chunk size ends with a bare line feed", CHUNKED "5\nhello\r\n0\r\n\r\n", 400 },
    { "extension ends with a bare line feed", CHUNKED "5;a=b\nhello\r\n0\r\n\r\n", 400 },
    { "carriage return in an extension", CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n", 400 },
    { "chunk longer than its size", CHUNKED "3\r\nhello\r\n0\r\n\r\n", 400 },
    { "trailer", CHUNKED "5\r\nhello\r\n0\r\nX: y\r\n\r\n", 400 },
    { "last chunk ends with a bare line feed", CHUNKED "0\r\n\n", 400 },
    { "last chunk ends with a carriage return", CHUNKED "0\r\n\rX", 400 },
    { "empty trailer name", CHUNKED "0\r\n: x\r\n\r\n", 400 },
    { "two codings", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501 },
    { "chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400 },
    { "two coding headers",
      POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
    { "identity after chunked",
      POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400 },
    { "coding in quotes", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400 },
    { "coding with a vertical tab", POST "Transfer-Encoding: \x0b chunked\r\n\r\n0\r\n\r\n", 400 },
    { "chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
    { "version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
    { "version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505 },
    { "version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505 },
    { "no version", "GET /\r\nHost: a\r\n\r\n", 505 },
    { "other protocol", "GET / RTSP/1.0\r\nHost: a\r\n\r\n", 505 },
    { "method of another protocol", "PLAY / RTSP/1.0\r\nHost: a\r\n\r\n", 505 },
    { "method of HTTP/2", "PRI * HTTP/1.1\r\nHost: a\r\n\r\n", 505 },
    { "lower-case protocol", "GET / http/1.1\r\nHost: a\r\n\r\n", 400 },
    { "blank after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 505 },
    { "two blanks before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 505 },
    { "unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405 },
    { "control character in the URL", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "byte above ASCII in the URL", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "fragment in the URL", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "URL without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "URL of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "star for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "a TLS hello", "\x16\x03\x01\x02", 400 },
    { "blank lines only", "\r\n\r\n\r\n", 400 },
    { "other expectation", POST "Expect: tea\r\nContent-Length: 1\r\n\r\nx", 417 },
    { "length above the limit", POST "Content-Length: 1001\r\n\r\n", 413 },
    { "chunk above the limit", CHUNKED "3e9\r\n", 413 },
    { "chunk of nearly 64 bits", CHUNKED "ffffffffffffffff\r\n", 413 },
};

/* Says whether the parser refuses the text as it should. */
static bool bad_check(const struct bad_row *row, size_t step)
{
    const char *detail = NULL;
    struct parse t;
    int status;

    parse_init(&t);
    parse_text(&t, str_from(row->text), step);
    status = h1_fault(t.h1, &detail);
    bool ok = t.event == H1_FAIL && status == row->status && detail != NULL;
    if (!ok)
        print_error("%s (step %zu): event %d, status %d, not %d\n", row->name, step, (int)t.event,
                    status, row->status);
    parse_done(&t);
    return ok;
}

static void bad_requests_are_refused(void **state)
{
    static const size_t steps[] = { SIZE_MAX / 2, 1, 3 };
    size_t failed = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_rows); i++)
        for (size_t k = 0; k < COUNT_OF(steps); k++)
            failed += !bad_check(&bad_rows[i], steps[k]);
    assert_int_equal(failed, 0);
}

struct good_row {
    const char *name, *text;
    const char *method, *path, *query, *body;
    bool keep_alive;
    size_t left; /* bytes behind the request */
};

static const struct good_row good_rows[] = {
    { "plain", GET "\r\n", "GET", "/", "", "", true, 0 },
    { "blank line in front", "\r\n" GET "\r\n", "GET", "/", "", "", true, 0 },
    { "query", "GET /a/b?c=d&e HTTP/1.1\r\n" HOST "\r\n", "GET", "/a/b", "c=d&e", "", true, 0 },
    { "empty query", "GET /a? HTTP/1.1\r\n" HOST "\r\n", "GET", "/a", "", "", true, 0 },
    { "absolute form", "GET http://x:1/a?b HTTP/1.1\r\n" HOST "\r\n", "GET", "/a", "b", "", true,
      0 },
    { "absolute, no path", "GET http://x HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "", "", true, 0 },
    { "absolute, only query", "GET http://x?q HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "q", "", true,
      0 },
    { "star", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS", "*", "", "", true, 0 },
    { "empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET", "/", "", "", true, 0 },
    { "address as Host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET", "/", "", "", true, 0 },
    { "body", POST "Content-Length: 5\r\n\r\nhello", "POST", "/", "", "hello", true, 0 },
    { "empty body", POST "Content-Length: 0\r\n\r\n", "POST", "/", "", "", true, 0 },
    { "leading zeros", POST "Content-Length: 005\r\n\r\nhello", "POST", "/", "", "hello", true, 0 },
    { "chunks", CHUNKED "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", "POST", "/", "",
      "hello world", true, 0 },
    { "no chunks", CHUNKED "0\r\n\r\n", "POST", "/", "", "", true, 0 },
    { "coding in capitals", POST "Transfer-Encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "POST",
      "/", "", "hi", true, 0 },
    { "close", GET "Connection: close\r\n\r\n", "GET", "/", "", "", false, 0 },
    { "close in a list", GET "Connection: te, Close\r\n\r\n", "GET", "/", "", "", false, 0 },
    { "old version", "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", "", false, 0 },
    { "old version that stays", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET", "/", "",
      "", true, 0 },
    { "pipelined", GET "\r\n" GET "\r\n", "GET", "/", "", "", true, sizeof(GET "\r\n") - 1 },
    { "pipelined after a body", POST "Content-Length: 2\r\n\r\nhiGET /", "POST", "/", "", "hi",
      true, 5 },
    { "pipelined after chunks", CHUNKED "2\r\nhi\r\n0\r\n\r\nGET /", "POST", "/", "", "hi", true,
      5 },
    { "upgrade", GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nxx", "GET", "/", "", "",
      true, 2 },
    { "upgrade with a body",
      POST "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhiGET /", "POST", "/", "",
      "hi", true, 5 },
    { "text above ASCII in a value", GET "X: caf\xc3\xa9\r\n\r\n", "GET", "/", "", "", true, 0 },
};

static void good_check(const struct good_row *row, const struct parse *t)
{
    const struct h1_head *head = h1_head(t->h1);

    if (t->event != H1_DONE || !t->head)
        fail_msg("%s: event %d", row->name, (int)t->event);
    assert_int_equal(strlen(row->text) - t->used, row->left);
    assert_true(str_eq(head->method, str_from(row->method)));
    assert_true(str_eq(head->path, str_from(row->path)));
    assert_true(str_eq(head->query, str_from(row->query)));
    assert_true(str_eq(h1_body(t->h1), str_from(row->body)));
    assert_int_equal(head->keep_alive, row->keep_alive);
}

static void good_requests_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good_rows); i++) {
        str_t text = str_from(good_rows[i].text);

        for (size_t step = 1; step <= text.n; step++) {
            struct parse t;

            parse_init(&t);
            parse_text(&t, text, step);
            good_check(&good_rows[i], &t);
            parse_done(&t);
        }
    }
}

static void headers_are_lower_case_and_trimmed(void **state)
{
    struct parse t;

    (void)state;
    parse_init(&t);
    parse_text(&t, S(GET "X-One:  A b \t\r\nx-two:\r\nX-THREE:c\r\n\r\n"), 1);
    const struct h1_head *head = h1_head(t.h1);
    const struct http_req req = { .headers = head->headers, .headers_n = head->headers_n };
    assert_int_equal(head->headers_n, 4);
    assert_true(str_eq(http_header(&req, S("x-one")), S("A b")));
    assert_true(str_eq(http_header(&req, S("x-two")), S("")));
    assert_true(str_eq(http_header(&req, S("x-three")), S("c")));
    assert_true(str_eq(http_header(&req, S("host")), S("a")));
    assert_null(http_header(&req, S("x-four")).p);
    parse_done(&t);
}

static void expectation_counts_only_with_a_body(void **state)
{
    static const struct {
        const char *text;
        bool expect;
    } rows[] = {
        { POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", true },
        { POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct parse t;

        parse_init(&t);
        parse_text(&t, str_from(rows[i].text), 7);
        assert_int_equal(h1_head(t.h1)->expect_continue, rows[i].expect);
        parse_done(&t);
    }
}

/* Repeats a pattern n times between a head and a tail and returns the status, 0 when accepted. */
static int status_of(const char *head, const char *pattern, size_t n, const char *tail, size_t step)
{
    struct parse t;
    struct buf b;
    const char *detail = NULL;
    int status;

    buf_init(&b, (size_t)1 << 20);
    buf_append(&b, str_from(head));
    for (size_t i = 0; i < n; i++)
        buf_append(&b, str_from(pattern));
    buf_append(&b, str_from(tail));
    parse_init(&t);
    parse_text(&t, buf_str(&b), step);
    status = t.event == H1_FAIL ? h1_fault(t.h1, &detail) : 0;
    parse_done(&t);
    buf_done(&b);
    return status;
}

static void limits_hold_to_the_byte(void **state)
{
    size_t steps[] = { 1, 13, SIZE_MAX / 2 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        size_t step = steps[i];
        size_t fixed = strlen(GET "X: \r\n\r\n");

        assert_int_equal(status_of("GET /", "a", 511, " HTTP/1.1\r\n" HOST "\r\n", step), 0);
        assert_int_equal(status_of("GET /", "a", 512, " HTTP/1.1\r\n" HOST "\r\n", step), 414);
        assert_int_equal(status_of("GET /", "a", 100000, "", step), 414);
        assert_int_equal(status_of(GET "X: ", "a", 2048 - fixed, "\r\n\r\n", step), 0);
        assert_int_equal(status_of(GET "X: ", "a", 2049 - fixed, "\r\n\r\n", step), 431);
        assert_int_equal(status_of(GET, "A: b\r\n", H1_HEADERS_MAX - 1, "\r\n", step), 0);
        assert_int_equal(status_of(GET, "A: b\r\n", H1_HEADERS_MAX, "\r\n", step), 431);
        assert_int_equal(status_of(CHUNKED, "1\r\nx\r\n", 1000, "0\r\n\r\n", step), 0);
        assert_int_equal(status_of(CHUNKED, "1\r\nx\r\n", 1001, "0\r\n\r\n", step), 413);
        assert_int_equal(status_of(CHUNKED "1;", "a", 70000, "", step), 400);
    }
}

static void parser_is_ready_again_after_start(void **state)
{
    struct parse t;

    (void)state;
    parse_init(&t);
    parse_text(&t, S("GET / HTTP/1.1\r\nBad Header: x\r\n"), SIZE_MAX / 2);
    assert_int_equal(t.event, H1_FAIL);
    for (int i = 0; i < 3; i++) {
        t.used = 0;
        h1_start(t.h1, &t.arena, &limits);
        parse_text(&t, S(CHUNKED "2\r\nhi\r\n0\r\n\r\n"), 5);
        assert_int_equal(t.event, H1_DONE);
        assert_true(str_eq(h1_body(t.h1), S("hi")));
        arena_reset(&t.arena);
    }
    parse_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(good_requests_are_understood),
        cmocka_unit_test(headers_are_lower_case_and_trimmed),
        cmocka_unit_test(expectation_counts_only_with_a_body),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(parser_is_ready_again_after_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
