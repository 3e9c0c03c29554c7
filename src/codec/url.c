/* Percent escapes, queries and http URLs. */
#include "codec/url.h"

#include <string.h>

#include "base/arena.h"

bool url_decode(struct arena *a, str_t s, bool plus, str_t *out)
{
    char *to;
    size_t n = 0;

    if (str_index(s, '%') < 0 && (!plus || str_index(s, '+') < 0)) {
        *out = s;
        return str_is_utf8(s) && str_index(s, 0) < 0;
    }
    to = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        int high, low;

        if (s.p[i] != '%') {
            to[n++] = plus && s.p[i] == '+' ? ' ' : s.p[i];
            continue;
        }
        if (s.n - i < 3)
            return false;
        high = str_hex_digit(s.p[i + 1]);
        low = str_hex_digit(s.p[i + 2]);
        if (high < 0 || low < 0)
            return false;
        to[n++] = (char)(high * 16 + low);
        i += 2;
    }
    *out = (str_t){ to, n };
    return str_is_utf8(*out) && str_index(*out, 0) < 0;
}

void url_encode(struct buf *b, str_t s)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];

        if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
            (ch && strchr("-._~", ch))) {
            buf_char(b, (char)ch);
        } else {
            buf_append(b, (str_t){ (char[]){ '%', digits[ch >> 4], digits[ch & 15] }, 3 });
        }
    }
}

int url_query_next(struct arena *a, str_t *query, struct url_param *out)
{
    struct url_param param;
    str_t part;

    while (str_cut(query, '&', &part)) {
        if (part.n == 0)
            continue;
        param.value = part;
        (void)str_cut(&param.value, '=', &param.name);
        if (!url_decode(a, param.name, true, &param.name) ||
            !url_decode(a, param.value, true, &param.value))
            return -1;
        *out = param;
        return 1;
    }
    return 0;
}

/* Splits "host:port" or "[v6]:port"; an absent port leaves *port alone. */
static bool parse_authority(str_t s, str_t *host, int *port)
{
    ptrdiff_t colon = str_index(s, ':');
    int64_t number;

    if (s.n > 0 && s.p[0] == '[') {
        ptrdiff_t close = str_index(s, ']');

        if (close < 0)
            return false;
        *host = str_slice(s, 1, (size_t)close);
        s = str_slice(s, (size_t)close + 1, s.n);
        colon = s.n > 0 ? 0 : -1;
        if (s.n > 0 && s.p[0] != ':')
            return false;
    } else {
        *host = colon < 0 ? s : str_slice(s, 0, (size_t)colon);
    }
    if (host->n == 0)
        return false;
    if (colon < 0)
        return true;
    s = str_slice(s, (size_t)colon + 1, s.n);
    if (!str_to_i64(s, &number) || number < 1 || number > 65535)
        return false;
    *port = (int)number;
    return true;
}

bool url_parse(str_t s, struct url *out)
{
    struct url url = { .port = 80 };
    ptrdiff_t cut;
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7F)
            return false;
    cut = str_index(s, '#');
    if (cut >= 0)
        s = str_slice(s, 0, (size_t)cut);
    if (s.n >= 8 && str_eq_nocase(str_slice(s, 0, 8), S("https://"))) {
        url.tls = true;
        url.port = 443;
    } else if (s.n < 7 || !str_eq_nocase(str_slice(s, 0, 7), S("http://"))) {
        return false;
    }
    s = str_slice(s, url.tls ? 8 : 7, s.n);
    while (n < s.n && s.p[n] != '/' && s.p[n] != '?')
        n++;
    url.path = str_slice(s, n, s.n);
    s = str_slice(s, 0, n);
    for (cut = (ptrdiff_t)s.n; cut > 0 && s.p[cut - 1] != '@'; cut--)
        ;
    if (cut > 0) {
        url.user = str_slice(s, 0, (size_t)cut - 1);
        s = str_slice(s, (size_t)cut, s.n);
    }
    if (!parse_authority(s, &url.host, &url.port))
        return false;
    *out = url;
    return true;
}
