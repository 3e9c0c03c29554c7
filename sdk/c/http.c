/* One HTTP/1.1 connection that stays open, over a plain socket: two system calls a request. https
 * goes over libcurl (http_curl.c). */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ironflow_priv.h"

#define RESPONSE_BYTES_MAX ((size_t)256 << 20)
#define DEFAULT_TIMEOUT_MS 30000
#define IDLE_CHECK_MS 200

struct conn {
    const struct server *s;
    struct curl_conn *curl; /* https */
    int fd;                 /* -1: not connected */
    int64_t used_ms;        /* when the last answer came */
    long timeout_ms;        /* set on the socket */
    struct text out, in;
    size_t body_at, body_n; /* in `in` */
    char why[256];
};

/* ---- where and who ---- */

static char *setting(const char *given, const char *env, const char *other_env)
{
    const char *v = given;

    if (v == NULL || *v == '\0')
        v = getenv(env);
    if ((v == NULL || *v == '\0') && other_env != NULL)
        v = getenv(other_env);
    return mem_strdup(v != NULL ? v : "");
}

static bool has_control(const char *z)
{
    for (; *z != '\0'; z++)
        if ((unsigned char)*z < 0x20 || *z == 0x7f)
            return true;
    return false;
}

/* "host", "host:port", "[::1]:port" */
static bool split_authority(struct server *s, const char *p, size_t n)
{
    const char *close = n > 0 && p[0] == '[' ? memchr(p, ']', n) : NULL;
    const char *from = close != NULL ? close : p;
    const char *colon = memchr(from, ':', n - (size_t)(from - p));
    size_t host_n = colon != NULL ? (size_t)(colon - p) : n;

    if (host_n == 0 || memchr(p, '@', n) != NULL)
        return false;
    s->host = close != NULL ? strndup(p + 1, (size_t)(close - p - 1)) : strndup(p, host_n);
    s->port =
        colon != NULL ? strndup(colon + 1, n - host_n - 1) : mem_strdup(s->tls ? "443" : "80");
    return s->host != NULL && s->port != NULL && *s->port != '\0' &&
           strspn(s->port, "0123456789") == strlen(s->port);
}

static void server_headers(struct server *s, const char *authority, size_t n)
{
    struct text t = { 0 };

    text_addz(&t, "Host: ");
    text_add(&t, authority, n);
    text_addz(&t, "\r\nUser-Agent: ironflow-c\r\n");
    if (*s->api_key != '\0') {
        text_addz(&t, "Authorization: Bearer ");
        text_addz(&t, s->api_key);
        text_addz(&t, "\r\n");
    }
    if (*s->environment != '\0') {
        text_addz(&t, "X-Ironflow-Environment: ");
        text_addz(&t, s->environment);
        text_addz(&t, "\r\n");
    }
    s->headers = text_z(&t);
}

bool server_init(struct server *s, const struct ironflow_config *config)
{
    const char *rest;
    size_t n;

    *s = (struct server){ 0 };
    s->url = setting(config->url, "IRONFLOW_URL", "IRONFLOW_SERVER_URL");
    s->api_key = setting(config->api_key, "IRONFLOW_API_KEY", NULL);
    s->environment = setting(config->environment, "IRONFLOW_ENV", NULL);
    s->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : DEFAULT_TIMEOUT_MS;
    if (*s->url == '\0') {
        free(s->url);
        s->url = mem_strdup("http://localhost:9123");
    }
    for (n = strlen(s->url); n > 0 && s->url[n - 1] == '/'; n--)
        s->url[n - 1] = '\0';
    s->tls = strncmp(s->url, "https://", 8) == 0;
    if ((!s->tls && strncmp(s->url, "http://", 7) != 0) || has_control(s->url) ||
        has_control(s->api_key) || has_control(s->environment) || strpbrk(s->url, " ?#") != NULL)
        return false;
    rest = s->url + (s->tls ? 8 : 7);
    n = strcspn(rest, "/");
    s->prefix = mem_strdup(rest + n);
    if (!split_authority(s, rest, n))
        return false;
    server_headers(s, rest, n);
    return true;
}

