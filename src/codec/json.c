/* Reading checked JSON text as spans, and the writer. The strict side is in json_scan.c. Everything
 * here expects text that passed it, yet never reads outside the span. */
#include "codec/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json_scan.h"

#define ONES (UINT64_MAX / 255)
#define HIGH (ONES * 0x80)

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r';
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

enum json_type json_type(str_t value)
{
    switch (value.n ? value.p[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* Behind the string whose opening quote is at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p++;
    }
    return end;
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;

    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
            continue;
        } else if (*p == '}' || *p == ']') {
            if (depth-- <= 1)
                return depth == 0 ? p + 1 : p;
            p++;
        } else if (depth > 0) {
            p++;
            continue;
        } else {
            while (p < end && *p != ',' && *p != ']' && *p != '}' && !is_blank(*p))
                p++;
        }
        if (depth == 0)
            return p;
    }
    return end;
}

struct json_iter json_iter(str_t value)
{
    struct json_iter it = { .rest = STR_NULL };
    enum json_type t = json_type(value);

    if ((t == JSON_OBJECT || t == JSON_ARRAY) && value.n >= 2)
        it.rest = str_slice(value, 1, value.n - 1);
    return it;
}

bool json_next(struct json_iter *it)
{
    const char *p, *end, *start;

    if (it->rest.n == 0)
        return false;
    end = it->rest.p + it->rest.n;
    p = skip_blanks(it->rest.p, end);
    if (p == end)
        return false;
    it->key = STR_NULL;
    start = p;
    p = skip_value(p, end);
    if (p == start) /* not checked text: do not turn in circles */
        return false;
    it->value = (str_t){ start, (size_t)(p - start) };
    p = skip_blanks(p, end);
    if (p < end && *p == ':' && it->value.n >= 2) {
        it->key = str_slice(it->value, 1, it->value.n - 1);
        start = skip_blanks(p + 1, end);
        p = skip_value(start, end);
        it->value = (str_t){ start, (size_t)(p - start) };
        p = skip_blanks(p, end);
    }
    if (p < end && *p == ',')
        p++;
    it->rest = (str_t){ p, (size_t)(end - p) };
    return true;
}

