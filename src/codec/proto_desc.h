/* What the generated tables say about a message. Only src/codec, scripts/gen and the generated file
 * look inside; everybody else passes `const struct pb_message *` along (codec/proto.h). */
#pragma once

#include "codec/proto.h"

enum pb_kind {
    PB_KIND_BOOL,
    PB_KIND_INT32,
    PB_KIND_UINT32,
    PB_KIND_INT64,
    PB_KIND_UINT64,
    PB_KIND_DOUBLE,
    PB_KIND_STRING,
    PB_KIND_BYTES,
    PB_KIND_ENUM,
    PB_KIND_MESSAGE,
    PB_KIND_TIMESTAMP,
    PB_KIND_DURATION,
    PB_KIND_STRUCT,
    PB_KIND_VALUE,
    PB_KIND_PAIR, /* X (Struct) and X_value (Value) in one */
    PB_KIND_MASK,
    PB_KIND_MAP,     /* string to string */
    PB_KIND_MAP_MSG, /* string to message: items are { str_t key; struct *value; } */
};

enum pb_flag {
    PB_REPEATED = 1,
    PB_OPTIONAL = 2, /* has_offset is a bool */
    PB_ALWAYS = 4,   /* JSON writes it even when zero */
    PB_TEXT = 8,     /* bytes that hold JSON: text in JSON except in strict style */
    PB_NUMBER = 16,  /* 64 bits, yet a JSON number in every style */
    PB_SPARSE = 32,  /* REST leaves the empty list out */
};

enum pb_message_flag {
    PB_BOTH = 1,  /* RPC JSON in both spellings */
    PB_SNAKE = 2, /* RPC JSON in snake_case */
    PB_CAMEL = 4, /* REST JSON in camelCase */
};

struct pb_field {
    str_t name, json, rest; /* snake_case, camelCase, REST (mostly the first) */
    str_t json_value;       /* a pair's companion: "dataValue" */
    uint16_t number, number_value;
    uint8_t kind, flags;
    uint16_t offset;       /* of the value, or of the items of a list */
    uint16_t extra_offset; /* of the count of a list, or of the presence bool */
    union {
        const struct pb_message *message;
        const struct pb_enum *enumeration;
    };
};

/* One slot of a message's table of names: open addressing, hash by pb_name_hash. */
struct pb_name {
    str_t name; /* NULL: free */
    uint8_t field;
    uint8_t value; /* 1: the companion of a pair */
};

struct pb_message {
    str_t name; /* "ironflow.v1.Run" */
    size_t size;
    const struct pb_field *fields;
    const struct pb_name *names;
    uint16_t fields_n; /* at most 64 */
    uint16_t mask;     /* slots of names less one */
    uint8_t flags;
};

struct pb_enum_value {
    str_t name, word, rest; /* "RUN_STATUS_WAITING", "waiting", REST's word (mostly the second) */
    int32_t number;
};

struct pb_enum {
    str_t name;
    const struct pb_enum_value *values;
    size_t values_n;
};

/* Names are short and few: length and three characters tell them apart well enough. */
static inline uint32_t pb_name_hash(const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;
    uint32_t h = (uint32_t)n * 37u;

    if (n == 0)
        return 0;
    h += s[0] * 7u + s[n - 1] * 31u + s[n / 2] * 131u;
    return h ^ (h >> 5);
}
