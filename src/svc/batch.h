/* What the calls of one transaction share: the messages that go into one row of the log, and
 * counters that are added to once. The three functions are txn's hooks. */
#pragma once

#include "engine/types.h"

/* txn's hooks: makes c->batch; writes the row of the log and the counters; keeps what was
 * committed. */
NODISCARD err_t svc_batch_begin(struct ctx *c);
NODISCARD err_t svc_batch_before_commit(struct ctx *c);
void svc_batch_after(struct ctx *c, bool committed);
/* In a transaction: reads where the positions of the log go on (SQLite). svc_batch_begin does it by
 * itself when nobody did. */
NODISCARD err_t svc_batch_recover(struct ctx *c);

/* Counter kinds: run statuses are their own number. */
enum { COUNT_EVENTS = 100 };
/* Adds delta to the counter of (c->env, fn, kind) when the transaction commits. */
void svc_count(struct ctx *c, int64_t fn, int64_t kind, int64_t delta);
/* One run moved from a status to another (0: none): both counters. */
void svc_count_run(struct ctx *c, int64_t fn, int64_t from, int64_t to);
