/* Days of the Gregorian calendar; RFC 3339 and Go durations to and from milliseconds. */
#pragma once

#include "base/buf.h"

struct date {
    int64_t year;
    unsigned month, day; /* from 1 on */
};

/* Days since 1970-01-01, also before it. */
int64_t time_days(struct date d);
struct date time_date(int64_t days);
/* False for a 30 February. */
bool time_date_valid(struct date d);

/* "2026-05-02T08:00:00Z", with ".123" when there are milliseconds. */
void time_rfc3339(struct buf *b, int64_t ms);
/* "2026-05-02T08:00:00.123Z", always three digits. */
void time_rfc3339_ms(struct buf *b, int64_t ms);
/* Any offset, 0 to 9 fraction digits (cut to ms). False on any other text or outside 0001-9999. */
bool time_parse(str_t s, int64_t *out_ms);
/* "500ms", "30s", "1.5h", "1h30m", "7d"; false when malformed, negative or over 100 years. */
bool duration_parse(str_t s, int64_t *out_ms);
/* "2h15m0s", "30s", "1.2s", "0s": as Go prints it. */
void duration_print(struct buf *b, int64_t ms);
