/* The parts of timestamps, in UTC, at a fixed offset or in a zone, and of durations. */
#include "base/time.h"
#include "base/zone.h"
#include "codec/cel_priv.h"

#define DAY 86400

/* "+02:00", "-09:30", "02:00": seconds to add. */
static bool fixed_offset(str_t s, int64_t *out)
{
    int64_t sign = 1;

    if (s.n == 6 && (s.p[0] == '+' || s.p[0] == '-')) {
        sign = s.p[0] == '-' ? -1 : 1;
        s = str_slice(s, 1, s.n);
    }
    if (s.n != 5 || s.p[2] != ':')
        return false;
    for (size_t i = 0; i < 5; i++)
        if (i != 2 && (s.p[i] < '0' || s.p[i] > '9'))
            return false;
    *out = sign * (((s.p[0] - '0') * 10 + s.p[1] - '0') * 3600 +
                   ((s.p[3] - '0') * 10 + s.p[4] - '0') * 60);
    return true;
}

/* Seconds that a clock there is ahead of UTC at a time. */
static bool offset_at(str_t s, int64_t at, int64_t *out)
{
    const struct zone *z;

    *out = 0;
    if (str_eq(s, S("UTC")) || str_eq(s, S("Z")) || fixed_offset(s, out))
        return true;
    z = zone_find(s);
    if (z != NULL)
        *out = zone_offset(z, at);
    return z != NULL;
}

enum part { YEAR, MONTH, DAY_OF_MONTH, DAY_OF_WEEK, DAY_OF_YEAR, HOURS, MINUTES, SECONDS, MILLIS };

static struct cel_value time_part(const struct cel_value *a, size_t n, enum part part)
{
    int64_t offset = 0, seconds, days;
    struct date d;

    if (n > 1 && a[1].type != CEL_STRING)
        return cel_no_overload();
    if (n > 1 && !offset_at(a[1].s, a->time.seconds, &offset))
        return cel_error("unknown time zone (Europe/Berlin, UTC or an offset such as +02:00)");
    seconds = a->time.seconds + offset;
    days = (seconds - (seconds < 0 ? DAY - 1 : 0)) / DAY;
    seconds -= days * DAY;
    d = time_date(days);
    switch (part) {
    case YEAR:
        return cel_int(d.year);
    case MONTH:
        return cel_int(d.month - 1);
    case DAY_OF_MONTH:
        return cel_int(d.day - 1);
    case DAY_OF_WEEK:
        return cel_int((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    case DAY_OF_YEAR:
        return cel_int(days - time_days((struct date){ d.year, 1, 1 }));
    case HOURS:
        return cel_int(seconds / 3600);
    case MINUTES:
        return cel_int(seconds / 60 % 60);
    case SECONDS:
        return cel_int(seconds % 60);
    case MILLIS:
        return cel_int(a->time.nanos / 1000000);
    }
    return cel_no_overload();
}

static struct cel_value part_of(const struct cel_value *a, size_t n, enum part part)
{
    if (a->type == CEL_TIMESTAMP)
        return time_part(a, n, part);
    if (a->type != CEL_DURATION || n > 1)
        return cel_no_overload();
    if (part == HOURS)
        return cel_int(a->i / 3600000000000);
    if (part == MINUTES)
        return cel_int(a->i / 60000000000);
    if (part == SECONDS)
        return cel_int(a->i / 1000000000);
    return part == MILLIS ? cel_int(a->i % 1000000000 / 1000000) : cel_no_overload();
}

struct cel_value cel_fn_year(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, YEAR);
}

struct cel_value cel_fn_month(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, MONTH);
}

struct cel_value cel_fn_date(struct cel_run *r, const struct cel_value *a, size_t n)
{
    struct cel_value v = part_of(a, n, DAY_OF_MONTH);

    (void)r;
    if (v.type == CEL_INT)
        v.i++;
    return v;
}

struct cel_value cel_fn_day_of_month(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, DAY_OF_MONTH);
}

struct cel_value cel_fn_day_of_week(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, DAY_OF_WEEK);
}

struct cel_value cel_fn_day_of_year(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, DAY_OF_YEAR);
}

struct cel_value cel_fn_hours(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, HOURS);
}

struct cel_value cel_fn_minutes(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, MINUTES);
}

struct cel_value cel_fn_seconds(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, SECONDS);
}

struct cel_value cel_fn_millis(struct cel_run *r, const struct cel_value *a, size_t n)
{
    (void)r;
    return part_of(a, n, MILLIS);
}
