/* The life of a worker's stream: a thread that connects, says what the outbox holds, hears jobs and
 * answers, and begins again when the connection is lost. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "stream_priv.h"

#define PATH "/ironflow.v1.WorkerService/Connect"
#define REGISTER_MS 10000
#define BACKOFF_MS 200
#define BACKOFF_MAX_MS 5000
#define STEADY_MS 5000    /* a session that lasts so long was a good one */
#define ASK_MS 100        /* between questions whether all was heard */
#define ANSWER_MS 30000   /* for the answer to one */
#define QUIET_MS 20000    /* silence that a ping breaks */
#define DEAD_MS 40000     /* silence that ends the session */
#define TURN_MS 1000      /* longest sleep: time is looked at */
#define FAREWELL_MS 15000 /* for results when the worker ends */
#define GOODBYE_MS 1000   /* for the end of the stream */
#define WAIT_MS 100       /* then other reasons are looked at */
#define MESSAGE_BYTES_MAX (((size_t)4 << 20) - 4096) /* the server takes 4 MiB */
#define ENVELOPE_HEAD 5
#define ENVELOPE_BYTES_MAX ((size_t)256 << 20)

struct stream {
    struct ironflow_worker *w;
    struct outbox out;
    pthread_t thread;
    atomic_bool over; /* the worker ends: nobody will hear the rest */
    atomic_bool quit; /* says goodbye, or gives up */

    /* of one session; the thread's */
    struct h2 *h2;
    struct text hello, beat, in;
    size_t hello_at, beat_at;
    bool registered, broken, goodbye;
    bool asked;        /* the beat's answer is awaited */
    uint64_t asked_no; /* and settles so much */
    int64_t beat_ms;   /* when the last one was made */
    int64_t heartbeat_ms;
    int64_t due_ms; /* when the next one is, for the leases */
    int64_t begun_ms, pinged_ms;
    char code[64], why[512]; /* how it ended */
};

/* ---- what runs ---- */

/* The run of a job whose member has this text, or NULL. Under the worker's lock. */
static struct ironflow_run *run_of(struct ironflow_worker *w, const char *job_id)
{
    for (int i = 0; i < w->config.max_concurrent; i++) {
        struct ironflow_run *run = &w->slots[i].run;

        if (run->active && strcmp(run->job_id, job_id) == 0)
            return run;
    }
    return NULL;
}

static void run_lost(struct ironflow_worker *w, const char *job_id)
{
    struct ironflow_run *run;

    pthread_mutex_lock(&w->lock);
    run = run_of(w, job_id);
    if (run != NULL)
        atomic_store(&run->lost, true);
    pthread_mutex_unlock(&w->lock);
}

/* The server does not take it: its run fails for good. */
static void refused(struct stream *s, const struct message *m, const char *why)
{
    struct text t = { 0 };
    char text[600];

    worker_log(s->w, "run %s: the server refuses a report: %s", m->ref.run_id, why);
    run_lost(s->w, m->ref.job_id);
    if (m->kind == SAID_LAST)
        return;
    (void)snprintf(text, sizeof(text), "the server refused a report: %s", why);
    message_refused(&t, &m->ref, text);
    (void)outbox_put(&s->out, SAID_LAST, &m->ref, NULL, &t, true);
    text_done(&t);
}

/* ---- what is heard ---- */

static void send_back(struct stream *s, const char *assignment)
{
    struct ironflow_worker *w = s->w;
    json_t job = json_value(assignment, strlen(assignment));
    struct pool pool = { 0 };
    struct text t = { 0 };
    bool fenced;
    struct job_ref ref = { json_pool_string(&pool, json_member(job, "run_id")),
                           json_pool_string(&pool, json_member(job, "job_id")),
                           run_fence(&pool, job, &fenced) };

    message_nack(&t, &ref);
    (void)outbox_put(&s->out, SAID_PLAIN, &ref, NULL, &t, true);
    worker_log(w, "run %s: given back", ref.run_id);
    text_done(&t);
    pool_done(&pool);
}

