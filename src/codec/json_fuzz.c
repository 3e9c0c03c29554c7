/* Any bytes: json_check must not read outside, and what it accepts must hold together. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A string must be the same after writing and reading it again. */
static void check_string(struct arena *a, str_t value)
{
    struct json_error e;
    struct buf b;
    str_t plain, again;

    if (!json_string(a, value, &plain))
        return;
    buf_init_arena(&b, a, plain.n * 6 + 16);
    json_quote(&b, plain);
    must(!b.full && json_check(buf_str(&b), &again, &e));
    must(json_string(a, again, &again) && str_eq(plain, again));
}

/* Numbers agree with each other. */
static void check_number(str_t value)
{
    int64_t whole;
    double real;

    if (json_i64(value, &whole)) {
        must(json_double(value, &real));
        must(real >= (double)whole - 1024 && real <= (double)whole + 1024);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json_error e;
    str_t value, part, out;

    arena_init(&a);
    if (json_check((str_t){ (const char *)data, size }, &value, &e)) {
        check_string(&a, value);
        check_number(value);
        for (struct json_iter it = json_iter(value); json_next(&it);) {
            must(json_check(it.value, &part, &e) && str_eq(part, it.value));
            check_string(&a, it.value);
            check_number(it.value);
            (void)json_scalar(&a, it.value);
            if (json_type(value) == JSON_OBJECT) {
                must(json_string(&a, (str_t){ it.key.p - 1, it.key.n + 2 }, &part));
                must(json_get(value, part, &out));
                (void)json_path(value, part, &out);
            }
        }
    } else {
        must(e.what && e.at <= size);
    }
    arena_done(&a);
    return 0;
}
