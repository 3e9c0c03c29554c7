/* The dispatcher. One loop thread owns everything here but the calls while txn has them.
 *
 * Each function has a target with at most one claim under way: a call of txn, parked until runs of
 * the function are ready. What a claim got is a batch: loaded and printed in a read, then sent; as
 * soon as it is sent the next claim is submitted. Each request ends with a report, a write of its
 * own. Two bounds: FUNCTION_MAX requests of a function, FLIGHT_MAX of all; functions that met the
 * second one stand in line, first come first served, CHUNK at a time. */
#include "jobs/push.h"

#include <stdatomic.h>
#include <stddef.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "jobs/push_wire.h"
#include "txn/txn.h"

enum { CHUNK = 128, FUNCTION_MAX = 1024, FLIGHT_MAX = 4096 };
enum { AFTER_ERROR_MS = 1000, LOOK_AGAIN_MS = 1000 };
/* Payloads of one batch; what is beyond goes back into the queue. */
#define BATCH_BYTES ((size_t)16 << 20)

struct batch;

struct target {
    struct push *p;
    int64_t fn, env;
    struct batch *claiming; /* with txn */
    size_t flight;
    bool gone, seen, in_line;
    struct target *next; /* in line */
};

/* A claim, and what became of it. Lives until its last request is reported. */
struct batch {
    struct push *p;
    struct target *t;
    struct call call;
    struct arena arena;
    int64_t fn;
    int64_t room;
    bool full; /* no room for any function */
    size_t reserved;
    struct push_claims got;
    struct sending *sendings;
    size_t given; /* so many of got are in sendings */
    size_t open;
};

struct sending {
    struct batch *b;
    str_t body; /* empty: too large to be sent */
    int64_t env;
    struct call call;
    struct arena arena;
    struct outbound_req req;
    struct push_outcome out;
    struct http_header headers[2];
};

struct push {
    struct app *app;
    struct loop *loop;
    struct outbound *outbound;   /* made for the first call */
    struct map targets;          /* by function key */
    struct target *first, *last; /* in line */
    atomic_size_t flight;
    atomic_size_t calls; /* with txn, but for parked claims */
    atomic_bool draining, stopping;
    struct loop_msg changed, drained, stopped;
    atomic_bool changed_posted;
    uv_timer_t timer;
    bool spawned; /* loop and timer are ours */
    bool recovered, looking, look_again;
    bool more; /* of the recovery */
    struct call look;
    struct arena look_arena;
    struct push_target *listed;
    size_t listed_n;
};

static void target_next(struct target *t);
static void batch_done(struct call *call);

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_make(struct push *p, struct call *call, enum call_kind kind,
                      err_t (*run)(struct ctx *c), void *arg, struct arena *arena, int64_t env)
{
    call_init(call, kind, run, arg, arena);
    call->ctx.app = p->app;
    call->ctx.env = env;
    call->loop = p->loop;
}

