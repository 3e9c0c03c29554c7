/* The fields of an HTTP/2 request become the head that handlers see: as in HTTP/1, with a Host.
 * What nghttp2 has judged already (pseudo fields, their order, characters, fields of a connection)
 * is not judged again. */
#include <string.h>

#include "http/h2.h"

/* What a field costs beyond its bytes, by the definition of SETTINGS_MAX_HEADER_LIST_SIZE. */
#define FIELD_BYTES 32
#define HEADERS_FIRST 16

void h2_head_fault(struct h2_stream *s, int status, const char *detail)
{
    if (s->fault == 0) {
        s->fault = status;
        s->detail = detail;
    }
}

static struct http_header *head_add(struct h2_stream *s, str_t name, str_t value)
{
    struct arena *a = &s->r->req.arena;

    if (s->headers_n == s->headers_cap) {
        size_t cap = s->headers_cap > 0 ? s->headers_cap * 2 : HEADERS_FIRST;
        struct http_header *grown = arena_alloc(a, sizeof(*grown) * cap);

        if (s->headers_n > 0)
            memcpy(grown, s->headers, sizeof(*grown) * s->headers_n);
        s->headers = grown;
        s->headers_cap = cap;
    }
    s->headers[s->headers_n] = (struct http_header){ str_dup(a, name), str_dup(a, value) };
    return &s->headers[s->headers_n++];
}

static void head_path(struct h2_stream *s, str_t value)
{
    struct http_req *req = &s->r->req;
    ptrdiff_t at = str_index(value, '?');

    if (value.n > s->r->hl->server->h1.url_bytes_max) {
        h2_head_fault(s, 414, "the request URL is too long");
        return;
    }
    if (str_index(value, '#') >= 0)
        h2_head_fault(s, 400, "malformed request: a fragment in the URL");
    value = str_dup(&req->arena, value);
    req->path = at < 0 ? value : str_slice(value, 0, (size_t)at);
    req->query =
        at < 0 ? (str_t){ value.p + value.n, 0 } : str_slice(value, (size_t)at + 1, value.n);
}

static void head_pseudo(struct h2_stream *s, str_t name, str_t value)
{
    struct arena *a = &s->r->req.arena;

    if (str_eq(name, S(":method")))
        s->r->req.method = str_dup(a, value);
    else if (str_eq(name, S(":path")))
        head_path(s, value);
    else if (str_eq(name, S(":authority")))
        s->authority = str_dup(a, value);
}

static void head_regular(struct h2_stream *s, str_t name, str_t value)
{
    if (s->headers_n == H1_HEADERS_MAX) {
        h2_head_fault(s, 431, "too many header fields");
        return;
    }
    if (str_eq(name, S("expect"))) {
        if (str_eq_nocase(value, S("100-continue")))
            s->expects = true;
        else
            h2_head_fault(s, 417, "the only expectation understood is 100-continue");
    } else if (str_eq(name, S("content-length")) && !str_to_u64(value, &s->length)) {
        h2_head_fault(s, 400, "malformed request: invalid or repeated Content-Length");
    }
    head_add(s, name, value);
}

void h2_head_field(struct h2_stream *s, str_t name, str_t value)
{
    s->head_bytes += name.n + value.n + FIELD_BYTES;
    if (s->head_bytes > s->r->hl->server->o.limits.header_bytes_max)
        h2_head_fault(s, 431, "the request header is too large");
    if (s->fault != 0)
        return;
    if (name.n > 0 && name.p[0] == ':')
        head_pseudo(s, name, value);
    else
        head_regular(s, name, value);
}

/* Exactly one Host, which says the same as :authority. */
static void head_host(struct h2_stream *s)
{
    const struct http_header *host = NULL;

    for (size_t i = 0; i < s->headers_n; i++)
        if (str_eq(s->headers[i].name, S("host"))) {
            if (host != NULL ||
                (s->authority.n > 0 && !str_eq_nocase(s->headers[i].value, s->authority)))
                h2_head_fault(s, 400, "malformed request: invalid or repeated Host");
            host = &s->headers[i];
        }
    if (host == NULL)
        host = head_add(s, S("host"), s->authority);
    if (!h1_host_valid(host->value))
        h2_head_fault(s, 400, "malformed request: invalid or repeated Host");
}

/* Clients may cut a cookie into several fields; they become the first one. */
static void head_cookies(struct h2_stream *s)
{
    struct http_header *first = NULL;
    struct buf b;
    size_t n = 0;

    for (size_t i = 0; i < s->headers_n; i++) {
        struct http_header *h = &s->headers[i];

        if (!str_eq(h->name, S("cookie"))) {
            s->headers[n++] = *h;
        } else if (first == NULL) {
            first = &s->headers[n++];
            *first = *h;
            buf_init_arena(&b, &s->r->req.arena, s->head_bytes);
            buf_append(&b, h->value);
        } else {
            buf_append(&b, S("; "));
            buf_append(&b, h->value);
        }
    }
    if (n < s->headers_n)
        first->value = buf_str(&b);
    s->headers_n = n;
}

void h2_head_end(struct h2_stream *s)
{
    struct request *r = s->r;
    struct http_req *req = &r->req;

    if (s->fault == 0 && str_eq(req->method, S("CONNECT")))
        h2_head_fault(s, 405, "CONNECT is not supported");
    if (s->fault == 0)
        head_host(s);
    head_cookies(s);
    req->headers = s->headers;
    req->headers_n = s->headers_n;
    req->remote = str_dup(&req->arena, str_from(r->conn->remote));
    r->head_only = str_eq(req->method, S("HEAD"));
}
