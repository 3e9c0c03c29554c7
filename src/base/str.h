/* Borrowed views of bytes. A str_t never owns memory and is never assumed NUL-terminated; whoever
 * hands one out says how long it lives (an arena, a request, the process). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct arena;

typedef struct str {
    const char *p;
    size_t n;
} str_t;

#define S(lit) ((str_t){ (lit), sizeof(lit) - 1 })
#define STR_NULL ((str_t){ NULL, 0 })
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p

/* A view of a C string; NULL gives the empty view. */
str_t str_from(const char *z);
static inline bool str_eq(str_t a, str_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
/* ASCII letters compare without case. */
bool str_eq_nocase(str_t a, str_t b);
/* Byte order, shorter first on a tie: negative, 0 or positive. */
int str_cmp(str_t a, str_t b);
bool str_starts(str_t s, str_t prefix);
bool str_ends(str_t s, str_t suffix);
/* Index of the first byte ch, or -1. */
ptrdiff_t str_index(str_t s, char ch);
/* Index of the first occurrence of needle, or -1. */
ptrdiff_t str_find(str_t s, str_t needle);
str_t str_slice(str_t s, size_t from, size_t to);
/* Without leading and trailing ASCII blanks. */
str_t str_trim(str_t s);
/* Splits at the first sep: *head before it, *rest after it. False when s is empty and *head is not
 * set; without a sep the whole of s is the head. Loop: while (str_cut(&rest, ',', &head)). */
bool str_cut(str_t *rest, char sep, str_t *head);
/* Whole-string decimal integers; false on any other text or on overflow. */
bool str_to_i64(str_t s, int64_t *out);
bool str_to_u64(str_t s, uint64_t *out);
/* Copies into the arena. str_z also adds a NUL, for foreign boundaries. */
str_t str_dup(struct arena *a, str_t s);
const char *str_z(struct arena *a, str_t s);
/* printf into the arena. */
str_t str_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* True for well-formed UTF-8 (no surrogates, no overlong forms). */
bool str_is_utf8(str_t s);
/* Length of the well-formed UTF-8 sequence at index at (below s.n), 0 when there is none. */
size_t str_utf8_step(str_t s, size_t at);
/* Writes a code point as 1 to 4 bytes of UTF-8; how many. */
size_t str_put_utf8(char *to, uint32_t code);
/* Value of a hexadecimal digit, or -1. */
int str_hex_digit(char ch);
/* True for C0, DEL and C1; the sequence at index at is well-formed. */
bool str_is_control(str_t s, size_t at);
/* A 64-bit hash for maps and indexes, stable across processes and releases (it is stored). */
uint64_t str_hash(str_t s);
