/* WorkerService/Connect: a worker on a stream (spec engine-pull section 9). While the session has
 * room a claim is parked for it, the same one that a held poll parks, so a run is sent in the
 * transaction that made it ready. A second call, the watch, is parked until something happens to
 * what was sent. The loop's thread, but for the functions that take a ctx. */
#include "api/worker_stream.h"

#include "api/api_priv.h"
#include "api/handlers.h"
#include "base/log.h"
#include "base/mem.h"

/* A claim looks again after the time that polls are held, the watch after that and a half, for what
 * no signal tells: a credential that has expired, another node. */
enum { WATCH_PG_MS = 5000 };
enum { REST_MS = 1000 };   /* between claims of a session that is full without our knowing why */
enum { GONE_MS = 10000 };  /* workers come back after 5 s */
enum { DRAIN_MS = 30000 }; /* as main gives it */
/* One claim carries so many bytes of jobs; the rest goes back into the queue. */
#define CLAIM_BYTES ((size_t)2 << 20)
#define CLAIM_OUT_MAX ((size_t)256 << 20)
#define REGISTER_BYTES_MAX ((size_t)256 << 10)
#define ACTION S("functions:register") /* of the route */

struct claim_task {
    struct task t;
    bool resolve; /* the credential, in the transaction */
    int64_t deadline_ms;
    uint64_t lost_n;
    /* set anew by each run */
    struct claim *claims;
    size_t n, given;
    struct buf out;
};
struct watch_task {
    struct task t;
    bool resolve;
    struct worker worker;
    struct stream_job *jobs;
    size_t n;
    int64_t wait_ms;
    bool looked;
    enum stream_state found;
};
struct register_task {
    struct task t;
    struct worker worker;
};

/* ---- tasks ----------------------------------------------------------------------------------- */

static void on_task_done(struct call *call)
{
    struct task *t = call->arg;

    t->done(t);
}

void *task_new(struct session *ss, size_t size, void (*done)(struct task *t))
{
    struct task *t = mem_zero(size);

    arena_init(&t->arena);
    call_init(&t->call, CALL_READ, NULL, t, &t->arena);
    t->call.ctx.clock = txn_clock(ss->api->app->txn);
    t->call.ctx.app = ss->api->app;
    t->call.ctx.env = ss->env;
    t->call.ctx.who = &ss->who;
    t->call.ctx.now_ms = clock_now(t->call.ctx.clock);
    t->ss = ss;
    t->done = done;
    ss->tasks++;
    return t;
}

void task_submit(struct task *t, enum call_kind kind, err_t (*run)(struct ctx *c), int64_t delay_ms)
{
    struct txn *txn = t->ss->api->app->txn;
    struct ctx c = t->call.ctx;
    size_t bytes = t->call.bytes;
    err_t e;

    call_init(&t->call, kind, run, t, &t->arena); /* it may have run before */
    t->call.ctx = c;
    t->call.bytes = bytes;
    t->call.done = on_task_done;
    t->call.loop = t->ss->loop;
    e = delay_ms > 0 ? txn_submit_after(txn, &t->call, delay_ms) : txn_submit(txn, &t->call);
    if (e == ERR_OK)
        return;
    t->call.result = e;
    t->done(t);
}

static void session_free(struct session *ss)
{
    struct sent_job *job;

    must(!ss->claim && !ss->watch && !ss->batch && !ss->next && !ss->timer);
    for (size_t i = 0; (job = map_next(&ss->jobs, &i)) != NULL;)
        mem_free(job);
    map_done(&ss->jobs);
    arena_done(&ss->arena);
    mem_free(ss);
}

void task_free(struct task *t)
{
    struct session *ss = t->ss;

    arena_done(&t->arena);
    mem_free(t);
    ss->tasks--;
    if (ss->tasks == 0 && !ss->s)
        session_free(ss);
}

static void task_cancel(struct session *ss, struct task *t)
{
    if (t)
        txn_cancel(ss->api->app->txn, &t->call);
}

/* A run that parks begins anew, so what it had is not kept for the time in between: streams wait
 * most of their lives. */
