/* A whole engine on one thread: migrated database, services, txn in its single-threaded mode and a
 * virtual clock. SQLite in memory or in a file (sim_reopen starts again from it); PostgreSQL when
 * sim_pg_url is set. Operations are in svc_ops_fixture.h. */
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
#include "store/ids.h"
#include "store/log.h"
#include "store/migrations.h"
#include "svc/access.h"
#include "svc/app.h"
#include "svc/batch.h"
#include "svc/events.h"
#include "svc/functions.h"
#include "svc/messages.h"
#include "svc/meters.h"
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
    struct step_filter part;
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
    struct meter_report meters;
    bool ended_all;
};

/* ---- making ---------------------------------------------------------------------------------- */

static inline void sim_fatal(void *app, const char *what)
{
    (void)app;
    fail_msg("the disk failed: %s", what);
}

static inline void sim_schema(struct sim *s, bool fresh)
{
    struct db_conn *k = NULL;
    int64_t id_last = 0;

    assert_int_equal(db_conn_open(&s->c, s->db, true, &k), ERR_OK);
    if (sim_pg_url != NULL && fresh) {
        assert_int_equal(db_begin(&s->c, k, true), ERR_OK);
        assert_int_equal(db_script(&s->c, S("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")),
                         ERR_OK);
        assert_int_equal(db_commit(&s->c), ERR_OK);
    }
    if (db_migrate(&s->c, k, store_migrations, store_migrations_n) != ERR_OK)
        fail_msg("%s", s->c.err.text);
    assert_int_equal(db_begin(&s->c, k, false), ERR_OK);
    assert_int_equal(store_id_last(&s->c, &id_last), ERR_OK);
    db_rollback(&s->c);
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
        .id_last = id_last,
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
                           .worker_ttl_ms = 90000,
                           .push_timeout_ms = 10000,
                           .push_stale_ms = 120000,
                           .breaker_open_ms = 60000 };
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

/* ---- running --------------------------------------------------------------------------------- */

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
