/* Who uses the engine, but for the workers: emitters, operators, and the choice of what happens
 * next. */
#include "proto/ironflow.h"
#include "sim.h"
#include "svc/functions.h"
#include "svc/runs.h"
#include "svc/workers.h"

enum { OPEN_RUNS_MAX = 40, OPS_MAX = 40 };

static const str_t fn_ids[SIM_FNS] = { { "sim-a", 5 },   { "sim-b", 5 }, { "sim-any", 7 },
                                       { "sim-c", 5 },   { "sim-d", 5 }, { "sim-push", 8 },
                                       { "sim-flip", 8 } };
static const str_t fn_events[SIM_FNS] = { { "sim.a", 5 },   { "sim.b", 5 }, { "sim.*", 5 },
                                          { "sim.c.>", 7 }, { "sim.d", 5 }, { "sim.p", 5 },
                                          { "sim.q", 5 } };
/* By function and variant; a registration changes the variant. */
static const struct retry_policy policies[SIM_FNS][2] = {
    { { 3, 1000, 300000, 2.0 }, { 3, 400, 300000, 3.0 } },
    { { 1, 1000, 300000, 2.0 }, { 2, 5000, 300000, 1.0 } },
    { { 5, 100, 700, 2.0 }, { 5, 200, 90000, 10.0 } },
    { { 4, 30000, 60000, 1.5 }, { 4, 2000, 2500, 2.0 } },
    { { 2, 1000, 60000, 2.0 }, { 2, 1000, 60000, 2.0 } },
    { { 4, 500, 60000, 2.0 }, { 9, 100, 2000, 2.0 } },
    { { 3, 1000, 60000, 2.0 }, { 3, 1000, 60000, 2.0 } },
};
/* The same: limits of concurrency by the lane in the data, and who has actors. */
const int64_t sim_limits[SIM_FNS][2] = { { 2, 3 }, { 0, 0 }, { 0, 4 }, { 2, 1 },
                                         { 0, 0 }, { 0, 0 }, { 2, 2 } };
static const bool actors[SIM_FNS] = { [3] = true };
static const str_t names[] = { { "sim.d", 5 },     { "sim.a", 5 }, { "sim.b", 5 }, { "sim.c.x", 7 },
                               { "sim.c.y.z", 9 }, { "other", 5 }, { "wake", 4 },  { "wake", 4 },
                               { "wake", 4 },      { "stop", 4 },  { "sim.p", 5 }, { "sim.p", 5 },
                               { "sim.q", 5 } };
/* By function: what cancels its runs. */
static const bool stops[SIM_FNS] = { [1] = true, [3] = true, [SIM_PUSH] = true };

static struct op *op_of(struct ctx *c)
{
    return c->call->arg;
}

str_t run_text(struct sim *s, int64_t id)
{
    return id_text(&s->scratch, ID_RUN, id);
}

/* ---- functions
 * ----------------------------------------------------------------------------------- */

static err_t run_register(struct ctx *c)
{
    struct op *op = op_of(c);
    const struct retry_policy *p = &policies[op->fn][op->variant];
    struct pb_retry_config retry = { .max_attempts = p->max_attempts,
                                     .initial_delay_ms = p->initial_delay_ms,
                                     .backoff_factor = p->backoff_factor,
                                     .max_delay_ms = p->max_delay_ms };
    struct pb_trigger triggers[] = { { .event = fn_events[op->fn] }, { .cron = S("0 * * * * *") } };
    struct pb_debounce_config burst = { .period_ms = op->variant ? 3000 : 2000,
                                        .max_wait_ms = op->variant ? 0 : 9000,
                                        .key = S("lane") };
    struct pb_cancel_on_spec cancel = { .event = S("stop"), .match = S("data.s") };
    struct pb_concurrency_config limit = { .limit = (int32_t)sim_limits[op->fn][op->variant],
                                           .key = S("lane") };
    bool push = op->fn == SIM_PUSH || (op->fn == SIM_FLIP && op->variant == 0), created;
    struct pb_register_function_request in = {
        .id = fn_ids[op->fn],
        .triggers = triggers,
        .triggers_n = op->fn == SIM_HELD ? 2 : 1,
        .debounce = op->fn == SIM_HELD ? &burst : NULL,
        .retry = &retry,
        .preferred_mode = push ? MODE_PUSH : MODE_PULL,
        .endpoint_url = push ? str_printf(c->arena, SIM_URL "%d", op->fn) : STR_NULL,
        .cancel_on = &cancel,
        .cancel_on_n = stops[op->fn] ? 1 : 0,
        .concurrency = limit.limit > 0 ? &limit : NULL,
        .actor_key = actors[op->fn] ? S("data.actor") : STR_NULL,
        .recording = (op->fn & 1) == 0,
    };
    struct function out = { 0 };

    return svc_function_register(c, &in, &out, &created);
}

