/* A whole engine on one thread: migrated database, services, txn in its single-threaded mode and a
 * virtual clock. Tests and the simulator drive it through operations, each one call of txn. SQLite in
 * memory or in a file (sim_reopen starts again from it); PostgreSQL when sim_pg_url is set. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/test.h"
#include "codec/proto.h"
#include "db/db.h"
#include "proto/ironflow.h"
#include "store/access.h"
#include "store/log.h"
#include "store/migrations.h"
#include "svc/access.h"
#include "svc/app.h"
#include "svc/batch.h"
#include "svc/events.h"
#include "svc/functions.h"
#include "svc/messages.h"
#include "svc/registry.h"
#include "svc/runs.h"
#include "svc/upkeep.h"
#include "svc/workers.h"
#include "txn/txn.h"

#define SIM_START_MS 1767225600000

struct sim {
    struct app app;
    struct clock clock;
    struct arena arena; /* everything that operations return */
    struct ctx c;       /* outside of transactions */
    struct db *db;
    struct txn *t;
    char dir[64];   /* of the file, empty: in memory */
    char text[512]; /* detail of the last error */
    uint64_t seed;
    int64_t id_last;
};

static const char *sim_pg_url; /* NULL: SQLite */

/* One call and its answer; whoever submits it keeps it until done. */
struct op {
    struct call call;
    struct sim *sim;
    bool done;
    /* in */
    str_t text, worker, job; /* text: JSON, function id or reason, by operation */
    struct emit emit;
    struct fence fence;
    struct report report;
    struct worker reg;
    int64_t id, available, deadline_ms, active;
    const str_t *jobs;
    size_t jobs_n;
    bool has_jobs;
    struct run_filter filter;
    err_t (*step)(struct ctx *c, int64_t *next_due);
    /* out */
    struct emitted emitted;
    struct claim *claims;
    struct assignment *assignments;
    struct run *runs, run;
    struct step *steps;
    struct message *messages;
    size_t n;
    int64_t total, next_due;
    bool ended_all;
};

/* ---- making --------------------------------------------------------------------------------------- */

static inline void sim_fatal(void *app, const char *what)
{
    (void)app;
    fail_msg("the disk failed: %s", what);
}

static inline void sim_schema(struct sim *s, bool fresh)
{
    struct db_conn *k = NULL;

    assert_int_equal(db_conn_open(&s->c, s->db, true, &k), ERR_OK);
    if (sim_pg_url != NULL && fresh) {
        assert_int_equal(db_begin(&s->c, k, true), ERR_OK);
        assert_int_equal(db_script(&s->c, S("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")),
                         ERR_OK);
        assert_int_equal(db_commit(&s->c), ERR_OK);
    }
    if (db_migrate(&s->c, k, store_migrations, store_migrations_n) != ERR_OK)
        fail_msg("%s", s->c.err.text);
    if (sim_pg_url != NULL) {
        db_conn_close(k);
        k = NULL;
    }
    struct txn_opts o = {
        .db = s->db,
        .writer = k,
        .clock = &s->clock,
        .hooks = { svc_batch_begin, svc_batch_before_commit, svc_batch_after, NULL, sim_fatal },
        .app = &s->app,
        .seed = s->seed,
        .id_last = s->id_last,
    };
    assert_int_equal(txn_new(&s->c, &o, &s->t), ERR_OK);
    s->app.txn = s->t;
}

static inline void sim_start(struct sim *s, bool fresh)
{
    struct db_opts o = { .kind = sim_pg_url ? DB_PG : DB_SQLITE };

    if (sim_pg_url != NULL)
        o.path = str_from(sim_pg_url);
    else
        o.path = s->dir[0] != '\0' ? str_printf(&s->arena, "%s/db", s->dir) : S(":memory:");
    s->app = (struct app){ .db_kind = o.kind,
                           .registry = registry_cache_new(),
                           .access = access_cache_new(),
                           .lease_ms = 90000,
                           .lease_claim_ms = 30000,
                           .grace_ms = 30000,
                           .poll_hold_ms = 20000,
                           .worker_ttl_ms = 90000 };
    s->c = (struct ctx){ .arena = &s->arena, .app = &s->app, .clock = &s->clock };
    if (db_open(&s->c, &o, &s->db) != ERR_OK)
        fail_msg("%s", s->c.err.text);
    sim_schema(s, fresh);
}