static void on_job(struct stream *s, json_t job)
{
    struct ironflow_worker *w = s->w;
    char *assignment = message_assignment(job);

    if (atomic_load(&w->stop) != 0) {
        send_back(s, assignment);
        free(assignment);
        return;
    }
    pthread_mutex_lock(&w->lock);
    worker_queue(w, assignment);
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

static void on_step_ack(struct stream *s, json_t ack)
{
    json_t accepted = json_member(ack, "accepted");
    struct pool pool = { 0 };
    const struct message *m =
        outbox_step(&s->out, json_pool_string(&pool, json_member(ack, "stepId")));
    uint64_t no;

    if (m != NULL) {
        no = m->no;
        if (accepted.p == NULL || accepted.p[0] != 't')
            refused(s, m, json_pool_string(&pool, json_member(ack, "error")));
        outbox_settle(&s->out, no);
    }
    pool_done(&pool);
}

/* Runs that the server does not count as ours any more are lost. */
static void on_leases(struct stream *s, json_t result)
{
    struct ironflow_worker *w = s->w;
    struct pool pool = { 0 };

    for (struct json_walk l = json_walk(json_member(result, "segments")); json_step(&l);) {
        const char *run_id = json_pool_string(&pool, json_member(l.value, "runId"));
        const char *seq = json_pool_string(&pool, json_member(l.value, "executionSeq"));
        const char *state = json_pool_string(&pool, json_member(l.value, "state"));
        char fence[64];

        if (strcmp(state, "LEASE_STATE_REFRESHED") == 0)
            continue;
        (void)snprintf(fence, sizeof(fence), "\"execution_seq\":%s,", seq);
        pthread_mutex_lock(&w->lock);
        for (int i = 0; i < w->config.max_concurrent; i++) {
            struct ironflow_run *run = &w->slots[i].run;

            if (run->active && strcmp(run->run_id, run_id) == 0 &&
                strncmp(run->fence, fence, strlen(fence)) == 0)
                atomic_store(&run->lost, true);
        }
        pthread_mutex_unlock(&w->lock);
    }
    if (s->asked)
        outbox_settle(&s->out, s->asked_no);
    s->asked = false;
    pool_done(&pool);
}

/* A run may be cancelled before a thread has taken it. */
static void on_cancel(struct stream *s, json_t cancel)
{
    struct pool pool = { 0 };
    const char *job_id = json_pool_string(&pool, json_member(cancel, "jobId"));

    worker_unqueue(s->w, job_id);
    run_lost(s->w, job_id);
    pool_done(&pool);
}

static void on_registered(struct stream *s, json_t answer)
{
    int64_t ms = 0;

    s->registered = true;
    s->due_ms = now_mono_ms(); /* whom have we lost meanwhile? */
    if (json_to_i64(json_member(answer, "heartbeatIntervalMs"), &ms) && ms > 0 &&
        ms < s->heartbeat_ms)
        s->heartbeat_ms = ms;
}

static void on_end(struct stream *s, json_t end)
{
    json_t error = json_member(end, "error");
    struct pool pool = { 0 };

    (void)snprintf(s->code, sizeof(s->code), "%s",
                   json_pool_string(&pool, json_member(error, "code")));
    (void)snprintf(s->why, sizeof(s->why), "%s",
                   json_pool_string(&pool, json_member(error, "message")));
    pool_done(&pool);
}

static const struct {
    const char *name;
    void (*heard)(struct stream *s, json_t value);
} messages[] = {
    { "\"job\"", on_job },
    { "\"stepAck\"", on_step_ack },
    { "\"leaseRefresh\"", on_leases },
    { "\"cancel\"", on_cancel },
    { "\"registered\"", on_registered },
};

static void on_envelope(struct stream *s, int flags, const char *p, size_t n)
{
    json_t value = json_value(p, n);
    struct json_walk w = json_walk(value);

    if (value.p == NULL || (flags & 1) != 0) {
        (void)snprintf(s->why, sizeof(s->why), "the server sent what is not a message");
        s->broken = true;
    } else if ((flags & 2) != 0) {
        on_end(s, value);
    } else if (json_step(&w)) {
        for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
            if (w.key.n == strlen(messages[i].name) &&
                memcmp(w.key.p, messages[i].name, w.key.n) == 0)
                messages[i].heard(s, w.value);
    }
}

static void on_data(void *arg, const char *p, size_t n)
{
    struct stream *s = arg;
    size_t at = 0;

    text_add(&s->in, p, n);
    while (!s->broken && s->in.n - at >= ENVELOPE_HEAD) {
        const unsigned char *head = (const unsigned char *)s->in.p + at;
        size_t size =
            (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];

        s->broken = size > ENVELOPE_BYTES_MAX;
        if (s->broken || s->in.n - at < ENVELOPE_HEAD + size)
            break;
        on_envelope(s, head[0], s->in.p + at + ENVELOPE_HEAD, size);
        at += ENVELOPE_HEAD + size;
    }
    if (at > 0)
        memmove(s->in.p, s->in.p + at, s->in.n - at);
    s->in.n -= at;
}

/* ---- what is said ---- */

static size_t take(const struct text *t, size_t *at, char *to, size_t n)
{
    n = n < t->n - *at ? n : t->n - *at;
    memcpy(to, t->p + *at, n);
    *at += n;
    return n;
}

static size_t on_pull(void *arg, char *to, size_t n)
{
    struct stream *s = arg;

    if (s->hello_at < s->hello.n)
        return take(&s->hello, &s->hello_at, to, n);
    if (!s->registered)
        return 0;
    if (s->beat_at == s->beat.n || outbox_torn(&s->out))
        return outbox_pull(&s->out, to, n);
    if (s->beat_at == 0)
        (void)outbox_unheard(&s->out, &s->asked_no);
    return take(&s->beat, &s->beat_at, to, n);
}

static void envelope(struct text *t)
{
    t->n = 0;
    text_add(t, "\0\0\0\0", ENVELOPE_HEAD);
}

static void envelope_end(struct text *t)
{
    size_t n = t->n - ENVELOPE_HEAD;

    for (int i = 4; i > 0; i--)
        t->p[i] = (char)(n >> (8 * (4 - i)) & 0xff);
}

/* A heartbeat for all that runs, or for the first message without an answer alone: what the server
 * says to it, it says after everything that was sent before. */
static void make_beat(struct stream *s, bool leases, int64_t now)
{
    struct ironflow_worker *w = s->w;
    struct job_ref *refs = mem_new(((size_t)w->config.max_concurrent + 1) * sizeof(*refs));
    const struct message *first = outbox_first_sent(&s->out);
    size_t n = 0;

    envelope(&s->beat);
    pthread_mutex_lock(&w->lock);
    for (int i = 0; leases && i < w->config.max_concurrent; i++)
        if (w->slots[i].run.active)
            refs[n++] = run_ref(&w->slots[i].run);
    if (first != NULL)
        refs[n++] = first->ref;
    message_heartbeat(&s->beat, w->id, w->busy, refs, n);
    pthread_mutex_unlock(&w->lock);
    envelope_end(&s->beat);
    free(refs);
    s->beat_at = 0;
    s->beat_ms = now;
    s->asked = n > 0;
    if (leases)
        s->due_ms = now + s->heartbeat_ms;
}

/* Makes the beat that is due; returns when the next one may be. */
static int64_t tick(struct stream *s, int64_t now)
{
    bool hurry = outbox_careful(&s->out) || atomic_load(&s->w->stop) != 0;
    int64_t ask_at = s->beat_ms + (hurry ? 0 : ASK_MS);
    uint64_t no;
    bool ask;

    if (!s->registered || s->beat_at < s->beat.n || s->asked)
        return now + TURN_MS;
    ask = outbox_unheard(&s->out, &no);
    if (now >= s->due_ms || (ask && now >= ask_at)) {
        make_beat(s, now >= s->due_ms, now);
        return now;
    }
    return ask && ask_at < s->due_ms ? ask_at : s->due_ms;
}

/* ---- a session ---- */

static bool dead(struct stream *s, int64_t now)
{
    int64_t silent = now - h2_heard_ms(s->h2);
    const char *why = NULL;

    if (silent > QUIET_MS && now - s->pinged_ms > QUIET_MS) {
        h2_ping(s->h2);
        s->pinged_ms = now;
    }
    if (!s->registered && h2_status(s->h2) != 200 && now - s->begun_ms > REGISTER_MS)
        why = "no answer in time";
    if (silent > DEAD_MS || (s->asked && now - s->beat_ms > ANSWER_MS))
        why = "the server is silent";
    if (why != NULL)
        (void)snprintf(s->why, sizeof(s->why), "%s", why);
    return why != NULL;
}

/* Ends the stream when all is said and heard, or nobody waits for that any more. */
static bool farewell(struct stream *s, int64_t now)
{
    if (!atomic_load(&s->quit))
        return false;
    if (!s->goodbye) {
        s->goodbye = true;
        s->begun_ms = now;
        h2_end(s->h2);
    }
    return now - s->begun_ms > GOODBYE_MS || !s->registered;
}

static void session_run(struct stream *s)
{
    while (h2_turn(s->h2) && !s->broken && atomic_load(&s->w->stop) < 2) {
        int64_t now = now_mono_ms(), next = tick(s, now);

        if (farewell(s, now) || dead(s, now))
            return;
        next = next < now + TURN_MS ? next : now + TURN_MS;
        if (!h2_idle(s->h2) || !s->registered || outbox_doze(&s->out))
            h2_wait(s->h2, s->out.wake_fd, next - now);
    }
}

static void session_begin(struct stream *s)
{
    s->registered = s->broken = s->asked = s->goodbye = false;
    s->code[0] = s->why[0] = '\0';
    s->in.n = s->beat.n = s->beat_at = s->hello_at = 0;
    s->begun_ms = s->pinged_ms = now_mono_ms();
    s->beat_ms = 0;
    envelope(&s->hello);
    message_register(&s->hello, s->w);
    envelope_end(&s->hello);
}

/* Why the connection ended, as far as it is known. */
static void session_why(struct stream *s)
{
    int status = h2_status(s->h2);

    if (status != 0 && status != 200)
        error_text(h2_body(s->h2), status, s->why, sizeof(s->why));
    else if (s->why[0] == '\0')
        (void)snprintf(s->why, sizeof(s->why), "%s", h2_error(s->h2));
}

static bool is_one_of(const char *code, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

/* The end of a session: is it the end of the worker, or the fault of a message, which is sent alone
 * the next time and refused if it is at fault again? True when it was one's fault. */
static bool session_judge(struct stream *s)
{
    static const char *const fatal[] = { "unauthenticated", "permission_denied", "unimplemented",
                                         NULL };
    static const char *const blaming[] = { "invalid_argument", "out_of_range", "resource_exhausted",
                                           NULL };
    int status = h2_status(s->h2);
    bool blamed = is_one_of(s->code, blaming), careful = outbox_careful(&s->out);
    const struct message *m = outbox_first_sent(&s->out);
    uint64_t no;

    if (is_one_of(s->code, fatal) || (blamed && !s->registered) || status == 501 ||
        (status >= 400 && status < 500 && status != 408 && status != 429)) {
        worker_end(s->w, s->why);
        atomic_store(&s->over, true);
        return false;
    }
    blamed = blamed && m != NULL;
    if (blamed && careful) {
        no = m->no;
        refused(s, m, s->why);
        outbox_settle(&s->out, no);
    }
    outbox_rewind(&s->out, blamed);
    return blamed;
}

enum session_end { SESSION_FAILED, SESSION_STEADY, SESSION_BLAMED };

static enum session_end session(struct stream *s)
{
    const struct h2_source source = { on_pull, on_data, s };
    bool blamed;

    session_begin(s);
    s->h2 = h2_open(&s->w->server, PATH, &source, s->why, sizeof(s->why));
    if (s->h2 == NULL)
        return SESSION_FAILED;
    session_run(s);
    session_why(s);
    blamed = session_judge(s);
    h2_free(s->h2);
    s->h2 = NULL;
    if (blamed)
        return SESSION_BLAMED;
    return s->registered && now_mono_ms() - s->begun_ms > STEADY_MS ? SESSION_STEADY
                                                                    : SESSION_FAILED;
}

/* ---- the thread ---- */

static void pause_ms(struct stream *s, int64_t ms)
{
    struct pollfd p = { .fd = s->out.wake_fd, .events = POLLIN };

    (void)poll(&p, 1, (int)ms); /* only the end writes: nobody dozes */
}

static void *stream_main(void *arg)
{
    struct stream *s = arg;
    struct ironflow_worker *w = s->w;
    int64_t backoff = BACKOFF_MS;

    for (;;) {
        enum session_end end = session(s);

        if (atomic_load(&s->quit) || atomic_load(&w->stop) > 1)
            return NULL;
        worker_log(w, "stream: %s", s->why);
        if (end == SESSION_BLAMED)
            continue;
        if (end == SESSION_STEADY)
            backoff = BACKOFF_MS;
        pause_ms(s, backoff);
        backoff = backoff * 2 < BACKOFF_MAX_MS ? backoff * 2 : BACKOFF_MAX_MS;
        if (atomic_load(&w->stop) == 0) /* the server may be another one by now */
            (void)worker_register_functions(w);
    }
}

struct stream *stream_start(struct ironflow_worker *w)
{
    struct stream *s = mem_new(sizeof(*s));

    s->w = w;
    s->heartbeat_ms = w->config.heartbeat_ms;
    if (outbox_init(&s->out) && pthread_create(&s->thread, NULL, stream_main, s) == 0)
        return s;
    outbox_done(&s->out);
    free(s);
    return NULL;
}

void stream_finish(struct stream *s)
{
    int64_t end = now_mono_ms() + FAREWELL_MS;
    struct ironflow_worker *w;
    uint64_t one = 1;
    char *job;

    if (s == NULL)
        return;
    w = s->w;
    while ((job = worker_dequeue(w)) != NULL) {
        send_back(s, job);
        free(job);
    }
    while (!atomic_load(&s->over) && atomic_load(&w->stop) < 2 && now_mono_ms() < end &&
           !outbox_wait(&s->out, OUTBOX_ALL, WAIT_MS))
        ;
    atomic_store(&s->quit, true);
    if (write(s->out.wake_fd, &one, sizeof(one)) < 0) {
        /* the counter is full: it is readable already */
    }
    pthread_join(s->thread, NULL);
    outbox_done(&s->out);
    text_done(&s->hello);
    text_done(&s->beat);
    text_done(&s->in);
    free(s);
}

/* ---- reports ---- */

/* Waits for the answer to `no`, or for room; not for a lost run. */
static void say_wait(struct stream *s, const struct ironflow_run *run, uint64_t no)
{
    while (!atomic_load(&run->root->lost) && atomic_load(&s->w->stop) < 2)
        if (outbox_wait(&s->out, no, WAIT_MS))
            return;
}

/* A message that no server takes is said to be one. */
static uint64_t say(struct stream *s, const struct ironflow_run *run, enum said kind,
                    const char *step_id, struct text *t, bool wake)
{
    struct job_ref ref = run_ref(run);
    uint64_t no;

    if (t->n > MESSAGE_BYTES_MAX) {
        atomic_store(&run->root->lost, true);
        t->n = 0;
        message_refused(t, &ref, "the report is larger than 4 MiB");
        kind = SAID_LAST;
        wake = true;
    }
    no = outbox_put(&s->out, kind, &ref, step_id, t, wake);
    text_done(t);
    return no;
}

void stream_step(struct stream *s, const struct ironflow_run *run, const struct step *step)
{
    int checkpoint = s->w->config.checkpoint_ms;
    struct text t = { 0 };
    uint64_t no;

    message_step(&t, run, step);
    no = say(s, run, SAID_STEP, step->id, &t, checkpoint != IRONFLOW_CHECKPOINT_NONE);
    say_wait(s, run, checkpoint == IRONFLOW_CHECKPOINT_EACH ? no : OUTBOX_ROOM);
}

void stream_ack(struct stream *s, const struct ironflow_run *run)
{
    struct job_ref ref = run_ref(run);
    struct text t = { 0 };

    message_ack(&t, &ref);
    (void)say(s, run, SAID_PLAIN, NULL, &t, true);
}

void stream_final(struct stream *s, const struct ironflow_run *run, int rc)
{
    struct pool pool = { 0 };
    struct text t = { 0 };
    const char *step_id = NULL;

    if (run->yield != NULL)
        step_id = json_pool_string(
            &pool, json_member(json_value(run->yield, strlen(run->yield)), "step_id"));
    message_final(&t, run, rc);
    (void)say(s, run, run->yield != NULL ? SAID_YIELD : SAID_PLAIN, step_id, &t, true);
    pool_done(&pool);
}