void server_done(struct server *s)
{
    free(s->url);
    free(s->host);
    free(s->port);
    free(s->prefix);
    free(s->headers);
    free(s->api_key);
    free(s->environment);
    *s = (struct server){ 0 };
}

/* ---- the connection ---- */

struct conn *conn_new(const struct server *s)
{
    struct conn *c = mem_new(sizeof(*c));

    c->s = s;
    c->fd = -1;
    if (s->tls)
        c->curl = curl_conn_new(s);
    return c;
}

static void conn_close(struct conn *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    c->timeout_ms = 0;
}

void conn_free(struct conn *c)
{
    if (c == NULL)
        return;
    conn_close(c);
    curl_conn_free(c->curl);
    text_done(&c->out);
    text_done(&c->in);
    free(c);
}

static bool conn_fail(struct conn *c, const char *what, int error)
{
    (void)snprintf(c->why, sizeof(c->why), "%s: %s%s%s", c->s->url, what, error != 0 ? ": " : "",
                   error != 0 ? strerror(error) : "");
    conn_close(c);
    return false;
}

static void socket_timeout(int fd, long ms)
{
    struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static void set_timeout(struct conn *c, long ms)
{
    if (c->timeout_ms != ms)
        socket_timeout(c->fd, ms);
    c->timeout_ms = ms;
}

int server_connect(const struct server *s, long timeout_ms, char *why, size_t why_size)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int e = getaddrinfo(s->host, s->port, &hints, &list), fd = -1, error = 0, one = 1;

    if (e != 0) {
        (void)snprintf(why, why_size, "%s: %s", s->url, gai_strerror(e));
        return -1;
    }
    for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0) {
            error = errno;
            continue;
        }
        socket_timeout(fd, timeout_ms);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            error = errno;
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        (void)snprintf(why, why_size, "%s: cannot connect: %s", s->url, strerror(error));
    else
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static bool conn_open(struct conn *c, long timeout_ms)
{
    c->fd = server_connect(c->s, timeout_ms, c->why, sizeof(c->why));
    c->timeout_ms = timeout_ms;
    return c->fd >= 0;
}

/* Whether an idle connection was closed by the other side. */
static bool conn_stale(const struct conn *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n >= 0 || errno != EAGAIN;
}

static void put_request(struct conn *c, const struct request *r)
{
    struct text *t = &c->out;

    t->n = 0;
    text_addz(t, r->method);
    text_char(t, ' ');
    text_addz(t, c->s->prefix);
    text_addz(t, r->path);
    text_addz(t, " HTTP/1.1\r\n");
    text_addz(t, c->s->headers);
    if (r->idempotency_key != NULL) {
        text_addz(t, "Idempotency-Key: ");
        text_addz(t, r->idempotency_key);
        text_addz(t, "\r\n");
    }
    if (r->run_id != NULL) {
        text_addz(t, "X-Ironflow-Run-ID: ");
        text_addz(t, r->run_id);
        text_addz(t, "\r\n");
    }
    if (r->body != NULL) {
        text_addz(t, "Content-Type: application/json\r\nContent-Length: ");
        text_i64(t, (int64_t)r->body_n);
        text_addz(t, "\r\n\r\n");
        text_add(t, r->body, r->body_n);
    } else {
        text_addz(t, "\r\n");
    }
}

static bool conn_write(struct conn *c)
{
    size_t at = 0;

    while (at < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + at, c->out.n - at, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return conn_fail(c, "cannot send", errno);
        at += (size_t)n;
    }
    return true;
}

