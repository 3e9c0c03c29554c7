/* A simulator: the real engine, services, txn (one thread), jobs and SQLite under a virtual clock,
 * with seeded actors and seeded crashes, beside a model of what was acknowledged. One seed decides
 * everything. The first contradiction between model and engine is a violation: it is printed with
 * the seed and the last events, and ends the run. One thread owns all of it. */
#pragma once

#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "db/db.h"
#include "engine/types.h"
#include "svc/app.h"
#include "svc/events.h"
#include "svc/workers.h"
#include "txn/txn.h"

enum {
    SIM_FNS = 7,
    SIM_HELD = 4, /* the function that is debounced and has a schedule; it is never paused */
    SIM_PUSH = 5, /* one with an endpoint */
    SIM_FLIP = 6, /* one that has an endpoint in its first variant */
    SIM_WORKERS = 6,
    SIM_STREAMERS = 2, /* workers on streams */
    SIM_HOLDS = 6,     /* jobs a worker takes at most */
    SIM_GHOSTS = 48,   /* lost holds that may still report */
    SIM_KEYS = 4096,
    SIM_STEPS_MAX = 5, /* steps of a handler */
    SIM_NOTES = 50,
    SIM_BATCH = 3,
    SIM_LATE = 8, /* claims whose return comes late */
};

#define SIM_URL "http://push/" /* and the number of the function */

enum sim_crash { SIM_KILL, SIM_POWER };

struct sim_opts {
    uint64_t seed;
    int64_t steps;
    enum sim_crash crash;
    enum db_durability durability;
    int commits_per_crash; /* on average; 0: no crashes */
    bool verbose;
};

struct sim_totals {
    int64_t emits, acks, progress, finals, cancels, steps_frozen; /* acknowledged */
    int64_t unknown;                                              /* calls without an answer */
    int64_t crashes, restarts, faults, runs, commits, messages;
    int64_t pauses, resumes, changes, trails; /* operators; recorded runs */
    int64_t woken, late, children, stopped; /* waits by event or deadline, invokes, cancel specs */
    int64_t requests, answers, refusals;    /* to endpoints, and what came back */
    int64_t opened, probes;                 /* breakers */
    int64_t streams, sent, told;            /* jobs and cancels on streams */
    int64_t kept, dropped, torn;            /* unsynced writes at power cuts */
    uint64_t digest;                        /* of all notes: equal for equal seeds */
};

/* ---- the model: what was acknowledged
 * ------------------------------------------------------------ */

struct m_step {
    struct m_step *next;
    str_t id;
    str_t output; /* once frozen */
    bool frozen;  /* a completed report was acknowledged, or it was handed out as completed */
    int64_t mark; /* of the event of its child; 0: it invokes nothing */
    int64_t wake_at, seen;
};

struct m_run {
    int64_t id, fn;      /* fn: index, -1 while unknown */
    bool acked;          /* an emit answered with it */
    bool created, ended; /* by the messages */
    int64_t ended_at;    /* turn in which they were read */
    enum run_status status;
    int64_t runnings;            /* messages that say running */
    int64_t seq_max;             /* highest segment handed to a worker that heard of it */
    int64_t held_until;          /* nobody else may get it before */
    int64_t not_before;          /* sleep or retry: not before */
    int64_t attempt_min, unsure; /* unsure: failure reports without an answer */
    int64_t cancelled;           /* turn in which a cancel was acknowledged */
    int64_t operators, operated; /* operators' calls under way; turn of the last that was */
    bool resumed, rerun;         /* perhaps: at all, and from a step on */
    bool held;                   /* paused for injection, by its messages */
    bool hashed;
    int64_t state;               /* of its job when all was idle */
    bool admitted;               /* since then, from a line or from nowhere */
    int64_t ready_at, ready_seq; /* in the line when all was idle; 0: it was not */
    int64_t seen;                /* last scan that found its row */
    uint64_t hash;               /* of the whole row and its steps, once terminal */
    struct m_step *steps;
};

/* What an emit asked for, by its mark, which stands in the data. */
struct m_emit {
    int64_t mark, key; /* key: 0 none */
    bool acked;
    bool spoiled;           /* its call fails after it wrote: nothing of it may be seen */
    const struct m_run *by; /* it is the event of a child of this run */
    int64_t event_id, seen;
};

