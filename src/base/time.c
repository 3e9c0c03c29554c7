/* RFC 3339 in UTC over the proleptic Gregorian calendar, and durations as Go writes them. */
#include "base/time.h"

#include "base/must.h"

#define DAY_MS ((int64_t)86400000)
#define MIN_MS ((int64_t)-62135596800000) /* 0001-01-01T00:00:00Z */
#define MAX_MS ((int64_t)253402300799999) /* 9999-12-31T23:59:59.999Z */
#define DURATION_MAX_NS ((uint64_t)36525 * 86400 * 1000000000)

/* Years are counted from March, so that the leap day is the last one. */
int64_t time_days(struct date d)
{
    int64_t year = d.month <= 2 ? d.year - 1 : d.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t month = (d.month + 9) % 12;
    int64_t day_of_year = (153 * month + 2) / 5 + d.day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719468;
}

struct date time_date(int64_t days)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t of_era = shifted - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t day_of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct date d;

    d.day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
    d.month = (unsigned)(month < 10 ? month + 3 : month - 9);
    d.year = year + era * 400 + (d.month <= 2);
    return d;
}

bool time_date_valid(struct date d)
{
    bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
    unsigned most = d.month == 4 || d.month == 6 || d.month == 9 || d.month == 11 ? 30 : 31;

    if (d.month == 2)
        most = leap ? 29 : 28;
    return d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= most;
}

static void put_digits(char *p, unsigned v, size_t n)
{
    for (size_t i = n; i-- > 0; v /= 10)
        p[i] = (char)('0' + v % 10);
}

static void print(struct buf *b, int64_t ms, bool always_ms)
{
    char text[] = "0000-00-00T00:00:00.000Z";
    size_t n = sizeof(text) - 1;
    int64_t days;
    unsigned rest;
    struct date d;

    if (ms < MIN_MS)
        ms = MIN_MS;
    if (ms > MAX_MS)
        ms = MAX_MS;
    days = (ms >= 0 ? ms : ms - DAY_MS + 1) / DAY_MS;
    rest = (unsigned)(ms - days * DAY_MS);
    d = time_date(days);
    put_digits(text, (unsigned)d.year, 4);
    put_digits(text + 5, d.month, 2);
    put_digits(text + 8, d.day, 2);
    put_digits(text + 11, rest / 3600000, 2);
    put_digits(text + 14, rest / 60000 % 60, 2);
    put_digits(text + 17, rest / 1000 % 60, 2);
    put_digits(text + 20, rest % 1000, 3);
    if (rest % 1000 == 0 && !always_ms) {
        text[19] = 'Z';
        n = 20;
    }
    buf_append(b, (str_t){ text, n });
}

void time_rfc3339(struct buf *b, int64_t ms)
{
    print(b, ms, false);
}

void time_rfc3339_ms(struct buf *b, int64_t ms)
{
    print(b, ms, true);
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

/* Takes exactly n digits from the front. */
static bool take_digits(str_t *s, size_t n, unsigned *out)
{
    unsigned v = 0;

    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s->p[i]))
            return false;
        v = v * 10 + (unsigned)(s->p[i] - '0');
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

static bool take_date(str_t *s, int64_t *out_days)
{
    unsigned year, month, day;
    struct date d;

    if (!take_digits(s, 4, &year) || !take_char(s, '-') || !take_digits(s, 2, &month) ||
        !take_char(s, '-') || !take_digits(s, 2, &day))
        return false;
    d = (struct date){ (int64_t)year, month, day };
    if (!time_date_valid(d))
        return false;
    *out_days = time_days(d);
    return true;
}

/* A fraction of a second, which may be absent. */
static bool take_fraction(str_t *s, int64_t *out_ms)
{
    int64_t ms = 0;
    size_t n = 0;

    *out_ms = 0;
    if (!take_char(s, '.'))
        return true;
    for (; n < s->n && is_digit(s->p[n]); n++) {
        if (n < 3)
            ms = ms * 10 + (s->p[n] - '0');
    }
    if (n < 1 || n > 9)
        return false;
    *out_ms = n == 1 ? ms * 100 : n == 2 ? ms * 10 : ms;
    *s = str_slice(*s, n, s->n);
    return true;
}

