/* What a step waits for and what cancels a run: how a text of `match` becomes a row that an event
 * finds by index, and how an event answers it (spec engine-steps-flow sections 5 and 14). Pure.
 *
 * A row says with its path how it is compared:
 *   ""            any event of the name
 *   "=order.id"   the text of the scalar at this path of the event's data is its value
 *   "~order.id"   the value there, with its type, is its value: `data.order.id == "x"`
 *   "?"           only its filter tells
 * A filter is an expression (codec/cel.h) over `data`, `event`, `name`, `metadata`. */
#pragma once

#include "engine/types.h"

struct cel_program;

#define WAIT_TIMEOUT_MS (7LL * 24 * 3600 * 1000)
#define INVOKE_TIMEOUT_MS 30000
#define WAIT_MATCH_MAX 1024

struct wait_key {
    str_t event, pattern; /* one of them is empty */
    str_t path, value, filter;
};

/* A number and ms, s, m, h or d; decimals allowed. False when it is none, negative or too long. */
bool wait_timeout_parse(str_t text, int64_t *out_ms);

/* The row of a wait. match: a path or an expression, may be empty; value: JSON that is expected at
 * the path, or empty for the one in the data of the run's event. ERR_INVALID. */
NODISCARD err_t wait_key_make(struct ctx *c, str_t event, str_t match, str_t value, str_t data,
                              struct wait_key *out);
/* The row of a cancel spec. False when the run's event has nothing at its path. */
bool wait_key_cancel(struct ctx *c, const struct cancel_on *spec, str_t data, struct wait_key *out);

/* What rows with this path must have as value to be found by the event; false: none of them is. */
bool wait_value(struct ctx *c, str_t path, const struct event *e, str_t *out);
/* Does the event's name match a pattern with * and >? */
bool wait_pattern_matches(str_t pattern, str_t name);

/* Filters of many rows against one event; the last program is kept, as neighbours are often alike.
 */
struct wait_filter {
    const struct event *event;
    struct cel_program *program; /* NULL: none, or one that does not compile */
    str_t text, object;
};
/* Is the filter true for the event? An empty one is. */
bool wait_filter_holds(struct ctx *c, struct wait_filter *f, str_t filter);
void wait_filter_done(struct wait_filter *f);

/* Does a worker of this version understand failed invokes among the steps that it is sent?
 * JavaScript does from 0.30 on; one that says nothing about itself does not. */
bool invoke_failures_known(str_t sdk, str_t runtime);
/* Why an invoke has no result, as its step keeps it. child: 0 when there is none. */
str_t invoke_error_json(struct ctx *c, str_t message, str_t function_id, int64_t child,
                        str_t cause);
/* The error of a run whose worker cannot be told of a failed invoke. */
str_t invoke_run_error_json(struct ctx *c, str_t function_id, str_t step_error);
/* The error of a run and its step when an event did not come. */
str_t wait_timeout_json(struct ctx *c, str_t step_name, str_t event);
/* The text `message` of an error document; empty when it has none. */
str_t error_message(struct ctx *c, str_t error);

/* The event as handlers see it: {"id","name","data","timestamp","version","source","metadata"}. */
str_t event_object_json(struct ctx *c, const struct event *e);
