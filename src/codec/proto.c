/* What all forms of a message share: names, lists, enums. */
#include "codec/proto.h"

#include <string.h>

#include "codec/proto_priv.h"

size_t pb_size(const struct pb_message *d)
{
    return d->size;
}

void *pb_new(struct arena *a, const struct pb_message *d)
{
    return arena_zero(a, d->size);
}

const struct pb_name *pb_find(const struct pb_message *d, str_t name)
{
    uint32_t i = pb_name_hash(name.p, name.n) & d->mask;

    for (; d->names[i].name.p; i = (i + 1) & d->mask)
        if (str_eq(d->names[i].name, name))
            return &d->names[i];
    return NULL;
}

size_t pb_item_size(const struct pb_field *f)
{
    switch ((enum pb_kind)f->kind) {
    case PB_KIND_BOOL:
        return sizeof(bool);
    case PB_KIND_ENUM:
        return sizeof(int32_t);
    case PB_KIND_DOUBLE:
        return sizeof(double);
    case PB_KIND_MESSAGE:
        return f->flags & PB_REPEATED ? f->message->size : sizeof(void *);
    case PB_KIND_MAP:
        return sizeof(struct pb_pair);
    case PB_KIND_MAP_MSG:
        return sizeof(str_t) + sizeof(void *);
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
    case PB_KIND_TIMESTAMP:
    case PB_KIND_DURATION:
        return sizeof(int64_t);
    case PB_KIND_STRING:
    case PB_KIND_BYTES:
    case PB_KIND_STRUCT:
    case PB_KIND_VALUE:
    case PB_KIND_PAIR:
    case PB_KIND_MASK:
        return sizeof(str_t);
    }
    return 0;
}

void *pb_list_add(struct arena *a, const struct pb_field *f, void *msg)
{
    void **items = pb_at(msg, f->offset);
    size_t *n = pb_at(msg, f->extra_offset);
    size_t size = pb_item_size(f);

    if (f->kind == PB_KIND_MESSAGE && *n >= PB_LIST_MAX)
        return NULL;
    if (*n == 0) {
        *items = arena_zero(a, 4 * size);
    } else if (*n >= 4 && (*n & (*n - 1)) == 0) { /* full at each power of two */
        void *grown = arena_zero(a, 2 * *n * size);

        memcpy(grown, *items, *n * size);
        *items = grown;
    }
    return (char *)*items + (*n)++ * size;
}

err_t pb_bad(struct ctx *c, const struct pb_field *f, const char *what)
{
    return err_set(c, ERR_INVALID, STR_FMT ": %s", STR_ARG(f->name), what);
}

err_t pb_no_zero(struct ctx *c, const struct pb_field *f, str_t s)
{
    if (s.n == 0 || memchr(s.p, '\0', s.n) == NULL)
        return ERR_OK;
    return pb_bad(c, f, "must not contain a zero byte");
}

err_t pb_check_mask(struct ctx *c, const struct pb_field *f, str_t mask)
{
    for (size_t i = 0; i < mask.n; i++) {
        char ch = mask.p[i], low = (char)(ch | 0x20);

        if (!(low >= 'a' && low <= 'z') && !(ch >= '0' && ch <= '9') && ch != '_' && ch != '.' &&
            ch != ',')
            return pb_bad(c, f, "malformed mask");
    }
    return ERR_OK;
}

bool pb_fits(const struct pb_field *f, int64_t v)
{
    switch (f->kind) {
    case PB_KIND_INT32:
        return v >= INT32_MIN && v <= INT32_MAX;
    case PB_KIND_UINT32:
        return v >= 0 && v <= UINT32_MAX;
    case PB_KIND_UINT64:
        return v >= 0;
    default:
        return true;
    }
}

bool pb_is_zero(const struct pb_field *f, const void *value)
{
    switch ((enum pb_kind)f->kind) {
    case PB_KIND_BOOL:
        return !*(const bool *)value;
    case PB_KIND_ENUM:
        return *(const int32_t *)value == 0;
    case PB_KIND_DOUBLE:
        return !(*(const double *)value < 0) && !(*(const double *)value > 0);
    case PB_KIND_MESSAGE:
        return *(void *const *)value == NULL;
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
    case PB_KIND_TIMESTAMP:
    case PB_KIND_DURATION:
        return *(const int64_t *)value == 0;
    case PB_KIND_STRING:
    case PB_KIND_BYTES:
    case PB_KIND_STRUCT:
    case PB_KIND_VALUE:
    case PB_KIND_PAIR:
    case PB_KIND_MASK:
        return ((const str_t *)value)->n == 0;
    case PB_KIND_MAP:
    case PB_KIND_MAP_MSG:
        break;
    }
    return true;
}

const struct pb_enum_value *pb_enum_row(const struct pb_enum *e, int64_t value)
{
    for (size_t i = 0; i < e->values_n; i++)
        if (e->values[i].number == value)
            return &e->values[i];
    return NULL;
}

str_t pb_enum_name(const struct pb_enum *e, int32_t value)
{
    const struct pb_enum_value *row = pb_enum_row(e, value);

    return row ? row->name : e->values[0].name;
}

str_t pb_enum_word(const struct pb_enum *e, int32_t value)
{
    const struct pb_enum_value *row = pb_enum_row(e, value);

    return row ? row->rest : e->values[0].rest;
}

bool pb_enum_parse(const struct pb_enum *e, str_t word, int32_t *out)
{
    int64_t number;

    for (size_t i = 0; i < e->values_n; i++) {
        const struct pb_enum_value *v = &e->values[i];

        if (str_eq_nocase(v->name, word) || str_eq_nocase(v->word, word) ||
            str_eq_nocase(v->rest, word)) {
            *out = v->number;
            return true;
        }
    }
    if (!str_to_i64(word, &number) || !pb_enum_row(e, number))
        return false;
    *out = (int32_t)number;
    return true;
}
