/* Shared inside src/txn. One mutex, txn.lock, guards the queues, the park table, the counters and
 * the state of every call that no thread is running; what a thread runs belongs to that thread. */
#pragma once

#include "base/map.h"
#include "base/sync.h"
#include "txn/txn.h"

enum call_state {
    CALL_IDLE,    /* the maker's */
    CALL_QUEUED,  /* in a queue */
    CALL_RUNNING, /* a worker's: running, or run and held until the commit */
    CALL_HELD,    /* a worker's: parked by a transaction that has not committed yet */
    CALL_PARKED,  /* in the park table only */
    CALL_ENDED,   /* result set, done about to be called */
};

/* Calls linked by prev and next. */
struct call_list {
    struct call *first, *last;
    size_t n;
};

/* ---- park.c ---------------------------------------------------------------------------------- */

struct park_list;
struct park_node {
    struct park_node *prev, *next;
    struct park_list *list; /* NULL: not linked */
    struct call_park *owner;
    int64_t key;
};

/* What a call waits for. It lives from the first park to the end of the call. */
struct call_park {
    struct call *call;
    enum sig sig;
    size_t n, cap; /* nodes, one a key */
    struct park_node *nodes;
    int64_t deadline_ms; /* 0: none */
    int64_t due_ms;      /* when it runs again at the latest */
    size_t heap_at;      /* HEAP_NONE: not in the heap */
    uint64_t ticket;     /* its place in every line it stands in; kept while it parks again */
    bool linked;         /* in the table */
    bool woken;          /* woken by `by`, and not run to an answer since */
    struct signal by;
    struct call_park *chain; /* the next one that the same signal woke */
};
#define HEAP_NONE SIZE_MAX
#define NEVER INT64_MAX

/* A call that ran without a lock may miss a signal raised meanwhile; the slots remember when the
 * signals that fall into them were raised last. A collision costs a run, nothing else. */
#define RAISED_SLOTS 4096

struct park_table {
    struct map lists[2][SIG_COUNT]; /* by kind and signal: key -> struct park_list */
    struct call_park **heap;        /* by due_ms; every armed call is in it */
    size_t heap_n, heap_cap;
    uint64_t tickets;
    uint64_t raised_n; /* signals raised so far */
    uint64_t raised[RAISED_SLOTS];
};

/* All of these with txn.lock held. */
void park_link(struct park_table *p, struct call *call); /* to its place in the lines */
void park_arm(struct park_table *p, struct call *call, int64_t due_ms);
void park_remove(struct park_table *p, struct call *call); /* from the lines and the heap */
/* Takes out whom the signal wakes: the oldest for SIG_RUN_READY, else all, oldest first, linked by
 * chain. Calls whose client is gone are left to those who end them. */
struct call_park *park_take(struct park_table *p, enum call_kind kind, struct signal s);
/* Notes that s was raised; true from park_missed if that happened after `seen`. */
void park_raise(struct park_table *p, struct signal s);
bool park_missed(const struct park_table *p, const struct call *call);
/* The earliest due_ms, or NEVER. */
int64_t park_due(const struct park_table *p);
/* The call that is due first, or NULL. */
struct call *park_first(const struct park_table *p);
void park_free(struct call *call);
void park_table_done(struct park_table *p);

/* ---- deliver.c ------------------------------------------------------------------------------- */

#define DELIVER_LOOPS 32

/* Ended calls on their way out: one chain of messages a loop, in call order. */
struct deliver {
    struct {
        struct loop *loop;
        struct loop_msg *first, *last;
    } to[DELIVER_LOOPS];
    size_t n;
    struct call_list inline_calls;
};
void deliver_add(struct deliver *d, struct call *call);
/* Posts every chain and calls what is inline. Without txn.lock. The calls are no longer ours. */
void deliver_flush(struct deliver *d);

/* ---- txn.c ----------------------------------------------------------------------------------- */

enum txn_mode {
    MODE_SINGLE, /* txn_step does everything */
    MODE_ALONE,  /* one writer thread that reads, too: SQLite without readers */
    MODE_SQLITE, /* a writer thread and readers */
    MODE_PG,     /* executors */
};

struct queue {
    struct call_list calls[2]; /* by kind; on PostgreSQL all in the first */
    struct cond cond;
    size_t idle, signalled; /* threads that wait for cond; those of them with a wake-up under way */
};

/* One thread that runs calls, its connection and what every transaction needs. */
struct worker {
    struct txn *t;
    pthread_t thread;
    struct db_conn *conn;
    struct arena arena;              /* of ctx; emptied for every transaction */
    struct ctx ctx;                  /* of the transaction: hooks, commit */
    struct signal_list signals;      /* raised by the transaction */
    struct signal_list call_signals; /* raised by the call that runs */
    struct id_gen ids;
    struct rng rng;
};

struct txn {
    struct txn_opts o;
    enum txn_mode mode;
    bool pg;                /* one call a transaction, all kinds in one queue */
    struct worker *workers; /* SQLite: the writer first */
    size_t workers_n;
    pthread_t clock_thread;
    bool threads_run;

