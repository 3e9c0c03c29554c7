/* Admission before readiness: a run of a function with a limit passes lanes before it may be
 * claimed. A lane counts whom it admitted; whoever finds no room waits in it, first in, first out,
 * and whoever leaves makes room for the next (spec engine-steps-flow 12 and 13). Pure: svc/flow
 * loads and stores the rows. */
#pragma once

#include "engine/types.h"

/* Bits of job.holds. A run takes a slot of its actor first, then one of its lane, so that nobody
 * who waits for an actor keeps others of the lane waiting. */
enum lane_kind { LANE_NONE = 0, LANE_ACTOR = 1, LANE_LIMIT = 2 };

#define LANE_UNLIMITED INT64_MAX

struct lane {
    int64_t fn, key;  /* key: lane_key */
    int64_t admitted; /* queue rows that hold a slot */
    int64_t waiting;  /* queue rows that wait in it */
    int64_t cap;      /* the limit as the lane saw it last */
    int64_t worker;   /* an actor's owner, 0: none */
};

/* The value at a path of the event's data, which may also be written data.<path> or
 * event.data.<path>. An absent value, null and an absent path are empty. */
str_t flow_value(struct ctx *c, str_t data, str_t path);
/* Never 0; equal values of one kind have one key, others practically never. */
int64_t lane_key(enum lane_kind kind, str_t value);
/* Which lanes a new run of f passes: sets run->actor, job->actor and job->lane. */
void lane_assign(struct ctx *c, const struct function *f, str_t data, struct run *run,
                 struct job *job);
/* The limit of a lane of f; f is NULL when it is unknown. */
int64_t lane_limit(const struct function *f, enum lane_kind kind);

/* The lane that the job needs next before it may run; LANE_NONE: it has all. */
enum lane_kind lane_missing(const struct job *job);
int64_t lane_of(const struct job *job, enum lane_kind kind);
/* Must the job have its slots in this state? */
bool lane_wanted(const struct job *job, bool ended);

/* A newcomer: takes a slot or stands in line (then false). */
bool lane_enter(struct lane *l, struct job *job, enum lane_kind kind);
/* A newcomer that does not wait: takes a slot if there is one. */
bool lane_try(struct lane *l, struct job *job, enum lane_kind kind);
/* Gives the slot back. */
void lane_leave(struct lane *l, struct job *job, enum lane_kind kind);
/* Leaves the line without a slot. */
void lane_abandon(struct lane *l, struct job *job);
/* How many of those who wait may have a slot now. */
int64_t lane_room(const struct lane *l);
/* One that waits gets its slot. */
void lane_admit(struct lane *l, struct job *job, enum lane_kind kind);
/* Nobody needs the row any more. */
bool lane_idle(const struct lane *l);