/* More bytes into c->in. */
static bool conn_read(struct conn *c, const struct request *r)
{
    ssize_t n;

    text_reserve(&c->in, 4096);
    if (r->wake_fd > 0) {
        struct pollfd fds[2] = { { .fd = c->fd, .events = POLLIN },
                                 { .fd = r->wake_fd, .events = POLLIN } };
        int ready;

        do
            ready = poll(fds, 2, (int)r->timeout_ms);
        while (ready < 0 && errno == EINTR);
        if (ready <= 0 || fds[0].revents == 0)
            return conn_fail(c, ready == 0 ? "no answer in time" : "interrupted", 0);
    }
    do
        n = recv(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n - 1, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return conn_fail(c, "no answer in time", 0);
    if (n < 0)
        return conn_fail(c, "cannot receive", errno);
    if (n == 0)
        return conn_fail(c, "the server closed the connection", 0);
    c->in.n += (size_t)n;
    if (c->in.n > RESPONSE_BYTES_MAX)
        return conn_fail(c, "the answer is too large", 0);
    return true;
}

struct head {
    int status;
    size_t bytes; /* with the empty line */
    int64_t length;
    bool chunked, close;
};

/* The value of a header line when it has this name ("content-length:"). */
static const char *header_value(const char *line, size_t n, const char *name, size_t *value_n)
{
    size_t len = strlen(name);

    if (n < len || strncasecmp(line, name, len) != 0)
        return NULL;
    for (line += len, n -= len; n > 0 && (*line == ' ' || *line == '\t'); n--)
        line++;
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    *value_n = n;
    return line;
}

static bool head_line(struct head *h, const char *line, size_t n)
{
    size_t len;
    const char *v = header_value(line, n, "content-length:", &len);

    if (v != NULL)
        return json_to_i64((json_t){ v, len }, &h->length) && h->length >= 0;
    v = header_value(line, n, "transfer-encoding:", &len);
    if (v != NULL)
        h->chunked = len == 7 && strncasecmp(v, "chunked", 7) == 0;
    v = header_value(line, n, "connection:", &len);
    if (v != NULL)
        h->close = len == 5 && strncasecmp(v, "close", 5) == 0;
    return true;
}

/* Reads the head of the answer that begins at `at`; false when broken. */
static bool parse_head(struct conn *c, size_t at, struct head *h)
{
    const char *p = c->in.p + at, *end = p + h->bytes - 2;

    if (h->bytes < 16 || memcmp(p, "HTTP/1.", 7) != 0)
        return false;
    for (int i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        h->status = h->status * 10 + (p[i] - '0');
    }
    while (p < end) {
        const char *eol = memchr(p, '\r', (size_t)(end - p));
        size_t n = eol != NULL ? (size_t)(eol - p) : (size_t)(end - p);

        if (!head_line(h, p, n))
            return false;
        p += n + 2;
    }
    return true;
}

/* The head of the final answer, informational ones skipped. */
static bool read_head(struct conn *c, const struct request *r, struct head *h)
{
    size_t at = 0, seen = 0;

    for (;;) {
        char *end =
            c->in.n - at >= 4 ? memmem(c->in.p + seen, c->in.n - seen, "\r\n\r\n", 4) : NULL;

        if (end == NULL) {
            seen = c->in.n > at + 3 ? c->in.n - 3 : at;
            if (!conn_read(c, r))
                return false;
            continue;
        }
        *h = (struct head){ .length = -1, .bytes = (size_t)(end - (c->in.p + at)) + 4 };
        if (!parse_head(c, at, h))
            return conn_fail(c, "the answer is not HTTP", 0);
        at = seen = at + h->bytes;
        c->body_at = at;
        if (h->status >= 200)
            return true;
    }
}

/* Joins the chunks where they lie. */
static bool read_chunks(struct conn *c, const struct request *r)
{
    size_t at = c->body_at, to = at;

    for (;;) {
        char *eol, *end;
        unsigned long long n;

        while ((eol = memmem(c->in.p + at, c->in.n - at, "\r\n", 2)) == NULL)
            if (!conn_read(c, r))
                return false;
        n = strtoull(c->in.p + at, &end, 16);
        if (end == c->in.p + at || n > RESPONSE_BYTES_MAX)
            return conn_fail(c, "a chunk is broken", 0);
        at = (size_t)(eol - c->in.p) + 2;
        while (c->in.n < at + n + 2)
            if (!conn_read(c, r))
                return false;
        if (n == 0) { /* trailers are not sent to us */
            c->body_n = to - c->body_at;
            return true;
        }
        memmove(c->in.p + to, c->in.p + at, (size_t)n);
        to += (size_t)n;
        at += (size_t)n + 2;
    }
}

static bool read_body(struct conn *c, const struct request *r, const struct head *h)
{
    c->body_n = 0;
    if (h->status == 204 || h->status == 304)
        return true;
    if (h->chunked)
        return read_chunks(c, r);
    if (h->length < 0)
        return conn_fail(c, "the answer has no length", 0);
    if ((uint64_t)h->length > RESPONSE_BYTES_MAX)
        return conn_fail(c, "the answer is too large", 0);
    while (c->in.n < c->body_at + (size_t)h->length)
        if (!conn_read(c, r))
            return false;
    c->body_n = (size_t)h->length;
    return true;
}

/* 0 when it failed; *clean tells that no byte of an answer had come. */
static int conn_try(struct conn *c, const struct request *r, bool *clean)
{
    struct head h = { 0 };

    c->in.n = 0;
    *clean = true;
    if (r->wake_fd <= 0) /* else poll waits */
        set_timeout(c, r->timeout_ms > 0 ? r->timeout_ms : c->s->timeout_ms);
    if (!conn_write(c) || !read_head(c, r, &h) || !read_body(c, r, &h)) {
        *clean = c->in.n == 0;
        return 0;
    }
    (void)text_z(&c->in);
    c->in.p[c->body_at + c->body_n] = '\0';
    c->used_ms = now_mono_ms();
    if (h.close)
        conn_close(c);
    return h.status;
}

int conn_send(struct conn *c, const struct request *r)
{
    long timeout_ms = r->timeout_ms > 0 && r->wake_fd <= 0 ? r->timeout_ms : c->s->timeout_ms;
    bool fresh = false, clean;
    int status;

    if (c->curl != NULL) {
        c->in.n = c->body_at = 0;
        status = curl_conn_send(c->curl, r, &c->in, c->why, sizeof(c->why));
        c->body_n = c->in.n;
        (void)text_z(&c->in);
        return status;
    }
    put_request(c, r);
    if (c->fd >= 0 && (!r->repeatable || now_mono_ms() - c->used_ms > IDLE_CHECK_MS) &&
        conn_stale(c))
        conn_close(c);
    if (c->fd < 0) {
        fresh = true;
        if (!conn_open(c, timeout_ms))
            return 0;
    }
    status = conn_try(c, r, &clean);
    if (status != 0 || fresh || !clean || !r->repeatable ||
        (r->wake != NULL && atomic_load(r->wake) != 0))
        return status;
    /* the server had closed the idle connection while we wrote */
    return conn_open(c, timeout_ms) ? conn_try(c, r, &clean) : 0;
}

json_t conn_body(const struct conn *c)
{
    return (json_t){ c->in.p + c->body_at, c->body_n };
}

const char *conn_error(const struct conn *c)
{
    return c->why;
}

void error_text(json_t body, int status, char *out, size_t size)
{
    json_t value = body.n > 0 ? json_value(body.p, body.n) : body;
    json_t message = json_member(value, "message");
    struct pool pool = { 0 };

    if (message.n < 2 || message.p[0] != '"')
        message = json_member(value, "error");
    if (message.n >= 2 && message.p[0] == '"')
        (void)snprintf(out, size, "%s (status %d)", json_pool_string(&pool, message), status);
    else
        (void)snprintf(out, size, "the server answered with status %d", status);
    pool_done(&pool);
}
