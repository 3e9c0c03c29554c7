/* The session of a worker on a stream, shared by worker_stream.c (its life, its claims),
 * worker_inbox.c (what it reports) and worker_outbox.c (what it is told). A session belongs to its
 * loop's thread; its tasks run in transactions and see of it only what never changes after the
 * registration. */
#pragma once

#include "api/stream.h"
#include "base/map.h"
#include "svc/principal.h"
#include "svc/streams.h"

enum session_state {
    SESSION_NEW,         /* nothing has come */
    SESSION_REGISTERING, /* what comes waits */
    SESSION_OPEN,
    SESSION_DRAINING, /* no further jobs: the server stops */
};

/* A job that the worker has, and of which no end is known. */
struct sent_job {
    int64_t run_id, seq;
};

struct session {
    struct stream *s; /* NULL: gone; the session goes with its last task */
    struct stream_codec codec;
    struct api *api;
    struct loop *loop;
    struct arena arena; /* what lives as long as the session */
    struct principal who;
    int64_t env;
    struct credentials cred;
    struct worker worker; /* as registered */
    enum session_state state;
    bool announced;  /* `registered` was sent */
    bool tired;      /* nacked, or full: no claims until the timer */
    bool silent;     /* lost a job without a word: no claims until it speaks */
    bool no_more;    /* the worker drains: no claims at all */
    bool ended;      /* the client sends no more */
    size_t tasks;    /* calls in flight */
    struct map jobs; /* run id -> struct sent_job */
    struct claim_task *claim;
    struct watch_task *watch;
    struct batch *batch; /* in flight */
    struct batch *next;  /* collects */
    uint64_t lost_n;     /* times that the watch was woken */
    int64_t heard_ns;    /* when the last message came */
    int64_t told_ns;     /* the same of the last that was written */
    struct task *timer;  /* wakes a tired session */
};

/* A call of a session with an arena of its own. */
struct task {
    struct call call; /* call.arg is this */
    struct arena arena;
    struct session *ss;
    void (*done)(struct task *t); /* on the loop; frees the task */
};

/* size: of the struct that begins with the task. */
void *task_new(struct session *ss, size_t size, void (*done)(struct task *t));
/* Runs it, first after delay_ms (0: at once); done is called in any case, perhaps inside. */
void task_submit(struct task *t, enum call_kind kind, err_t (*run)(struct ctx *c),
                 int64_t delay_ms);
/* Ends the task; the session, too, if it was waiting for that. */
void task_free(struct task *t);
static inline struct task *task_of(struct ctx *c)
{
    return (struct task *)c->call->arg;
}

/* worker_stream.c */
/* True when the stream's credential is known to be good still; else the transaction of the task
 * must ask, by session_resolve: ERR_UNAUTHENTICATED, ERR_FORBIDDEN. */
bool session_known(struct session *ss, struct task *t);
NODISCARD err_t session_resolve(struct ctx *c, const struct session *ss);
/* Writes the worker's row, again if it is gone. */
void session_register(struct session *ss);
/* Ends the stream with an error, or without. */
void session_close(struct session *ss, err_t e, str_t text);
/* Claims if there is reason to. */
void session_claim(struct session *ss);
/* No claims for a while. */
void session_rest(struct session *ss);
/* The worker has it now. False: that was known. */
bool session_job_add(struct session *ss, int64_t run_id, int64_t seq);
/* A segment is over. */
void session_job_end(struct session *ss, int64_t run_id, int64_t seq);
/* Finds out what became of the jobs that were sent. */
void session_look(struct session *ss);
/* Nothing runs: the stream ends if that was waited for. */
void session_rested(struct session *ss);

/* worker_inbox.c */
/* One message of the worker; batches are run one after the other. */
void inbox_add(struct session *ss, str_t payload);
/* Runs what was collected, if nothing runs. */
void inbox_flush(struct session *ss);
void inbox_free(struct session *ss);

/* worker_outbox.c: messages for the worker. */
void outbox_registered(struct session *ss);
void outbox_cancel(struct session *ss, int64_t run_id, int64_t seq, str_t reason);
void outbox_shutdown(struct session *ss, int64_t drain_ms);
void outbox_step_ack(struct session *ss, str_t step_id, str_t error);
void outbox_leases(struct session *ss, const struct beat *beats, const enum lease_state *states,
                   size_t n);
/* Appends a job; any thread. */
void outbox_job(struct ctx *c, struct buf *b, const struct stream_codec *k,
                const struct assignment *as);
