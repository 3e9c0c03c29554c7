/* Ironflow client and worker in C. Needs libcurl (for https) and threads, nothing else.
 *
 *   struct ironflow_client *c = ironflow_client_new(&(struct ironflow_config){ 0 });
 *   struct ironflow_emitted e;
 *   if (ironflow_emit(c, "order.placed", "{\"id\":7}", NULL, &e) == IRONFLOW_OK) ...
 *
 * JSON goes in and out as text. A client is used by one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum ironflow_result {
    IRONFLOW_OK = 0,
    IRONFLOW_YIELD = 1, /* the run waits: a handler returns it at once */
    IRONFLOW_RETRY = 2, /* failed; trying again may help */
    IRONFLOW_FAIL = 3,  /* failed for good */
    IRONFLOW_LOST = 4,  /* the run is no longer ours (cancelled, taken over): return at once */
    IRONFLOW_UNREACHABLE = 5, /* no answer from the server */
    IRONFLOW_REFUSED = 6      /* the server answered with an error; see ironflow_client_status */
};

/* ---- client -------------------------------------------------------------------------------- */

/* Empty members take the environment's: IRONFLOW_URL or IRONFLOW_SERVER_URL
 * (http://localhost:9123), IRONFLOW_API_KEY, IRONFLOW_ENV. */
struct ironflow_config {
    const char *url, *api_key, *environment;
    long timeout_ms; /* of one request; 0: 30000 */
};

struct ironflow_client;
/* NULL when the URL is unusable. */
struct ironflow_client *ironflow_client_new(const struct ironflow_config *config);
void ironflow_client_free(struct ironflow_client *c);
/* Text and HTTP status (0: none) of the last call that did not return IRONFLOW_OK. */
const char *ironflow_client_error(const struct ironflow_client *c);
int ironflow_client_status(const struct ironflow_client *c);

struct ironflow_emit_options {
    const char *metadata; /* JSON object */
    const char *idempotency_key;
    int version;     /* of the event's schema; 0: 1 */
    long timeout_ms; /* ironflow_emit_sync: longest wait; 0: 30000 */
};

struct ironflow_emitted {
    char event_id[72];
    char **run_ids; /* run_count of them */
    size_t run_count;
};
void ironflow_emitted_done(struct ironflow_emitted *e);
/* Emits an event; data is JSON text, NULL is {}. options may be NULL. On IRONFLOW_OK the event is
 * durable and *out (may be NULL) wants ironflow_emitted_done. */
int ironflow_emit(struct ironflow_client *c, const char *name, const char *data,
                  const struct ironflow_emit_options *options, struct ironflow_emitted *out);
/* Emits and waits for the runs; *out is the answer {"eventId","results":[...]}, to be freed. */
int ironflow_emit_sync(struct ironflow_client *c, const char *name, const char *data,
                       const struct ironflow_emit_options *options, char **out);
/* Starts one function by its id. options: metadata and idempotency_key count. */
int ironflow_invoke(struct ironflow_client *c, const char *function_id, const char *data,
                    const struct ironflow_emit_options *options, struct ironflow_emitted *out);

struct ironflow_run_filter {
    const char *function_id, *status; /* status: a comma list */
    int limit, offset;                /* limit 0: the server's default */
};
/* Answers of the REST API as JSON text, to be freed. filter may be NULL. */
int ironflow_run_get(struct ironflow_client *c, const char *run_id, char **out);
int ironflow_run_steps(struct ironflow_client *c, const char *run_id, char **out);
int ironflow_run_list(struct ironflow_client *c, const struct ironflow_run_filter *filter,
                      char **out);
/* reason may be NULL. */
int ironflow_run_cancel(struct ironflow_client *c, const char *run_id, const char *reason,
                        char **out);
void ironflow_free(void *p);

/* ---- JSON ---------------------------------------------------------------------------------- */

/* A value inside a JSON text: a view of n bytes. */
struct ironflow_json {
    const char *p;
    size_t n;
};
/* True when the n bytes at text are one JSON value (UTF-8 is not checked). */
bool ironflow_json_valid(const char *text, size_t n);
/* The value at a dotted path ("customer.address.0.city"); p is NULL when there is none. */
struct ironflow_json ironflow_json_at(const char *text, const char *path);
/* The string at the path without quotes and escapes, NUL-terminated in out (cut to size - 1);
 * false when there is no string. */
bool ironflow_json_string(const char *text, const char *path, char *out, size_t size);
bool ironflow_json_int(const char *text, const char *path, int64_t *out);
bool ironflow_json_double(const char *text, const char *path, double *out);
/* The text in quotes, escaped; to be freed. */
char *ironflow_json_quote(const char *text);

/* ---- worker -------------------------------------------------------------------------------- */

struct ironflow_run;

/* A function's handler. It starts from the top each time the run continues; what must happen once
 * belongs into steps. Returns IRONFLOW_OK (see ironflow_run_output), IRONFLOW_RETRY or
 * IRONFLOW_FAIL (see ironflow_run_error), or what a call below returned. Runs on a thread of the
 * worker. */
