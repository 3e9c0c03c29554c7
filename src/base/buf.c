/* The growing string: doubling, bounded, on the heap or in an arena. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/must.h"

#define BUF_FIRST 64

/* Makes room for n more bytes, or sets full. */
static bool grow(struct buf *b, size_t n)
{
    size_t cap = b->cap;

    if (b->full || n > b->max - b->n) {
        b->full = true;
        return false;
    }
    if (n <= cap - b->n)
        return true;
    cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap < b->n + n)
        cap = b->n + n;
    if (cap < BUF_FIRST && b->max >= BUF_FIRST)
        cap = BUF_FIRST;
    if (b->arena == NULL) {
        b->p = mem_resize(b->p, cap);
    } else if (b->p == NULL || !arena_extend(b->arena, b->p, b->cap, cap)) {
        char *p = arena_alloc(b->arena, cap);

        if (b->p != NULL)
            memcpy(p, b->p, b->n);
        b->p = p;
    }
    b->cap = cap;
    return true;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max };
}

void buf_init_arena(struct buf *b, struct arena *a, size_t max)
{
    *b = (struct buf){ .max = max, .arena = a };
}

void buf_done(struct buf *b)
{
    if (b->arena == NULL)
        mem_free(b->p);
    *b = (struct buf){ .max = b->max, .arena = b->arena };
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->full = false;
}

void buf_append_slow(struct buf *b, str_t s)
{
    if (!grow(b, s.n) || s.n == 0)
        return;
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    int len;
    size_t n;

    va_start(ap, fmt);
    len = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    must(len >= 0);
    n = (size_t)len;
    if (n < sizeof(small)) {
        buf_append(b, (str_t){ small, n });
        return;
    }
    /* vsnprintf writes a NUL that does not belong to the content and may not fit below max. */
    if (grow(b, n)) {
        char *text = mem_alloc(n + 1);

        va_start(ap, fmt);
        must(vsnprintf(text, n + 1, fmt, ap) == len);
        va_end(ap);
        buf_append(b, (str_t){ text, n });
        mem_free(text);
    }
}

void buf_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    buf_append(b, (str_t){ digits + at, sizeof(digits) - at });
}

void buf_i64(struct buf *b, int64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        digits[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0)
        digits[--at] = '-';
    buf_append(b, (str_t){ digits + at, sizeof(digits) - at });
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (!grow(b, n))
        return NULL;
    /* Room for nothing must not look like a refusal. */
    if (b->p == NULL) {
        static char none;

        return &none;
    }
    return b->p + b->n;
}

void buf_commit(struct buf *b, size_t n)
{
    must(n <= b->cap - b->n);
    b->n += n;
}

str_t buf_str(const struct buf *b)
{
    return (str_t){ b->p, b->n };
}