struct m_key {
    bool acked;
    int64_t seen;
    int64_t event_id;
    int64_t *runs;
    size_t runs_n;
};

struct m_fn {
    int64_t key;
    enum fn_status status;
    struct retry_policy retry;
    int64_t changed; /* turn */
    int variant;
};

/* ---- actors
 * --------------------------------------------------------------------------------------- */

/* A job as its worker sees it. */
struct hold {
    struct m_run *run;
    int64_t seq, attempt, max_attempts;
    str_t token, job_id, worker;
    uint32_t done;    /* steps known to be completed, by bit */
    uint32_t pending; /* executed and not yet reported */
    bool acked, busy;
    bool final_sent; /* `final` has been sent: only it may be sent again */
    struct report final;
    uint32_t final_steps;
    bool mine; /* it had the run when all was idle last */
};

struct sim_streamer {
    char id[24];
    struct link *link; /* streams.c; NULL: not connected */
    struct hold *holds[SIM_HOLDS];
    int holds_n;
};

struct op;

struct sim_worker {
    char id[24];
    bool alive, registered;
    int incarnation;
    struct op *poll;
    struct hold *holds[SIM_HOLDS];
    int holds_n;
};

enum op_kind {
    OP_REGISTER_FN,
    OP_STATUS,
    OP_EMIT,
    OP_INVOKE,
    OP_BATCH,
    OP_SPOIL,
    OP_WORKER,
    OP_POLL,
    OP_RELEASE,
    OP_ACK,
    OP_REPORT,
    OP_BEAT,
    OP_CANCEL,
    OP_WAIT,
    OP_PAUSE,
    OP_RESUME,
    OP_CHANGE,
    OP_RESET,
};

/* One call and what it is about. */
struct op {
    struct call call;
    struct arena arena;
    struct sim *s;
    enum op_kind kind;
    int64_t no;
    int fn, variant;
    enum fn_status status;
    struct emit emits[SIM_BATCH];
    int64_t marks[SIM_BATCH], keys[SIM_BATCH];
    struct emitted out[SIM_BATCH];
    size_t n;
    struct sim_worker *worker;
    int incarnation;
    str_t worker_id;
    struct claim *claims;
    size_t claims_n;
    struct assignment *jobs;
    bool discard; /* the poll's client is gone: its claims go back */
    struct hold *hold;
    struct fence fence;
    str_t job_id;
    struct report report;
    uint32_t step_bits;
    bool repeat, has_list;
    str_t list[SIM_HOLDS];
    struct m_run *run;
    struct run row;
    int64_t *ids, deadline;
    size_t ids_n;
    struct run *rows;
    bool ended_all, now;
};

/* What an endpoint gets, from its request or message. */
struct handed_step {
    str_t id, output;
};
struct handed {
    struct m_run *run;
    int64_t seq, attempt, max_attempts, lease_ms;
    struct handed_step steps[SIM_STEPS_MAX];
    size_t steps_n;
};

/* A function with an endpoint, when all was idle last, and what happened since. */
struct push_seen {
    int64_t at;
    int64_t state, until; /* of its breaker */
    int64_t sent, answered;
    bool reset; /* perhaps, by an operator */
    bool down;  /* the endpoint */
};

/* ---- the whole
 * ------------------------------------------------------------------------------------ */

struct sim {
    struct sim_opts o;
    struct rng rng;
    struct arena keep; /* the model */
    int64_t step;
    bool failed;
    char why[600];
    char notes[SIM_NOTES][200];
    int64_t notes_n;
    struct sim_totals totals;

    /* world.c */
    char dir[64], path[96];
    struct clock clock;
    struct app app;
    struct db *db;
    struct db_conn *writer, *reader;
    struct txn *txn;
    struct jobs *jobs;
    struct loop *loop; /* drained here, never run */
    struct push *push;
    struct arena scratch; /* of reads and of ctx */
    struct ctx c;
    bool open, down, stopping, commit_hit;
    bool closing;       /* nothing new is begun: it is about to stop */
    bool faulty;        /* the database may fail a call now */
    int64_t fault_at;   /* the call that will fail; 0: none */
    int64_t late_until; /* a job that met a fault waits that long */
    int64_t crash_in;   /* commits until the next crash */
    bool crash_before;
    struct vec ops;  /* under way */
    int64_t settled; /* turn in which all began to come to rest */
    int64_t ops_made, finals_made;
    int64_t flipped; /* calls made when SIM_FLIP was registered last */