static bool take_time(str_t *s, int64_t *out_ms)
{
    unsigned hour, minute, second;
    int64_t fraction;

    if (!take_digits(s, 2, &hour) || !take_char(s, ':') || !take_digits(s, 2, &minute) ||
        !take_char(s, ':') || !take_digits(s, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 59 || !take_fraction(s, &fraction))
        return false;
    *out_ms = (int64_t)(hour * 3600 + minute * 60 + second) * 1000 + fraction;
    return true;
}

static bool take_offset(str_t *s, int64_t *out_ms)
{
    unsigned hour, minute;
    bool minus;

    *out_ms = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    minus = take_char(s, '-');
    if (!minus && !take_char(s, '+'))
        return false;
    if (!take_digits(s, 2, &hour) || !take_char(s, ':') || !take_digits(s, 2, &minute))
        return false;
    if (hour > 23 || minute > 59)
        return false;
    *out_ms = (int64_t)(hour * 60 + minute) * (minus ? -60000 : 60000);
    return true;
}

bool time_parse(str_t s, int64_t *out_ms)
{
    int64_t days, of_day, offset, ms;

    if (!take_date(&s, &days) || (!take_char(&s, 'T') && !take_char(&s, 't')))
        return false;
    if (!take_time(&s, &of_day) || !take_offset(&s, &offset) || s.n != 0)
        return false;
    ms = days * DAY_MS + of_day - offset;
    if (ms < MIN_MS || ms > MAX_MS)
        return false;
    *out_ms = ms;
    return true;
}

__extension__ typedef unsigned __int128 wide_t;

struct unit {
    str_t name;
    uint64_t ns;
};

/* Longer names before their prefixes. */
static const struct unit units[] = {
    { { "ns", 2 }, 1 },
    { { "us", 2 }, 1000 },
    { { "\xc2\xb5s", 3 }, 1000 },
    { { "\xce\xbcs", 3 }, 1000 },
    { { "ms", 2 }, 1000000 },
    { { "s", 1 }, 1000000000 },
    { { "m", 1 }, (uint64_t)60 * 1000000000 },
    { { "h", 1 }, (uint64_t)3600 * 1000000000 },
    { { "d", 1 }, (uint64_t)86400 * 1000000000 },
};

static bool take_unit(str_t *s, uint64_t *out_ns)
{
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (str_starts(*s, units[i].name)) {
            *s = str_slice(*s, units[i].name.n, s->n);
            *out_ns = units[i].ns;
            return true;
        }
    }
    return false;
}

/* One number with its unit, such as "1.5h". */
static bool take_part(str_t *s, uint64_t *out_ns)
{
    uint64_t whole = 0, part = 0, scale = 1, ns = 0;
    size_t digits = 0;

    for (; s->n != 0 && is_digit(s->p[0]); *s = str_slice(*s, 1, s->n), digits++) {
        if (whole > DURATION_MAX_NS / 10)
            return false;
        whole = whole * 10 + (uint64_t)(s->p[0] - '0');
    }
    if (take_char(s, '.')) {
        for (; s->n != 0 && is_digit(s->p[0]); *s = str_slice(*s, 1, s->n), digits++) {
            /* What follows nine digits is below a microsecond of a day. */
            if (scale < 1000000000) {
                part = part * 10 + (uint64_t)(s->p[0] - '0');
                scale *= 10;
            }
        }
    }
    if (digits == 0 || !take_unit(s, &ns) || whole > DURATION_MAX_NS / ns)
        return false;
    *out_ns = whole * ns + (uint64_t)((wide_t)part * ns / scale);
    return true;
}

bool duration_parse(str_t s, int64_t *out_ms)
{
    uint64_t total = 0;

    if (str_eq(s, S("0"))) {
        *out_ms = 0;
        return true;
    }
    if (s.n == 0)
        return false;
    while (s.n != 0) {
        uint64_t ns = 0;

        if (!take_part(&s, &ns))
            return false;
        total += ns;
        if (total > DURATION_MAX_NS)
            return false;
    }
    *out_ms = (int64_t)(total / 1000000);
    return true;
}

void duration_print(struct buf *b, int64_t ms)
{
    uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    unsigned fraction = (unsigned)(left % 1000);
    uint64_t seconds = left / 1000;
    char digits[3];
    size_t n = 3;

    if (ms < 0)
        buf_char(b, '-');
    if (seconds == 0 && fraction != 0) {
        buf_u64(b, fraction);
        buf_append(b, S("ms"));
        return;
    }
    if (seconds >= 3600)
        buf_printf(b, "%lluh", (unsigned long long)(seconds / 3600));
    if (seconds >= 60)
        buf_printf(b, "%um", (unsigned)(seconds / 60 % 60));
    buf_u64(b, seconds % 60);
    if (fraction != 0) {
        put_digits(digits, fraction, 3);
        while (n > 1 && digits[n - 1] == '0')
            n--;
        buf_char(b, '.');
        buf_append(b, (str_t){ digits, n });
    }
    buf_char(b, 's');
}