static uint32_t hex4(const char *p)
{
    uint32_t v = 0;

    for (int i = 0; i < 4; i++)
        v = v * 16 + (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return v;
}

/* Takes one character, escaped or not a backslash, off raw; writes 1 to 4 bytes and their count. */
static size_t unescape(str_t *raw, char to[4])
{
    static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
    size_t used = 1, n = 1;

    to[0] = raw->p[0];
    if (raw->p[0] == '\\' && raw->n >= 6 && raw->p[1] == 'u') {
        uint32_t code = hex4(raw->p + 2);

        used = 6;
        if (code >= 0xD800 && code <= 0xDBFF && raw->n >= 12) {
            code = 0x10000 + ((code - 0xD800) << 10) + (hex4(raw->p + 8) - 0xDC00);
            used = 12;
        }
        n = str_put_utf8(to, code & 0x1FFFFF);
    } else if (raw->p[0] == '\\' && raw->n >= 2) {
        const char *at = strchr(from, raw->p[1]);

        used = 2;
        to[0] = at && *at ? into[at - from] : raw->p[1];
    }
    *raw = str_slice(*raw, used, raw->n);
    return n;
}

bool json_raw_equal(str_t raw, str_t want)
{
    if (str_index(raw, '\\') < 0)
        return str_eq(raw, want);
    while (raw.n > 0) {
        char c[4];
        size_t n = unescape(&raw, c);

        if (n > want.n || memcmp(c, want.p, n) != 0)
            return false;
        want = str_slice(want, n, want.n);
    }
    return want.n == 0;
}

str_t json_raw_string(struct arena *a, str_t raw)
{
    char *p, *at;

    if (str_index(raw, '\\') < 0)
        return raw;
    p = at = arena_alloc(a, raw.n + 4);
    while (raw.n > 0)
        at += unescape(&raw, at);
    return (str_t){ p, (size_t)(at - p) };
}

bool json_get(str_t value, str_t key, str_t *out)
{
    bool found = false;

    if (json_type(value) != JSON_OBJECT)
        return false;
    for (struct json_iter it = json_iter(value); json_next(&it);)
        if (json_raw_equal(it.key, key)) {
            *out = it.value;
            found = true;
        }
    return found;
}

static bool array_at(str_t array, str_t index, str_t *out)
{
    uint64_t at;

    if (!str_to_u64(index, &at))
        return false;
    for (struct json_iter it = json_iter(array); json_next(&it); at--)
        if (at == 0) {
            *out = it.value;
            return true;
        }
    return false;
}

bool json_path(str_t value, str_t path, str_t *out)
{
    str_t part;

    while (str_cut(&path, '.', &part)) {
        bool found = json_type(value) == JSON_ARRAY ? array_at(value, part, &value)
                                                    : json_get(value, part, &value);
        if (!found)
            return false;
    }
    *out = value;
    return true;
}

bool json_string(struct arena *a, str_t value, str_t *out)
{
    if (value.n < 2 || value.p[0] != '"')
        return false;
    *out = json_raw_string(a, str_slice(value, 1, value.n - 1));
    return true;
}

str_t json_scalar(struct arena *a, str_t value)
{
    str_t out;

    return json_string(a, value, &out) ? out : value;
}

/* The digits of a number without leading and trailing zeros, and the power of ten behind them. */
struct decimal {
    str_t digits; /* may hold one '.' */
    size_t n;     /* digits in it */
    int64_t scale;
};

static struct decimal decimal(str_t s)
{
    struct decimal d = { .scale = 0 };
    size_t exp = 0;
    ptrdiff_t dot;

    while (exp < s.n && s.p[exp] != 'e' && s.p[exp] != 'E')
        exp++;
    for (size_t i = exp + 1; i < s.n; i++)
        if (s.p[i] >= '0' && s.p[i] <= '9' && d.scale < INT32_MAX)
            d.scale = d.scale * 10 + (s.p[i] - '0');
    if (exp + 1 < s.n && s.p[exp + 1] == '-')
        d.scale = -d.scale;
    s = str_slice(s, 0, exp);
    dot = str_index(s, '.');
    if (dot >= 0)
        d.scale -= (int64_t)s.n - dot - 1;
    while (s.n > 0 && (s.p[0] == '0' || s.p[0] == '.'))
        s = str_slice(s, 1, s.n);
    while (s.n > 0 && (s.p[s.n - 1] == '0' || s.p[s.n - 1] == '.'))
        if (s.p[--s.n] == '0')
            d.scale++;
    d.digits = s;
    d.n = s.n - (str_index(s, '.') >= 0);
    return d;
}

bool json_i64(str_t value, int64_t *out)
{
    bool negative = value.n > 0 && value.p[0] == '-';
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + negative;
    struct decimal d;

    if (json_type(value) != JSON_NUMBER || value.n == 0)
        return false;
    d = decimal(str_slice(value, negative, value.n));
    if (d.n == 0) {
        *out = 0;
        return true;
    }
    if (d.scale < 0 || d.n + (uint64_t)d.scale > 19)
        return false;
    for (size_t i = 0; i < d.digits.n; i++)
        if (d.digits.p[i] != '.')
            v = v * 10 + (uint64_t)(d.digits.p[i] - '0');
    for (; d.scale > 0; d.scale--)
        v *= 10; /* 19 digits at most: cannot pass 2^64 */
    if (v > limit)
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool json_double(str_t value, double *out)
{
    char local[64], *z = local;
    double v;

    if (json_type(value) != JSON_NUMBER || value.n == 0)
        return false;
    if (value.n >= sizeof(local))
        z = mem_alloc(value.n + 1);
    memcpy(z, value.p, value.n);
    z[value.n] = 0;
    v = strtod(z, NULL);
    if (z != local)
        mem_free(z);
    if (!isfinite(v))
        return false;
    *out = v;
    return true;
}

/* ---- writer ---- */

static void comma(struct json_out *w)
{
    if (w->comma)
        buf_char(w->b, ',');
    w->comma = true;
}

void json_open(struct json_out *w, char bracket)
{
    comma(w);
    buf_char(w->b, bracket);
    w->comma = false;
}

void json_close(struct json_out *w, char bracket)
{
    buf_char(w->b, bracket);
    w->comma = true;
}

void json_key(struct json_out *w, str_t key)
{
    comma(w);
    json_quote(w->b, key);
    buf_char(w->b, ':');
    w->comma = false;
}

void json_put_str(struct json_out *w, str_t s)
{
    comma(w);
    json_quote(w->b, s);
}

void json_put_i64(struct json_out *w, int64_t v)
{
    comma(w);
    buf_i64(w->b, v);
}

void json_put_bool(struct json_out *w, bool v)
{
    comma(w);
    buf_append(w->b, v ? S("true") : S("false"));
}

void json_put_raw(struct json_out *w, str_t json)
{
    comma(w);
    buf_append(w->b, json.n ? json : S("null"));
}

void json_put_double(struct json_out *w, double v)
{
    char text[40];

    comma(w);
    if (!isfinite(v)) {
        buf_append(w->b, S("null"));
        return;
    }
    if (fabs(v) < 9007199254740992.0 && v == (double)(int64_t)v && !(v == 0 && signbit(v))) {
        buf_i64(w->b, (int64_t)v);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_append(w->b, str_from(text));
}

static void quote_byte(struct buf *b, unsigned char ch)
{
    static const char hex[] = "0123456789abcdef";
    static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";
    const char *at = ch ? strchr(from, ch) : NULL;

    if (at)
        buf_append(b, (str_t){ (char[]){ '\\', into[at - from] }, 2 });
    else if (ch < 0x20)
        buf_append(b, (str_t){ (char[]){ '\\', 'u', '0', '0', hex[ch >> 4], hex[ch & 15] }, 6 });
    else /* a byte that is no UTF-8: the replacement character */
        buf_append(b, S("\xEF\xBF\xBD"));
}

/* Length of the run at p that can be copied as it is. */
static size_t plain_run(const char *p, size_t n, bool ascii_only)
{
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t v, q, k;

        memcpy(&v, p + i, 8);
        q = v ^ (ONES * '"');
        k = v ^ (ONES * '\\');
        if ((((v - ONES * 0x20) & ~v) | ((q - ONES) & ~q) | ((k - ONES) & ~k)) & HIGH)
            break;
        if (ascii_only && (v & HIGH))
            break;
    }
    for (; i < n; i++) {
        unsigned char ch = (unsigned char)p[i];

        if (ch < 0x20 || ch == '"' || ch == '\\' || (ascii_only && ch >= 0x80))
            break;
    }
    return i;
}

void json_quote(struct buf *b, str_t s)
{
    bool utf8 = str_is_utf8(s);

    buf_char(b, '"');
    while (s.n > 0) {
        size_t n = plain_run(s.p, s.n, !utf8);

        buf_append(b, str_slice(s, 0, n));
        if (n < s.n)
            quote_byte(b, (unsigned char)s.p[n++]);
        s = str_slice(s, n, s.n);
    }
    buf_char(b, '"');
}