typedef int (*ironflow_handler)(struct ironflow_run *run, void *arg);
/* One step: does its work, sets *output to JSON text that lives until the handler returns (NULL is
 * null; see ironflow_run_printf) and returns IRONFLOW_OK, IRONFLOW_RETRY or IRONFLOW_FAIL. */
typedef int (*ironflow_step_fn)(struct ironflow_run *run, void *arg, const char **output);

/* Runs fn unless the step completed in an earlier execution; *output (may be NULL) is its result
 * either way. Anything but IRONFLOW_OK must be returned from the handler, or, after IRONFLOW_RETRY
 * and IRONFLOW_FAIL, be dealt with. */
int ironflow_step_run(struct ironflow_run *run, const char *name, ironflow_step_fn fn, void *arg,
                      const char **output);
/* Durable waits: IRONFLOW_YIELD, and IRONFLOW_OK in the execution after the time has come. */
int ironflow_sleep(struct ironflow_run *run, const char *name, int64_t ms);
int ironflow_sleep_until(struct ironflow_run *run, const char *name, int64_t unix_ms);

struct ironflow_wait {
    const char *event;       /* its name; `*` and a final `>` stand for tokens */
    const char *match;       /* a path in its data, or an expression over `data`; NULL: any */
    const char *match_value; /* JSON expected at the path; NULL: what the run's event has there */
    int64_t timeout_ms;      /* 0: seven days */
};
/* Waits for an event that comes after the wait began: IRONFLOW_YIELD, then IRONFLOW_OK and *event
 * (may be NULL), the whole of it as JSON: {"id","name","data","timestamp",...}. When it does not
 * come in time the run fails without calling its handler again. */
int ironflow_wait_for_event(struct ironflow_run *run, const char *name,
                            const struct ironflow_wait *wait, const char **event);
/* Runs another function and waits for its end: IRONFLOW_YIELD, then IRONFLOW_OK and *output (may be
 * NULL), its output as JSON; IRONFLOW_FAIL when it failed, was cancelled, is unknown or took longer
 * than timeout_ms (0: 30 s), which the handler may deal with. input: JSON, NULL is {}. */
int ironflow_invoke_function(struct ironflow_run *run, const char *function_id, const char *input,
                             int64_t timeout_ms, const char **output);
/* Starts another function and goes on: IRONFLOW_YIELD, then IRONFLOW_OK and *run_id, if given. */
int ironflow_invoke_async(struct ironflow_run *run, const char *function_id, const char *input,
                          const char **run_id);

struct ironflow_published {
    const char *event_id, *sequence; /* sequence: decimal */
};
/* Publishes a message to a topic, as the step "publish:<topic>". data: JSON, NULL is {}; out: NULL
 * or where to. IRONFLOW_RETRY: the server has trouble; IRONFLOW_FAIL: it refuses or has no topics.
 */
int ironflow_publish(struct ironflow_run *run, const char *topic, const char *data,
                     struct ironflow_published *out);

/* Branches: handlers that run side by side inside one run, on threads that live as long as the call
 * (at most 16, the caller's among them), so none may wait for another, and what they share is
 * theirs to lock. A branch calls everything with the run that it is given, never with the outer
 * one; what it completes stays completed, whatever its siblings do. The call returns IRONFLOW_YIELD
 * when any branch waits (one wait, the last raised, is parked at a time); else IRONFLOW_FAIL or
 * IRONFLOW_RETRY with the error of the first branch that failed, after which no further one has
 * started; else IRONFLOW_OK and outputs (may be NULL): what each gave to ironflow_run_output. */
struct ironflow_branch {
    ironflow_handler fn;
    void *arg;
};
int ironflow_parallel(struct ironflow_run *run, const char *name,
                      const struct ironflow_branch *branches, size_t count, const char **outputs);
struct ironflow_map { /* the same function for each of `count` things */
    size_t count;
    int (*fn)(struct ironflow_run *branch, size_t index, void *arg);
    void *arg;
    int max_concurrent; /* 0: 16; 1: one after the other, in order */
};
int ironflow_map(struct ironflow_run *run, const char *name, const struct ironflow_map *map,
                 const char **outputs);

/* Registers what undoes a step. When the run fails for good, but not when its attempts are used up,
 * the compensations run after the handler has returned, the last registered first, as the steps
 * "compensate:<step>": one that fails does not stop the others, one that completed is not repeated.
 * arg must outlive the handler: static, or from ironflow_run_alloc. */
int ironflow_compensate(struct ironflow_run *run, const char *step, ironflow_step_fn fn, void *arg);

