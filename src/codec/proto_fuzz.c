/* The first two bytes choose a message and a form, the rest is the document. What can be read must
 * be writable in every form, and binary form must not change any more after one round. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/proto.h"
#include "proto/ironflow.h"

#define OUT_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct ctx *c, const struct pb_message *d, const void *msg)
{
    for (int style = PB_REST; style <= PB_RPC_STRICT; style++) {
        struct json_error e;
        struct buf b;
        str_t value;

        buf_init_arena(&b, c->arena, OUT_MAX);
        pb_to_json(&b, d, msg, (enum pb_style)style);
        /* a payload that was as deep as allowed may now stand too deep */
        must(b.full || json_check(buf_str(&b), &value, &e) || strstr(e.what, "nesting"));
    }
}

static void check_wire(struct ctx *c, const struct pb_message *d, const void *msg)
{
    struct buf first, second;
    void *again = pb_new(c->arena, d);

    buf_init_arena(&first, c->arena, OUT_MAX);
    buf_init_arena(&second, c->arena, OUT_MAX);
    pb_to_wire(&first, d, msg);
    if (first.full)
        return;
    if (pb_from_wire(c, d, buf_str(&first), again) != ERR_OK) {
        must(strstr(c->err.text, "nesting")); /* wrapping made it deeper */
        return;
    }
    pb_to_wire(&second, d, again);
    must(str_eq(buf_str(&first), buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct ctx c = { .arena = &a };
    const struct pb_message *d;
    str_t text;
    size_t rpcs = 0;
    void *msg;
    err_t e;

    if (size < 2)
        return 0;
    while (pb_rpcs[rpcs].path.n)
        rpcs++;
    must(rpcs > 0);
    d = data[1] & 1 ? pb_rpcs[data[0] % rpcs].request : pb_rpcs[data[0] % rpcs].response;
    if (data[1] & 4)
        d = &pb_rest_job_update_desc;
    text = (str_t){ (const char *)data + 2, size - 2 };
    arena_init(&a);
    msg = pb_new(&a, d);
    e = data[1] & 2 ? pb_from_wire(&c, d, text, msg) : pb_from_json(&c, d, text, msg);
    if (e == ERR_OK) {
        check_json(&c, d, msg);
        check_wire(&c, d, msg);
    } else {
        must(e == ERR_INVALID && c.err.text[0]);
    }
    arena_done(&a);
    return 0;
}
