/* What the cel_*.c files share: tokens, the code that expressions become, one evaluation, and the
 * operations on values. */
#pragma once

#include "codec/cel.h"
#include "codec/json.h"
#include "codec/regex.h"

/* ---- tokens (cel_lex.c) ---- */

enum cel_tok {
    CEL_TOK_END,
    CEL_TOK_IDENT,  /* text is the name */
    CEL_TOK_QUOTED, /* a name between backquotes, for selecting fields */
    CEL_TOK_CONST,  /* value is the literal */
    CEL_TOK_NUMBER, /* a number without sign; text is it */
    CEL_TOK_IN,
    CEL_TOK_AND,
    CEL_TOK_OR,
    CEL_TOK_EQ,
    CEL_TOK_NE,
    CEL_TOK_LE,
    CEL_TOK_GE,
    CEL_TOK_PUNCT, /* one character, ch */
};

struct cel_token {
    enum cel_tok kind;
    char ch;       /* punctuation, else 0 */
    bool reserved; /* a name that only fields may have */
    size_t at;     /* byte offset */
    str_t text;
    struct cel_value value;
};

struct cel_lex {
    struct arena *arena; /* decoded strings */
    str_t text;
    size_t at;
    struct cel_token tok; /* the current token */
    const char *what;     /* the error and where it is */
    size_t what_at;
};

/* Reads the next token into tok; false on malformed text. A copy of the struct is a place to come
 * back to. */
bool cel_lex_next(struct cel_lex *x);
/* Sets the first error; false. */
bool cel_lex_fail(struct cel_lex *x, size_t at, const char *what);
/* Reads a quoted literal that begins at the current position (cel_lex_string.c). */
bool cel_lex_string(struct cel_lex *x, bool raw, bool bytes);

/* ---- code (cel_parse.c writes, cel_eval.c runs) ---- */

enum cel_code {
    CEL_OP_CONST,  /* push constant arg */
    CEL_OP_VAR,    /* push variable arg */
    CEL_OP_LOCAL,  /* push the item of loop slot */
    CEL_OP_SELECT, /* the field named by constant arg; argc 1: written as an index */
    CEL_OP_HAS,    /* whether that field is there */
    CEL_OP_INDEX,  /* pop an index and what it indexes */
    CEL_OP_LIST,   /* pop arg items */
    CEL_OP_MAP,    /* pop arg keys and values */
    CEL_OP_NOT,    /* from here on operators; those with two operands follow NEGATE */
    CEL_OP_NEGATE,
    CEL_OP_ADD,
    CEL_OP_SUB,
    CEL_OP_MUL,
    CEL_OP_DIV,
    CEL_OP_MOD,
    CEL_OP_EQ,
    CEL_OP_NE,
    CEL_OP_LT,
    CEL_OP_LE,
    CEL_OP_GT,
    CEL_OP_GE,
    CEL_OP_IN,
    CEL_OP_AND_JUMP, /* false: keep it and jump to arg */
    CEL_OP_AND,      /* joins both sides; arg is the AND_JUMP between them */
    CEL_OP_OR_JUMP,  /* true: keep it and jump to arg */
    CEL_OP_OR,
    CEL_OP_ELSE_JUMP, /* pop the condition; false: jump to arg; error: keep it and jump behind */
    CEL_OP_JUMP,
    CEL_OP_JOIN,      /* where both branches of a condition meet */
    CEL_OP_CALL,      /* function arg with argc arguments */
    CEL_OP_MATCHES,   /* pattern arg */
    CEL_OP_LOOP,      /* pop the range of loop slot; arg is its LOOP_END */
    CEL_OP_LOOP_NEXT, /* the next item, or jump to arg, the LOOP_END */
    CEL_OP_LOOP_TEST, /* pop the condition of a map; false: jump to arg, the LOOP_NEXT */
    CEL_OP_LOOP_STEP, /* pop what the macro computed for the item; jump to arg, the LOOP_NEXT */
    CEL_OP_LOOP_END,  /* push the result */
};

