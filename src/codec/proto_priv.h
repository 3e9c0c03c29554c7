/* Shared by the proto_*.c files: walking a message by its description. */
#pragma once

#include "codec/proto_desc.h"

/* Items of one list of messages that a document may bring; batches are far smaller. */
#define PB_LIST_MAX 10000

/* The slot with this name, in any of its spellings, or NULL. */
const struct pb_name *pb_find(const struct pb_message *d, str_t name);
/* Bytes of one item of a list, or of the value of a single field. */
size_t pb_item_size(const struct pb_field *f);
/* A new zeroed item at the end of a list; NULL when a list of messages is full. Items may move. */
void *pb_list_add(struct arena *a, const struct pb_field *f, void *msg);
/* ERR_INVALID "name: what". */
err_t pb_bad(struct ctx *c, const struct pb_field *f, const char *what);
/* ERR_INVALID for text with a zero byte: PostgreSQL cannot store it, so SQLite shall not either. */
NODISCARD err_t pb_no_zero(struct ctx *c, const struct pb_field *f, str_t s);
/* ERR_INVALID unless a mask is made of names, dots and commas: it is printed as it is. */
NODISCARD err_t pb_check_mask(struct ctx *c, const struct pb_field *f, str_t mask);
/* False when v does not fit the field's integer type. */
bool pb_fits(const struct pb_field *f, int64_t v);
/* The row of a value, or NULL. */
const struct pb_enum_value *pb_enum_row(const struct pb_enum *e, int64_t value);

/* Whether a single value is unset: 0, "", false, NULL. */
bool pb_is_zero(const struct pb_field *f, const void *value);

static inline void *pb_at(void *msg, size_t offset)
{
    return (char *)msg + offset;
}

static inline const void *pb_at_c(const void *msg, size_t offset)
{
    return (const char *)msg + offset;
}

static inline size_t pb_count(const struct pb_field *f, const void *msg)
{
    return *(const size_t *)pb_at_c(msg, f->extra_offset);
}

/* Where the next value of f goes: the field itself (marked present) or a new item; NULL: list full.
 */
static inline void *pb_slot(struct arena *a, const struct pb_field *f, void *msg)
{
    if (f->flags & PB_REPEATED)
        return pb_list_add(a, f, msg);
    if (f->flags & PB_OPTIONAL)
        *(bool *)pb_at(msg, f->extra_offset) = true;
    return pb_at(msg, f->offset);
}

/* Binary google.protobuf.Value (or Struct) to JSON text in c->arena. */
NODISCARD err_t pb_payload_to_json(struct ctx *c, str_t wire, bool is_struct, str_t *out);
/* JSON text as the content of a Value, or of a Struct when it is an object and is_struct. */
void pb_payload_to_wire(struct buf *b, str_t json, bool is_struct);

/* ---- bytes of the wire ---- */

enum pb_wire_type { PB_WIRE_VARINT = 0, PB_WIRE_64 = 1, PB_WIRE_LEN = 2, PB_WIRE_32 = 5 };

/* One field as it stands on the wire. */
struct pb_item {
    uint64_t number;
    enum pb_wire_type type;
    uint64_t value; /* varint and fixed */
    str_t bytes;    /* PB_WIRE_LEN */
};

/* Takes one field off *wire; false on malformed bytes. */
bool pb_wire_next(str_t *wire, struct pb_item *out);
bool pb_wire_varint(str_t *wire, uint64_t *out);
void pb_put_varint(struct buf *b, uint64_t v);
void pb_put_tag(struct buf *b, unsigned number, enum pb_wire_type type);
void pb_put_bytes(struct buf *b, unsigned number, str_t s);
/* Opens a length-delimited field and closes it when its content stands. */
size_t pb_put_open(struct buf *b, unsigned number);
void pb_put_close(struct buf *b, size_t at);
void pb_put_double(struct buf *b, unsigned number, double v);
