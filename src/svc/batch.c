/* The collecting place of a write transaction: its messages become one row of the log, its counter
 * deltas one statement each. Used by the thread that runs the transaction. */
#include "svc/batch.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "store/counters.h"
#include "store/log.h"
#include "svc/app.h"
#include "svc/audit.h"
#include "svc/batch_priv.h"

#define RECORDS_MAX (64u << 20)
/* Concurrent writers of PostgreSQL draw one of these, so that they seldom wait for each other. */
#define COUNTER_SHARDS 16

err_t svc_batch_recover(struct ctx *c)
{
    struct app *app = app_of(c);
    struct log_row last = { 0 };
    bool found = false;

    if (app->db_kind != DB_SQLITE)
        return ERR_OK;
    TRY(store_log_last(c, &last, &found));
    app->log.next_pos = found ? last.last_pos + 1 : 1;
    app->log.end_bytes = found ? last.end_bytes : 0;
    return ERR_OK;
}

err_t svc_batch_begin(struct ctx *c)
{
    struct app *app = app_of(c);
    struct batch *b = NEW(c->arena, struct batch);

    b->arena = c->arena;
    b->numbered = app->db_kind == DB_SQLITE;
    if (b->numbered && app->log.next_pos == 0)
        TRY(svc_batch_recover(c));
    b->first_pos = b->numbered ? app->log.next_pos : 0;
    buf_init_arena(&b->records, c->arena, RECORDS_MAX);
    c->batch = b;
    return ERR_OK;
}

static err_t log_write_row(struct ctx *c, struct batch *b)
{
    struct log_row row = {
        .created_at = c->now_ms,
        .count = b->count,
        .filter = b->filter,
        .records = buf_str(&b->records),
    };

    if (b->records.full)
        return err_set(c, ERR_TOO_LARGE, "the messages of one transaction are too many");
    row.crc = crypto_crc32c(0, row.records.p, row.records.n);
    b->added_bytes = (int64_t)row.records.n;
    if (b->numbered) {
        row.first_pos = b->first_pos;
        row.last_pos = b->first_pos + b->count - 1;
        row.end_bytes = app_of(c)->log.end_bytes + b->added_bytes;
    }
    return store_log_add(c, &row);
}

static int tally_order(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;

    if (x->env != y->env)
        return x->env < y->env ? -1 : 1;
    if (x->fn != y->fn)
        return x->fn < y->fn ? -1 : 1;
    return x->kind < y->kind ? -1 : x->kind > y->kind;
}

err_t svc_batch_before_commit(struct ctx *c)
{
    struct batch *b = batch_of(c);
    int64_t shard = b->numbered ? 0 : (int64_t)rng_below(c->rng, COUNTER_SHARDS);

    if (b->count > 0)
        TRY(log_write_row(c, b));
    if (b->audits_n > 0)
        TRY(audit_write(c));
    /* in one order everywhere, so that transactions cannot wait for each other in a circle */
    if (b->tallies_n > 1)
        qsort(b->tallies, b->tallies_n, sizeof(*b->tallies), tally_order);
    for (size_t i = 0; i < b->tallies_n; i++) {
        const struct tally *t = &b->tallies[i];

        if (t->n != 0)
            TRY(store_counter_add(c, t->env, t->fn, t->kind, shard, t->n));
    }
    return ERR_OK;
}

void svc_batch_after(struct ctx *c, bool committed)
{
    struct app *app = app_of(c);
    struct batch *b = c->batch;

    c->batch = NULL;
    if (!b || !committed)
        return;
    if (b->facts_n > 0)
        meters_add(app->meters, b->facts, b->facts_n);
    if (!b->numbered)
        return;
    must(app->log.next_pos == b->first_pos);
    app->log.next_pos += b->count;
    app->log.end_bytes += b->added_bytes;
}

void batch_fact(struct ctx *c, const struct meter_fact *fact)
{
    struct batch *b = batch_of(c);

    if (!app_of(c)->meters)
        return;
    if (b->facts_n == b->facts_cap) {
        size_t cap = b->facts_cap ? b->facts_cap * 2 : 64;
        struct meter_fact *more = NEW_N(b->arena, struct meter_fact, cap);

        if (b->facts_n > 0)
            memcpy(more, b->facts, b->facts_n * sizeof(*more));
        b->facts = more;
        b->facts_cap = cap;
    }
    b->facts[b->facts_n] = *fact;
    b->facts[b->facts_n++].name = str_dup(b->arena, fact->name);
}

void svc_count(struct ctx *c, int64_t fn, int64_t kind, int64_t delta)
{
    struct batch *b = batch_of(c);

    for (size_t i = b->tallies_n; i > 0; i--) {
        struct tally *t = &b->tallies[i - 1];

        if (t->fn == fn && t->kind == kind && t->env == c->env) {
            t->n += delta;
            return;
        }
    }
    if (b->tallies_n == b->tallies_cap) {
        size_t cap = b->tallies_cap ? b->tallies_cap * 2 : 16;
        struct tally *more = NEW_N(b->arena, struct tally, cap);

        if (b->tallies_n > 0)
            memcpy(more, b->tallies, b->tallies_n * sizeof(*more));
        b->tallies = more;
        b->tallies_cap = cap;
    }
    b->tallies[b->tallies_n++] =
        (struct tally){ .env = c->env, .fn = fn, .kind = kind, .n = delta };
}

void svc_count_run(struct ctx *c, int64_t fn, int64_t from, int64_t to)
{
    if (from == to)
        return;
    if (from != 0)
        svc_count(c, fn, from, -1);
    if (to != 0)
        svc_count(c, fn, to, 1);
}
