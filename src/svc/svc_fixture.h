/* What tests and the simulator drive the engine with: the usual operations, which succeed, each one
 * call of txn on the world of svc_world_fixture.h. */
#pragma once

#include "svc/svc_ops_fixture.h"

static inline void sim_ok(struct sim *s, err_t e)
{
    if (e != ERR_OK)
        fail_msg("%d: %s", (int)e, s->text);
}

static inline void sim_function(struct sim *s, const char *json)
{
    struct op *op = sim_op(s);

    op->text = str_from(json);
    sim_ok(s, sim_run(op, CALL_WRITE, op_register));
}

static inline err_t sim_try_emit(struct sim *s, const char *name, const char *data, const char *key,
                                 struct emitted *out)
{
    struct op *op = sim_op(s);
    err_t e;

    op->emit = (struct emit){ .name = str_from(name),
                              .data = str_from(data),
                              .idempotency_key = str_from(key) };
    e = sim_run(op, CALL_WRITE, op_emit);
    *out = op->emitted;
    return e;
}

/* Emits and returns the first run. */
static inline int64_t sim_emit(struct sim *s, const char *name, const char *data)
{
    struct emitted out = { 0 };

    sim_ok(s, sim_try_emit(s, name, data, NULL, &out));
    return out.runs_n > 0 ? out.runs[0] : 0;
}

static inline void sim_worker(struct sim *s, const char *id, const char *functions, int64_t max)
{
    struct op *op = sim_op(s);

    op->reg = (struct worker){
        .id = str_from(id), .hostname = S("box"), .functions = str_from(functions), .max_jobs = max
    };
    sim_ok(s, sim_run(op, CALL_WRITE, op_worker));
}

/* A poll that does not wait. */
static inline struct op *sim_poll(struct sim *s, const char *worker, int64_t available)
{
    struct op *op = sim_op(s);

    op->worker = str_from(worker);
    op->available = available;
    sim_ok(s, sim_run(op, CALL_WRITE, op_poll));
    return op;
}

/* The job of assignment i as the worker knows it: in op->worker, job and fence of a new operation.
 */
static inline struct op *sim_job(struct sim *s, const struct op *poll, size_t i)
{
    struct op *op = sim_op(s);
    const struct job *job = &poll->claims[i].job;

    op->worker = poll->worker;
    op->job = job_id_text(&s->arena, job->run_id, job->execution_seq);
    op->fence = (struct fence){ .execution_seq = job->execution_seq,
                                .token = lease_token_text(&s->arena, job->token) };
    op->report.fence = op->fence;
    op->id = job->run_id;
    return op;
}

/* Polls for exactly one job. */
static inline struct op *sim_take(struct sim *s, const char *worker)
{
    struct op *poll = sim_poll(s, worker, 1);

    assert_int_equal(poll->n, 1);
    return sim_job(s, poll, 0);
}

static inline err_t sim_ack(struct op *job)
{
    return sim_run(job, CALL_WRITE, op_ack);
}

static inline err_t sim_send(struct op *job, enum report_kind kind)
{
    job->report.kind = kind;
    return sim_run(job, CALL_WRITE, op_report);
}

/* Puts n completed or failed steps named by letters into the report: "a", "b", ... from `first`. */
static inline void sim_steps(struct op *job, char first, size_t n, const char *status)
{
    struct arena *a = &job->sim->arena;
    struct report_step *steps = NEW_N(a, struct report_step, n + 1);
    str_t run = id_text(a, ID_RUN, job->id);

    for (size_t i = 0; i < n; i++) {
        steps[i].name = str_printf(a, "%c", first + (char)i);
        steps[i].id = str_printf(a, STR_FMT ":" STR_FMT ":0", STR_ARG(run), STR_ARG(steps[i].name));
        steps[i].type = S("invoke");
        steps[i].status = str_from(status);
        steps[i].output = str_printf(a, "{\"step\":\"" STR_FMT "\"}", STR_ARG(steps[i].name));
        if (strcmp(status, "failed") == 0)
            steps[i].error = S("{\"message\":\"boom\",\"retryable\":true}");
    }
    job->report.steps = steps;
    job->report.steps_n = n;
}