/* False: txn takes nothing any more. Too many wait: it comes back after a while. */
static bool call_submit(struct push *p, struct call *call, int64_t delay_ms)
{
    if (delay_ms == 0 && txn_submit(p->app->txn, call) == ERR_OK)
        return true;
    return txn_submit_after(p->app->txn, call, delay_ms > 0 ? delay_ms : AFTER_ERROR_MS) == ERR_OK;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static void line_advance(struct push *p)
{
    struct target *t = p->first;

    if (t == NULL || atomic_load(&p->flight) >= FLIGHT_MAX)
        return;
    p->first = t->next;
    if (p->first == NULL)
        p->last = NULL;
    t->in_line = false;
    target_next(t);
}

static void batch_free(struct batch *b)
{
    arena_done(&b->arena);
    mem_free(b);
}

static void target_free(struct target *t)
{
    map_del(&t->p->targets, (uint64_t)t->fn);
    mem_free(t);
}

/* A function that is gone waits for its last request. */
static bool target_over(struct target *t)
{
    if (!t->gone || t->claiming != NULL || t->flight > 0 || t->in_line)
        return false;
    target_free(t);
    return true;
}

static void sending_over(struct sending *s)
{
    struct batch *b = s->b;
    struct target *t = b->t;
    struct push *p = b->p;

    arena_done(&s->arena);
    t->flight--;
    atomic_fetch_sub(&p->flight, 1);
    if (--b->open == 0)
        batch_free(b);
    line_advance(p);
    if (!target_over(t))
        target_next(t);
}

static err_t report_run(struct ctx *c)
{
    const struct sending *s = c->call->arg;

    return svc_push_report(c, &s->out);
}

static void report_submit(struct sending *s, int64_t delay_ms);

/* The endpoint has no part in it. If it was written all the same, the fence knows. */
static bool database_failed(err_t e)
{
    return e == ERR_UNAVAILABLE || e == ERR_UNCERTAIN || e == ERR_INTERNAL;
}

/* While nobody else has the run. */
static bool report_again(struct sending *s)
{
    struct push *p = s->b->p;

    if (atomic_load(&p->stopping) || clock_now(txn_clock(p->app->txn)) > s->out.job.lease_until)
        return false;
    report_submit(s, AFTER_ERROR_MS);
    return true;
}

static void report_done(struct call *call)
{
    struct sending *s = call->arg;
    struct push *p = s->b->p;
    str_t text = err_text(&call->ctx, call->result);
    bool ours = database_failed(call->result);

    atomic_fetch_sub(&p->calls, 1);
    if (ours && report_again(s))
        return;
    if (s->out.answered && !ours && call->result != ERR_OK && call->result != ERR_CANCELED) {
        s->out.answered = false; /* what the endpoint said is none */
        push_failure(&s->call.ctx, &s->req, str_z(&s->arena, text), &s->out.report);
        report_submit(s, 0);
        return;
    }
    if (call->result != ERR_OK && call->result != ERR_CANCELED && !atomic_load(&p->stopping))
        log_error("the outcome of a push was not written", "error=\"" STR_FMT "\"",
                  STR_ARG(text)); /* its lease brings it back */
    sending_over(s);
}

static void report_submit(struct sending *s, int64_t delay_ms)
{
    struct push *p = s->b->p;

    call_make(p, &s->call, CALL_WRITE, report_run, s, &s->arena, s->env);
    s->call.done = report_done;
    s->call.bytes = s->req.reply.n;
    atomic_fetch_add(&p->calls, 1);
    if (call_submit(p, &s->call, delay_ms))
        return;
    atomic_fetch_sub(&p->calls, 1);
    sending_over(s);
}

static void on_answer(struct outbound_req *r)
{
    struct sending *s = (struct sending *)((char *)r - offsetof(struct sending, req));
    struct ctx *c = &s->call.ctx;
    err_t e = ERR_OK;

    if (r->end == OUTBOUND_STOPPED) {
        sending_over(s);
        return;
    }
    s->out.answered = r->end == OUTBOUND_REPLY && r->status == 200;
    if (s->out.answered)
        e = push_answer(c, r->reply, &s->out.report);
    if (e != ERR_OK)
        s->out.answered = false;
    if (!s->out.answered)
        push_failure(c, r, e != ERR_OK ? str_z(&s->arena, err_text(c, e)) : NULL, &s->out.report);
    report_submit(s, 0);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void sending_start(struct sending *s)
{
    struct push *p = s->b->p;
    str_t key = p->app->signing_key;
    size_t n = 0;

    arena_init(&s->arena);
    call_make(p, &s->call, CALL_WRITE, report_run, s, &s->arena, s->env);
    s->out.unsent = s->body.n == 0;
    if (s->out.unsent) {
        push_too_large(&s->call.ctx, &s->out.report);
        report_submit(s, 0);
        return;
    }
    s->headers[n++] = (struct http_header){ S("Content-Type"), S("application/json") };
    if (key.n > 0)
        s->headers[n++] = (struct http_header){
            S(PUSH_SIGNATURE_HEADER),
            push_signature(&s->arena, key, clock_wall(txn_clock(p->app->txn)) / 1000, s->body),
        };
    s->req = (struct outbound_req){ .url = str_z(&s->arena, s->out.endpoint),
                                    .body = s->body,
                                    .headers = s->headers,
                                    .headers_n = n,
                                    .timeout_ms = p->app->push_timeout_ms,
                                    .arena = &s->arena,
                                    .done = on_answer };
    outbound_send(p->outbound, &s->req);
}

/* The second phase: a READ of what the claimed runs need, printed. */
static err_t load_run(struct ctx *c)
{
    struct batch *b = c->call->arg;
    struct assignment *list = NULL;
    size_t n = b->got.n;

    b->given = 0;
    TRY(svc_worker_assignments_upto(c, b->got.claims, &n, BATCH_BYTES, &list));
    b->sendings = NEW_N(c->arena, struct sending, n);
    for (size_t i = 0; i < n; i++) {
        struct sending *s = &b->sendings[i];
        struct buf body;

        buf_init_arena(&body, c->arena, PUSH_BODY_MAX);
        push_body(c, &list[i], &body);
        s->b = b;
        s->env = c->env;
        s->body = body.full ? STR_NULL : buf_str(&body);
        s->out = (struct push_outcome){ .fn = b->fn,
                                        .job = b->got.claims[i].job,
                                        .endpoint = b->got.endpoint };
    }
    b->given = n;
    return ERR_OK;
}

/* ---- claims ---------------------------------------------------------------------------------- */

static void unreserve(struct batch *b)
{
    if (b->reserved > 0)
        atomic_fetch_sub(&b->p->flight, b->reserved);
    b->reserved = 0;
}

/* Runs again whenever the function has ready runs. */
static err_t claim_run(struct ctx *c)
{
    struct batch *b = c->call->arg;
    size_t flight;

    arena_reset(c->arena);
    unreserve(b);
    b->got = (struct push_claims){ 0 };
    b->given = 0;
    if (atomic_load(&b->p->draining))
        return err_set(c, ERR_CANCELED, "stopping");
    flight = atomic_load(&b->p->flight);
    b->full = flight >= FLIGHT_MAX;
    if (b->full)
        return ERR_OK;
    TRY(svc_push_claim(c, &b->fn, b->room, &b->got));
    if (b->got.n == 0)
        return ERR_OK;
    b->reserved = b->got.n;
    atomic_fetch_add(&b->p->flight, b->reserved);
    return txn_next(c, CALL_READ, load_run);
}

static err_t release_run(struct ctx *c)
{
    const struct batch *b = c->call->arg;

    return svc_worker_release(c, b->got.claims + b->given, b->got.n - b->given);
}

static void release_done(struct call *call)
{
    struct batch *b = call->arg;
    struct push *p = b->p;

    atomic_fetch_sub(&p->calls, 1);
    if (--b->open == 0) /* else its lease ends */
        batch_free(b);
}

/* What was claimed and not given to a request goes back. */
static void batch_release(struct batch *b)
{
    struct push *p = b->p;

    call_make(p, &b->call, CALL_WRITE, release_run, b, &b->arena, b->t->env);
    b->call.done = release_done;
    b->open++;
    atomic_fetch_add(&p->calls, 1);
    if (call_submit(p, &b->call, 0))
        return;
    atomic_fetch_sub(&p->calls, 1);
    if (--b->open == 0)
        batch_free(b);
}

static bool outbound_ready(struct push *p, struct ctx *c)
{
    err_t e;

    if (p->outbound != NULL)
        return true;
    e = outbound_new(c, p->loop, &p->outbound);
    if (e != ERR_OK)
        log_error("push cannot work", "error=\"" STR_FMT "\"", STR_ARG(err_text(c, e)));
    return e == ERR_OK;
}

static void batch_send(struct batch *b)
{
    struct push *p = b->p;
    size_t n = b->given;

    if (n > 0 && (atomic_load(&p->stopping) || !outbound_ready(p, &b->call.ctx)))
        n = b->given = 0;
    atomic_fetch_sub(&p->flight, b->reserved - n);
    b->reserved = 0;
    b->t->flight += n;
    b->open += n + 1; /* one for us */
    if (b->given < b->got.n)
        batch_release(b);
    for (size_t i = 0; i < n; i++)
        sending_start(&b->sendings[i]);
    if (--b->open == 0)
        batch_free(b);
}

static void line_join(struct target *t)
{
    struct push *p = t->p;

    if (t->in_line)
        return;
    t->in_line = true;
    t->next = NULL;
    if (p->last != NULL)
        p->last->next = t;
    else
        p->first = t;
    p->last = t;
}

static void claim_submit(struct target *t, int64_t delay_ms)
{
    struct push *p = t->p;
    struct batch *b = mem_zero(sizeof(*b));
    int64_t room = (int64_t)(FUNCTION_MAX - t->flight);

    b->p = p;
    b->t = t;
    b->fn = t->fn;
    b->room = room < CHUNK ? room : CHUNK;
    arena_init(&b->arena);
    call_make(p, &b->call, CALL_WRITE, claim_run, b, &b->arena, t->env);
    b->call.done = batch_done;
    t->claiming = b;
    if (call_submit(p, &b->call, delay_ms))
        return;
    t->claiming = NULL;
    batch_free(b);
}

/* Claims on, unless it does so already or has enough under way. */
static void target_next(struct target *t)
{
    struct push *p = t->p;

    if (t->claiming != NULL || t->gone || t->in_line || atomic_load(&p->draining) ||
        t->flight > (size_t)FUNCTION_MAX / 4 * 3)
        return;
    if (atomic_load(&p->flight) >= FLIGHT_MAX)
        line_join(t);
    else
        claim_submit(t, 0);
}

static void batch_done(struct call *call)
{
    struct batch *b = call->arg;
    struct target *t = b->t;
    struct push *p = b->p;
    err_t e = call->result;

    t->claiming = NULL;
    if (e != ERR_OK && b->got.n == 0) {
        if (e != ERR_CANCELED && !atomic_load(&p->draining))
            log_error("push claim failed", "error=\"" STR_FMT "\"",
                      STR_ARG(err_text(&call->ctx, e)));
        unreserve(b);
        batch_free(b);
        if (!target_over(t) && !t->gone && !atomic_load(&p->draining))
            claim_submit(t, AFTER_ERROR_MS);
        return;
    }
    if (b->full)
        line_join(t);
    t->gone |= b->got.gone;
    batch_send(b);
    if (target_over(t))
        return;
    if (e == ERR_OK)
        target_next(t); /* else the next tick does it */
}

/* ---- which functions ------------------------------------------------------------------------- */

static err_t look_run(struct ctx *c)
{
    struct push *p = c->call->arg;

    arena_reset(c->arena);
    return svc_push_targets(c, &p->listed, &p->listed_n);
}

static void target_see(struct push *p, const struct push_target *seen)
{
    struct target *t = map_get(&p->targets, (uint64_t)seen->fn);

    if (t == NULL) {
        t = mem_zero(sizeof(*t));
        t->p = p;
        t->fn = seen->fn;
        t->env = seen->env;
        map_put(&p->targets, (uint64_t)t->fn, t);
    }
    t->seen = true;
    t->gone = false;
    target_next(t);
}

/* Those that are not listed any more stop claiming. */
static void targets_forget(struct push *p)
{
    struct target *t;

    for (size_t i = 0; (t = map_next(&p->targets, &i)) != NULL; t->seen = false) {
        if (t->seen)
            continue;
        t->gone = true;
        if (t->claiming != NULL)
            txn_cancel(p->app->txn, &t->claiming->call);
    }
}

static void look(struct push *p);

static void look_done(struct call *call)
{
    struct push *p = call->arg;

    p->looking = false;
    if (call->result != ERR_OK) {
        p->look_again = true; /* the next tick does it */
        return;
    }
    for (size_t i = 0; i < p->listed_n; i++)
        target_see(p, &p->listed[i]);
    targets_forget(p);
    if (p->look_again)
        look(p);
}

static void look(struct push *p)
{
    p->look_again = p->looking;
    if (p->looking || atomic_load(&p->draining) || !p->recovered)
        return;
    call_make(p, &p->look, CALL_READ, look_run, p, &p->look_arena, 0);
    p->look.done = look_done;
    p->looking = txn_submit(p->app->txn, &p->look) == ERR_OK;
    p->look_again = !p->looking; /* the next tick does it */
}

static void on_changed(struct loop_msg *m)
{
    struct push *p = (struct push *)((char *)m - offsetof(struct push, changed));

    atomic_store(&p->changed_posted, false);
    look(p);
}

void push_functions_changed(struct push *p)
{
    if (!atomic_exchange(&p->changed_posted, true))
        loop_post(p->loop, &p->changed);
}

/* Other nodes register functions, too; and what could not be submitted is submitted again. */
void push_tick(struct push *p)
{
    struct target *t;

    if (p->app->db_kind == DB_PG || p->look_again)
        look(p);
    for (size_t i = 0; (t = map_next(&p->targets, &i)) != NULL;)
        target_next(t);
    line_advance(p);
}

/* ---- recovery -------------------------------------------------------------------------------- */

static void recover(struct push *p, int64_t delay_ms);

static err_t recover_run(struct ctx *c)
{
    struct push *p = c->call->arg;

    arena_reset(c->arena);
    c->env = 0;
    return svc_push_recover(c, &p->more);
}

static void recover_done(struct call *call)
{
    struct push *p = call->arg;

    if (call->result != ERR_OK) {
        if (!atomic_load(&p->draining))
            recover(p, AFTER_ERROR_MS);
        return;
    }
    p->recovered = !p->more;
    if (p->more)
        recover(p, 0);
    else
        look(p);
}

static void recover(struct push *p, int64_t delay_ms)
{
    call_make(p, &p->look, CALL_WRITE, recover_run, p, &p->look_arena, 0);
    p->look.done = recover_done;
    (void)call_submit(p, &p->look, delay_ms);
}

/* ---- from birth to death --------------------------------------------------------------------- */

static void on_drain(struct loop_msg *m)
{
    struct push *p = (struct push *)((char *)m - offsetof(struct push, drained));
    struct target *t;

    for (size_t i = 0; (t = map_next(&p->targets, &i)) != NULL;)
        if (t->claiming != NULL)
            txn_cancel(p->app->txn, &t->claiming->call);
}

static void on_stop(struct loop_msg *m)
{
    struct push *p = (struct push *)((char *)m - offsetof(struct push, stopped));

    outbound_free(p->outbound);
    p->outbound = NULL;
    if (!p->spawned)
        return;
    uv_timer_stop(&p->timer);
    uv_close((uv_handle_t *)&p->timer, NULL);
}

struct push *push_new(struct app *app, struct loop *loop)
{
    struct push *p = mem_zero(sizeof(*p));

    p->app = app;
    p->loop = loop;
    p->changed.fn = on_changed;
    p->drained.fn = on_drain;
    p->stopped.fn = on_stop;
    arena_init(&p->look_arena);
    recover(p, 0);
    return p;
}

static void on_timer(uv_timer_t *timer)
{
    push_tick(timer->data);
}

struct push *push_start(struct app *app)
{
    struct push *p = push_new(app, loop_new());

    p->spawned = true;
    must(uv_timer_init(loop_uv(p->loop), &p->timer) == 0);
    p->timer.data = p;
    must(uv_timer_start(&p->timer, on_timer, LOOK_AGAIN_MS, LOOK_AGAIN_MS) == 0);
    loop_spawn(p->loop, "push");
    return p;
}

void push_drain(struct push *p)
{
    if (!atomic_exchange(&p->draining, true))
        loop_post(p->loop, &p->drained);
}

size_t push_busy(const struct push *p)
{
    return atomic_load(&p->flight) + atomic_load(&p->calls);
}

/* The loop goes on: txn gives every call back. */
void push_stop(struct push *p)
{
    if (p == NULL)
        return;
    push_drain(p);
    atomic_store(&p->stopping, true);
    loop_post(p->loop, &p->stopped);
}

void push_free(struct push *p)
{
    struct target *t;

    if (p == NULL)
        return;
    if (p->spawned) {
        loop_join(p->loop);
        loop_free(p->loop);
    }
    for (size_t i = 0; (t = map_next(&p->targets, &i)) != NULL;)
        mem_free(t);
    map_done(&p->targets);
    arena_done(&p->look_arena);
    mem_free(p);
}
