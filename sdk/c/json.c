/* A small JSON reader over views, without recursion. What it accepts is RFC 8259 except that UTF-8
 * inside strings is left to the server. */
#include <stdlib.h>

#include "ironflow_priv.h"

#define DEPTH_MAX 512

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static bool is_hex(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

/* Past the string at p, NULL when broken. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        if (++p == end || strchr("\"\\/bfnrtu", *p) == NULL)
            return NULL;
        if (*p != 'u')
            continue;
        for (int i = 0; i < 4; i++)
            if (++p >= end || !is_hex(*p))
                return NULL;
    }
    return p < end ? p + 1 : NULL;
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static const char *skip_number(const char *p, const char *end)
{
    const char *from;

    p += *p == '-';
    from = p;
    p = skip_digits(p, end);
    if (p == from || (*from == '0' && p > from + 1))
        return NULL;
    if (p < end && *p == '.') {
        from = ++p;
        p = skip_digits(p, end);
        if (p == from)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        from = p;
        p = skip_digits(p, end);
        if (p == from)
            return NULL;
    }
    return p;
}

static const char *skip_word(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

/* Past the scalar at p. */
static const char *skip_scalar(const char *p, const char *end)
{
    switch (*p) {
    case '"':
        return skip_string(p, end);
    case 't':
        return skip_word(p, end, "true");
    case 'f':
        return skip_word(p, end, "false");
    case 'n':
        return skip_word(p, end, "null");
    default:
        return *p == '-' || (*p >= '0' && *p <= '9') ? skip_number(p, end) : NULL;
    }
}

/* Past the key and its colon; p stands on the quote. */
static const char *skip_key(const char *p, const char *end)
{
    if (p == end || *p != '"')
        return NULL;
    p = skip_string(p, end);
    if (p == NULL)
        return NULL;
    p = skip_blanks(p, end);
    return p < end && *p == ':' ? skip_blanks(p + 1, end) : NULL;
}

/* Past the value at p, NULL when broken. open[] holds the closing brackets that are due. */
static const char *skip_value(const char *p, const char *end)
{
    char open[DEPTH_MAX];
    size_t depth = 0;

    for (;;) {
        p = skip_blanks(p, end);
        if (p == end)
            return NULL;
        if (*p == '{' || *p == '[') {
            char close = *p == '{' ? '}' : ']';

            if (depth == DEPTH_MAX)
                return NULL;
            open[depth++] = close;
            p = skip_blanks(p + 1, end);
            if (p < end && *p != close) {
                if (close == '}' && (p = skip_key(p, end)) == NULL)
                    return NULL;
                continue;
            }
        } else if ((p = skip_scalar(p, end)) == NULL) {
            return NULL;
        }
        for (;;) { /* after a value: close what ends here, or go on behind a comma */
            if (depth == 0)
                return p;
            p = skip_blanks(p, end);
            if (p == end)
                return NULL;
            if (*p != open[depth - 1])
                break;
            depth--;
            p++;
        }
        if (*p != ',')
            return NULL;
        p = skip_blanks(p + 1, end);
        if (open[depth - 1] == '}' && (p = skip_key(p, end)) == NULL)
            return NULL;
    }
}

json_t json_value(const char *p, size_t n)
{
    const char *end = p + n, *from = skip_blanks(p, end), *to = skip_value(from, end);

    if (to == NULL || skip_blanks(to, end) != end)
        return (json_t){ NULL, 0 };
    return (json_t){ from, (size_t)(to - from) };
}

struct json_walk json_walk(json_t container)
{
    struct json_walk w = { 0 };

    if (container.n >= 2 && (container.p[0] == '{' || container.p[0] == '[')) {
        w.object = container.p[0] == '{';
        w.p = container.p + 1;
        w.end = container.p + container.n - 1;
    }
    return w;
}

bool json_step(struct json_walk *w)
{
    const char *to;

    w->p = w->p == w->end ? w->end : skip_blanks(w->p, w->end);
    if (w->p != w->end && *w->p == ',')
        w->p = skip_blanks(w->p + 1, w->end);
    if (w->p == w->end)
        return false;
    if (w->object) {
        to = skip_string(w->p, w->end);
        if (to == NULL)
            return false;
        w->key = (json_t){ w->p, (size_t)(to - w->p) };
        w->p = skip_key(w->p, w->end);
        if (w->p == NULL) {
            w->p = w->end;
            return false;
        }
    }
    to = skip_value(w->p, w->end);
    if (to == NULL) {
        w->p = w->end;
        return false;
    }
    w->value = (json_t){ w->p, (size_t)(to - w->p) };
    w->p = to;
    return true;
}

static bool key_is(json_t key, const char *name, size_t n)
{
    char plain[256];

    if (key.n == n + 2 && memcmp(key.p + 1, name, n) == 0)
        return true;
    if (key.n > sizeof(plain) || memchr(key.p, '\\', key.n) == NULL)
        return false;
    return json_unescape(key, plain) == n && memcmp(plain, name, n) == 0;
}

static json_t member_n(json_t object, const char *key, size_t n)
{
    json_t found = { NULL, 0 };

    if (object.n == 0 || object.p[0] != '{')
        return found;
    for (struct json_walk w = json_walk(object); json_step(&w);)
        if (key_is(w.key, key, n))
            found = w.value;
    return found;
}

json_t json_member(json_t object, const char *key)
{
    return member_n(object, key, strlen(key));
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;

    for (int i = 0; i < 4; i++) {
        char ch = p[i];

        v = v * 16 + (unsigned)(ch <= '9' ? ch - '0' : (ch | 0x20) - 'a' + 10);
    }
    return v;
}

static size_t put_utf8(unsigned v, char *out)
{
    if (v < 0x80) {
        out[0] = (char)v;
        return 1;
    }
    if (v < 0x800) {
        out[0] = (char)(0xc0 | v >> 6);
        out[1] = (char)(0x80 | (v & 0x3f));
        return 2;
    }
    if (v < 0x10000) {
        out[0] = (char)(0xe0 | v >> 12);
        out[1] = (char)(0x80 | (v >> 6 & 0x3f));
        out[2] = (char)(0x80 | (v & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | v >> 18);
    out[1] = (char)(0x80 | (v >> 12 & 0x3f));
    out[2] = (char)(0x80 | (v >> 6 & 0x3f));
    out[3] = (char)(0x80 | (v & 0x3f));
    return 4;
}

/* The escape "\uXXXX" at p, with the second half of a pair; returns what it used after the 'u'. */
static size_t unescape_u(const char *p, const char *end, char *out, size_t *used)
{
    unsigned v = hex4(p + 1);

    *used = 4;
    if (v >= 0xd800 && v < 0xdc00 && end - p >= 11 && p[5] == '\\' && p[6] == 'u') {
        unsigned low = hex4(p + 7);

        if (low >= 0xdc00 && low < 0xe000) {
            v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
            *used = 10;
        }
    }
    if (v >= 0xd800 && v < 0xe000)
        v = 0xfffd;
    return put_utf8(v, out);
}

size_t json_unescape(json_t value, char *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *end = value.p + value.n - 1;
    size_t n = 0, used;

    for (const char *p = value.p + 1; p < end; p++) {
        const char *named;

        if (*p != '\\') {
            out[n++] = *p;
            continue;
        }
        p++;
        named = strchr(from, *p);
        if (*p == 'u') {
            n += unescape_u(p, end, out + n, &used);
            p += used;
        } else {
            out[n++] = named != NULL ? to[named - from] : *p;
        }
    }
    return n;
}

char *json_pool_string(struct pool *p, json_t value)
{
    char *out;

    if (value.n < 2 || value.p[0] != '"')
        return pool_dup(p, "", 0);
    out = pool_alloc(p, value.n);
    out[json_unescape(value, out)] = '\0';
    return out;
}

bool json_to_i64(json_t value, int64_t *out)
{
    char digits[24], *end;
    long long v;

    if (value.n == 0 || value.n >= sizeof(digits) ||
        (value.p[0] != '-' && (value.p[0] < '0' || value.p[0] > '9')))
        return false;
    memcpy(digits, value.p, value.n);
    digits[value.n] = '\0';
    v = strtoll(digits, &end, 10);
    if (*end != '\0')
        return false;
    *out = v;
    return true;
}

/* ---- public ---- */

bool ironflow_json_valid(const char *text, size_t n)
{
    return json_value(text, n).p != NULL;
}

static json_t element(json_t array, const char *index, size_t n)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (index[i] < '0' || index[i] > '9' || at > 100000000)
            return (json_t){ NULL, 0 };
        at = at * 10 + (size_t)(index[i] - '0');
    }
    for (struct json_walk w = json_walk(array); json_step(&w); at--)
        if (at == 0)
            return w.value;
    return (json_t){ NULL, 0 };
}

struct ironflow_json ironflow_json_at(const char *text, const char *path)
{
    json_t at = text != NULL ? json_value(text, strlen(text)) : (json_t){ NULL, 0 };

    while (at.p != NULL && *path != '\0') {
        size_t n = strcspn(path, ".");

        at = at.p[0] == '[' ? element(at, path, n) : member_n(at, path, n);
        path += n + (path[n] == '.');
    }
    return at;
}

bool ironflow_json_string(const char *text, const char *path, char *out, size_t size)
{
    json_t v = ironflow_json_at(text, path);
    char *plain;
    size_t n;

    if (v.n < 2 || v.p[0] != '"' || size == 0)
        return false;
    plain = mem_new(v.n);
    n = json_unescape(v, plain);
    if (n >= size)
        n = size - 1;
    memcpy(out, plain, n);
    out[n] = '\0';
    free(plain);
    return true;
}

bool ironflow_json_int(const char *text, const char *path, int64_t *out)
{
    return json_to_i64(ironflow_json_at(text, path), out);
}

bool ironflow_json_double(const char *text, const char *path, double *out)
{
    json_t v = ironflow_json_at(text, path);
    char digits[64], *end;

    if (v.n == 0 || v.n >= sizeof(digits) || (v.p[0] != '-' && (v.p[0] < '0' || v.p[0] > '9')))
        return false;
    memcpy(digits, v.p, v.n);
    digits[v.n] = '\0';
    *out = strtod(digits, &end);
    return *end == '\0';
}

char *ironflow_json_quote(const char *text)
{
    struct text t = { 0 };

    text_quote(&t, text, strlen(text));
    return text_z(&t);
}

void ironflow_free(void *p)
{
    free(p);
}
