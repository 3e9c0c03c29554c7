/* Strict scanning of JSON text that nobody has looked at yet. No recursion: the open containers are
 * one byte each in an array of JSON_DEPTH_MAX. */
#include "codec/json_scan.h"

#include <string.h>

#define ONES (UINT64_MAX / 255)
#define HIGH (ONES * 0x80)

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r';
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

struct json_scan json_scan(str_t text)
{
    static const char none[1] = "";
    const char *p = text.p ? text.p : none;

    return (struct json_scan){ .begin = p, .p = p, .end = p + text.n };
}

bool json_scan_fail(struct json_scan *s, const char *what)
{
    s->error = (struct json_error){ (size_t)(s->p - s->begin), what };
    return false;
}

void json_scan_blanks(struct json_scan *s)
{
    while (s->p < s->end && is_blank(*s->p))
        s->p++;
}

bool json_scan_char(struct json_scan *s, char ch, const char *otherwise)
{
    if (s->p == s->end)
        return json_scan_fail(s, "unexpected end");
    if (*s->p != ch)
        return json_scan_fail(s, otherwise);
    s->p++;
    return true;
}

/* A bit in every byte of v that is a quote, a backslash or below 0x20; exact up to the first. */
static uint64_t special_bytes(uint64_t v)
{
    uint64_t quote = v ^ (ONES * '"'), back = v ^ (ONES * '\\');

    return (((v - ONES * 0x20) & ~v) | ((quote - ONES) & ~quote) | ((back - ONES) & ~back)) & HIGH;
}

/* The four digits of \uXXXX, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = str_hex_digit(p[i]);

        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/* p stands behind the backslash. */
static bool scan_escape(struct json_scan *s)
{
    int32_t unit;

    if (s->p == s->end)
        return json_scan_fail(s, "unexpected end");
    if (*s->p != 'u') {
        if (!strchr("\"\\/bfnrt", *s->p) || *s->p == 0)
            return json_scan_fail(s, "bad escape");
        s->p++;
        return true;
    }
    unit = hex4(s->p + 1, s->end);
    if (unit < 0)
        return json_scan_fail(s, "bad escape");
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return json_scan_fail(s, "lone surrogate");
    s->p += 5;
    if (unit < 0xD800 || unit > 0xDBFF)
        return true;
    if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
        return json_scan_fail(s, "lone surrogate");
    unit = hex4(s->p + 2, s->end);
    if (unit < 0xDC00 || unit > 0xDFFF)
        return json_scan_fail(s, "lone surrogate");
    s->p += 6;
    return true;
}

bool json_scan_string(struct json_scan *s, str_t *out)
{
    const char *start;
    uint64_t high = 0;

    if (!json_scan_char(s, '"', "expected a string"))
        return false;
    start = s->p;
    for (;;) {
        uint64_t v;

        while (s->end - s->p >= 8) {
            memcpy(&v, s->p, 8);
            if (special_bytes(v))
                break;
            high |= v;
            s->p += 8;
        }
        if (s->p == s->end)
            return json_scan_fail(s, "unfinished string");
        if (*s->p == '"')
            break;
        if ((unsigned char)*s->p < 0x20)
            return json_scan_fail(s, "control character in a string");
        high |= (unsigned char)*s->p;
        if (*s->p++ == '\\' && !scan_escape(s))
            return false;
    }
    *out = (str_t){ start, (size_t)(s->p - start) };
    if ((high & HIGH) && !str_is_utf8(*out)) {
        s->p = start;
        return json_scan_fail(s, "not UTF-8");
    }
    s->p++;
    return true;
}

static bool scan_digits(struct json_scan *s)
{
    if (s->p == s->end || !is_digit(*s->p))
        return json_scan_fail(s, "bad number");
    while (s->p < s->end && is_digit(*s->p))
        s->p++;
    return true;
}

static bool scan_number(struct json_scan *s)
{
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++;
    else if (!scan_digits(s))
        return false;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct json_scan *s, str_t word)
{
    if ((size_t)(s->end - s->p) < word.n || memcmp(s->p, word.p, word.n) != 0)
        return json_scan_fail(s, "unexpected character");
    s->p += word.n;
    return true;
}

static bool scan_key(struct json_scan *s)
{
    str_t key;

    if (s->p == s->end || *s->p != '"')
        return json_scan_fail(s, s->p == s->end ? "unexpected end" : "expected a key");
    if (!json_scan_string(s, &key))
        return false;
    json_scan_blanks(s);
    if (!json_scan_char(s, ':', "expected a colon"))
        return false;
    json_scan_blanks(s);
    return true;
}

struct nest {
    unsigned depth, max;
    char close[JSON_DEPTH_MAX];
};

/* At a bracket: opens the container. *ended tells that it was empty and is closed again. */
static bool scan_open(struct json_scan *s, struct nest *n, bool *ended)
{
    char close = *s->p == '{' ? '}' : ']';

    if (n->depth >= n->max)
        return json_scan_fail(s, "nesting deeper than 128");
    s->p++;
    json_scan_blanks(s);
    *ended = s->p < s->end && *s->p == close;
    if (*ended) {
        s->p++;
        return true;
    }
    n->close[n->depth++] = close;
    return close == ']' || scan_key(s);
}

/* One scalar, or the opening of a container. */
static bool scan_start(struct json_scan *s, struct nest *n, bool *ended)
{
    str_t ignored;

    *ended = true;
    if (s->p == s->end)
        return json_scan_fail(s, "unexpected end");
    switch (*s->p) {
    case '{':
    case '[':
        return scan_open(s, n, ended);
    case '"':
        return json_scan_string(s, &ignored);
    case 't':
        return scan_word(s, S("true"));
    case 'f':
        return scan_word(s, S("false"));
    case 'n':
        return scan_word(s, S("null"));
    default:
        if (*s->p != '-' && !is_digit(*s->p))
            return json_scan_fail(s, "unexpected character");
        return scan_number(s);
    }
}

bool json_scan_value(struct json_scan *s, unsigned outer, str_t *out)
{
    struct nest n;
    const char *start = s->p;
    bool ended;

    n.depth = 0;
    n.max = outer < JSON_DEPTH_MAX ? JSON_DEPTH_MAX - outer : 0;
    for (;;) {
        if (!scan_start(s, &n, &ended))
            return false;
        if (!ended)
            continue;
        while (n.depth > 0) { /* a value ended inside a container */
            char close = n.close[n.depth - 1];

            json_scan_blanks(s);
            if (s->p < s->end && *s->p == ',') {
                s->p++;
                json_scan_blanks(s);
                if (close == '}' && !scan_key(s))
                    return false;
                break;
            }
            if (!json_scan_char(s, close, "expected a comma or the end"))
                return false;
            n.depth--;
        }
        if (n.depth == 0)
            break;
    }
    *out = (str_t){ start, (size_t)(s->p - start) };
    return true;
}

bool json_check(str_t text, str_t *value, struct json_error *e)
{
    struct json_scan s = json_scan(text);
    str_t out;
    bool ok;

    json_scan_blanks(&s);
    ok = json_scan_value(&s, 0, &out);
    if (ok) {
        json_scan_blanks(&s);
        ok = s.p == s.end || json_scan_fail(&s, "text behind the value");
    }
    if (ok)
        *value = out;
    else
        *e = s.error;
    return ok;
}
