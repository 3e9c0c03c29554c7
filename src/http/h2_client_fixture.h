/* For the tests of HTTP/2: a client over nghttp2's client session on a plain socket, which may be
 * as slow and as greedy as a test likes. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "http/socket_fixture.h"

#define ANSWERS_MAX 1100

struct answer {
    int status;
    char *body; /* the first bytes of it, NUL-terminated */
    size_t body_n, body_cap;
    char head[2048]; /* "name: value\n", trailers included */
    size_t head_n;
    bool closed;
    uint32_t code; /* of the end of the stream */
    /* What is still to be sent. */
    str_t out;
    bool more; /* and what comes after out */
    bool waits;
};

struct client {
    int fd;
    nghttp2_session *s;
    struct answer *a;
    size_t n, closed_n;
    bool ended; /* the server has closed the connection */
    bool goaway;
    uint32_t goaway_code;
    int32_t goaway_last;
    size_t settings_n, informed;
};

static inline int c_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                           size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                           void *arg)
{
    struct answer *a = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);
    struct client *c = arg;

    (void)flags;
    if (a == NULL)
        return 0;
    if (name_n == 7 && memcmp(name, ":status", 7) == 0) {
        int status = (int)strtol((const char *)value, NULL, 10);

        if (status < 200)
            c->informed++;
        else
            a->status = status;
    }
    a->head_n +=
        (size_t)snprintf(a->head + a->head_n, sizeof(a->head) - a->head_n, "%.*s: %.*s\n",
                         (int)name_n, (const char *)name, (int)value_n, (const char *)value);
    must(a->head_n < sizeof(a->head));
    return 0;
}

static inline int c_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                         void *arg)
{
    struct answer *a = nghttp2_session_get_stream_user_data(s, id);

    (void)flags;
    (void)arg;
    if (a == NULL)
        return 0;
    if (a->body_n + n + 1 > a->body_cap) {
        a->body_cap = (a->body_n + n + 1) * 2;
        a->body = mem_resize(a->body, a->body_cap);
    }
    memcpy(a->body + a->body_n, p, n);
    a->body_n += n;
    a->body[a->body_n] = '\0';
    return 0;
}

static inline int c_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
    struct answer *a = nghttp2_session_get_stream_user_data(s, id);
    struct client *c = arg;

    if (a == NULL)
        return 0;
    a->closed = true;
    a->code = code;
    c->closed_n++;
    return 0;
}

static inline int c_frame(nghttp2_session *s, const nghttp2_frame *frame, void *arg)
{
    struct client *c = arg;

    (void)s;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaway = true;
        c->goaway_code = frame->goaway.error_code;
        c->goaway_last = frame->goaway.last_stream_id;
    }
    c->settings_n += frame->hd.type == NGHTTP2_SETTINGS;
    return 0;
}

static inline ssize_t c_pull(nghttp2_session *s, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                             nghttp2_data_source *source, void *arg)
{
    struct answer *a = source->ptr;

    (void)s;
    (void)id;
    (void)arg;
    if (a->out.n == 0 && a->more) {
        a->waits = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    n = n < a->out.n ? n : a->out.n;
    if (n > 0)
        memcpy(to, a->out.p, n);
    a->out = str_slice(a->out, n, a->out.n);
    if (a->out.n == 0 && !a->more)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* Connects; window 0 keeps the default. With manual nothing that is read is given back. */
static inline void client_open(struct client *c, const struct fixture *f, uint32_t window,
                               bool manual)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    nghttp2_settings_entry set = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window };

    *c = (struct client){ .fd = dial(f) };
    c->a = mem_zero(sizeof(*c->a) * ANSWERS_MAX);
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    assert_int_equal(nghttp2_option_new(&o), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, c_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, c_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, c_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, c_frame);
    nghttp2_option_set_no_auto_window_update(o, manual);
    nghttp2_option_set_peer_max_concurrent_streams(o, ANSWERS_MAX);
    assert_int_equal(nghttp2_session_client_new2(&c->s, cb, c, o), 0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(o);
    assert_int_equal(nghttp2_submit_settings(c->s, 0, &set, window > 0 ? 1 : 0), 0);
}

/* Does nothing when it is closed already. */
static inline void client_close(struct client *c)
{
    if (c->s == NULL)
        return;
    for (size_t i = 0; i < ANSWERS_MAX; i++)
        mem_free(c->a[i].body);
    mem_free(c->a);
    nghttp2_session_del(c->s);
    c->s = NULL;
    close(c->fd);
}

/* Sends what there is, without waiting. */
static inline void client_flush(struct client *c)
{
    const uint8_t *p;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(c->s, &p)) > 0 && !c->ended) {
        str_t s = { (const char *)p, (size_t)n };

        while (s.n > 0) {
            ssize_t k = send(c->fd, s.p, s.n, MSG_NOSIGNAL);

            if (k <= 0) {
                c->ended = true;
                return;
            }
            s = str_slice(s, (size_t)k, s.n);
        }
    }
    assert_true(n >= 0);
}

