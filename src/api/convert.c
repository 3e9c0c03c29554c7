/* From the engine's values to the messages of the contract. Payloads are handed on as the bytes
 * that came in; enums have the same numbers in both worlds. */
#include "api/convert.h"

#include "codec/json.h"
#include "engine/run.h"
#include "engine/tick.h"
#include "svc/principal.h"
#include "svc/registry.h"
#include "svc/runs.h"

/* The most that inputs and outputs of one answer may hold together. */
#define PAGE_BYTES_MAX ((size_t)128 << 20)

str_t api_id(struct ctx *c, enum id_kind kind, int64_t id)
{
    return id == 0 ? STR_NULL : id_text(c->arena, kind, id);
}

str_t *api_run_ids(struct ctx *c, const int64_t *ids, size_t n)
{
    str_t *texts = NEW_N(c->arena, str_t, n + 1);

    for (size_t i = 0; i < n; i++)
        texts[i] = id_text(c->arena, ID_RUN, ids[i]);
    return texts;
}

err_t api_id_parse(struct ctx *c, enum id_kind kind, const char *what, str_t text, int64_t *out)
{
    if (text.n == 0)
        return err_set(c, ERR_INVALID, "%s id is required", what);
    if (!id_parse(kind, text, out))
        return err_set(c, ERR_NOT_FOUND, "%s not found", what);
    return ERR_OK;
}

struct pb_error *api_error(struct ctx *c, str_t json)
{
    struct pb_error *e;
    str_t v;

    if (json.n == 0)
        return NULL;
    e = NEW(c->arena, struct pb_error);
    if (json_get(json, S("message"), &v))
        (void)json_string(c->arena, v, &e->message);
    if (json_get(json, S("code"), &v))
        (void)json_string(c->arena, v, &e->code);
    if (json_get(json, S("stack"), &v))
        (void)json_string(c->arena, v, &e->stack);
    if (json_get(json, S("retryable"), &v))
        e->retryable = str_eq(v, S("true"));
    if (json_get(json, S("details"), &v) && json_type(v) == JSON_OBJECT)
        e->details = v;
    if (e->message.n == 0)
        e->message = e->code.n > 0 ? e->code : S("unknown error");
    return e;
}

static str_t function_id(const struct registry *reg, int64_t key)
{
    const struct function *fn = registry_by_key(reg, key);

    return fn ? fn->id : STR_NULL;
}

static void run_fill(struct ctx *c, const struct registry *reg, const struct run *r,
                     struct pb_run *out)
{
    *out = (struct pb_run){
        .id = api_id(c, ID_RUN, r->id),
        .function_id = function_id(reg, r->fn),
        .event_id = api_id(c, ID_EVENT, r->event_id),
        .execution_mode = (int32_t)r->mode,
        .worker_id = r->worker,
        .actor_id = r->actor,
        .output = r->output,
        .error = api_error(c, r->error),
        .status = (int32_t)r->status,
        .attempt = r->attempt,
        .max_attempts = r->max_attempts,
        .started_at = r->started_at,
        .ended_at = r->ended_at,
        .created_at = id_ms(r->id),
        .updated_at = r->updated_at,
        .pause_requested = r->pause_requested,
        .pause_reason = run_pause_word(r->pause_reason),
        .function_version = r->fn_version,
        .parent_run_id = api_id(c, ID_RUN, r->parent_run),
        .parent_step_id = r->parent_step,
        .environment_id = c->who->env_id,
        .cancellation_cause = r->cancellation_cause,
    };
}

err_t api_runs(struct ctx *c, const struct run *runs, size_t n, struct pb_run *out)
{
    const struct registry *reg = NULL;
    size_t bytes = 0;

    TRY(svc_registry(c, &reg));
    for (size_t i = 0; i < n; i++) {
        struct event e = { 0 };

        run_fill(c, reg, &runs[i], &out[i]);
        TRY(svc_run_input(c, &runs[i], &e));
        bytes += e.data.n + runs[i].output.n;
        if (bytes > PAGE_BYTES_MAX)
            return err_set(c, ERR_TOO_LARGE, "runs: the page holds more than %zu MiB, lower limit",
                           PAGE_BYTES_MAX >> 20);
        out[i].input = e.data;
        out[i].event_name = e.name;
    }
    return ERR_OK;
}

void api_step_rest(struct ctx *c, const struct step *s, struct pb_rest_step *out)
{
    *out = (struct pb_rest_step){
        .id = api_id(c, ID_STEP, s->id),
        .run_id = api_id(c, ID_RUN, s->run_id),
        .step_id = s->step_id,
        .name = s->name,
        .step_type = (int32_t)s->type,
        .sequence = s->sequence,
        .status = (int32_t)s->status,
        .input = s->input,
        .output = s->output,
        .error = s->error,
        .attempt = s->attempt,
        .duration_ms = s->duration_ms,
        .started_at = s->started_at,
        .ended_at = s->ended_at,
        .original_output = s->original_output,
        .patched_at = s->patched_at,
        .patched_by = s->patched_by,
        .compensation_for = s->compensation_for,
        .child_run_id = api_id(c, ID_RUN, s->child_run),
        .sleep_until = s->type == STEP_SLEEP ? s->wake_at : 0,
    };
}

