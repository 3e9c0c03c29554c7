/* C struct to JSON in the four styles of codec/proto.h. */
#include "base/crypto.h"
#include "base/time.h"
#include "codec/proto_priv.h"

/* Which spelling of the keys; BOTH gives a camelCase and a snake_case copy of what differs. */
enum spell { CAMEL, SNAKE, BOTH };

struct writer {
    struct json_out w;
    enum pb_style style;
};

static void put_message(struct writer *o, const struct pb_message *d, const void *msg,
                        enum spell spell);

static bool is_rest(const struct writer *o)
{
    return o->style == PB_REST || o->style == PB_REST_BOTH;
}

/* Names need no escapes. */
static void put_key(struct writer *o, str_t key, str_t suffix)
{
    if (o->w.comma)
        buf_char(o->w.b, ',');
    buf_char(o->w.b, '"');
    buf_append(o->w.b, key);
    if (suffix.n)
        buf_append(o->w.b, suffix);
    buf_append(o->w.b, S("\":"));
    o->w.comma = false;
}

static void put_base64(struct writer *o, str_t s)
{
    json_put_raw(&o->w, S("\""));
    base64_put(o->w.b, s);
    buf_char(o->w.b, '"');
}

static void put_time(struct writer *o, const struct pb_field *f, int64_t ms)
{
    json_put_raw(&o->w, S("\""));
    if (f->kind == PB_KIND_TIMESTAMP) {
        time_rfc3339(o->w.b, ms);
    } else {
        buf_i64(o->w.b, ms / 1000);
        if (ms % 1000)
            buf_printf(o->w.b, ".%03d", (int)(ms % 1000));
        buf_char(o->w.b, 's');
    }
    buf_char(o->w.b, '"');
}

/* "foo_bar,baz" becomes "fooBar,baz". */
static void put_mask(struct writer *o, str_t s)
{
    json_put_raw(&o->w, S("\""));
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '_' && i + 1 < s.n && s.p[i + 1] >= 'a' && s.p[i + 1] <= 'z')
            buf_char(o->w.b, (char)(s.p[++i] - 32));
        else
            buf_char(o->w.b, s.p[i]);
    buf_char(o->w.b, '"');
}

static void put_int64(struct writer *o, const struct pb_field *f, int64_t v, enum spell spell)
{
    if (is_rest(o) || f->flags & PB_NUMBER || spell == SNAKE) {
        json_put_i64(&o->w, v);
        return;
    }
    json_put_raw(&o->w, S("\""));
    buf_i64(o->w.b, v);
    buf_char(o->w.b, '"');
}

static void put_map(struct writer *o, const struct pb_field *f, const void *msg, enum spell spell)
{
    const char *item = *(char *const *)pb_at_c(msg, f->offset);
    size_t n = pb_count(f, msg), size = pb_item_size(f);

    json_open(&o->w, '{');
    for (size_t i = 0; i < n; i++, item += size) {
        const struct pb_pair *pair = (const void *)item;

        json_key(&o->w, pair->key);
        if (f->kind == PB_KIND_MAP)
            json_put_str(&o->w, pair->value);
        else
            put_message(o, f->message, *(void *const *)pb_at_c(item, sizeof(str_t)), spell);
    }
    json_close(&o->w, '}');
}

/* One value; item points at it (at the struct itself for a message). */
static void put_one(struct writer *o, const struct pb_field *f, const void *item, enum spell spell)
{
    switch ((enum pb_kind)f->kind) {
    case PB_KIND_BOOL:
        json_put_bool(&o->w, *(const bool *)item);
        break;
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
        json_put_i64(&o->w, *(const int64_t *)item);
        break;
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
        put_int64(o, f, *(const int64_t *)item, spell);
        break;
    case PB_KIND_DOUBLE:
        json_put_double(&o->w, *(const double *)item);
        break;
    case PB_KIND_STRING:
        json_put_str(&o->w, *(const str_t *)item);
        break;
    case PB_KIND_BYTES:
        if (f->flags & PB_TEXT && o->style != PB_RPC_STRICT)
            json_put_str(&o->w, *(const str_t *)item);
        else
            put_base64(o, *(const str_t *)item);
        break;
    case PB_KIND_ENUM:
        json_put_str(&o->w, is_rest(o) ? pb_enum_word(f->enumeration, *(const int32_t *)item)
                                       : pb_enum_name(f->enumeration, *(const int32_t *)item));
        break;
    case PB_KIND_MESSAGE:
        put_message(o, f->message, item, spell);
        break;
    case PB_KIND_TIMESTAMP:
    case PB_KIND_DURATION:
        put_time(o, f, *(const int64_t *)item);
        break;
    case PB_KIND_STRUCT:
    case PB_KIND_VALUE:
    case PB_KIND_PAIR:
        json_put_raw(&o->w, *(const str_t *)item);
        break;
    case PB_KIND_MASK:
        put_mask(o, *(const str_t *)item);
        break;
    case PB_KIND_MAP:
    case PB_KIND_MAP_MSG:
        break; /* put_value did it */
    }
}

