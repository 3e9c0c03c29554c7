/* Parsing cron texts into bit sets, and searching the next time day by day: on the clock of the
 * wall first, which the zone then turns into a time. */
#include "codec/cron.h"

#include "base/must.h"
#include "base/time.h"

#define DAY_S 86400
#define SEARCH_DAYS (366 * 9) /* a 29 February is at most eight years away */
#define JUMPS_MAX 64          /* of a zone's clocks in that time */
#define EVERY_HOUR ((UINT32_C(1) << 24) - 1)

struct range {
    int low, high;
    const char *names; /* three letters each, from low on (weekdays from 0) */
};

static const struct range ranges[6] = {
    { 0, 59, "" },
    { 0, 59, "" },
    { 0, 23, "" },
    { 1, 31, "" },
    { 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
    { 0, 7, "sunmontuewedthufrisat" },
};

static bool parse_number(const struct range *r, str_t s, int *out)
{
    str_t names = str_from(r->names);
    uint64_t v;

    for (size_t i = 0; s.n == 3 && i < names.n; i += 3)
        if (str_eq_nocase(str_slice(names, i, i + 3), s)) {
            *out = r->low + (int)(i / 3);
            return true;
        }
    if (!str_to_u64(s, &v) || v < (uint64_t)r->low || v > (uint64_t)r->high)
        return false;
    *out = (int)v;
    return true;
}

/* One item of a list: "*", "5", "1-5", each with an optional "/step". */
static bool parse_item(const struct range *r, str_t s, uint64_t *bits)
{
    int low = r->low, high = r->high, step = 1;
    ptrdiff_t cut = str_index(s, '/');
    uint64_t v;

    if (cut >= 0) {
        if (!str_to_u64(str_slice(s, (size_t)cut + 1, s.n), &v) || v < 1 || v > 60)
            return false;
        step = (int)v;
        s = str_slice(s, 0, (size_t)cut);
    }
    if (!str_eq(s, S("*")) && !str_eq(s, S("?"))) {
        ptrdiff_t dash = str_index(s, '-');
        str_t from = dash < 0 ? s : str_slice(s, 0, (size_t)dash);

        if (!parse_number(r, from, &low))
            return false;
        if (dash >= 0 && !parse_number(r, str_slice(s, (size_t)dash + 1, s.n), &high))
            return false;
        if (dash < 0 && cut < 0)
            high = low;
        if (high < low)
            return false;
    } else if (high == 7) {
        high = 6; /* Sunday once */
    }
    for (int i = low; i <= high; i += step)
        *bits |= UINT64_C(1) << i;
    return true;
}

static bool parse_field(const struct range *r, str_t s, uint64_t *bits)
{
    str_t item;

    *bits = 0;
    if (s.n == 0 || s.p[s.n - 1] == ',')
        return false;
    while (str_cut(&s, ',', &item))
        if (!parse_item(r, item, bits))
            return false;
    return true;
}

static bool is_any(str_t s)
{
    return str_eq(s, S("*")) || str_eq(s, S("?"));
}

static bool parse_fields(str_t text, struct cron *out, const char **what)
{
    static const char *const wrong[6] = { "bad seconds",      "bad minutes", "bad hours",
                                          "bad day of month", "bad month",   "bad day of week" };
    str_t fields[6] = { S("0") }, part;
    uint64_t bits[6];
    size_t n = 0, skip;

    for (size_t i = 0; i < text.n; i++) {
        size_t start = i;

        while (i < text.n && text.p[i] != ' ' && text.p[i] != '\t')
            i++;
        if (i == start)
            continue;
        part = str_slice(text, start, i);
        if (n == 6) {
            n = 7;
            break;
        }
        fields[n++] = part;
    }
    *what = "expected five or six fields";
    if (n != 5 && n != 6)
        return false;
    skip = 6 - n;
    if (skip) {
        for (size_t i = 5; i > 0; i--)
            fields[i] = fields[i - 1];
        fields[0] = S("0");
    }
    for (size_t i = 0; i < 6; i++)
        if (!parse_field(&ranges[i], fields[i], &bits[i])) {
            *what = wrong[i];
            return false;
        }
    *out = (struct cron){ .seconds = bits[0], .minutes = bits[1] };
    out->hours = (uint32_t)bits[2];
    out->days = (uint32_t)bits[3];
    out->months = (uint32_t)bits[4];
    out->weekdays = (uint32_t)((bits[5] | bits[5] >> 7) & 0x7F); /* 7 is Sunday as well */
    out->any_day = is_any(fields[3]);
    out->any_weekday = is_any(fields[5]);
    return true;
}

/* Takes "CRON_TZ=<zone> " or "TZ=<zone> " off the front. */
static bool take_zone(str_t *text, const struct zone **out)
{
    str_t rest = *text, name;

    *out = NULL;
    if (str_starts(rest, S("CRON_")))
        rest = str_slice(rest, sizeof("CRON_") - 1, rest.n);
    if (!str_starts(rest, S("TZ=")))
        return true;
    rest = str_slice(rest, sizeof("TZ=") - 1, rest.n);
    if (!str_cut(&rest, ' ', &name))
        return false;
    *text = str_trim(rest);
    *out = zone_find(name);
    return *out != NULL;
}

bool cron_parse(str_t text, struct cron *out, const char **what)
{
    static const struct {
        const char *word, *fields;
    } words[] = {
        { "@hourly", "0 * * * *" },   { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" },
        { "@weekly", "0 0 * * 0" },   { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },
        { "@annually", "0 0 1 1 *" },
    };
    const struct zone *zone;
    struct cron c = { 0 };
    int64_t at;

    text = str_trim(text);
    *what = "unknown time zone: expected a name such as Europe/Berlin";
    if (!take_zone(&text, &zone))
        return false;
    if (str_starts(text, S("@every "))) {
        *what = "expected @every with a duration of at least a second";
        if (!duration_parse(str_trim(str_slice(text, 7, text.n)), &c.every_ms) || c.every_ms < 1000)
            return false;
        *out = c;
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_eq_nocase(text, str_from(words[i].word)))
            text = str_from(words[i].fields);
    if (!parse_fields(text, &c, what))
        return false;
    c.zone = zone;
    *what = "it never fires";
    if (!cron_next(&c, 0, &at))
        return false;
    *out = c;
    return true;
}

static bool day_fires(const struct cron *c, int64_t day)
{
    struct date d = time_date(day);
    int weekday = (int)((day % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    bool by_day = c->days >> d.day & 1, by_weekday = c->weekdays >> weekday & 1;

    if (!(c->months >> d.month & 1))
        return false;
    if (c->any_day || c->any_weekday)
        return by_day && by_weekday;
    return by_day || by_weekday;
}

/* Lowest set bit at or above from, or -1. */
static int next_bit(uint64_t bits, int from)
{
    bits = from < 64 ? bits >> from << from : 0;
    return bits ? __builtin_ctzll(bits) : -1;
}

/* First firing second of a day at or after `from`, or -1. */
static int next_second(const struct cron *c, int from)
{
    int h = from / 3600, m = from / 60 % 60, s = from % 60;
    int hour = next_bit(c->hours, h), minute, second;

    for (; hour >= 0; hour = next_bit(c->hours, hour + 1)) {
        minute = next_bit(c->minutes, hour == h ? m : 0);
        for (; minute >= 0; minute = next_bit(c->minutes, minute + 1)) {
            second = next_bit(c->seconds, hour == h && minute == m ? s : 0);
            if (second >= 0)
                return hour * 3600 + minute * 60 + second;
        }
    }
    return -1;
}

/* First second of the wall's clock at or after `from` that fires, or -1. */
static int64_t next_on_wall(const struct cron *c, int64_t from)
{
    int64_t day = (from + DAY_S) / DAY_S - 1; /* west of Greenwich time begins in 1969 */
    int second = (int)(from - day * DAY_S), found;

    for (int i = 0; i <= SEARCH_DAYS; i++, day++, second = 0) {
        if (!day_fires(c, day))
            continue;
        found = next_second(c, second);
        if (found >= 0)
            return day * DAY_S + found;
    }
    return -1;
}

/* First second after `after` that fires, or -1: on the wall by the rule of now, and anew where a
 * jump of the clocks comes before. */
static int64_t next_in_zone(const struct cron *c, int64_t after)
{
    int64_t rule = after, first = after + 1; /* a time of the rule; the first that may fire */
    bool hourly = c->hours == EVERY_HOUR;

    for (int i = 0; i < JUMPS_MAX; i++) {
        int64_t offset = zone_offset(c->zone, rule), ahead, jump;
        int64_t found = next_on_wall(c, first + offset);

        if (found < 0)
            return -1;
        found -= offset;
        jump = zone_change(c->zone, rule, found);
        if (jump == INT64_MAX)
            return found;
        ahead = zone_offset(c->zone, jump) - offset;
        if (!hourly && found < jump + ahead) /* the wall never shows it */
            return jump;
        first = ahead < 0 && !hourly ? jump - ahead : jump;
        rule = jump;
    }
    return -1;
}

bool cron_next(const struct cron *c, int64_t after_ms, int64_t *out)
{
    int64_t found;

    if (after_ms < 0 || after_ms > INT64_MAX / 2)
        return false;
    if (c->every_ms > 0) {
        *out = (after_ms / c->every_ms + 1) * c->every_ms;
        return true;
    }
    found =
        c->zone != NULL ? next_in_zone(c, after_ms / 1000) : next_on_wall(c, after_ms / 1000 + 1);
    *out = found * 1000;
    return found >= 0;
}
