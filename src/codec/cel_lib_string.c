/* Functions of strings: the standard ones and those of the extension library. Positions count code
 * points. */
#include <string.h>

#include "codec/cel_priv.h"

/* Bytes of the character at `at`. */
static size_t step(str_t s, size_t at)
{
    size_t n = str_utf8_step(s, at);

    return n ? n : 1;
}

static size_t length(str_t s)
{
    size_t n = 0;

    for (size_t at = 0; at < s.n; at += step(s, at))
        n++;
    return n;
}

/* The byte where character i begins; i may be the length. False when there is none. */
static bool offset(str_t s, int64_t i, size_t *out)
{
    size_t at = 0;

    for (; i > 0 && at < s.n; i--)
        at += step(s, at);
    *out = at;
    return i == 0;
}

static bool strings(const struct cel_value *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].type != CEL_STRING)
            return false;
    return true;
}

static struct cel_value out_of_range(void)
{
    return cel_error("index out of range");
}

struct cel_value cel_fn_size(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)n;
    if (a->type == CEL_LIST || a->type == CEL_MAP)
        return cel_int((int64_t)cel_count(r, a));
    if (a->type == CEL_BYTES)
        return cel_int((int64_t)a->s.n);
    if (a->type != CEL_STRING)
        return cel_no_overload();
    return cel_int((int64_t)length(a->s));
}

struct cel_value cel_fn_contains(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    if (!strings(a, n))
        return cel_no_overload();
    return cel_bool(str_find(a[0].s, a[1].s) >= 0);
}

struct cel_value cel_fn_starts(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return strings(a, n) ? cel_bool(str_starts(a[0].s, a[1].s)) : cel_no_overload();
}

struct cel_value cel_fn_ends(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return strings(a, n) ? cel_bool(str_ends(a[0].s, a[1].s)) : cel_no_overload();
}

struct cel_value cel_fn_matches(struct cel_run *r, const struct cel_value *a, size_t n)
{
    const struct regex *re;
    const char *what;
    int found;

    if (!strings(a, n))
        return cel_no_overload();
    if (!cel_charge(r, 16 + a[1].s.n))
        return cel_bool(false);
    re = regex_compile(r->arena, a[1].s, &what);
    if (!re)
        return cel_error_at(r, "malformed pattern", str_from(what));
    if (!cel_charge(r, regex_size(re) / 64))
        return cel_bool(false);
    found = regex_search(r->arena, re, a[0].s, &r->cost_left);
    r->exhausted |= found < 0;
    return cel_bool(found > 0);
}

struct cel_value cel_fn_char_at(struct cel_run *r, const struct cel_value *a, size_t n)
{
    size_t at;
    int64_t i;

    (void)r;
    (void)n;
    if (a->type != CEL_STRING || !cel_integer(&a[1], &i))
        return cel_no_overload();
    if (i < 0 || !offset(a->s, i, &at))
        return out_of_range();
    return cel_string(at == a->s.n ? S("") : str_slice(a->s, at, at + step(a->s, at)));
}

struct cel_value cel_fn_index_of(struct cel_run *r, const struct cel_value *a, size_t n)
{
    int64_t from = 0;
    ptrdiff_t found;
    size_t at;

    (void)r;
    if (!strings(a, 2) || (n > 2 && !cel_integer(&a[2], &from)))
        return cel_no_overload();
    if (from < 0 || !offset(a->s, from, &at))
        return out_of_range();
    found = str_find(str_slice(a->s, at, a->s.n), a[1].s);
    if (found < 0)
        return cel_int(-1);
    return cel_int((int64_t)length(str_slice(a->s, 0, at + (size_t)found)));
}

struct cel_value cel_fn_last_index_of(struct cel_run *r, const struct cel_value *a, size_t n)
{
    int64_t from = -1;
    size_t at = a->s.n;

