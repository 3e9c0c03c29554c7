/* JSON to C struct in one strict pass: the scanner checks the text while the description says where
 * each member goes. Sub-messages recurse, and no message contains itself, so the depth is fixed. */
#include <string.h>

#include "base/crypto.h"
#include "base/time.h"
#include "codec/json_scan.h"
#include "codec/proto_priv.h"

struct reader {
    struct ctx *c;
    struct json_scan s;
};

static err_t read_message(struct reader *r, const struct pb_message *d, void *msg, unsigned depth);

static err_t broken(struct reader *r)
{
    return err_set(r->c, ERR_INVALID, "invalid JSON at byte %zu: %s", r->s.error.at,
                   r->s.error.what);
}

/* The byte under the scanner, 0 at the end. */
static char peek(const struct reader *r)
{
    return r->s.p < r->s.end ? *r->s.p : 0;
}

static err_t scan(struct reader *r, unsigned depth, str_t *out)
{
    return json_scan_value(&r->s, depth, out) ? ERR_OK : broken(r);
}

/* The text of a number, plain or inside a string; false when it is neither. */
static bool number_text(str_t value, str_t *out)
{
    struct json_scan s;

    *out = value;
    if (json_type(value) == JSON_NUMBER)
        return true;
    if (json_type(value) != JSON_STRING || value.n <= 2)
        return false;
    s = json_scan(str_slice(value, 1, value.n - 1));
    return json_type((str_t){ s.p, 1 }) == JSON_NUMBER && json_scan_value(&s, 0, out) &&
           s.p == s.end;
}

static err_t read_integer(struct ctx *c, const struct pb_field *f, str_t value, int64_t *out)
{
    str_t text;
    int64_t v;

    if (!number_text(value, &text))
        return pb_bad(c, f, "expected an integer");
    if (!json_i64(text, &v) || !pb_fits(f, v))
        return pb_bad(c, f, "not an integer of its range");
    *out = v;
    return ERR_OK;
}

/* Bytes that hold JSON: the text itself, or base64 of it when it is no JSON, or bare JSON. */
static err_t read_json_bytes(struct ctx *c, const struct pb_field *f, str_t value, str_t *out)
{
    struct json_error e;
    str_t text = value, inner;

    if (json_type(value) != JSON_STRING) {
        *out = value;
        return ERR_OK;
    }
    if (!json_string(c->arena, value, &text) || text.n == 0)
        return ERR_OK;
    if (json_check(text, &inner, &e) ||
        (base64_decode(c->arena, text, &text) && json_check(text, &inner, &e))) {
        *out = inner;
        return ERR_OK;
    }
    return pb_bad(c, f, "expected JSON text");
}

/* "fooBar,baz" becomes "foo_bar,baz". */
static str_t mask_from_json(struct arena *a, str_t s)
{
    struct buf b;

    buf_init_arena(&b, a, s.n * 2 + 1);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 'A' && s.p[i] <= 'Z') {
            buf_char(&b, '_');
            buf_char(&b, (char)(s.p[i] + 32));
        } else {
            buf_char(&b, s.p[i]);
        }
    }
    return buf_str(&b);
}

static err_t read_string_kind(struct ctx *c, const struct pb_field *f, str_t value, void *slot)
{
    str_t s;

    if (f->kind == PB_KIND_BYTES && f->flags & PB_TEXT)
        return read_json_bytes(c, f, value, slot);
    if (!json_string(c->arena, value, &s))
        return pb_bad(c, f, "expected a string");
    switch (f->kind) {
    case PB_KIND_BYTES:
        if (!base64_decode(c->arena, s, &s))
            return pb_bad(c, f, "expected base64");
        break;
    case PB_KIND_TIMESTAMP:
        return time_parse(s, slot) ? ERR_OK : pb_bad(c, f, "expected an RFC 3339 time");
    case PB_KIND_DURATION:
        return duration_parse(s, slot) ? ERR_OK : pb_bad(c, f, "expected a duration such as 5s");
    case PB_KIND_MASK:
        TRY(pb_check_mask(c, f, s));
        s = mask_from_json(c->arena, s);
        break;
    case PB_KIND_STRING:
        TRY(pb_no_zero(c, f, s));
        break;
    default:
        break;
    }
    *(str_t *)slot = s;
    return ERR_OK;
}