    /* model */
    struct map runs;  /* struct m_run by id */
    struct vec order; /* the same in order of discovery */
    struct vec emits; /* struct m_emit by mark - 1 */
    struct m_key *keys;
    struct map step_rows; /* record id to struct m_step_row of check_log.c */
    struct m_fn fns[SIM_FNS];
    int64_t next_pos, render_pos; /* of the log */
    int64_t scans, turn;
    int64_t open_runs;
    int64_t checked; /* commits and crashes when the tables were looked at last */

    struct sim_worker workers[SIM_WORKERS];
    struct sim_streamer streamers[SIM_STREAMERS];
    struct vec links; /* struct link */
    struct api *api;
    struct hold *ghosts[SIM_GHOSTS];
    int64_t ghosts_n;
    struct claim late[SIM_LATE];
    int64_t late_n;
    int64_t keys_used;
    bool draining;

    /* endpoint.c */
    struct vec requests; /* struct request */
    struct push_seen push_seen[SIM_FNS];
    int64_t tick_at;
    struct vec outcomes; /* model.c: struct outcome */
};

/* Runs one seed. False on a violation, which s->why and the notes describe. */
bool sim_run(const struct sim_opts *o, struct sim_totals *totals, char *why, size_t why_max);

/* The first contradiction; later ones are ignored. */
void violation(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of the story. */
void note(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool chance(struct sim *s, int percent);
int64_t pick(struct sim *s, int64_t n);

/* world.c: the process under test. */
struct sim *sim_of(void *app);
void world_make(struct sim *s);
void world_free(struct sim *s);
/* Runs what waits until nothing does, then checks; after a crash, starts again and checks it all.
 */
void world_settle(struct sim *s);
/* Stops and starts in good order. */
void world_restart(struct sim *s);
/* A crash now. */
void world_crash(struct sim *s);
/* A read transaction of the checks; the result lives until db_read_end. */
struct ctx *read_begin(struct sim *s);
void read_end(struct sim *s);
/* A query of the checks, read with db_row. An error is a violation; false: nothing to close. */
bool rows_open(struct sim *s, const struct sql *q, struct db_args args, struct db_rows *r);
void rows_close(struct sim *s, struct db_rows *r);
/* The one number that a query answers; 0 after a violation. */
int64_t rows_number(struct sim *s, const struct sql *q, struct db_args args);
/* A call on its way; NULL arena members are made. */
struct op *op_new(struct sim *s, enum op_kind kind);
void op_submit(struct op *op, enum call_kind kind, err_t (*run)(struct ctx *c));

/* actors.c: limits of concurrency by function and variant, 0: none. */
extern const int64_t sim_limits[SIM_FNS][2];
/* check_flow.c: lanes and actors, in a read. Idle: also that nobody waits beside room. */
void check_flow(struct sim *s);
/* Bursts and ticks that are due, in a read. */
void check_due(struct sim *s);
void check_flow_end(struct sim *s);
/* An event is held back: its run is still to come. */
bool check_flow_held(struct sim *s);

/* actors.c, worker.c: somebody does something. */
void actors_init(struct sim *s);
void actor_step(struct sim *s);
void op_reply(struct sim *s, struct op *op);
void op_unknown(struct sim *s, struct op *op);
void worker_step(struct sim *s, struct sim_worker *w);
void ghost_step(struct sim *s);
/* Its holder will not hear of it any more, but may still speak of it. */
void hold_lose(struct sim *s, struct hold *h);
void worker_reply(struct sim *s, struct op *op);
void worker_unknown(struct sim *s, struct op *op);
/* After a restart: learns what the functions are now. */
void actors_recover(struct sim *s);
str_t run_text(struct sim *s, int64_t id);

/* streams.c: workers on streams. */
void streamer_step(struct sim *s, struct sim_streamer *w);
/* In a read, when all is idle: what they have heard; ready: runs that any of them could have. */
void check_streams(struct sim *s, int64_t ready);
void streams_drain(struct sim *s);
void streams_break(struct sim *s);
void streams_free(struct sim *s);

/* endpoint.c: endpoints of push functions, which are as good or bad as they like. */
void endpoint_step(struct sim *s);
void endpoints_time(struct sim *s);
void endpoints_free(struct sim *s);
/* In a read, when all is idle: what was sent, and breakers. */
void check_push(struct sim *s);
void breaker_reset_op(struct sim *s);

/* plan.c: what a handler does with a job. */
int plan_steps(const struct m_run *r);
bool plan_yields(const struct m_run *r, int step);
uint32_t step_bit(int step);
/* The first step that is neither completed nor executed; the number of steps when there is none. */
int plan_next(const struct hold *h);
void plan_execute(struct sim *s, struct hold *h, int step);
/* Completed steps into a report. The result of a step is new with every execution: which one is
 * kept can be seen. */
void plan_fill(struct sim *s, const struct hold *h, uint32_t bits, struct report *out);
/* h->final, made once: whoever repeats it says the same again. */
void plan_final(struct sim *s, struct hold *h, enum report_kind kind);
struct hold *hold_new(struct sim *s, struct m_run *r, int64_t seq);
/* The step came with the job as completed. */
void hold_done(struct sim *s, struct hold *h, str_t step_id);

/* check_waits.c: waits, children and cancel specs. In a read. */
void check_waits(struct sim *s);
/* When all is over: nothing is left, and how much there was. */
void check_waits_end(struct sim *s);
/* An emit was acknowledged: whom it concerns has heard of it. */
void check_woken(struct sim *s, const struct op *op, size_t i);
/* What a step is handed out with is the event that it waited for. */
void check_event_output(struct sim *s, const struct assignment *a, const struct step *st);
/* Does a worker of this id say that it understands failed invokes? It then sleeps not when full. */
bool sim_catches(str_t worker_id);

/* model.c */
/* What an emit, or an invoke of a step, is recognised by. */
struct m_emit *model_mark(struct sim *s);
/* The number inside the data of an event; 0: none. */
int64_t event_mark(str_t data);
/* Which function has this key; -1: none. */
int model_fn(const struct sim *s, int64_t key);
struct m_run *model_run(struct sim *s, int64_t id);
struct m_step *model_step(struct sim *s, struct m_run *r, str_t step_id);
/* The step is completed with this output for ever. */
void model_freeze(struct sim *s, struct m_run *r, str_t step_id, str_t output);
void model_emitted(struct sim *s, const struct op *op, size_t i);
void model_assigned(struct sim *s, const struct assignment *a);
/* The same for what was found out from outside, when all is idle. */
void model_handed(struct sim *s, const struct handed *h);
/* The segment that has the run now; 0: none. */
int64_t model_claimed(struct sim *s, const struct m_run *r, int64_t *max_attempts);
/* A report that gets no answer is looked for in the rows when all is idle. sure: it comes through
 * faults of the database. */
void outcome_expect(struct sim *s, struct hold *h, const struct report *r, bool sure);
/* How many of the run, or of the function, are looked for. */
int64_t outcomes_of(const struct sim *s, const struct m_run *r, int fn);
void check_outcomes(struct sim *s);
/* After an accepted or refused report, ack or cancel: does the database say the same? */
void model_report(struct sim *s, const struct op *op);
/* The same of one that said its last word. */
void model_gone(const struct hold *h);
/* A step was acknowledged on a stream. */
void model_step_acked(struct sim *s, str_t step_id);
/* A final report that was perhaps accepted: others may get the run sooner than its lease says. */
void model_unheard(const struct op *op);
void model_ack(struct sim *s, const struct op *op);
void model_cancel(struct sim *s, const struct op *op);

/* operators.c */
void intervene(struct sim *s);
void operator_reply(struct sim *s, struct op *op);
void operator_unknown(struct sim *s, struct op *op);
/* May an operator have changed the run in this turn? */
bool run_operated(const struct sim *s, const struct m_run *r);
/* The same, in this settling. */
bool run_operated_lately(const struct sim *s, const struct m_run *r);
/* In a read transaction of the checks. */
void check_operators(struct sim *s);
void check_trails(struct sim *s);

/* check_log.c: new messages, in order. check.c: the tables. */
void check_log(struct sim *s);
void check_render(struct sim *s);
void check_idle(struct sim *s);
void check_all(struct sim *s, bool integrity);
void check_end(struct sim *s);
