/* google.protobuf.Struct and Value, whose JSON form is what we keep. Both directions walk with an
 * explicit stack of JSON_DEPTH_MAX, never by recursion. Numbers become doubles on the wire; one too
 * large for a double travels as its text. */
#include <math.h>
#include <string.h>

#include "codec/proto_priv.h"

enum { VALUE_NULL = 1, VALUE_NUMBER, VALUE_STRING, VALUE_BOOL, VALUE_STRUCT, VALUE_LIST };

/* ---- wire to JSON ---- */

struct frame {
    str_t rest;
    bool object;
};

struct decoder {
    struct json_out w;
    struct frame frames[JSON_DEPTH_MAX];
    size_t depth;
    const char *error;
};

static bool fail(struct decoder *d, const char *what)
{
    d->error = what;
    return false;
}

static bool open_frame(struct decoder *d, str_t rest, bool object)
{
    if (d->depth == JSON_DEPTH_MAX)
        return fail(d, "nesting deeper than 128");
    d->frames[d->depth++] = (struct frame){ rest, object };
    json_open(&d->w, object ? '{' : '[');
    return true;
}

/* The content of one Value; a container is opened and left for the main loop. */
static bool decode_value(struct decoder *d, str_t wire)
{
    static const enum pb_wire_type types[] = {
        [VALUE_NULL] = PB_WIRE_VARINT, [VALUE_NUMBER] = PB_WIRE_64,  [VALUE_STRING] = PB_WIRE_LEN,
        [VALUE_BOOL] = PB_WIRE_VARINT, [VALUE_STRUCT] = PB_WIRE_LEN, [VALUE_LIST] = PB_WIRE_LEN,
    };
    struct pb_item item, last = { .number = VALUE_NULL };
    double number;

    while (wire.n > 0) {
        if (!pb_wire_next(&wire, &item))
            return fail(d, "malformed value");
        if (item.number > VALUE_LIST)
            continue;
        if (item.type != types[item.number])
            return fail(d, "malformed value");
        last = item; /* a oneof: the last one counts */
    }
    switch (last.number) {
    case VALUE_NUMBER:
        memcpy(&number, &last.value, 8);
        if (!isfinite(number))
            return fail(d, "a number that JSON cannot hold");
        json_put_double(&d->w, number);
        return true;
    case VALUE_STRING:
        if (!str_is_utf8(last.bytes))
            return fail(d, "not UTF-8");
        json_put_str(&d->w, last.bytes);
        return true;
    case VALUE_BOOL:
        json_put_bool(&d->w, last.value != 0);
        return true;
    case VALUE_STRUCT:
    case VALUE_LIST:
        return open_frame(d, last.bytes, last.number == VALUE_STRUCT);
    default:
        json_put_raw(&d->w, S("null"));
        return true;
    }
}

/* One entry of a Struct's map. */
static bool decode_entry(struct decoder *d, str_t wire)
{
    struct pb_item item;
    str_t key = S(""), value = S("");

    while (wire.n > 0) {
        if (!pb_wire_next(&wire, &item) || (item.number <= 2 && item.type != PB_WIRE_LEN))
            return fail(d, "malformed struct");
        if (item.number == 1)
            key = item.bytes;
        if (item.number == 2)
            value = item.bytes;
    }
    if (!str_is_utf8(key))
        return fail(d, "not UTF-8");
    json_key(&d->w, key);
    return decode_value(d, value);
}

static bool decode(struct decoder *d)
{
    while (d->depth > 0) {
        struct frame *top = &d->frames[d->depth - 1];
        struct pb_item item;

        if (top->rest.n == 0) {
            json_close(&d->w, top->object ? '}' : ']');
            d->depth--;
            continue;
        }
        if (!pb_wire_next(&top->rest, &item))
            return fail(d, "malformed struct");
        if (item.number != 1)
            continue;
        if (item.type != PB_WIRE_LEN)
            return fail(d, "malformed struct");
        if (!(top->object ? decode_entry(d, item.bytes) : decode_value(d, item.bytes)))
            return false;
    }
    return true;
}

