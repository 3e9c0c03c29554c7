/* What a worker on a stream is told. */
#include "api/convert.h"
#include "api/worker_stream.h"
#include "engine/sm.h"

#define HEARTBEAT_MS 30000

void outbox_registered(struct session *ss)
{
    struct pb_worker_registered in = { ss->worker.id, HEARTBEAT_MS };
    struct pb_engine_message m = { .registered = &in };

    stream_send(ss->s, &m);
}

void outbox_cancel(struct session *ss, int64_t run_id, int64_t seq, str_t reason)
{
    struct arena a;
    struct pb_cancel_job in = { .reason = reason };
    struct pb_engine_message m = { .cancel = &in };

    arena_init(&a);
    in.job_id = job_id_text(&a, run_id, seq);
    stream_send(ss->s, &m);
    arena_done(&a);
}

void outbox_shutdown(struct session *ss, int64_t drain_ms)
{
    struct pb_shutdown in = { S("the server is shutting down"), drain_ms };
    struct pb_engine_message m = { .shutdown = &in };

    stream_send(ss->s, &m);
}

void outbox_step_ack(struct session *ss, str_t step_id, str_t error)
{
    struct pb_step_ack in = { step_id, error.n == 0, error };
    struct pb_engine_message m = { .step_ack = &in };

    stream_send(ss->s, &m);
}

void outbox_leases(struct session *ss, const struct beat *beats, const enum lease_state *states,
                   size_t n)
{
    struct pb_lease_refresh_result in = { 0 };
    struct pb_engine_message m = { .lease_refresh = &in };
    struct arena a;

    arena_init(&a);
    in.segments = NEW_N(&a, struct pb_segment_lease_status, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (beats[i].fence.token.n == 0 && beats[i].fence.execution_seq == 0)
            continue;
        in.segments[in.segments_n++] =
            (struct pb_segment_lease_status){ beats[i].run_id, beats[i].fence.execution_seq,
                                              (int32_t)states[i] };
    }
    if (in.segments_n > 0)
        stream_send(ss->s, &m);
    arena_done(&a);
}

static struct pb_event *event_out(struct ctx *c, const struct event *e)
{
    struct pb_event *out = NEW(c->arena, struct pb_event);

    *out = (struct pb_event){
        .id = api_id(c, ID_EVENT, e->id),
        .name = e->name,
        .data = e->data,
        .idempotency_key = e->idempotency_key,
        .source = e->source,
        .timestamp = id_ms(e->id),
        .metadata = e->metadata,
        .version = e->version,
        .entity_id = e->entity_id,
        .entity_type = e->entity_type,
        .entity_version = e->entity_version,
    };
    return out;
}

static void steps_out(struct ctx *c, const struct assignment *as, struct pb_job_assignment *out)
{
    out->completed_steps = NEW_N(c->arena, struct pb_completed_step, as->steps_n + 1);
    out->completed_steps_n = as->steps_n;
    for (size_t i = 0; i < as->steps_n; i++) {
        struct pb_completed_step *s = &out->completed_steps[i];

        s->step_id = as->steps[i].step_id;
        s->name = as->steps[i].name;
        s->output = as->steps[i].output;
        if (as->steps[i].status == STEP_COMPLETED)
            continue;
        s->status = sm_name(&step_sm, (int)as->steps[i].status);
        s->error_json = as->steps[i].error;
    }
}

void outbox_job(struct ctx *c, struct buf *b, const struct stream_codec *k,
                const struct assignment *as)
{
    const struct claim *cl = &as->claim;
    struct pb_job_assignment job = {
        .job_id = job_id_text(c->arena, cl->job.run_id, cl->job.execution_seq),
        .run_id = api_id(c, ID_RUN, cl->run.id),
        .function_id = as->function_id,
        .event = event_out(c, &as->event),
        .actor_id = cl->run.actor,
        .attempt = cl->run.attempt,
        .max_attempts = cl->run.max_attempts,
        .execution_seq = cl->job.execution_seq,
        .lease_token = lease_token_text(c->arena, cl->job.token),
        .lease_expires_at = cl->job.lease_until,
    };
    struct pb_engine_message m = { .job = &job };

    steps_out(c, as, &job);
    stream_put(b, k, &m);
}