const char *ironflow_run_id(const struct ironflow_run *run);
int ironflow_run_attempt(const struct ironflow_run *run);
/* The event's data and the whole event, as JSON. */
const char *ironflow_run_input(const struct ironflow_run *run);
const char *ironflow_run_event(const struct ironflow_run *run);
/* True once the run is lost or the worker was told to stop at once; for handlers that take long. */
bool ironflow_run_lost(const struct ironflow_run *run);
/* Memory that lives until the handler returns. */
void *ironflow_run_alloc(struct ironflow_run *run, size_t n);
const char *ironflow_run_printf(struct ironflow_run *run, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The result of a run that returns IRONFLOW_OK: JSON text, copied. */
void ironflow_run_output(struct ironflow_run *run, const char *json);
/* The error of a step or run that returns IRONFLOW_RETRY or IRONFLOW_FAIL. Code NULL: "ERROR". */
void ironflow_run_error(struct ironflow_run *run, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Members that are 0 take the server's defaults (3, 1000, 2.0, 300000). */
struct ironflow_retry {
    int max_attempts;
    int64_t initial_delay_ms, max_delay_ms;
    double backoff_factor;
};

/* An event with a filter, a schedule, or both. */
struct ironflow_trigger {
    const char *event;      /* name or pattern; NULL with a schedule */
    const char *expression; /* a filter in CEL: "data.total > 50"; NULL: none */
    const char *cron;       /* five fields, or six with seconds first, in UTC; NULL: none */
};

/* An event that cancels those runs whose own event has the same value at the path `match`. */
struct ironflow_cancel_on {
    const char *event, *match;
};

/* Of a function, all of it optional. Keys are paths into the event's data: "customerId". */
struct ironflow_flow {
    const struct ironflow_trigger *triggers; /* beside events; ends with a row of NULLs */
    int concurrency_limit;                   /* runs at a time, 0: no limit */
    const char *concurrency_key;             /* the limit counts for each value apart */
    const char *actor_key; /* runs with one value: one after the other, on one worker */
    int64_t debounce_ms;   /* one run with the last event, when so long none came; at least 1000 */
    const char *debounce_key;
    int64_t debounce_max_ms; /* but no longer after the first event, 0: no bound */
    const struct ironflow_cancel_on *cancel_on; /* ends with a row of NULLs */
};

struct ironflow_function {
    const char *id, *name, *description; /* name and description may be NULL */
    const char *const *events;           /* triggers, NULL-terminated; NULL: invoke only */
    struct ironflow_retry retry;
    ironflow_handler handler;
    void *arg;
    struct ironflow_flow flow;
};

enum {
    IRONFLOW_CHECKPOINT_EACH = -1, /* a step's result is durable before the next step starts */
    IRONFLOW_CHECKPOINT_NONE = -2  /* results travel with the final report */
};

enum ironflow_transport {
    IRONFLOW_POLL,  /* a request fetches work, another one reports it */
    IRONFLOW_STREAM /* one connection for all, nobody waits for answers; http:// only */
};

struct ironflow_worker_config {
    struct ironflow_config client;
    const char *id;     /* NULL: "worker-<host>-<pid>-<time>" */
    int max_concurrent; /* runs at a time, one thread each; 0: 10 */
    int checkpoint_ms;  /* results of steps are reported at once when the last report is older than
                           this, else together after it; 0: 100; or IRONFLOW_CHECKPOINT_... */
    int heartbeat_ms;   /* 0: 30000 */
    int ack_after_ms;   /* 0: a run is acknowledged before its handler starts. Above (at most
                           20000): only when it takes longer, for many short runs */
    void (*log)(void *arg, const char *line); /* NULL: warnings go to stderr */
    void *log_arg;
    enum ironflow_transport transport;
};

struct ironflow_worker;
/* NULL when the URL is unusable. */
struct ironflow_worker *ironflow_worker_new(const struct ironflow_worker_config *config);
void ironflow_worker_free(struct ironflow_worker *w);
/* Before ironflow_worker_run; the row is copied, its strings are not. */
void ironflow_worker_add(struct ironflow_worker *w, const struct ironflow_function *f);
/* Registers and serves until ironflow_worker_stop; runs that have started are finished first.
 * IRONFLOW_OK after a stop, IRONFLOW_REFUSED when a function or the key is refused. While the
 * server cannot be reached it keeps trying. */
int ironflow_worker_run(struct ironflow_worker *w);
/* Any thread and signal handlers. The second call abandons what runs. */
void ironflow_worker_stop(struct ironflow_worker *w);
/* Why ironflow_worker_run returned. */
const char *ironflow_worker_error(const struct ironflow_worker *w);

/* ---- push mode ----------------------------------------------------------------------------- */

/* Functions that a server calls over HTTP: register them with the URL of your endpoint. */
struct ironflow_push {
    const struct ironflow_function *functions; /* id, handler and arg count */
    size_t functions_n;
    const char *signing_key;       /* the server's IRONFLOW_SIGNING_KEY; NULL: nothing is checked */
    struct ironflow_config client; /* where handlers publish */
};

/* True when header, the value of X-Ironflow-Signature, was made with key for these n bytes, and not
 * more than five minutes ago. */
bool ironflow_push_verify(const char *key, const char *header, const char *body, size_t n);
/* Runs the function that the body of a POST asks for, on this thread. Returns the body of the
 * answer, JSON to be freed with ironflow_free, and its HTTP status. signature: value of
 * X-Ironflow-Signature, NULL when absent. Any thread; handlers may run at the same time. */
char *ironflow_push_handle(const struct ironflow_push *push, const char *signature,
                           const char *body, size_t n, int *status);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
