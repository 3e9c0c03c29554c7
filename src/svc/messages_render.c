/* Messages as subscribers see them: topic and JSON (spec engine-ops section 7). What a record does
 * not hold is read from the rows it points to; a row that is gone leaves its members out. */
#include "base/time.h"
#include "codec/json.h"
#include "engine/function.h"
#include "engine/match.h"
#include "engine/run.h"
#include "engine/sm.h"
#include "engine/step.h"
#include "proto/ironflow.h"
#include "store/events.h"
#include "store/runs.h"
#include "store/steps.h"
#include "svc/messages.h"
#include "svc/records.h"
#include "svc/registry.h"

#define TEXT_MAX (64u << 20)

str_t run_topic_word(enum run_topic t)
{
    switch (t) {
    case TOPIC_RUN_CREATED:
        return S("created");
    case TOPIC_RUN_UPDATED:
        return S("updated");
    case TOPIC_RUN_RESUMED:
        return S("resumed");
    case TOPIC_RUN_COMPLETED:
        return S("completed");
    case TOPIC_RUN_FAILED:
        return S("failed");
    case TOPIC_RUN_CANCELLED:
        return S("cancelled");
    }
    return S("?");
}

str_t step_topic_word(enum step_topic t)
{
    switch (t) {
    case TOPIC_STEP_CREATED:
        return S("created");
    case TOPIC_STEP_UPDATED:
        return S("updated");
    case TOPIC_STEP_COMPLETED:
        return S("completed");
    case TOPIC_STEP_FAILED:
        return S("failed");
    case TOPIC_STEP_PATCHED:
        return S("patched");
    case TOPIC_STEP_TIMED_OUT:
        return S("timed_out");
    case TOPIC_STEP_INJECTED:
        return S("injected");
    }
    return S("?");
}

static str_t entity_topic_word(enum entity_topic t)
{
    switch (t) {
    case TOPIC_FN_REGISTERED:
        return S("registered");
    case TOPIC_FN_UPDATED:
        return S("updated");
    case TOPIC_FN_DELETED:
        return S("deleted");
    case TOPIC_WORKER_CONNECTED:
        return S("connected");
    case TOPIC_WORKER_DISCONNECTED:
        return S("disconnected");
    case TOPIC_WORKER_HEALTH:
        return S("health");
    }
    return S("?");
}

/* ---- members --------------------------------------------------------------------------------- */

struct painter {
    struct buf b;
    struct json_out w;
};

static void paint_begin(struct ctx *c, struct painter *p)
{
    buf_init_arena(&p->b, c->arena, TEXT_MAX);
    p->w = (struct json_out){ .b = &p->b };
    json_open(&p->w, '{');
}

static err_t paint_end(struct ctx *c, struct painter *p, str_t *out)
{
    json_close(&p->w, '}');
    if (p->b.full)
        return err_set(c, ERR_TOO_LARGE, "a message is too large");
    *out = buf_str(&p->b);
    return ERR_OK;
}

static void put_text(struct painter *p, str_t key, str_t value)
{
    if (value.n == 0)
        return;
    json_key(&p->w, key);
    json_put_str(&p->w, value);
}

static void put_int(struct painter *p, str_t key, int64_t v)
{
    json_key(&p->w, key);
    json_put_i64(&p->w, v);
}

static void put_raw(struct painter *p, str_t key, str_t json)
{
    if (json.n == 0)
        return;
    json_key(&p->w, key);
    json_put_raw(&p->w, json);
}

static void put_time(struct ctx *c, struct painter *p, str_t key, int64_t ms)
{
    struct buf b;

    if (ms == 0)
        return;
    buf_init_arena(&b, c->arena, 40);
    time_rfc3339_ms(&b, ms);
    put_text(p, key, buf_str(&b));
}

static err_t put_function(struct ctx *c, struct painter *p, int64_t key)
{
    const struct registry *reg = NULL;
    const struct function *f;

    TRY(svc_registry(c, &reg));
    f = registry_by_key(reg, key);
    put_text(p, S("functionId"), f ? f->id : STR_NULL);
    return ERR_OK;
}