static err_t task_parked(struct ctx *c, err_t e)
{
    if (e == ERR_PARKED)
        arena_done(c->arena);
    return e;
}

/* ---- the credential -------------------------------------------------------------------------- */

bool session_known(struct session *ss, struct task *t)
{
    struct ctx *c = &t->call.ctx;
    err_t e = ERR_OK;
    bool known = svc_access_cached(c, &ss->cred, &e) && e == ERR_OK &&
                 svc_access_require(c, ACTION) == ERR_OK;

    c->who = &ss->who; /* the arena may go before the call does */
    c->env = ss->env;
    return known;
}

err_t session_resolve(struct ctx *c, const struct session *ss)
{
    TRY(svc_access_resolve(c, &ss->cred));
    return svc_access_require(c, ACTION);
}

/* ---- the end --------------------------------------------------------------------------------- */

static err_t gone_run(struct ctx *c)
{
    return svc_stream_gone(c, &task_of(c)->ss->worker);
}

/* The stream is no more; what was received is still done. */
static void session_left(struct session *ss)
{
    struct task *gone;

    ss->s = NULL;
    ss->tasks++; /* while we are here */
    task_cancel(ss, ss->claim ? &ss->claim->t : NULL);
    task_cancel(ss, ss->watch ? &ss->watch->t : NULL);
    task_cancel(ss, ss->timer);
    if (ss->state == SESSION_REGISTERING)
        inbox_free(ss);
    if (ss->worker.session != 0) {
        gone = task_new(ss, sizeof(*gone), task_free);
        task_submit(gone, CALL_WRITE, gone_run, ss->ended ? 0 : GONE_MS);
    }
    ss->tasks--;
    if (ss->tasks == 0)
        session_free(ss);
}

void session_close(struct session *ss, err_t e, str_t text)
{
    struct stream *s = ss->s;

    stream_close(s, e, text);
    session_left(ss);
}

static void on_gone(struct stream *s)
{
    struct session *ss = s->user;

    inbox_flush(ss);
    session_left(ss);
}

void session_rested(struct session *ss)
{
    if (!ss->s || ss->batch || ss->next || ss->claim || ss->state == SESSION_REGISTERING)
        return;
    if (ss->ended)
        session_close(ss, ERR_OK, STR_NULL);
    else if (ss->state == SESSION_DRAINING && ss->jobs.n == 0)
        session_close(ss, ERR_UNAVAILABLE, S("the server is shutting down"));
}

static void on_end(struct stream *s)
{
    struct session *ss = s->user;

    ss->ended = true;
    inbox_flush(ss);
    task_cancel(ss, ss->claim ? &ss->claim->t : NULL);
    session_rested(ss);
}

static void on_drain(struct stream *s)
{
    struct session *ss = s->user;

    if (ss->state != SESSION_OPEN) {
        session_close(ss, ERR_UNAVAILABLE, S("the server is shutting down"));
        return;
    }
    ss->state = SESSION_DRAINING;
    outbox_shutdown(ss, DRAIN_MS);
    task_cancel(ss, ss->claim ? &ss->claim->t : NULL);
    session_rested(ss);
}

/* ---- what was sent --------------------------------------------------------------------------- */

bool session_job_add(struct session *ss, int64_t run_id, int64_t seq)
{
    struct sent_job *job = map_get(&ss->jobs, (uint64_t)run_id);

    if (job && job->seq == seq)
        return false;
    if (!job) {
        job = mem_zero(sizeof(*job));
        job->run_id = run_id;
        (void)map_put(&ss->jobs, (uint64_t)run_id, job);
    }
    job->seq = seq;
    return true;
}

void session_job_end(struct session *ss, int64_t run_id, int64_t seq)
{
    struct sent_job *job = map_get(&ss->jobs, (uint64_t)run_id);

    if (!job || job->seq != seq)
        return;
    (void)map_del(&ss->jobs, (uint64_t)run_id);
    mem_free(job);
}

static err_t watch_run(struct ctx *c)
{
    struct watch_task *t = (struct watch_task *)task_of(c);
    err_t e;

    if (t->resolve)
        TRY(session_resolve(c, t->t.ss));
    e = svc_stream_watch(c, &t->worker, t->jobs, t->n, t->wait_ms, &t->looked, &t->found);
    return t->n == 0 ? task_parked(c, e) : e; /* the jobs are in there */
}

