/* Time zones by name ("Europe/Berlin"), from the system's tzdata (package tzdata) through GLib,
 * which is loaded when the first name is looked for. Any thread. */
#pragma once

#include "base/str.h"

struct zone;

/* NULL when there is no such zone, or no GLib to ask. A zone lives as long as the process. */
const struct zone *zone_find(str_t name);
/* Seconds that clocks of the zone are ahead of UTC at a time, in seconds since the epoch. */
int64_t zone_offset(const struct zone *z, int64_t at);
/* First second in (from, to] that belongs to another rule of the zone than `from`, or INT64_MAX. */
int64_t zone_change(const struct zone *z, int64_t from, int64_t to);
