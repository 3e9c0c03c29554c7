/* Arithmetic with its overflow errors, and the order of values, across the kinds of numbers. */
#include <math.h>
#include <string.h>

#include "codec/cel_priv.h"

#define TWO_63 9223372036854775808.0

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

static enum cel_order sign(int order)
{
    return order < 0 ? CEL_LESS : order > 0 ? CEL_MORE : CEL_SAME;
}

static enum cel_order doubles(double a, double b)
{
    return isnan(a) || isnan(b) ? CEL_UNORDERED : sign((a > b) - (a < b));
}

static double as_double(const struct cel_value *v)
{
    return v->type == CEL_INT ? (double)v->i : v->type == CEL_UINT ? (double)v->u : v->d;
}

/* Integers are compared exactly. Beside a double the other is rounded to one, as the conformance
 * suite wants it: 2^63 - 1 equals 9223372036854775808.0. */
static enum cel_order numbers(const struct cel_value *a, const struct cel_value *b)
{
    if (a->type == CEL_DOUBLE || b->type == CEL_DOUBLE)
        return doubles(as_double(a), as_double(b));
    if (a->type == CEL_INT && b->type == CEL_INT)
        return sign((a->i > b->i) - (a->i < b->i));
    if (a->type == CEL_INT && a->i < 0)
        return CEL_LESS;
    if (b->type == CEL_INT && b->i < 0)
        return CEL_MORE;
    return sign((a->u > b->u) - (a->u < b->u)); /* the same bits as those of i */
}

enum cel_order cel_compare(const struct cel_value *a, const struct cel_value *b)
{
    if (cel_is_number(a) && cel_is_number(b))
        return numbers(a, b);
    if (a->type != b->type)
        return CEL_UNLIKE;
    if (a->type == CEL_BOOL)
        return sign(a->boolean - b->boolean);
    if (a->type == CEL_DURATION)
        return sign((a->i > b->i) - (a->i < b->i));
    if (a->type == CEL_TIMESTAMP) {
        if (a->time.seconds != b->time.seconds)
            return a->time.seconds < b->time.seconds ? CEL_LESS : CEL_MORE;
        return sign((a->time.nanos > b->time.nanos) - (a->time.nanos < b->time.nanos));
    }
    if (a->type != CEL_STRING && a->type != CEL_BYTES)
        return CEL_UNLIKE;
    return sign(str_cmp(a->s, b->s));
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

    p = cel_items(r, n);
    if (!p)
        return *a;
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