static void watch_start(struct session *ss);

void session_look(struct session *ss)
{
    task_cancel(ss, ss->watch ? &ss->watch->t : NULL); /* it begins again with the jobs of now */
}

/* A worker that stands still, as its stream does not tell, would be given what it has lost, again
 * and again until it is forgotten. */
static void session_silence(struct session *ss)
{
    if (clock_mono_ns() - ss->heard_ns < ss->api->app->lease_claim_ms * 1000000)
        return;
    ss->silent = true;
    task_cancel(ss, ss->claim ? &ss->claim->t : NULL);
}

static void watch_tell(struct session *ss, const struct watch_task *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct stream_job *j = &t->jobs[i];
        const struct sent_job *sent = map_get(&ss->jobs, (uint64_t)j->run_id);

        if (j->fate == FATE_OPEN || !sent || sent->seq != j->seq)
            continue;
        if (j->fate == FATE_CANCELLED)
            outbox_cancel(ss, j->run_id, j->seq, j->reason);
        else
            session_silence(ss);
        session_job_end(ss, j->run_id, j->seq);
    }
}

/* Its row is gone: somebody deleted it, or it was silent for so long that nobody is there. */
static void session_forgotten(struct session *ss)
{
    if (clock_mono_ns() - ss->heard_ns >= ss->api->app->worker_ttl_ms * 1000000)
        session_close(ss, ERR_UNAVAILABLE, S("the worker gave no sign of life"));
    else
        session_register(ss);
}

static void watch_done(struct task *task)
{
    struct watch_task *t = (struct watch_task *)task;
    struct session *ss = task->ss;
    err_t e = task->call.result;

    ss->watch = NULL;
    if (!ss->s) {
        task_free(task);
        return;
    }
    if (e != ERR_OK && e != ERR_CANCELED) {
        session_close(ss, e, err_text(&task->call.ctx, e));
    } else if (e == ERR_OK && t->found == STREAM_REPLACED) {
        session_close(ss, ERR_CONFLICT, S("the worker has registered elsewhere"));
    } else {
        if (e == ERR_OK && !t->looked)
            watch_tell(ss, t);
        ss->lost_n += !task->call.timed_out;
        if (e == ERR_OK && t->found == STREAM_FORGOTTEN)
            session_forgotten(ss); /* begins the watch again */
        else
            watch_start(ss);
        session_claim(ss);
        session_rested(ss);
    }
    task_free(task);
}

static void watch_start(struct session *ss)
{
    struct watch_task *t;
    const struct sent_job *job;

    if (!ss->s || ss->watch)
        return;
    t = task_new(ss, sizeof(*t), watch_done);
    ss->watch = t;
    t->worker = ss->worker;
    t->wait_ms = ss->api->app->db_kind == DB_PG ? WATCH_PG_MS : ss->api->app->poll_hold_ms / 2 * 3;
    t->resolve = !session_known(ss, &t->t);
    t->jobs = NEW_N(&t->t.arena, struct stream_job, ss->jobs.n + 1);
    for (size_t i = 0; (job = map_next(&ss->jobs, &i)) != NULL;)
        t->jobs[t->n++] = (struct stream_job){ .run_id = job->run_id, .seq = job->seq };
    task_submit(&t->t, CALL_READ, watch_run, 0);
}

/* ---- claims ---------------------------------------------------------------------------------- */

static err_t claim_load(struct ctx *c)
{
    struct claim_task *t = (struct claim_task *)task_of(c);
    struct assignment *list = NULL;
    size_t n = t->n;

    t->given = 0;
    buf_init_arena(&t->out, c->arena, CLAIM_OUT_MAX);
    TRY(svc_worker_assignments_upto(c, t->claims, &n, CLAIM_BYTES, &list));
    for (size_t i = 0; i < n; i++)
        outbox_job(c, &t->out, &t->t.ss->codec, &list[i]);
    if (t->out.full)
        return err_set(c, ERR_TOO_LARGE, "a job is too large to be sent");
    t->given = n;
    return ERR_OK;
}

