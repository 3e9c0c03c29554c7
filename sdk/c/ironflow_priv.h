/* Shared inside the library: text buffers, memory of a run, a small JSON reader, HTTP. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ironflow.h"

/* ---- text that grows; out of memory aborts ---- */
struct text {
    char *p;
    size_t n, cap;
};
void text_reserve(struct text *t, size_t more);
void text_add(struct text *t, const char *p, size_t n);
void text_addz(struct text *t, const char *z);
void text_char(struct text *t, char ch);
void text_i64(struct text *t, int64_t v);
/* Quoted and escaped; invalid UTF-8 becomes U+FFFD. */
void text_quote(struct text *t, const char *p, size_t n);
/* NUL after the end, not counted. */
char *text_z(struct text *t);
void text_done(struct text *t);
/* Everything but letters, digits and "-._~" as %XX. */
void text_url(struct text *t, const char *z);
void *mem_new(size_t n); /* zeroed; out of memory aborts */
char *mem_strdup(const char *z);

/* ---- memory that lives as long as one execution ---- */
struct pool_chunk;
struct pool {
    struct pool_chunk *head;
    char *at, *end;
};
void *pool_alloc(struct pool *p, size_t n);
char *pool_dup(struct pool *p, const char *text, size_t n); /* NUL-terminated */
/* Forgets everything, keeps one chunk. */
void pool_reset(struct pool *p);
void pool_done(struct pool *p);
/* Moves what is in `from` to `to`. */
void pool_join(struct pool *to, struct pool *from);

/* ---- JSON: values are views of text that was checked ---- */
typedef struct ironflow_json json_t;
/* The value at the beginning of text, without blanks around; p is NULL when it is broken. */
json_t json_value(const char *p, size_t n);
/* Steps through an object or array: at starts as the container. False at the end. */
struct json_walk {
    const char *p, *end;
    json_t key; /* with quotes; objects only */
    json_t value;
    bool object;
};
struct json_walk json_walk(json_t container);
bool json_step(struct json_walk *w);
/* Member of an object; p is NULL when absent. */
json_t json_member(json_t object, const char *key);
/* Unescapes a string value into out, which has room for value.n bytes; returns the length. */
size_t json_unescape(json_t value, char *out);
/* The string without quotes and escapes in the pool, "" when value is no string. */
char *json_pool_string(struct pool *p, json_t value);
bool json_to_i64(json_t value, int64_t *out);

/* ---- time ---- */
int64_t now_unix_ms(void);
int64_t now_mono_ms(void);
/* "2026-05-02T08:00:00.123Z" */
void text_time(struct text *t, int64_t unix_ms);

/* ---- HTTP ---- */
struct server { /* where and who; shared, constant */
    char *url;  /* without a final slash */
    char *host, *port, *prefix;
    char *headers; /* Host, Authorization, ...: ready to send, CRLF after each */
    char *api_key, *environment;
    bool tls;
    long timeout_ms;
};
/* False when the URL is unusable; server_done is wanted either way. */
bool server_init(struct server *s, const struct ironflow_config *config);
void server_done(struct server *s);
/* A socket that is connected, or -1 and why. */
int server_connect(const struct server *s, long timeout_ms, char *why, size_t why_size);

struct conn; /* one connection that stays open; one thread */
struct conn *conn_new(const struct server *s);
void conn_free(struct conn *c);
struct request {
    const char *method; /* "POST" */
    const char *path;   /* "/api/v1/events" */
    const char *body;   /* or NULL */
    size_t body_n;
    const char *idempotency_key; /* or NULL */
    const char *run_id;          /* the run that asks, or NULL */
    long timeout_ms;
    bool repeatable;        /* sending it twice does no harm */
    int wake_fd;            /* above 0: give up when readable */
    const atomic_int *wake; /* the same for transports that cannot poll; or NULL */
};
/* The status, 0 without an answer (conn_error says why). The body stays in the connection until the
 * next request. */
int conn_send(struct conn *c, const struct request *r);
json_t conn_body(const struct conn *c); /* NUL-terminated */
const char *conn_error(const struct conn *c);
/* The transport for https, over libcurl (http_curl.c). */
struct curl_conn;
struct curl_conn *curl_conn_new(const struct server *s);
void curl_conn_free(struct curl_conn *c);
int curl_conn_send(struct curl_conn *c, const struct request *r, struct text *body, char *why,
                   size_t why_size);
/* Text of an error answer, cut to size. */
void error_text(json_t body, int status, char *out, size_t size);
