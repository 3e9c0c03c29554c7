/* The aggregates of the engine as values: what store/ loads and saves and what the rules work on.
 * Views point into the arena of the call. Times are milliseconds, 0 where unset. */
#pragma once

#include "base/ctx.h"

/* Numbers are those of the protobuf contract and of the database. */
enum run_status {
    RUN_RUNNING = 2,
    RUN_COMPLETED = 3,
    RUN_FAILED = 4,
    RUN_CANCELLED = 5,
    RUN_PAUSED = 6,
    RUN_PENDING = 7, /* waiting_for_capacity on RPC, pending everywhere else */
    RUN_WAITING = 8, /* behind a retry delay or in the recovery grace */
    RUN_STATUS_COUNT
};

enum pause_reason { PAUSE_NONE, PAUSE_SLEEP, PAUSE_WAIT_EVENT, PAUSE_INJECTION };

enum step_status {
    STEP_PENDING = 1,
    STEP_RUNNING = 2,
    STEP_COMPLETED = 3,
    STEP_FAILED = 4,
    STEP_SLEEPING = 5,
    STEP_WAITING = 6,
    STEP_TIMED_OUT = 7,
    STEP_STATUS_COUNT
};

enum step_type {
    STEP_INVOKE = 1,
    STEP_SLEEP = 2,
    STEP_WAIT_FOR_EVENT = 3,
    STEP_COMPENSATE = 4,
    STEP_INVOKE_FUNCTION = 5,
    STEP_TYPE_COUNT
};

enum exec_mode { MODE_PUSH = 1, MODE_PULL = 2 };
enum fn_status { FN_ACTIVE = 1, FN_PAUSED = 2, FN_ARCHIVED = 3 };

struct event {
    int64_t id; /* its time is id_ms(id) */
    str_t name;
    str_t data;     /* JSON, never empty */
    str_t metadata; /* JSON object or empty */
    int64_t version;
    str_t source; /* "api", "cron", "webhook", "system" */
    str_t idempotency_key;
    int64_t run_id; /* the run that emitted it, or 0 */
    int64_t seq;    /* position on the log, 0 until numbered */
    str_t entity_id, entity_type;
    int64_t entity_version;
};

struct run {
    int64_t id; /* created at id_ms(id) */
    int64_t fn; /* function key */
    int64_t event_id;
    enum run_status status;
    enum exec_mode mode;
    int64_t attempt, max_attempts, fn_version;
    str_t worker, actor;
    str_t output; /* JSON or empty */
    str_t error;  /* JSON object {message, code, ...} or empty */
    bool pause_requested;
    enum pause_reason pause_reason;
    str_t cancellation_cause;
    int64_t parent_run;
    str_t parent_step;
    int64_t started_at, ended_at, updated_at;
    int64_t execution_seq, token; /* of the segment that ended it */
    int64_t recording; /* 0: not; -1: for good; else ms for which its trail outlives its end */
    str_t resume_from; /* the step from which it was resumed last */
};

/* JOB_LANED: waits for room in a lane, where no claim sees it. */
enum job_state { JOB_READY, JOB_CLAIMED, JOB_PARKED, JOB_LANED };

/* What a worker's final report of a segment said; JOB_OPEN while there is none. */
enum job_report {
    JOB_OPEN,
    JOB_REPORTED_COMPLETED,
    JOB_REPORTED_FAILED,
    JOB_REPORTED_YIELDED,
    JOB_REPORTED_PAUSED /* no report: an operator's pause ended the segment */
};

/* What others have to do with an open run. */
enum job_watch {
    WATCH_ROWS = 1,     /* has rows in waits: they go when it ends */
    WATCH_PARENT = 2,   /* a step of another run waits for its end */
    WATCH_CATCHES = 4,  /* who yielded last can be told of failed invokes */
    WATCH_PAUSE = 8,    /* an operator wants it paused at the next step boundary */
    WATCH_RESUMED = 16, /* ready or laned: its run says running already */
    WATCH_RECORDED = 32 /* what happens to it goes into the audit trail */
};

