/* What subscribers will see, recorded in the transaction that made it: topics and order of
 * spec engine-ops section 7. A record is a compact binary form of the facts; svc/messages.c also
 * renders it as topic and JSON (subscribers, tests, dumps). Payloads are not copied: events and
 * outputs are read from their rows at rendering. */
#pragma once

#include "engine/types.h"

enum run_topic {
    TOPIC_RUN_CREATED,
    TOPIC_RUN_UPDATED,
    TOPIC_RUN_RESUMED,
    TOPIC_RUN_COMPLETED,
    TOPIC_RUN_FAILED,
    TOPIC_RUN_CANCELLED
};
enum step_topic {
    TOPIC_STEP_CREATED,
    TOPIC_STEP_UPDATED,
    TOPIC_STEP_COMPLETED,
    TOPIC_STEP_FAILED,
    TOPIC_STEP_PATCHED,
    TOPIC_STEP_TIMED_OUT,
    TOPIC_STEP_INJECTED
};
enum entity_topic {
    TOPIC_FN_REGISTERED,
    TOPIC_FN_UPDATED,
    TOPIC_FN_DELETED,
    TOPIC_WORKER_CONNECTED,
    TOPIC_WORKER_DISCONNECTED,
    TOPIC_WORKER_HEALTH
};

/* Call these after the rows are written: a call that failed before its first write may not leave a
 * message behind. */

/* The position of the next message; 0 on PostgreSQL, where the relay gives it later. */
int64_t message_next_pos(const struct ctx *c);
/* events:{name}. *pos is the position given, 0 on PostgreSQL. */
NODISCARD err_t message_event(struct ctx *c, const struct event *e, int64_t *pos);
/* system.run.{id}.*; note: reason of a cancel or empty. */
NODISCARD err_t message_run(struct ctx *c, enum run_topic t, const struct run *run);
NODISCARD err_t message_run_note(struct ctx *c, enum run_topic t, const struct run *run,
                                 str_t note);
/* system.run.{id}.step.{step id}.* */
NODISCARD err_t message_step(struct ctx *c, enum step_topic t, const struct step *step, int64_t fn);
/* system.function.{id}.*, system.worker.{id}.* */
NODISCARD err_t message_entity(struct ctx *c, enum entity_topic t, str_t id);
/* system.worker.{id}.health; bits of enum worker_health. */
NODISCARD err_t message_worker_health(struct ctx *c, str_t id, int64_t health);

/* The filter of a log row: bits of the first three dot-separated tokens of its topics. A row may
 * hold messages of a topic only if it has all bits of message_filter(topic); for a pattern ask with
 * the tokens before its first wildcard. */
uint64_t message_filter(str_t topic);
/* Checks a row's records against their CRC. ERR_INTERNAL names the row's first position. */
struct log_row;
NODISCARD err_t message_row_check(struct ctx *c, const struct log_row *row);
/* Calls fn for every event record: the relay notes their positions. */
NODISCARD err_t message_each_event(struct ctx *c, str_t records,
                                   err_t (*fn)(struct ctx *c, int64_t env, int64_t id, int64_t nth,
                                               void *arg),
                                   void *arg);

/* The same records without the events for which keep answers false; *count is how many are left. */
NODISCARD err_t message_filter_events(struct ctx *c, str_t records,
                                      err_t (*keep)(struct ctx *c, int64_t env, int64_t id,
                                                    bool *out),
                                      str_t *out, int64_t *count);

/* One record of a log row as people and subscribers see it. */
struct message {
    int64_t pos, env, at_ms;
    str_t topic; /* "events:order.placed", "system.run.run_x.created" */
    str_t json;
    int64_t event_id; /* of an event, 0 otherwise */
};
/* Calls fn for each record of a log row (records blob, first position), in order, in a read
 * transaction; rendering loads what it points to. */
NODISCARD err_t message_each(struct ctx *c, str_t records, int64_t first_pos,
                             err_t (*fn)(struct ctx *c, const struct message *m, void *arg),
                             void *arg);
