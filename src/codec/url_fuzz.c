/* Any bytes as escaped text, as a query and as a URL. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/must.h"
#include "codec/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(str_t part, str_t whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t text = { (const char *)data, size }, out, again, query = text;
    struct url_param param;
    struct arena a;
    struct url url;
    struct buf b;

    arena_init(&a);
    if (url_decode(&a, text, true, &out)) {
        must(str_is_utf8(out) && out.n <= size);
        buf_init_arena(&b, &a, out.n * 3 + 16);
        url_encode(&b, out);
        must(!b.full && url_decode(&a, buf_str(&b), true, &again) && str_eq(out, again));
    }
    while (url_query_next(&a, &query, &param) > 0)
        must(param.name.n + param.value.n <= size);
    if (url_parse(text, &url)) {
        must(url.port > 0 && url.port < 65536 && url.host.n > 0);
        must(inside(url.host, text) && inside(url.path, text) && inside(url.user, text));
    }
    arena_done(&a);
    return 0;
}
