/* One HTTP/2 connection without TLS that carries one request, whose body and answer flow at the
 * same time. nghttp2 does the protocol, we the socket: libcurl's way to do this, pausing and
 * resuming an upload, has been broken and mended in several releases (7.84, 7.88, 8.16). */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_priv.h"

#define CONNECT_MS 10000
#define WINDOW (4 << 20)
#define OUT_BYTES ((size_t)256 << 10)
#define IN_BYTES ((size_t)64 << 10)
#define BODY_BYTES_MAX ((size_t)16 << 10)

struct h2 {
    const struct server *s;
    struct h2_source source;
    nghttp2_session *session;
    int fd;
    int32_t stream;
    int status;
    bool idle;  /* pull gave nothing */
    bool ended; /* the body ends */
    bool over;
    int64_t heard_ms;
    struct text out, body;
    size_t out_at;
    char *in; /* IN_BYTES */
    char why[256];
};

static bool fail(struct h2 *h, const char *what, const char *detail)
{
    if (!h->over)
        (void)snprintf(h->why, sizeof(h->why), "%s: %s%s%s", h->s->url, what,
                       detail != NULL ? ": " : "", detail != NULL ? detail : "");
    h->over = true;
    return false;
}

/* ---- callbacks of nghttp2 ---- */

static ssize_t on_pull(nghttp2_session *session, int32_t stream, uint8_t *to, size_t n,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct h2 *h = arg;
    size_t used = h->source.pull(h->source.arg, (char *)to, n);

    (void)session, (void)stream, (void)source;
    if (used > 0)
        return (ssize_t)used;
    if (h->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return 0;
    }
    h->idle = true;
    return NGHTTP2_ERR_DEFERRED;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct h2 *h = arg;

    (void)session, (void)frame, (void)flags;
    if (name_n != 7 || memcmp(name, ":status", 7) != 0)
        return 0;
    h->status = 0;
    for (size_t i = 0; i < value_n && i < 3; i++)
        h->status = h->status * 10 + (value[i] - '0');
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *p,
                    size_t n, void *arg)
{
    struct h2 *h = arg;

    (void)session, (void)flags, (void)stream;
    if (h->status == 200)
        h->source.data(h->source.arg, (const char *)p, n);
    else if (h->body.n + n <= BODY_BYTES_MAX)
        text_add(&h->body, (const char *)p, n);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
    struct h2 *h = arg;

    (void)session, (void)stream;
    (void)fail(h, "the stream was closed", code != 0 ? nghttp2_http2_strerror(code) : NULL);
    return 0;
}

/* ---- opening ---- */

static nghttp2_nv header(const char *name, const char *value)
{
    nghttp2_nv nv = { .namelen = strlen(name), .valuelen = strlen(value) };

    /* nghttp2 copies both and changes neither, but wants pointers that could */
    memcpy(&nv.name, &name, sizeof(name));
    memcpy(&nv.value, &value, sizeof(value));
    return nv;
}

static bool request(struct h2 *h, const char *path)
{
    struct text full = { 0 }, bearer = { 0 };
    const char *authority = h->s->url + strlen("http://");
    size_t authority_n = strcspn(authority, "/"), n = 6;
    nghttp2_data_provider body = { .read_callback = on_pull };
    char *host = strndup(authority, authority_n);
    nghttp2_nv list[8];

    text_addz(&full, h->s->prefix);
    text_addz(&full, path);
    text_addz(&bearer, "Bearer ");
    text_addz(&bearer, h->s->api_key);
    list[0] = header(":method", "POST");
    list[1] = header(":scheme", "http");
    list[2] = header(":authority", host != NULL ? host : "");
    list[3] = header(":path", text_z(&full));
    list[4] = header("content-type", "application/connect+json");
    list[5] = header("user-agent", "ironflow-c");
    if (*h->s->api_key != '\0')
        list[n++] = header("authorization", text_z(&bearer));
    if (*h->s->environment != '\0')
        list[n++] = header("x-ironflow-environment", h->s->environment);
    h->stream = nghttp2_submit_request(h->session, NULL, list, n, &body, NULL);
    text_done(&full);
    text_done(&bearer);
    free(host);
    return h->stream > 0;
}