static void put_value(struct writer *o, const struct pb_field *f, const void *msg, enum spell spell)
{
    const void *at = pb_at_c(msg, f->offset);

    if (f->kind == PB_KIND_MAP || f->kind == PB_KIND_MAP_MSG) {
        put_map(o, f, msg, spell);
    } else if (f->flags & PB_REPEATED) {
        const char *item = *(char *const *)at;
        size_t n = pb_count(f, msg), size = pb_item_size(f);

        json_open(&o->w, '[');
        for (size_t i = 0; i < n; i++)
            put_one(o, f, item + i * size, spell);
        json_close(&o->w, ']');
    } else {
        put_one(o, f, f->kind == PB_KIND_MESSAGE ? *(void *const *)at : at, spell);
    }
}

/* Whether JSON shows the field at all. */
static bool shown(const struct writer *o, const struct pb_field *f, const void *msg)
{
    const void *at = pb_at_c(msg, f->offset);
    bool map = f->kind == PB_KIND_MAP || f->kind == PB_KIND_MAP_MSG;

    if (f->kind == PB_KIND_MESSAGE && !(f->flags & PB_REPEATED))
        return *(void *const *)at != NULL;
    if (f->flags & PB_ALWAYS)
        return true;
    if (f->flags & PB_REPEATED)
        return pb_count(f, msg) > 0 || (is_rest(o) && !map && !(f->flags & PB_SPARSE));
    if (f->flags & PB_OPTIONAL)
        return *(const bool *)pb_at_c(msg, f->extra_offset);
    return !pb_is_zero(f, at);
}

/* A payload that is no object: RPC answers repeat it under xValue; for generated clients x holds it
 * wrapped, as clients without the companion expect. */
static void put_pair(struct writer *o, const struct pb_field *f, const void *msg, enum spell spell)
{
    str_t value = *(const str_t *)pb_at_c(msg, f->offset);

    if (is_rest(o) || json_type(value) == JSON_OBJECT || value.n == 0) {
        json_put_raw(&o->w, value);
        return;
    }
    if (o->style == PB_RPC_STRICT) {
        json_put_raw(&o->w, S("{\"value\":"));
        buf_append(o->w.b, value);
        buf_char(o->w.b, '}');
    } else {
        json_put_raw(&o->w, value);
    }
    if (spell != SNAKE) {
        put_key(o, f->json_value, STR_NULL);
        json_put_raw(&o->w, value);
    }
    if (spell != CAMEL) {
        put_key(o, f->name, S("_value"));
        json_put_raw(&o->w, value);
    }
}

static void put_field(struct writer *o, const struct pb_field *f, const void *msg, enum spell spell)
{
    if (f->kind == PB_KIND_PAIR)
        put_pair(o, f, msg, spell);
    else
        put_value(o, f, msg, spell);
}

static void put_message(struct writer *o, const struct pb_message *d, const void *msg,
                        enum spell spell)
{
    if (!is_rest(o) && d->flags & PB_SNAKE)
        spell = SNAKE;
    if (o->style == PB_RPC && d->flags & PB_BOTH)
        spell = BOTH;
    if (is_rest(o) && d->flags & PB_CAMEL)
        spell = CAMEL;
    json_open(&o->w, '{');
    for (size_t i = 0; i < d->fields_n; i++) {
        const struct pb_field *f = &d->fields[i];
        str_t snake = is_rest(o) ? f->rest : f->name;

        if (!shown(o, f, msg))
            continue;
        if (spell == BOTH && str_eq(snake, f->json)) {
            put_key(o, snake, STR_NULL);
            put_field(o, f, msg, BOTH);
            continue;
        }
        if (spell != SNAKE) {
            put_key(o, f->json, STR_NULL);
            put_field(o, f, msg, CAMEL);
        }
        if (spell != CAMEL) {
            put_key(o, snake, STR_NULL);
            put_field(o, f, msg, SNAKE);
        }
    }
    json_close(&o->w, '}');
}

void pb_to_json(struct buf *b, const struct pb_message *d, const void *msg, enum pb_style style)
{
    struct writer o = { .w = { .b = b, .comma = false }, .style = style };
    enum spell spell = style == PB_REST ? SNAKE : style == PB_REST_BOTH ? BOTH : CAMEL;

    put_message(&o, d, msg, spell);
}
