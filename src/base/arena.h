/* Bump allocation for everything that lives as long as one call. One owner, one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;
struct arena_defer;

struct arena {
    struct arena_chunk *head; /* newest chunk first */
    char *at, *end;
    size_t used;                /* bytes handed out since the last reset */
    struct arena_defer *defers; /* newest first */
};

void arena_init(struct arena *a);
/* Frees all memory. The arena may be used again. */
void arena_done(struct arena *a);
/* Forgets all allocations; keeps one chunk for reuse. */
void arena_reset(struct arena *a);
/* Memory aligned for any type, not cleared; never NULL (out of memory aborts). */
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull));
/* The same, cleared. */
void *arena_zero(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull));
/* Grows the allocation p of n bytes to `to` bytes where it is; false when that is not possible. */
bool arena_extend(struct arena *a, void *p, size_t n, size_t to);
/* Calls fn(arg) when the arena is reset or done, newest first: it gives back what the arena's call
 * has borrowed. fn runs on the thread that resets and must not allocate here. */
void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg);

#define NEW(a, type) ((type *)arena_zero((a), sizeof(type)))
#define NEW_N(a, type, n) ((type *)arena_zero((a), sizeof(type) * (size_t)(n)))
