/* Entries of the audit trail: packed, walked, rendered. */
#include "engine/audit.h"

#include <stdlib.h>

#include "codec/json.h"
#include "engine/run.h"
#include "engine/sm.h"
#include "engine/step.h"

#define PACK_VERSION 1
#define PAYLOAD_MAX (64u << 20)

static const str_t words[AUDIT_TYPE_COUNT] = {
    [AUDIT_RUN_CREATED] = { "run.created", 11 },
    [AUDIT_RUN_STATUS] = { "run.status_changed", 18 },
    [AUDIT_RUN_PAUSED] = { "run.paused", 10 },
    [AUDIT_RUN_RESUMED] = { "run.resumed", 11 },
    [AUDIT_STEP_CREATED] = { "step.created", 12 },
    [AUDIT_STEP_STARTED] = { "step.started", 12 },
    [AUDIT_STEP_COMPLETED] = { "step.completed", 14 },
    [AUDIT_STEP_FAILED] = { "step.failed", 11 },
    [AUDIT_STEP_PATCHED] = { "step.patched", 12 },
    [AUDIT_STEP_INJECTED] = { "step.injected", 13 },
    [AUDIT_SAGA_STARTED] = { "saga.compensation.started", 25 },
    [AUDIT_SAGA_COMPLETED] = { "saga.compensation.completed", 27 },
    [AUDIT_SAGA_FAILED] = { "saga.compensation.failed", 24 },
    [AUDIT_DEBOUNCE_CANCELLED] = { "debounce.cancelled", 18 },
};

str_t audit_type_word(enum audit_type t)
{
    return t > 0 && t < AUDIT_TYPE_COUNT ? words[t] : S("unknown");
}

/* ---- packing --------------------------------------------------------------------------------- */

static void put_varint(struct buf *b, int64_t value)
{
    uint64_t v = (uint64_t)value;

    while (v >= 0x80) {
        buf_char(b, (char)(uint8_t)(v | 0x80));
        v >>= 7;
    }
    buf_char(b, (char)(uint8_t)v);
}

static void put_text(struct buf *b, str_t s)
{
    put_varint(b, (int64_t)s.n);
    buf_append(b, s);
}

void audit_pack(struct buf *pack, const struct audit_entry *e)
{
    if (pack->n == 0)
        buf_char(pack, PACK_VERSION);
    buf_char(pack, (char)e->type);
    put_varint(pack, e->at);
    put_varint(pack, e->step);
    put_varint(pack, e->a);
    put_varint(pack, e->b);
    put_text(pack, e->text);
    put_text(pack, e->before);
    put_text(pack, e->by);
    put_text(pack, e->reason);
}

/* ---- walking --------------------------------------------------------------------------------- */

static bool get_varint(struct audit_reader *r, int64_t *out)
{
    uint64_t v = 0;

    for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;

        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = (int64_t)v;
            return true;
        }
    }
    return false;
}

static bool get_text(struct audit_reader *r, str_t *out)
{
    int64_t n;

    if (!get_varint(r, &n) || n < 0 || n > r->end - r->at)
        return false;
    *out = (str_t){ (const char *)r->at, (size_t)n };
    r->at += n;
    return true;
}

bool audit_open(struct audit_reader *r, str_t pack)
{
    *r = (struct audit_reader){ .at = (const uint8_t *)pack.p,
                                .end = (const uint8_t *)pack.p + pack.n };
    return pack.n > 0 && *r->at++ == PACK_VERSION;
}

int audit_next(struct audit_reader *r, struct audit_entry *out)
{
    struct audit_entry e = { 0 };
    uint8_t type;

    if (r->at == r->end)
        return 0;
    type = *r->at++;
    if (type == 0 || type >= AUDIT_TYPE_COUNT)
        return -1;
    e.type = (enum audit_type)type;
    if (!get_varint(r, &e.at) || !get_varint(r, &e.step) || !get_varint(r, &e.a) ||
        !get_varint(r, &e.b) || !get_text(r, &e.text) || !get_text(r, &e.before) ||
        !get_text(r, &e.by) || !get_text(r, &e.reason))
        return -1;
    *out = e;
    return 1;
}

/* By time; entries stand in their array in order, so the address settles ties. */
static int by_time(const void *a, const void *b)
{
    const struct audit_entry *x = *(const struct audit_entry *const *)a,
                             *y = *(const struct audit_entry *const *)b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x < y ? -1 : x > y;
}

err_t audit_unpack(struct ctx *c, str_t pack, struct audit_entry **out, size_t *n)
{
    struct audit_reader r;
    struct audit_entry e, *list, *sorted, **order;
    size_t count = 0, i = 0;
    int more = -1;

    if (audit_open(&r, pack)) {
        while ((more = audit_next(&r, &e)) > 0)
            count++;
    }
    if (more != 0)
        return err_set(c, ERR_INTERNAL, "a row of the audit trail is malformed");
    list = NEW_N(c->arena, struct audit_entry, count + 1);
    sorted = NEW_N(c->arena, struct audit_entry, count + 1);
    order = NEW_N(c->arena, struct audit_entry *, count + 1);
    must(audit_open(&r, pack));
    for (; i < count && audit_next(&r, &list[i]) > 0; i++)
        order[i] = &list[i];
    if (count > 1)
        qsort(order, count, sizeof(struct audit_entry *), by_time);
    for (i = 0; i < count; i++)
        sorted[i] = *order[i];
    *out = sorted;
    *n = count;
    return ERR_OK;
}

