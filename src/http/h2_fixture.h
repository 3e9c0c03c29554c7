/* For the tests of HTTP/2 and of streaming: a server whose handler also streams. */
#pragma once

#include "http/h2_client_fixture.h"

#define DRIP_BYTES ((size_t)8 << 20)
#define HOARD_BYTES ((size_t)20 << 20)

/* ---- the server ---- */

struct world {
    struct fixture f;       /* first: the handler's argument */
    struct http_req *sunk;  /* under the lock of f, like what follows */
    size_t got, got_end;    /* bytes and ends that on_data saw */
    size_t stuffed, roomed; /* writes that said no, calls of on_room */
    size_t ended;           /* streaming replies that were ended */
    struct client c;        /* the test's, for world_open */
};

/* A request that streams, in its arena. */
struct act {
    struct world *w;
    size_t owed; /* not consumed yet */
    size_t left; /* to write */
    bool over;
};

static inline void world_add(struct world *w, size_t *counter, size_t n)
{
    mutex_lock(&w->f.lock);
    *counter += n;
    mutex_unlock(&w->f.lock);
}

static inline void act_end(struct http_req *req, const struct http_header *trailers, size_t n)
{
    struct act *a = req->user;
    struct world *w = a->w;

    a->over = true;
    bool ok = http_stream_end(req, trailers, n);
    mutex_lock(&w->f.lock);
    w->ended++;
    w->f.undelivered += !ok;
    mutex_unlock(&w->f.lock);
}

static inline void act_gone(struct http_req *req)
{
    struct act *a = req->user;

    mutex_lock(&a->w->f.lock);
    a->w->f.gone += req->gone;
    a->w->f.half_closed += req->half_closed;
    if (a->w->sunk == req)
        a->w->sunk = NULL;
    mutex_unlock(&a->w->f.lock);
    act_end(req, NULL, 0);
}

/* Echo: consumes what it could write. */
static inline void echo_data(struct http_req *req, str_t piece, bool end)
{
    static const struct http_header trailers[] = { { { "x-end", 5 }, { "yes", 3 } },
                                                   { { "x-evil", 6 }, { "a\r\nb", 4 } } };
    struct act *a = req->user;

    world_add(a->w, &a->w->got, piece.n);
    if (piece.n > 0 && http_stream_write(req, piece)) {
        http_body_consume(req, piece.n);
    } else if (piece.n > 0) {
        a->owed += piece.n;
        world_add(a->w, &a->w->stuffed, 1);
    }
    if (end)
        act_end(req, trailers, COUNT_OF(trailers));
}

static inline void echo_room(struct http_req *req)
{
    struct act *a = req->user;

    world_add(a->w, &a->w->roomed, 1);
    http_body_consume(req, a->owed);
    a->owed = 0;
}

/* Drip: so many bytes in pieces, as fast as they go. */
static inline void drip_room(struct http_req *req)
{
    static char piece[1000];
    struct act *a = req->user;
    bool room = true;

    memset(piece, 'd', sizeof(piece));
    world_add(a->w, &a->w->roomed, 1);
    while (a->left > 0 && room) {
        size_t n = a->left < sizeof(piece) ? a->left : sizeof(piece);

        room = http_stream_write(req, (str_t){ piece, n });
        a->left -= n;
    }
    world_add(a->w, &a->w->stuffed, !room);
    if (a->left == 0)
        act_end(req, NULL, 0);
}

/* Sink: takes all and consumes when it is told to. */
static inline void sink_data(struct http_req *req, str_t piece, bool end)
{
    struct act *a = req->user;

    a->owed += piece.n;
    world_add(a->w, &a->w->got, piece.n);
    world_add(a->w, &a->w->got_end, end);
    if (end)
        act_end(req, NULL, 0);
}

static inline void hoard(struct http_req *req)
{
    char *p = mem_zero(HOARD_BYTES / 4);

    for (int i = 0; i < 4; i++)
        (void)http_stream_write(req, (str_t){ p, HOARD_BYTES / 4 });
    mem_free(p);
}

/* Begins its reply with the first piece. */
static inline void late_data(struct http_req *req, str_t piece, bool end)
{
    struct http_res res = { .status = 200 };

    req->on_data = echo_data;
    req->on_gone = act_gone;
    (void)http_stream_start(req, &res);
    echo_data(req, piece, end);
}

