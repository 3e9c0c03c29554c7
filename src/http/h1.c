/* The HTTP/1 request parser over llhttp, in strict mode. Two layers read the head: scan() watches
 * the raw lines (bare CR or LF, continuation lines, where the head ends) before llhttp sees them,
 * and check_head() judges the fields afterwards. Bodies go through llhttp alone. */
#include "http/h1.h"

#include <llhttp.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

#define HEAD_BYTES_FIRST 1024
#define CHUNK_BYTES_FIRST 4096
/* A body in chunks of one byte needs six for each; more than this is padding. */
#define CHUNK_OVERHEAD_FACTOR 8
#define CHUNK_OVERHEAD_FREE 65536
#define BLANK_LINES_MAX 2

enum h1_state { ST_HEAD, ST_BODY, ST_END };

/* A part of the head; offsets, because the head moves while it grows. */
struct span {
    uint32_t at, n;
};

struct h1 {
    llhttp_t ll;
    struct arena *arena;
    struct h1_limits limits;
    enum h1_state state;
    struct h1_head head;

    char *buf; /* the head as it came */
    size_t buf_n, buf_cap;
    size_t line_n;   /* bytes of the unfinished line */
    unsigned lines;  /* finished ones, blank ones before the request line not counted */
    unsigned blanks; /* those */
    bool cr;         /* the last byte was a CR */

    struct span url;
    struct span names[H1_HEADERS_MAX], values[H1_HEADERS_MAX];
    size_t headers_n;
    bool in_name; /* the last piece was of a name */
    bool head_done, complete;

    char *body;
    size_t body_n, body_cap;
    uint64_t body_raw; /* bytes taken since the head */
    char last;         /* the last of them */

    int status; /* of the failure; 0: none */
    const char *detail;
};

static int h1_refuse(struct h1 *p, int status, const char *detail)
{
    if (p->status == 0) {
        p->status = status;
        p->detail = detail;
    }
    return HPE_USER;
}

/* ---- callbacks of llhttp ---- */

static void span_add(const struct h1 *p, struct span *s, const char *at, size_t n)
{
    if (s->n == 0)
        s->at = (uint32_t)(at - p->buf);
    s->n += (uint32_t)n;
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
    struct h1 *p = ll->data;

    if (p->url.n + n > p->limits.url_bytes_max)
        return h1_refuse(p, 414, "the request URL is too long");
    span_add(p, &p->url, at, n);
    return 0;
}

static int on_name(llhttp_t *ll, const char *at, size_t n)
{
    struct h1 *p = ll->data;

    if (p->head_done)
        return h1_refuse(p, 400, "trailers are not accepted");
    if (n == 0)
        return 0;
    if (!p->in_name) {
        if (p->headers_n == H1_HEADERS_MAX)
            return h1_refuse(p, 431, "too many header fields");
        p->names[p->headers_n] = p->values[p->headers_n] = (struct span){ 0 };
        p->headers_n++;
        p->in_name = true;
    }
    span_add(p, &p->names[p->headers_n - 1], at, n);
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
    struct h1 *p = ll->data;

    p->in_name = false;
    if (!p->head_done && n > 0 && p->headers_n > 0)
        span_add(p, &p->values[p->headers_n - 1], at, n);
    return 0;
}

static int on_name_end(llhttp_t *ll)
{
    struct h1 *p = ll->data;

    if (!p->in_name) /* llhttp lets a colon begin a line */
        return h1_refuse(p, 400, "malformed request: a header without a name");
    p->in_name = false;
    return 0;
}

static int on_head(llhttp_t *ll)
{
    struct h1 *p = ll->data;

    p->head_done = true;
    if ((ll->flags & F_CHUNKED) == 0 && ll->content_length > p->limits.body_bytes_max)
        return h1_refuse(p, 413, "the request body is too large");
    return 0;
}

static int on_chunk(llhttp_t *ll)
{
    struct h1 *p = ll->data;

    if (ll->content_length > p->limits.body_bytes_max - p->body_n)
        return h1_refuse(p, 413, "the request body is too large");
    return 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    struct h1 *p = ll->data;

    if (n > p->limits.body_bytes_max - p->body_n)
        return h1_refuse(p, 413, "the request body is too large");
    if (n > p->body_cap - p->body_n) {
        size_t cap = p->body_cap > 0 ? p->body_cap : CHUNK_BYTES_FIRST;

        while (cap < p->body_n + n)
            cap *= 2;
        char *grown = arena_alloc(p->arena, cap);
        if (p->body_n > 0)
            memcpy(grown, p->body, p->body_n);
        p->body = grown;
        p->body_cap = cap;
    }
    memcpy(p->body + p->body_n, at, n);
    p->body_n += n;
    return 0;
}