static bool missing(err_t e)
{
    return e == ERR_NOT_FOUND;
}

/* ---- records --------------------------------------------------------------------------------- */

static err_t event_render(struct ctx *c, const struct record *r, struct message *m)
{
    struct event e = { 0 };
    err_t err = store_event_get(c, r->id, &e);

    m->event_id = r->id;
    if (missing(err))
        return ERR_OK;
    TRY(err);
    m->topic = str_printf(c->arena, "events:" STR_FMT, STR_ARG(e.name));
    m->json = e.data;
    return ERR_OK;
}

/* What the run was like then: later facts of its row are left out. */
static err_t run_paint(struct ctx *c, const struct record *r, const struct run *run,
                       struct painter *p)
{
    bool ended = sm_final(&run_sm, r->status);

    put_text(p, S("id"), id_text(c->arena, ID_RUN, r->id));
    TRY(put_function(c, p, r->fn));
    if (run->event_id != 0)
        put_text(p, S("eventId"), id_text(c->arena, ID_EVENT, run->event_id));
    put_text(p, S("status"), sm_name(&run_sm, r->status));
    put_int(p, S("attempt"), r->topic == TOPIC_RUN_CREATED || run->attempt == 0 ? 1 : run->attempt);
    put_int(p, S("maxAttempts"), run->max_attempts);
    if (r->topic == TOPIC_RUN_COMPLETED) {
        json_key(&p->w, S("output"));
        json_put_raw(&p->w, run->output);
    }
    if (r->topic == TOPIC_RUN_FAILED)
        put_raw(p, S("error"), run->error);
    if (r->topic == TOPIC_RUN_CANCELLED) {
        put_text(p, S("cancellationCause"), run->cancellation_cause);
        put_text(p, S("reason"), r->text);
    }
    if (r->topic != TOPIC_RUN_CREATED) {
        put_text(p, S("workerId"), run->worker);
        put_text(p, S("pauseReason"), run_pause_word((enum pause_reason)r->pause_reason));
        put_time(c, p, S("startedAt"), run->started_at);
    }
    if (ended)
        put_time(c, p, S("endedAt"), run->ended_at);
    return ERR_OK;
}

static err_t run_render(struct ctx *c, const struct record *r, struct message *m)
{
    str_t id = id_text(c->arena, ID_RUN, r->id), word = run_topic_word((enum run_topic)r->topic);
    struct event input = { 0 };
    struct run run = { 0 };
    struct painter p;
    err_t e = store_run_get(c, r->id, &run);

    if (!missing(e))
        TRY(e);
    m->topic = str_printf(c->arena, "system.run." STR_FMT "." STR_FMT, STR_ARG(id), STR_ARG(word));
    paint_begin(c, &p);
    TRY(run_paint(c, r, &run, &p));
    if (r->topic == TOPIC_RUN_CREATED && run.event_id != 0) {
        e = store_event_get(c, run.event_id, &input);
        if (!missing(e))
            TRY(e);
        put_raw(&p, S("input"), input.data);
    }
    put_time(c, &p, S("createdAt"), id_ms(r->id));
    put_time(c, &p, S("updatedAt"), m->at_ms);
    return paint_end(c, &p, &m->json);
}

