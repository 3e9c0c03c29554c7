/* What unit tests of use cases share: a migrated database, the services, and transactions begun and
 * ended by hand, on a writer and (if the database has any) a reader. SQLite in a file; PostgreSQL,
 * once more, when IRONFLOW_TEST_PG_URL names one. */
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
#include "store/migrations.h"
#include "svc/access.h"
#include "svc/app.h"
#include "svc/batch.h"
#include "svc/functions.h"
#include "svc/registry.h"
#include "txn/txn.h"

#define TX_START_MS 1767225600000

struct tx_side {
    struct arena arena;
    struct ctx c;
    struct signal_list signals;
    struct db_conn *conn;
};

struct tx_fixture {
    struct app app;
    struct clock clock;
    struct rng rng;
    struct id_gen ids;
    struct db *db;
    struct tx_side w, r; /* writer, reader */
    char dir[64];
    str_t key, key_id; /* of the bootstrap, in `keep` */
    struct arena keep;
};

static const char *tx_pg_url; /* NULL: SQLite */

static inline void tx_begin_side(struct tx_fixture *f, struct tx_side *s, bool write)
{
    assert_null(s->c.tx);
    arena_reset(&s->arena);
    s->signals.n = 0;
    s->c.now_ms = f->clock.virtual_ms;
    s->c.err.code = ERR_OK;
    assert_int_equal(db_begin(&s->c, s->conn, write), ERR_OK);
    if (write)
        assert_int_equal(svc_batch_begin(&s->c), ERR_OK);
}

/* A write transaction, a millisecond after the last one. */
static inline struct ctx *tx_begin(struct tx_fixture *f)
{
    f->clock.virtual_ms++;
    tx_begin_side(f, &f->w, true);
    return &f->w.c;
}

static inline void tx_commit(struct tx_fixture *f)
{
    struct ctx *c = &f->w.c;

    assert_int_equal(svc_batch_before_commit(c), ERR_OK);
    assert_int_equal(db_commit(c), ERR_OK);
    svc_batch_after(c, true);
}

static inline void tx_rollback(struct tx_fixture *f)
{
    db_rollback(&f->w.c);
    svc_batch_after(&f->w.c, false);
    f->w.c.tx = NULL;
}

/* A read transaction on the other connection. */
static inline struct ctx *tx_read(struct tx_fixture *f)
{
    tx_begin_side(f, &f->r, false);
    return &f->r.c;
}

static inline void tx_read_end(struct tx_fixture *f)
{
    db_rollback(&f->r.c);
    f->r.c.tx = NULL;
}

static inline void tx_side_open(struct tx_fixture *f, struct tx_side *s, bool write)
{
    arena_init(&s->arena);
    s->c = (struct ctx){ .arena = &s->arena,
                         .clock = &f->clock,
                         .rng = &f->rng,
                         .ids = &f->ids,
                         .now_ms = f->clock.virtual_ms,
                         .env = ENV_DEFAULT_KEY,
                         .signals = &s->signals,
                         .app = &f->app };
    if (write && f->db == NULL) {
        struct db_opts o = { .kind = tx_pg_url ? DB_PG : DB_SQLITE };

        o.path = tx_pg_url ? str_from(tx_pg_url) : str_printf(&f->keep, "%s/db", f->dir);
        assert_int_equal(db_open(&s->c, &o, &f->db), ERR_OK);
    }
    assert_int_equal(db_conn_open(&s->c, f->db, write, &s->conn), ERR_OK);
}

static inline void tx_schema(struct tx_fixture *f)
{
    struct tx_side s = { 0 };

    tx_side_open(f, &s, true);
    if (tx_pg_url != NULL) {
        assert_int_equal(db_begin(&s.c, s.conn, true), ERR_OK);
        assert_int_equal(db_script(&s.c, S("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")),
                         ERR_OK);
        assert_int_equal(db_commit(&s.c), ERR_OK);
    }
    if (db_migrate(&s.c, s.conn, store_migrations, store_migrations_n) != ERR_OK)
        fail_msg(STR_FMT, STR_ARG(err_text(&s.c, s.c.err.code)));
    db_conn_close(s.conn);
    arena_done(&s.arena);
}

static inline void tx_bootstrap(struct tx_fixture *f)
{
    str_t key, id;

    assert_int_equal(svc_access_bootstrap(tx_begin(f), &key, &id), ERR_OK);
    if (key.n > 0) {
        f->key = str_dup(&f->keep, key);
        f->key_id = str_dup(&f->keep, id);
    }
    tx_commit(f);
}

static inline int tx_setup(void **state)
{
    struct tx_fixture *f = mem_zero(sizeof(*f));

    arena_init(&f->keep);
    clock_init_virtual(&f->clock, TX_START_MS);
    rng_seed(&f->rng, 7);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/svc-test-XXXXXX");
    if (tx_pg_url == NULL)
        assert_non_null(mkdtemp(f->dir));
    f->app = (struct app){ .db_kind = tx_pg_url ? DB_PG : DB_SQLITE,
                           .registry = registry_cache_new(),
                           .access = access_cache_new(),
                           .worker_ttl_ms = 90000,
                           .push_timeout_ms = 10000,
                           .push_stale_ms = 120000,
                           .breaker_open_ms = 60000 };
    tx_schema(f);
    tx_side_open(f, &f->w, true);
    tx_side_open(f, &f->r, false);
    tx_bootstrap(f);
    *state = f;
    return 0;
}

static inline int tx_teardown(void **state)
{
    static const char *const files[] = { "db", "db-wal", "db-shm", "db.lock" };
    struct tx_fixture *f = *state;

    db_conn_close(f->r.conn);
    db_conn_close(f->w.conn);
    db_close(f->db);
    /* The other way round than the caches ask for: what was borrowed outlives the cache. */
    registry_cache_free(f->app.registry);
    access_cache_free(f->app.access);
    arena_done(&f->w.arena);
    arena_done(&f->r.arena);
    mem_free(f->w.signals.items);
    mem_free(f->r.signals.items);
    if (tx_pg_url == NULL) {
        for (size_t i = 0; i < COUNT_OF(files); i++)
            (void)unlink(str_z(&f->keep, str_printf(&f->keep, "%s/%s", f->dir, files[i])));
        assert_int_equal(rmdir(f->dir), 0);
    }
    arena_done(&f->keep);
    mem_free(f);
    return 0;
}

/* Registers in the open write transaction. */
static inline err_t tx_register(struct ctx *c, const char *json, struct function *out,
                                bool *created)
{
    struct pb_register_function_request in = { 0 };

    assert_int_equal(pb_from_json(c, &pb_register_function_request_desc, str_from(json), &in),
                     ERR_OK);
    return svc_function_register(c, &in, out, created);
}

/* Runs the group on SQLite and, if there is one, on PostgreSQL. */
#define TX_MAIN(tests, pg_url)                                                                     \
    int main(void)                                                                                 \
    {                                                                                              \
        int failed = cmocka_run_group_tests_name("SQLite", (tests), NULL, NULL);                   \
                                                                                                   \
        tx_pg_url = (pg_url);                                                                      \
        if (tx_pg_url == NULL) {                                                                   \
            print_message("NOT RUN: PostgreSQL (IRONFLOW_TEST_PG_URL is not set)\n");              \
            return failed;                                                                         \
        }                                                                                          \
        return failed + cmocka_run_group_tests_name("PostgreSQL", (tests), NULL, NULL);            \
    }
