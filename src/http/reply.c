/* The bytes of a reply: status line, headers, and the body when it is small enough to be copied. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "http/http_priv.h"

/* A larger body goes out from where it is, as a second piece of the same write. */
#define BODY_COPY_MAX ((size_t)16 << 10)

struct reason {
    int status;
    str_t line;
};

#define REASON(status, text)                                                                       \
    {                                                                                              \
        status,                                                                                    \
        {                                                                                          \
            "HTTP/1.1 " text "\r\n", sizeof("HTTP/1.1 " text) + 1                                  \
        }                                                                                          \
    }

static const struct reason reasons[] = {
    REASON(200, "200 OK"),
    REASON(201, "201 Created"),
    REASON(202, "202 Accepted"),
    REASON(204, "204 No Content"),
    REASON(206, "206 Partial Content"),
    REASON(301, "301 Moved Permanently"),
    REASON(302, "302 Found"),
    REASON(303, "303 See Other"),
    REASON(304, "304 Not Modified"),
    REASON(307, "307 Temporary Redirect"),
    REASON(308, "308 Permanent Redirect"),
    REASON(400, "400 Bad Request"),
    REASON(401, "401 Unauthorized"),
    REASON(403, "403 Forbidden"),
    REASON(404, "404 Not Found"),
    REASON(405, "405 Method Not Allowed"),
    REASON(406, "406 Not Acceptable"),
    REASON(408, "408 Request Timeout"),
    REASON(409, "409 Conflict"),
    REASON(410, "410 Gone"),
    REASON(412, "412 Precondition Failed"),
    REASON(413, "413 Content Too Large"),
    REASON(414, "414 URI Too Long"),
    REASON(415, "415 Unsupported Media Type"),
    REASON(417, "417 Expectation Failed"),
    REASON(422, "422 Unprocessable Content"),
    REASON(426, "426 Upgrade Required"),
    REASON(429, "429 Too Many Requests"),
    REASON(431, "431 Request Header Fields Too Large"),
    REASON(499, "499 Client Closed Request"),
    REASON(500, "500 Internal Server Error"),
    REASON(501, "501 Not Implemented"),
    REASON(502, "502 Bad Gateway"),
    REASON(503, "503 Service Unavailable"),
    REASON(504, "504 Gateway Timeout"),
    REASON(505, "505 HTTP Version Not Supported"),
};

static void render_status(struct buf *b, int status)
{
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        if (reasons[i].status == status) {
            buf_append(b, reasons[i].line);
            return;
        }
    }
    buf_printf(b, "HTTP/1.1 %d \r\n", status);
}

str_t reply_date(struct http_loop *hl)
{
    static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    int64_t tick = (int64_t)(uv_now(loop_uv(hl->loop)) / 1000);

    if (tick != hl->date_s || hl->date[0] == '\0') {
        time_t now = (time_t)(clock_wall(clock_system()) / 1000);
        struct tm t;

        gmtime_r(&now, &t);
        snprintf(hl->date, sizeof(hl->date), "%s, %02u %s %04u %02u:%02u:%02u GMT", days[t.tm_wday],
                 (unsigned)t.tm_mday % 100, months[t.tm_mon], (unsigned)(t.tm_year + 1900) % 10000,
                 (unsigned)t.tm_hour % 100, (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
        hl->date_s = tick;
    }
    return str_from(hl->date);
}

static bool line_safe(str_t s)
{
    return memchr(s.p, '\r', s.n) == NULL && memchr(s.p, '\n', s.n) == NULL;
}

bool reply_header_ok(const struct http_header *h)
{
    return h->name.n > 0 && line_safe(h->name) && (h->value.n == 0 || line_safe(h->value));
}

static void render_headers(struct buf *b, const struct http_res *res)
{
    for (size_t i = 0; i < res->headers_n; i++) {
        const struct http_header *h = &res->headers[i];

        if (!reply_header_ok(h))
            continue;
        buf_append(b, h->name);
        buf_append(b, S(": "));
        buf_append(b, h->value);
        buf_append(b, S("\r\n"));
    }
}

/* What every reply has, and the end of the head. */
static void render_rest(struct http_loop *hl, const struct request *r, const struct http_res *res,
                        bool close, struct buf *b)
{
    buf_append(b, S("Date: "));
    buf_append(b, reply_date(hl));
    buf_append(b, S("\r\n"));
    render_headers(b, res);
    if (close)
        buf_append(b, S("Connection: close\r\n\r\n"));
    else if (r->http10)
        buf_append(b, S("Connection: keep-alive\r\n\r\n"));
    else
        buf_append(b, S("\r\n"));
}

str_t reply_render(struct http_loop *hl, const struct request *r, const struct http_res *res,
                   bool close, struct buf *b)
{
    bool bodiless = res->status == 204 || res->status == 304;
    str_t body = bodiless || r->head_only ? STR_NULL : res->body;

    render_status(b, res->status);
    if (res->type.n > 0 && !bodiless) {
        buf_append(b, S("Content-Type: "));
        buf_append(b, res->type);
        buf_append(b, S("\r\n"));
    }
    if (!bodiless) {
        buf_append(b, S("Content-Length: "));
        buf_u64(b, res->body.n);
        buf_append(b, S("\r\n"));
    }
    render_rest(hl, r, res, close, b);
    if (body.n == 0 || body.n > BODY_COPY_MAX)
        return body;
    buf_append(b, body);
    return STR_NULL;
}

void reply_render_stream(struct http_loop *hl, const struct request *r, const struct http_res *res,
                         bool close, struct buf *b)
{
    bool bodiless = res->status == 204 || res->status == 304;

    render_status(b, res->status);
    if (res->type.n > 0 && !bodiless) {
        buf_append(b, S("Content-Type: "));
        buf_append(b, res->type);
        buf_append(b, S("\r\n"));
    }
    if (!bodiless && !r->http10)
        buf_append(b, S("Transfer-Encoding: chunked\r\n"));
    render_rest(hl, r, res, close, b);
}

str_t reply_error_body(const struct http_server *s, struct arena *a, int status, const char *detail)
{
    if (s->o.error_body != NULL)
        return s->o.error_body(a, status, detail);
    return str_printf(a, "{\"error\":\"%s\"}", detail);
}