static err_t run_status(struct ctx *c)
{
    struct op *op = op_of(c);
    struct function out = { 0 };

    return svc_function_set_status(c, fn_ids[op->fn], op->status, &out);
}

static void fn_register(struct sim *s, int fn)
{
    struct op *op = op_new(s, OP_REGISTER_FN);

    op->fn = fn;
    op->variant = (int)pick(s, 2);
    op_submit(op, CALL_WRITE, run_register);
}

static void fn_status(struct sim *s, int fn, enum fn_status status)
{
    struct op *op = op_new(s, OP_STATUS);

    op->fn = fn;
    op->status = status;
    op_submit(op, CALL_WRITE, run_status);
}

/* The functions as the database knows them: what had no answer may have happened. */
static void fns_learn(struct sim *s)
{
    struct ctx *c = read_begin(s);

    for (int i = 0; c && i < SIM_FNS && !s->failed; i++) {
        struct function f = { 0 };
        err_t e = svc_function_get(c, fn_ids[i], &f);

        if (e == ERR_OK)
            s->fns[i] = (struct m_fn){ .key = f.key, .status = f.status, .retry = f.retry };
        else if (e != ERR_NOT_FOUND || s->fns[i].key != 0)
            violation(s, "function " STR_FMT ": " STR_FMT, STR_ARG(fn_ids[i]),
                      STR_ARG(err_text(c, e)));
    }
    if (c)
        read_end(s);
}

void actors_recover(struct sim *s)
{
    fns_learn(s);
}

void actors_init(struct sim *s)
{
    for (int tries = 0; tries < 50 && !s->failed; tries++) {
        bool all = true;

        for (int i = 0; i < SIM_FNS; i++) {
            if (s->fns[i].key != 0)
                continue;
            all = false;
            fn_register(s, i);
        }
        if (all)
            return;
        world_settle(s);
    }
    violation(s, "the functions cannot be registered");
}

/* ---- emitters
 * ------------------------------------------------------------------------------------ */

static err_t run_emit(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_emit(c, &op->emits[0], &op->out[0]);
}

static err_t run_invoke(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_invoke(c, fn_ids[op->fn], &op->emits[0], &op->out[0]);
}

/* Fails after its first write: its batch runs again without it. */
static err_t run_spoil(struct ctx *c)
{
    struct op *op = op_of(c);

    TRY(svc_emit(c, &op->emits[0], &op->out[0]));
    return err_set(c, ERR_CONFLICT, "spoiled");
}

static err_t run_batch(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_emit_batch(c, op->emits, op->n, op->out);
}

/* A new one, or one that was used before: by the same flow only. */
static int64_t choose_key(struct sim *s, bool fresh)
{
    if (fresh || s->keys_used == 0)
        return s->keys_used < SIM_KEYS - 1 ? ++s->keys_used : 0;
    return s->keys_used - pick(s, s->keys_used < 20 ? s->keys_used : 20);
}

static void add_emit(struct sim *s, struct op *op, int64_t key)
{
    struct m_emit *m = model_mark(s);
    size_t i = op->n++;

    m->key = key;
    op->marks[i] = m->mark;
    op->keys[i] = key;
    op->emits[i] = (struct emit){
        .name = names[pick(s, COUNT_OF(names))],
        .data = str_printf(
            &op->arena,
            "{\"mark\":%lld,\"k\":%d,\"s\":%d,\"lane\":%d,\"actor\":\"a%d\",\"pad\":\"%0*d\"}",
            (long long)m->mark, (int)pick(s, 3), (int)pick(s, 12), (int)pick(s, 2), (int)pick(s, 3),
            (int)pick(s, 200) + 1, 0),
        .source = S("api"),
    };
    if (key != 0)
        op->emits[i].idempotency_key = str_printf(&op->arena, "key-%lld", (long long)key);
}

/* Keys are even for emits and odd for invokes, so that none changes its flow. */
static int64_t flow_key(struct sim *s, int parity)
{
    int64_t key = chance(s, 40) ? choose_key(s, chance(s, 40)) : 0;

    while (key != 0 && key % 2 != parity)
        key = key > 1 ? key - 1 : 0;
    return key;
}