err_t pb_payload_to_json(struct ctx *c, str_t wire, bool is_struct, str_t *out)
{
    struct decoder d;
    struct buf b;
    bool ok;

    buf_init_arena(&b, c->arena, wire.n * 8 + 64);
    d.w = (struct json_out){ .b = &b, .comma = false };
    d.depth = 0;
    d.error = "too large";
    ok = (is_struct ? open_frame(&d, wire, true) : decode_value(&d, wire)) && decode(&d);
    if (!ok || b.full)
        return err_set(c, ERR_INVALID, "payload: %s", d.error);
    *out = buf_str(&b);
    return ERR_OK;
}

/* ---- JSON to wire ---- */

/* An open container: what is left of it, and the lengths to fill in when it ends. */
struct level {
    struct json_iter it;
    size_t opens[3];
    size_t opens_n;
    bool object;
};

struct encoder {
    struct buf *b;
    struct arena scratch; /* unescaped strings */
    struct level levels[JSON_DEPTH_MAX];
    size_t depth;
};

static void put_bool(struct buf *b, unsigned number, bool v)
{
    pb_put_tag(b, number, PB_WIRE_VARINT);
    pb_put_varint(b, v);
}

/* The content of a Value that is no container. */
static void encode_scalar(struct encoder *e, str_t json)
{
    double number;

    switch (json_type(json)) {
    case JSON_NULL:
        put_bool(e->b, VALUE_NULL, false);
        break;
    case JSON_BOOL:
        put_bool(e->b, VALUE_BOOL, json.p[0] == 't');
        break;
    case JSON_NUMBER:
        if (json_double(json, &number))
            pb_put_double(e->b, VALUE_NUMBER, number);
        else
            pb_put_bytes(e->b, VALUE_STRING, json);
        break;
    case JSON_STRING:
        pb_put_bytes(e->b, VALUE_STRING, json_scalar(&e->scratch, json));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
}

static bool is_container(str_t json)
{
    return json_type(json) == JSON_OBJECT || json_type(json) == JSON_ARRAY;
}

/* A container as content of a Value (bare: of a Struct); its members follow in the main loop. */
static void enter(struct encoder *e, str_t json, const size_t *opens, size_t opens_n, bool bare)
{
    struct level *l = &e->levels[e->depth++];

    l->it = json_iter(json);
    l->object = json_type(json) == JSON_OBJECT;
    l->opens_n = opens_n;
    for (size_t i = 0; i < opens_n; i++)
        l->opens[i] = opens[i];
    if (!bare)
        l->opens[l->opens_n++] = pb_put_open(e->b, l->object ? VALUE_STRUCT : VALUE_LIST);
}

static void close_all(struct encoder *e, const size_t *opens, size_t n)
{
    while (n > 0)
        pb_put_close(e->b, opens[--n]);
}

/* The next member of the innermost container. */
static void encode_member(struct encoder *e, const struct level *l)
{
    size_t opens[2], n = 0;

    opens[n++] = pb_put_open(e->b, 1);
    if (l->object) {
        pb_put_bytes(e->b, 1,
                     json_scalar(&e->scratch, (str_t){ l->it.key.p - 1, l->it.key.n + 2 }));
        opens[n++] = pb_put_open(e->b, 2);
    }
    if (is_container(l->it.value) && e->depth < JSON_DEPTH_MAX) {
        enter(e, l->it.value, opens, n, false);
        return;
    }
    encode_scalar(e, l->it.value);
    close_all(e, opens, n);
}

void pb_payload_to_wire(struct buf *b, str_t json, bool is_struct)
{
    struct encoder e;

    e.b = b;
    e.depth = 0;
    arena_init(&e.scratch);
    if (!is_container(json))
        encode_scalar(&e, json);
    else
        enter(&e, json, NULL, 0, is_struct);
    while (e.depth > 0) {
        struct level *l = &e.levels[e.depth - 1];

        if (!b->full && json_next(&l->it)) {
            encode_member(&e, l);
        } else {
            e.depth--;
            close_all(&e, l->opens, l->opens_n);
        }
    }
    arena_done(&e.scratch);
}
