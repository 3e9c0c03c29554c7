/* What subscribers will see, recorded in the transaction that made it: topics and order of
 * spec engine-ops section 7. A record is a compact binary form of the facts; svc/messages.c also
 * renders it as topic and JSON (subscribers, tests, dumps). Payloads are not copied: events and outputs
 * are read from their rows at rendering. */
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
    TOPIC_STEP_PATCHED
};
enum entity_topic { TOPIC_FN_REGISTERED, TOPIC_FN_UPDATED, TOPIC_FN_DELETED,
                    TOPIC_WORKER_CONNECTED, TOPIC_WORKER_DISCONNECTED };

/* events:{name}. *pos is the position given, 0 on PostgreSQL (the relay gives it later). */
NODISCARD err_t message_event(struct ctx *c, const struct event *e, int64_t *pos);
NODISCARD err_t message_run(struct ctx *c, enum run_topic t, const struct run *run);
NODISCARD err_t message_step(struct ctx *c, enum step_topic t, const struct step *step, int64_t fn);
NODISCARD err_t message_entity(struct ctx *c, enum entity_topic t, str_t id);

/* One record of a log row as people and subscribers see it. */
struct message {
    int64_t pos, env, at_ms;
    str_t topic; /* "events:order.placed", "system.run.run_x.created" */
    str_t json;
};
/* Calls fn for each record of a log row (records blob, first position), in order, in a read
 * transaction; rendering loads what it points to. */
NODISCARD err_t message_each(struct ctx *c, str_t records, int64_t first_pos,
                             err_t (*fn)(struct ctx *c, const struct message *m, void *arg),
                             void *arg);