    struct mutex lock;
    struct queue write_queue;
    struct queue read_queue; /* MODE_SQLITE only */
    struct cond clock_cond;
    struct park_table park;
    struct peers *peers; /* MODE_PG only */
    size_t waiting;      /* submitted and neither parked nor ended */
    size_t parked;
    int64_t now_ms; /* the latest time given to a transaction */
    bool stopping, clock_stop, failed;
    struct txn_stats stats;
};

/* The list that calls of this kind wait in. */
struct call_list *txn_list(struct txn *t, enum call_kind kind);
/* With lock held: queues a call and wakes one thread for it. */
void txn_queue_put(struct txn *t, struct call *call);
/* Sleeps until the queue has a call (true) or nothing will come any more. Takes the lock. */
bool txn_queue_wait(struct txn *t, struct queue *q);
/* With lock held: the next call of the list, marked as running; calls that shall not run any more
 * end into d instead. NULL when the list is empty. */
struct call *txn_queue_take(struct txn *t, struct call_list *l, struct deliver *d);
/* The same for the list of a kind; takes the lock. */
struct call *txn_queue_next(struct txn *t, enum call_kind kind);
/* With lock held: a call that was taken goes back to the front of its line. */
void txn_queue_return(struct txn *t, struct call *call);
/* With lock held: a call that is no longer in the park table counts as waiting again. */
void txn_unparked(struct txn *t, struct call *call);
/* With lock held: what a call that has run becomes: ended, parked, or queued for txn_next. */
void txn_settle(struct txn *t, struct call *call, err_t result, struct deliver *d);
/* With lock held: the calls that the signals wake go into their queues; WRITE calls only from
 * signal writes_from on. No thread holds a parked call then. */
void txn_raise(struct txn *t, const struct signal_list *l, size_t writes_from);
/* With lock held: the same for signals of another server. */
void txn_raise_heard(struct txn *t, const struct signal_list *l);
/* Without lock: the hook for every signal. */
void txn_on_signals(struct txn *t, const struct signal_list *l);
/* With lock held: calls whose time is up go into their queues; true if there were any. */
bool txn_expire(struct txn *t);
/* The time of a new transaction: never before an earlier one's. Takes the lock. */
int64_t txn_now(struct txn *t);
/* Whether what a call has written is to be committed. */
bool txn_is_good(err_t e);
/* What the maker sees of an error: those inside the process become ERR_UNAVAILABLE. */
err_t txn_outside(err_t e);
/* Takes the lock. */
bool txn_has_failed(struct txn *t);
/* The disk failed: no more calls are run, and hooks.fatal is called, once. Without lock. */
void txn_fatal(struct txn *t, const char *what);

/* ---- peers.c --------------------------------------------------------------------------------- */

/* Opens the line to the other servers of the database and makes o.slot the first of slots that no
 * other one makes ids in; it sets t->peers, also when it fails. */
NODISCARD err_t peers_join(struct ctx *c, struct txn *t);
void peers_start(struct peers *p);
/* Joins the thread. NULL is none. */
void peers_stop(struct peers *p);
void peers_free(struct peers *p);
/* With lock held: a signal of a transaction of ours that nobody here took. NULL is none. */
void peers_tell(struct peers *p, struct signal s);

/* ---- lists.c --------------------------------------------------------------------------------- */

void list_push(struct call_list *l, struct call *call);
void list_push_front(struct call_list *l, struct call *call);
void list_remove(struct call_list *l, struct call *call);
struct call *list_pop(struct call_list *l);
/* Moves all of `from` behind `to`. */
void list_append(struct call_list *to, struct call_list *from);
void signals_append(struct signal_list *to, const struct signal_list *from);
void signals_put(struct signal_list *l, struct signal s);

/* ---- worker.c -------------------------------------------------------------------------------- */

NODISCARD err_t worker_open(struct ctx *c, struct worker *w, struct txn *t, size_t index,
                            bool write);
void worker_close(struct worker *w);
/* Prepares w->ctx for a new transaction and begins it, with hooks.begin when it writes. */
NODISCARD err_t worker_begin(struct worker *w, bool write);
void worker_rollback(struct worker *w, bool write);
/* hooks.before_commit; after a failure the transaction is rolled back and the hook told so. */
NODISCARD err_t worker_prepare(struct worker *w);
/* COMMIT and hooks.after. */
NODISCARD err_t worker_commit(struct worker *w);
/* Runs a call once in the transaction of w. Its signals are in w->call_signals. */
err_t worker_run(struct worker *w, struct call *call);
/* Between two attempts after ERR_RETRY: waits a random short time, longer each time. */
void worker_backoff(struct worker *w, int attempt);
#define RETRY_MAX 20

/* Gives the call the error text of its transaction, which failed with e. Returns e. */
err_t worker_blame(struct worker *w, struct call *call, err_t e);

/* ---- batch.c, reader.c, executor.c, writer.c ------------------------------------------------- */

/* One batch of what waits for the writer, to its replies. False when nothing waited. */
bool batch_turn(struct worker *w);
/* Runs the next READ call to its reply. False when none waits. */
bool read_next(struct worker *w);
/* The same for one READ that was taken already. */
void read_turn(struct worker *w, struct call *call);
/* Runs the next call in a transaction of its own. False when none waits. */
bool exec_next(struct worker *w);

/* The threads. */
void *writer_main(void *worker);
void *reader_main(void *worker);
void *executor_main(void *worker);
void *clock_main(void *txn);