enum cel_macro { CEL_ALL, CEL_EXISTS, CEL_EXISTS_ONE, CEL_FILTER, CEL_COLLECT };

struct cel_op {
    uint8_t code;
    uint8_t macro; /* loops: enum cel_macro */
    uint8_t argc;
    uint8_t slot;
    uint32_t arg;
};

struct cel_pattern {
    const struct regex *re;
};

/* One block on the heap: the arrays stand behind the struct. */
struct cel_program {
    const struct cel_op *ops;
    const struct cel_value *consts;
    const struct cel_pattern *patterns;
    const struct cel_equality *equalities;
    size_t ops_n, consts_n, patterns_n, equalities_n;
    size_t stack_max, loops_max, vars_n;
    size_t cost_max;
};

/* A program while it is written, in the arena of the call. */
struct cel_build {
    struct cel_op ops[CEL_NODES_MAX];
    struct cel_value consts[CEL_NODES_MAX];
    struct cel_pattern patterns[CEL_NODES_MAX];
    size_t ops_n, consts_n, patterns_n;
    size_t pattern_bytes; /* of all patterns */
    size_t stack_max, loops_max;
};

/* Writes the code of text into b. ERR_INVALID (cel_parse.c). */
NODISCARD err_t cel_parse(struct ctx *c, str_t text, const struct cel_env *env,
                          struct cel_build *b);

/* ---- one evaluation (cel_eval.c) ---- */

struct cel_iter {
    const struct cel_value *of;
    size_t at;
    struct json_iter json;
};

/* A comprehension that runs. */
struct cel_loop {
    struct cel_value range, item, result;
    struct cel_iter iter;
    struct cel_value *items; /* what filter and map collected */
    size_t items_n, items_cap;
    size_t found; /* exists_one */
};

struct cel_run {
    struct arena *arena;
    const struct cel_program *p;
    const struct cel_value *vars;
    struct cel_value *stack; /* n values stand on it */
    size_t n;
    struct cel_loop *loops;
    size_t cost_left;
    bool exhausted; /* the cost limit is passed; the evaluation ends */
};

/* Memory that an instruction takes from the arena costs a step for so many bytes. */
#define CEL_STEP_BYTES 64

/* Takes steps off the budget; false when it is used up. */
bool cel_charge(struct cel_run *r, size_t steps);
/* What may still be taken from the arena. */
size_t cel_bytes_left(const struct cel_run *r);
/* As cel_charge for n bytes that are read. */
bool cel_charge_bytes(struct cel_run *r, size_t n);
/* Room for n items of a list, uncleared; NULL when they would pass the cost limit. */
struct cel_value *cel_items(struct cel_run *r, size_t n);
static inline struct cel_loop *cel_loop_at(const struct cel_run *r, size_t slot)
{
    must(r->loops != NULL);
    return &r->loops[slot];
}

/* A loop instruction; the index of the next one (cel_loop.c). */
size_t cel_loop_op(struct cel_run *r, struct cel_op op, size_t at);

/* ---- values (cel_value.c, cel_number.c) ---- */

struct cel_value cel_error(const char *text);
/* "what: name", in the arena. */
struct cel_value cel_error_at(struct cel_run *r, const char *what, str_t name);
/* "no such overload". */
struct cel_value cel_no_overload(void);
struct cel_value cel_uint(uint64_t v);
struct cel_value cel_bytes(str_t s);
struct cel_value cel_duration(int64_t nanos);

/* Walks lists (value) and maps (key, value); either may be NULL. */
struct cel_iter cel_iter(const struct cel_value *of);
bool cel_iter_next(struct cel_run *r, struct cel_iter *it, struct cel_value *key,
                   struct cel_value *value);
