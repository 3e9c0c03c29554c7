/* Sets of code points: the classes of regular expressions. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/regex_priv.h"

void regex_set_add(struct regex_set *set, int32_t lo, int32_t hi)
{
    if (set->n == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 8;
        struct regex_range *p = arena_alloc(set->arena, cap * sizeof(*p));

        if (set->n > 0)
            memcpy(p, set->p, set->n * sizeof(*p));
        set->p = p;
        set->cap = cap;
    }
    set->p[set->n++] = (struct regex_range){ lo, hi };
}

/* Upper-case letters whose small twins stand at a fixed distance. */
static const struct {
    int32_t lo, hi, delta;
} folds[] = {
    { 'A', 'Z', 32 },     { 0xC0, 0xD6, 32 },   { 0xD8, 0xDE, 32 },   { 0x391, 0x3A1, 32 },
    { 0x3A3, 0x3A9, 32 }, { 0x410, 0x42F, 32 }, { 0x400, 0x40F, 80 },
};

static void add_overlap(struct regex_set *set, struct regex_range r, int32_t lo, int32_t hi,
                        int32_t delta)
{
    if (r.lo < lo)
        r.lo = lo;
    if (r.hi > hi)
        r.hi = hi;
    if (r.lo <= r.hi)
        regex_set_add(set, r.lo + delta, r.hi + delta);
}

void regex_set_fold(struct regex_set *set)
{
    size_t n = set->n;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < COUNT_OF(folds); k++) {
            int32_t lo = folds[k].lo, hi = folds[k].hi, delta = folds[k].delta;

            add_overlap(set, set->p[i], lo, hi, delta);
            add_overlap(set, set->p[i], lo + delta, hi + delta, -delta);
        }
}

static int by_low(const void *a, const void *b)
{
    const struct regex_range *x = a, *y = b;

    return (x->lo > y->lo) - (x->lo < y->lo);
}

void regex_set_finish(struct regex_set *set, bool negate)
{
    size_t n = 0;
    int32_t next = 0;

    if (set->n > 1)
        qsort(set->p, set->n, sizeof(*set->p), by_low);
    for (size_t i = 0; i < set->n; i++) {
        struct regex_range r = set->p[i];

        if (n > 0 && r.lo <= set->p[n - 1].hi + 1) {
            if (r.hi > set->p[n - 1].hi)
                set->p[n - 1].hi = r.hi;
        } else {
            set->p[n++] = r;
        }
    }
    set->n = n;
    if (!negate)
        return;
    n = set->n;
    set->n = 0;
    for (size_t i = 0; i < n; i++) { /* the gaps; never more than what was read before */
        struct regex_range r = set->p[i];

        if (next < r.lo)
            regex_set_add(set, next, r.lo - 1);
        next = r.hi + 1;
    }
    if (next <= REGEX_POINT_MAX)
        regex_set_add(set, next, REGEX_POINT_MAX);
}

struct named {
    const char *name;
    struct regex_range ranges[5]; /* up to the first empty one */
};

static const struct named posix[] = {
    { "alnum", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } },
    { "alpha", { { 'A', 'Z' }, { 'a', 'z' } } },
    { "ascii", { { 0, 127 } } },
    { "blank", { { '\t', '\t' }, { ' ', ' ' } } },
    { "cntrl", { { 0, 31 }, { 127, 127 } } },
    { "digit", { { '0', '9' } } },
    { "graph", { { '!', '~' } } },
    { "lower", { { 'a', 'z' } } },
    { "print", { { ' ', '~' } } },
    { "punct", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } } },
    { "space", { { '\t', '\r' }, { ' ', ' ' } } },
    { "upper", { { 'A', 'Z' } } },
    { "word", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } } },
    { "xdigit", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } },
    { "d", { { '0', '9' } } },
    { "s", { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } } },
    { "w", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } } },
};

static bool add_named(struct regex_set *set, str_t name, bool negate)
{
    struct regex_set inner = { .arena = set->arena };
    const struct named *found = NULL;

    for (size_t i = 0; i < COUNT_OF(posix); i++)
        if (str_eq(name, str_from(posix[i].name)))
            found = &posix[i];
    if (!found)
        return false;
    for (size_t i = 0; i < 5 && found->ranges[i].hi > 0; i++)
        regex_set_add(&inner, found->ranges[i].lo, found->ranges[i].hi);
    regex_set_finish(&inner, negate);
    for (size_t i = 0; i < inner.n; i++)
        regex_set_add(set, inner.p[i].lo, inner.p[i].hi);
    return true;
}

bool regex_set_perl(struct regex_set *set, char letter)
{
    char lower = (char)(letter | 0x20);

    if (lower != 'd' && lower != 's' && lower != 'w')
        return false;
    return add_named(set, (str_t){ &lower, 1 }, letter != lower);
}

bool regex_set_posix(struct regex_set *set, str_t name)
{
    bool negate = name.n > 0 && name.p[0] == '^';

    name = str_slice(name, negate, name.n);
    return name.n > 1 && add_named(set, name, negate);
}
