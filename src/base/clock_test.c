/* The system clock against the wall, its jumps, and the virtual clock. */
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock_priv.h"
#include "base/test.h"

static void the_system_clock_shows_the_wall(void **state)
{
    struct timespec ts;
    int64_t wall;

    (void)state;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &ts), 0);
    wall = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    assert_true(llabs(clock_now(clock_system()) - wall) < 60000);
}

static void the_system_clock_does_not_go_back(void **state)
{
    int64_t last = clock_now(clock_system());

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_now(clock_system());

        assert_true(now >= last);
        last = now;
    }
}

static void small_differences_are_not_followed(void **state)
{
    (void)state;
    assert_int_equal(clock_anchor(CLOCK_NO_ANCHOR, 10000, 4000), 6000);
    assert_int_equal(clock_anchor(6000, 10999, 4000), 6000);
    assert_int_equal(clock_anchor(6000, 9001, 4000), 6000);
}

static void jumps_forward_are_followed(void **state)
{
    (void)state;
    assert_int_equal(clock_anchor(6000, 11000, 4000), 7000);
}

static void jumps_back_are_not_followed(void **state)
{
    (void)state;
    assert_int_equal(clock_anchor(6000, 9000, 4000), 6000);
    assert_int_equal(clock_anchor(6000, 10000 - 3600000, 4000), 6000);
}

static void an_epoch_lasts_until_a_jump(void **state)
{
    struct clock c;

    (void)state;
    assert_true(clock_epoch(clock_system()) > 0);
    assert_true(clock_epoch(clock_system()) == clock_epoch(clock_system()));
    clock_init_virtual(&c, 1234);
    assert_int_equal(clock_epoch(&c), 1);
    c.virtual_jumps++;
    assert_int_equal(clock_epoch(&c), 2);
}

static void the_wall_is_what_it_shows(void **state)
{
    struct clock c;

    (void)state;
    assert_true(llabs(clock_wall(clock_system()) - clock_now(clock_system())) < 60000);
    clock_init_virtual(&c, 1234);
    assert_int_equal(clock_wall(&c), 1234);
}

static void a_virtual_clock_shows_what_it_is_told(void **state)
{
    struct clock c;

    (void)state;
    clock_init_virtual(&c, 1234);
    assert_int_equal(clock_now(&c), 1234);
    c.virtual_ms += 10;
    assert_int_equal(clock_now(&c), 1244);
}

static void durations_do_not_go_back(void **state)
{
    int64_t before = clock_mono_ns();

    (void)state;
    assert_true(clock_mono_ns() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_clock_shows_the_wall),
        cmocka_unit_test(the_system_clock_does_not_go_back),
        cmocka_unit_test(small_differences_are_not_followed),
        cmocka_unit_test(jumps_forward_are_followed),
        cmocka_unit_test(jumps_back_are_not_followed),
        cmocka_unit_test(an_epoch_lasts_until_a_jump),
        cmocka_unit_test(the_wall_is_what_it_shows),
        cmocka_unit_test(a_virtual_clock_shows_what_it_is_told),
        cmocka_unit_test(durations_do_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
