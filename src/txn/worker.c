/* One thread's connection and the transaction that is open on it: begin, run a call, commit, with
 * the hooks in their places. Everything here runs on the worker's thread. */
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "txn/txn_priv.h"

#define BACKOFF_MAX_MS 64

err_t worker_open(struct ctx *c, struct worker *w, struct txn *t, size_t index, bool write)
{
    must(w->conn == NULL);
    if (index == 0 && t->o.writer != NULL)
        w->conn = t->o.writer;
    else
        TRY(db_conn_open(c, t->o.db, write, &w->conn));
    w->t = t;
    arena_init(&w->arena);
    w->ids = (struct id_gen){ .last = t->o.id_last, .slot = (t->o.slot + (int64_t)index) % 1024 };
    if (t->o.seed == 0)
        rng_init(&w->rng);
    else
        rng_seed(&w->rng, t->o.seed + index);
    return ERR_OK;
}

void worker_close(struct worker *w)
{
    if (w->conn == NULL)
        return;
    must(w->ctx.tx == NULL);
    db_conn_close(w->conn);
    w->conn = NULL;
    arena_done(&w->arena);
    mem_free(w->signals.items);
    mem_free(w->call_signals.items);
}

err_t worker_begin(struct worker *w, bool write)
{
    const struct txn_hooks *h = &w->t->o.hooks;
    struct ctx *c = &w->ctx;
    err_t e;

    must(c->tx == NULL);
    arena_reset(&w->arena);
    w->signals.n = 0;
    w->call_signals.n = 0;
    *c = (struct ctx){ .arena = &w->arena,
                       .clock = w->t->o.clock,
                       .rng = &w->rng,
                       .ids = &w->ids,
                       .signals = &w->signals,
                       .app = w->t->o.app };
    TRY(db_begin(c, w->conn, write));
    /* Read after the lock was granted, so that times grow in commit order. */
    c->now_ms = txn_now(w->t);
    if (!write || h->begin == NULL)
        return ERR_OK;
    e = h->begin(c);
    if (e != ERR_OK)
        db_rollback(c);
    return e;
}

void worker_rollback(struct worker *w, bool write)
{
    const struct txn_hooks *h = &w->t->o.hooks;

    db_rollback(&w->ctx);
    if (write && h->after != NULL)
        h->after(&w->ctx, false);
}

err_t worker_prepare(struct worker *w)
{
    const struct txn_hooks *h = &w->t->o.hooks;
    err_t e = h->before_commit == NULL ? ERR_OK : h->before_commit(&w->ctx);

    if (e == ERR_OK && db_is_dead(&w->ctx))
        e = err_set(&w->ctx, ERR_UNAVAILABLE, "the database ended the transaction");
    if (e != ERR_OK)
        worker_rollback(w, true);
    return e;
}

err_t worker_commit(struct worker *w)
{
    const struct txn_hooks *h = &w->t->o.hooks;
    err_t e = db_commit(&w->ctx);

    must(w->ctx.tx == NULL);
    if (h->after != NULL)
        h->after(&w->ctx, e == ERR_OK);
    return e;
}

err_t worker_run(struct worker *w, struct call *call)
{
    struct ctx *c = &call->ctx;
    err_t e;

    w->call_signals.n = 0;
    c->err.code = ERR_OK;
    c->err.text[0] = '\0';
    c->now_ms = w->ctx.now_ms;
    if (!call->timed_out && c->deadline_ms != 0 && c->now_ms >= c->deadline_ms)
        return err_set(c, ERR_DEADLINE, "the deadline passed before the request could run");
    c->clock = w->ctx.clock;
    c->rng = w->ctx.rng;
    c->ids = w->ctx.ids;
    c->tx = w->ctx.tx;
    c->batch = w->ctx.batch;
    c->app = w->ctx.app;
    c->call = call;
    c->signals = &w->call_signals;
    e = call->run(c);
    c->tx = NULL;
    c->batch = NULL;
    c->signals = NULL;
    must(e != ERR_PARKED || call->park != NULL);
    return e;
}

err_t worker_blame(struct worker *w, struct call *call, err_t e)
{
    str_t text = err_text(&w->ctx, e);
    err_t shown = txn_outside(e);

    (void)err_set(&call->ctx, shown, STR_FMT, STR_ARG(text));
    return e;
}

void worker_backoff(struct worker *w, int attempt)
{
    uint64_t ms = attempt < 6 ? (uint64_t)1 << attempt : BACKOFF_MAX_MS;
    uint64_t ns = rng_below(&w->rng, ms * 1000000);
    struct timespec ts = { .tv_nsec = (long)ns };

    if (w->t->mode != MODE_SINGLE)
        (void)nanosleep(&ts, NULL);
}
