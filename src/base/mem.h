/* Heap memory that never fails: out of memory aborts with a message. */
#pragma once

#include <stddef.h>

void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));
void *mem_zero(size_t n) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *p, size_t n) __attribute__((returns_nonnull));
/* free(); NULL is allowed. */
void mem_free(void *p);
/* For AUTO(mem_free_at): frees *(void **)p. */
void mem_free_at(void *p);
