/* Hash maps on the heap with 64-bit or string keys and pointer values. Values are not owned; string
 * keys are borrowed and must outlive the entry (usually they live in the value). */
#pragma once

#include "base/str.h"

struct map_slot {
    uint64_t key;
    str_t name;
    void *value; /* NULL: free slot */
};

struct map {
    struct map_slot *slots;
    size_t n, cap;
};

/* A zeroed struct map is an empty map. */
void map_done(struct map *m);
void *map_get(const struct map *m, uint64_t key);
/* Inserts or replaces; value must not be NULL. Returns the value replaced or NULL. */
void *map_put(struct map *m, uint64_t key, void *value);
/* Returns the value removed or NULL. */
void *map_del(struct map *m, uint64_t key);

/* The same by string; the name must outlive the entry. */
void *map_get_str(const struct map *m, str_t name);
void *map_put_str(struct map *m, str_t name, void *value);
void *map_del_str(struct map *m, str_t name);

/* Iteration: for (size_t i = 0; (v = map_next(m, &i)) != NULL;). Do not change the map meanwhile.
 */
void *map_next(const struct map *m, size_t *i);
