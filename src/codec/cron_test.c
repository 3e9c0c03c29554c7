/* Cron texts: what parses, and when it fires next. */
#include "codec/cron.h"

#include "base/must.h"
#include "base/test.h"
#include "base/time.h"

/* Expects the first firing after `after` to be at `want`; both RFC 3339. */
static void fires(const char *text, const char *after, const char *want)
{
    struct cron c;
    const char *what;
    int64_t from, to, next;

    if (!cron_parse(str_from(text), &c, &what))
        fail_msg("%s: %s", text, what);
    assert_true(time_parse(str_from(after), &from));
    assert_true(time_parse(str_from(want), &to));
    assert_true(cron_next(&c, from, &next));
    if (next != to)
        print_error("%s after %s: %lld, not %s\n", text, after, (long long)next, want);
    assert_int_equal(next, to);
}

static void five_fields(void **state)
{
    (void)state;
    fires("* * * * *", "2026-05-02T08:00:00Z", "2026-05-02T08:01:00Z");
    fires("* * * * *", "2026-05-02T08:00:59.999Z", "2026-05-02T08:01:00Z");
    fires("*/15 * * * *", "2026-05-02T08:46:00Z", "2026-05-02T09:00:00Z");
    fires("30 2 * * *", "2026-05-02T02:30:00Z", "2026-05-03T02:30:00Z");
    fires("0 0 1 1 *", "2026-05-02T00:00:00Z", "2027-01-01T00:00:00Z");
    fires("0 9-17/4 * * *", "2026-05-02T13:00:00Z", "2026-05-02T17:00:00Z");
    fires("5/20 8 * * *", "2026-05-02T08:06:00Z", "2026-05-02T08:25:00Z");
    fires(" 0\t12   * * ? ", "2026-05-02T13:00:00Z", "2026-05-03T12:00:00Z");
}

static void six_fields_begin_with_seconds(void **state)
{
    (void)state;
    fires("*/30 * * * * *", "2026-05-02T08:00:00Z", "2026-05-02T08:00:30Z");
    fires("*/30 * * * * *", "2026-05-02T08:00:29.999Z", "2026-05-02T08:00:30Z");
    fires("15 0 0 * * *", "2026-12-31T23:59:59Z", "2027-01-01T00:00:15Z");
}

static void names_and_lists(void **state)
{
    (void)state;
    fires("0 0 * jan,JUL *", "2026-02-01T00:00:00Z", "2026-07-01T00:00:00Z");
    fires("0 9 * * mon-fri", "2026-05-01T10:00:00Z", "2026-05-04T09:00:00Z");
    fires("0 0 * * 7", "2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z");
    fires("0 0 * * 5-7", "2026-05-02T12:00:00Z", "2026-05-03T00:00:00Z");
    fires("0 0 * * SUN", "2026-05-03T00:00:00Z", "2026-05-10T00:00:00Z");
}

