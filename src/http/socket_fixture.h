/* For the server's tests: a client that is a plain socket. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/server_fixture.h"

/* Behind a path: the shortest head, but for its last line end. */
#define HEAD_A " HTTP/1.1\r\nHost: a\r\n"

static inline int try_dial(const struct fixture *f)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)http_server_port(f->s)),
                                .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline int dial(const struct fixture *f)
{
    int fd = try_dial(f);

    assert_true(fd >= 0);
    return fd;
}

static inline void put(int fd, str_t s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

        assert_true(n > 0);
        s = str_slice(s, (size_t)n, s.n);
    }
}

/* One byte block; 0 at the end of the connection, also when it was reset. */
static inline size_t take(int fd, char *p, size_t n)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    ssize_t got;

    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
    got = recv(fd, p, n, 0);
    return got > 0 ? (size_t)got : 0;
}

/* Reads exactly one reply and returns its status; 0 when the connection ends instead. The text is
 * in text, NUL-terminated, *body behind its head. Ok for HEAD with bodiless. */
static inline int take_reply_as(int fd, char *text, size_t cap, char **body, bool bodiless)
{
    size_t n = 0, length = 0;
    char *end = NULL, *at;

    *body = NULL;
    while (end == NULL) {
        must(n + 1 < cap);
        if (take(fd, text + n, 1) == 0)
            return 0;
        text[++n] = '\0';
        end = strstr(text, "\r\n\r\n");
    }
    at = strstr(text, "Content-Length: ");
    if (at != NULL && !bodiless)
        length = (size_t)strtoul(at + 16, NULL, 10);
    *body = text + n;
    must(n + length < cap);
    for (size_t got = 1; length > 0 && got > 0; length -= got, n += got)
        got = take(fd, text + n, length);
    text[n] = '\0';
    return length == 0 ? (int)strtol(text + strlen("HTTP/1.1 "), NULL, 10) : 0;
}

static inline int take_reply(int fd, char *text, size_t cap, char **body)
{
    return take_reply_as(fd, text, cap, body, false);
}

static inline void expect_reply(int fd, int status, const char *body)
{
    char text[8192], *at;

    assert_int_equal(take_reply(fd, text, sizeof(text), &at), status);
    if (body != NULL)
        assert_string_equal(at, body);
}

/* Nothing more comes, not even an error. */
static inline void expect_end(int fd)
{
    char ch;

    assert_int_equal(take(fd, &ch, 1), 0);
    close(fd);
}

/* Closes with a reset. */
static inline void slam(int fd)
{
    struct linger l = { .l_onoff = 1 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    close(fd);
}