size_t cel_count(struct cel_run *r, const struct cel_value *v);
bool cel_field(struct cel_run *r, const struct cel_value *map, str_t name, struct cel_value *out);
bool cel_lookup(struct cel_run *r, const struct cel_value *map, const struct cel_value *key,
                struct cel_value *out);
struct cel_value cel_index(struct cel_run *r, const struct cel_value *of,
                           const struct cel_value *key);
/* Equality across types; unlike types are unequal, like numbers equal. */
bool cel_equal(struct cel_run *r, const struct cel_value *a, const struct cel_value *b);

enum cel_order { CEL_LESS = -1, CEL_SAME = 0, CEL_MORE = 1, CEL_UNORDERED = 2, CEL_UNLIKE = 3 };
enum cel_order cel_compare(const struct cel_value *a, const struct cel_value *b);
bool cel_is_number(const struct cel_value *v);
/* True and the integer when v is a number that has exactly this int64 value. */
bool cel_integer(const struct cel_value *v, int64_t *out);
/* + - * / % (an enum cel_code) on any two values, and the sign. */
struct cel_value cel_arith(struct cel_run *r, enum cel_code op, const struct cel_value *a,
                           const struct cel_value *b);
struct cel_value cel_negate(const struct cel_value *v);

/* ---- times (cel_time.c) ---- */

bool cel_time_parse(str_t s, struct cel_value *out);
bool cel_duration_parse(str_t s, struct cel_value *out);
str_t cel_time_text(struct arena *a, const struct cel_value *v);
str_t cel_duration_text(struct arena *a, int64_t nanos);
/* "range error" outside the years 1 to 9999. */
struct cel_value cel_time(int64_t seconds, int64_t nanos);
/* The distance a - b. */
struct cel_value cel_time_sub(const struct cel_value *a, const struct cel_value *b);

/* ---- functions (cel_lib.c is the table) ---- */

/* No argument is an error; the bytes of those that are texts are paid for. */
typedef struct cel_value cel_fn(struct cel_run *r, const struct cel_value *a, size_t n);

struct cel_function {
    const char *name;
    uint8_t min, max; /* arguments, with the receiver */
    bool global, member;
    cel_fn *fn;
};

extern const struct cel_function cel_functions[];
extern const size_t cel_functions_n;

/* The function's index, or -1; *named tells whether any function of that form has the name. */
int cel_function_find(str_t name, bool member, size_t argc, bool *named);
/* The type that an identifier names, as a value. */
bool cel_type_find(str_t name, struct cel_value *out);
/* A text that grows on the heap (buf_done frees it), up to what is left of the cost, and its copy
 * in the arena. What a text costs must not depend on where the arena finds room for it to grow. */
struct buf cel_writer(const struct cel_run *r);
struct cel_value cel_written(struct cel_run *r, const struct buf *b);
/* What string() gives; an error for what has no text. */
struct cel_value cel_text(struct cel_run *r, const struct cel_value *v);
/* As Go prints it shortest. */
str_t cel_double_text(struct arena *a, double d);

cel_fn cel_fn_size, cel_fn_contains, cel_fn_starts, cel_fn_ends, cel_fn_matches, cel_fn_char_at,
    cel_fn_index_of, cel_fn_last_index_of, cel_fn_join, cel_fn_replace, cel_fn_split,
    cel_fn_substring, cel_fn_lower, cel_fn_upper, cel_fn_trim, cel_fn_reverse, cel_fn_quote,
    cel_fn_format;
cel_fn cel_fn_bool, cel_fn_int, cel_fn_uint, cel_fn_double, cel_fn_string, cel_fn_bytes, cel_fn_dyn,
    cel_fn_type, cel_fn_timestamp, cel_fn_duration;
cel_fn cel_fn_year, cel_fn_month, cel_fn_date, cel_fn_day_of_month, cel_fn_day_of_week,
    cel_fn_day_of_year, cel_fn_hours, cel_fn_minutes, cel_fn_seconds, cel_fn_millis;
