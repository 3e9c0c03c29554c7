/* Pull workers: registration, claims, leases and reports (spec engine-pull). */
#pragma once

#include "engine/types.h"

/* WRITE. ERR_INVALID names the field. */
NODISCARD err_t svc_worker_register(struct ctx *c, const struct worker *in);
/* READ. All of the environment that gave a sign of life, with outstanding jobs counted. */
NODISCARD err_t svc_worker_list(struct ctx *c, struct worker **out, int64_t **active, size_t *n);

/* WRITE. A sign of life; nothing if it is not registered. */
NODISCARD err_t svc_worker_alive(struct ctx *c, str_t worker_id);
/* WRITE. It said that it takes no more jobs. */
NODISCARD err_t svc_worker_drains(struct ctx *c, str_t worker_id);

struct fence {
    int64_t execution_seq; /* 0: none given (seed form) */
    str_t token;           /* empty: none given */
};
/* WRITE. Renews the leases of the listed jobs that the worker holds; without a list and with
 * active_jobs > 0 all of its leases. ERR_NOT_FOUND "worker not registered". */
NODISCARD err_t svc_worker_heartbeat(struct ctx *c, str_t worker_id, int64_t active_jobs,
                                     const str_t *jobs, size_t jobs_n, bool has_jobs);

/* Numbers are those of the protobuf contract. */
enum lease_state { LEASE_REFRESHED = 1, LEASE_STALE, LEASE_UNKNOWN };
struct beat {
    str_t job_id; /* or empty: run_id names the job */
    str_t run_id;
    struct fence fence;
};
/* The same for the jobs of a stream, by job id or fence; states gets one answer a job. */
NODISCARD err_t svc_worker_refresh(struct ctx *c, str_t worker_id, int64_t active_jobs,
                                   const struct beat *jobs, size_t n, enum lease_state *states);

struct claim {
    struct job job;
    struct run run;
};
/* WRITE that parks: claims up to `available` ready runs of the worker's functions, oldest first,
 * under a lease of app.lease_claim_ms; none: parks on SIG_RUN_READY until deadline_ms, then *n = 0.
 * ERR_NOT_FOUND "worker not registered". */
NODISCARD err_t svc_worker_claim(struct ctx *c, str_t worker_id, int64_t available,
                                 int64_t deadline_ms, struct claim **out, size_t *n);
/* WRITE. Gives claims back that could not be delivered; those not held any more are left alone. */
NODISCARD err_t svc_worker_release(struct ctx *c, const struct claim *claims, size_t n);

/* What a worker is sent for one claim. */
struct assignment {
    struct claim claim;
    str_t function_id;
    struct event event;
    struct step *steps; /* completed ones, in sequence order, and failed invokes if it can tell */
    size_t steps_n;
    int64_t step_base;
};
/* READ. Loads what the assignments of the claims carry, in order, and ends behind the one with
 * which their payloads reach bytes_max; *n becomes their number. */
NODISCARD err_t svc_worker_assignments_upto(struct ctx *c, const struct claim *claims, size_t *n,
                                            size_t bytes_max, struct assignment **out);
/* The same for all of them. */
NODISCARD err_t svc_worker_assignments(struct ctx *c, const struct claim *claims, size_t n,
                                       struct assignment **out);

/* Job ids are "job_" + run and execution_seq; opaque to workers. */
str_t job_id_text(struct arena *a, int64_t run_id, int64_t execution_seq);
bool job_id_parse(str_t s, int64_t *run_id, int64_t *execution_seq);
/* Lease tokens as text. */
str_t lease_token_text(struct arena *a, int64_t token);
/* -1 for a text that no lease has. */
int64_t lease_token_parse(str_t s);

/* WRITE. ERR_STALE_EXECUTION, ERR_RUN_NOT_RUNNING. */
NODISCARD err_t svc_job_ack(struct ctx *c, str_t worker_id, str_t job_id, struct fence fence);

enum report_kind { REPORT_PROGRESS, REPORT_COMPLETED, REPORT_FAILED, REPORT_YIELDED };
struct report_step {
    str_t id, name, type, status;
    int64_t started_at, ended_at, duration_ms;
    str_t output; /* JSON or empty */
    str_t error;  /* JSON object or empty */
    str_t compensation_for;
};
struct report {
    enum report_kind kind;
    struct fence fence;
    struct report_step *steps;
    size_t steps_n;
    int64_t step_offset;
    bool has_step_offset;
    str_t output; /* completed: JSON; empty is null */
    str_t error;  /* failed: JSON object {message, code, ...} */
    bool retryable;
    /* yielded: sleep, wait_for_event, invoke_function or invoke_function_async */
    str_t yield_type, yield_step_id;
    int64_t yield_until_ms;   /* end of a sleep, or deadline of a wait if it is known as a time */
    int64_t yield_timeout_ms; /* of a wait or an invoke; 0: the default */
    str_t yield_event, yield_match;
    str_t yield_match_value; /* JSON or empty */
    str_t yield_payload;     /* of a wait, for those who look at it: JSON or empty */
    str_t yield_function;
    str_t yield_input; /* JSON or empty */
};
/* WRITE. Spec engine-pull section 6: steps become durable, then the run moves. ERR_INVALID,
 * ERR_NOT_FOUND "worker not registered", ERR_STALE_EXECUTION, ERR_RUN_NOT_RUNNING. */
NODISCARD err_t svc_job_report(struct ctx *c, str_t worker_id, str_t job_id,
                               const struct report *in);
