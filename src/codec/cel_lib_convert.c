/* Conversions between types, and what a value is called. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/cel_priv.h"

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

static struct cel_value range_error(void)
{
    return cel_error("range error");
}

struct cel_value cel_fn_type(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    (void)n;
    return (struct cel_value){ .type = CEL_TYPE, .s = cel_type_name(a->type) };
}

struct cel_value cel_fn_dyn(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    (void)n;
    return *a;
}

struct cel_value cel_fn_bool(struct cel_run *r, const struct cel_value *a, size_t n)
{
    static const char *const words[] = { "false", "False", "FALSE", "f", "0",
                                         "true",  "True",  "TRUE",  "t", "1" };

    (void)r;
    (void)n;
    if (a->type == CEL_BOOL)
        return *a;
    if (a->type != CEL_STRING)
        return cel_no_overload();
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_eq(a->s, str_from(words[i])))
            return cel_bool(i >= 5);
    return cel_error("type conversion error: bool");
}

struct cel_value cel_fn_int(struct cel_run *r, const struct cel_value *a, size_t n)
{
    int64_t v;

    (void)r;
    (void)n;
    if (a->type == CEL_INT)
        return cel_int(a->i);
    if (a->type == CEL_UINT)
        return a->u > INT64_MAX ? range_error() : cel_int((int64_t)a->u);
    if (a->type == CEL_DOUBLE) /* the limits themselves are refused, as the reference does */
        return a->d > -TWO_63 && a->d < TWO_63 ? cel_int((int64_t)a->d) : range_error();
    if (a->type == CEL_TIMESTAMP)
        return cel_int(a->time.seconds);
    if (a->type != CEL_STRING)
        return cel_no_overload();
    return str_to_i64(a->s, &v) ? cel_int(v) : cel_error("type conversion error: int");
}

struct cel_value cel_fn_uint(struct cel_run *r, const struct cel_value *a, size_t n)
{
    uint64_t v;

    (void)r;
    (void)n;
    if (a->type == CEL_UINT)
        return *a;
    if (a->type == CEL_INT)
        return a->i < 0 ? range_error() : cel_uint((uint64_t)a->i);
    if (a->type == CEL_DOUBLE)
        return a->d >= 0 && a->d < TWO_64 ? cel_uint((uint64_t)a->d) : range_error();
    if (a->type != CEL_STRING)
        return cel_no_overload();
    return str_to_u64(a->s, &v) ? cel_uint(v) : cel_error("type conversion error: uint");
}

/* A decimal number, or NaN and Infinity by name. */
static bool read_double(struct arena *a, str_t s, double *out)
{
    str_t body = s;
    size_t digits = 0, i = 0;

    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        body = str_slice(s, 1, s.n);
    if (str_eq_nocase(body, S("inf")) || str_eq_nocase(body, S("infinity"))) {
        *out = s.p[0] == '-' ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (str_eq_nocase(s, S("nan"))) {
        *out = (double)NAN;
        return true;
    }
    for (bool dot = false; i < body.n; i++) {
        if (body.p[i] >= '0' && body.p[i] <= '9')
            digits++;
        else if (body.p[i] == '.' && !dot)
            dot = true;
        else
            break;
    }
    if (digits == 0 || s.n > 1000)
        return false;
    if (i < body.n) {
        str_t rest = str_slice(body, i + 1, body.n);

        if ((body.p[i] | 0x20) != 'e')
            return false;
        if (rest.n > 0 && (rest.p[0] == '-' || rest.p[0] == '+'))
            rest = str_slice(rest, 1, rest.n);
        for (size_t k = 0; k < rest.n; k++)
            if (rest.p[k] < '0' || rest.p[k] > '9')
                return false;
        if (rest.n == 0)
            return false;
    }
    *out = strtod(str_z(a, s), NULL);
    return isfinite(*out);
}

struct cel_value cel_fn_double(struct cel_run *r, const struct cel_value *a, size_t n)
{
    double d;

    (void)n;
    if (a->type == CEL_DOUBLE)
        return cel_double(a->d);
    if (a->type == CEL_INT)
        return cel_double((double)a->i);
    if (a->type == CEL_UINT)
        return cel_double((double)a->u);
    if (a->type != CEL_STRING)
        return cel_no_overload();
    return read_double(r->arena, a->s, &d) ? cel_double(d)
                                           : cel_error("type conversion error: double");
}

str_t cel_double_text(struct arena *a, double d)
{
    char text[48];
    int exponent, digits = 0;
    const char *e;

    if (isnan(d))
        return S("NaN");
    if (isinf(d))
        return d < 0 ? S("-Inf") : S("+Inf");
    do /* the fewest digits that read back as the same number */
        snprintf(text, sizeof(text), "%.*e", digits, d);
    while (strtod(text, NULL) != d && digits++ < 17);
    e = strchr(text, 'e');
    exponent = e ? (int)strtol(e + 1, NULL, 10) : 0;
    if (exponent < -4 || exponent >= 21)
        return str_dup(a, str_from(text));
    return str_printf(a, "%.*f", digits > exponent ? digits - exponent : 0, d);
}

struct cel_value cel_text(struct cel_run *r, const struct cel_value *v)
{
    if (v->type == CEL_STRING)
        return *v;
    if (v->type == CEL_BOOL)
        return cel_string(v->boolean ? S("true") : S("false"));
    if (v->type == CEL_INT)
        return cel_string(str_printf(r->arena, "%lld", (long long)v->i));
    if (v->type == CEL_UINT)
        return cel_string(str_printf(r->arena, "%llu", (unsigned long long)v->u));
    if (v->type == CEL_DOUBLE)
        return cel_string(cel_double_text(r->arena, v->d));
    if (v->type == CEL_TIMESTAMP)
        return cel_string(cel_time_text(r->arena, v));
    if (v->type == CEL_DURATION)
        return cel_string(cel_duration_text(r->arena, v->i));
    if (v->type != CEL_BYTES)
        return cel_no_overload();
    return str_is_utf8(v->s) ? cel_string(v->s) : cel_error("invalid UTF-8");
}

struct cel_value cel_fn_string(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)n;
    return cel_text(r, a);
}

struct cel_value cel_fn_bytes(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    (void)n;
    return a->type == CEL_STRING || a->type == CEL_BYTES ? cel_bytes(a->s) : cel_no_overload();
}

struct cel_value cel_fn_timestamp(struct cel_run *r, const struct cel_value *a, size_t n)
{
    struct cel_value v;

    (void)r;
    (void)n;
    if (a->type == CEL_TIMESTAMP)
        return *a;
    if (a->type == CEL_INT)
        return cel_time(a->i, 0);
    if (a->type != CEL_STRING)
        return cel_no_overload();
    return cel_time_parse(a->s, &v) ? v : cel_error("type conversion error: timestamp");
}

struct cel_value cel_fn_duration(struct cel_run *r, const struct cel_value *a, size_t n)
{
    struct cel_value v;

    (void)r;
    (void)n;
    if (a->type == CEL_DURATION)
        return *a;
    if (a->type != CEL_STRING)
        return cel_no_overload();
    return cel_duration_parse(a->s, &v) ? v : cel_error("type conversion error: duration");
}
