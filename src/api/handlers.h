/* The handlers that the table names. Each fills a->out from a->in inside the call's transaction and
 * may run more than once. */
#pragma once

#include "api/call.h"

/* functions.c */
NODISCARD err_t api_function_register(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_get(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_list(struct ctx *c, struct api_call *a); /* REST */
NODISCARD err_t api_function_list_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_status(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_delete(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_history(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_at(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_rollback(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_invoke(struct ctx *c, struct api_call *a); /* REST */
NODISCARD err_t api_function_invoke_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_function_invoke_sync(struct ctx *c, struct api_call *a);

/* events.c */
NODISCARD err_t api_event_emit(struct ctx *c, struct api_call *a);    /* REST */
NODISCARD err_t api_event_trigger(struct ctx *c, struct api_call *a); /* Trigger, Emit */
NODISCARD err_t api_event_publish(struct ctx *c, struct api_call *a); /* PubSubService/Emit */
NODISCARD err_t api_event_batch(struct ctx *c, struct api_call *a);
NODISCARD err_t api_event_sync(struct ctx *c, struct api_call *a); /* TriggerSync */
NODISCARD err_t api_event_list(struct ctx *c, struct api_call *a);
NODISCARD err_t api_event_get(struct ctx *c, struct api_call *a);

/* runs.c */
NODISCARD err_t api_run_get(struct ctx *c, struct api_call *a);
NODISCARD err_t api_run_list(struct ctx *c, struct api_call *a); /* REST */
NODISCARD err_t api_run_list_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_run_steps(struct ctx *c, struct api_call *a); /* REST */
NODISCARD err_t api_run_steps_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_run_cancel(struct ctx *c, struct api_call *a);

/* operator.c */
NODISCARD err_t api_run_resume(struct ctx *c, struct api_call *a);
NODISCARD err_t api_run_pause(struct ctx *c, struct api_call *a);
NODISCARD err_t api_run_paused_state(struct ctx *c, struct api_call *a);
NODISCARD err_t api_run_streams(struct ctx *c, struct api_call *a);
NODISCARD err_t api_step_patch(struct ctx *c, struct api_call *a); /* REST */
NODISCARD err_t api_step_patch_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_step_inject(struct ctx *c, struct api_call *a);

/* audit.c */
NODISCARD err_t api_audit_trail(struct ctx *c, struct api_call *a); /* REST */
NODISCARD err_t api_audit_trail_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_audit_list(struct ctx *c, struct api_call *a); /* REST */

/* outbox.c */
NODISCARD err_t api_dead_letter_list(struct ctx *c, struct api_call *a);
NODISCARD err_t api_dead_letter_requeue(struct ctx *c, struct api_call *a);
NODISCARD err_t api_dead_letter_discard(struct ctx *c, struct api_call *a);

/* workers.c */
NODISCARD err_t api_worker_list(struct ctx *c, struct api_call *a);
NODISCARD err_t api_worker_register(struct ctx *c, struct api_call *a);
NODISCARD err_t api_worker_heartbeat(struct ctx *c, struct api_call *a);
NODISCARD err_t api_worker_poll(struct ctx *c, struct api_call *a);
NODISCARD err_t api_worker_ack(struct ctx *c, struct api_call *a);
NODISCARD err_t api_worker_report(struct ctx *c, struct api_call *a);

/* worker_stream.c: WorkerService/Connect */
NODISCARD err_t api_worker_connect(struct ctx *c, struct api_call *a);

/* A registration as it is stored, but for id and transport; views of *in. ERR_INVALID. */
struct worker;
NODISCARD err_t api_worker_read(struct ctx *c, const struct pb_worker_register *in,
                                struct worker *out);

/* The claims of a poll, kept beyond the request until it is known whether they were delivered; NULL
 * when there are none. */
struct held_claims;
struct held_claims *api_claims_keep(const struct api_call *a);
/* Delivered: forgets them. Otherwise gives them back to the queue. Frees them; NULL is allowed. */
void api_claims_settle(struct api *api, struct held_claims *h, bool delivered);

/* breakers.c */
NODISCARD err_t api_breaker_list(struct ctx *c, struct api_call *a);
NODISCARD err_t api_breaker_reset(struct ctx *c, struct api_call *a);
/* debounce.c */
NODISCARD err_t api_debounce_list(struct ctx *c, struct api_call *a);
NODISCARD err_t api_debounce_cancel(struct ctx *c, struct api_call *a);

/* system.c */
NODISCARD err_t api_health(struct ctx *c, struct api_call *a);
NODISCARD err_t api_ready(struct ctx *c, struct api_call *a);
NODISCARD err_t api_health_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_info(struct ctx *c, struct api_call *a);
NODISCARD err_t api_capabilities(struct ctx *c, struct api_call *a);
NODISCARD err_t api_capabilities_rpc(struct ctx *c, struct api_call *a);
NODISCARD err_t api_overview(struct ctx *c, struct api_call *a);
NODISCARD err_t api_routes(struct ctx *c, struct api_call *a);
/* Turns a probe whose database did not answer into its own 503 answer. */
void api_probe_failed(struct api_call *a, str_t why);

/* metrics.c */
NODISCARD err_t api_metrics(struct ctx *c, struct api_call *a);
