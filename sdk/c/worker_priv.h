/* A run in execution and the worker that executes it; shared by run.c, report.c and worker.c. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "ironflow_priv.h"

struct ironflow_worker;

/* ---- a map from text to a value and a counter; memory in a pool ---- */
struct map_entry {
    const char *key;
    size_t key_n;
    uint64_t hash;
    json_t value;
    int count;
};
struct map {
    struct map_entry *items; /* cap of them, a power of two, open addressing */
    size_t cap, n;
};
/* The entry of key, NULL when absent. */
struct map_entry *map_find(const struct map *m, const char *key, size_t n);
/* The entry of key, added when absent; key must outlive the map. */
struct map_entry *map_put(struct map *m, struct pool *p, const char *key, size_t n);

struct compensation; /* compensate.c */
struct stream;
struct ticker;

/* One execution of a run, or one branch of it (branch.c). It belongs to its thread; what the
 * worker's ticker and branches touch stands under the root's `lock`. A branch has its own pool,
 * error, yield and scope, reads the root's completed steps and records in the root's pending ones.
 */
struct ironflow_run {
    struct ironflow_worker *worker;
    struct ironflow_run *root; /* itself, unless it is a branch */
    const char *scope;         /* what step ids begin with: "{run}", "{run}:fan:0" */
    const struct ironflow_function *function;
    struct pool pool;
    char *json; /* the assignment; freed at the end */
    char *run_id, *job_id;
    const char *input, *event;
    char *fence; /* "execution_seq":1,"lease_token":"x", or "" */
    bool fenced; /* has a lease token: wants an ack */
    int attempt;
    int64_t started_ms;           /* unix */
    struct map completed, failed; /* by step id; failed: invokes, with their error */
    const char *output;           /* JSON */
    char error_code[64], error_text[1024];
    bool error_set;
    char *yield;       /* the yield object once the handler waits */
    uint64_t yield_at; /* yields of a run are numbered as they are raised */
    bool in_step;
    bool forked;       /* its branches run: steps belong to them */
    struct conn *conn; /* of a branch that publishes; the root has its slot's */
    bool push;         /* the final report answers a request of the server */
    int status;        /* of the last report */
    atomic_bool lost;

    pthread_mutex_t lock;
    pthread_cond_t flushed;
    bool flushing;       /* a report is under way */
    bool pinned;         /* the ticker works for the run: it must not end */
    struct text pending; /* step objects joined by commas */
    int pending_n;
    int64_t step_offset;       /* sequence of the first pending step */
    int64_t reported_ms;       /* monotonic; when steps were last accepted, 0: never */
    int64_t flush_at_ms;       /* monotonic; when the ticker reports what is pending, 0: nothing */
    int64_t retry_ms;          /* pause after the next transient failure */
    bool progress_off;         /* the server refuses progress: steps travel with the final report */
    struct map names;          /* uses of "{scope}:{name}" */
    uint64_t yields;           /* raised so far */
    struct compensation *undo; /* the last registered one first */

    /* under the worker's lock */
    bool active;
    int64_t ack_at_ms; /* monotonic; when the ticker acknowledges, 0: done */
};

/* Prepares run for the assignment in run->json (owned by it from now on). False when it is broken.
 */
bool run_begin(struct ironflow_run *run, int64_t now_ms);
/* The fence of an assignment; *fenced: it has one. */
char *run_fence(struct pool *pool, json_t job, bool *fenced);
/* {"message":...,"code":...,"retryable":...} of the run's error. */
void run_put_error(struct text *t, const struct ironflow_run *run, bool retryable);
/* Forgets the execution. */
void run_end(struct ironflow_run *run);
/* "{scope}:{name}:{index}" in the pool; counts the use of the name. */
char *run_step_id(struct ironflow_run *run, const char *name);
/* "{scope}:{name}" with the name escaped. */
void run_put_name(struct text *t, const struct ironflow_run *run, const char *name);
/* Why a call must not begin: the run waits already, or is not ours any more; else IRONFLOW_OK. */
int run_blocked(struct ironflow_run *run);
/* The run waits for what t describes; empties t. Returns IRONFLOW_YIELD. */
int run_yield(struct ironflow_run *run, struct text *t);

struct step {
    const char *id, *name;
    const char *compensation_for; /* the step that it undoes; NULL: a plain step */
    int64_t started_ms, ended_ms;
    const char *output; /* NULL when it failed */
    bool retryable;
};
/* A step from its beginning: id, memoization, work, record. s->name is given. */
int step_run(struct ironflow_run *run, struct step *s, ironflow_step_fn fn, void *arg,
             const char **output);