/* The queue row of an open run: its current segment. */
struct job {
    int64_t run_id, fn;
    enum job_state state;
    int64_t ready_at; /* ready: since when; parked: until when */
    int64_t lease_until;
    int64_t execution_seq; /* 0 before the first dispatch */
    int64_t token;
    int64_t worker; /* worker key */
    bool acked;
    enum job_report reported;
    int64_t step_next;
    int64_t wait_step; /* parked by a yield: the step that it waits for, 0: none */
    int64_t watch;     /* bits of enum job_watch */
    /* flow control, engine/lane.h; all 0 for a function without limits */
    int64_t lane, actor; /* keys of the lanes that it passes, 0: none */
    int64_t waits;       /* laned: the one of them that has no room */
    int64_t holds;       /* bits of enum lane_kind: where it has a slot */
    int64_t bound;       /* ready: only this worker may take it, 0: any */
};

struct step {
    int64_t id, run_id;
    str_t step_id; /* as the SDK made it */
    str_t name;
    enum step_type type;
    int64_t sequence;
    enum step_status status;
    str_t input, output, error; /* JSON or empty */
    int64_t attempt, duration_ms, started_at, ended_at;
    int64_t wake_at; /* sleeping: when; waiting: until when; 0: a run failed with this invoke */
    str_t original_output;
    int64_t patched_at;
    str_t patched_by;
    str_t compensation_for;
    int64_t event_ref; /* its output is this event as an object; store/steps fills output */
    int64_t child_run; /* run that an invoke started */
};

enum timer_kind {
    TIMER_SLEEP = 1,
    TIMER_RETRY = 2,
    TIMER_GRACE = 3,
    TIMER_WAIT = 4, /* an event did not come */
    TIMER_CHILD = 5 /* an invoked run did not end */
};

struct timer {
    int64_t due, id, env;
    enum timer_kind kind;
    int64_t run_id, execution_seq, step; /* step: record id of the sleep */
};

enum worker_health {
    WORKER_UNHEALTHY = 1, /* no sign of life for a while */
    WORKER_DRAINING = 2,  /* it takes no more jobs */
};
struct worker {
    int64_t key;
    str_t id, hostname;
    str_t functions; /* JSON array of function ids */
    int64_t max_jobs;
    str_t labels; /* JSON object */
    str_t sdk, runtime;
    int64_t transport; /* 1 rest, 2 stream */
    int64_t session;   /* the stream that registered it last, 0: none */
    int64_t health;    /* bits of enum worker_health */
    int64_t registered_at, last_seen;
};

struct retry_policy {
    int64_t max_attempts, initial_delay_ms, max_delay_ms;
    double backoff_factor;
};

struct filter;

struct trigger {
    str_t event, expression, cron;
    struct filter *filter; /* of the expression, in a registry: engine/filter.h */
};

/* Zeros: none. Keys are paths into the data of the event. */
struct concurrency {
    int64_t limit;
    str_t key;
};
struct debounce {
    int64_t period_ms, max_wait_ms;
    str_t key;
};

/* A run ends when a later event has the value at match that its own event had. */
struct cancel_on {
    str_t event, match;
};

/* A registered function, decoded. */
struct function {
    int64_t key;
    str_t id, name, description;
    int64_t version;
    enum fn_status status;
    enum exec_mode mode;
    struct trigger *triggers;
    size_t triggers_n;
    struct cancel_on *cancel_on;
    size_t cancel_on_n;
    struct retry_policy retry;
    str_t config; /* canonical JSON of the whole configuration (RegisterFunctionRequest shape) */
    struct concurrency concurrency;
    struct debounce debounce;
    str_t actor_key;
    str_t endpoint; /* push */
    bool invoked, deleted, recording;
    int64_t recording_ms; /* for which a trail outlives its run; 0: for good */
    int64_t created_at, updated_at;
};
