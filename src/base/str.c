/* Views of bytes: comparison, search, numbers, UTF-8 and the stable hash. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/must.h"

str_t str_from(const char *z)
{
    return z == NULL ? STR_NULL : (str_t){ z, strlen(z) };
}

static char lower(char ch)
{
    return ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch;
}

bool str_eq_nocase(str_t a, str_t b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

int str_cmp(str_t a, str_t b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(str_t s, str_t prefix)
{
    return s.n >= prefix.n && str_eq((str_t){ s.p, prefix.n }, prefix);
}

bool str_ends(str_t s, str_t suffix)
{
    if (s.n < suffix.n)
        return false;
    return suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0;
}

ptrdiff_t str_index(str_t s, char ch)
{
    const char *at = s.n == 0 ? NULL : memchr(s.p, ch, s.n);

    return at == NULL ? -1 : at - s.p;
}

ptrdiff_t str_find(str_t s, str_t needle)
{
    const char *at;

    if (needle.n == 0)
        return 0;
    at = s.n < needle.n ? NULL : memmem(s.p, s.n, needle.p, needle.n);
    return at == NULL ? -1 : at - s.p;
}

str_t str_slice(str_t s, size_t from, size_t to)
{
    must(from <= to && to <= s.n);
    return s.p == NULL ? STR_NULL : (str_t){ s.p + from, to - from };
}

static bool is_blank(char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

str_t str_trim(str_t s)
{
    while (s.n != 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n != 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool str_cut(str_t *rest, char sep, str_t *head)
{
    ptrdiff_t at;

    if (rest->n == 0)
        return false;
    at = str_index(*rest, sep);
    if (at < 0) {
        *head = *rest;
        *rest = (str_t){ rest->p + rest->n, 0 };
    } else {
        *head = (str_t){ rest->p, (size_t)at };
        *rest = (str_t){ rest->p + at + 1, rest->n - (size_t)at - 1 };
    }
    return true;
}

bool str_to_u64(str_t s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}

bool str_to_i64(str_t s, int64_t *out)
{
    bool minus = s.n != 0 && s.p[0] == '-';
    uint64_t v = 0;

    if (!str_to_u64(minus ? str_slice(s, 1, s.n) : s, &v))
        return false;
    if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
        return false;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

str_t str_dup(struct arena *a, str_t s)
{
    char *p;

    if (s.n == 0)
        return (str_t){ "", 0 };
    p = arena_alloc(a, s.n);
    memcpy(p, s.p, s.n);
    return (str_t){ p, s.n };
}

const char *str_z(struct arena *a, str_t s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (s.n != 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

str_t str_printf(struct arena *a, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    int len;
    size_t n;
    char *p;

    va_start(ap, fmt);
    len = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    must(len >= 0);
    n = (size_t)len;
    p = arena_alloc(a, n + 1);
    if (n < sizeof(small)) {
        memcpy(p, small, n + 1);
    } else {
        va_start(ap, fmt);
        must(vsnprintf(p, n + 1, fmt, ap) == len);
        va_end(ap);
    }
    return (str_t){ p, n };
}

/* Bytes of a sequence by its first byte and the range that its second byte must be in, which rules
 * out overlong forms, surrogates and what lies above U+10FFFF. */
size_t str_utf8_step(str_t s, size_t at)
{
    const unsigned char *p = (const unsigned char *)s.p + at;
    size_t left = s.n - at;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t n;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (left < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

size_t str_put_utf8(char *to, uint32_t code)
{
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    if (n == 1) {
        to[0] = (char)code;
        return 1;
    }
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)((0xF00u >> n) | code);
    return n;
}

int str_hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch = (char)(ch | 0x20);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

bool str_is_control(str_t s, size_t at)
{
    unsigned char ch = (unsigned char)s.p[at];

    return ch < 0x20 || ch == 0x7f || (ch == 0xc2 && (unsigned char)s.p[at + 1] < 0xa0);
}

bool str_is_utf8(str_t s)
{
    size_t i = 0;

    while (i < s.n) {
        uint64_t word;
        size_t n;

        if (s.n - i >= sizeof(word)) {
            memcpy(&word, s.p + i, sizeof(word));
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof(word);
                continue;
            }
        }
        n = str_utf8_step(s, i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* Both halves of the 128-bit product, folded. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Little-endian on every machine: hashes are stored. */
static uint64_t read_8(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static uint64_t read_4(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

/* All of the last 1 to 8 bytes, some of them twice; the length is in the hash already. */
static uint64_t read_tail(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;

    if (n >= 4)
        return read_4(p) | read_4(p + n - 4) << 32;
    return u[0] | (uint64_t)u[n / 2] << 8 | (uint64_t)u[n - 1] << 16;
}

uint64_t str_hash(str_t s)
{
    const uint64_t mul = 0x9e3779b97f4a7c15u;
    uint64_t h = 0x2545f4914f6cdd1du ^ (s.n * mul);

    while (s.n > 8) {
        h = fold(h ^ read_8(s.p), mul);
        s.p += 8;
        s.n -= 8;
    }
    if (s.n != 0)
        h = fold(h ^ read_tail(s.p, s.n), mul);
    return fold(h ^ 0xd6e8feb86659fd93u, 0xa0761d6478bd642fu);
}
