/* Runs and their steps: list, read, cancel. */
#include "svc/runs.h"

#include "api/convert.h"
#include "api/handlers.h"

enum { LIST_DEFAULT = 50, LIST_MAX = 1000 };
/* The most that the payloads of one answer with steps may hold. */
#define STEPS_BYTES_MAX ((size_t)128 << 20)

err_t api_run_get(struct ctx *c, struct api_call *a)
{
    const struct pb_get_run_request *in = a->in;
    struct run run = { 0 };
    int64_t id = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->id, &id));
    TRY(svc_run_get(c, id, &run));
    return api_runs(c, &run, 1, a->out);
}

static err_t runs_out(struct ctx *c, const struct run *runs, size_t n, struct pb_run **out)
{
    *out = NEW_N(c->arena, struct pb_run, n + 1);
    return api_runs(c, runs, n, *out);
}

static uint32_t status_bits(const int32_t *list, size_t n)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < n; i++)
        if (list[i] > 0 && list[i] < RUN_STATUS_COUNT)
            bits |= 1u << list[i];
    return bits;
}

err_t api_run_list(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_list_runs_query *in = a->in;
    struct pb_rest_run_list *out = a->out;
    struct run_filter f = { .function_id = in->function_id,
                            .statuses = status_bits(in->status, in->status_n),
                            .since_ms = in->since,
                            .until_ms = in->until };
    struct run *runs = NULL;

    if (in->search.n > 0 || in->event_id.n > 0)
        return err_set(c, ERR_UNIMPLEMENTED, "%s: not supported by this release",
                       in->search.n > 0 ? "search" : "event_id");
    TRY(api_limit(c, "limit", in->limit, LIST_DEFAULT, LIST_MAX, &f.limit));
    TRY(api_limit(c, "offset", in->offset, 0, INT64_MAX, &f.offset));
    TRY(svc_run_list(c, &f, &runs, &out->runs_n, &out->total_count));
    out->count = (int64_t)out->runs_n;
    return runs_out(c, runs, out->runs_n, &out->runs);
}

/* The cursor is the id of the last run of the page before. */
err_t api_run_list_rpc(struct ctx *c, struct api_call *a)
{
    const struct pb_list_runs_request *in = a->in;
    struct pb_list_runs_response *out = a->out;
    struct run_filter f = { .function_id = in->function_id,
                            .statuses = status_bits(in->statuses, in->statuses_n) |
                                        status_bits(&in->status, 1),
                            .since_ms = in->since,
                            .until_ms = in->until };
    struct run *runs = NULL;
    int64_t limit;

    if (in->search.n > 0 || in->event_id.n > 0)
        return err_set(c, ERR_UNIMPLEMENTED, "%s: not supported by this release",
                       in->search.n > 0 ? "search" : "event_id");
    if (in->cursor.n > 0 && !id_parse(ID_RUN, in->cursor, &f.before_id))
        return err_set(c, ERR_INVALID, "cursor: not a cursor of this list");
    TRY(api_limit(c, "limit", in->limit, LIST_DEFAULT, LIST_MAX, &limit));
    TRY(api_limit(c, "offset", in->offset, 0, INT64_MAX, &f.offset));
    f.limit = limit + 1; /* one more tells whether there is a next page */
    TRY(svc_run_list(c, &f, &runs, &out->runs_n, &out->total_count));
    if ((int64_t)out->runs_n > limit) {
        out->runs_n = (size_t)limit;
        out->next_cursor = api_id(c, ID_RUN, runs[limit - 1].id);
    }
    return runs_out(c, runs, out->runs_n, &out->runs);
}

err_t api_run_steps(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_list_steps_query *in = a->in;
    struct pb_rest_step_list *out = a->out;
    struct step_filter range = { .bytes_max = STEPS_BYTES_MAX };
    struct step *steps = NULL;
    int64_t id = 0;
    size_t n = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->run_id, &id));
    TRY(api_limit(c, "limit", in->limit, 0, INT32_MAX, &range.limit));
    TRY(api_limit(c, "offset", in->offset, 0, INT32_MAX, &range.offset));
    TRY(svc_run_steps(c, id, &range, &steps, &n));
    out->steps = NEW_N(c->arena, struct pb_rest_step, n + 1);
    for (size_t i = 0; i < n; i++)
        api_step_rest(c, &steps[i], &out->steps[i]);
    out->steps_n = n;
    return ERR_OK;
}

err_t api_run_steps_rpc(struct ctx *c, struct api_call *a)
{
    const struct pb_get_run_steps_request *in = a->in;
    struct pb_get_run_steps_response *out = a->out;
    struct step_filter range = { .bytes_max = STEPS_BYTES_MAX };
    struct step *steps = NULL;
    int64_t id = 0;
    size_t n = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->run_id, &id));
    TRY(svc_run_steps(c, id, &range, &steps, &n));
    out->steps = NEW_N(c->arena, struct pb_step, n + 1);
    for (size_t i = 0; i < n; i++)
        api_step(c, &steps[i], &out->steps[i]);
    out->steps_n = n;
    return ERR_OK;
}

/* Quotes would end the field. */
static void cancel_log(struct ctx *c, struct api_call *a, str_t run, str_t reason)
{
    char *copy = NEW_N(c->arena, char, reason.n + 1);

    for (size_t i = 0; i < reason.n; i++)
        copy[i] = reason.p[i] == '"' ? '\'' : reason.p[i];
    a->log_msg = "run cancelled";
    a->log_fields = str_z(c->arena, str_printf(c->arena, "run=" STR_FMT " reason=\"" STR_FMT "\"",
                                               STR_ARG(run), (int)reason.n, copy));
}

err_t api_run_cancel(struct ctx *c, struct api_call *a)
{
    const struct pb_cancel_run_request *in = a->in;
    str_t reason = in->reason;
    struct run run = { 0 };
    int64_t id = 0;
    bool now;

    TRY(api_id_parse(c, ID_RUN, "run", in->id, &id));
    TRY(svc_run_cancel(c, id, &reason, &run, &now));
    if (now)
        cancel_log(c, a, in->id, reason);
    return api_runs(c, &run, 1, a->out);
}
