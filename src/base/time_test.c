/* RFC 3339 and durations, the calendar against libc. */
#include "base/time.h"

#include <time.h>

#include "base/must.h"
#include "base/test.h"

struct sample {
    const char *text;
    int64_t ms;
};

static void check_print(void (*print)(struct buf *, int64_t), int64_t ms, const char *want)
{
    struct buf b;

    buf_init(&b, 100);
    print(&b, ms);
    assert_str(buf_str(&b), want);
    buf_done(&b);
}

static void times_are_printed(void **state)
{
    (void)state;
    check_print(time_rfc3339, 0, "1970-01-01T00:00:00Z");
    check_print(time_rfc3339, 1777708800000, "2026-05-02T08:00:00Z");
    check_print(time_rfc3339, 1777708800123, "2026-05-02T08:00:00.123Z");
    check_print(time_rfc3339, 1777708800120, "2026-05-02T08:00:00.120Z");
    check_print(time_rfc3339_ms, 1777708800000, "2026-05-02T08:00:00.000Z");
    check_print(time_rfc3339_ms, 951782399999, "2000-02-28T23:59:59.999Z");
    check_print(time_rfc3339, 951782400000, "2000-02-29T00:00:00Z");
    check_print(time_rfc3339_ms, -1, "1969-12-31T23:59:59.999Z");
    check_print(time_rfc3339, INT64_MIN, "0001-01-01T00:00:00Z");
    check_print(time_rfc3339, INT64_MAX, "9999-12-31T23:59:59.999Z");
}

