/* The listener and its loop threads. The first loop also accepts and deals connections out in turn,
 * so that they spread evenly whatever the kernel thinks. */
#include "http/server.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/sync.h"
#include "http/http_priv.h"

#define BACKLOG 4096
#define ACCEPTS_PER_TURN 256
#define ACCEPT_PAUSE_MS 100
#define HEAD_OUT_BYTES_MAX ((size_t)256 << 10)
#define URL_BYTES_MAX ((size_t)16 << 10)

/* ---- accepting ---- */

static void on_accept(uv_poll_t *poll, int status, int events);

static void accept_start(struct http_server *s)
{
    if (!s->loops[0].draining && !s->loops[0].stopping)
        must(uv_poll_start(&s->accept, UV_READABLE, on_accept) == 0);
}

static void on_accept_pause(uv_timer_t *timer)
{
    accept_start(timer->data);
}

/* One connection too many: an answer without a request, because nobody would read one. */
static void accept_refuse(const struct http_server *s, int fd)
{
    struct arena a;
    str_t body, text;

    arena_init(&a);
    body = reply_error_body(s, &a, 503, "too many connections");
    text = str_printf(&a,
                      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                      "Content-Length: %zu\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" STR_FMT,
                      body.n, STR_ARG(body));
    if (send(fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("refusal not sent", "errno=%d", errno);
    close(fd);
    arena_done(&a);
}

static void accept_one(struct http_server *s, int fd, const struct sockaddr *addr, socklen_t n)
{
    static const char mapped[] = "::ffff:"; /* an IPv4 address on an IPv6 socket */
    struct http_loop *hl = &s->loops[s->turn];
    char remote[64] = "";
    const char *shown = remote;

    if (atomic_load(&s->connections) >= s->o.limits.connections_max) {
        accept_refuse(s, fd);
        return;
    }
    s->turn = (s->turn + 1) % (unsigned)s->o.loops;
    if (getnameinfo(addr, n, remote, sizeof(remote), NULL, 0, NI_NUMERICHOST) != 0)
        remote[0] = '\0';
    if (strncmp(remote, mapped, sizeof(mapped) - 1) == 0)
        shown += sizeof(mapped) - 1;
    loop_post(hl->loop, &conn_new(hl, fd, shown)->msg);
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
    struct http_server *s = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage addr;
        socklen_t n = sizeof(addr);
        int fd = accept4(s->fd, (struct sockaddr *)&addr, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            accept_one(s, fd, (const struct sockaddr *)&addr, n);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_warn("cannot accept connections", "error=\"%s\"", strerror(errno));
            uv_poll_stop(&s->accept);
            uv_timer_start(&s->accept_pause, on_accept_pause, ACCEPT_PAUSE_MS, 0);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;

    close(s->fd);
    s->fd = -1;
}

static void accept_close(struct http_server *s)
{
    if (s->accepting) {
        s->accepting = false;
        uv_close((uv_handle_t *)&s->accept, on_listener_closed);
        uv_close((uv_handle_t *)&s->accept_pause, NULL);
    }
}

/* ---- binding ---- */

static int bind_one(const struct addrinfo *ai)
{
    int one = 1, off = 0;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int e = errno;

        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

static int port_of(int fd)
{
    struct sockaddr_storage addr;
    socklen_t n = sizeof(addr);
    char port[8] = "";
    int64_t out = 0;

    if (getsockname(fd, (struct sockaddr *)&addr, &n) != 0 ||
        getnameinfo((struct sockaddr *)&addr, n, NULL, 0, port, sizeof(port), NI_NUMERICSERV) !=
            0 ||
        !str_to_i64(str_from(port), &out))
        return 0;
    return (int)out;
}

static err_t server_bind(struct ctx *c, struct http_server *s)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    char port[16];
    int e;

    snprintf(port, sizeof(port), "%d", s->o.port);
    e = getaddrinfo(s->o.host, port, &hints, &list);
    if (e != 0)
        return err_set(c, ERR_UNAVAILABLE, "cannot listen on %s:%d: %s", s->o.host, s->o.port,
                       gai_strerror(e));
    s->fd = -1;
    for (const struct addrinfo *ai = list; ai != NULL && s->fd < 0; ai = ai->ai_next) {
        s->fd = bind_one(ai);
        e = errno;
    }
    freeaddrinfo(list);
    if (s->fd < 0 && e == EADDRINUSE)
        return err_set(c, ERR_UNAVAILABLE, "port %d is already in use", s->o.port);
    if (s->fd < 0)
        return err_set(c, ERR_UNAVAILABLE, "cannot listen on %s:%d: %s", s->o.host, s->o.port,
                       strerror(e));
    s->port = port_of(s->fd);
    return ERR_OK;
}

/* ---- start and stop ---- */

static void on_drain(struct loop_msg *m)
{
    struct http_loop *hl = (struct http_loop *)((char *)m - offsetof(struct http_loop, drain_msg));

    hl->draining = true;
    if (hl == &hl->server->loops[0])
        accept_close(hl->server);
    for (struct conn *conn = hl->conns; conn != NULL; conn = conn->next)
        conn_drain(conn);
}

static void on_stop(struct loop_msg *m)
{
    struct http_loop *hl = (struct http_loop *)((char *)m - offsetof(struct http_loop, stop_msg));

    hl->stopping = true;
    if (hl == &hl->server->loops[0])
        accept_close(hl->server);
    while (hl->conns != NULL)
        conn_close(hl->conns);
    uv_close((uv_handle_t *)&hl->sweep, NULL);
    uv_close((uv_handle_t *)&hl->flush, NULL);
    loop_stop(hl->loop);
}

static void *loop_main(void *arg)
{
    struct http_loop *hl = arg;

    loop_run(hl->loop);
    return NULL;
}

static int64_t ms_or(int64_t v, int64_t def)
{
    return v > 0 ? v : def;
}

static size_t size_or(size_t v, size_t def)
{
    return v > 0 ? v : def;
}

static void limits_fill(struct http_limits *l)
{
    l->header_bytes_max = size_or(l->header_bytes_max, (size_t)64 << 10);
    l->body_bytes_max = size_or(l->body_bytes_max, (size_t)4 << 20);
    l->bodies_bytes_max = size_or(l->bodies_bytes_max, (size_t)256 << 20);
    l->replies_bytes_max = size_or(l->replies_bytes_max, (size_t)256 << 20);
    l->connections_max = size_or(l->connections_max, 20000);
    l->streams_max = size_or(l->streams_max, 256);
    l->window_bytes = size_or(l->window_bytes, (size_t)256 << 10);
    l->header_ms = ms_or(l->header_ms, 10000);
    l->body_ms = ms_or(l->body_ms, 30000);
    l->idle_ms = ms_or(l->idle_ms, 120000);
    l->write_ms = ms_or(l->write_ms, 30000);
}

/* Deadlines are looked at this often: a quarter of the shortest, at least once a second. */
static int64_t sweep_interval(const struct http_limits *l)
{
    int64_t ms = l->header_ms;

    ms = l->body_ms < ms ? l->body_ms : ms;
    ms = l->idle_ms < ms ? l->idle_ms : ms;
    ms = (l->write_ms < ms ? l->write_ms : ms) / 4;
    if (ms < 10)
        return 10;
    return ms < 1000 ? ms : 1000;
}

void http_loop_init(struct http_server *s, struct http_loop *hl)
{
    hl->server = s;
    hl->loop = loop_new();
    hl->drain_msg.fn = on_drain;
    hl->stop_msg.fn = on_stop;
    buf_init(&hl->out, HEAD_OUT_BYTES_MAX);
    buf_init(&hl->out_h2, HEAD_OUT_BYTES_MAX);
    must(uv_timer_init(loop_uv(hl->loop), &hl->sweep) == 0);
    must(uv_idle_init(loop_uv(hl->loop), &hl->flush) == 0);
    hl->sweep.data = hl->flush.data = hl;
}

err_t http_server_start(struct ctx *c, const struct http_server_opts *o, struct http_server **out)
{
    struct http_server *s = mem_zero(sizeof(*s));
    char name[32];
    err_t e;

    must(o->loops > 0 && o->handler != NULL);
    s->o = *o;
    limits_fill(&s->o.limits);
    s->sweep_ms = sweep_interval(&s->o.limits);
    s->h1 = (struct h1_limits){ .header_bytes_max = s->o.limits.header_bytes_max,
                                .url_bytes_max = URL_BYTES_MAX,
                                .body_bytes_max = s->o.limits.body_bytes_max };
    e = server_bind(c, s);
    if (e != ERR_OK) {
        mem_free(s);
        return e;
    }
    s->loops = mem_zero(sizeof(*s->loops) * (size_t)o->loops);
    for (int i = 0; i < o->loops; i++)
        http_loop_init(s, &s->loops[i]);
    uv_loop_t *uv = loop_uv(s->loops[0].loop);
    must(uv_poll_init(uv, &s->accept, s->fd) == 0);
    must(uv_timer_init(uv, &s->accept_pause) == 0);
    s->accept.data = s->accept_pause.data = s;
    s->accepting = true;
    accept_start(s);
    for (int i = 0; i < o->loops; i++) {
        snprintf(name, sizeof(name), "http-%d", i);
        thread_start(&s->loops[i].thread, name, loop_main, &s->loops[i]);
    }
    *out = s;
    return ERR_OK;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_drain(struct http_server *s)
{
    if (s->draining)
        return;
    s->draining = true;
    for (int i = 0; i < s->o.loops; i++)
        loop_post(s->loops[i].loop, &s->loops[i].drain_msg);
}

size_t http_server_busy(const struct http_server *s)
{
    return atomic_load(&s->busy);
}

size_t http_server_connections(const struct http_server *s)
{
    return atomic_load(&s->connections);
}

void http_loop_done(struct http_loop *hl)
{
    while (hl->requests != NULL) /* a reply that was never given */
        request_free(hl->requests);
    request_free_spare(hl);
    buf_done(&hl->out);
    buf_done(&hl->out_h2);
    mem_free(hl->in);
    loop_free(hl->loop);
}

void http_server_stop(struct http_server *s)
{
    if (s == NULL)
        return;
    /* The acceptor first: what it still handed over is then ahead of the others' stop. */
    for (int i = 0; i < s->o.loops; i++) {
        loop_post(s->loops[i].loop, &s->loops[i].stop_msg);
        thread_join(s->loops[i].thread);
    }
    for (int i = 0; i < s->o.loops; i++)
        http_loop_done(&s->loops[i]);
    mem_free(s->loops);
    mem_free(s);
}
