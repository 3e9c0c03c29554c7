/* Events: emit in all its forms, list, read. */
#include "api/convert.h"
#include "api/handlers.h"
#include "svc/runs.h"

enum { LIST_DEFAULT = 20, LIST_MAX = 1000, BATCH_MAX = 1000, WAIT_DEFAULT_MS = 30000 };

static err_t emit(struct ctx *c, struct api_call *a, struct emit *in, struct emitted *out)
{
    int64_t run_id = 0;
    str_t *name = NEW(c->arena, str_t);

    *name = in->name;
    a->emitted = name;
    a->emitted_n = 1;
    in->source = S("api");
    if (a->head.run_id.n > 0 && id_parse(ID_RUN, a->head.run_id, &run_id))
        in->run_id = run_id;
    return svc_emit(c, in, out);
}

static void emitted_out(struct ctx *c, const struct emitted *e, struct pb_trigger_response *out)
{
    out->event_id = api_id(c, ID_EVENT, e->event_id);
    out->run_ids = api_run_ids(c, e->runs, e->runs_n);
    out->run_ids_n = e->runs_n;
}

err_t api_event_emit(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_emit_body *in = a->in;
    struct pb_rest_emitted *out = a->out;
    struct emit e = { .name = in->name.n > 0 ? in->name : in->event,
                      .data = in->data,
                      .metadata = in->metadata,
                      .version = in->version,
                      .idempotency_key = in->idempotency_key };
    struct emitted done = { 0 };

    TRY(emit(c, a, &e, &done));
    out->event_id = api_id(c, ID_EVENT, done.event_id);
    out->run_ids = api_run_ids(c, done.runs, done.runs_n);
    out->run_ids_n = done.runs_n;
    return ERR_OK;
}

static struct emit emit_of(const struct pb_trigger_request *in)
{
    return (struct emit){ .name = in->event,
                          .data = in->data,
                          .metadata = in->metadata,
                          .version = in->version,
                          .idempotency_key = in->idempotency_key,
                          .source = S("api") };
}

err_t api_event_trigger(struct ctx *c, struct api_call *a)
{
    struct emit e = emit_of(a->in);
    struct emitted done = { 0 };

    TRY(emit(c, a, &e, &done));
    emitted_out(c, &done, a->out);
    return ERR_OK;
}

err_t api_event_publish(struct ctx *c, struct api_call *a)
{
    const struct pb_emit_request *in = a->in;
    struct pb_emit_response *out = a->out;
    struct emit e = { .name = in->event,
                      .data = in->data,
                      .metadata = in->metadata,
                      .version = in->version,
                      .idempotency_key = in->idempotency_key };
    struct emitted done = { 0 };

    TRY(emit(c, a, &e, &done));
    out->event_id = api_id(c, ID_EVENT, done.event_id);
    out->run_ids = api_run_ids(c, done.runs, done.runs_n);
    out->run_ids_n = done.runs_n;
    return ERR_OK;
}

err_t api_event_batch(struct ctx *c, struct api_call *a)
{
    const struct pb_trigger_batch_request *in = a->in;
    struct pb_trigger_batch_response *out = a->out;
    size_t n = in->events_n;
    struct emitted *done;
    struct emit *emits;
    str_t *names;
    int64_t run_id = 0;

    if (n > BATCH_MAX)
        return err_set(c, ERR_INVALID, "events: at most %d at once", BATCH_MAX);
    if (a->head.run_id.n > 0 && !id_parse(ID_RUN, a->head.run_id, &run_id))
        run_id = 0;
    emits = NEW_N(c->arena, struct emit, n + 1);
    done = NEW_N(c->arena, struct emitted, n + 1);
    names = NEW_N(c->arena, str_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        emits[i] = emit_of(&in->events[i]);
        emits[i].run_id = run_id;
        names[i] = emits[i].name;
    }
    a->emitted = names;
    a->emitted_n = n;
    TRY(svc_emit_batch(c, emits, n, done));
    out->results = NEW_N(c->arena, struct pb_trigger_response, n + 1);
    for (size_t i = 0; i < n; i++)
        emitted_out(c, &done[i], &out->results[i]);
    out->results_n = n;
    return ERR_OK;
}

/* ---- emit and wait --------------------------------------------------------------------------- */

struct sync_wait {
    struct emitted emitted;
    int64_t deadline_ms;
};

