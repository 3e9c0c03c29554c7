/* The only place that calls malloc. */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static void *checked(void *p, size_t n)
{
    if (p == NULL) {
        fprintf(stderr, "ironflow: out of memory (%zu bytes)\n", n);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n)
{
    return checked(malloc(n != 0 ? n : 1), n);
}

void *mem_zero(size_t n)
{
    return checked(calloc(1, n != 0 ? n : 1), n);
}

void *mem_resize(void *p, size_t n)
{
    return checked(realloc(p, n != 0 ? n : 1), n);
}

void mem_free(void *p)
{
    free(p);
}

void mem_free_at(void *p)
{
    void **at = p;

    free(*at);
    *at = NULL;
}