static err_t step_render(struct ctx *c, const struct record *r, struct message *m)
{
    str_t run = id_text(c->arena, ID_RUN, r->run),
          word = step_topic_word((enum step_topic)r->topic);
    bool ended =
        r->status == STEP_COMPLETED || r->status == STEP_FAILED || r->status == STEP_TIMED_OUT;
    struct step s = { 0 };
    struct painter p;
    err_t e = store_step_get(c, r->id, &s);

    if (!missing(e))
        TRY(e);
    m->topic = str_printf(c->arena, "system.run." STR_FMT ".step." STR_FMT "." STR_FMT,
                          STR_ARG(run), STR_ARG(s.step_id), STR_ARG(word));
    paint_begin(c, &p);
    put_text(&p, S("id"), id_text(c->arena, ID_STEP, r->id));
    put_text(&p, S("stepId"), s.step_id);
    put_text(&p, S("runId"), run);
    TRY(put_function(c, &p, r->fn));
    put_text(&p, S("name"), s.name);
    put_text(&p, S("type"), step_type_word(s.type));
    put_text(&p, S("status"), sm_name(&step_sm, r->status));
    put_int(&p, S("sequence"), s.sequence);
    if (r->status == STEP_COMPLETED)
        put_raw(&p, S("output"), s.output.n > 0 ? s.output : S("null"));
    if (r->status == STEP_FAILED || r->status == STEP_TIMED_OUT)
        put_raw(&p, S("error"), s.error);
    if (ended)
        put_int(&p, S("durationMs"), s.duration_ms);
    put_text(&p, S("compensationFor"), s.compensation_for);
    put_time(c, &p, S("startedAt"), s.started_at);
    if (ended)
        put_time(c, &p, S("endedAt"), s.ended_at);
    return paint_end(c, &p, &m->json);
}

static err_t function_json(struct ctx *c, str_t id, str_t *out)
{
    const struct registry *reg = NULL;
    struct pb_function pb = { 0 };
    const struct function *f;
    struct painter p;
    struct buf b;

    TRY(svc_registry(c, &reg));
    f = registry_by_id(reg, id);
    if (f) {
        TRY(function_to_pb(c, f, &pb));
        buf_init_arena(&b, c->arena, TEXT_MAX);
        pb_to_json(&b, &pb_function_desc, &pb, PB_RPC_STRICT);
        *out = buf_str(&b);
        return ERR_OK;
    }
    paint_begin(c, &p);
    put_text(&p, S("id"), id);
    return paint_end(c, &p, out);
}

static err_t entity_render(struct ctx *c, const struct record *r, struct message *m)
{
    str_t word = entity_topic_word((enum entity_topic)r->topic);
    bool worker = r->topic >= TOPIC_WORKER_CONNECTED;
    struct painter p;

    m->topic = str_printf(c->arena, "system.%s." STR_FMT "." STR_FMT,
                          worker ? "worker" : "function", STR_ARG(r->text), STR_ARG(word));
    if (!worker)
        return function_json(c, r->text, &m->json);
    paint_begin(c, &p);
    put_text(&p, S("workerId"), r->text);
    if (r->topic == TOPIC_WORKER_HEALTH) {
        put_text(&p, S("health"), r->status & WORKER_UNHEALTHY ? S("unhealthy") : S("healthy"));
        json_key(&p.w, S("draining"));
        json_put_bool(&p.w, (r->status & WORKER_DRAINING) != 0);
    }
    return paint_end(c, &p, &m->json);
}

static err_t record_render(struct ctx *c, const struct record *r, struct message *m)
{
    switch (r->kind) {
    case RECORD_EVENT:
        return event_render(c, r, m);
    case RECORD_RUN:
        return run_render(c, r, m);
    case RECORD_STEP:
        return step_render(c, r, m);
    case RECORD_ENTITY:
        break;
    }
    return entity_render(c, r, m);
}

err_t message_each(struct ctx *c, str_t records, int64_t first_pos,
                   err_t (*fn)(struct ctx *c, const struct message *m, void *arg), void *arg)
{
    struct record_reader r;
    struct record rec;
    int64_t env = c->env;
    err_t e = ERR_OK;
    int more = -1;

    if (!records_open(&r, records))
        return err_set(c, ERR_INTERNAL, "a log row has an unknown form");
    for (int64_t nth = 0; e == ERR_OK && (more = records_next(&r, &rec)) > 0; nth++) {
        struct message m = { .pos = first_pos + nth, .env = rec.env, .at_ms = r.at_ms };

        c->env = rec.env;
        e = record_render(c, &rec, &m);
        if (e == ERR_OK && m.topic.n > 0)
            e = fn(c, &m, arg);
    }
    c->env = env;
    TRY(e);
    return more == 0 ? ERR_OK : err_set(c, ERR_INTERNAL, "a log row is malformed");
}
