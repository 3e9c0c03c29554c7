/* What c->batch points to during a write transaction. It lives in the transaction's arena. */
#pragma once

#include "base/buf.h"
#include "svc/batch.h"
#include "svc/meters.h"

/* One counter and what the transaction adds to it. */
struct tally {
    int64_t env, fn, kind, n;
};

/* What the transaction adds to the trail of a run. */
struct audit_pack {
    int64_t env, run, expires_at;
    struct buf b;
};

struct batch {
    struct arena *arena;
    bool numbered;       /* positions are given here */
    int64_t first_pos;   /* of the first message */
    int64_t count;       /* messages so far */
    int64_t added_bytes; /* of the row written before the commit */
    uint64_t filter;
    struct buf records;
    struct tally *tallies;
    size_t tallies_n, tallies_cap;
    int64_t told_run, told; /* the run of which svc/audit heard last, and its recording */
    struct audit_pack **audits;
    size_t audits_n, audits_cap;
    struct meter_fact *facts; /* for the metrics, once committed */
    size_t facts_n, facts_cap;
};

/* Notes a fact; nothing when metrics are off. */
void batch_fact(struct ctx *c, const struct meter_fact *fact);

static inline struct batch *batch_of(const struct ctx *c)
{
    must(c->batch != NULL);
    return c->batch;
}
