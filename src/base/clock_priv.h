/* The rule by which the system clock follows the wall clock, apart from the reading. */
#pragma once

#include <stdint.h>

#define CLOCK_NO_ANCHOR INT64_MIN

/* The difference between wall and boot clock to go on with: the old one, or the present one at the
 * first call and after a jump forward of a second or more. */
int64_t clock_anchor(int64_t anchor, int64_t wall_ms, int64_t boot_ms);
