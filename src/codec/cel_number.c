/* Arithmetic with its overflow errors, and the order of values, across the kinds of numbers. */
#include <math.h>
#include <string.h>

#include "codec/cel_priv.h"

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

bool cel_is_number(const struct cel_value *v)
{
    return v->type == CEL_INT || v->type == CEL_UINT || v->type == CEL_DOUBLE;
}

bool cel_integer(const struct cel_value *v, int64_t *out)
{
    if (v->type == CEL_INT) {
        *out = v->i;
        return true;
    }
    if (v->type == CEL_UINT && v->u <= INT64_MAX) {
        *out = (int64_t)v->u;
        return true;
    }
    if (v->type != CEL_DOUBLE || !(v->d >= -TWO_63 && v->d < TWO_63) || trunc(v->d) != v->d)
        return false;
    *out = (int64_t)v->d;
    return true;
}

/* ---- order ---- */

static enum cel_order sign(bool less, bool more)
{
    return less ? CEL_LESS : more ? CEL_MORE : CEL_SAME;
}

static enum cel_order reverse(enum cel_order o)
{
    return o == CEL_LESS ? CEL_MORE : o == CEL_MORE ? CEL_LESS : o;
}

/* Exact: the whole part as an integer, then the rest. */
static enum cel_order double_to_int(double d, int64_t i)
{
    int64_t whole;

    if (isnan(d))
        return CEL_UNORDERED;
    if (d >= TWO_63 || d < -TWO_63)
        return d < 0 ? CEL_LESS : CEL_MORE;
    whole = (int64_t)d;
    if (whole != i)
        return sign(whole < i, true);
    return sign(d<(double)whole, d>(double) whole);
}

static enum cel_order double_to_uint(double d, uint64_t u)
{
    uint64_t whole;

    if (isnan(d))
        return CEL_UNORDERED;
    if (d >= TWO_64 || d < 0)
        return d < 0 ? CEL_LESS : CEL_MORE;
    whole = (uint64_t)d;
    if (whole != u)
        return sign(whole < u, true);
    return sign(false, d > (double)whole);
}

static enum cel_order int_to_uint(int64_t i, uint64_t u)
{
    return i < 0 ? CEL_LESS : sign((uint64_t)i<u, (uint64_t)i> u);
}

static enum cel_order doubles(double a, double b)
{
    return isnan(a) || isnan(b) ? CEL_UNORDERED : sign(a<b, a> b);
}

static enum cel_order numbers(const struct cel_value *a, const struct cel_value *b)
{
    if (a->type == b->type) {
        if (a->type == CEL_INT)
            return sign(a->i<b->i, a->i> b->i);
        if (a->type == CEL_UINT)
            return sign(a->u<b->u, a->u> b->u);
        return doubles(a->d, b->d);
    }
    if (a->type == CEL_DOUBLE)
        return b->type == CEL_INT ? double_to_int(a->d, b->i) : double_to_uint(a->d, b->u);
    if (b->type == CEL_DOUBLE)
        return reverse(numbers(b, a));
    return a->type == CEL_INT ? int_to_uint(a->i, b->u) : reverse(int_to_uint(b->i, a->u));
}

enum cel_order cel_compare(const struct cel_value *a, const struct cel_value *b)
{
    int order;

    if (cel_is_number(a) && cel_is_number(b))
        return numbers(a, b);
    if (a->type != b->type)
        return CEL_UNLIKE;
    if (a->type == CEL_BOOL)
        return sign(!a->boolean && b->boolean, a->boolean && !b->boolean);
    if (a->type == CEL_DURATION)
        return sign(a->i<b->i, a->i> b->i);
    if (a->type == CEL_TIMESTAMP) {
        if (a->time.seconds != b->time.seconds)
            return sign(a->time.seconds < b->time.seconds, true);
        return sign(a->time.nanos<b->time.nanos, a->time.nanos> b->time.nanos);
    }
    if (a->type != CEL_STRING && a->type != CEL_BYTES)
        return CEL_UNLIKE;
    order = str_cmp(a->s, b->s);
    return sign(order<0, order> 0);
}

/* ---- arithmetic ---- */

static struct cel_value overflow(void)
{
    return cel_error("integer overflow");
}

static struct cel_value ints(enum cel_code op, int64_t a, int64_t b)
{
    int64_t v = 0;
    bool bad = false;

    if ((op == CEL_OP_DIV || op == CEL_OP_MOD) && b == 0)
        return cel_error(op == CEL_OP_DIV ? "division by zero" : "modulus by zero");
    if (op == CEL_OP_ADD)
        bad = __builtin_add_overflow(a, b, &v);
    else if (op == CEL_OP_SUB)
        bad = __builtin_sub_overflow(a, b, &v);
    else if (op == CEL_OP_MUL)
        bad = __builtin_mul_overflow(a, b, &v);
    else if (a == INT64_MIN && b == -1)
        bad = true;
    else
        v = op == CEL_OP_DIV ? a / b : a % b;
    return bad ? overflow() : cel_int(v);
}

static struct cel_value uints(enum cel_code op, uint64_t a, uint64_t b)
{
    uint64_t v = 0;
    bool bad = false;

