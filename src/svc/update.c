/* Reports of workers and endpoints, from their decoded JSON. */
#include "svc/update.h"

#include "engine/wait.h"

/* Messages have 4 MiB, and a character may take six bytes in JSON. */
#define ERROR_MAX ((size_t)32 << 20)

/* An error as the engine keeps it: the known members, details as they came. */
static err_t error_json(struct ctx *c, const struct pb_rest_step_error *e, str_t *out)
{
    struct buf b;

    if (!e)
        return ERR_OK;
    buf_init_arena(&b, c->arena, ERROR_MAX);
    pb_to_json(&b, &pb_rest_step_error_desc, e, PB_REST);
    if (b.full)
        return err_set(c, ERR_TOO_LARGE, "error: larger than %zu MiB", ERROR_MAX >> 20);
    *out = buf_str(&b);
    return ERR_OK;
}

static err_t steps_in(struct ctx *c, const struct pb_rest_job_update *in, struct report *out)
{
    out->steps = NEW_N(c->arena, struct report_step, in->steps_n + 1);
    out->steps_n = in->steps_n;
    for (size_t i = 0; i < in->steps_n; i++) {
        const struct pb_rest_step_report *s = &in->steps[i];

        if (!(s->duration_ms >= 0 && s->duration_ms < 9e15))
            return err_set(c, ERR_INVALID, "steps[%zu].duration_ms: out of range", i);
        out->steps[i] = (struct report_step){
            .id = s->id,
            .name = s->name,
            .type = s->type,
            .status = s->status,
            .started_at = s->started_at,
            .ended_at = s->ended_at,
            .duration_ms = (int64_t)(s->duration_ms + 0.5),
            .output = s->output,
            .compensation_for = s->compensation_for,
        };
        TRY(error_json(c, s->error, &out->steps[i].error));
    }
    return ERR_OK;
}

static err_t yield_in(struct ctx *c, const struct pb_rest_yield *in, struct report *out)
{
    const struct pb_rest_event_filter *f = in->event_filter;

    out->yield_type = in->type;
    out->yield_step_id = in->step_id;
    out->yield_until_ms = in->until;
    out->yield_function = in->function_id;
    out->yield_input = in->input;
    if (!(in->invoke_timeout_ms >= 0 && in->invoke_timeout_ms < 9e15))
        return err_set(c, ERR_INVALID, "yield.invoke_timeout_ms: out of range");
    out->yield_timeout_ms = (int64_t)in->invoke_timeout_ms;
    if (f == NULL)
        return ERR_OK;
    out->yield_event = f->event;
    out->yield_match = f->match;
    out->yield_match_value = f->match_value;
    out->yield_payload = f->payload;
    if (f->timeout.n > 0 && !wait_timeout_parse(f->timeout, &out->yield_timeout_ms))
        return err_set(c, ERR_INVALID,
                       "yield.event_filter.timeout: expected a number and a unit, "
                       "such as 30s or 7d");
    return ERR_OK;
}

err_t report_kind_parse(struct ctx *c, str_t word, enum report_kind *out)
{
    static const struct {
        str_t word;
        enum report_kind kind;
    } kinds[] = {
        { { "progress", 8 }, REPORT_PROGRESS },
        { { "completed", 9 }, REPORT_COMPLETED },
        { { "failed", 6 }, REPORT_FAILED },
        { { "yielded", 7 }, REPORT_YIELDED },
    };

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_eq(kinds[i].word, word)) {
            *out = kinds[i].kind;
            return ERR_OK;
        }
    return err_set(c, ERR_INVALID, "status: expected progress, completed, failed or yielded");
}

err_t report_from_update(struct ctx *c, const struct pb_rest_job_update *in, struct report *out)
{
    out->step_offset = in->step_offset;
    out->has_step_offset = in->has_step_offset;
    out->output = in->output;
    TRY(error_json(c, in->error, &out->error));
    out->retryable = !in->error || !in->error->has_retryable || in->error->retryable;
    TRY(steps_in(c, in, out));
    if (out->kind == REPORT_YIELDED && !in->yield)
        return err_set(c, ERR_INVALID, "yield: required when status is yielded");
    return in->yield ? yield_in(c, in->yield, out) : ERR_OK;
}
