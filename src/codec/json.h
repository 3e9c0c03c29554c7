/* A strict JSON reader over spans and a small writer. Users' bytes stay users' bytes: a value is
 * checked once (RFC 8259, UTF-8, no lone surrogate escapes, depth) and then carried as the slice
 * that arrived; numbers, key order, duplicates and blanks survive. Functions that take a `value`
 * expect text that json_check has accepted, trimmed of blanks as the functions here return it. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

#define JSON_DEPTH_MAX 128

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_error {
    size_t at;        /* byte offset */
    const char *what; /* "unexpected character", "nesting deeper than 128", ... */
};

/* Checks that text is exactly one JSON value with blanks around it; *value is it without the
 * blanks. False fills e. Never recurses. */
bool json_check(str_t text, str_t *value, struct json_error *e);
enum json_type json_type(str_t value);

/* Members of an object in order: for (struct json_iter it = json_iter(obj); json_next(&it);).
 * key is the text between the quotes, still escaped. For an array key is empty. */
struct json_iter {
    str_t rest, key, value;
};
struct json_iter json_iter(str_t value);
bool json_next(struct json_iter *it);

/* Last member with this (unescaped) key; false when value is no object or has none. */
bool json_get(str_t value, str_t key, str_t *out);
/* Follows a dotted path through objects; array indexes are decimal. */
bool json_path(str_t value, str_t path, str_t *out);
/* The string without quotes and escapes: a view where there are none, else in the arena.
 * False when value is no string. */
bool json_string(struct arena *a, str_t value, str_t *out);
/* Integers, also written 1.0 or 1e3; false when fractional, out of range or no number. */
bool json_i64(str_t value, int64_t *out);
bool json_double(str_t value, double *out);
/* The text of a scalar for comparing: strings unescaped, numbers and words as written. */
str_t json_scalar(struct arena *a, str_t value);

/* Writer: appends to a buf and puts the commas. */
struct json_out {
    struct buf *b;
    bool comma; /* a value stands before */
};
void json_open(struct json_out *w, char bracket); /* '{' or '[' */
void json_close(struct json_out *w, char bracket);
void json_key(struct json_out *w, str_t key);
void json_put_str(struct json_out *w, str_t s); /* quoted and escaped */
void json_put_i64(struct json_out *w, int64_t v);
void json_put_double(struct json_out *w, double v);
void json_put_bool(struct json_out *w, bool v);
void json_put_raw(struct json_out *w, str_t json); /* checked JSON text; empty gives null */
/* The same as JavaScript would print it after reading it: no blanks, no needless escapes, shortest
 * numbers. Numbers that JavaScript cannot hold and the order of keys stay (json_js.c). */
void json_put_js(struct json_out *w, struct arena *a, str_t json);
/* Quotes and escapes into b. */
void json_quote(struct buf *b, str_t s);