    if ((op == CEL_OP_DIV || op == CEL_OP_MOD) && b == 0)
        return cel_error(op == CEL_OP_DIV ? "division by zero" : "modulus by zero");
    if (op == CEL_OP_ADD)
        bad = __builtin_add_overflow(a, b, &v);
    else if (op == CEL_OP_SUB)
        bad = __builtin_sub_overflow(a, b, &v);
    else if (op == CEL_OP_MUL)
        bad = __builtin_mul_overflow(a, b, &v);
    else
        v = op == CEL_OP_DIV ? a / b : a % b;
    return bad ? overflow() : cel_uint(v);
}

static struct cel_value reals(enum cel_code op, double a, double b)
{
    if (op == CEL_OP_ADD)
        return cel_double(a + b);
    if (op == CEL_OP_SUB)
        return cel_double(a - b);
    if (op == CEL_OP_MUL)
        return cel_double(a * b);
    if (op == CEL_OP_DIV)
        return cel_double(a / b);
    return cel_no_overload();
}

static double as_double(const struct cel_value *v)
{
    return v->type == CEL_INT ? (double)v->i : v->type == CEL_UINT ? (double)v->u : v->d;
}

static struct cel_value number_arith(enum cel_code op, const struct cel_value *a,
                                     const struct cel_value *b)
{
    struct cel_value v;

    if (a->type != b->type && (!(a->json || b->json) || a->type == CEL_UINT || b->type == CEL_UINT))
        return cel_no_overload();
    if (a->type != b->type || a->type == CEL_DOUBLE)
        v = reals(op, as_double(a), as_double(b));
    else if (a->type == CEL_INT)
        v = ints(op, a->i, b->i);
    else
        v = uints(op, a->u, b->u);
    v.json = v.type != CEL_ERROR && (a->json || b->json);
    return v;
}

static struct cel_value time_arith(enum cel_code op, const struct cel_value *a,
                                   const struct cel_value *b)
{
    bool add = op == CEL_OP_ADD;
    int64_t v;

    if (!add && op != CEL_OP_SUB)
        return cel_no_overload();
    if (a->type == CEL_DURATION && b->type == CEL_DURATION) {
        if (add ? __builtin_add_overflow(a->i, b->i, &v) : __builtin_sub_overflow(a->i, b->i, &v))
            return cel_error("range error: duration");
        return cel_duration(v);
    }
    if (a->type == CEL_TIMESTAMP && b->type == CEL_TIMESTAMP)
        return add ? cel_no_overload() : cel_time_sub(a, b);
    if (a->type == CEL_DURATION && b->type == CEL_TIMESTAMP && add) {
        const struct cel_value *swap = a;

        a = b;
        b = swap;
    }
    if (a->type != CEL_TIMESTAMP || b->type != CEL_DURATION)
        return cel_no_overload();
    v = add ? 1 : -1;
    return cel_time(a->time.seconds + v * (b->i / 1000000000),
                    a->time.nanos + v * (b->i % 1000000000));
}

static struct cel_value join_text(struct cel_run *r, const struct cel_value *a,
                                  const struct cel_value *b)
{
    struct cel_value v = *a;
    char *p;

    if (a->s.n == 0 || b->s.n == 0)
        return a->s.n == 0 ? *b : *a;
    if (!cel_charge_bytes(r, a->s.n + b->s.n))
        return v;
    p = arena_alloc(r->arena, a->s.n + b->s.n);
    memcpy(p, a->s.p, a->s.n);
    memcpy(p + a->s.n, b->s.p, b->s.n);
    v.s = (str_t){ p, a->s.n + b->s.n };
    return v;
}

static struct cel_value join_lists(struct cel_run *r, const struct cel_value *a,
                                   const struct cel_value *b)
{
    size_t n = cel_count(r, a) + cel_count(r, b), at = 0;
    const struct cel_value *both[] = { a, b };
    struct cel_value *p;

    if (!cel_charge(r, n / 4))
        return *a;
    p = arena_alloc(r->arena, n * sizeof(*p));
    for (size_t i = 0; i < 2; i++)
        for (struct cel_iter it = cel_iter(both[i]); at < n && cel_iter_next(r, &it, NULL, &p[at]);)
            at++;
    return cel_list(p, at);
}

struct cel_value cel_arith(struct cel_run *r, enum cel_code op, const struct cel_value *a,
                           const struct cel_value *b)
{
    if (cel_is_number(a) && cel_is_number(b))
        return number_arith(op, a, b);
    if (a->type == CEL_TIMESTAMP || a->type == CEL_DURATION)
        return time_arith(op, a, b);
    if (op != CEL_OP_ADD || a->type != b->type)
        return cel_no_overload();
    if (a->type == CEL_STRING || a->type == CEL_BYTES)
        return join_text(r, a, b);
    return a->type == CEL_LIST ? join_lists(r, a, b) : cel_no_overload();
}

struct cel_value cel_negate(const struct cel_value *v)
{
    struct cel_value out = *v;

    if (v->type == CEL_ERROR)
        return *v;
    if (v->type == CEL_INT && v->i == INT64_MIN)
        return overflow();
    if (v->type == CEL_INT)
        out.i = -v->i;
    else if (v->type == CEL_DOUBLE)
        out.d = -v->d;
    else
        return cel_no_overload();
    return out;
}
