/* The formatting of log lines, apart from the writing. */
#pragma once

#include "base/buf.h"
#include "base/log.h"
#include "base/must.h"

struct log_line {
    int64_t time_ms;
    enum log_level level;
    str_t msg, fields;
};

/* Takes the next field from the front of rest; false at the end. Text that is no field is named
 * "text". */
bool log_field_next(str_t *rest, str_t *name, str_t *value);
/* Append one line with its newline. */
void log_format_json(struct buf *b, const struct log_line *line);
void log_format_text(struct buf *b, const struct log_line *line, bool colour);
