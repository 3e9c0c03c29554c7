/* "%s: %.2f".format([name, price]). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/cel_priv.h"

#define NEST_MAX 64
#define PRECISION_MAX 200

/* One formatting: what is written and the first error. */
struct format {
    struct cel_run *r;
    struct buf b;
    const char *what;
};

static bool fail(struct format *f, const char *what)
{
    if (!f->what)
        f->what = what;
    return false;
}

static bool put_special(struct format *f, double d)
{
    if (isfinite(d))
        return false;
    buf_append(&f->b, isnan(d) ? S("NaN") : d < 0 ? S("-Infinity") : S("Infinity"));
    return true;
}

static bool put_value(struct format *f, const struct cel_value *v, unsigned depth);

/* A member of a map with the text of its key, by which members are sorted. */
struct member {
    str_t key;
    struct cel_value value;
};

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static bool put_map(struct format *f, const struct cel_value *v, unsigned depth)
{
    size_t n = cel_count(f->r, v), i = 0;
    struct cel_value key;
    struct member *p;

    if (!cel_charge(f->r, n))
        return fail(f, "too large");
    p = arena_alloc(f->r->arena, n * sizeof(*p));
    for (struct cel_iter it = cel_iter(v); i < n && cel_iter_next(f->r, &it, &key, &p[i].value);
         i++)
        p[i].key = cel_text(f->r, &key).s;
    n = i;
    if (n > 1)
        qsort(p, n, sizeof(*p), by_key);
    buf_char(&f->b, '{');
    for (i = 0; i < n; i++) {
        buf_append(&f->b, i ? S(", ") : S(""));
        buf_append(&f->b, p[i].key);
        buf_append(&f->b, S(": "));
        if (!put_value(f, &p[i].value, depth))
            return false;
    }
    buf_char(&f->b, '}');
    return true;
}

static bool put_list(struct format *f, const struct cel_value *v, unsigned depth)
{
    struct cel_value item;
    bool first = true;

    buf_char(&f->b, '[');
    for (struct cel_iter it = cel_iter(v); cel_iter_next(f->r, &it, NULL, &item); first = false) {
        if (!first)
            buf_append(&f->b, S(", "));
        if (!cel_charge(f->r, 1) || !put_value(f, &item, depth))
            return false;
    }
    buf_char(&f->b, ']');
    return true;
}

/* Recursion is bounded by NEST_MAX. */
static bool put_value(struct format *f, const struct cel_value *v, unsigned depth)
{
    struct cel_value text;

    if (depth == NEST_MAX)
        return fail(f, "value nests too deep to format");
    if (v->type == CEL_LIST)
        return put_list(f, v, depth + 1);
    if (v->type == CEL_MAP)
        return put_map(f, v, depth + 1);
    if (v->type == CEL_DOUBLE && put_special(f, v->d))
        return true;
    if (v->type == CEL_NULL || v->type == CEL_TYPE) {
        buf_append(&f->b, v->type == CEL_NULL ? S("null") : v->s);
        return true;
    }
    text = cel_text(f->r, v);
    if (text.type != CEL_STRING)
        return fail(f, "value cannot be formatted");
    buf_append(&f->b, text.s);
    return true;
}

static bool put_decimal(struct format *f, const struct cel_value *v)
{
    if (v->type == CEL_DOUBLE && put_special(f, v->d))
        return true;
    if (v->type != CEL_INT && v->type != CEL_UINT)
        return fail(f, "%d needs an integer");
    return put_value(f, v, 0);
}

static bool put_real(struct format *f, const struct cel_value *v, char verb, int precision)
{
    double d = v->type == CEL_INT ? (double)v->i : v->type == CEL_UINT ? (double)v->u : v->d;

    if (!cel_is_number(v))
        return fail(f, "%f and %e need a number");
    if (v->type == CEL_DOUBLE && put_special(f, v->d))
        return true;
    if (verb == 'e')
        buf_printf(&f->b, "%.*e", precision, d);
    else
        buf_printf(&f->b, "%.*f", precision, d);
    return true;
}