static inline err_t sim_progress(struct op *job, char first, size_t n)
{
    err_t e;

    sim_steps(job, first, n, "completed");
    e = sim_send(job, REPORT_PROGRESS);
    job->report.steps_n = 0;
    return e;
}

static inline err_t sim_complete(struct op *job, const char *output)
{
    job->report.output = str_from(output);
    return sim_send(job, REPORT_COMPLETED);
}

static inline err_t sim_fail(struct op *job, const char *error, bool retryable)
{
    job->report.error = str_from(error);
    job->report.retryable = retryable;
    return sim_send(job, REPORT_FAILED);
}

static inline err_t sim_sleep(struct op *job, const char *name, int64_t until_ms)
{
    str_t run = id_text(&job->sim->arena, ID_RUN, job->id);

    job->report.yield_type = S("sleep");
    job->report.yield_step_id = str_printf(&job->sim->arena, STR_FMT ":%s:0", STR_ARG(run), name);
    job->report.yield_until_ms = until_ms;
    return sim_send(job, REPORT_YIELDED);
}

static inline struct run sim_get(struct sim *s, int64_t run_id)
{
    struct op *op = sim_op(s);

    op->id = run_id;
    sim_ok(s, sim_run(op, CALL_READ, op_run_get));
    return op->run;
}

static inline struct op *sim_get_steps(struct sim *s, int64_t run_id)
{
    struct op *op = sim_op(s);

    op->id = run_id;
    sim_ok(s, sim_run(op, CALL_READ, op_run_steps));
    return op;
}

/* One slice of housekeeping; true when it wants another at once. */
static inline bool sim_upkeep_once(struct sim *s, err_t (*step)(struct ctx *c, int64_t *next_due))
{
    struct op *op = sim_op(s);

    op->step = step;
    sim_ok(s, sim_run(op, CALL_WRITE, op_upkeep));
    return op->next_due <= s->clock.virtual_ms;
}

static inline void sim_upkeep(struct sim *s)
{
    static err_t (*const steps[])(struct ctx *,
                                  int64_t *) = { svc_timers_fire,   svc_wakes_run, svc_leases_sweep,
                                                 svc_workers_evict, svc_log_relay, svc_lanes_sweep,
                                                 svc_debounce_fire, svc_cron_fire, svc_log_retain };

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        while (sim_upkeep_once(s, steps[i]))
            ;
    }
}

/* Time passes, and what is due happens. */
static inline void sim_pass(struct sim *s, int64_t ms)
{
    s->clock.virtual_ms += ms;
    sim_upkeep(s);
    sim_settle(s);
}

/* All messages from position `from` on. */
static inline struct op *sim_messages(struct sim *s, int64_t from)
{
    struct op *op = sim_op(s);

    while (sim_upkeep_once(s, svc_log_relay))
        ;
    op->id = from;
    sim_ok(s, sim_run(op, CALL_READ, op_messages));
    return op;
}

/* Runs the group on SQLite and, if pg_url names one, on PostgreSQL. */
#define SIM_MAIN(tests, pg_url)                                                                    \
    int main(void)                                                                                 \
    {                                                                                              \
        int failed = cmocka_run_group_tests_name("SQLite", (tests), NULL, NULL);                   \
                                                                                                   \
        sim_pg_url = (pg_url);                                                                     \
        if (sim_pg_url == NULL) {                                                                  \
            print_message("NOT RUN: PostgreSQL\n");                                                \
            return failed;                                                                         \
        }                                                                                          \
        return failed + cmocka_run_group_tests_name("PostgreSQL", (tests), NULL, NULL);            \
    }
