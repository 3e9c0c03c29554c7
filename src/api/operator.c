/* What operators do to runs and steps: pause, look, inject, patch, resume; what a run touched. */
#include "svc/operator.h"

#include "api/convert.h"
#include "api/handlers.h"
#include "svc/runs.h"

err_t api_run_resume(struct ctx *c, struct api_call *a)
{
    const struct pb_resume_run_request *in = a->in;
    struct run run = { 0 };
    int64_t id = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->run_id, &id));
    TRY(svc_run_resume(c, id, in->from_step, &run));
    return api_runs(c, &run, 1, a->out);
}

err_t api_step_patch(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_patch_step_body *in = a->in;
    struct step s = { 0 };

    TRY(svc_step_patch(c, in->step_id, in->output, in->reason, &s));
    api_step_rest(c, &s, a->out);
    return ERR_OK;
}

err_t api_step_patch_rpc(struct ctx *c, struct api_call *a)
{
    const struct pb_patch_step_request *in = a->in;
    struct step s = { 0 };

    TRY(svc_step_patch(c, in->step_id, in->output, in->reason, &s));
    api_step(c, &s, a->out);
    return ERR_OK;
}

err_t api_run_pause(struct ctx *c, struct api_call *a)
{
    const struct pb_pause_run_request *in = a->in;
    struct pb_pause_run_response *out = a->out;
    bool paused = false;
    int64_t id = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->run_id, &id));
    TRY(svc_run_pause(c, id, &paused));
    out->status = paused ? S("paused") : S("pause_requested");
    return ERR_OK;
}

err_t api_run_paused_state(struct ctx *c, struct api_call *a)
{
    const struct pb_get_paused_state_request *in = a->in;
    struct pb_get_paused_state_response *out = a->out;
    struct paused_state state = { 0 };
    int64_t id = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->run_id, &id));
    TRY(svc_run_paused_state(c, id, &state));
    out->pause_reason = S("injection");
    out->next_step_hint = state.next;
    out->steps = NEW_N(c->arena, struct pb_paused_step_info, state.steps_n + 1);
    out->steps_n = state.steps_n;
    for (size_t i = 0; i < state.steps_n; i++) {
        const struct step *s = &state.steps[i];

        out->steps[i] = (struct pb_paused_step_info){
            .id = api_id(c, ID_STEP, s->id),
            .name = s->name,
            .output = s->output,
            .injected = s->patched_at != 0,
            .completed_at = s->ended_at,
            .step_type = pb_enum_word(&pb_step_type_enum, (int32_t)s->type),
            .status = pb_enum_word(&pb_step_status_enum, (int32_t)s->status),
            .error = s->error,
        };
    }
    return ERR_OK;
}

err_t api_step_inject(struct ctx *c, struct api_call *a)
{
    const struct pb_inject_step_output_request *in = a->in;
    struct pb_inject_step_output_response *out = a->out;
    struct step s = { 0 };
    int64_t id = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->run_id, &id));
    TRY(svc_step_inject(c, id, in->step_id, in->new_output, in->reason, &s, &out->previous_output));
    out->step_id = api_id(c, ID_STEP, s.id);
    return ERR_OK;
}

err_t api_run_streams(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_run_streams_query *in = a->in;
    struct pb_rest_run_streams *out = a->out;
    int64_t id = 0;

    TRY(api_id_parse(c, ID_RUN, "run", in->run_id, &id));
    return svc_run_streams(c, id, &out->entity_ids, &out->entity_ids_n);
}
