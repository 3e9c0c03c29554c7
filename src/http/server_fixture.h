/* For the server's tests: a server with tiny limits and a handler that answers, holds or counts. */
#pragma once

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/sync.h"
#include "base/test.h"
#include "http/server.h"

#define HELD_MAX 8
#define LOOPS_MAX 4
#define WAIT_MS 60000
#define BIG_BYTES ((size_t)32 << 20)

struct fixture {
    struct arena arena;
    struct ctx c;
    struct http_server_opts opts;
    struct http_server *s;
    struct mutex lock; /* guards what follows */
    struct http_req *held[HELD_MAX];
    struct loop *loops[LOOPS_MAX];
    size_t held_n, seen[LOOPS_MAX];
    size_t handled, gone, half_closed, replied, undelivered;
};

static inline void fixture_count_gone(struct http_req *req)
{
    struct fixture *f = req->user;

    mutex_lock(&f->lock);
    f->gone += req->gone;
    f->half_closed += req->half_closed;
    mutex_unlock(&f->lock);
}

static inline void fixture_seen(struct fixture *f, struct loop *l)
{
    size_t i = 0;

    mutex_lock(&f->lock);
    f->handled++;
    while (i < LOOPS_MAX - 1 && f->loops[i] != NULL && f->loops[i] != l)
        i++;
    f->loops[i] = l;
    f->seen[i]++;
    mutex_unlock(&f->lock);
}

/* /echo: the body or the query; /none: 204; /big: 32 MiB; /inject: a header with a line end; /hold:
 * answered by fixture_release. */
static inline void fixture_handler(struct http_req *req, void *arg)
{
    static const struct http_header evil[] = { { { "x-a", 3 }, { "b\r\nx-c: d", 9 } },
                                               { { "x-ok", 4 }, { "yes", 3 } } };
    struct fixture *f = arg;
    struct http_res res = { .status = 200, .type = S("text/plain"), .body = req->body };

    must(loop_here(req->loop));
    fixture_seen(f, req->loop);
    if (str_eq(req->path, S("/hold"))) {
        req->user = f;
        req->on_gone = fixture_count_gone;
        mutex_lock(&f->lock);
        must(f->held_n < HELD_MAX);
        f->held[f->held_n++] = req;
        mutex_unlock(&f->lock);
        return;
    }
    if (str_eq(req->path, S("/none"))) {
        res.status = 204;
    } else if (str_eq(req->path, S("/big"))) {
        char *p = arena_alloc(&req->arena, BIG_BYTES);

        memset(p, 'b', BIG_BYTES);
        res.body = (str_t){ p, BIG_BYTES };
    } else if (str_eq(req->path, S("/inject"))) {
        res.headers = evil;
        res.headers_n = COUNT_OF(evil);
    } else if (req->body.n == 0) {
        res.body = req->query;
    }
    (void)http_reply(req, &res);
}

static inline str_t fixture_error_body(struct arena *a, int status, const char *detail)
{
    return str_printf(a, "{\"code\":%d,\"message\":\"%s\"}", status, detail);
}

/* Fills the options; a test may change them before fixture_start. */
static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){ 0 };
    arena_init(&f->arena);
    mutex_init(&f->lock);
    f->c = (struct ctx){ .arena = &f->arena, .clock = clock_system() };
    f->opts = (struct http_server_opts){ .host = "127.0.0.1",
                                         .loops = 1,
                                         .handler = fixture_handler,
                                         .arg = f,
                                         .error_body = fixture_error_body };
}

static inline void fixture_start(struct fixture *f)
{
    assert_int_equal(http_server_start(&f->c, &f->opts, &f->s), ERR_OK);
    assert_true(http_server_port(f->s) > 0);
}

static inline void fixture_done(struct fixture *f)
{
    http_server_stop(f->s);
    mutex_done(&f->lock);
    arena_done(&f->arena);
}

/* A test whose state is a fixture that is not started yet. */
#define SERVER_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

static inline int fixture_setup(void **state)
{
    struct fixture *f = mem_zero(sizeof(*f));

    fixture_init(f);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_done(*state);
    mem_free(*state);
    return 0;
}

struct release {
    struct loop_msg msg;
    struct fixture *f;
    struct http_req *req;
};

static inline void on_release(struct loop_msg *m)
{
    struct release *rel = (struct release *)m;
    struct fixture *f = rel->f;
    struct http_res res = { .status = 200, .type = S("text/plain"), .body = S("released") };
    bool ok = http_reply(rel->req, &res);

    mutex_lock(&f->lock);
    f->replied++;
    f->undelivered += !ok;
    mutex_unlock(&f->lock);
    mem_free(rel);
}

/* Answers the oldest held request, from its loop. */
static inline void fixture_release(struct fixture *f)
{
    struct release *rel = mem_zero(sizeof(*rel));

    mutex_lock(&f->lock);
    must(f->held_n > 0);
    rel->req = f->held[0];
    memmove(f->held, f->held + 1, sizeof(f->held[0]) * --f->held_n);
    mutex_unlock(&f->lock);
    rel->f = f;
    rel->msg.fn = on_release;
    loop_post(rel->req->loop, &rel->msg);
}

static inline size_t fixture_get(struct fixture *f, const size_t *counter)
{
    mutex_lock(&f->lock);
    size_t v = *counter;
    mutex_unlock(&f->lock);
    return v;
}

static inline void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = (long)ms * 1000000 }, NULL);
}

/* Until the counter shows n. */
static inline void fixture_wait(struct fixture *f, const size_t *counter, size_t n)
{
    for (int i = 0; i < WAIT_MS && fixture_get(f, counter) != n; i++)
        pause_ms(1);
    assert_int_equal(fixture_get(f, counter), n);
}

/* Until the server has n connections. */
static inline void fixture_wait_connections(struct fixture *f, size_t n)
{
    for (int i = 0; i < WAIT_MS && http_server_connections(f->s) != n; i++)
        pause_ms(1);
    assert_int_equal(http_server_connections(f->s), n);
}
