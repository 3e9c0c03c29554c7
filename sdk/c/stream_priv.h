/* A worker on a stream: one HTTP/2 request whose body carries what the worker says and whose answer
 * carries jobs (WorkerService/Connect, JSON in envelopes).
 *
 * What is said stays in the outbox until the server has answered it, or something that was said
 * after it, since messages are handled in order; after a reconnect the rest is said again. Fences
 * make the repetition safe. */
#pragma once

#include "worker_priv.h"

/* ---- an HTTP/2 request that goes both ways (h2.c); one thread ---- */
struct h2_source {
    /* Writes up to n bytes of the request's body; 0: nothing for now. */
    size_t (*pull)(void *arg, char *to, size_t n);
    /* Bytes of the answer's body, if its status is 200. */
    void (*data)(void *arg, const char *p, size_t n);
    void *arg;
};
struct h2;
/* Connects and begins a POST; NULL and why when that fails. */
struct h2 *h2_open(const struct server *s, const char *path, const struct h2_source *source,
                   char *why, size_t why_size);
void h2_free(struct h2 *h);
/* Sends and receives what it can. False when it is over: see h2_status and h2_error. */
bool h2_turn(struct h2 *h);
/* True when pull has been asked in vain: only it or the server can bring work. */
bool h2_idle(const struct h2 *h);
/* Waits for the socket or for wake_fd, which is emptied; at most ms. */
void h2_wait(struct h2 *h, int wake_fd, int64_t ms);
/* The body ends when pull has nothing more. */
void h2_end(struct h2 *h);
/* Asks for a sign of life. */
void h2_ping(struct h2 *h);
/* When bytes came last; monotonic. */
int64_t h2_heard_ms(const struct h2 *h);
/* The status of the answer, 0 before it. */
int h2_status(const struct h2 *h);
/* The body of an answer whose status is not 200. */
json_t h2_body(const struct h2 *h);
const char *h2_error(const struct h2 *h);

/* ---- messages as JSON (message.c) ---- */
/* Whose message it is; fence: "execution_seq":1,"lease_token":"x" */
struct job_ref {
    const char *run_id, *job_id, *fence;
};
static inline struct job_ref run_ref(const struct ironflow_run *run)
{
    const struct ironflow_run *root = run->root;

    return (struct job_ref){ root->run_id, root->job_id, root->fence };
}

/* {"register":{...}} and so on, appended to t. */
void message_register(struct text *t, const struct ironflow_worker *w);
void message_step(struct text *t, const struct ironflow_run *run, const struct step *s);
void message_ack(struct text *t, const struct job_ref *ref);
void message_nack(struct text *t, const struct job_ref *ref);
void message_final(struct text *t, const struct ironflow_run *run, int rc);
/* A failure for good, instead of what the server refused. */
void message_refused(struct text *t, const struct job_ref *ref, const char *why);
/* Lists refs; active: how many runs are under way. */
void message_heartbeat(struct text *t, const char *worker_id, int active,
                       const struct job_ref *refs, size_t n);
/* A job as a poll delivers it. */
char *message_assignment(json_t job);

/* ---- what is to be said (outbox.c) ---- */
enum said {
    SAID_PLAIN, /* has no answer of its own */
    SAID_STEP,  /* a step_ack answers it */
    SAID_YIELD, /* a step_ack answers it when it is refused */
    SAID_LAST   /* replaces what was refused: no further one */
};

struct message {
    struct message *next;
    enum said kind;
    uint64_t no;
    struct job_ref ref;
    const char *step_id; /* of steps and yields */
    size_t n;
    const char *bytes; /* with the envelope */
};

struct waiter;

/* Any thread puts and waits; the rest is the stream's thread's. */
struct outbox {
    pthread_mutex_t lock;
    int wake_fd; /* written when a dozing thread gets work */
    struct message *first, **last;
    struct message *unsent; /* the first that is not wholly handed over */
    size_t handed;          /* bytes of it that are */
    size_t bytes;           /* of all */
    struct waiter *waiters;
    uint64_t put_no, sent_no, settled_no, careful_no;
    enum said sent_kind;
    bool dozing;
};
bool outbox_init(struct outbox *o);
void outbox_done(struct outbox *o);
/* Appends a message with this JSON; returns its number. wake: now, not with the next one. */
uint64_t outbox_put(struct outbox *o, enum said kind, const struct job_ref *ref,
                    const char *step_id, const struct text *json, bool wake);
/* Up to n bytes of messages. */
size_t outbox_pull(struct outbox *o, char *to, size_t n);
/* True when nothing can be pulled: the next put wakes. */
bool outbox_doze(struct outbox *o);
/* Inside a message? */
bool outbox_torn(struct outbox *o);
/* True when the last one that was handed over, *no, is not settled and has no answer of its own. */
bool outbox_unheard(struct outbox *o, uint64_t *no);
/* The first one that was handed over and is not settled. */
const struct message *outbox_first_sent(struct outbox *o);
/* The one that a step_ack for this id answers, or NULL. */
const struct message *outbox_step(struct outbox *o, const char *step_id);
/* Everything up to this number is answered. */
void outbox_settle(struct outbox *o, uint64_t no);
/* Hands over again what is not settled; careful: what has been sent already goes one by one. */
void outbox_rewind(struct outbox *o, bool careful);
/* Sends one by one? */
bool outbox_careful(struct outbox *o);
/* Waits at most ms until number no is settled, until all are, or until there is room; false when
 * that is not so. */
#define OUTBOX_ALL UINT64_MAX
#define OUTBOX_ROOM UINT64_C(0)
bool outbox_wait(struct outbox *o, uint64_t no, int64_t ms);
