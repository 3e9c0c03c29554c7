/* The parser must never crash, must read no byte twice, and must make the same of the same bytes
 * however they are cut. The first byte says into which pieces; all requests in the input are read.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits limits = { .header_bytes_max = 4096,
                                         .url_bytes_max = 256,
                                         .body_bytes_max = 512 };

struct parse {
    struct arena arena;
    struct h1 *h1;
    enum h1_event event;
    size_t used; /* of the whole input */
};

/* Reads one request from t->used on. Each piece is copied to the heap at its exact size, so that a
 * read past its end is seen. */
static void read_one(struct parse *t, str_t in, size_t step)
{
    h1_start(t->h1, &t->arena, &limits);
    do {
        size_t end = t->used + step < in.n ? t->used + step : in.n;
        size_t n = end - t->used;
        char *piece = malloc(n + (n == 0));
        size_t used = SIZE_MAX;

        must(piece != NULL);
        memcpy(piece, in.p + t->used, n);
        t->event = h1_feed(t->h1, (str_t){ piece, n }, &used);
        free(piece);
        must(used <= n);
        must(t->event != H1_MORE || used == n);
        t->used += used;
    } while (t->event == H1_HEAD || (t->event == H1_MORE && t->used < in.n));
}

static bool same(str_t a, str_t b)
{
    return str_eq(a, b);
}

static void compare(const struct parse *a, const struct parse *b)
{
    const char *detail = NULL;
    const struct h1_head *x = h1_head(a->h1), *y = h1_head(b->h1);

    must(a->event == b->event);
    if (a->event == H1_FAIL) {
        must(h1_fault(a->h1, &detail) >= 400 && detail != NULL);
        must(h1_fault(b->h1, &detail) >= 400 && detail != NULL);
    }
    if (a->event != H1_DONE)
        return;
    must(a->used == b->used);
    must(same(x->method, y->method) && same(x->path, y->path) && same(x->query, y->query));
    must(x->headers_n == y->headers_n && x->keep_alive == y->keep_alive);
    for (size_t i = 0; i < x->headers_n; i++)
        must(same(x->headers[i].name, y->headers[i].name) &&
             same(x->headers[i].value, y->headers[i].value));
    must(same(h1_body(a->h1), h1_body(b->h1)));
    must(h1_body(a->h1).n <= limits.body_bytes_max);
    must(x->chunked || x->body_bytes == h1_body(a->h1).n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parse whole = { .h1 = h1_new() }, cut = { .h1 = h1_new() };
    size_t step = size > 0 ? (size_t)data[0] + 1 : 1;
    str_t in = { (const char *)data + (size > 0), size - (size > 0) };

    arena_init(&whole.arena);
    arena_init(&cut.arena);
    do {
        read_one(&whole, in, SIZE_MAX / 2);
        read_one(&cut, in, step);
        compare(&whole, &cut);
    } while (whole.event == H1_DONE && whole.used < in.n);
    h1_free(whole.h1);
    h1_free(cut.h1);
    arena_done(&whole.arena);
    arena_done(&cut.arena);
    return 0;
}
