/* What the files of the metrics share. */
#pragma once

#include "base/buf.h"
#include "svc/meters.h"

/* The HELP and TYPE lines of a metric. */
void metrics_head(struct buf *b, const char *name, const char *type, const char *help);
/* name="value" with backslash, quote and newline escaped. */
void metrics_label(struct buf *b, const char *name, str_t value);

/* Runs, steps and workers. */
void metrics_report(struct buf *b, const struct meter_report *r);

/* Events emitted through this process by environment and name. Any thread, without a lock. */
struct event_counts;
struct event_counts *event_counts_new(void);
void event_counts_free(struct event_counts *e);
void event_counts_add(struct event_counts *e, str_t env_id, str_t name);
void event_counts_print(struct buf *b, struct event_counts *e);
