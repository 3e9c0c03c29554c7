/* JSON as JavaScript prints it: what JSON.stringify(JSON.parse(text)) gives, but for numbers that
 * JavaScript cannot hold, which stay as they are, and for keys that look like array indexes, which
 * keep their place. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/json_scan.h"

enum { DIGITS_MAX = 17, PLAIN_DIGITS = 15, NUMBER_MAX = 400 };

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* A decimal number: digits without zeros at either end, the point before the first of them moved by
 * exponent. Zero has no digits. */
struct decimal {
    char digits[NUMBER_MAX];
    size_t n;
    int exponent;
    bool negative;
};

/* False when it has too many digits to be compared. */
static bool decimal_read(str_t s, struct decimal *out)
{
    bool point = false;
    size_t i = 0;

    *out = (struct decimal){ .negative = s.n > 0 && s.p[0] == '-' };
    for (i = out->negative ? 1 : 0; i < s.n && (is_digit(s.p[i]) || s.p[i] == '.'); i++) {
        if (s.p[i] == '.') {
            point = true;
            continue;
        }
        if (out->n == 0 && s.p[i] == '0') {
            out->exponent -= point ? 1 : 0;
            continue;
        }
        if (out->n == NUMBER_MAX)
            return false;
        out->digits[out->n++] = s.p[i];
        out->exponent += point ? 0 : 1;
    }
    if (i < s.n) {
        int64_t e;
        str_t text = str_slice(s, i + 1, s.n);

        if (text.n > 0 && text.p[0] == '+')
            text = str_slice(text, 1, text.n);
        if (!str_to_i64(text, &e) || e > 100000 || e < -100000)
            return false;
        out->exponent += (int)e;
    }
    while (out->n > 0 && out->digits[out->n - 1] == '0')
        out->n--;
    return true;
}

/* The fewest digits that read back as v; v is positive. */
static void decimal_shortest(double v, struct decimal *out)
{
    char text[40];

    for (int digits = 0; digits < DIGITS_MAX; digits++) {
        snprintf(text, sizeof(text), "%.*e", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    (void)decimal_read(str_from(text), out);
}

/* As ECMAScript's Number::toString lays it out. */
static void decimal_print(struct buf *b, const struct decimal *d)
{
    int n = d->exponent, k = (int)d->n;

    if (k == 0) {
        buf_char(b, '0');
        return;
    }
    if (d->negative)
        buf_char(b, '-');
    if (n > 21 || n <= -6) {
        buf_char(b, d->digits[0]);
        if (k > 1) {
            buf_char(b, '.');
            buf_append(b, (str_t){ d->digits + 1, (size_t)k - 1 });
        }
        buf_printf(b, "e%c%d", n > 0 ? '+' : '-', abs(n - 1));
        return;
    }
    if (n <= 0)
        buf_append(b, S("0."));
    for (int i = n; i < 0; i++)
        buf_char(b, '0');
    for (int i = 0; i < k || i < n; i++) {
        if (i == n && n > 0)
            buf_char(b, '.');
        buf_char(b, i < k ? d->digits[i] : '0');
    }
}

/* Short and without anything that could be left out. */
static bool number_is_plain(str_t s)
{
    size_t from = s.p[0] == '-' ? 1 : 0, point = s.n;

    if (s.n - from > PLAIN_DIGITS || s.p[from] == '0')
        return s.n == 1;
    for (size_t i = from; i < s.n; i++) {
        if (s.p[i] == '.')
            point = i;
        else if (!is_digit(s.p[i]))
            return false;
    }
    return point == s.n || s.p[s.n - 1] != '0';
}

static void put_number(struct buf *b, str_t s)
{
    struct decimal as_is, js = { 0 };
    char text[NUMBER_MAX];
    double v;

    if (number_is_plain(s) || s.n >= sizeof(text) || !decimal_read(s, &as_is)) {
        buf_append(b, s);
        return;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    v = fabs(strtod(text, NULL));
    if (!isfinite(v)) {
        buf_append(b, s);
        return;
    }
    if (v > 0)
        decimal_shortest(v, &js);
    js.negative = as_is.negative;
    if (js.n != as_is.n || (js.n > 0 && js.exponent != as_is.exponent) ||
        memcmp(js.digits, as_is.digits, js.n) != 0)
        buf_append(b, s);
    else
        decimal_print(b, &js);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void put_string(struct buf *b, struct arena *a, str_t raw)
{
    if (str_index(raw, '\\') >= 0) {
        json_quote(b, json_raw_string(a, raw));
        return;
    }
    buf_char(b, '"');
    buf_append(b, raw);
    buf_char(b, '"');
}

/* Behind the closing quote; at stands on the opening one. */
static size_t string_end(str_t s, size_t at)
{
    for (at++; at < s.n && s.p[at] != '"'; at++)
        if (s.p[at] == '\\')
            at++;
    return at < s.n ? at + 1 : s.n;
}

static size_t word_end(str_t s, size_t at)
{
    while (at < s.n && strchr("{}[]:, \t\r\n\"", s.p[at]) == NULL)
        at++;
    return at;
}

void json_put_js(struct json_out *w, struct arena *a, str_t value)
{
    size_t at = 0, end;

    if (w->comma)
        buf_char(w->b, ',');
    w->comma = true;
    if (value.n == 0)
        buf_append(w->b, S("null"));
    while (at < value.n) {
        char ch = value.p[at];

        if (ch == '"') {
            end = string_end(value, at);
            put_string(w->b, a, str_slice(value, at + 1, end - 1));
        } else if (ch == '-' || is_digit(ch)) {
            end = word_end(value, at);
            put_number(w->b, str_slice(value, at, end));
        } else if (ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n') {
            end = at + 1;
        } else {
            end = strchr("{}[]:,", ch) != NULL ? at + 1 : word_end(value, at);
            buf_append(w->b, str_slice(value, at, end));
        }
        at = end;
    }
}
