/* Base64 in both alphabets. */
#include "base/crypto.h"

#include "base/arena.h"
#include "base/must.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static str_t encode(struct arena *a, str_t s, const char *alphabet, bool pad)
{
    const uint8_t *in = (const uint8_t *)s.p;
    char *out;
    size_t n = 0;

    must(s.n <= SIZE_MAX / 8);
    out = arena_alloc(a, (s.n + 2) / 3 * 4);
    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)in[i] << 16;

        if (left > 1)
            v |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            v |= in[i + 2];
        out[n++] = alphabet[v >> 18];
        out[n++] = alphabet[(v >> 12) & 63];
        if (left > 1)
            out[n++] = alphabet[(v >> 6) & 63];
        else if (pad)
            out[n++] = '=';
        if (left > 2)
            out[n++] = alphabet[v & 63];
        else if (pad)
            out[n++] = '=';
    }
    return (str_t){ out, n };
}

str_t base64_encode(struct arena *a, str_t s)
{
    return encode(a, s, standard, true);
}

str_t base64url_encode(struct arena *a, str_t s)
{
    return encode(a, s, url, false);
}

static int digit_value(char ch)
{
    if (ch >= 'A' && ch <= 'Z')
        return ch - 'A';
    if (ch >= 'a' && ch <= 'z')
        return ch - 'a' + 26;
    if (ch >= '0' && ch <= '9')
        return ch - '0' + 52;
    if (ch == '+' || ch == '-')
        return 62;
    return ch == '/' || ch == '_' ? 63 : -1;
}

bool base64_decode(struct arena *a, str_t s, str_t *out)
{
    uint32_t bits = 0;
    unsigned held = 0; /* bits not written yet */
    size_t n = 0;
    char *p;

    /* Padding is all or nothing: it fills the last group of four. */
    if (s.n != 0 && s.n % 4 == 0 && s.p[s.n - 1] == '=')
        s.n -= s.p[s.n - 2] == '=' ? 2 : 1;
    if (s.n % 4 == 1)
        return false;
    p = arena_alloc(a, s.n / 4 * 3 + 2);
    for (size_t i = 0; i < s.n; i++) {
        int value = digit_value(s.p[i]);

        if (value < 0)
            return false;
        bits = (bits << 6 | (uint32_t)value) & 0xffffu;
        held += 6;
        if (held >= 8) {
            held -= 8;
            p[n++] = (char)(bits >> held & 0xff);
        }
    }
    /* Only one text for one value: the bits that say nothing are zero. */
    if ((bits & ((1u << held) - 1)) != 0)
        return false;
    *out = (str_t){ p, n };
    return true;
}
