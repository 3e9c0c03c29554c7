/* Pages of the environment's events, newest first or oldest first, by id. The events of system
 * streams (source `system`) are left out. */
#pragma once

#include "db/db.h"
#include "engine/types.h"

struct event_range {
    int64_t from, to; /* ids: from inclusive, to exclusive */
    str_t name;       /* empty: all */
    str_t sources;    /* comma list, empty: all */
    bool ascending;
    size_t bytes_max; /* of payloads; 0: any */
};
/* Up to limit events. cut: the page was ended behind the event with which it reached bytes_max. */
NODISCARD err_t store_events_page(struct ctx *c, const struct event_range *f, int64_t limit,
                                  struct event **out, size_t *n, bool *cut);
