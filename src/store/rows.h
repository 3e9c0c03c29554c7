/* Growing arrays in the arena for the rows of a query. */
#pragma once

#include "db/db.h"

struct rows_of {
    void *items;
    size_t n, cap, size;
};
#define ROWS_OF(type)                                                                              \
    {                                                                                              \
        .size = sizeof(type)                                                                       \
    }

/* The next item, cleared; earlier pointers are void afterwards. */
static inline void *rows_next(struct ctx *c, struct rows_of *r)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 8;
        void *items = arena_alloc(c->arena, cap * r->size);

        if (r->n > 0)
            memcpy(items, r->items, r->n * r->size);
        r->items = items;
        r->cap = cap;
    }
    void *item = (char *)r->items + r->n++ * r->size;
    memset(item, 0, r->size);
    return item;
}

/* NULL for 0: an absent reference. */
#define DB_INT_OR_NULL(v) ((struct db_val){ .kind = (v) != 0 ? DB_VAL_INT : DB_VAL_NULL, .i = (v) })