static void emit(struct sim *s)
{
    struct op *op = op_new(s, OP_EMIT);

    add_emit(s, op, flow_key(s, 0));
    op_submit(op, CALL_WRITE, run_emit);
}

static void spoil(struct sim *s)
{
    struct op *op = op_new(s, OP_SPOIL);
    struct m_emit *m;

    add_emit(s, op, 0);
    m = s->emits.items[s->emits.n - 1];
    m->spoiled = true;
    op_submit(op, CALL_WRITE, run_spoil);
}

static void invoke(struct sim *s)
{
    struct op *op = op_new(s, OP_INVOKE);
    int64_t key = flow_key(s, 1);

    op->fn = (int)pick(s, SIM_FNS);
    if (key != 0)
        op->fn = (int)(key / 2 % SIM_FNS); /* a key belongs to one function */
    add_emit(s, op, key);
    op_submit(op, CALL_WRITE, run_invoke);
}

static void batch(struct sim *s)
{
    struct op *op = op_new(s, OP_BATCH);
    int64_t n = 1 + pick(s, SIM_BATCH);

    for (int64_t i = 0; i < n; i++)
        add_emit(s, op, flow_key(s, 0));
    op_submit(op, CALL_WRITE, run_batch);
}

/* ---- operators
 * ----------------------------------------------------------------------------------- */

static err_t run_cancel_op(struct ctx *c)
{
    struct op *op = op_of(c);
    str_t reason = S("because");

    op->now = false;
    return svc_run_cancel(c, op->run->id, &reason, &op->row, &op->now);
}

static err_t run_wait(struct ctx *c)
{
    struct op *op = op_of(c);

    return svc_runs_wait(c, op->ids, op->ids_n, op->deadline, &op->rows, &op->ended_all);
}

/* Mostly one of the latest. */
static struct m_run *some_run(struct sim *s)
{
    size_t n = s->order.n, among = chance(s, 80) && n > 60 ? 60 : n;

    return n == 0 ? NULL : s->order.items[n - 1 - (size_t)pick(s, (int64_t)among)];
}

static void cancel(struct sim *s)
{
    struct m_run *r = some_run(s);
    struct op *op;

    if (!r || (!r->acked && !r->created))
        return;
    op = op_new(s, OP_CANCEL);
    op->run = r;
    op_submit(op, CALL_WRITE, run_cancel_op);
}

static void wait_for_runs(struct sim *s)
{
    struct op *op = op_new(s, OP_WAIT);

    op->ids = NEW_N(&op->arena, int64_t, 2);
    for (int i = 0; i < 2; i++) {
        const struct m_run *r = some_run(s);
        if (r && r->created)
            op->ids[op->ids_n++] = r->id;
    }
    op->deadline = s->clock.virtual_ms + 1 + pick(s, 30000);
    op_submit(op, CALL_READ, run_wait);
}

/* ---- what happens next
 * ----------------------------------------------------------------------------- */

static void time_passes(struct sim *s)
{
    int64_t roll = pick(s, 1000);

    if (roll < 600)
        s->clock.virtual_ms += pick(s, 20);
    else if (roll < 940)
        s->clock.virtual_ms += 20 + pick(s, 2000);
    else if (roll < 992)
        s->clock.virtual_ms += 2000 + pick(s, 40000);
    else if (roll < 999)
        s->clock.virtual_ms += 40000 + pick(s, 200000);
    else
        s->clock.virtual_ms += 3600000 + pick(s, 6 * 3600000);
}

static void operator_step(struct sim *s)
{
    int64_t roll = pick(s, 100);

    if (roll < 25)
        cancel(s);
    else if (roll < 60)
        intervene(s);
    else if (roll < 75)
        wait_for_runs(s);
    else if (roll < 83)
        fn_register(s, (int)pick(s, SIM_FNS));
    else if (roll < 88)
        breaker_reset_op(s);
    else
        fn_status(s, (int)pick(s, SIM_HELD), chance(s, 30) ? FN_PAUSED : FN_ACTIVE);
}

static void emitter_step(struct sim *s)
{
    int64_t roll = pick(s, 100);

    if (s->open_runs > OPEN_RUNS_MAX)
        return;
    if (roll < 68)
        emit(s);
    else if (roll < 72)
        spoil(s);
    else if (roll < 85)
        invoke(s);
    else
        batch(s);
}

