/* Base64 in both alphabets. */
#include "base/crypto.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put(struct buf *b, str_t s, const char *alphabet, bool pad)
{
    const uint8_t *in = (const uint8_t *)s.p;

    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)in[i] << 16;
        char out[4];

        v |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        v |= left > 2 ? in[i + 2] : 0;
        out[0] = alphabet[v >> 18];
        out[1] = alphabet[v >> 12 & 63];
        out[2] = left > 1 ? alphabet[v >> 6 & 63] : '=';
        out[3] = left > 2 ? alphabet[v & 63] : '=';
        buf_append(b, (str_t){ out, pad || left > 2 ? 4 : left + 1 });
    }
}

static str_t encode(struct arena *a, str_t s, const char *alphabet, bool pad)
{
    struct buf b;
    size_t n;

    must(s.n <= SIZE_MAX / 8);
    n = (s.n + 2) / 3 * 4;
    buf_init_arena(&b, a, n);
    (void)buf_reserve(&b, n);
    put(&b, s, alphabet, pad);
    return buf_str(&b);
}

void base64_put(struct buf *b, str_t s)
{
    put(b, s, standard, true);
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
