/* Messages by description. The tables and the C structs come from proto/ironflow/v1/ *.proto
 * through scripts/gen; one description serves binary protobuf, Connect JSON (camelCase, 64-bit as
 * strings, full enum names) and REST JSON (snake_case, numbers, short enum words).
 *
 * In the C structs: every integer is int64_t, enums are int32_t, string/bytes are str_t, a
 * Timestamp is int64_t milliseconds since the epoch (0: unset), a Duration int64_t milliseconds, a
 * sub-message a pointer (NULL: unset), Struct/Value and a payload pair X / X_value are one str_t of
 * JSON text as it arrived (n = 0: unset), a FieldMask a str_t of snake_case paths with commas.
 * Repeated fields are `T *x; size_t x_n;` (messages by value), a map<string,string> a repeated
 * struct pb_pair, a map to messages a repeated `struct <message>_pair`. `optional` fields have a
 * bool has_<name> beside. */
#pragma once

#include "base/ctx.h"
#include "codec/json.h"

struct pb_message;
struct pb_enum;

/* Bytes of the C struct that d describes, and a zeroed one in the arena. */
size_t pb_size(const struct pb_message *d);
void *pb_new(struct arena *a, const struct pb_message *d);

struct pb_pair {
    str_t key, value;
};

/* Reads a JSON document into *msg (zeroed by the caller, laid out as d): checked strictly, in one
 * pass. Accepts camelCase, snake_case and REST names, ignores unknown members, unknown enum words
 * read as 0, null as unset. ERR_INVALID with a detail that names the field ("data: expected an
 * object") for a wrong type, a number out of range or a member given twice. Strings and payloads
 * are views of json where possible, else in c->arena. */
NODISCARD err_t pb_from_json(struct ctx *c, const struct pb_message *d, str_t json, void *msg);
/* The same from the binary form. */
NODISCARD err_t pb_from_wire(struct ctx *c, const struct pb_message *d, str_t wire, void *msg);
/* Sets one top-level field from text (a path segment or query parameter): scalars, enums, strings,
 * timestamps, comma lists for repeated scalars. Unknown names are ignored. ERR_INVALID names it. */
NODISCARD err_t pb_set_text(struct ctx *c, const struct pb_message *d, str_t name, str_t text,
                            void *msg);

enum pb_style {
    PB_REST,       /* snake_case, 64-bit numbers as numbers, short enum words, lists always */
    PB_REST_BOTH,  /* the same with a camelCase copy of every key that differs */
    PB_RPC,        /* camelCase; payloads under X and, for non-objects, also under xValue */
    PB_RPC_STRICT, /* plain ProtoJSON for generated clients (Connect-Protocol-Version) */
};

/* Fields marked @both in the .proto appear in both spellings under PB_RPC. */
void pb_to_json(struct buf *b, const struct pb_message *d, const void *msg, enum pb_style style);
void pb_to_wire(struct buf *b, const struct pb_message *d, const void *msg);

/* Name of an enum value: "RUN_STATUS_FAILED", or short and lower-case: "failed" (@rest overrides).
 */
str_t pb_enum_name(const struct pb_enum *e, int32_t value);
str_t pb_enum_word(const struct pb_enum *e, int32_t value);
/* Accepts full, short and @rest words in any case, and numbers; false on others. */
bool pb_enum_parse(const struct pb_enum *e, str_t word, int32_t *out);

enum pb_rpc_kind { PB_UNARY, PB_SERVER_STREAM, PB_BIDI };

/* One row for every RPC of every service; the last row has no path. */
struct pb_rpc {
    str_t path;            /* "/ironflow.v1.IronflowService/GetRun" */
    str_t service, method; /* "IronflowService", "GetRun" */
    const struct pb_message *request, *response;
    enum pb_rpc_kind kind;
    bool get; /* without side effects: GET is allowed */
};
extern const struct pb_rpc pb_rpcs[];
