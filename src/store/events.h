/* Rows of events: name, data and metadata are stored here and nowhere else. */
#pragma once

#include "engine/types.h"

NODISCARD err_t store_event_add(struct ctx *c, const struct event *e);
/* ERR_NOT_FOUND. */
NODISCARD err_t store_event_get(struct ctx *c, int64_t id, struct event *out);
/* The relay has numbered its message. */
NODISCARD err_t store_event_set_seq(struct ctx *c, int64_t id, int64_t seq);

/* Pages of the environment's events, newest first or oldest first, by id. Those of system streams
 * (source `system`) are left out. */
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
