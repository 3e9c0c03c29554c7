/* A line between the servers of one PostgreSQL: a connection of its own over which they call each
 * other, and which owns names for as long as it lives. One thread at a time. An error other than
 * ERR_UNAVAILABLE at opening means that the line is lost: close it and open another. */
#pragma once

#include "db/db.h"

struct db_line;

/* Bytes that may be said at once. */
enum { DB_LINE_TEXT_MAX = 7900 };

/* Connects and listens. */
NODISCARD err_t db_line_open(struct ctx *c, struct db *d, const char *channel,
                             struct db_line **out);
void db_line_close(struct db_line *l);
/* The server gives a pair of numbers to one line at a time; *mine is false when another has it.
 * Owned until the line is closed or lost. */
NODISCARD err_t db_line_own(struct ctx *c, struct db_line *l, int32_t kind, int32_t name,
                            bool *mine);
/* How many names of a kind are owned by somebody. */
NODISCARD err_t db_line_owned(struct ctx *c, struct db_line *l, int32_t kind, int64_t *out);
/* What the clock of the database shows, in milliseconds since the epoch. */
NODISCARD err_t db_line_clock(struct ctx *c, struct db_line *l, int64_t *out);
/* To everybody who listens; it may be lost. */
NODISCARD err_t db_line_say(struct ctx *c, struct db_line *l, str_t text);
/* The next thing that another line said, in c->arena; empty when wait_ms passed or wake_fd is
 * readable. */
NODISCARD err_t db_line_hear(struct ctx *c, struct db_line *l, int wake_fd, int64_t wait_ms,
                             str_t *out);
