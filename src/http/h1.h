/* The HTTP/1 request parser: bytes are pushed in, events come out; no sockets, no clock. The head
 * is kept whole in the arena and headers are views of it; the body is joined there. One parser
 * belongs to one request at a time and is used again after h1_start. Stricter than llhttp, which
 * does the work inside: whatever two parsers could read differently is refused. */
#pragma once

#include "http/req.h"

struct h1;

struct h1_limits {
    size_t header_bytes_max; /* request line and headers: 431 */
    size_t url_bytes_max;    /* 414 */
    size_t body_bytes_max;   /* 413 */
};

#define H1_HEADERS_MAX 100

enum h1_event {
    H1_MORE, /* all bytes were taken */
    H1_HEAD, /* the head is complete: see h1_head; feed on, also with no bytes at all */
    H1_DONE, /* the request is complete; bytes after *used belong to the next one */
    H1_FAIL, /* see h1_fault; nothing more can be read from this connection */
};

struct h1_head {
    str_t method, path, query;
    struct http_header *headers;
    size_t headers_n;
    uint64_t body_bytes; /* declared length; 0 when chunked */
    bool chunked;
    bool http10;
    bool keep_alive;
    bool expect_continue; /* and there is a body to come */
};

struct h1 *h1_new(void);
/* NULL is allowed. */
void h1_free(struct h1 *p);
/* Makes it ready for a new request; its memory comes from the arena. */
void h1_start(struct h1 *p, struct arena *a, const struct h1_limits *limits);
/* Takes a prefix of the bytes, *used of them. After H1_DONE and H1_FAIL only h1_start may follow.
 */
enum h1_event h1_feed(struct h1 *p, str_t bytes, size_t *used);
/* Valid from H1_HEAD on, as long as the arena. */
const struct h1_head *h1_head(const struct h1 *p);
/* What has arrived of the body; whole after H1_DONE. */
str_t h1_body(const struct h1 *p);
/* HTTP status and detail of H1_FAIL; the text is static. */
int h1_fault(const struct h1 *p, const char **detail);
/* False for a Host with characters that no host has. */
bool h1_host_valid(str_t host);