static inline void act_start(struct http_req *req, struct world *w)
{
    struct http_res res = { .status = 200, .type = S("application/connect+proto") };
    struct act *a = NEW(&req->arena, struct act);

    a->w = w;
    req->user = a;
    if (str_eq(req->path, S("/s/late"))) {
        req->on_data = late_data;
        return;
    }
    req->on_gone = act_gone;
    (void)http_stream_start(req, &res);
    if (str_eq(req->path, S("/s/echo"))) {
        req->on_data = echo_data;
        req->on_room = echo_room;
    } else if (str_eq(req->path, S("/s/sink")) || str_eq(req->path, S("/sink"))) {
        req->on_data = sink_data;
        mutex_lock(&w->f.lock);
        w->sunk = req;
        mutex_unlock(&w->f.lock);
    } else if (str_eq(req->path, S("/s/hoard"))) {
        hoard(req);
    } else if (str_eq(req->path, S("/s/abort"))) {
        (void)http_stream_write(req, S("begun"));
        http_stream_abort(req);
    } else if (str_eq(req->path, S("/drip"))) {
        a->left = DRIP_BYTES;
        req->on_room = drip_room;
        drip_room(req);
    }
}

/* /s/...: the body streams; /drip, /sink: only the reply; /s/no: refused before its body; /keep:
 * never answered, gone or not. */
static inline void world_handler(struct http_req *req, void *arg)
{
    struct world *w = arg;
    struct http_res no = { .status = 401, .body = S("no") };

    if (str_eq(req->path, S("/keep"))) {
        fixture_seen(&w->f, req->loop);
    } else if (str_eq(req->path, S("/s/no"))) {
        fixture_seen(&w->f, req->loop);
        (void)http_reply(req, &no);
    } else if (req->streaming || str_eq(req->path, S("/drip")) || str_eq(req->path, S("/sink"))) {
        fixture_seen(&w->f, req->loop);
        act_start(req, w);
    } else {
        fixture_handler(req, &w->f);
    }
}

static inline bool world_wants(const struct http_req *head, void *arg)
{
    (void)arg;
    return str_starts(head->path, S("/s/"));
}

/* A test whose state is a world that is not started yet. */
#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

static inline int world_setup(void **state)
{
    struct world *w = mem_zero(sizeof(*w));

    fixture_init(&w->f);
    w->f.opts.handler = world_handler;
    w->f.opts.wants_stream = world_wants;
    *state = w;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;

    client_close(&w->c);
    fixture_done(&w->f);
    mem_free(w);
    return 0;
}

/* Starts the server and connects its client. */
static inline void world_open(struct world *w, uint32_t window, bool manual)
{
    fixture_start(&w->f);
    client_open(&w->c, &w->f, window, manual);
}

struct sip {
    struct loop_msg msg;
    struct world *w;
    size_t n;
};

static inline void on_sip(struct loop_msg *m)
{
    struct sip *sip = (struct sip *)m;
    struct http_req *req = sip->w->sunk;

    if (req != NULL) {
        struct act *a = req->user;
        size_t n = sip->n < a->owed ? sip->n : a->owed;

        a->owed -= n;
        http_body_consume(req, n);
    }
    mem_free(sip);
}

/* Lets the sink consume up to n bytes of what it has. */
static inline void world_sip(struct world *w, size_t n)
{
    struct sip *sip = mem_zero(sizeof(*sip));

    sip->w = w;
    sip->n = n;
    sip->msg.fn = on_sip;
    mutex_lock(&w->f.lock);
    struct loop *l = w->sunk->loop;
    mutex_unlock(&w->f.lock);
    loop_post(l, &sip->msg);
}

/* ---- both ---- */

/* Waits for a condition on a counter of the server while the client goes on. */
static inline void client_wait_for(struct client *c, struct fixture *f, const size_t *counter,
                                   size_t n)
{
    for (int i = 0; i < WAIT_MS && fixture_get(f, counter) < n; i++)
        (void)client_turn(c, 1);
    assert_true(fixture_get(f, counter) >= n);
}

static inline void expect_answer(struct client *c, size_t i, int status, const char *body)
{
    while (!c->a[i].closed && !c->ended)
        assert_true(client_turn(c, WAIT_MS));
    assert_true(c->a[i].closed);
    assert_int_equal(c->a[i].status, status);
    if (body != NULL)
        assert_string_equal(c->a[i].body_n > 0 ? c->a[i].body : "", body);
}

/* A body that fits once into the bound on bodies that world_open_full sets. */
#define WORLD_BODY                                                                                 \
    S("80 bytes of body, of which only 100 may be in flight in a server at any one time")

/* Starts with one such body in flight; the number of its request, which is held. */
static inline size_t world_open_full(struct world *w)
{
    w->f.opts.limits.bodies_bytes_max = 100;
    world_open(w, 0, false);
    size_t held = client_post(&w->c, "/hold", WORLD_BODY);
    client_wait_for(&w->c, &w->f, &w->f.held_n, 1);
    return held;
}