static bool begin(struct h2 *h, const char *path)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 }, { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW }
    };
    nghttp2_session_callbacks *calls = NULL;
    bool ok;

    if (nghttp2_session_callbacks_new(&calls) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    ok = nghttp2_session_client_new(&h->session, calls, h) == 0;
    nghttp2_session_callbacks_del(calls);
    return ok && nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, 2) == 0 &&
           nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, WINDOW) == 0 &&
           request(h, path);
}

struct h2 *h2_open(const struct server *s, const char *path, const struct h2_source *source,
                   char *why, size_t why_size)
{
    int fd = server_connect(s, CONNECT_MS, why, why_size);
    struct h2 *h;

    if (fd < 0)
        return NULL;
    h = mem_new(sizeof(*h));
    h->s = s;
    h->fd = fd;
    h->source = *source;
    h->heard_ms = now_mono_ms();
    h->in = mem_new(IN_BYTES);
    if (!begin(h, path)) {
        (void)snprintf(why, why_size, "%s: cannot begin a stream", s->url);
        h2_free(h);
        return NULL;
    }
    return h;
}

void h2_free(struct h2 *h)
{
    if (h == NULL)
        return;
    nghttp2_session_del(h->session);
    (void)close(h->fd);
    text_done(&h->out);
    text_done(&h->body);
    free(h->in);
    free(h);
}

/* ---- working ---- */

/* Frames into `out`, as far as it has room; false when the session is broken. */
static bool gather(struct h2 *h)
{
    const uint8_t *p;

    if (h->out_at == h->out.n)
        h->out.n = h->out_at = 0;
    while (h->out.n < OUT_BYTES) {
        ssize_t n = nghttp2_session_mem_send(h->session, &p);

        if (n < 0)
            return fail(h, "cannot send", nghttp2_strerror((int)n));
        if (n == 0)
            break;
        text_add(&h->out, (const char *)p, (size_t)n);
    }
    return true;
}

static bool push_out(struct h2 *h)
{
    while (h->out_at < h->out.n) {
        ssize_t n =
            send(h->fd, h->out.p + h->out_at, h->out.n - h->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0)
            return fail(h, "cannot send", strerror(errno));
        h->out_at += (size_t)n;
    }
    return true;
}

static bool take_in(struct h2 *h)
{
    for (int i = 0; i < 16; i++) { /* then others have a turn */
        ssize_t n = recv(h->fd, h->in, IN_BYTES, MSG_DONTWAIT), used;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0)
            return fail(h, "cannot receive", strerror(errno));
        if (n == 0)
            return fail(h, "the server closed the connection", NULL);
        h->heard_ms = now_mono_ms();
        used = nghttp2_session_mem_recv(h->session, (const uint8_t *)h->in, (size_t)n);
        if (used < 0)
            return fail(h, "the answer is not HTTP/2", nghttp2_strerror((int)used));
        if ((size_t)n < IN_BYTES)
            return true;
    }
    return true;
}

bool h2_turn(struct h2 *h)
{
    if (h->over || !take_in(h))
        return false;
    do {
        if (h->idle) {
            h->idle = false;
            (void)nghttp2_session_resume_data(h->session, h->stream);
        }
        if (!gather(h) || !push_out(h))
            return false;
    } while (h->out.n > 0 && h->out_at == h->out.n && !h->idle && !h->over &&
             nghttp2_session_want_write(h->session));
    return !h->over;
}

bool h2_idle(const struct h2 *h)
{
    return h->idle && h->out_at == h->out.n;
}

void h2_wait(struct h2 *h, int wake_fd, int64_t ms)
{
    struct pollfd fds[2] = { { .fd = h->fd, .events = POLLIN },
                             { .fd = wake_fd, .events = POLLIN } };
    uint64_t n;

    if (h->out_at < h->out.n)
        fds[0].events |= POLLOUT;
    if (poll(fds, 2, ms > 0 ? (int)ms : 0) > 0 && fds[1].revents != 0 &&
        read(wake_fd, &n, sizeof(n)) < 0) {
        /* somebody else emptied it */
    }
}

void h2_end(struct h2 *h)
{
    h->ended = true;
}

void h2_ping(struct h2 *h)
{
    (void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
}

int64_t h2_heard_ms(const struct h2 *h)
{
    return h->heard_ms;
}

int h2_status(const struct h2 *h)
{
    return h->status;
}

json_t h2_body(const struct h2 *h)
{
    return (json_t){ h->body.p, h->body.n };
}

const char *h2_error(const struct h2 *h)
{
    return h->why;
}