static inline struct sim *sim_new(bool file)
{
    struct sim *s = mem_zero(sizeof(*s));

    arena_init(&s->arena);
    clock_init_virtual(&s->clock, SIM_START_MS);
    s->seed = 42;
    if (file && sim_pg_url == NULL) {
        (void)snprintf(s->dir, sizeof(s->dir), "/tmp/svc-sim-XXXXXX");
        assert_non_null(mkdtemp(s->dir));
    }
    sim_start(s, true);
    return s;
}

static inline void sim_stop(struct sim *s)
{
    txn_stop(s->t);
    txn_free(s->t);
    db_close(s->db);
    s->db = NULL;
    registry_cache_free(s->app.registry);
    access_cache_free(s->app.access);
}

/* Everything in memory is gone; only the database stays (a file, or PostgreSQL). */
static inline void sim_reopen(struct sim *s)
{
    sim_stop(s);
    s->seed++;
    s->id_last = id_from_ms(s->clock.virtual_ms);
    sim_start(s, false);
}

static inline void sim_free(struct sim *s)
{
    static const char *const files[] = { "db", "db-wal", "db-shm", "db.lock" };

    sim_stop(s);
    if (s->dir[0] != '\0') {
        for (size_t i = 0; i < COUNT_OF(files); i++)
            (void)unlink(str_z(&s->arena, str_printf(&s->arena, "%s/%s", s->dir, files[i])));
        assert_int_equal(rmdir(s->dir), 0);
    }
    arena_done(&s->arena);
    mem_free(s);
}

static inline int sim_setup(void **state)
{
    *state = sim_new(false);
    return 0;
}

static inline int sim_teardown(void **state)
{
    sim_free(*state);
    return 0;
}

/* ---- running -------------------------------------------------------------------------------------- */

static inline void sim_done(struct call *call)
{
    struct op *op = call->arg;

    op->done = true;
    if (call->result != ERR_OK)
        (void)snprintf(op->sim->text, sizeof(op->sim->text), "%s", call->ctx.err.text);
}

static inline struct op *sim_op(struct sim *s)
{
    struct op *op = NEW(&s->arena, struct op);

    op->sim = s;
    return op;
}

/* Hands a call in; it runs with the next sim_settle. */
static inline void sim_submit(struct op *op, enum call_kind kind, err_t (*run)(struct ctx *c))
{
    call_init(&op->call, kind, run, op, &op->sim->arena);
    op->call.ctx.env = ENV_DEFAULT_KEY;
    op->call.done = sim_done;
    op->done = false;
    assert_int_equal(txn_submit(op->sim->t, &op->call), ERR_OK);
}

static inline void sim_settle(struct sim *s)
{
    int64_t due;

    while (txn_step(s->t, &due))
        ;
}

/* Runs a call to its end, which must come without waiting. */
static inline err_t sim_run(struct op *op, enum call_kind kind, err_t (*run)(struct ctx *c))
{
    sim_submit(op, kind, run);
    sim_settle(op->sim);
    assert_true(op->done);
    return op->call.result;
}

static inline struct op *op_of(struct ctx *c)
{
    return c->call->arg;
}

static inline err_t op_register(struct ctx *c)
{
    struct pb_register_function_request in = { 0 };
    struct function f = { 0 };
    bool created;

    TRY(pb_from_json(c, &pb_register_function_request_desc, op_of(c)->text, &in));
    return svc_function_register(c, &in, &f, &created);
}

static inline err_t op_emit(struct ctx *c)
{
    return svc_emit(c, &op_of(c)->emit, &op_of(c)->emitted);
}

static inline err_t op_invoke(struct ctx *c)
{
    return svc_invoke(c, op_of(c)->text, &op_of(c)->emit, &op_of(c)->emitted);
}

