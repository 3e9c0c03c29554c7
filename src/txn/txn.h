/* Runs calls in transactions and holds their replies until what they did is durable.
 *
 * A call is straight-line code, `err_t run(struct ctx *c)`, that may run more than once and
 * therefore touches nothing but its transaction, its arena, its own result memory (which it sets
 * anew each time) and its signals. WRITE calls share transactions: on SQLite one writer thread
 * takes all that wait, runs each to its end, then the parked calls that they woke, commits once and
 * only then delivers signals and replies. READ calls run on reader threads with a snapshot taken
 * when they start. On PostgreSQL a few executor threads run one call a transaction. Without threads
 * everything runs inside txn_step, for the simulator and the tests.
 *
 * A call that fails after it wrote something dooms its batch: the batch is rolled back and runs
 * again without it, then it runs alone. A call that fails before its first write costs nobody
 * anything. */
#pragma once

#include "base/ctx.h"
#include "db/db.h"
#include "rt/loop.h"

struct txn;

enum call_kind { CALL_READ, CALL_WRITE };

/* What happens only if the write is durable: data, never functions. Delivered in call order, before
 * the replies. */
enum sig {
    SIG_RUN_READY, /* key: function key; each wakes the oldest parked WRITE and the oldest READ */
    SIG_RUN_ENDED, /* key: run id; wakes all */
    SIG_TIMER,     /* key 0: an earlier timer was set; wakes all */
    SIG_REGISTRY,  /* key: environment; functions changed */
    SIG_WORKER,    /* key: worker key; it lost a job or another stream is it now; wakes all */
    SIG_SLOT_FREE, /* key: worker key; one of its jobs came to an end; wakes all */
    SIG_ACCESS,    /* key 0: keys, roles or environments changed */
    SIG_COUNT
};

struct signal {
    enum sig sig;
    int64_t key;
};
struct signal_list {
    struct signal *items;
    size_t n, cap;
};
/* Inside run: raised when the transaction has committed. */
void signal_add(struct ctx *c, enum sig sig, int64_t key);

struct call {
    struct ctx ctx; /* arena, env, who, deadline set by the maker; tx and times by txn */
    enum call_kind kind;
    err_t (*run)(struct ctx *c);
    void *arg;                       /* the maker's; run finds it as c->call->arg */
    void (*done)(struct call *call); /* once, with result set; on `loop`, or inline when NULL */
    struct loop *loop;
    err_t result;
    bool timed_out; /* run again because the time it parked for is up */
    size_t bytes;   /* set by the maker: what it counts against the 4 MiB of a batch; may stay 0 */

    /* txn's own */
    struct loop_msg msg;
    struct call *prev, *next;
    struct call_park *park;
    enum call_kind next_kind; /* what txn_next asked for */
    err_t (*next_run)(struct ctx *c);
    uint64_t seen; /* signals raised when it was taken from its queue */
    void *waiter;  /* of txn_run */
    uint32_t state;
    bool cancelled;
};

struct txn_hooks {
    /* After BEGIN of a write: may set c->batch. Before its COMMIT: writes what was collected; an
     * error rolls back. After it: committed says how it ended, once for each begin that succeeded.
     * On the thread of the transaction; c->arena lives until the next one begins. Any may be NULL.
     */
    err_t (*begin)(struct ctx *c);
    err_t (*before_commit)(struct ctx *c);
    void (*after)(struct ctx *c, bool committed);
    /* Every signal after its commit (caches); may be NULL. */
    void (*on_signal)(void *app, const struct signal *s);
    /* The disk failed: called once; must end the process (the default logs and calls _exit). */
    void (*fatal)(void *app, const char *what);
};

struct txn_opts {
    struct db *db;
    struct db_conn *writer;    /* SQLite: an open write connection that txn takes over, or NULL */
    int threads;               /* readers on SQLite, executors on PostgreSQL; 0: single-threaded */
    const struct clock *clock; /* NULL: the process's clock */
    struct txn_hooks hooks;
    void *app;       /* becomes c->app */
    int64_t slot;    /* node slot for ids; each further thread that makes ids takes the next one. On
                        PostgreSQL the first that may be free: other servers own theirs */
    str_t name;      /* of this server; outlives txn */
    int64_t id_last; /* ids are greater than this one: what an earlier process gave out */
    uint64_t seed;   /* 0: random */
    size_t waiting_max; /* default 4096 */
};

NODISCARD err_t txn_new(struct ctx *c, const struct txn_opts *o, struct txn **out);
/* The clock that its calls' times and deadlines are of. */
const struct clock *txn_clock(const struct txn *t);
/* The name of the server, with its slot behind it when another one that lives has the same. */
str_t txn_name(const struct txn *t);
/* Finishes what waits, answers parked calls with ERR_UNAVAILABLE, joins the threads. */
void txn_stop(struct txn *t);
void txn_free(struct txn *t);

/* Prepares *call; c->arena stays the maker's. */
void call_init(struct call *call, enum call_kind kind, err_t (*run)(struct ctx *c), void *arg,
               struct arena *arena);
/* Any thread. ERR_UNAVAILABLE when too many wait or it is stopping: then done is not called. */
NODISCARD err_t txn_submit(struct txn *t, struct call *call);
/* The same, but it runs first after delay_ms at most; until then it is parked and needs no
 * database. */
NODISCARD err_t txn_submit_after(struct txn *t, struct call *call, int64_t delay_ms);
/* The client is gone: a call that is parked, or about to park, ends with ERR_CANCELED; any other
 * runs on. On the thread that runs call->done; done is still called (inside, without a loop). */
void txn_cancel(struct txn *t, struct call *call);

/* Inside run, at its end: return txn_park(...) to wait for one of the signals, or until the
 * deadline (0: none), and then run again from the beginning. Without keys it waits for the deadline
 * alone. What the run wrote and signalled is committed first. Look before you park, in the same
 * run: a signal of an earlier transaction does not come again. */
NODISCARD err_t txn_park(struct ctx *c, enum sig sig, const int64_t *keys, size_t n,
                         int64_t deadline_ms);
/* Inside run, at its end: return txn_next(...) to go on with another function after the commit, in
 * another transaction (a READ after a WRITE, the next slice of a job). */
NODISCARD err_t txn_next(struct ctx *c, enum call_kind kind, err_t (*run)(struct ctx *c));

/* Runs a call from a plain thread and waits for it (start-up, tests); done and loop are not used.
 * In single-threaded mode a call that parks for a later time is cancelled. Returns its result. */
NODISCARD err_t txn_run(struct txn *t, struct call *call);

/* Single-threaded mode: one write batch and the reads that wait. False when nothing was to do;
 * *next_due is then the earliest deadline of a parked call, or INT64_MAX. */
bool txn_step(struct txn *t, int64_t *next_due);

struct txn_stats {
    uint64_t batches, writes, reads, reruns, rejected;
    size_t waiting, parked;
};
/* Totals since the start, and what waits now. Any thread. */
void txn_stats(struct txn *t, struct txn_stats *out);
