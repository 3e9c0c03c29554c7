/* Functions: register, read, change, history, invoke. */
#include "svc/functions.h"
#include "api/convert.h"
#include "api/handlers.h"
#include "svc/runs.h"

enum { LIST_MAX = 1000, LIST_DEFAULT = 100, WAIT_DEFAULT_MS = 30000 };

static err_t function_out(struct ctx *c, const struct function *fn, struct pb_function **out)
{
    *out = NEW(c->arena, struct pb_function);
    return api_function(c, fn, *out);
}

err_t api_function_register(struct ctx *c, struct api_call *a)
{
    struct pb_register_function_response *out = a->out;
    struct function fn = { 0 };

    TRY(svc_function_register(c, a->in, &fn, &out->created));
    return function_out(c, &fn, &out->function);
}

err_t api_function_get(struct ctx *c, struct api_call *a)
{
    const struct pb_get_function_request *in = a->in;
    struct function fn = { 0 };

    TRY(svc_function_get(c, in->id, &fn));
    return api_function(c, &fn, a->out);
}

static err_t functions_out(struct ctx *c, const struct function *fns, size_t n,
                           struct pb_function **out)
{
    *out = NEW_N(c->arena, struct pb_function, n + 1);
    for (size_t i = 0; i < n; i++)
        TRY(api_function(c, &fns[i], &(*out)[i]));
    return ERR_OK;
}

err_t api_function_list(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_list_functions_query *in = a->in;
    struct pb_rest_function_list *out = a->out;
    struct function_filter f = { .name = in->name, .status = in->status, .mode = in->mode };
    struct function *fns = NULL;

    TRY(api_limit(c, "limit", in->limit, 0, INT64_MAX, &f.limit));
    TRY(api_limit(c, "offset", in->offset, 0, INT64_MAX, &f.offset));
    TRY(svc_function_list(c, &f, &fns, &out->functions_n, &out->total_count));
    out->count = (int64_t)out->functions_n;
    return functions_out(c, fns, out->functions_n, &out->functions);
}

/* The cursor of this list is the offset of its next page. */
err_t api_function_list_rpc(struct ctx *c, struct api_call *a)
{
    const struct pb_list_functions_request *in = a->in;
    struct pb_list_functions_response *out = a->out;
    struct function_filter f = { .name = in->name, .status = in->status };
    struct function *fns = NULL;
    int32_t mode = 0;
    int64_t next;

    if (in->mode.n > 0 && pb_enum_parse(&pb_execution_mode_enum, in->mode, &mode))
        f.mode = mode;
    TRY(api_limit(c, "limit", in->limit, LIST_DEFAULT, LIST_MAX, &f.limit));
    TRY(api_limit(c, "offset", in->offset, 0, INT64_MAX, &f.offset));
    if (in->cursor.n > 0 && (!str_to_i64(in->cursor, &f.offset) || f.offset < 0))
        return err_set(c, ERR_INVALID, "cursor: not a cursor of this list");
    TRY(svc_function_list(c, &f, &fns, &out->functions_n, &out->total_count));
    next = f.offset + (int64_t)out->functions_n;
    if (next < out->total_count && out->functions_n > 0)
        out->next_cursor = str_printf(c->arena, "%lld", (long long)next);
    return functions_out(c, fns, out->functions_n, &out->functions);
}

err_t api_function_status(struct ctx *c, struct api_call *a)
{
    const struct pb_update_function_status_request *in = a->in;
    struct function fn = { 0 };

    if (in->status == PB_FUNCTION_STATUS_UNSPECIFIED)
        return err_set(c, ERR_INVALID, "status: expected active, paused or archived");
    TRY(svc_function_set_status(c, in->id, (enum fn_status)in->status, &fn));
    return api_function(c, &fn, a->out);
}

err_t api_function_delete(struct ctx *c, struct api_call *a)
{
    const struct pb_delete_function_request *in = a->in;

    return svc_function_delete(c, in->id);
}

/* ---- history --------------------------------------------------------------------------------- */

static err_t change_out(struct ctx *c, str_t function_id, const struct function_change *ch,
                        struct pb_function_history_entry *out)
{
    *out = (struct pb_function_history_entry){
        .event_id = api_id(c, ID_EVENT, ch->event_id),
        .entity_version = ch->version,
        .function_id = function_id,
        .actor_id = ch->actor,
        .change_reason = ch->reason,
        .change_type = ch->type,
        .recorded_at = ch->recorded_at,
    };
    if (ch->snapshot.n == 0)
        return ERR_OK;
    out->function_snapshot = NEW(c->arena, struct pb_function);
    return pb_from_json(c, &pb_function_desc, ch->snapshot, out->function_snapshot);
}

