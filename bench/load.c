/* A closed-loop HTTP/1.1 load generator: one thread, epoll, N keep-alive connections on loopback,
 * each with one request in flight. Prints one JSON object: requests, failures, seconds, rate,
 * latencies.
 *
 *   load PORT PATH CONNECTIONS REQUESTS BODY-TEMPLATE
 *
 * In the body %n becomes the number of the request and %r a random 64-bit hex number. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define REQUEST_MAX 4096
#define REPLY_MAX 65536

struct conn {
    int fd;
    int64_t sent_ns;
    size_t got;
    char reply[REPLY_MAX];
};

struct load {
    int port, epoll;
    const char *path, *body;
    int64_t requests, started, finished, failed;
    uint32_t *latency_us;
    uint64_t random;
    bool complained;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t next_random(struct load *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

static size_t fill_body(struct load *l, char *out, size_t max)
{
    size_t n = 0;

    for (const char *p = l->body; *p != '\0' && n + 32 < max; p++) {
        if (p[0] == '%' && p[1] == 'n') {
            n += (size_t)snprintf(out + n, max - n, "%lld", (long long)l->started);
            p++;
        } else if (p[0] == '%' && p[1] == 'r') {
            n += (size_t)snprintf(out + n, max - n, "%016llx", (unsigned long long)next_random(l));
            p++;
        } else {
            out[n++] = *p;
        }
    }
    return n;
}

/* Sends the next request of the connection; false when all have been started. */
static bool send_next(struct load *l, struct conn *k)
{
    char body[REQUEST_MAX], request[REQUEST_MAX + 512];
    size_t body_n = 0;
    int n = 0;

    if (l->started == l->requests)
        return false;
    body_n = fill_body(l, body, sizeof(body));
    n = snprintf(request, sizeof(request),
                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n%.*s",
                 l->path, body_n, (int)body_n, body);
    l->started++;
    k->got = 0;
    k->sent_ns = now_ns();
    if (write(k->fd, request, (size_t)n) != n)
        die("write");
    return true;
}

/* True when the reply in the buffer is whole. */
static bool reply_done(const struct conn *k)
{
    const char *end = memmem(k->reply, k->got, "\r\n\r\n", 4);
    const char *length = NULL;

    if (end == NULL)
        return false;
    length = memmem(k->reply, (size_t)(end - k->reply), "ontent-", 7);
    for (const char *p = length; p != NULL && p < end; p++) {
        p = memmem(p, (size_t)(end - p), "ength: ", 7);
        if (p != NULL)
            return k->got >= (size_t)(end + 4 - k->reply) + strtoul(p + 7, NULL, 10);
        break;
    }
    return true;
}

static void take_reply(struct load *l, struct conn *k)
{
    ssize_t n = read(k->fd, k->reply + k->got, REPLY_MAX - k->got);

    if (n <= 0)
        die("the server closed a connection");
    k->got += (size_t)n;
    if (!reply_done(k))
        return;
    l->latency_us[l->finished++] = (uint32_t)((now_ns() - k->sent_ns) / 1000);
    if (memcmp(k->reply + 9, "200", 3) != 0) {
        l->failed++;
        if (!l->complained)
            fprintf(stderr, "%.*s\n", (int)k->got, k->reply);
        l->complained = true;
    }
    send_next(l, k);
}

static void open_connection(struct load *l, struct conn *k)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)l->port) };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = k };
    int one = 1;

    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    k->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (k->fd < 0 || connect(k->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        die("connect");
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, k->fd, &event) != 0)
        die("epoll_ctl");
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(struct load *l, int connections, double seconds)
{
    size_t n = (size_t)l->finished;

    qsort(l->latency_us, n, sizeof(*l->latency_us), by_value);
    printf(
        "{\"connections\":%d,\"requests\":%zu,\"failed\":%lld,\"seconds\":%.3f,\"per_second\":%.0f,"
        "\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n",
        connections, n, (long long)l->failed, seconds, (double)n / seconds, l->latency_us[n / 2],
        l->latency_us[n * 99 / 100], l->latency_us[n - 1]);
}

int main(int argc, char **argv)
{
    struct load l = { .random = (uint64_t)now_ns() | 1 };
    struct conn *conns = NULL;
    int connections = 0;
    int64_t start = 0;

    if (argc != 6) {
        fprintf(stderr, "usage: load PORT PATH CONNECTIONS REQUESTS BODY-TEMPLATE\n");
        return 1;
    }
    l.port = (int)strtol(argv[1], NULL, 10);
    l.path = argv[2];
    connections = (int)strtol(argv[3], NULL, 10);
    l.requests = strtoll(argv[4], NULL, 10);
    l.body = argv[5];
    if (connections < 1 || connections > CONNECTIONS_MAX || l.requests < connections)
        return 1;
    l.epoll = epoll_create1(0);
    l.latency_us = calloc((size_t)l.requests, sizeof(*l.latency_us));
    conns = calloc((size_t)connections, sizeof(*conns));
    if (l.epoll < 0 || l.latency_us == NULL || conns == NULL)
        die("setup");
    for (int i = 0; i < connections; i++)
        open_connection(&l, &conns[i]);
    start = now_ns();
    for (int i = 0; i < connections; i++)
        send_next(&l, &conns[i]);
    while (l.finished < l.requests) {
        struct epoll_event events[256];
        int n = epoll_wait(l.epoll, events, 256, 60000);
        if (n == 0) {
            fprintf(stderr, "no reply for 60 s\n");
            return 1;
        }
        for (int i = 0; i < n; i++)
            take_reply(&l, events[i].data.ptr);
    }
    report(&l, connections, (double)(now_ns() - start) / 1e9);
    return l.failed == 0 ? 0 : 1;
}