/* ---- reasons --------------------------------------------------------------------------------- */

static str_t pending_reason(const struct job *job, enum run_status from)
{
    if (from == RUN_PAUSED)
        return S("wake");
    if (from == RUN_WAITING)
        return job->reported == JOB_REPORTED_FAILED ? S("retry") : S("recovery");
    return job->reported == JOB_REPORTED_YIELDED ? S("yield") : S("returned");
}

str_t audit_reason(const struct run *run, const struct job *job, enum run_status from)
{
    switch (run->status) {
    case RUN_COMPLETED:
        return S("completed");
    case RUN_FAILED:
        return S("failed");
    case RUN_CANCELLED:
        return run->cancellation_cause;
    case RUN_PAUSED:
        return run_pause_word(run->pause_reason);
    case RUN_WAITING:
        return job->reported == JOB_REPORTED_FAILED ? S("retry") : S("lease-expired");
    case RUN_PENDING:
        return pending_reason(job, from);
    case RUN_RUNNING:
        return S("recovered");
    case RUN_STATUS_COUNT:
        break;
    }
    return STR_NULL;
}

/* ---- payloads -------------------------------------------------------------------------------- */

static void member(struct json_out *w, str_t key, str_t text)
{
    json_key(w, key);
    json_put_str(w, text);
}

static void member_raw(struct json_out *w, str_t key, str_t json)
{
    json_key(w, key);
    json_put_raw(w, json);
}

static void member_int(struct json_out *w, str_t key, int64_t v)
{
    json_key(w, key);
    json_put_i64(w, v);
}

static void run_payload(struct ctx *c, struct json_out *w, const struct audit_entry *e,
                        const struct audit_about *about)
{
    member(w, S("runId"), id_text(c->arena, ID_RUN, about->run->id));
    if (e->type == AUDIT_RUN_CREATED) {
        member(w, S("functionId"), about->function_id);
        member(w, S("eventId"), id_text(c->arena, ID_EVENT, about->run->event_id));
        member_raw(w, S("input"), about->input);
        return;
    }
    member(w, S("oldStatus"), sm_name(&run_sm, (int)e->a));
    member(w, S("newStatus"), sm_name(&run_sm, (int)e->b));
    member(w, S("reason"), e->text);
}

static void result_payload(struct json_out *w, const struct audit_entry *e,
                           const struct audit_about *about, str_t key)
{
    member_raw(w, key, e->text.n > 0 ? e->text : about->event);
    member_int(w, S("durationMs"), e->a);
}

static void error_payload(struct json_out *w, const struct audit_entry *e)
{
    member_raw(w, S("error"), e->text);
    member_int(w, S("attempt"), e->a);
}

static void step_payload(struct ctx *c, struct json_out *w, const struct audit_entry *e,
                         const struct audit_about *about)
{
    str_t name = about->step ? about->step->name : STR_NULL;

    member(w, S("stepId"), id_text(c->arena, ID_STEP, e->step));
    member(w, S("name"), name);
    switch (e->type) {
    case AUDIT_STEP_STARTED:
        member(w, S("stepName"), name);
        member(w, S("stepType"), step_type_word((enum step_type)e->a));
        break;
    case AUDIT_STEP_COMPLETED:
        result_payload(w, e, about, S("output"));
        break;
    case AUDIT_SAGA_COMPLETED:
        result_payload(w, e, about, S("result"));
        break;
    case AUDIT_STEP_FAILED:
    case AUDIT_SAGA_FAILED:
        error_payload(w, e);
        break;
    case AUDIT_STEP_PATCHED:
        member_raw(w, S("originalOutput"), e->before);
        member_raw(w, S("patchedOutput"), e->text);
        member(w, S("patchedBy"), e->by);
        member(w, S("reason"), e->reason);
        break;
    case AUDIT_STEP_INJECTED:
        member_raw(w, S("previousOutput"), e->before);
        member_raw(w, S("newOutput"), e->text);
        member(w, S("reason"), e->reason);
        break;
    case AUDIT_SAGA_STARTED:
        member(w, S("compensationTargetStep"), e->text);
        break;
    case AUDIT_RUN_CREATED:
    case AUDIT_RUN_STATUS:
    case AUDIT_RUN_PAUSED:
    case AUDIT_RUN_RESUMED:
    case AUDIT_STEP_CREATED:
    case AUDIT_DEBOUNCE_CANCELLED:
    case AUDIT_TYPE_COUNT:
        break;
    }
}

static void debounce_payload(struct ctx *c, struct json_out *w, const struct audit_entry *e,
                             const struct audit_about *about)
{
    member(w, S("eventId"), id_text(c->arena, ID_EVENT, e->b));
    member(w, S("functionId"), about->function_id);
    member(w, S("debounceKey"), e->text);
}

err_t audit_payload(struct ctx *c, const struct audit_entry *e, const struct audit_about *about,
                    str_t *out)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, PAYLOAD_MAX);
    json_open(&w, '{');
    if (e->type == AUDIT_DEBOUNCE_CANCELLED)
        debounce_payload(c, &w, e, about);
    else if (e->step == 0)
        run_payload(c, &w, e, about);
    else
        step_payload(c, &w, e, about);
    json_close(&w, '}');
    if (b.full)
        return err_set(c, ERR_TOO_LARGE, "an entry of the audit trail is too large");
    *out = buf_str(&b);
    return ERR_OK;
}
