/* Timestamps and durations as text, and their range: the years 1 to 9999, and what fits 64 bits of
 * nanoseconds. */
#include "base/time.h"
#include "codec/cel_priv.h"

#define SECOND 1000000000LL
#define DAY 86400
#define TIME_MIN (-62135596800LL)
#define TIME_MAX 253402300799LL

struct cel_value cel_time(int64_t seconds, int64_t nanos)
{
    seconds += nanos / SECOND;
    nanos %= SECOND;
    if (nanos < 0) {
        seconds--;
        nanos += SECOND;
    }
    if (seconds < TIME_MIN || seconds > TIME_MAX)
        return cel_error("range error: timestamp");
    return (struct cel_value){ .type = CEL_TIMESTAMP, .time = { seconds, (int32_t)nanos } };
}

struct cel_value cel_time_sub(const struct cel_value *a, const struct cel_value *b)
{
    int64_t v;

    if (__builtin_mul_overflow(a->time.seconds - b->time.seconds, (int64_t)SECOND, &v) ||
        __builtin_add_overflow(v, (int64_t)a->time.nanos - b->time.nanos, &v))
        return cel_error("range error: duration");
    return cel_duration(v);
}

/* ---- reading ---- */

/* Exactly n digits off s. */
static bool take_digits(str_t *s, size_t n, int64_t *out)
{
    int64_t v = 0;

    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_slice(*s, n, s->n);
    *out = v;
    return true;
}

static bool take_char(str_t *s, char ch)
{
    if (s->n == 0 || s->p[0] != ch)
        return false;
    *s = str_slice(*s, 1, s->n);
    return true;
}

/* A fraction of a second in nanoseconds; digits behind the ninth are cut. */
static bool take_fraction(str_t *s, int64_t *nanos)
{
    int64_t scale = SECOND;
    size_t n = 0;

    *nanos = 0;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
        scale /= 10;
        *nanos += (s->p[n] - '0') * scale;
    }
    *s = str_slice(*s, n, s->n);
    return n > 0;
}

static bool take_offset(str_t *s, int64_t *seconds)
{
    int64_t hours, minutes, sign = take_char(s, '-') ? -1 : 1;

    *seconds = 0;
    if (sign > 0 && (take_char(s, 'Z') || take_char(s, 'z')))
        return true;
    if (sign > 0 && !take_char(s, '+'))
        return false;
    if (!take_digits(s, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool cel_time_parse(str_t s, struct cel_value *out)
{
    int64_t year, month, day, hour, minute, second, offset, nanos = 0;
    struct date d;

    if (!take_digits(&s, 4, &year) || !take_char(&s, '-') || !take_digits(&s, 2, &month) ||
        !take_char(&s, '-') || !take_digits(&s, 2, &day))
        return false;
    if (!take_char(&s, 'T') && !take_char(&s, 't'))
        return false;
    if (!take_digits(&s, 2, &hour) || !take_char(&s, ':') || !take_digits(&s, 2, &minute) ||
        !take_char(&s, ':') || !take_digits(&s, 2, &second))
        return false;
    if (take_char(&s, '.') && !take_fraction(&s, &nanos))
        return false;
    if (!take_offset(&s, &offset) || s.n > 0)
        return false;
    d = (struct date){ year, (unsigned)month, (unsigned)day };
    if (!time_date_valid(d) || hour > 23 || minute > 59 || second > 59)
        return false;
    *out = cel_time(time_days(d) * DAY + hour * 3600 + minute * 60 + second - offset, nanos);
    return true;
}

static bool take_unit(str_t *s, int64_t *unit)
{
    static const struct {
        const char *name;
        int64_t nanos;
    } units[] = {
        { "ns", 1 },       { "us", 1000 },  { "\xC2\xB5s", 1000 }, { "\xCE\xBCs", 1000 },
        { "ms", 1000000 }, { "s", SECOND }, { "m", 60 * SECOND },  { "h", 3600 * SECOND },
    };

    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (str_starts(*s, str_from(units[i].name))) {
            *s = str_slice(*s, str_from(units[i].name).n, s->n);
            *unit = units[i].nanos;
            return true;
        }
    return false;
}

/* One "1.5h" of a duration, added to *total (which is kept negative: it reaches one further). */
static bool take_part(str_t *s, int64_t *total)
{
    int64_t whole = 0, part = 0, scale = 1, unit, v;
    size_t digits = 0;

    for (; s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9'; digits++)
        if (__builtin_mul_overflow(whole, (int64_t)10, &whole) ||
            __builtin_sub_overflow(whole, (int64_t)(s->p[0] - '0'), &whole) ||
            !take_char(s, s->p[0]))
            return false;
    if (take_char(s, '.'))
        for (; s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9'; digits++) {
            if (scale < 1000000000000000LL) {
                part = part * 10 + (s->p[0] - '0');
                scale *= 10;
            }
            take_char(s, s->p[0]);
        }
    if (digits == 0 || !take_unit(s, &unit))
        return false;
    if (__builtin_mul_overflow(whole, unit, &v) || __builtin_add_overflow(*total, v, total))
        return false;
    v = (int64_t)((double)part / (double)scale * (double)unit + 0.5);
    return !__builtin_sub_overflow(*total, v, total);
}

bool cel_duration_parse(str_t s, struct cel_value *out)
{
    bool negative = take_char(&s, '-');
    int64_t total = 0;

    if (!negative)
        take_char(&s, '+');
    if (str_eq(s, S("0"))) {
        *out = cel_duration(0);
        return true;
    }
    if (s.n == 0)
        return false;
    while (s.n > 0)
        if (!take_part(&s, &total))
            return false;
    if (!negative && total == INT64_MIN)
        return false;
    *out = cel_duration(negative ? total : -total);
    return true;
}

/* ---- writing ---- */

/* ".25": without trailing zeros, nothing for a whole second. */
static size_t put_fraction(char *to, int64_t nanos)
{
    size_t n = 0;

    if (nanos == 0)
        return 0;
    to[n++] = '.';
    for (int64_t scale = SECOND / 10; nanos > 0; scale /= 10) {
        to[n++] = (char)('0' + nanos / scale);
        nanos %= scale;
    }
    return n;
}

str_t cel_time_text(struct arena *a, const struct cel_value *v)
{
    int64_t since = v->time.seconds - TIME_MIN, rest = since % DAY;
    struct date d = time_date(since / DAY + TIME_MIN / DAY);
    char fraction[12];
    size_t n = put_fraction(fraction, v->time.nanos);

    return str_printf(a, "%04d-%02u-%02uT%02d:%02d:%02d%.*sZ", (int)d.year, d.month, d.day,
                      (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60), (int)n,
                      fraction);
}

str_t cel_duration_text(struct arena *a, int64_t nanos)
{
    int64_t seconds = nanos / SECOND, rest = nanos % SECOND;
    char fraction[12];
    size_t n = put_fraction(fraction, rest < 0 ? -rest : rest);

    return str_printf(a, "%s%lld%.*ss", nanos < 0 && seconds == 0 ? "-" : "", (long long)seconds,
                      (int)n, fraction);
}