/* Berlin: 29 March 2026 02:00 +01 becomes 03:00 +02; 25 October 03:00 +02 becomes 02:00 +01. */
static void zones_and_their_jumps(void **state)
{
    (void)state;
    fires("CRON_TZ=Europe/Berlin 0 3 * * *", "2026-01-10T03:00:00Z", "2026-01-11T02:00:00Z");
    fires("TZ=Europe/Berlin 0 3 * * *", "2026-07-10T03:00:00Z", "2026-07-11T01:00:00Z");
    fires("CRON_TZ=America/New_York @daily", "2026-07-10T03:00:00Z", "2026-07-10T04:00:00Z");
    fires("CRON_TZ=Asia/Kolkata 30 9 * * mon", "2026-05-02T00:00:00Z", "2026-05-04T04:00:00Z");
    fires("CRON_TZ=Europe/Berlin 0 12 1 7 *", "2050-01-01T00:00:00Z", "2050-07-01T10:00:00Z");
    fires("CRON_TZ=UTC 0 3 * * *", "2026-01-10T03:00:00Z", "2026-01-11T03:00:00Z");
    /* the hour that is left out */
    fires("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z");
    fires("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
    fires("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-29T00:59:59.500Z", "2026-03-29T01:00:00Z");
    fires("CRON_TZ=Europe/Berlin 0,30 2,3 * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z");
    fires("CRON_TZ=Europe/Berlin 0,30 2,3 * * *", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z");
    fires("CRON_TZ=Europe/Berlin 30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z");
    /* the hour that comes twice */
    fires("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
    fires("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    fires("CRON_TZ=Europe/Berlin 0 3 * * *", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z");
    fires("CRON_TZ=Europe/Berlin 30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
    fires("CRON_TZ=Europe/Berlin */20 * * * * *", "2026-10-25T00:59:40Z", "2026-10-25T01:00:00Z");
    /* Samoa left out a day: 29 December 2011 was followed by the 31st */
    fires("CRON_TZ=Pacific/Apia 0 9 * * *", "2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z");
}

static void either_day_field_suffices(void **state)
{
    (void)state;
    fires("0 0 13 * fri", "2026-05-02T00:00:00Z", "2026-05-08T00:00:00Z");
    fires("0 0 13 * fri", "2026-05-08T00:00:00Z", "2026-05-13T00:00:00Z");
}

static void leap_days(void **state)
{
    (void)state;
    fires("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
    fires("0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z");
    fires("0 0 31 * *", "2026-05-31T00:00:00Z", "2026-07-31T00:00:00Z");
}

static void words(void **state)
{
    (void)state;
    fires("@hourly", "2026-05-02T08:30:00Z", "2026-05-02T09:00:00Z");
    fires("@daily", "2026-05-02T08:30:00Z", "2026-05-03T00:00:00Z");
    fires("@weekly", "2026-05-02T08:30:00Z", "2026-05-03T00:00:00Z");
    fires("@monthly", "2026-05-02T08:30:00Z", "2026-06-01T00:00:00Z");
    fires("@Yearly", "2026-05-02T08:30:00Z", "2027-01-01T00:00:00Z");
    fires("@every 90s", "1970-01-01T00:01:30Z", "1970-01-01T00:03:00Z");
    fires("@every 1h30m", "1970-01-01T00:00:00Z", "1970-01-01T01:30:00Z");
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "",
        "*",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * 0 *",
        "* * * * 8",
        "*/0 * * * *",
        "*/x * * * *",
        "5-1 * * * *",
        "a * * * *",
        ", * * * *",
        "1, * * * *",
        "1,,2 * * * *",
        "* * * foo *",
        "-1 * * * *",
        "1- * * * *",
        "+1 * * * *",
        "@every",
        "@every 10ms",
        "@every x",
        "@never",
        "* * L * *",
        "* * * * 5#2",
        "60 * * * * *",
        "*/ * * * *",
        "0 0 31 2 *",
        "0 0 30 2 ?",
        "0 0 31 4,6 *",
        "/5 * * * *",
        "1-2-3 * * * *",
        "TZ=Mars/Phobos * * * * *",
        "TZ= * * * * *",
        "CRON_TZ=Europe/Berlin",
        "CRON_* * * * *",
        "TZ=../../etc/passwd * * * * *",
        "TZ=Europe * * * * *",
        "TZ=zone.tab * * * * *",
        "TZ=Europe/Berlin @never",
        "TZ=ABC5 * * * * *",
        "TZ=+01:00 * * * * *",
    };
    struct cron c;
    const char *what;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        what = NULL;
        if (cron_parse(str_from(bad[i]), &c, &what))
            print_error("accepted: %s\n", bad[i]);
        assert_false(cron_parse(str_from(bad[i]), &c, &what));
        assert_non_null(what);
    }
}

static void the_next_time_is_the_first_one(void **state)
{
    static const char *const texts[] = {
        "*/7 3-9/2 1-15 * *",
        "13 */5 * 2,11 mon",
        "0 0 1 * 3",
        "7 7 7 7 *",
        "CRON_TZ=America/Santiago 0 0 * * *",
        "CRON_TZ=Africa/Casablanca */25 1-3 * * *",
        "CRON_TZ=Australia/Lord_Howe */9 * * * *",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct cron c;
        const char *what;
        int64_t at = INT64_C(1777000000000), next, again;

        assert_true(cron_parse(str_from(texts[i]), &c, &what));
        for (int k = 0; k < 200; k++, at = next) {
            assert_true(cron_next(&c, at, &next));
            assert_true(next > at);
            assert_true(cron_next(&c, next - 1, &again)); /* nothing lies between */
            assert_int_equal(again, next);
            assert_true(cron_next(&c, at + (next - at) / 2 - 1, &again));
            assert_int_equal(again, next);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_fields),
        cmocka_unit_test(six_fields_begin_with_seconds),
        cmocka_unit_test(names_and_lists),
        cmocka_unit_test(either_day_field_suffices),
        cmocka_unit_test(zones_and_their_jumps),
        cmocka_unit_test(leap_days),
        cmocka_unit_test(words),
        cmocka_unit_test(refused),
        cmocka_unit_test(the_next_time_is_the_first_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