static err_t claim_run(struct ctx *c)
{
    struct claim_task *t = (struct claim_task *)task_of(c);
    struct session *ss = t->t.ss;
    err_t e;

    t->n = t->given = 0;
    if (t->resolve)
        TRY(session_resolve(c, ss));
    e = svc_worker_claim(c, ss->worker.id, INT64_MAX, t->deadline_ms, &t->claims, &t->n);
    TRY(task_parked(c, e));
    return t->n > 0 ? txn_next(c, CALL_READ, claim_load) : ERR_OK;
}

static err_t release_run(struct ctx *c)
{
    const struct claim_task *t = (const struct claim_task *)task_of(c);

    return svc_worker_release(c, t->claims, t->n);
}

/* Gives back those claims that were not sent; the lease takes back what this fails to. Frees. */
static void claim_settle(struct claim_task *t)
{
    t->claims += t->given;
    t->n -= t->given;
    if (t->n == 0) {
        task_free(&t->t);
        return;
    }
    log_debug("claims given back", "n=%zu", t->n);
    t->t.done = task_free;
    task_submit(&t->t, CALL_WRITE, release_run, 0);
}

static void claim_send(struct session *ss, struct claim_task *t)
{
    for (size_t i = 0; i < t->given; i++)
        (void)session_job_add(ss, t->claims[i].job.run_id, t->claims[i].job.execution_seq);
    stream_send_raw(ss->s, buf_str(&t->out));
    if (t->lost_n != ss->lost_n) /* one of them may have been cancelled meanwhile */
        session_look(ss);
}

static void claim_done(struct task *task)
{
    struct claim_task *t = (struct claim_task *)task;
    struct session *ss = task->ss;
    err_t e = task->call.result;

    ss->claim = NULL;
    if (e != ERR_OK || !ss->s || ss->state != SESSION_OPEN || ss->ended)
        t->given = 0;
    if (!ss->s) {
        claim_settle(t);
        return;
    }
    if (t->given > 0)
        claim_send(ss, t);
    if (e == ERR_NOT_FOUND)
        session_forgotten(ss);
    else if (e != ERR_OK && e != ERR_CANCELED)
        session_close(ss, e, err_text(&task->call.ctx, e));
    else if (e == ERR_OK && t->n == 0 && !task->call.timed_out)
        session_rest(ss); /* full */
    session_claim(ss);
    session_rested(ss);
    claim_settle(t);
}

void session_claim(struct session *ss)
{
    struct claim_task *t;

    if (!ss->s || ss->claim || ss->state != SESSION_OPEN || ss->tired || ss->silent ||
        ss->no_more || ss->ended || stream_backed(ss->s) ||
        ss->jobs.n >= (size_t)ss->worker.max_jobs)
        return;
    t = task_new(ss, sizeof(*t), claim_done);
    ss->claim = t;
    t->resolve = !session_known(ss, &t->t);
    t->deadline_ms = t->t.call.ctx.now_ms + ss->api->app->poll_hold_ms;
    t->lost_n = ss->lost_n;
    task_submit(&t->t, CALL_WRITE, claim_run, 0);
}

static err_t rest_run(struct ctx *c)
{
    (void)c;
    return ERR_OK;
}

static void rest_done(struct task *t)
{
    struct session *ss = t->ss;

    ss->timer = NULL;
    ss->tired = false;
    session_claim(ss);
    task_free(t);
}

void session_rest(struct session *ss)
{
    if (!ss->s)
        return;
    ss->tired = true;
    task_cancel(ss, ss->claim ? &ss->claim->t : NULL);
    if (ss->timer)
        return;
    ss->timer = task_new(ss, sizeof(*ss->timer), rest_done);
    task_submit(ss->timer, CALL_READ, rest_run, REST_MS);
}

/* ---- registration ---------------------------------------------------------------------------- */

static err_t register_run(struct ctx *c)
{
    struct register_task *t = (struct register_task *)task_of(c);

    if (t->worker.session == 0)
        t->worker.session = ctx_id(c);
    return svc_worker_register(c, &t->worker);
}

