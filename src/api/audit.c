/* Audit trails, of a run and of an environment, in the shapes that the clients read. */
#include "svc/audit.h"

#include "api/convert.h"
#include "api/handlers.h"
#include "base/time.h"
#include "svc/principal.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 1000, ORDINAL_BITS = 20 };

/* What the requests ask. */
struct question {
    str_t run_id, from, to, cursor;
    struct audit_filter filter;
};

/* Ids of entries: row and place in it, so that text order is their order. */
static str_t entry_id(struct ctx *c, int64_t row, int64_t ordinal)
{
    return id_text(c->arena, ID_AUDIT, row << ORDINAL_BITS | ordinal);
}

static err_t time_read(struct ctx *c, const char *field, str_t text, int64_t *out)
{
    if (text.n > 0 && !time_parse(text, out))
        return err_set(c, ERR_INVALID, "%s: expected a time such as 2026-01-02T15:04:05Z", field);
    return ERR_OK;
}

static err_t question_read(struct ctx *c, struct question *q, int64_t limit)
{
    int64_t at = 0;

    TRY(api_limit(c, "limit", limit, LIMIT_DEFAULT, LIMIT_MAX, &q->filter.limit));
    TRY(time_read(c, "from", q->from, &q->filter.from_ms));
    TRY(time_read(c, "to", q->to, &q->filter.to_ms));
    if (q->cursor.n > 0 && !id_parse(ID_AUDIT, q->cursor, &at))
        return err_set(c, ERR_INVALID, "cursor: not a cursor of this list");
    q->filter.row = at >> ORDINAL_BITS;
    q->filter.ordinal = at & ((1 << ORDINAL_BITS) - 1);
    return ERR_OK;
}

static void pair_add(struct pb_audit_event *e, str_t key, str_t value)
{
    if (value.n > 0)
        e->metadata[e->metadata_n++] = (struct pb_pair){ key, value };
}

static void event_out(struct ctx *c, const struct audit_event *e, struct pb_audit_event *out)
{
    *out = (struct pb_audit_event){
        .id = entry_id(c, e->row, e->ordinal),
        .run_id = api_id(c, ID_RUN, e->run_id),
        .function_id = e->function_id,
        .step_id = api_id(c, ID_STEP, e->entry.step),
        .event_type = audit_type_word(e->entry.type),
        .payload = e->payload,
        .created_at = e->entry.at,
        .environment_id = c->who->env_id,
        .metadata = NEW_N(c->arena, struct pb_pair, 2),
    };
    pair_add(out, S("actor"), e->entry.by);
    pair_add(out, S("reason"), e->entry.reason);
}

static void page_out(struct ctx *c, const struct audit_trail *p,
                     struct pb_get_audit_trail_response *out)
{
    out->total_count = p->total;
    out->events = NEW_N(c->arena, struct pb_audit_event, p->events_n + 1);
    out->events_n = p->events_n;
    for (size_t i = 0; i < p->events_n; i++)
        event_out(c, &p->events[i], &out->events[i]);
    if (p->more)
        out->next_cursor = entry_id(c, p->row, p->ordinal);
}

/* The same entries in the shape of another client. */
static void entries_out(struct ctx *c, struct pb_get_audit_trail_response *out)
{
    out->entries = NEW_N(c->arena, struct pb_audit_trail_entry, out->events_n + 1);
    out->entries_n = out->events_n;
    for (size_t i = 0; i < out->events_n; i++) {
        const struct pb_audit_event *e = &out->events[i];

        out->entries[i] =
            (struct pb_audit_trail_entry){ e->id, e->event_type, e->created_at, e->payload };
    }
}

static err_t trail_out(struct ctx *c, const struct question *q,
                       struct pb_get_audit_trail_response *out)
{
    struct audit_trail p = { 0 };
    int64_t id = 0;

    TRY(api_id_parse(c, ID_RUN, "run", q->run_id, &id));
    TRY(svc_audit_trail(c, id, &q->filter, &p));
    page_out(c, &p, out);
    return ERR_OK;
}

err_t api_audit_trail(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_audit_query *in = a->in;
    struct question q = { .run_id = in->run_id,
                          .from = in->from,
                          .to = in->to,
                          .cursor = in->cursor,
                          .filter = { .type = in->event_type } };

    TRY(question_read(c, &q, in->limit));
    return trail_out(c, &q, a->out);
}

err_t api_audit_trail_rpc(struct ctx *c, struct api_call *a)
{
    const struct pb_get_audit_trail_request *in = a->in;
    struct question q = { .run_id = in->run_id,
                          .from = in->from_timestamp,
                          .to = in->to_timestamp,
                          .cursor = in->cursor,
                          .filter = { .type = in->event_type } };

    TRY(question_read(c, &q, in->limit));
    TRY(trail_out(c, &q, a->out));
    if (!a->strict && !a->binary)
        entries_out(c, a->out);
    return ERR_OK;
}

/* A run or function that nobody has is a filter that nothing passes. */
err_t api_audit_list(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_audit_list_query *in = a->in;
    struct question q = {
        .from = in->from, .to = in->to, .cursor = in->cursor, .filter = { .type = in->event_type }
    };
    struct audit_trail p = { 0 };
    int64_t run = 0;

    TRY(question_read(c, &q, in->limit));
    if (in->run_id.n > 0 && !id_parse(ID_RUN, in->run_id, &run))
        run = -1;
    TRY(svc_audit_list(c, run, in->function_id, &q.filter, &p));
    page_out(c, &p, a->out);
    return ERR_OK;
}
