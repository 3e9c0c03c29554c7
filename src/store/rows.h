/* What the statements of this folder share: growing arrays in the arena for their rows, and single
 * numbers. */
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

/* The number that a statement answers; absent: when it has no row. */
NODISCARD static inline err_t row_int(struct ctx *c, const struct sql *q, struct db_args args,
                                      int64_t absent, int64_t *out)
{
    struct db_rows r;
    int64_t v = absent;

    TRY(db_query(c, q, args, &r));
    if (db_row(&r))
        v = db_int(&r, 0);
    TRY(db_end(&r));
    *out = v;
    return ERR_OK;
}

/* The two numbers of each row, as arrays beside each other; ends the result. */
NODISCARD static inline err_t rows_pairs(struct ctx *c, struct db_rows *r, int64_t **first,
                                         int64_t **second, size_t *n)
{
    struct rows_of a = ROWS_OF(int64_t), b = ROWS_OF(int64_t);

    while (db_row(r)) {
        *(int64_t *)rows_next(c, &a) = db_int(r, 0);
        *(int64_t *)rows_next(c, &b) = db_int(r, 1);
    }
    TRY(db_end(r));
    *first = a.items;
    *second = b.items;
    *n = a.n;
    return ERR_OK;
}

/* NULL for 0: an absent reference. */
#define DB_INT_OR_NULL(v) ((struct db_val){ .kind = (v) != 0 ? DB_VAL_INT : DB_VAL_NULL, .i = (v) })