    if (!strings(a, 2) || (n > 2 && !cel_integer(&a[2], &from)))
        return cel_no_overload();
    if (!cel_charge_bytes(r, a->s.n * (a[1].s.n / 64)))
        return cel_int(-1);
    if (n > 2 && (from < 0 || !offset(a->s, from, &at)))
        return out_of_range();
    for (;; at--) {
        if (str_starts(str_slice(a->s, at, a->s.n), a[1].s))
            return cel_int((int64_t)length(str_slice(a->s, 0, at)));
        if (at == 0)
            return cel_int(-1);
    }
}

struct cel_value cel_fn_substring(struct cel_run *r, const struct cel_value *a, size_t n)
{
    int64_t from, to = 0;
    size_t begin, end = a->s.n;

    (void)r;
    if (a->type != CEL_STRING || !cel_integer(&a[1], &from) || (n > 2 && !cel_integer(&a[2], &to)))
        return cel_no_overload();
    if (from < 0 || !offset(a->s, from, &begin))
        return out_of_range();
    if (n > 2 && (to < from || !offset(a->s, to, &end)))
        return out_of_range();
    return cel_string(str_slice(a->s, begin, end));
}

/* ---- lists of strings ---- */

struct buf cel_writer(const struct cel_run *r)
{
    struct buf b;

    buf_init(&b, cel_bytes_left(r));
    return b;
}

struct cel_value cel_written(struct cel_run *r, const struct buf *b)
{
    if (b->full)
        r->exhausted = true;
    return r->exhausted ? cel_error("too large") : cel_string(str_dup(r->arena, buf_str(b)));
}

struct cel_value cel_fn_join(struct cel_run *r, const struct cel_value *a, size_t n)
{
    AUTO(buf_done) struct buf b = cel_writer(r);
    struct cel_value item;
    bool first = true;

    if (a->type != CEL_LIST || (n > 1 && a[1].type != CEL_STRING))
        return cel_no_overload();
    for (struct cel_iter it = cel_iter(a); cel_iter_next(r, &it, NULL, &item); first = false) {
        if (item.type != CEL_STRING)
            return cel_no_overload();
        if (!first && n > 1)
            buf_append(&b, a[1].s);
        buf_append(&b, item.s);
    }
    return cel_written(r, &b);
}

struct cel_value cel_fn_replace(struct cel_run *r, const struct cel_value *a, size_t n)
{
    AUTO(buf_done) struct buf b = cel_writer(r);
    int64_t times = -1;
    str_t rest = a->s;

    if (!strings(a, 3) || (n > 3 && !cel_integer(&a[3], &times)))
        return cel_no_overload();
    for (; times != 0; times -= times > 0) {
        ptrdiff_t at = str_find(rest, a[1].s);
        size_t skip = a[1].s.n;

        if (at < 0 || b.full)
            break;
        buf_append(&b, str_slice(rest, 0, (size_t)at));
        buf_append(&b, a[2].s);
        if (skip == 0) { /* the empty string stands before each character and at the end */
            if (rest.n == 0)
                break;
            skip = step(rest, 0);
            buf_append(&b, str_slice(rest, 0, skip));
        }
        rest = str_slice(rest, (size_t)at + skip, rest.n);
    }
    buf_append(&b, rest);
    return cel_written(r, &b);
}

struct cel_value cel_fn_split(struct cel_run *r, const struct cel_value *a, size_t n)
{
    int64_t limit = -1;
    size_t count = 0, most;
    struct cel_value *p;
    str_t rest = a->s;