static void times_are_parsed(void **state)
{
    static const struct sample good[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-05-02T08:00:00Z", 1777708800000 },
        { "2026-05-02t08:00:00z", 1777708800000 },
        { "2026-05-02T10:00:00+02:00", 1777708800000 },
        { "2026-05-02T02:30:00-05:30", 1777708800000 },
        { "2026-05-02T08:00:00.1Z", 1777708800100 },
        { "2026-05-02T08:00:00.12Z", 1777708800120 },
        { "2026-05-02T08:00:00.123456789Z", 1777708800123 },
        { "2024-02-29T00:00:00Z", 1709164800000 },
        { "0001-01-01T00:00:00Z", -62135596800000 },
        { "9999-12-31T23:59:59.999999999Z", 253402300799999 },
        { "1969-12-31T23:59:59.5Z", -500 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t ms = 77;

        assert_true(time_parse(str_from(good[i].text), &ms));
        assert_true(ms == good[i].ms);
    }
}

static void other_text_is_no_time(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-05-02",
        "2026-05-02T08:00:00",
        "2026-05-02 08:00:00Z",
        "2026-05-02T08:00Z",
        "2026-05-02T08:00:00.Z",
        "2026-05-02T08:00:00.1234567890Z",
        "2026-05-02T08:00:00,5Z",
        "2026-05-02T08:00:00Zx",
        " 2026-05-02T08:00:00Z",
        "2026-13-02T08:00:00Z",
        "2026-00-02T08:00:00Z",
        "2026-02-29T08:00:00Z",
        "2100-02-29T08:00:00Z",
        "2026-04-31T08:00:00Z",
        "2026-05-00T08:00:00Z",
        "2026-05-02T24:00:00Z",
        "2026-05-02T08:60:00Z",
        "2026-05-02T08:00:60Z",
        "2026-05-02T08:00:00+24:00",
        "2026-05-02T08:00:00+02",
        "2026-05-02T08:00:00+0200",
        "26-05-02T08:00:00Z",
        "+026-05-02T08:00:00Z",
        "0000-05-02T08:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    };
    int64_t ms = 77;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(time_parse(str_from(bad[i]), &ms));
    assert_int_equal(ms, 77);
}

/* Every 13 hours and some through 500 years, against the C library. */
static void the_calendar_agrees_with_libc(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (int64_t s = -7000000000; s < 9000000000; s += 46861 * 7) {
        char want[64];
        struct tm tm;
        time_t t = (time_t)s;
        int64_t ms = 0;

        assert_non_null(gmtime_r(&t, &tm));
        assert_true(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
        buf_clear(&b);
        time_rfc3339(&b, s * 1000);
        assert_str(buf_str(&b), want);
        assert_true(time_parse(buf_str(&b), &ms));
        assert_true(ms == s * 1000);
    }
    buf_done(&b);
}

static void durations_are_parsed(void **state)
{
    static const struct sample good[] = {
        { "0", 0 },
        { "0s", 0 },
        { "500ms", 500 },
        { "30s", 30000 },
        { "1.5h", 5400000 },
        { "1h30m", 5400000 },
        { "7d", 604800000 },
        { "1d12h", 129600000 },
        { ".5s", 500 },
        { "1.s", 1000 },
        { "1500us", 1 },
        { "999\xc2\xb5s", 0 },
        { "600us600us", 1 },
        { "2000000ns", 2 },
        { "0.123456h", 444441 },
        { "0.99999999999999999999s", 999 },
        { "00001s", 1000 },
        { "36525d", 3155760000000 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t ms = 77;

        assert_true(duration_parse(str_from(good[i].text), &ms));
        assert_true(ms == good[i].ms);
    }
}

static void other_text_is_no_duration(void **state)
{
    static const char *const bad[] = { "",
                                       "5",
                                       "s",
                                       "-5s",
                                       "+5s",
                                       "5 s",
                                       "5sec",
                                       ".s",
                                       "1..5s",
                                       "1h5",
                                       "1w",
                                       "36526d",
                                       "1e3s",
                                       "36525d1ms",
                                       " 5s",
                                       "99999999999999999999ns",
                                       "18446744073709551616s",
                                       "99999999999999999999999999999999h" };
    int64_t ms = 77;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(duration_parse(str_from(bad[i]), &ms));
    assert_int_equal(ms, 77);
}

static void durations_are_printed(void **state)
{
    (void)state;
    check_print(duration_print, 0, "0s");
    check_print(duration_print, 500, "500ms");
    check_print(duration_print, 30000, "30s");
    check_print(duration_print, 1200, "1.2s");
    check_print(duration_print, 1002, "1.002s");
    check_print(duration_print, 60000, "1m0s");
    check_print(duration_print, 8100000, "2h15m0s");
    check_print(duration_print, 3600000, "1h0m0s");
    check_print(duration_print, 604800000, "168h0m0s");
    check_print(duration_print, -1500, "-1.5s");
    check_print(duration_print, INT64_MIN, "-2562047788015h12m55.808s");
}

static void days_and_dates_are_each_others_inverse(void **state)
{
    struct date d;

    (void)state;
    assert_int_equal(time_days((struct date){ 1970, 1, 1 }), 0);
    assert_int_equal(time_days((struct date){ 1, 1, 1 }), -719162);
    assert_int_equal(time_days((struct date){ 2000, 2, 29 }), 11016);
    for (int64_t days = -720000; days < 2932896; days += 13) {
        d = time_date(days);
        if (!time_date_valid(d) || time_days(d) != days)
            fail_msg("day %lld", (long long)days);
    }
    assert_true(time_date_valid((struct date){ 2024, 2, 29 }));
    assert_false(time_date_valid((struct date){ 2023, 2, 29 }));
    assert_false(time_date_valid((struct date){ 1900, 2, 29 }));
    assert_false(time_date_valid((struct date){ 2024, 4, 31 }));
    assert_false(time_date_valid((struct date){ 2024, 0, 1 }));
    assert_false(time_date_valid((struct date){ 2024, 13, 1 }));
    assert_false(time_date_valid((struct date){ 2024, 1, 0 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_and_dates_are_each_others_inverse),
        cmocka_unit_test(times_are_printed),
        cmocka_unit_test(times_are_parsed),
        cmocka_unit_test(other_text_is_no_time),
        cmocka_unit_test(the_calendar_agrees_with_libc),
        cmocka_unit_test(durations_are_parsed),
        cmocka_unit_test(other_text_is_no_duration),
        cmocka_unit_test(durations_are_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