static void register_done(struct task *task)
{
    struct register_task *t = (struct register_task *)task;
    struct session *ss = task->ss;
    err_t e = task->call.result;

    if (e == ERR_OK)
        ss->worker.session = t->worker.session;
    if (!ss->s) {
        if (e == ERR_OK)
            session_left(ss);
    } else if (e != ERR_OK) {
        session_close(ss, e, err_text(&task->call.ctx, e));
    } else {
        ss->state = SESSION_OPEN;
        if (!ss->announced)
            outbox_registered(ss);
        ss->announced = true;
        inbox_flush(ss);
        watch_start(ss);
        session_claim(ss);
        session_rested(ss);
    }
    task_free(task);
}

void session_register(struct session *ss)
{
    struct register_task *t;

    if (!ss->s || ss->state == SESSION_REGISTERING || ss->state == SESSION_DRAINING)
        return;
    ss->state = SESSION_REGISTERING;
    t = task_new(ss, sizeof(*t), register_done);
    t->worker = ss->worker;
    task_submit(&t->t, CALL_WRITE, register_run, 0);
}

static err_t register_read(struct ctx *c, struct session *ss, str_t payload)
{
    struct pb_worker_message *m = pb_new(c->arena, &pb_worker_message_desc);

    if (payload.n > REGISTER_BYTES_MAX)
        return err_set(c, ERR_TOO_LARGE, "register: larger than %zu KiB", REGISTER_BYTES_MAX >> 10);
    payload = str_dup(c->arena, payload);
    TRY(ss->codec.binary ? pb_from_wire(c, &pb_worker_message_desc, payload, m)
                         : pb_from_json(c, &pb_worker_message_desc, payload, m));
    if (!m->register_)
        return err_set(c, ERR_INVALID, "the first message must be register");
    if (m->register_->worker_id.n == 0)
        return err_set(c, ERR_INVALID, "worker_id is required");
    ss->worker.id = m->register_->worker_id;
    ss->worker.transport = 2;
    return api_worker_read(c, m->register_, &ss->worker);
}

static void on_message(struct stream *s, str_t payload)
{
    struct session *ss = s->user;
    struct ctx c = { .arena = &ss->arena, .clock = txn_clock(ss->api->app->txn) };
    err_t e;

    ss->heard_ns = clock_mono_ns();
    if (ss->state != SESSION_NEW) {
        inbox_add(ss, payload);
        if (ss->silent) {
            ss->silent = false;
            session_claim(ss);
        }
        return;
    }
    e = register_read(&c, ss, payload);
    if (e != ERR_OK)
        session_close(ss, e, err_text(&c, e));
    else
        session_register(ss);
}

static void on_batch(struct stream *s)
{
    inbox_flush(s->user);
}

static void on_room(struct stream *s)
{
    session_claim(s->user);
}

/* ---- the beginning --------------------------------------------------------------------------- */

err_t api_worker_connect(struct ctx *c, struct api_call *a)
{
    struct stream *s = a->stream;
    struct session *ss;

    if (!s)
        return err_set(c, ERR_MEDIA_TYPE,
                       "content type: expected application/connect+proto or "
                       "application/connect+json");
    ss = mem_zero(sizeof(*ss));
    arena_init(&ss->arena);
    ss->s = s;
    ss->codec = s->codec;
    ss->api = a->api;
    ss->loop = a->req->loop;
    ss->env = c->env;
    ss->who = *c->who;
    ss->who.id = str_dup(&ss->arena, c->who->id);
    ss->who.org_id = str_dup(&ss->arena, c->who->org_id);
    ss->who.roles = str_dup(&ss->arena, c->who->roles);
    ss->who.env_id = str_dup(&ss->arena, c->who->env_id);
    ss->cred.bearer = str_dup(&ss->arena, a->cred.bearer);
    ss->cred.environment = str_dup(&ss->arena, a->cred.environment);
    s->user = ss;
    s->on_message = on_message;
    s->on_batch = on_batch;
    s->on_end = on_end;
    s->on_gone = on_gone;
    s->on_room = on_room;
    s->on_drain = on_drain;
    return ERR_OK;
}
