/* A pattern, and behind the first newline a text. What a pattern finds, it also finds in a group,
 * as two equal alternatives, and as a copy of its code; an anchored match is a match. */
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "codec/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 1, 0, or -1 when the work is too much; -2 when the pattern does not compile. */
static int search(struct arena *a, str_t pattern, str_t text)
{
    size_t budget = 200000;
    const char *what = NULL;
    struct regex *re = regex_compile(a, pattern, &what), *copy;
    int found;

    if (!re) {
        must(what && *what);
        return -2;
    }
    copy = arena_alloc(a, regex_size(re));
    memcpy(copy, re, regex_size(re));
    memset(re, 0, regex_size(re));
    found = regex_search(a, copy, text, &budget);
    must(found >= 0 || budget == 0);
    return found;
}

static str_t join(struct arena *a, str_t x, str_t y, str_t z)
{
    struct buf b;

    buf_init_arena(&b, a, x.n + y.n + z.n);
    buf_append(&b, x);
    buf_append(&b, y);
    buf_append(&b, z);
    return buf_str(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t all = { (const char *)data, size }, text = S(""), pattern = all;
    ptrdiff_t split = str_index(all, '\n');
    struct arena a;
    int found;

    if (split >= 0) {
        pattern = str_slice(all, 0, (size_t)split);
        text = str_slice(all, (size_t)split + 1, all.n);
    }
    arena_init(&a);
    found = search(&a, pattern, text);
    if (found >= 0 && pattern.n < 1000 && str_find(pattern, S("\\Q")) < 0) {
        int group = search(&a, join(&a, S("(?:"), pattern, S(")")), text);
        int twice = search(&a, join(&a, pattern, S("|"), pattern), text);
        int whole = search(&a, join(&a, S("^(?:"), pattern, S(")$")), text);

        must(group < 0 || group == found);
        must(twice < 0 || twice == found || str_find(pattern, S("(?")) >= 0);
        must(whole != 1 || found == 1);
    }
    arena_done(&a);
    return 0;
}
