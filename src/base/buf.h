/* The only growing string. It always has a maximum: an append that would pass it is dropped whole,
 * sets `full`, and drops every later append too, so one check at the end is enough. */
#pragma once

#include "base/str.h"

struct buf {
    char *p;
    size_t n, cap, max; /* cap never exceeds max */
    bool full;
    struct arena *arena; /* NULL: heap */
};

/* Grows on the heap up to max bytes; buf_done frees. */
void buf_init(struct buf *b, size_t max);
/* Grows inside the arena; buf_done is not needed. */
void buf_init_arena(struct buf *b, struct arena *a, size_t max);
void buf_done(struct buf *b);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
void buf_append_slow(struct buf *b, str_t s);
static inline void buf_append(struct buf *b, str_t s)
{
    if (s.n > b->cap - b->n || b->full) {
        buf_append_slow(b, s);
    } else if (s.n != 0) {
        memcpy(b->p + b->n, s.p, s.n);
        b->n += s.n;
    }
}
static inline void buf_char(struct buf *b, char ch)
{
    if (b->n == b->cap || b->full)
        buf_append_slow(b, (str_t){ &ch, 1 });
    else
        b->p[b->n++] = ch;
}
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_i64(struct buf *b, int64_t v);
void buf_u64(struct buf *b, uint64_t v);
/* Room for n more bytes at the returned address, or NULL (and full) past the maximum; call
 * buf_commit with what was written. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
/* A view of the content, valid until the next append. */
str_t buf_str(const struct buf *b);
