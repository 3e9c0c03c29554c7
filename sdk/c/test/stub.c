/* A small HTTP server for the tests of the library: a thread a connection, rules for answers. */
#include "stub.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define REQUESTS_MAX 4096
#define WAIT_S 60

struct stub {
    int fd;
    pthread_t accepter, threads[CONNECTIONS_MAX];
    int fds[CONNECTIONS_MAX], connections;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct rule *rules;
    enum stub_style style;
    char *requests[REQUESTS_MAX];
    int requests_n, closed_n;
};

struct link {
    struct stub *s;
    int fd;
};

/* One request as "METHOD path body" and its headers, to be freed; NULL at the end of the
 * connection. */
static char *read_request(int fd)
{
    char raw[65536], *end = NULL, *out;
    size_t n = 0, body = 0, line, head;

    while (end == NULL || n < (size_t)(end + 4 - raw) + body) {
        ssize_t got = recv(fd, raw + n, sizeof(raw) - 1 - n, 0);
        const char *length;

        if (got <= 0)
            return NULL;
        n += (size_t)got;
        raw[n] = '\0';
        end = strstr(raw, "\r\n\r\n");
        length = strstr(raw, "Content-Length: ");
        body = length != NULL && end != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
    }
    line = (size_t)(strstr(raw, " HTTP/1.1") - raw);
    head = (size_t)(end + 2 - strstr(raw, "\r\n"));
    out = calloc(1, line + body + head + 2);
    memcpy(out, raw, line);
    out[line] = ' ';
    memcpy(out + line + 1, end + 4, body);
    memcpy(out + line + 1 + body, strstr(raw, "\r\n"), head);
    return out;
}

static void choose(struct stub *s, const char *request, int *status, const char **body)
{
    *status = 200;
    *body = "{\"status\":\"ok\"}";
    for (struct rule *r = s->rules; r->match != NULL; r++) {
        if (strstr(request, r->match) == NULL || r->times < 0)
            continue;
        if (r->times > 0 && --r->times == 0)
            r->times = -1; /* used up */
        *status = r->status;
        *body = r->body != NULL ? r->body : *body;
        return;
    }
}

static void answer(int fd, enum stub_style style, int status, const char *body)
{
    char out[8192];
    size_t n = strlen(body), half = n / 2;
    int len;

    if (style == STUB_CHUNKED && n > 1)
        len = snprintf(out, sizeof(out),
                       "HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%.*s\r\n%zx\r\n%s"
                       "\r\n0\r\n\r\n",
                       status, half, (int)half, body, n - half, body + half);
    else
        len = snprintf(out, sizeof(out), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status,
                       n, body);
    (void)send(fd, out, (size_t)len, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    struct link l = *(struct link *)arg;
    char *request;

    free(arg);
    while ((request = read_request(l.fd)) != NULL) {
        enum stub_style style;
        const char *body;
        int status;

        pthread_mutex_lock(&l.s->lock);
        choose(l.s, request, &status, &body);
        style = l.s->style;
        if (l.s->requests_n == REQUESTS_MAX)
            abort();
        l.s->requests[l.s->requests_n++] = request;
        pthread_mutex_unlock(&l.s->lock);
        answer(l.fd, style, status, body);
        pthread_mutex_lock(&l.s->lock);
        pthread_cond_broadcast(&l.s->came);
        pthread_mutex_unlock(&l.s->lock);
        if (style == STUB_CLOSES)
            break;
    }
    (void)shutdown(l.fd, SHUT_RDWR);
    pthread_mutex_lock(&l.s->lock);
    l.s->closed_n += request != NULL;
    pthread_cond_broadcast(&l.s->came);
    pthread_mutex_unlock(&l.s->lock);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct stub *s = arg;

    while (s->connections < CONNECTIONS_MAX) {
        int fd = accept(s->fd, NULL, NULL);
        struct link *l;

        if (fd < 0)
            break;
        l = malloc(sizeof(*l));
        *l = (struct link){ s, fd };
        s->fds[s->connections] = fd;
        if (pthread_create(&s->threads[s->connections], NULL, serve, l) != 0)
            abort();
        s->connections++;
    }
    return NULL;
}

struct stub *stub_new(struct rule *rules, char *url, size_t url_size)
{
    struct stub *s = calloc(1, sizeof(*s));
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);

    s->rules = rules;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->came, NULL);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(s->fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(s->fd, 64) != 0 ||
        getsockname(s->fd, (struct sockaddr *)&a, &n) != 0 ||
        pthread_create(&s->accepter, NULL, accept_all, s) != 0)
        abort();
    (void)snprintf(url, url_size, "http://127.0.0.1:%d", ntohs(a.sin_port));
    return s;
}

void stub_free(struct stub *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->accepter, NULL);
    (void)close(s->fd);
    for (int i = 0; i < s->connections; i++)
        (void)shutdown(s->fds[i], SHUT_RDWR);
    for (int i = 0; i < s->connections; i++) {
        pthread_join(s->threads[i], NULL);
        (void)close(s->fds[i]);
    }
    for (int i = 0; i < s->requests_n; i++)
        free(s->requests[i]);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->came);
    free(s);
}

static int count(const struct stub *s, const char *text)
{
    int n = 0;

    for (int i = 0; i < s->requests_n; i++)
        n += strstr(s->requests[i], text) != NULL;
    return n;
}

int stub_count(struct stub *s, const char *text)
{
    int n;

    pthread_mutex_lock(&s->lock);
    n = count(s, text);
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Until there are n requests with the text, or n closed connections when it is NULL. */
static bool wait_for(struct stub *s, const char *text, int n)
{
    struct timespec until;
    int e = 0, now;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&s->lock);
    while ((now = text != NULL ? count(s, text) : s->closed_n) < n && e == 0)
        e = pthread_cond_timedwait(&s->came, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
    return now >= n;
}

bool stub_wait(struct stub *s, const char *text, int n)
{
    return wait_for(s, text, n);
}

bool stub_wait_closed(struct stub *s, int n)
{
    return wait_for(s, NULL, n);
}

const char *stub_request(struct stub *s, const char *text, int n)
{
    const char *found = NULL;

    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->requests_n && found == NULL; i++)
        if (strstr(s->requests[i], text) != NULL && n-- == 0)
            found = s->requests[i];
    pthread_mutex_unlock(&s->lock);
    return found;
}

void stub_style(struct stub *s, enum stub_style style)
{
    pthread_mutex_lock(&s->lock);
    s->style = style;
    pthread_mutex_unlock(&s->lock);
}