static inline err_t op_worker(struct ctx *c)
{
    return svc_worker_register(c, &op_of(c)->reg);
}

static inline err_t op_assign(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_assignments(c, op->claims, op->n, &op->assignments);
}

static inline err_t op_poll(struct ctx *c)
{
    struct op *op = op_of(c);

    op->n = 0;
    TRY(svc_worker_claim(c, op->worker, op->available, op->deadline_ms, &op->claims, &op->n));
    return op->n > 0 ? txn_next(c, CALL_READ, op_assign) : ERR_OK;
}

static inline err_t op_ack(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_job_ack(c, op->worker, op->job, op->fence);
}

static inline err_t op_report(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_job_report(c, op->worker, op->job, &op->report);
}

static inline err_t op_beat(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_heartbeat(c, op->worker, op->active, op->jobs, op->jobs_n, op->has_jobs);
}

static inline err_t op_cancel(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_run_cancel(c, op->id, op->text, &op->run);
}

static inline err_t op_release(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_worker_release(c, op->claims, op->n);
}

static inline err_t op_run_get(struct ctx *c)
{
    return svc_run_get(c, op_of(c)->id, &op_of(c)->run);
}

static inline err_t op_run_steps(struct ctx *c)
{
    return svc_run_steps(c, op_of(c)->id, &op_of(c)->steps, &op_of(c)->n);
}

static inline err_t op_run_list(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_run_list(c, &op->filter, &op->runs, &op->n, &op->total);
}

static inline err_t op_wait(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_runs_wait(c, &op->id, 1, op->deadline_ms, &op->runs, &op->ended_all);
}

static inline err_t op_upkeep(struct ctx *c)
{
    c->env = 0;
    return op_of(c)->step(c, &op_of(c)->next_due);
}

static inline err_t op_message(struct ctx *c, const struct message *m, void *arg)
{
    struct op *op = arg;
    struct message *more = NEW_N(c->arena, struct message, op->n + 1);

    if (op->n > 0)
        memcpy(more, op->messages, op->n * sizeof(*more));
    more[op->n++] = *m;
    op->messages = more;
    return ERR_OK;
}

static inline err_t op_messages(struct ctx *c)
{
    struct op *op = op_of(c);
    struct log_row *rows = NULL;
    size_t n = 0;

    op->n = 0;
    TRY(store_log_read(c, op->id, 100000, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(message_row_check(c, &rows[i]));
        TRY(message_each(c, rows[i].records, rows[i].first_pos, op_message, op));
    }
    return ERR_OK;
}

/* ---- the usual operations, which succeed ------------------------------------------------------------ */

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

static inline err_t sim_try_emit(struct sim *s, const char *name, const char *data,
                                 const char *key, struct emitted *out)
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

    op->reg = (struct worker){ .id = str_from(id),
                               .hostname = S("box"),
                               .functions = str_from(functions),
                               .max_jobs = max };
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

/* The job of assignment i as the worker knows it: in op->worker, job and fence of a new operation. */
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
    job->report.yield_step_id =
        str_printf(&job->sim->arena, STR_FMT ":%s:0", STR_ARG(run), name);
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
    static err_t (*const steps[])(struct ctx *, int64_t *) = { svc_timers_fire, svc_leases_sweep,
                                                               svc_workers_evict, svc_log_relay,
                                                               svc_log_retain };

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

/* Runs the group on SQLite and, if there is one, on PostgreSQL. */
#define SIM_MAIN(tests)                                                                            \
    int main(void)                                                                                 \
    {                                                                                              \
        int failed = cmocka_run_group_tests_name("SQLite", (tests), NULL, NULL);                   \
                                                                                                   \
        sim_pg_url = getenv("IRONFLOW_TEST_PG_URL");                                               \
        if (sim_pg_url == NULL)                                                                    \
            return failed;                                                                         \
        return failed + cmocka_run_group_tests_name("PostgreSQL", (tests), NULL, NULL);            \
    }
