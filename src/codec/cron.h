/* Cron texts: five fields, six with seconds first, @hourly and its kin, @every <duration>. Fields
 * take lists, ranges, steps and, for months and days of the week, English names. When day of month
 * and day of week are both restricted, either one suffices, as cron always had it.
 *
 * They are read in UTC, or behind "CRON_TZ=Europe/Berlin " (or "TZ=") in that zone. Where its
 * clocks jump, a text of particular hours fires once a day: what falls into the hour that is left
 * out fires at the jump, and an hour that comes twice counts once. With every hour it follows the
 * clock. */
#pragma once

#include "base/str.h"
#include "base/zone.h"

struct cron {
    uint64_t seconds, minutes; /* one bit for each value that fires */
    uint32_t hours, days, months, weekdays;
    bool any_day, any_weekday; /* the field was '*' */
    int64_t every_ms;          /* @every: multiples of this since the epoch; else 0 */
    const struct zone *zone;   /* NULL: UTC */
};

/* False and *what says why: malformed, an unknown zone, or a text that never fires ("0 0 31 2 *").
 */
bool cron_parse(str_t text, struct cron *out, const char **what);
/* First firing time after after_ms, in milliseconds since the epoch. False when there is none
 * within nine years, which cron_parse has excluded for every time before the year 9990. */
bool cron_next(const struct cron *c, int64_t after_ms, int64_t *out);
