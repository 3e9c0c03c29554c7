/* Zones of the system's tzdata. */
#include "base/zone.h"

#include "base/must.h"
#include "base/test.h"
#include "base/time.h"

static int64_t at(int64_t year, unsigned month, unsigned day, int64_t hour)
{
    return time_days((struct date){ year, month, day }) * 86400 + hour * 3600;
}

static void names_are_those_of_tzdata(void **state)
{
    static const char *const none[] = {
        "",         "Mars/Phobos",    "europe/berlin",       "Europe", "+1",
        "zone.tab", "Europe/Berlin/", "../../../etc/passwd", "ABC5",   "Europe Berlin",
    };
    const struct zone *z = zone_find(S("Europe/Berlin"));

    (void)state;
    assert_non_null(z);
    assert_ptr_equal(zone_find(S("Europe/Berlin")), z);
    assert_non_null(zone_find(S("UTC")));
    assert_ptr_not_equal(zone_find(S("America/New_York")), z);
    for (size_t i = 0; i < COUNT_OF(none); i++)
        if (zone_find(str_from(none[i])) != NULL)
            fail_msg("%s", none[i]);
}

static void offsets_change_with_the_seasons(void **state)
{
    const struct zone *berlin = zone_find(S("Europe/Berlin"));
    const struct zone *kathmandu = zone_find(S("Asia/Kathmandu"));

    (void)state;
    assert_int_equal(zone_offset(berlin, at(2026, 1, 1, 0)), 3600);
    assert_int_equal(zone_offset(berlin, at(2026, 7, 1, 0)), 7200);
    assert_int_equal(zone_offset(berlin, at(2026, 3, 29, 1) - 1), 3600);
    assert_int_equal(zone_offset(berlin, at(2026, 3, 29, 1)), 7200);
    assert_int_equal(zone_offset(berlin, at(2060, 7, 1, 0)), 7200);
    assert_int_equal(zone_offset(kathmandu, at(2026, 1, 1, 0)), 20700);
    assert_int_equal(zone_offset(zone_find(S("UTC")), at(2026, 7, 1, 0)), 0);
}

static void the_first_change_is_found(void **state)
{
    const struct zone *berlin = zone_find(S("Europe/Berlin"));
    int64_t spring = at(2026, 3, 29, 1), autumn = at(2026, 10, 25, 1);

    (void)state;
    assert_int_equal(zone_change(berlin, at(2026, 1, 1, 0), at(2026, 12, 31, 0)), spring);
    assert_int_equal(zone_change(berlin, spring - 1, spring), spring);
    assert_int_equal(zone_change(berlin, spring, at(2026, 12, 31, 0)), autumn);
    assert_true(zone_change(berlin, spring, autumn - 1) == INT64_MAX);
    assert_true(zone_change(berlin, autumn, autumn) == INT64_MAX);
    assert_true(zone_change(zone_find(S("UTC")), 0, autumn) == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_tzdata),
        cmocka_unit_test(offsets_change_with_the_seasons),
        cmocka_unit_test(the_first_change_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