/* The name that a step waits for. */
static str_t wait_event_of(struct ctx *c, const struct step *s)
{
    str_t value, name = STR_NULL;

    if (s->type == STEP_WAIT_FOR_EVENT && s->input.n > 0 && json_get(s->input, S("event"), &value))
        (void)json_string(c->arena, value, &name);
    return name;
}

void api_step(struct ctx *c, const struct step *s, struct pb_step *out)
{
    *out = (struct pb_step){
        .id = api_id(c, ID_STEP, s->id),
        .run_id = api_id(c, ID_RUN, s->run_id),
        .step_id = s->step_id,
        .step_type = (int32_t)s->type,
        .sequence = s->sequence,
        .status = (int32_t)s->status,
        .input = s->input,
        .output = s->output,
        .error = api_error(c, s->error),
        .attempt = s->attempt,
        .duration_ms = s->duration_ms > INT32_MAX ? INT32_MAX : s->duration_ms,
        .started_at = s->started_at,
        .ended_at = s->ended_at,
        .original_output = s->original_output,
        .patched_at = s->patched_at,
        .patched_by = s->patched_by,
        .compensation_for = s->compensation_for,
        .duration_ms_full = s->duration_ms,
        .has_duration_ms_full = true,
        .sleep_until = s->type == STEP_SLEEP ? s->wake_at : 0,
        .wait_event_name = wait_event_of(c, s),
        .wait_timeout = s->type == STEP_WAIT_FOR_EVENT ? s->wake_at : 0,
        .child_run_id = api_id(c, ID_RUN, s->child_run),
        .created_at = id_ms(s->id),
    };
}

static bool has_ended(const struct run *r)
{
    return r->status == RUN_COMPLETED || r->status == RUN_FAILED || r->status == RUN_CANCELLED;
}

err_t api_run_results(struct ctx *c, const struct run *runs, size_t n, struct pb_run_result **out)
{
    struct pb_run_result *results = NEW_N(c->arena, struct pb_run_result, n + 1);
    const struct registry *reg = NULL;

    TRY(svc_registry(c, &reg));
    for (size_t i = 0; i < n; i++) {
        const struct run *r = &runs[i];
        int64_t end = has_ended(r) ? r->ended_at : c->now_ms;

        results[i] = (struct pb_run_result){
            .run_id = api_id(c, ID_RUN, r->id),
            .function_id = function_id(reg, r->fn),
            .status = (int32_t)r->status,
            .output = r->output,
            .error = api_error(c, r->error),
            .duration_ms = r->started_at > 0 && end > r->started_at ? end - r->started_at : 0,
            .wait_timed_out = !has_ended(r),
        };
    }
    *out = results;
    return ERR_OK;
}

/* The first invoke marks a function; from then on its triggers end with the implicit one. */
static void add_invoke_trigger(struct ctx *c, const struct function *fn, struct pb_function *out)
{
    str_t event = str_printf(c->arena, "ironflow.invoke." STR_FMT, STR_ARG(fn->id));
    struct pb_trigger *list;

    for (size_t i = 0; i < out->triggers_n; i++)
        if (str_eq(out->triggers[i].event, event))
            return;
    list = NEW_N(c->arena, struct pb_trigger, out->triggers_n + 1);
    for (size_t i = 0; i < out->triggers_n; i++)
        list[i] = out->triggers[i];
    list[out->triggers_n].event = event;
    out->triggers = list;
    out->triggers_n++;
}

err_t api_function(struct ctx *c, const struct function *fn, struct pb_function *out)
{
    if (fn->config.n > 0)
        TRY(pb_from_json(c, &pb_function_desc, fn->config, out));
    out->id = fn->id;
    out->name = fn->name.n > 0 ? fn->name : fn->id;
    out->description = fn->description;
    out->preferred_mode = (int32_t)fn->mode;
    out->status = (int32_t)fn->status;
    out->version = fn->version;
    out->created_at = fn->created_at;
    out->updated_at = fn->updated_at;
    out->next_run = function_next_run(fn, c->now_ms);
    if (!out->retry)
        out->retry = NEW(c->arena, struct pb_retry_config);
    *out->retry = (struct pb_retry_config){ fn->retry.max_attempts, fn->retry.initial_delay_ms,
                                            fn->retry.backoff_factor, fn->retry.max_delay_ms };
    if (fn->invoked)
        add_invoke_trigger(c, fn, out);
    return ERR_OK;
}