/* Sends what there is and reads once, for at most wait_ms; false when nothing came. */
static inline bool client_turn(struct client *c, int wait_ms)
{
    struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
    char in[16384];

    client_flush(c);
    if (poll(&pfd, 1, wait_ms) != 1)
        return false;
    ssize_t n = recv(c->fd, in, sizeof(in), 0);
    if (n <= 0)
        c->ended = true;
    else
        assert_true(nghttp2_session_mem_recv(c->s, (const uint8_t *)in, (size_t)n) == n);
    client_flush(c);
    return true;
}

/* A request; its number. With more its body goes on after out. */
static inline size_t client_ask(struct client *c, const char *method, const char *path, str_t out,
                                bool more, const char *name, const char *value)
{
    const char *fields[][2] = { { ":method", method },
                                { ":scheme", "http" },
                                { ":path", path },
                                { ":authority", "a" },
                                { name, value } };
    size_t n = name != NULL ? 5 : 4;
    nghttp2_nv nva[5] = { 0 };
    struct answer *a = &c->a[c->n];
    nghttp2_data_provider from = { .source = { .ptr = a }, .read_callback = c_pull };

    must(c->n < ANSWERS_MAX);
    a->out = out;
    a->more = more;
    for (size_t i = 0; i < n; i++) {
        memcpy(&nva[i].name, &fields[i][0], sizeof(char *));
        memcpy(&nva[i].value, &fields[i][1], sizeof(char *));
        nva[i].namelen = strlen(fields[i][0]);
        nva[i].valuelen = strlen(fields[i][1]);
    }
    int32_t id = nghttp2_submit_request(c->s, NULL, nva, n, out.n > 0 || more ? &from : NULL, a);
    assert_int_equal(id, (int32_t)c->n * 2 + 1);
    return c->n++;
}

static inline size_t client_get(struct client *c, const char *path)
{
    return client_ask(c, "GET", path, STR_NULL, false, NULL, NULL);
}

static inline size_t client_post(struct client *c, const char *path, str_t body)
{
    return client_ask(c, "POST", path, body, false, NULL, NULL);
}

static inline int32_t client_id(size_t i)
{
    return (int32_t)i * 2 + 1;
}

/* The next piece of a body that goes on. */
static inline void client_more(struct client *c, size_t i, str_t out, bool more)
{
    struct answer *a = &c->a[i];

    must(a->out.n == 0 && a->more);
    a->out = out;
    a->more = more;
    if (a->waits)
        assert_int_equal(nghttp2_session_resume_data(c->s, client_id(i)), 0);
    a->waits = false;
    client_flush(c);
}

static inline void client_reset(struct client *c, size_t i, uint32_t code)
{
    assert_int_equal(nghttp2_submit_rst_stream(c->s, 0, client_id(i), code), 0);
    client_flush(c);
}

/* Until n streams are closed. */
static inline void client_wait(struct client *c, size_t n)
{
    while (c->closed_n < n && !c->ended)
        assert_true(client_turn(c, WAIT_MS));
    assert_int_equal(c->closed_n, n);
}

/* Until so much of the body has come. */
static inline void client_wait_body(struct client *c, size_t i, size_t n)
{
    while (c->a[i].body_n < n && !c->ended)
        assert_true(client_turn(c, WAIT_MS));
    assert_true(c->a[i].body_n >= n);
}

static inline void client_wait_status(struct client *c, size_t i)
{
    while (c->a[i].status == 0 && !c->ended)
        assert_true(client_turn(c, WAIT_MS));
    assert_true(c->a[i].status != 0);
}

/* Until the server has closed the connection. */
static inline void client_wait_end(struct client *c)
{
    while (!c->ended)
        assert_true(client_turn(c, WAIT_MS));
}
