/* Binary protobuf to C struct and back. Unknown fields are skipped, packed and unpacked lists are
 * both read, a field of another wire type than declared is an error. Messages do not contain
 * themselves, so the recursion is as deep as the descriptions. */
#include <string.h>

#include "codec/proto_priv.h"

/* ---- bytes ---- */

bool pb_wire_varint(str_t *wire, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 10 && i < wire->n; i++) {
        uint8_t byte = (uint8_t)wire->p[i];

        v |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *wire = str_slice(*wire, i + 1, wire->n);
            *out = v;
            return true;
        }
    }
    return false;
}

static bool wire_fixed(str_t *wire, size_t n, uint64_t *out)
{
    *out = 0;
    if (wire->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        *out |= (uint64_t)(uint8_t)wire->p[i] << (8 * i);
    *wire = str_slice(*wire, n, wire->n);
    return true;
}

bool pb_wire_next(str_t *wire, struct pb_item *out)
{
    uint64_t tag;

    *out = (struct pb_item){ .number = 0 };
    if (!pb_wire_varint(wire, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
        return false;
    out->number = tag >> 3;
    out->type = (enum pb_wire_type)(tag & 7);
    switch (tag & 7) {
    case PB_WIRE_VARINT:
        return pb_wire_varint(wire, &out->value);
    case PB_WIRE_64:
        return wire_fixed(wire, 8, &out->value);
    case PB_WIRE_32:
        return wire_fixed(wire, 4, &out->value);
    case PB_WIRE_LEN:
        if (!pb_wire_varint(wire, &out->value) || out->value > wire->n)
            return false;
        out->bytes = str_slice(*wire, 0, (size_t)out->value);
        *wire = str_slice(*wire, (size_t)out->value, wire->n);
        return true;
    default: /* groups, and numbers that do not exist */
        return false;
    }
}

void pb_put_varint(struct buf *b, uint64_t v)
{
    char out[10];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        out[n++] = (char)(v | 0x80);
    out[n++] = (char)v;
    buf_append(b, (str_t){ out, n });
}

void pb_put_tag(struct buf *b, unsigned number, enum pb_wire_type type)
{
    pb_put_varint(b, (uint64_t)number << 3 | type);
}

void pb_put_bytes(struct buf *b, unsigned number, str_t s)
{
    pb_put_tag(b, number, PB_WIRE_LEN);
    pb_put_varint(b, s.n);
    if (s.n)
        buf_append(b, s);
}

void pb_put_double(struct buf *b, unsigned number, double v)
{
    char out[8];
    uint64_t bits;

    memcpy(&bits, &v, 8);
    for (size_t i = 0; i < 8; i++)
        out[i] = (char)(bits >> (8 * i));
    if (number)
        pb_put_tag(b, number, PB_WIRE_64);
    buf_append(b, (str_t){ out, 8 });
}

size_t pb_put_open(struct buf *b, unsigned number)
{
    pb_put_tag(b, number, PB_WIRE_LEN);
    buf_char(b, 0); /* the length, when it is known */
    return b->n;
}

void pb_put_close(struct buf *b, size_t at)
{
    size_t n = b->n - at, more = 0;

    if (b->full)
        return;
    for (size_t v = n; v >= 0x80; v >>= 7)
        more++;
    if (more > 0) {
        if (!buf_reserve(b, more))
            return;
        memmove(b->p + at + more, b->p + at, n);
        buf_commit(b, more);
    }
    for (size_t i = 0; i <= more; i++, n >>= 7)
        b->p[at - 1 + i] = (char)(i < more ? n | 0x80 : n);
}

/* ---- reading ---- */

static err_t read_message(struct ctx *c, const struct pb_message *d, str_t wire, void *msg);

static err_t broken(struct ctx *c, const struct pb_message *d)
{
    return err_set(c, ERR_INVALID, "malformed protobuf in " STR_FMT, STR_ARG(d->name));
}

static enum pb_wire_type wire_type(const struct pb_field *f)
{
    switch ((enum pb_kind)f->kind) {
    case PB_KIND_BOOL:
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
    case PB_KIND_ENUM:
        return PB_WIRE_VARINT;
    case PB_KIND_DOUBLE:
        return PB_WIRE_64;
    case PB_KIND_STRING:
    case PB_KIND_BYTES:
    case PB_KIND_MESSAGE:
    case PB_KIND_TIMESTAMP:
    case PB_KIND_DURATION:
    case PB_KIND_STRUCT:
    case PB_KIND_VALUE:
    case PB_KIND_PAIR:
    case PB_KIND_MASK:
    case PB_KIND_MAP:
    case PB_KIND_MAP_MSG:
        break;
    }
    return PB_WIRE_LEN;
}

/* A varint or fixed value into the field or at the end of its list. */
static err_t read_number(struct ctx *c, const struct pb_field *f, uint64_t raw, void *msg)
{
    int64_t v = (int64_t)raw;

    if (f->kind == PB_KIND_INT32)
        v = (int32_t)(uint32_t)raw;
    if (f->kind == PB_KIND_UINT32)
        v = (uint32_t)raw;
    if (f->kind == PB_KIND_UINT64 && v < 0)
        return pb_bad(c, f, "not an integer of its range");
    if (f->kind == PB_KIND_ENUM) {
        bool known = pb_enum_row(f->enumeration, v) != NULL;

        if (known || !(f->flags & PB_REPEATED))
            *(int32_t *)pb_slot(c->arena, f, msg) = known ? (int32_t)v : 0;
    } else if (f->kind == PB_KIND_BOOL) {
        *(bool *)pb_slot(c->arena, f, msg) = raw != 0;
    } else if (f->kind == PB_KIND_DOUBLE) {
        memcpy(pb_slot(c->arena, f, msg), &raw, 8);
    } else {
        *(int64_t *)pb_slot(c->arena, f, msg) = v;
    }
    return ERR_OK;
}

/* The numbers of a packed list. */
static err_t read_packed(struct ctx *c, const struct pb_field *f, str_t wire, void *msg)
{
    uint64_t raw;

    while (wire.n > 0) {
        bool ok =
            f->kind == PB_KIND_DOUBLE ? wire_fixed(&wire, 8, &raw) : pb_wire_varint(&wire, &raw);
        if (!ok)
            return pb_bad(c, f, "malformed list");
        TRY(read_number(c, f, raw, msg));
    }
    return ERR_OK;
}

/* Timestamp and Duration: seconds (1) and nanoseconds (2). */
static err_t read_time(struct ctx *c, const struct pb_field *f, str_t wire, int64_t *out)
{
    int64_t seconds = 0, nanos = 0;
    struct pb_item item;
    bool stamp = f->kind == PB_KIND_TIMESTAMP;

    while (wire.n > 0) {
        if (!pb_wire_next(&wire, &item))
            return pb_bad(c, f, "malformed time");
        if (item.number == 1 && item.type == PB_WIRE_VARINT)
            seconds = (int64_t)item.value;
        if (item.number == 2 && item.type == PB_WIRE_VARINT)
            nanos = (int64_t)item.value;
    }
    if (seconds < (stamp ? INT64_C(-62135596800) : 0) || nanos < 0 || nanos > 999999999 ||
        seconds > (stamp ? INT64_C(253402300799) : INT64_C(315576000000)))
        return pb_bad(c, f, "time out of range");
    *out = seconds * 1000 + nanos / 1000000;
    return ERR_OK;
}

static err_t read_text(struct ctx *c, const struct pb_field *f, str_t s, str_t *out)
{
    if (!str_is_utf8(s))
        return pb_bad(c, f, "not UTF-8");
    *out = s;
    return pb_no_zero(c, f, s);
}

/* Joins the paths (1) of a FieldMask with commas. */
static err_t read_mask(struct ctx *c, const struct pb_field *f, str_t wire, str_t *out)
{
    struct pb_item item;
    struct buf b;

    buf_init_arena(&b, c->arena, wire.n + 1);
    while (wire.n > 0) {
        if (!pb_wire_next(&wire, &item) || item.type != PB_WIRE_LEN)
            return pb_bad(c, f, "malformed mask");
        TRY(pb_check_mask(c, f, item.bytes));
        if (b.n > 0)
            buf_char(&b, ',');
        buf_append(&b, item.bytes);
    }
    *out = buf_str(&b);
    return ERR_OK;
}

static err_t read_map_entry(struct ctx *c, const struct pb_field *f, str_t wire, void *msg)
{
    struct pb_pair *pair = pb_list_add(c->arena, f, msg);
    struct pb_item item;
    void *value = NULL;

    if (f->kind == PB_KIND_MAP_MSG) {
        value = pb_new(c->arena, f->message);
        *(void **)pb_at(pair, sizeof(str_t)) = value;
    }
    while (wire.n > 0) {
        if (!pb_wire_next(&wire, &item) || (item.number <= 2 && item.type != PB_WIRE_LEN))
            return pb_bad(c, f, "malformed map");
        if (item.number == 1)
            TRY(read_text(c, f, item.bytes, &pair->key));
        else if (item.number == 2 && value)
            TRY(read_message(c, f->message, item.bytes, value));
        else if (item.number == 2)
            TRY(read_text(c, f, item.bytes, &pair->value));
    }
    return ERR_OK;
}

static err_t read_sub_message(struct ctx *c, const struct pb_field *f, str_t wire, void *msg)
{
    void *slot = pb_slot(c->arena, f, msg);

    if (!slot)
        return pb_bad(c, f, "too many items");
    if (!(f->flags & PB_REPEATED)) {
        void **sub = slot; /* given twice: merged */

        if (!*sub)
            *sub = pb_new(c->arena, f->message);
        slot = *sub;
    }
    return read_message(c, f->message, wire, slot);
}

static err_t read_bytes(struct ctx *c, const struct pb_field *f, const struct pb_item *item,
                        void *msg)
{
    bool companion = f->kind == PB_KIND_PAIR && item->number == f->number_value;

    switch ((enum pb_kind)f->kind) {
    case PB_KIND_STRING:
        return read_text(c, f, item->bytes, pb_slot(c->arena, f, msg));
    case PB_KIND_BYTES:
        *(str_t *)pb_slot(c->arena, f, msg) = item->bytes;
        return ERR_OK;
    case PB_KIND_MESSAGE:
        return read_sub_message(c, f, item->bytes, msg);
    case PB_KIND_TIMESTAMP:
    case PB_KIND_DURATION:
        return read_time(c, f, item->bytes, pb_slot(c->arena, f, msg));
    case PB_KIND_STRUCT:
    case PB_KIND_VALUE:
    case PB_KIND_PAIR:
        return pb_payload_to_json(c, item->bytes, f->kind != PB_KIND_VALUE && !companion,
                                  pb_slot(c->arena, f, msg));
    case PB_KIND_MASK:
        return read_mask(c, f, item->bytes, pb_slot(c->arena, f, msg));
    case PB_KIND_MAP:
    case PB_KIND_MAP_MSG:
        return read_map_entry(c, f, item->bytes, msg);
    case PB_KIND_BOOL:
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
    case PB_KIND_DOUBLE:
    case PB_KIND_ENUM:
        return read_packed(c, f, item->bytes, msg);
    }
    return ERR_OK;
}

/* Fields mostly come in order: the search goes on where the last one ended. */
static const struct pb_field *find_number(const struct pb_message *d, uint64_t number, size_t *from)
{
    for (size_t i = 0; i < d->fields_n; i++) {
        size_t k = *from + i < d->fields_n ? *from + i : *from + i - d->fields_n;
        const struct pb_field *f = &d->fields[k];

        if (f->number == number || (f->kind == PB_KIND_PAIR && f->number_value == number)) {
            *from = k;
            return f;
        }
    }
    return NULL;
}

static err_t read_message(struct ctx *c, const struct pb_message *d, str_t wire, void *msg)
{
    struct pb_item item;
    uint64_t companions = 0;
    size_t from = 0;

    while (wire.n > 0) {
        const struct pb_field *f;
        enum pb_wire_type want;

        if (!pb_wire_next(&wire, &item))
            return broken(c, d);
        f = find_number(d, item.number, &from);
        if (!f)
            continue;
        want = wire_type(f);
        if (item.type != want && !(item.type == PB_WIRE_LEN && f->flags & PB_REPEATED))
            return pb_bad(c, f, "wrong wire type");
        if (f->kind == PB_KIND_PAIR) {
            if (item.number == f->number_value)
                companions |= UINT64_C(1) << from;
            else if (companions & UINT64_C(1) << from)
                continue; /* the companion wins, whichever comes first */
        }
        if (item.type == PB_WIRE_LEN)
            TRY(read_bytes(c, f, &item, msg));
        else
            TRY(read_number(c, f, item.value, msg));
    }
    return ERR_OK;
}

err_t pb_from_wire(struct ctx *c, const struct pb_message *d, str_t wire, void *msg)
{
    return read_message(c, d, wire, msg);
}

/* ---- writing ---- */

static void put_int_field(struct buf *b, unsigned number, int64_t v)
{
    pb_put_tag(b, number, PB_WIRE_VARINT);
    pb_put_varint(b, (uint64_t)v);
}

static void put_time(struct buf *b, unsigned number, int64_t ms)
{
    size_t at = pb_put_open(b, number);
    int64_t rest = ms % 1000, seconds = ms / 1000;

    if (rest < 0) {
        rest += 1000;
        seconds--;
    }
    if (seconds)
        put_int_field(b, 1, seconds);
    if (rest)
        put_int_field(b, 2, rest * 1000000);
    pb_put_close(b, at);
}

static void put_payload(struct buf *b, unsigned number, str_t json, bool is_struct)
{
    size_t at = pb_put_open(b, number);

    pb_payload_to_wire(b, json, is_struct);
    pb_put_close(b, at);
}

/* A payload that is no object goes into the companion, and wrapped into the first for clients that
 * do not know the companion. */
static void put_pair(struct buf *b, const struct pb_field *f, str_t json)
{
    size_t at, entry, value;

    if (json_type(json) == JSON_OBJECT) {
        put_payload(b, f->number, json, true);
        return;
    }
    at = pb_put_open(b, f->number);
    entry = pb_put_open(b, 1);
    pb_put_bytes(b, 1, S("value"));
    value = pb_put_open(b, 2);
    pb_payload_to_wire(b, json, false);
    pb_put_close(b, value);
    pb_put_close(b, entry);
    pb_put_close(b, at);
    put_payload(b, f->number_value, json, false);
}

static void put_mask(struct buf *b, unsigned number, str_t mask)
{
    size_t at = pb_put_open(b, number);
    str_t path;

    while (str_cut(&mask, ',', &path))
        if (path.n > 0)
            pb_put_bytes(b, 1, path);
    pb_put_close(b, at);
}

static void put_map_entry(struct buf *b, const struct pb_field *f, const void *item)
{
    const struct pb_pair *pair = item;
    size_t at = pb_put_open(b, f->number);

    pb_put_bytes(b, 1, pair->key);
    if (f->kind == PB_KIND_MAP) {
        pb_put_bytes(b, 2, pair->value);
    } else {
        size_t value = pb_put_open(b, 2);

        pb_to_wire(b, f->message, *(void *const *)pb_at_c(item, sizeof(str_t)));
        pb_put_close(b, value);
    }
    pb_put_close(b, at);
}

static void put_number(struct buf *b, const struct pb_field *f, const void *item)
{
    if (f->kind == PB_KIND_BOOL)
        pb_put_varint(b, *(const bool *)item);
    else if (f->kind == PB_KIND_ENUM)
        pb_put_varint(b, (uint64_t)(int64_t) * (const int32_t *)item);
    else if (f->kind == PB_KIND_DOUBLE)
        pb_put_double(b, 0, *(const double *)item);
    else
        pb_put_varint(b, (uint64_t) * (const int64_t *)item);
}

static void put_one(struct buf *b, const struct pb_field *f, const void *item)
{
    size_t at;

    switch ((enum pb_kind)f->kind) {
    case PB_KIND_STRING:
    case PB_KIND_BYTES:
        pb_put_bytes(b, f->number, *(const str_t *)item);
        break;
    case PB_KIND_MESSAGE:
        at = pb_put_open(b, f->number);
        pb_to_wire(b, f->message, item);
        pb_put_close(b, at);
        break;
    case PB_KIND_TIMESTAMP:
    case PB_KIND_DURATION:
        put_time(b, f->number, *(const int64_t *)item);
        break;
    case PB_KIND_STRUCT:
    case PB_KIND_VALUE:
        put_payload(b, f->number, *(const str_t *)item, f->kind == PB_KIND_STRUCT);
        break;
    case PB_KIND_PAIR:
        put_pair(b, f, *(const str_t *)item);
        break;
    case PB_KIND_MASK:
        put_mask(b, f->number, *(const str_t *)item);
        break;
    case PB_KIND_MAP:
    case PB_KIND_MAP_MSG:
        put_map_entry(b, f, item);
        break;
    case PB_KIND_BOOL:
    case PB_KIND_INT32:
    case PB_KIND_UINT32:
    case PB_KIND_INT64:
    case PB_KIND_UINT64:
    case PB_KIND_DOUBLE:
    case PB_KIND_ENUM:
        pb_put_tag(b, f->number, wire_type(f));
        put_number(b, f, item);
        break;
    }
}

static void put_list(struct buf *b, const struct pb_field *f, const void *msg)
{
    const char *item = *(char *const *)pb_at_c(msg, f->offset);
    size_t n = pb_count(f, msg), size = pb_item_size(f), at;

    if (wire_type(f) == PB_WIRE_LEN) {
        for (size_t i = 0; i < n; i++)
            put_one(b, f, item + i * size);
    } else if (n > 0) {
        at = pb_put_open(b, f->number);
        for (size_t i = 0; i < n; i++)
            put_number(b, f, item + i * size);
        pb_put_close(b, at);
    }
}

void pb_to_wire(struct buf *b, const struct pb_message *d, const void *msg)
{
    for (size_t i = 0; i < d->fields_n; i++) {
        const struct pb_field *f = &d->fields[i];
        const void *at = pb_at_c(msg, f->offset);
        bool present = f->flags & PB_OPTIONAL ? *(const bool *)pb_at_c(msg, f->extra_offset)
                                              : !pb_is_zero(f, at);

        if (f->flags & PB_REPEATED)
            put_list(b, f, msg);
        else if (present)
            put_one(b, f, f->kind == PB_KIND_MESSAGE ? *(void *const *)at : at);
    }
}
