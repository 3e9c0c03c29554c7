/* Ids that we make: 64 bits (42 milliseconds since 2020, 10 node slot, 12 counter), always
 * positive, growing in one process; at the edge `prefix_` and 13 characters of lower-case Crockford
 * base32, so that text order is time order. */
#pragma once

#include "base/str.h"

struct buf;

enum id_kind { ID_RUN, ID_EVENT, ID_STEP, ID_JOB, ID_OUTBOX, ID_AUDIT, ID_KIND_COUNT };

struct id_gen {
    int64_t last; /* highest id given out */
    int64_t slot; /* 0 to 1023 */
};

#define ID_TEXT_MAX 24

/* The next id at or after now_ms; a clock that went back does not matter. One thread at a time. */
int64_t id_next(struct id_gen *g, int64_t now_ms);
/* Milliseconds since the Unix epoch inside an id. */
int64_t id_ms(int64_t id);
/* Lowest id of a millisecond, for range queries by time. */
int64_t id_from_ms(int64_t ms);
/* "run_06b8...", in the arena or appended. */
str_t id_text(struct arena *a, enum id_kind kind, int64_t id);
void id_print(struct buf *b, enum id_kind kind, int64_t id);
/* False unless s is exactly such a text of this kind. */
bool id_parse(enum id_kind kind, str_t s, int64_t *out);
