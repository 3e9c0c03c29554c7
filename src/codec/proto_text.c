/* One field from plain text: path segments and query parameters. */
#include "base/time.h"
#include "codec/proto_priv.h"

static bool parse_bool(str_t s, bool *out)
{
    *out = str_eq_nocase(s, S("true")) || str_eq(s, S("1"));
    return *out || str_eq_nocase(s, S("false")) || str_eq(s, S("0"));
}

static bool parse_double(str_t s, double *out)
{
    struct json_error e;

    return s.n > 0 && json_check(s, &s, &e) && json_type(s) == JSON_NUMBER && json_double(s, out);
}

/* "unknown word "bogus"; expected active, paused or ..." */
static err_t bad_word(struct ctx *c, const struct pb_field *f, str_t word)
{
    const struct pb_enum *e = f->enumeration;
    struct buf b;

    buf_init_arena(&b, c->arena, 400);
    buf_printf(&b, "unknown word \"" STR_FMT "\"; expected one of",
               STR_ARG(str_slice(word, 0, word.n < 60 ? word.n : 60)));
    for (size_t i = 0; i < e->values_n; i++) {
        if (e->values[i].number != 0)
            buf_printf(&b, " " STR_FMT, STR_ARG(e->values[i].rest));
    }
    return pb_bad(c, f, str_z(c->arena, buf_str(&b)));
}

static err_t set_one(struct ctx *c, const struct pb_field *f, str_t text, void *msg)
{
    int64_t number;
    int32_t value;
    double real;
    bool flag;

    switch ((enum pb_kind)f->kind) {
    case PB_KIND_BOOL:
        if (!parse_bool(text, &flag))
            return pb_bad(c, f, "expected true or false");
        *(bool *)pb_slot(c->arena, f, msg) = flag;
        return ERR_OK;
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
        if (!str_to_i64(text, &number) || !pb_fits(f, number))
            return pb_bad(c, f, "expected an integer");
        *(int64_t *)pb_slot(c->arena, f, msg) = number;
        return ERR_OK;
    case PB_KIND_DOUBLE:
        if (!parse_double(text, &real))
            return pb_bad(c, f, "expected a number");
        *(double *)pb_slot(c->arena, f, msg) = real;
        return ERR_OK;
    case PB_KIND_ENUM:
        if (!pb_enum_parse(f->enumeration, text, &value))
            return bad_word(c, f, text);
        *(int32_t *)pb_slot(c->arena, f, msg) = value;
        return ERR_OK;
    case PB_KIND_TIMESTAMP:
        if (!time_parse(text, &number))
            return pb_bad(c, f, "expected an RFC 3339 time");
        *(int64_t *)pb_slot(c->arena, f, msg) = number;
        return ERR_OK;
    case PB_KIND_DURATION:
        if (!duration_parse(text, &number))
            return pb_bad(c, f, "expected a duration such as 5s");
        *(int64_t *)pb_slot(c->arena, f, msg) = number;
        return ERR_OK;
    case PB_KIND_MASK:
        TRY(pb_check_mask(c, f, text));
        *(str_t *)pb_slot(c->arena, f, msg) = text;
        return ERR_OK;
    case PB_KIND_STRING:
        if (!str_is_utf8(text))
            return pb_bad(c, f, "not UTF-8");
        TRY(pb_no_zero(c, f, text));
        *(str_t *)pb_slot(c->arena, f, msg) = text;
        return ERR_OK;
    case PB_KIND_BYTES:
    case PB_KIND_MESSAGE:
    case PB_KIND_STRUCT:
    case PB_KIND_VALUE:
    case PB_KIND_PAIR:
    case PB_KIND_MAP:
    case PB_KIND_MAP_MSG:
        break;
    }
    return ERR_OK; /* no such field in a path or a query: as unknown */
}

err_t pb_set_text(struct ctx *c, const struct pb_message *d, str_t name, str_t text, void *msg)
{
    const struct pb_name *slot = pb_find(d, name);
    const struct pb_field *f;
    str_t part;

    if (!slot || slot->value)
        return ERR_OK;
    f = &d->fields[slot->field];
    if (!(f->flags & PB_REPEATED)) {
        if (text.n == 0 && f->kind != PB_KIND_STRING)
            return ERR_OK; /* "limit=" says nothing */
        return set_one(c, f, text, msg);
    }
    while (str_cut(&text, ',', &part)) {
        part = str_trim(part);
        if (part.n > 0)
            TRY(set_one(c, f, part, msg));
    }
    return ERR_OK;
}