/* *known is false for a word or number that the enum does not have; it reads as 0. */
static err_t read_enum(struct ctx *c, const struct pb_field *f, str_t value, int32_t *out,
                       bool *known)
{
    enum json_type type = json_type(value);
    str_t word = json_scalar(c->arena, value);
    int64_t number;

    if (type != JSON_STRING && type != JSON_NUMBER)
        return pb_bad(c, f, "expected a name or a number");
    *out = 0;
    if (type == JSON_STRING) {
        *known = pb_enum_parse(f->enumeration, word, out);
        return ERR_OK;
    }
    if (!json_i64(value, &number))
        return pb_bad(c, f, "not an integer of its range");
    *known = pb_enum_row(f->enumeration, number) != NULL;
    if (*known)
        *out = (int32_t)number;
    return ERR_OK;
}

/* Any value but a message, a map or a list. */
static err_t read_scalar(struct ctx *c, const struct pb_field *f, str_t value, void *slot)
{
    str_t text;

    switch ((enum pb_kind)f->kind) {
    case PB_KIND_BOOL:
        if (json_type(value) != JSON_BOOL)
            return pb_bad(c, f, "expected true or false");
        *(bool *)slot = value.p[0] == 't';
        return ERR_OK;
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
        return read_integer(c, f, value, slot);
    case PB_KIND_DOUBLE:
        if (!number_text(value, &text) || !json_double(text, slot))
            return pb_bad(c, f, "expected a number");
        return ERR_OK;
    case PB_KIND_STRUCT:
    case PB_KIND_PAIR:
        if (json_type(value) != JSON_OBJECT)
            return pb_bad(c, f, "expected an object");
        *(str_t *)slot = value;
        return ERR_OK;
    case PB_KIND_VALUE:
        *(str_t *)slot = value;
        return ERR_OK;
    case PB_KIND_STRING:
    case PB_KIND_BYTES:
    case PB_KIND_TIMESTAMP:
    case PB_KIND_DURATION:
    case PB_KIND_MASK:
        return read_string_kind(c, f, value, slot);
    case PB_KIND_ENUM:
    case PB_KIND_MESSAGE:
    case PB_KIND_MAP:
    case PB_KIND_MAP_MSG:
        break;
    }
    return pb_bad(c, f, "unexpected value");
}

/* One value of a field, or one item of its list. */
static err_t read_one(struct reader *r, const struct pb_field *f, void *msg, unsigned depth)
{
    void *slot;
    str_t value;
    int32_t number = 0;
    bool known = false;

    if (f->kind == PB_KIND_MESSAGE) {
        if (peek(r) != '{')
            return pb_bad(r->c, f, "expected an object");
        slot = pb_slot(r->c->arena, f, msg);
        if (!slot)
            return pb_bad(r->c, f, "too many items");
        if (!(f->flags & PB_REPEATED)) {
            *(void **)slot = pb_new(r->c->arena, f->message);
            slot = *(void **)slot;
        }
        return read_message(r, f->message, slot, depth);
    }
    TRY(scan(r, depth, &value));
    if (f->kind != PB_KIND_ENUM)
        return read_scalar(r->c, f, value, pb_slot(r->c->arena, f, msg));
    TRY(read_enum(r->c, f, value, &number, &known));
    if (known || !(f->flags & PB_REPEATED))
        *(int32_t *)pb_slot(r->c->arena, f, msg) = number;
    return ERR_OK;
}

/* At '[': items until ']'. */
static err_t read_list(struct reader *r, const struct pb_field *f, void *msg, unsigned depth)
{
    if (peek(r) != '[')
        return pb_bad(r->c, f, "expected a list");
    r->s.p++;
    json_scan_blanks(&r->s);
    if (peek(r) == ']') {
        r->s.p++;
        return ERR_OK;
    }
    for (;;) {
        TRY(read_one(r, f, msg, depth + 1));
        json_scan_blanks(&r->s);
        if (peek(r) != ',')
            break;
        r->s.p++;
        json_scan_blanks(&r->s);
    }
    return json_scan_char(&r->s, ']', "expected a comma or the end") ? ERR_OK : broken(r);
}

/* The next key of an object; p stands before it and then before the value. */
static err_t read_key(struct reader *r, str_t *key)
{
    json_scan_blanks(&r->s);
    if (!json_scan_string(&r->s, key))
        return broken(r);
    json_scan_blanks(&r->s);
    if (!json_scan_char(&r->s, ':', "expected a colon"))
        return broken(r);
    json_scan_blanks(&r->s);
    return ERR_OK;
}

