/* Filter expressions over events (spec engine.md 3.4): CEL with the event bound twice, as `event`
 * and by its parts (`event.data.total > 50` and `data.total > 50`). Compiled once, shared by
 * snapshots of the registry on any thread, evaluated within a cost limit. */
#pragma once

#include "codec/cel.h"
#include "engine/types.h"

struct filter;

/* Compiles; the caller has a reference. ERR_INVALID with line, column and reason. */
NODISCARD err_t filter_new(struct ctx *c, str_t expression, struct filter **out);
struct filter *filter_ref(struct filter *f);
/* NULL is allowed. */
void filter_unref(struct filter *f);

/* An event as filters see it, made once for all of them. */
struct filter_event {
    struct cel_value vars[8];
    struct cel_entry parts[8];
    bool made;
};
/* True only when the expression is true; every fault (a missing field, a type clash, too much work)
 * is no match. e's views and c->arena must live as long as view. */
bool filter_match(struct ctx *c, const struct filter *f, const struct event *e,
                  struct filter_event *view);
