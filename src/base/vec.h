/* A growing array of pointers on the heap; what they point to is not owned. */
#pragma once

#include <stddef.h>

struct vec {
    void **items;
    size_t n, cap;
};

void vec_push(struct vec *v, void *item);
/* Removes item i, order not kept. */
void vec_swap_remove(struct vec *v, size_t i);
void vec_done(struct vec *v);