static int on_end(llhttp_t *ll)
{
    struct h1 *p = ll->data;

    p->complete = true;
    return HPE_PAUSED; /* the bytes behind belong to the next request */
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_field_complete = on_name_end,
    .on_headers_complete = on_head,
    .on_chunk_header = on_chunk,
    .on_body = on_body,
    .on_message_complete = on_end,
};

/* What llhttp found wrong, in words for people. */
static int h1_refuse_as(struct h1 *p, llhttp_errno_t e)
{
    switch ((int)e) {
    case HPE_INVALID_METHOD:
        return h1_refuse(p, 400, "malformed request: unknown method");
    case HPE_INVALID_URL:
        return h1_refuse(p, 400, "malformed request: invalid URL");
    case HPE_INVALID_VERSION:
        return h1_refuse(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return h1_refuse(p, 400, "malformed request: invalid or repeated Content-Length");
    case HPE_INVALID_TRANSFER_ENCODING:
        return h1_refuse(p, 400, "malformed request: invalid Transfer-Encoding");
    case HPE_INVALID_CHUNK_SIZE:
        return h1_refuse(p, 400, "malformed request: invalid chunk size");
    case HPE_INVALID_HEADER_TOKEN:
        return h1_refuse(p, 400, "malformed request: invalid character in a header field");
    default:
        return h1_refuse(p, 400, "malformed request");
    }
}

/* ---- the head ---- */

/* A line is complete; its CR is counted in line_n. True when the head is. */
static bool scan_line(struct h1 *p)
{
    bool blank = p->line_n == 1;

    p->line_n = 0;
    p->cr = false;
    if (!blank) {
        p->lines++;
        return false;
    }
    if (p->lines > 0)
        return true;
    if (++p->blanks > BLANK_LINES_MAX)
        h1_refuse(p, 400, "malformed request: no request line");
    return false;
}

/* Reads raw lines up to the end of the head or of the bytes; returns how many bytes belong to it.
 * Sets *end at its end, p->status when a line is not as it must be. */
static size_t scan(struct h1 *p, str_t bytes, bool *end)
{
    size_t i = 0;

    while (i < bytes.n && p->status == 0 && !*end) {
        const char *at = bytes.p + i;
        const char *lf = memchr(at, '\n', bytes.n - i);
        size_t n = lf != NULL ? (size_t)(lf - at) : bytes.n - i;

        if (n > 0) {
            const char *cr = memchr(at, '\r', n);

            if (p->cr || (cr != NULL && cr != at + n - 1))
                h1_refuse(p, 400, "malformed request: carriage return inside a line");
            if (p->line_n == 0 && p->lines > 0 && (*at == ' ' || *at == '\t'))
                h1_refuse(p, 400, "malformed request: a header line starts with a blank");
            p->cr = cr != NULL;
            p->line_n += n;
        }
        i += n;
        if (lf == NULL || p->status != 0)
            break;
        i++;
        if (!p->cr)
            h1_refuse(p, 400, "malformed request: bare line feed");
        else
            *end = scan_line(p);
    }
    return i;
}

static void head_append(struct h1 *p, const char *at, size_t n)
{
    if (n > p->buf_cap - p->buf_n) {
        size_t cap = p->buf_cap > 0 ? p->buf_cap : HEAD_BYTES_FIRST;

        while (cap < p->buf_n + n)
            cap *= 2;
        char *grown = arena_alloc(p->arena, cap);
        if (p->buf_n > 0)
            memcpy(grown, p->buf, p->buf_n);
        p->buf = grown;
        p->buf_cap = cap;
    }
    memcpy(p->buf + p->buf_n, at, n);
    p->buf_n += n;
}

static str_t view(const struct h1 *p, struct span s)
{
    return (str_t){ p->buf + s.at, s.n };
}

/* Splits the target into path and query; takes the absolute form apart. */
static void check_target(struct h1 *p)
{
    str_t url = view(p, p->url);
    ptrdiff_t at;

    if (p->ll.method == HTTP_CONNECT) {
        h1_refuse(p, 405, "CONNECT is not supported");
        return;
    }
    if (url.n > 0 && url.p[0] != '/' && !(str_eq(url, S("*")) && p->ll.method == HTTP_OPTIONS)) {
        if (!str_starts(url, S("http://")) && !str_starts(url, S("https://"))) {
            h1_refuse(p, 400, "malformed request: invalid URL");
            return;
        }
        url = str_slice(url, (size_t)str_find(url, S("//")) + 2, url.n);
        size_t n = 0;
        while (n < url.n && url.p[n] != '/' && url.p[n] != '?')
            n++;
        url = str_slice(url, n, url.n);
    }
    if (str_index(url, '#') >= 0)
        h1_refuse(p, 400, "malformed request: a fragment in the URL");
    at = str_index(url, '?');
    p->head.path = at < 0 ? url : str_slice(url, 0, (size_t)at);
    p->head.query = at < 0 ? (str_t){ url.p + url.n, 0 } : str_slice(url, (size_t)at + 1, url.n);
    if (p->head.path.n == 0)
        p->head.path = S("/");
}

/* The request line must end in a version we speak; llhttp also knows other protocols. */
static void check_version(struct h1 *p)
{
    size_t end = p->url.at + p->url.n;
    str_t rest = str_slice((str_t){ p->buf, p->buf_n }, end, p->buf_n);

    p->head.http10 = str_starts(rest, S(" HTTP/1.0\r\n"));
    if (!p->head.http10 && !str_starts(rest, S(" HTTP/1.1\r\n")))
        h1_refuse(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
}

bool h1_host_valid(str_t host)
{
    for (size_t i = 0; i < host.n; i++) {
        unsigned char ch = (unsigned char)host.p[i];

        if (ch <= ' ' || ch >= 0x7f || strchr("/\\?#@,<>\"{}|^`", ch) != NULL)
            return false;
    }
    return true;
}

struct seen {
    unsigned host, length, coding;
};

static void check_field(struct h1 *p, const struct http_header *h, struct seen *seen)
{
    if (str_eq(h->name, S("host"))) {
        if (seen->host++ > 0 || !h1_host_valid(h->value))
            h1_refuse(p, 400, "malformed request: invalid or repeated Host");
    } else if (str_eq(h->name, S("content-length"))) {
        if (seen->length++ > 0)
            h1_refuse(p, 400, "malformed request: invalid or repeated Content-Length");
    } else if (str_eq(h->name, S("transfer-encoding"))) {
        if (seen->coding++ > 0 || p->head.http10)
            h1_refuse(p, 400, "malformed request: invalid Transfer-Encoding");
        else if (!str_eq_nocase(h->value, S("chunked")))
            h1_refuse(p, 501, "the only transfer coding understood is chunked");
    } else if (str_eq(h->name, S("expect"))) {
        if (!str_eq_nocase(h->value, S("100-continue")))
            h1_refuse(p, 417, "the only expectation understood is 100-continue");
        else
            p->head.expect_continue = !p->head.http10;
    }
}

/* Makes the headers from the spans; names become lower case in place. */
static void make_headers(struct h1 *p)
{
    struct http_header *h = arena_alloc(p->arena, sizeof(*h) * (p->headers_n + 1));

    for (size_t i = 0; i < p->headers_n; i++) {
        char *name = p->buf + p->names[i].at;

        for (size_t k = 0; k < p->names[i].n; k++)
            if (name[k] >= 'A' && name[k] <= 'Z')
                name[k] = (char)(name[k] | 0x20);
        h[i].name = view(p, p->names[i]);
        h[i].value = str_trim(view(p, p->values[i]));
    }
    p->head.headers = h;
    p->head.headers_n = p->headers_n;
}

static void check_head(struct h1 *p)
{
    struct h1_head *head = &p->head;
    struct seen seen = { 0 };

    head->method = str_from(llhttp_method_name((llhttp_method_t)p->ll.method));
    make_headers(p);
    check_version(p);
    check_target(p);
    for (size_t i = 0; i < head->headers_n && p->status == 0; i++)
        check_field(p, &head->headers[i], &seen);
    if (seen.length > 0 && seen.coding > 0)
        h1_refuse(p, 400, "malformed request: both Content-Length and Transfer-Encoding");
    if (seen.host == 0 && !head->http10)
        h1_refuse(p, 400, "malformed request: no Host");
    head->chunked = seen.coding > 0;
    head->body_bytes = head->chunked || seen.length == 0 ? 0 : p->ll.content_length;
    head->keep_alive = llhttp_should_keep_alive(&p->ll) != 0;
    head->expect_continue &= head->chunked || head->body_bytes > 0;
}

static enum h1_event feed_head(struct h1 *p, str_t bytes, size_t *used)
{
    size_t room = p->limits.header_bytes_max - p->buf_n;
    bool end = false;
    size_t n = scan(p, str_slice(bytes, 0, bytes.n < room ? bytes.n : room), &end);
    size_t from = p->buf_n;

    *used = n;
    if (p->status != 0)
        return H1_FAIL;
    head_append(p, bytes.p, n);
    llhttp_errno_t e = llhttp_execute(&p->ll, p->buf + from, n);
    if (e != HPE_OK && !(p->complete && e == HPE_PAUSED))
        h1_refuse_as(p, e);
    else if (end != p->head_done)
        h1_refuse(p, 400, "malformed request");
    else if (!end && n < bytes.n)
        h1_refuse(p, 431, "the request header is too large");
    else if (end)
        check_head(p);
    if (p->status != 0)
        return H1_FAIL;
    if (!end)
        return H1_MORE;
    p->state = p->complete ? ST_END : ST_BODY;
    return H1_HEAD;
}

/* ---- the body ---- */

static enum h1_event feed_body(struct h1 *p, str_t bytes, size_t *used)
{
    if (p->body == NULL && p->head.body_bytes > 0) {
        p->body_cap = (size_t)p->head.body_bytes;
        p->body = arena_alloc(p->arena, p->body_cap);
    }
    if (bytes.n == 0)
        return H1_MORE;
    llhttp_errno_t e = llhttp_execute(&p->ll, bytes.p, bytes.n);
    if (p->complete && (e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE)) {
        *used = (size_t)(llhttp_get_error_pos(&p->ll) - bytes.p);
        if (p->head.chunked && (*used > 1 ? bytes.p[*used - 2] : p->last) != '\r') {
            h1_refuse(p, 400, "malformed request: bare line feed");
            return H1_FAIL;
        }
        p->state = ST_END;
        return H1_DONE;
    }
    if (e != HPE_OK) {
        h1_refuse_as(p, e);
        return H1_FAIL;
    }
    *used = bytes.n;
    p->last = bytes.p[bytes.n - 1];
    p->body_raw += bytes.n;
    if (p->body_raw > CHUNK_OVERHEAD_FREE + (uint64_t)p->body_n * CHUNK_OVERHEAD_FACTOR) {
        h1_refuse(p, 400, "malformed request: more framing than body");
        return H1_FAIL;
    }
    return H1_MORE;
}

/* ---- the interface ---- */

struct h1 *h1_new(void)
{
    return mem_zero(sizeof(struct h1));
}

void h1_free(struct h1 *p)
{
    mem_free(p);
}

void h1_start(struct h1 *p, struct arena *a, const struct h1_limits *limits)
{
    must(limits->header_bytes_max < UINT32_MAX);
    llhttp_init(&p->ll, HTTP_REQUEST, &settings);
    p->ll.data = p;
    p->arena = a;
    p->limits = *limits;
    p->state = ST_HEAD;
    p->head = (struct h1_head){ 0 };
    p->buf = p->body = NULL;
    p->buf_n = p->buf_cap = p->body_n = p->body_cap = 0;
    p->line_n = 0;
    p->lines = p->blanks = 0;
    p->cr = p->in_name = p->head_done = p->complete = false;
    p->url = (struct span){ 0 };
    p->headers_n = 0;
    p->body_raw = 0;
    p->last = '\0';
    p->status = 0;
    p->detail = NULL;
}

enum h1_event h1_feed(struct h1 *p, str_t bytes, size_t *used)
{
    *used = 0;
    if (p->status != 0)
        return H1_FAIL;
    switch (p->state) {
    case ST_HEAD:
        return bytes.n > 0 ? feed_head(p, bytes, used) : H1_MORE;
    case ST_BODY:
        return feed_body(p, bytes, used);
    case ST_END:
        return H1_DONE;
    }
    return H1_FAIL;
}

const struct h1_head *h1_head(const struct h1 *p)
{
    return &p->head;
}

str_t h1_body(const struct h1 *p)
{
    return (str_t){ p->body, p->body_n };
}

int h1_fault(const struct h1 *p, const char **detail)
{
    *detail = p->detail;
    return p->status;
}
