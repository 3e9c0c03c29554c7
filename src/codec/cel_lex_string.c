/* Quoted literals: one or three quotes of either kind, raw or with escapes, text or bytes. */
#include <string.h>

#include "codec/cel_priv.h"

/* Reads n digits of the base; false when there are fewer. */
static bool take_digits(str_t *rest, size_t n, int base, uint32_t *out)
{
    uint32_t v = 0;

    if (rest->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int digit = str_hex_digit(rest->p[i]);

        if (digit < 0 || digit >= base)
            return false;
        v = v * (uint32_t)base + (uint32_t)digit;
    }
    *rest = str_slice(*rest, n, rest->n);
    *out = v;
    return true;
}

/* Takes the escape behind a backslash; its bytes to `to`, their count or 0. */
static size_t take_escape(str_t *rest, bool bytes, char *to)
{
    static const char from[] = "abfnrtv\\?\"'`", into[] = "\a\b\f\n\r\t\v\\?\"'`";
    char ch = rest->n > 0 ? rest->p[0] : 0;
    const char *at = ch ? strchr(from, ch) : NULL;
    uint32_t code;
    bool ok;

    if (at) {
        to[0] = into[at - from];
        *rest = str_slice(*rest, 1, rest->n);
        return 1;
    }
    if (ch >= '0' && ch <= '3') {
        ok = take_digits(rest, 3, 8, &code);
    } else {
        size_t n = ch == 'x' || ch == 'X' ? 2 : bytes ? 0 : ch == 'u' ? 4 : ch == 'U' ? 8 : 0;

        if (n == 0)
            return 0;
        *rest = str_slice(*rest, 1, rest->n);
        ok = take_digits(rest, n, 16, &code);
    }
    if (!ok || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    if (!bytes)
        return str_put_utf8(to, code);
    to[0] = (char)code;
    return 1;
}

/* What stands between the quotes, as it was written. */
static bool take_body(struct cel_lex *x, bool raw, str_t *body)
{
    size_t start = x->at, quotes = 1;
    char quote = x->text.p[x->at];
    str_t end = { (char[]){ quote, quote, quote }, 3 };

    if (str_starts(str_slice(x->text, x->at, x->text.n), end))
        quotes = 3;
    end.n = quotes;
    for (x->at += quotes; x->at < x->text.n; x->at++) {
        char ch = x->text.p[x->at];

        if (ch == quote && str_starts(str_slice(x->text, x->at, x->text.n), end)) {
            *body = str_slice(x->text, start + quotes, x->at);
            x->at += quotes;
            return true;
        }
        if (quotes == 1 && (ch == '\n' || ch == '\r'))
            break;
        if (ch == '\\' && !raw)
            x->at++;
    }
    return cel_lex_fail(x, start, "string is not closed");
}

bool cel_lex_string(struct cel_lex *x, bool raw, bool bytes)
{
    size_t start = x->at, n = 0;
    str_t body = STR_NULL;
    char *p;

    if (!take_body(x, raw, &body))
        return false;
    x->tok.kind = CEL_TOK_CONST;
    if (!raw && str_index(body, '\\') >= 0) {
        p = arena_alloc(x->arena, body.n + 4);
        while (body.n > 0) {
            char ch = body.p[0];
            size_t more;

            body = str_slice(body, 1, body.n);
            if (ch != '\\') {
                p[n++] = ch;
                continue;
            }
            more = take_escape(&body, bytes, p + n);
            if (more == 0)
                return cel_lex_fail(x, start, "malformed escape in a string");
            n += more;
        }
        body = (str_t){ p, n };
    }
    x->tok.value = bytes ? cel_bytes(body) : cel_string(body);
    return true;
}