static void put_digits(struct format *f, uint64_t v, unsigned bits, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[64];
    size_t n = sizeof(text);

    do {
        text[--n] = digits[v & ((1u << bits) - 1)];
        v >>= bits;
    } while (v > 0);
    buf_append(&f->b, (str_t){ text + n, sizeof(text) - n });
}

/* %b %o %x %X: integers in another base; bytes and text in hex. */
static bool put_base(struct format *f, const struct cel_value *v, char verb)
{
    unsigned bits = verb == 'b' ? 1 : verb == 'o' ? 3 : 4;

    if (v->type == CEL_INT && v->i < 0) {
        buf_char(&f->b, '-');
        put_digits(f, 0 - (uint64_t)v->i, bits, verb == 'X');
    } else if (v->type == CEL_INT || v->type == CEL_UINT) {
        put_digits(f, v->u, bits, verb == 'X');
    } else if (v->type == CEL_BOOL && verb == 'b') {
        buf_char(&f->b, v->boolean ? '1' : '0');
    } else if (bits == 4 && (v->type == CEL_STRING || v->type == CEL_BYTES)) {
        for (size_t i = 0; i < v->s.n && !f->b.full; i++) {
            put_digits(f, (unsigned char)v->s.p[i] >> 4, 4, verb == 'X');
            put_digits(f, v->s.p[i] & 15, 4, verb == 'X');
        }
    } else {
        return fail(f, "%b, %o and %x need an integer");
    }
    return true;
}

/* Behind '%': takes the clause off rest; v is its argument or NULL. */
static bool put_clause(struct format *f, str_t *rest, const struct cel_value *v)
{
    int precision = 6;
    char verb;

    if (rest->n > 0 && rest->p[0] == '.') {
        size_t n = 1;

        for (precision = 0; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9'; n++)
            if (precision <= PRECISION_MAX)
                precision = precision * 10 + (rest->p[n] - '0');
        *rest = str_slice(*rest, n, rest->n);
    }
    if (rest->n == 0 || precision > PRECISION_MAX)
        return fail(f, "malformed formatting clause");
    verb = rest->p[0];
    *rest = str_slice(*rest, 1, rest->n);
    if (!v)
        return fail(f, "too few values to format");
    if (verb == 's')
        return put_value(f, v, 0);
    if (verb == 'd')
        return put_decimal(f, v);
    if (verb == 'f' || verb == 'e')
        return put_real(f, v, verb, precision);
    if (verb == 'b' || verb == 'o' || verb == 'x' || verb == 'X')
        return put_base(f, v, verb);
    return fail(f, "unknown formatting clause");
}

struct cel_value cel_fn_format(struct cel_run *r, const struct cel_value *a, size_t n)
{
    struct format f = { .r = r };
    struct cel_value out;
    str_t rest = a->s;
    struct cel_iter it;

    (void)n;
    if (a->type != CEL_STRING || a[1].type != CEL_LIST)
        return cel_no_overload();
    f.b = cel_writer(r);
    it = cel_iter(&a[1]);
    while (rest.n > 0 && !f.what && !f.b.full && !r->exhausted) {
        ptrdiff_t at = str_index(rest, '%');
        size_t plain = at < 0 ? rest.n : (size_t)at;
        struct cel_value v;

        buf_append(&f.b, str_slice(rest, 0, plain));
        rest = str_slice(rest, plain + (at >= 0), rest.n);
        if (at < 0)
            break;
        if (str_starts(rest, S("%"))) {
            buf_char(&f.b, '%');
            rest = str_slice(rest, 1, rest.n);
        } else {
            bool more = cel_iter_next(r, &it, NULL, &v);

            put_clause(&f, &rest, more ? &v : NULL);
        }
    }
    out = cel_written(r, &f.b);
    buf_done(&f.b);
    return f.what ? cel_error(f.what) : out;
}