    if (!strings(a, 2) || (n > 2 && !cel_integer(&a[2], &limit)))
        return cel_no_overload();
    if (limit == 0 || (rest.n == 0 && a[1].s.n == 0))
        return cel_list(NULL, 0);
    most = a[1].s.n ? rest.n / a[1].s.n + 1 : length(rest);
    if (limit > 0 && (uint64_t)limit < most)
        most = (size_t)limit;
    p = cel_items(r, most);
    if (!p)
        return cel_list(NULL, 0);
    while (count + 1 < most) {
        ptrdiff_t at = a[1].s.n ? str_find(rest, a[1].s) : (ptrdiff_t)step(rest, 0);

        if (at < 0)
            break;
        p[count++] = cel_string(str_slice(rest, 0, (size_t)at));
        rest = str_slice(rest, (size_t)at + a[1].s.n, rest.n);
    }
    p[count++] = cel_string(rest);
    return cel_list(p, count);
}

/* ---- one string to another ---- */

static struct cel_value ascii_case(struct cel_run *r, const struct cel_value *a, char from)
{
    char *p;

    if (a->type != CEL_STRING)
        return cel_no_overload();
    p = arena_alloc(r->arena, a->s.n);
    for (size_t i = 0; i < a->s.n; i++) {
        char ch = a->s.p[i];

        p[i] = ch >= from && ch <= from + 25 ? (char)(ch ^ 0x20) : ch;
    }
    return cel_string((str_t){ p, a->s.n });
}

struct cel_value cel_fn_lower(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)n;
    return ascii_case(r, a, 'A');
}

struct cel_value cel_fn_upper(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)n;
    return ascii_case(r, a, 'a');
}

/* The blanks of Unicode. */
static bool is_blank(str_t ch)
{
    static const char *const wide[] = {
        "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
        "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
        "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
        "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80",
    };

    if (ch.n == 1)
        return ch.p[0] == ' ' || (ch.p[0] >= '\t' && ch.p[0] <= '\r');
    for (size_t i = 0; i < COUNT_OF(wide); i++)
        if (str_eq(ch, str_from(wide[i])))
            return true;
    return false;
}

struct cel_value cel_fn_trim(struct cel_run *r, const struct cel_value *a, size_t n)
{
    size_t from = 0, to = 0;
    str_t s = a->s;

    (void)r;
    (void)n;
    if (a->type != CEL_STRING)
        return cel_no_overload();
    while (from < s.n && is_blank(str_slice(s, from, from + step(s, from))))
        from += step(s, from);
    s = str_slice(s, from, s.n);
    for (size_t at = 0; at < s.n; at += step(s, at))
        if (!is_blank(str_slice(s, at, at + step(s, at))))
            to = at + step(s, at);
    return cel_string(str_slice(s, 0, to));
}

struct cel_value cel_fn_reverse(struct cel_run *r, const struct cel_value *a, size_t n)
{
    size_t left = a->s.n;
    char *p;

    (void)n;
    if (a->type != CEL_STRING)
        return cel_no_overload();
    p = arena_alloc(r->arena, a->s.n);
    for (size_t at = 0; at < a->s.n; at += step(a->s, at)) {
        size_t len = step(a->s, at);

        left -= len;
        memcpy(p + left, a->s.p + at, len);
    }
    return cel_string((str_t){ p, a->s.n });
}

struct cel_value cel_fn_quote(struct cel_run *r, const struct cel_value *a, size_t n)
{
    static const char from[] = "\a\b\f\n\r\t\v\\\"", into[] = "abfnrtv\\\"";
    AUTO(buf_done) struct buf b = cel_writer(r);

    (void)n;
    if (a->type != CEL_STRING)
        return cel_no_overload();
    buf_char(&b, '"');
    for (size_t at = 0; at < a->s.n; at += step(a->s, at)) {
        char ch = a->s.p[at];
        const char *escape = ch ? strchr(from, ch) : NULL;

        if (escape) {
            buf_char(&b, '\\');
            buf_char(&b, into[escape - from]);
        } else if (str_utf8_step(a->s, at) == 0) {
            buf_append(&b, S("\xEF\xBF\xBD"));
        } else {
            buf_append(&b, str_slice(a->s, at, at + step(a->s, at)));
        }
    }
    buf_char(&b, '"');
    return cel_written(r, &b);
}
