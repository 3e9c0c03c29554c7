/* Requests are recycled in a list of each loop together with their parser and one arena chunk, so
 * an idle connection holds none of that and a busy one allocates nothing. */
#include "http/http_priv.h"

#include "base/mem.h"
#include "base/must.h"

#define SPARE_MAX 256
#define SPARE_ARENA_BYTES_MAX ((size_t)32 << 10)

struct request *request_new(struct http_loop *hl, struct conn *conn)
{
    struct request *r = hl->spare;

    if (r != NULL) {
        hl->spare = r->next;
        hl->spare_n--;
    } else {
        r = mem_zero(sizeof(*r));
        arena_init(&r->req.arena);
        r->hl = hl;
        r->req.loop = hl->loop;
    }
    r->conn = conn;
    r->prev = NULL;
    r->next = hl->requests;
    if (r->next != NULL)
        r->next->prev = r;
    hl->requests = r;
    if (conn->h2 == NULL) {
        r->h1 = r->h1 != NULL ? r->h1 : h1_new();
        h1_start(r->h1, &r->req.arena, &hl->server->h1);
    }
    return r;
}

static void request_destroy(struct request *r)
{
    arena_done(&r->req.arena);
    h1_free(r->h1);
    mem_free(r);
}

/* All fields as in a new one; arena, parser and loop stay. */
static void request_clear(struct request *r)
{
    struct http_req *req = &r->req;

    if (req->arena.used > SPARE_ARENA_BYTES_MAX)
        arena_done(&req->arena);
    else
        arena_reset(&req->arena);
    req->method = req->path = req->query = req->body = req->remote = STR_NULL;
    req->headers = NULL;
    req->headers_n = 0;
    req->gone = req->half_closed = req->streaming = false;
    req->user = NULL;
    req->on_gone = NULL;
    req->on_data = NULL;
    req->on_room = NULL;
    r->conn = NULL;
    r->h2 = NULL;
    r->reserved = r->queued = 0;
    r->keep_alive = r->http10 = r->head_only = false;
    r->dispatched = r->streams = r->bodiless = r->stuffed = r->notified = false;
}

void request_free(struct request *r)
{
    struct http_loop *hl = r->hl;

    if (r->reserved > 0)
        atomic_fetch_sub(&hl->server->bodies, r->reserved);
    if (r->queued > 0)
        atomic_fetch_sub(&hl->server->replies, r->queued);
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        hl->requests = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    if (hl->spare_n >= SPARE_MAX) {
        request_destroy(r);
        return;
    }
    request_clear(r);
    r->next = hl->spare;
    hl->spare = r;
    hl->spare_n++;
}

void request_free_spare(struct http_loop *hl)
{
    while (hl->spare != NULL) {
        struct request *r = hl->spare;

        hl->spare = r->next;
        request_destroy(r);
    }
    hl->spare_n = 0;
}

void request_take_head(struct request *r)
{
    const struct h1_head *head = h1_head(r->h1);
    struct http_req *req = &r->req;

    req->method = head->method;
    req->path = head->path;
    req->query = head->query;
    req->headers = head->headers;
    req->headers_n = head->headers_n;
    req->remote = str_dup(&req->arena, str_from(r->conn->remote)); /* may outlive the connection */
    r->keep_alive = head->keep_alive;
    r->http10 = head->http10;
    r->head_only = str_eq(head->method, S("HEAD"));
}

/* A declared length is reserved whole, before it is read; chunks as they come, so that they may
 * pass the bound by one read each. */
bool request_reserve(struct request *r)
{
    struct http_server *s = r->hl->server;
    const struct h1_head *head = h1_head(r->h1);

    if (head->chunked) {
        uint64_t max = s->o.limits.bodies_bytes_max, now = atomic_load(&s->bodies);
        uint64_t more = h1_body(r->h1).n - r->reserved;

        if (more > 0)
            now = atomic_fetch_add(&s->bodies, more) + more;
        r->reserved += more;
        return now <= max || now == r->reserved;
    }
    return r->reserved == head->body_bytes || request_reserve_to(r, head->body_bytes);
}

bool request_reserve_to(struct request *r, uint64_t total)
{
    struct http_server *s = r->hl->server;
    uint64_t max = s->o.limits.bodies_bytes_max, now = atomic_load(&s->bodies);

    do {
        if (total <= r->reserved)
            return true;
        if (now > r->reserved && now - r->reserved + total > max)
            return false; /* one alone may pass the bound, it would never be served else */
    } while (!atomic_compare_exchange_weak(&s->bodies, &now, now + (total - r->reserved)));
    r->reserved = total;
    return true;
}

void request_unreserve(struct request *r, uint64_t n)
{
    must(n <= r->reserved);
    atomic_fetch_sub(&r->hl->server->bodies, n);
    r->reserved -= n;
}

void request_notify(struct request *r)
{
    if (r->notified || r->req.on_gone == NULL)
        return;
    r->notified = true;
    r->req.on_gone(&r->req);
}

void request_dispatch(struct request *r)
{
    struct http_server *s = r->hl->server;

    r->dispatched = true;
    atomic_fetch_add(&s->busy, 1);
    s->o.handler(&r->req, s->o.arg);
}

void request_answered(struct request *r)
{
    must(r->dispatched);
    r->dispatched = r->streams = false;
    atomic_fetch_sub(&r->hl->server->busy, 1);
}

str_t http_header(const struct http_req *req, str_t name)
{
    for (size_t i = 0; i < req->headers_n; i++)
        if (str_eq(req->headers[i].name, name))
            return req->headers[i].value;
    return STR_NULL;
}
