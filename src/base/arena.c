/* Chunks on the heap, each twice the last up to a limit; an allocation is an addition. Under the
 * address sanitizer memory that was not handed out is poisoned and allocations stand apart. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif

#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#define RED_ZONE ARENA_ALIGN
#else
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#define RED_ZONE 0
#endif

#define ARENA_ALIGN alignof(max_align_t)
#define ARENA_FIRST ((size_t)2 << 10)
#define ARENA_CHUNK_MAX ((size_t)1 << 20)
#define ARENA_KEEP_MAX ((size_t)256 << 10) /* a reset gives larger chunks back to the heap */

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of data */
    alignas(max_align_t) char data[];
};

struct arena_defer {
    struct arena_defer *next;
    void (*fn)(void *arg);
    void *arg;
};

static size_t round_up(size_t n)
{
    must(n <= SIZE_MAX / 4);
    return (n + (n == 0) + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
}

static void chunk_use(struct arena *a, struct arena_chunk *chunk)
{
    a->at = chunk->data;
    a->end = chunk->data + chunk->size;
    POISON(chunk->data, chunk->size);
}

static void chunk_free(struct arena_chunk *chunk)
{
    UNPOISON(chunk->data, chunk->size);
    mem_free(chunk);
}

/* A large allocation gets a chunk of its own behind the head, so that the rest of the head stays in
 * use. */
static void *alloc_large(struct arena *a, size_t size)
{
    struct arena_chunk *chunk = mem_alloc(sizeof(*chunk) + size);

    chunk->size = size;
    chunk->next = a->head->next;
    a->head->next = chunk;
    return chunk->data;
}

static void *alloc_slow(struct arena *a, size_t size)
{
    size_t want = ARENA_FIRST;
    struct arena_chunk *chunk;
    char *p;

    if (a->head != NULL) {
        want = a->head->size < ARENA_CHUNK_MAX ? a->head->size * 2 : ARENA_CHUNK_MAX;
        if (size > want / 4)
            return alloc_large(a, size);
    }
    while (want < size + RED_ZONE)
        want *= 2;
    chunk = mem_alloc(sizeof(*chunk) + want);
    chunk->size = want;
    chunk->next = a->head;
    a->head = chunk;
    chunk_use(a, chunk);
    p = a->at;
    a->at += size + RED_ZONE;
    return p;
}

void arena_init(struct arena *a)
{
    *a = (struct arena){ 0 };
}

void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg)
{
    struct arena_defer *d = arena_alloc(a, sizeof(*d));

    *d = (struct arena_defer){ .next = a->defers, .fn = fn, .arg = arg };
    a->defers = d;
}

static void run_defers(struct arena *a)
{
    for (struct arena_defer *d = a->defers; d != NULL; d = d->next)
        d->fn(d->arg);
    a->defers = NULL;
}

void arena_done(struct arena *a)
{
    struct arena_chunk *chunk = a->head;

    run_defers(a);
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;

        chunk_free(chunk);
        chunk = next;
    }
    *a = (struct arena){ 0 };
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *chunk = a->head;
    struct arena_chunk *keep = NULL;

    run_defers(a);
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;

        if (chunk->size <= ARENA_KEEP_MAX && (keep == NULL || chunk->size > keep->size)) {
            if (keep != NULL)
                chunk_free(keep);
            keep = chunk;
        } else {
            chunk_free(chunk);
        }
        chunk = next;
    }
    *a = (struct arena){ .head = keep };
    if (keep != NULL) {
        keep->next = NULL;
        chunk_use(a, keep);
    }
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t size = round_up(n);
    char *p = a->at;

    a->used += size;
    if (size + RED_ZONE <= (size_t)(a->end - p))
        a->at = p + size + RED_ZONE;
    else
        p = alloc_slow(a, size);
    UNPOISON(p, n);
    return p;
}

void *arena_zero(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

bool arena_extend(struct arena *a, void *p, size_t n, size_t to)
{
    size_t have = round_up(n);
    size_t want = round_up(to);

    must(to >= n);
    if ((char *)p + have + RED_ZONE != a->at || want - have > (size_t)(a->end - a->at))
        return false;
    a->at += want - have;
    a->used += want - have;
    UNPOISON(p, to);
    return true;
}