/* Behind a member: *more tells whether a comma follows, else the object is closed. */
static err_t read_member_end(struct reader *r, bool *more)
{
    json_scan_blanks(&r->s);
    *more = peek(r) == ',';
    if (*more)
        r->s.p++;
    else if (!json_scan_char(&r->s, '}', "expected a comma or the end"))
        return broken(r);
    return ERR_OK;
}

/* At '{': moves in. *more is false for the empty object, which is then behind us. */
static err_t read_object_start(struct reader *r, bool *more)
{
    if (!json_scan_char(&r->s, '{', "expected an object"))
        return broken(r);
    json_scan_blanks(&r->s);
    *more = peek(r) != '}';
    if (!*more)
        r->s.p++;
    return ERR_OK;
}

static err_t read_map(struct reader *r, const struct pb_field *f, void *msg, unsigned depth)
{
    bool more = false;
    str_t key, value;

    if (peek(r) != '{')
        return pb_bad(r->c, f, "expected an object");
    TRY(read_object_start(r, &more));
    while (more) {
        struct pb_pair *pair;

        TRY(read_key(r, &key));
        pair = pb_list_add(r->c->arena, f, msg);
        pair->key = json_raw_string(r->c->arena, key);
        if (f->kind == PB_KIND_MAP) {
            TRY(scan(r, depth + 1, &value));
            if (!json_string(r->c->arena, value, &pair->value))
                return pb_bad(r->c, f, "expected strings");
        } else {
            void *item = pb_new(r->c->arena, f->message);

            *(void **)pb_at(pair, sizeof(str_t)) = item;
            TRY(read_message(r, f->message, item, depth + 1));
        }
        TRY(read_member_end(r, &more));
    }
    return ERR_OK;
}

/* The value of a pair, under either of its names; the companion wins. */
static err_t read_pair(struct reader *r, const struct pb_field *f, const struct pb_name *name,
                       void *msg, unsigned depth, bool other_seen)
{
    str_t *slot = pb_at(msg, f->offset), value;

    TRY(scan(r, depth, &value));
    if (!name->value && json_type(value) == JSON_NULL)
        return ERR_OK;
    if (!name->value && json_type(value) != JSON_OBJECT)
        return pb_bad(r->c, f, "expected an object");
    if (name->value || !other_seen)
        *slot = value;
    return ERR_OK;
}

static err_t read_field(struct reader *r, const struct pb_field *f, void *msg, unsigned depth)
{
    str_t ignored;

    if (peek(r) == 'n' && (f->kind != PB_KIND_VALUE || f->flags & PB_REPEATED))
        return scan(r, depth, &ignored);
    if (f->kind == PB_KIND_MAP || f->kind == PB_KIND_MAP_MSG)
        return read_map(r, f, msg, depth);
    if (f->flags & PB_REPEATED)
        return read_list(r, f, msg, depth);
    return read_one(r, f, msg, depth);
}

/* depth counts the containers around this message. */
static err_t read_message(struct reader *r, const struct pb_message *d, void *msg, unsigned depth)
{
    uint64_t seen[2] = { 0, 0 };
    str_t key, ignored;
    bool more = false;

    TRY(read_object_start(r, &more));
    while (more) {
        const struct pb_name *name;

        TRY(read_key(r, &key));
        if (str_index(key, '\\') >= 0)
            key = json_raw_string(r->c->arena, key);
        name = pb_find(d, key);
        if (!name) {
            TRY(scan(r, depth + 1, &ignored));
        } else {
            const struct pb_field *f = &d->fields[name->field];
            uint64_t bit = UINT64_C(1) << name->field;

            if (seen[name->value] & bit)
                return pb_bad(r->c, f, "given twice");
            seen[name->value] |= bit;
            if (f->kind == PB_KIND_PAIR)
                TRY(read_pair(r, f, name, msg, depth + 1, seen[1] & bit));
            else
                TRY(read_field(r, f, msg, depth + 1));
        }
        TRY(read_member_end(r, &more));
    }
    return ERR_OK;
}

err_t pb_from_json(struct ctx *c, const struct pb_message *d, str_t json, void *msg)
{
    struct reader r = { .c = c, .s = json_scan(json) };

    json_scan_blanks(&r.s);
    TRY(read_message(&r, d, msg, 0));
    json_scan_blanks(&r.s);
    if (r.s.p != r.s.end) {
        json_scan_fail(&r.s, "text behind the value");
        return broken(&r);
    }
    return ERR_OK;
}