/* Its work and record alone; s->id is given too. */
int step_execute(struct ironflow_run *run, struct step *s, ironflow_step_fn fn, void *arg);

/* Runs the compensations of a run that fails for good, each once; its error stays what it is. */
void run_compensate(struct ironflow_run *run);

/* ---- reports (report.c) ---- */
enum report { REPORT_OK, REPORT_LOST, REPORT_REFUSED, REPORT_TRANSIENT };

/* Runs the handler's side of PUT .../ack. */
enum report report_ack(struct ironflow_run *run, struct conn *conn);
/* Sends what is pending. Waits for a report under way first. */
enum report report_steps(struct ironflow_run *run, struct conn *conn, struct text *body);
/* Called by a step that has just been added to pending. */
void report_checkpoint(struct ironflow_run *run);
/* The final report for what the handler returned, as text. */
void report_put_final(struct text *t, struct ironflow_run *run, int rc);
/* The final report for what the handler returned, repeated until it is answered or pointless. */
void report_final(struct ironflow_run *run, int rc);

/* ---- the worker (worker.c) ---- */
#define STEPS_PER_REPORT 500

struct job { /* an assignment that waits for a thread */
    char *json;
    struct job *next;
};

struct slot {
    struct ironflow_worker *worker;
    pthread_t thread;
    struct conn *conn;
    struct text body;
    struct ironflow_run run;
};

struct ironflow_worker {
    struct ironflow_worker_config config;
    struct server server;
    char id[160], host[64];
    char *jobs_path; /* "/api/v1/workers/{id}/jobs" */
    struct ironflow_function *functions;
    size_t functions_n;
    int stop_fd;     /* readable once stopping */
    atomic_int stop; /* calls of ironflow_worker_stop */

    pthread_mutex_t lock;
    pthread_cond_t work;   /* jobs came, or somebody should poll, or the end */
    pthread_cond_t tick;   /* the ticker has something earlier to do */
    struct stream *stream; /* NULL: the worker polls */
    struct ticker *ticker;
    struct slot *slots;
    struct job *first, **last;
    int queued, busy;
    bool polling, quiet; /* quiet: the ticker ends */
    int64_t tick_at_ms;
    int64_t registered_ms;
    int result;
    char why[512];
};

void worker_log(struct ironflow_worker *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Registers the worker again after a 404. True when the server accepted it. */
bool worker_register(struct ironflow_worker *w, struct conn *conn);
/* The key is refused: the worker ends. */
void worker_refused(struct ironflow_worker *w, const struct conn *conn, int status);
/* Waits ms; true, and early, when the worker is to end at once (second stop). */
bool worker_pause(struct ironflow_worker *w, int64_t ms);
/* Waits ms, or until the first stop. */
void worker_idle(struct ironflow_worker *w, int64_t ms);
/* Wakes the ticker when at_ms is before its next turn. */
void worker_tick_at(struct ironflow_worker *w, int64_t at_ms);
struct conn *run_conn(struct ironflow_run *run);
struct text *run_body(struct ironflow_run *run);

/* An assignment for a free thread; takes it. Under the lock. */
void worker_queue(struct ironflow_worker *w, char *assignment);
/* The first assignment that no thread has taken, or NULL; to be freed. */
char *worker_dequeue(struct ironflow_worker *w);
/* Drops the assignment of the job if no thread has taken it. */
void worker_unqueue(struct ironflow_worker *w, const char *job_id);
/* Repeats until the server answers; false when it refuses or the worker is stopped. */
bool worker_register_functions(struct ironflow_worker *w);
/* The worker ends for this reason. */
void worker_end(struct ironflow_worker *w, const char *why);

/* ---- the ticker (ticker.c) ---- */
/* NULL when there is no thread for it. */
struct ticker *ticker_start(struct ironflow_worker *w);
void ticker_finish(struct ticker *t);

/* ---- the stream (stream.c) ---- */
/* NULL when there is no thread for it. */
struct stream *stream_start(struct ironflow_worker *w);
/* Gives back jobs that did not start, says what is left to be said, and ends. */
void stream_finish(struct stream *s);
/* Reports; what they say is not waited for, unless each step is to be durable. */
void stream_ack(struct stream *s, const struct ironflow_run *run);
void stream_step(struct stream *s, const struct ironflow_run *run, const struct step *step);
void stream_final(struct stream *s, const struct ironflow_run *run, int rc);

/* register.c: the request that registers the function, instead of what t holds. */
void function_text(struct text *t, const struct ironflow_function *f);