/* The second phase: a READ that waits for the end of all runs. */
static err_t sync_wait(struct ctx *c)
{
    struct api_call *a = api_call_of(c);
    const struct sync_wait *w = a->state;
    struct pb_trigger_sync_response *out = a->out;
    struct run *runs = NULL;
    bool ended = false;

    out->event_id = api_id(c, ID_EVENT, w->emitted.event_id);
    TRY(svc_runs_wait(c, w->emitted.runs, w->emitted.runs_n, w->deadline_ms, &runs, &ended));
    out->results_n = w->emitted.runs_n;
    return api_run_results(c, runs, out->results_n, &out->results);
}

err_t api_event_sync(struct ctx *c, struct api_call *a)
{
    const struct pb_trigger_sync_request *in = a->in;
    struct pb_trigger_sync_response *out = a->out;
    struct emit e = { .name = in->event,
                      .data = in->data,
                      .metadata = in->metadata,
                      .version = in->version,
                      .idempotency_key = in->idempotency_key,
                      .sync = true };
    struct sync_wait *w = NEW(c->arena, struct sync_wait);
    int64_t wait_ms;

    TRY(api_limit(c, "timeout_ms", in->timeout_ms, WAIT_DEFAULT_MS, INT32_MAX, &wait_ms));
    TRY(emit(c, a, &e, &w->emitted));
    out->event_id = api_id(c, ID_EVENT, w->emitted.event_id);
    if (w->emitted.runs_n == 0)
        return ERR_OK;
    w->deadline_ms = a->arrived_ms + wait_ms;
    a->state = w;
    a->kept = str_z(c->arena, str_printf(c->arena, "event " STR_FMT " is stored and its runs go on",
                                         STR_ARG(out->event_id)));
    return txn_next(c, CALL_READ, sync_wait);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void event_out(struct ctx *c, const struct event *e, struct pb_rest_event_record *out)
{
    *out = (struct pb_rest_event_record){
        .id = api_id(c, ID_EVENT, e->id),
        .name = e->name,
        .version = e->version,
        .data = e->data,
        .metadata = e->metadata,
        .source = e->source,
        .environment_id = c->who->env_id,
        .timestamp = id_ms(e->id),
        .created_at = id_ms(e->id),
        .processed = true,
        .idempotency_key = e->idempotency_key,
        .entity_id = e->entity_id,
        .entity_type = e->entity_type,
        .entity_version = e->entity_version,
        .run_id = api_id(c, ID_RUN, e->run_id),
        .nats_seq = e->seq,
    };
}

static str_t join(struct arena *a, const str_t *words, size_t n)
{
    struct buf b;

    buf_init_arena(&b, a, (size_t)64 << 10);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(&b, ',');
        buf_append(&b, words[i]);
    }
    return buf_str(&b);
}

err_t api_event_list(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_list_events_query *in = a->in;
    struct pb_rest_event_page *out = a->out;
    struct event_filter f = { .name = in->name,
                              .sources = join(c->arena, in->source, in->source_n),
                              .since_ms = in->since,
                              .until_ms = in->until,
                              .cursor = in->cursor,
                              .before = in->before };
    struct event_page page = { 0 };

    if (in->names_n == 1 && f.name.n == 0)
        f.name = in->names[0];
    else if (in->names_n > 0)
        return err_set(c, ERR_UNIMPLEMENTED, "names: several are not supported by this release");
    if (in->search.n > 0)
        return err_set(c, ERR_UNIMPLEMENTED, "search: not supported by this release");
    TRY(api_limit(c, "limit", in->limit, LIST_DEFAULT, LIST_MAX, &f.limit));
    TRY(svc_event_list(c, &f, &page));
    out->events = NEW_N(c->arena, struct pb_rest_event_record, page.n + 1);
    for (size_t i = 0; i < page.n; i++)
        event_out(c, &page.events[i], &out->events[i]);
    out->events_n = page.n;
    out->count = (int64_t)page.n;
    out->limit = f.limit;
    out->next_cursor = page.next_cursor;
    out->prev_cursor = page.prev_cursor;
    out->has_next = page.has_next;
    out->has_prev = page.has_prev;
    out->approx_total = page.approx_total;
    out->approx_total_capped = page.approx_capped;
    return ERR_OK;
}

err_t api_event_get(struct ctx *c, struct api_call *a)
{
    struct event e = { 0 };
    int64_t id = 0;

    TRY(api_id_parse(c, ID_EVENT, "event", api_param(a, "id"), &id));
    TRY(svc_event_get(c, id, &e));
    event_out(c, &e, a->out);
    return ERR_OK;
}
