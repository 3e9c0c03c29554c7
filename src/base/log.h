/* Structured logging on stderr: JSON lines for serve, text for the CLI. Any thread. A line is one
 * write(2). Fields are name and value pairs in printf style:
 *   log_info("server started", "port=%d db=%s", port, path);
 * Values with blanks are quoted by the caller's format ("name=\"%s\""). */
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_FATAL };

/* Set once at start, before threads. */
void log_setup(enum log_level level, bool json);
/* "debug" and so on, without case; false on another word. */
bool log_level_parse(str_t s, enum log_level *out);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(msg, ...)                                                                        \
    (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, (msg), __VA_ARGS__) : (void)0)
#define log_info(msg, ...) log_write(LOG_INFO, (msg), __VA_ARGS__)
#define log_warn(msg, ...) log_write(LOG_WARN, (msg), __VA_ARGS__)
#define log_error(msg, ...) log_write(LOG_ERROR, (msg), __VA_ARGS__)
