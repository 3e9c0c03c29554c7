/* CEL, the Common Expression Language, for trigger expressions, subscription filters and policies.
 * An expression is compiled once and evaluated often: the program is immutable and any thread may
 * use it at the same time. Payloads stay JSON text and are read where an expression looks.
 *
 * Built: the operators, macros (has, all, exists, exists_one, map, filter) and standard functions
 * of the language definition, the string functions of its extension library, RE2-like `matches`.
 * Not built: messages and optional values. What deviates on purpose: a number that
 * came from JSON takes part in arithmetic with the other kind of number (`data.price * 1.5` holds
 * for 10 as for 10.5), because JSON has one kind. */
#pragma once

#include "base/ctx.h"

#define CEL_TEXT_MAX 8192
#define CEL_DEPTH_MAX 64
#define CEL_NODES_MAX 2000
#define CEL_COST_MAX 100000
#define CEL_PATTERNS_BYTES_MAX ((size_t)512 << 10) /* of all constant patterns, compiled */

enum cel_type {
    CEL_ERROR, /* also what a zeroed value is: "no value" */
    CEL_NULL,
    CEL_BOOL,
    CEL_INT,
    CEL_UINT,
    CEL_DOUBLE,
    CEL_STRING,
    CEL_BYTES,
    CEL_LIST,
    CEL_MAP,
    CEL_TIMESTAMP,
    CEL_DURATION,
    CEL_TYPE,
};

struct cel_entry;
struct cel_value {
    enum cel_type type;
    bool json; /* a list or map is JSON text in s; a number was read from JSON */
    union {
        bool boolean;
        int64_t i; /* int; duration in nanoseconds */
        uint64_t u;
        double d;
        str_t s; /* string, bytes, name of a type, text of an error */
        struct {
            const struct cel_value *p;
            size_t n;
        } list;
        struct {
            const struct cel_entry *p;
            size_t n;
        } map;
        struct {
            int64_t seconds; /* since the Unix epoch */
            int32_t nanos;   /* 0 to 999,999,999 */
        } time;
    };
};

struct cel_entry {
    struct cel_value key, value;
};

/* Values for bindings; they borrow what they are given. */
struct cel_value cel_null(void);
struct cel_value cel_bool(bool v);
struct cel_value cel_int(int64_t v);
struct cel_value cel_double(double v);
struct cel_value cel_string(str_t s);
/* Milliseconds since the Unix epoch. */
struct cel_value cel_time_ms(int64_t ms);
struct cel_value cel_list(const struct cel_value *items, size_t n);
struct cel_value cel_map(const struct cel_entry *entries, size_t n);
/* Text that json_check has accepted, trimmed. Integral numbers within int64 become int, others
 * double; strings with escapes are decoded into the arena, lists and maps stay text. */
struct cel_value cel_json(struct arena *a, str_t value);

/* What an expression may name. Nothing of it is kept but the cost. */
struct cel_env {
    const str_t *names; /* variables; a name may have dots */
    size_t n;
    size_t cost_max; /* steps of one evaluation, 0: CEL_COST_MAX */
};

struct cel_program;

/* Parses and checks. ERR_INVALID with "line:column: reason" for bad syntax, unknown names, wrong
 * numbers of arguments, malformed constant patterns, and past the limits above. The program is on
 * the heap: cel_free. */
NODISCARD err_t cel_compile(struct ctx *c, str_t text, const struct cel_env *env,
                            struct cel_program **out);
void cel_free(struct cel_program *p);

/* Evaluates with vars[i] as the value of env->names[i]. A fault of the expression itself (missing
 * key, type clash, overflow) is no err_t but a CEL_ERROR value with its reason. ERR_OUT_OF_RANGE
 * when the cost limit is passed. out borrows from vars, the program and c->arena. */
NODISCARD err_t cel_eval(struct ctx *c, const struct cel_program *p, const struct cel_value *vars,
                         struct cel_value *out);
/* True only when the result is the bool true; errors of every sort are false. */
bool cel_match(struct ctx *c, const struct cel_program *p, const struct cel_value *vars);

/* A condition `path == constant` that must hold for the whole expression to be true. */
struct cel_equality {
    const str_t *path; /* the variable and then field names */
    size_t path_n;
    struct cel_value value; /* null, bool, number, string or bytes */
};
/* The equalities among the operands of the outermost &&, for indexes; they live with the program.
 */
const struct cel_equality *cel_equalities(const struct cel_program *p, size_t *n);

/* "int", "google.protobuf.Timestamp", ...: the name of a value's type. */
str_t cel_type_name(enum cel_type t);
