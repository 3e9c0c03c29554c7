/* What the tests of this folder share: a database with one table and a txn on it whose hooks count.
 */
#pragma once

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sync.h"
#include "base/test.h"
#include "db/db_fault.h"
#include "txn/txn.h"

/* Set by the test that uses FX_PG. */
static const char *fx_pg_url;

enum fx_kind { FX_MEMORY, FX_FILE, FX_PG };

struct fx {
    struct arena arena;
    struct ctx c;
    struct clock clock;
    struct db *db;
    struct txn *t;
    struct txn_opts o;
    char dir[64];
    struct mutex lock;
    struct cond cond;
    /* under lock */
    int begun, committed, rolled_back, fatals, signals;
    struct signal last_signals[64];
    err_t before_commit_err; /* given once by the hook, if some call collected something */
    int done_n;
    bool hold;
};

static inline err_t fx_hook_begin(struct ctx *c)
{
    struct fx *f = c->app;

    mutex_lock(&f->lock);
    f->begun++;
    mutex_unlock(&f->lock);
    c->batch = NEW(c->arena, int64_t);
    return ERR_OK;
}

static inline err_t fx_hook_before_commit(struct ctx *c)
{
    struct fx *f = c->app;
    err_t e = ERR_OK;

    mutex_lock(&f->lock);
    if (*(int64_t *)c->batch > 0 && f->before_commit_err != ERR_OK) {
        e = f->before_commit_err;
        f->before_commit_err = ERR_OK;
    }
    mutex_unlock(&f->lock);
    return e == ERR_OK ? ERR_OK : err_set(c, e, "the hook refuses");
}

static inline void fx_hook_after(struct ctx *c, bool committed)
{
    struct fx *f = c->app;

    mutex_lock(&f->lock);
    if (committed)
        f->committed++;
    else
        f->rolled_back++;
    mutex_unlock(&f->lock);
}

static inline void fx_hook_signal(void *app, const struct signal *s)
{
    struct fx *f = app;

    mutex_lock(&f->lock);
    f->last_signals[f->signals++ % 64] = *s;
    mutex_unlock(&f->lock);
}

static inline void fx_hook_fatal(void *app, const char *what)
{
    struct fx *f = app;

    (void)what;
    mutex_lock(&f->lock);
    f->fatals++;
    cond_broadcast(&f->cond);
    mutex_unlock(&f->lock);
}

static inline void fx_schema(struct fx *f, struct db_conn *k)
{
    f->c.tx = NULL;
    assert_int_equal(db_begin(&f->c, k, true), ERR_OK);
    assert_int_equal(db_script(&f->c, S("DROP TABLE IF EXISTS txn_t;"
                                        "CREATE TABLE txn_t (id BIGINT PRIMARY KEY, v BIGINT);")),
                     ERR_OK);
    assert_int_equal(db_commit(&f->c), ERR_OK);
}

static inline void fx_open_db(struct fx *f, enum fx_kind kind)
{
    struct db_opts o = { .kind = kind == FX_PG ? DB_PG : DB_SQLITE };

    if (kind == FX_MEMORY) {
        o.path = S(":memory:");
    } else if (kind == FX_FILE) {
        snprintf(f->dir, sizeof(f->dir), "/tmp/txn-test-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        o.path = str_printf(&f->arena, "%s/db", f->dir);
    } else {
        o.path = str_from(fx_pg_url);
    }
    assert_int_equal(db_open(&f->c, &o, &f->db), ERR_OK);
}

/* threads = 0: single-threaded under a virtual clock that shows 1,000,000. */
static inline struct fx *fx_new_with(enum fx_kind kind, int threads, size_t waiting_max)
{
    struct fx *f = mem_zero(sizeof(*f));
    struct db_conn *k = NULL;

    arena_init(&f->arena);
    mutex_init(&f->lock);
    cond_init(&f->cond);
    f->c.arena = &f->arena;
    fx_open_db(f, kind);
    assert_int_equal(db_conn_open(&f->c, f->db, true, &k), ERR_OK);
    fx_schema(f, k);
    clock_init_virtual(&f->clock, 1000000);
    f->o = (struct txn_opts){
        .db = f->db,
        .threads = threads,
        .clock = threads == 0 ? &f->clock : NULL,
        .hooks = { fx_hook_begin, fx_hook_before_commit, fx_hook_after, fx_hook_signal,
                   fx_hook_fatal },
        .app = f,
        .slot = 7,
        .seed = 42,
        .waiting_max = waiting_max,
    };
    if (kind == FX_PG)
        db_conn_close(k);
    else
        f->o.writer = k;
    assert_int_equal(txn_new(&f->c, &f->o, &f->t), ERR_OK);
    return f;
}

static inline struct fx *fx_new(enum fx_kind kind, int threads)
{
    return fx_new_with(kind, threads, 0);
}

static inline void fx_drop_schema(struct fx *f)
{
    struct db_conn *k = NULL;

    f->c.tx = NULL;
    assert_int_equal(db_conn_open(&f->c, f->db, true, &k), ERR_OK);
    assert_int_equal(db_begin(&f->c, k, true), ERR_OK);
    assert_int_equal(db_script(&f->c, S("DROP TABLE txn_t;")), ERR_OK);
    assert_int_equal(db_commit(&f->c), ERR_OK);
    db_conn_close(k);
}

static inline void fx_free(struct fx *f)
{
    txn_stop(f->t);
    txn_free(f->t);
    if (db_kind_of(f->db) == DB_PG)
        fx_drop_schema(f);
    db_close(f->db);
    if (f->dir[0] != '\0') {
        static const char *const files[] = { "db", "db-wal", "db-shm", "db.lock" };

        for (size_t i = 0; i < COUNT_OF(files); i++)
            (void)unlink(str_z(&f->arena, str_printf(&f->arena, "%s/%s", f->dir, files[i])));
        assert_int_equal(rmdir(f->dir), 0);
    }
    cond_done(&f->cond);
    mutex_done(&f->lock);
    arena_done(&f->arena);
    mem_free(f);
}