err_t api_function_history(struct ctx *c, struct api_call *a)
{
    const struct pb_list_function_history_request *in = a->in;
    struct pb_list_function_history_response *out = a->out;
    struct function_change *changes = NULL;
    int64_t limit;
    size_t n = 0;

    if (in->from_version < 0)
        return err_set(c, ERR_INVALID, "from_version: must not be negative");
    TRY(api_limit(c, "limit", in->limit, LIST_DEFAULT, LIST_MAX, &limit));
    TRY(svc_function_history(c, in->function_id, in->from_version, limit, &changes, &n,
                             &out->has_more));
    out->entries = NEW_N(c->arena, struct pb_function_history_entry, n + 1);
    for (size_t i = 0; i < n; i++)
        TRY(change_out(c, in->function_id, &changes[i], &out->entries[i]));
    out->entries_n = n;
    return ERR_OK;
}

err_t api_function_at(struct ctx *c, struct api_call *a)
{
    const struct pb_get_function_at_version_request *in = a->in;
    struct pb_get_function_at_version_response *out = a->out;
    struct function_change change = { 0 };

    TRY(svc_function_at(c, in->function_id, in->version, &change));
    out->entry = NEW(c->arena, struct pb_function_history_entry);
    return change_out(c, in->function_id, &change, out->entry);
}

err_t api_function_rollback(struct ctx *c, struct api_call *a)
{
    const struct pb_rollback_function_request *in = a->in;
    struct pb_rollback_function_response *out = a->out;
    struct function fn = { 0 };

    TRY(svc_function_rollback(c, in->function_id, in->version, in->change_reason, &fn));
    return function_out(c, &fn, &out->function);
}

/* ---- invoke ---------------------------------------------------------------------------------- */

static err_t invoke(struct ctx *c, struct api_call *a, str_t id, struct emit *in,
                    struct emitted *out)
{
    int64_t run_id = 0;
    str_t *name = NEW(c->arena, str_t);

    *name = str_printf(c->arena, "ironflow.invoke." STR_FMT, STR_ARG(id));
    a->emitted = name;
    a->emitted_n = 1;
    in->source = S("api");
    if (a->head.run_id.n > 0 && id_parse(ID_RUN, a->head.run_id, &run_id))
        in->run_id = run_id;
    TRY(svc_invoke(c, id, in, out));
    must(out->runs_n > 0);
    return ERR_OK;
}

static void invoked_out(struct ctx *c, const struct emitted *e,
                        struct pb_invoke_function_response *out)
{
    out->run_id = api_id(c, ID_RUN, e->runs[0]);
    out->event_id = api_id(c, ID_EVENT, e->event_id);
}

err_t api_function_invoke(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_invoke_body *in = a->in;
    struct emit emit = { .data = in->data,
                         .metadata = in->metadata,
                         .idempotency_key = in->idempotency_key };
    struct emitted e = { 0 };

    if (a->head.idempotency_key.n > 0)
        emit.idempotency_key = a->head.idempotency_key;
    TRY(invoke(c, a, api_param(a, "id"), &emit, &e));
    invoked_out(c, &e, a->out);
    return ERR_OK;
}

err_t api_function_invoke_rpc(struct ctx *c, struct api_call *a)
{
    const struct pb_invoke_function_request *in = a->in;
    struct emit emit = { .data = in->data, .idempotency_key = in->idempotency_key };
    struct emitted e = { 0 };

    TRY(invoke(c, a, in->function_id, &emit, &e));
    invoked_out(c, &e, a->out);
    return ERR_OK;
}

struct invoke_wait {
    int64_t run, deadline_ms;
};

/* The second phase: a READ that waits for the end of the run. */
static err_t invoke_wait(struct ctx *c)
{
    struct api_call *a = api_call_of(c);
    const struct invoke_wait *w = a->state;
    struct pb_invoke_function_sync_response *out = a->out;
    struct run *runs = NULL;
    bool ended = false;

    TRY(svc_runs_wait(c, &w->run, 1, w->deadline_ms, &runs, &ended));
    return api_run_results(c, runs, 1, &out->result);
}

err_t api_function_invoke_sync(struct ctx *c, struct api_call *a)
{
    const struct pb_invoke_function_sync_request *in = a->in;
    struct emit emit = { .data = in->data,
                         .metadata = in->metadata,
                         .idempotency_key = in->idempotency_key };
    struct invoke_wait *w = NEW(c->arena, struct invoke_wait);
    struct emitted e = { 0 };
    int64_t wait_ms;

    TRY(api_limit(c, "timeout_ms", in->timeout_ms, WAIT_DEFAULT_MS, INT32_MAX, &wait_ms));
    TRY(invoke(c, a, in->function_id, &emit, &e));
    *w = (struct invoke_wait){ e.runs[0], a->arrived_ms + wait_ms };
    a->state = w;
    a->kept = str_z(c->arena, str_printf(c->arena, "run " STR_FMT " is stored and goes on",
                                         STR_ARG(api_id(c, ID_RUN, w->run))));
    return txn_next(c, CALL_READ, invoke_wait);
}