void actor_step(struct sim *s)
{
    int64_t roll = pick(s, 100);

    s->step++;
    time_passes(s);
    if (s->ops.n > OPS_MAX)
        roll = 99;
    if (s->draining)
        roll = 20 + pick(s, 70);
    endpoints_time(s);
    if (s->draining && chance(s, 10))
        intervene(s);
    else if (chance(s, 15))
        endpoint_step(s);
    else if (roll < 14)
        emitter_step(s);
    else if (roll < 85 && chance(s, 35))
        streamer_step(s, &s->streamers[pick(s, SIM_STREAMERS)]);
    else if (roll < 85)
        worker_step(s, &s->workers[pick(s, SIM_WORKERS)]);
    else if (roll < 92)
        ghost_step(s);
    else if (roll < 96)
        operator_step(s);
    else if (s->draining)
        fn_status(s, (int)pick(s, SIM_FNS), FN_ACTIVE);
    else if (chance(s, 3) && chance(s, 50))
        world_restart(s);
    /* several calls wait for one batch now and then */
    if (!s->failed && (roll >= 99 || !chance(s, 40)))
        world_settle(s);
}

/* ---- answers
 * --------------------------------------------------------------------------------------- */

static void emit_reply(struct sim *s, struct op *op)
{
    err_t e = op->call.result;

    if (e == ERR_OK) {
        for (size_t i = 0; i < op->n; i++)
            model_emitted(s, op, i);
        return;
    }
    if (op->kind == OP_INVOKE && e == ERR_PRECONDITION && s->fns[op->fn].status != FN_ACTIVE)
        return;
    violation(s, "an emit was refused: " STR_FMT, STR_ARG(err_text(&op->call.ctx, e)));
}

static void wait_reply(struct sim *s, struct op *op)
{
    if (op->call.result != ERR_OK)
        violation(s, "a wait failed: " STR_FMT, STR_ARG(err_text(&op->call.ctx, op->call.result)));
    else if (!op->ended_all && s->clock.virtual_ms < op->deadline)
        violation(s, "a wait ended too early");
}

static void fn_reply(struct sim *s, struct op *op)
{
    if (op->kind == OP_REGISTER_FN && op->fn == SIM_FLIP)
        s->flipped = s->ops_made + 1;
    if (op->call.result != ERR_OK) {
        violation(s, "a function was refused: " STR_FMT,
                  STR_ARG(err_text(&op->call.ctx, op->call.result)));
        return;
    }
    if (op->kind == OP_STATUS) {
        s->fns[op->fn].status = op->status;
        return;
    }
    s->fns[op->fn].retry = policies[op->fn][op->variant];
    s->fns[op->fn].changed = s->turn;
    if (s->fns[op->fn].key == 0)
        fns_learn(s);
}

void op_reply(struct sim *s, struct op *op)
{
    static const char *const words[] = { "register", "status", "emit",   "invoke",  "batch",
                                         "spoil",    "worker", "poll",   "release", "ack",
                                         "report",   "beat",   "cancel", "wait",    "pause",
                                         "resume",   "change", "reset" };

    note(s, "call %lld %s: %d" STR_FMT " " STR_FMT, (long long)op->no, words[op->kind],
         (int)op->call.result, STR_ARG(op->job_id), STR_ARG(op->worker_id));
    switch (op->kind) {
    case OP_REGISTER_FN:
    case OP_STATUS:
        fn_reply(s, op);
        break;
    case OP_EMIT:
    case OP_INVOKE:
    case OP_BATCH:
        emit_reply(s, op);
        break;
    case OP_SPOIL:
        if (op->call.result != ERR_CONFLICT)
            violation(s, "a spoiled call answered %d", (int)op->call.result);
        break;
    case OP_CANCEL:
        model_cancel(s, op);
        break;
    case OP_WAIT:
        wait_reply(s, op);
        break;
    case OP_PAUSE:
    case OP_RESUME:
    case OP_CHANGE:
        operator_reply(s, op);
        break;
    case OP_RESET:
        if (op->call.result != ERR_OK && op->call.result != ERR_NOT_FOUND)
            violation(s, "a breaker was not reset: " STR_FMT,
                      STR_ARG(err_text(&op->call.ctx, op->call.result)));
        break;
    case OP_WORKER:
    case OP_POLL:
    case OP_RELEASE:
    case OP_ACK:
    case OP_REPORT:
    case OP_BEAT:
        worker_reply(s, op);
        break;
    }
}

void op_unknown(struct sim *s, struct op *op)
{
    note(s, "call %lld: no answer", (long long)op->no);
    if (op->kind == OP_PAUSE || op->kind == OP_RESUME || op->kind == OP_CHANGE)
        operator_unknown(s, op);
    else
        worker_unknown(s, op);
}
