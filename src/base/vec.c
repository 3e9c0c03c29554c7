/* The growing array of pointers. */
#include "base/vec.h"

#include "base/mem.h"
#include "base/must.h"

void vec_push(struct vec *v, void *item)
{
    if (v->n == v->cap) {
        v->cap = v->cap == 0 ? 8 : v->cap * 2;
        v->items = mem_resize(v->items, v->cap * sizeof(*v->items));
    }
    v->items[v->n++] = item;
}

void vec_swap_remove(struct vec *v, size_t i)
{
    must(i < v->n);
    v->items[i] = v->items[--v->n];
}

void vec_done(struct vec *v)
{
    mem_free(v->items);
    *v = (struct vec){ 0 };
}
