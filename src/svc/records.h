/* The binary form of the messages inside a log row: a version byte and the time, then one record
 * after the other. Shared by messages.c (writes, walks) and messages_render.c (topic and JSON). */
#pragma once

#include "svc/messages.h"

#define RECORDS_VERSION 1

enum record_kind { RECORD_EVENT = 1, RECORD_RUN, RECORD_STEP, RECORD_ENTITY };

struct record {
    enum record_kind kind;
    int64_t env;
    uint8_t topic;  /* enum run_topic, step_topic or entity_topic */
    uint8_t status; /* run or step */
    uint8_t pause_reason;
    int64_t id;  /* event, run or step */
    int64_t run; /* of a step */
    int64_t fn;  /* of a run or step */
    str_t text;  /* note of a run, id of an entity */
};

/* Walks the records of a row; they come from disk, so every length is checked. */
struct record_reader {
    const uint8_t *at, *end;
    int64_t at_ms;
};
/* False when the row has no known version. */
bool records_open(struct record_reader *r, str_t records);
/* 1: a record, 0: the end, -1: malformed. */
int records_next(struct record_reader *r, struct record *out);
/* "system.run.{id}.created" and so on: the last token. */
str_t run_topic_word(enum run_topic t);
str_t step_topic_word(enum step_topic t);
