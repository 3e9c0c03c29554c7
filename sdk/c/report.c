/* What a worker tells the server about a run: the ack, the results of steps, the end. */
#include <stdio.h>
#include <stdlib.h>

#include "worker_priv.h"

#define RETRY_MS 1000
#define RETRY_MAX_MS 30000
#define FINAL_TRIES 5 /* at once, then after 1, 2, 4 and 8 s */
#define FINAL_PAUSE_MAX_MS 8000

static enum report classify(struct ironflow_run *run, struct conn *conn, int status)
{
    run->status = status;
    if (status >= 200 && status < 300)
        return REPORT_OK;
    if (status == 409) {
        atomic_store(&run->lost, true);
        return REPORT_LOST;
    }
    if (status == 401 || status == 403) {
        worker_refused(run->worker, conn, status);
        atomic_store(&run->lost, true);
        return REPORT_LOST;
    }
    if (status == 0 || status == 404 || status == 408 || status == 429 || status >= 500)
        return REPORT_TRANSIENT;
    return REPORT_REFUSED;
}

/* PUT .../jobs/{job}{tail}; after a 404 the worker registers again and the report is repeated. */
static enum report job_put(struct ironflow_run *run, struct conn *conn, const char *tail,
                           const struct text *body)
{
    struct text path = { 0 };
    struct request r = { .method = "PUT", .body = body->p, .body_n = body->n, .repeatable = true };
    int status;

    text_addz(&path, run->worker->jobs_path);
    text_char(&path, '/');
    text_url(&path, run->job_id);
    text_addz(&path, tail);
    r.path = text_z(&path);
    status = conn_send(conn, &r);
    if (status == 404 && worker_register(run->worker, conn))
        status = conn_send(conn, &r);
    text_done(&path);
    return classify(run, conn, status);
}

enum report report_ack(struct ironflow_run *run, struct conn *conn)
{
    struct text body = { 0 };
    enum report e;

    if (run->worker->stream != NULL) {
        stream_ack(run->worker->stream, run);
        return REPORT_OK;
    }
    text_addz(&body, "{\"run_id\":");
    text_quote(&body, run->run_id, strlen(run->run_id));
    text_char(&body, ',');
    text_addz(&body, run->fence);
    text_char(&body, '}');
    e = job_put(run, conn, "/ack", &body);
    text_done(&body);
    return e;
}

/* ,"step_offset":n,"steps":[...],fence} */
static void put_tail(struct text *t, struct ironflow_run *run, const struct text *steps,
                     int64_t offset)
{
    if (steps->n > 0) {
        if (!run->push) {
            text_addz(t, ",\"step_offset\":");
            text_i64(t, offset);
        }
        text_addz(t, ",\"steps\":[");
        text_add(t, steps->p, steps->n);
        text_char(t, ']');
    }
    if (run->fenced) {
        text_char(t, ',');
        text_addz(t, run->fence);
    }
    text_char(t, '}');
}

/* After a report of taken steps: forgets them, or puts them back before what came since. */
static void steps_settle(struct ironflow_run *run, struct text *taken, int taken_n, enum report e)
{
    int64_t now = now_mono_ms();

    if (e == REPORT_OK) {
        run->step_offset += taken_n;
        run->reported_ms = now;
        run->retry_ms = 0;
    } else {
        if (run->pending_n > 0) {
            text_char(taken, ',');
            text_add(taken, run->pending.p, run->pending.n);
        }
        run->pending.n = 0;
        text_add(&run->pending, taken->p, taken->n);
        run->pending_n += taken_n;
    }
    if (e == REPORT_REFUSED)
        run->progress_off = true;
    run->flush_at_ms = 0;
    if (run->pending_n > 0 && !run->progress_off && e != REPORT_LOST) {
        if (e == REPORT_TRANSIENT)
            run->retry_ms = run->retry_ms == 0                 ? RETRY_MS
                            : run->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS
                                                               : run->retry_ms * 2;
        run->flush_at_ms = now + (e == REPORT_TRANSIENT ? run->retry_ms : 0);
    }
}

enum report report_steps(struct ironflow_run *run, struct conn *conn, struct text *body)
{
    struct text taken = { 0 }, empty = { 0 };
    enum report e = REPORT_OK;
    int64_t offset;
    int n;

    pthread_mutex_lock(&run->lock);
    while (run->flushing)
        pthread_cond_wait(&run->flushed, &run->lock);
    if (run->pending_n == 0 || run->progress_off || atomic_load(&run->lost)) {
        pthread_mutex_unlock(&run->lock);
        return atomic_load(&run->lost) ? REPORT_LOST : REPORT_OK;
    }
    taken = run->pending;
    n = run->pending_n;
    offset = run->step_offset;
    run->pending = empty;
    run->pending_n = 0;
    run->flush_at_ms = 0;
    run->flushing = true;
    pthread_mutex_unlock(&run->lock);

    body->n = 0;
    text_addz(body, "{\"status\":\"progress\"");
    put_tail(body, run, &taken, offset);
    e = job_put(run, conn, "", body);

    pthread_mutex_lock(&run->lock);
    steps_settle(run, &taken, n, e);
    if (run->pending.p == NULL) { /* keep the memory for the next steps */
        taken.n = 0;
        run->pending = taken;
        taken = empty;
    }
    run->flushing = false;
    pthread_cond_broadcast(&run->flushed);
    pthread_mutex_unlock(&run->lock);
    text_done(&taken);
    return e;
}

/* Blocks until the step is accepted; gives up waiting, not the step, after four failures. */
static void checkpoint_each(struct ironflow_run *run)
{
    int64_t pause_ms = RETRY_MS;

    while (report_steps(run, run_conn(run), run_body(run)) == REPORT_TRANSIENT &&
           pause_ms <= FINAL_PAUSE_MAX_MS) {
        if (worker_pause(run->worker, pause_ms))
            return;
        pause_ms *= 2;
    }
}

void report_checkpoint(struct ironflow_run *run)
{
    int interval = run->worker->config.checkpoint_ms;
    int64_t now, due = 0;
    bool full;

    if (run->push) /* all steps travel with the answer */
        return;
    if (interval == IRONFLOW_CHECKPOINT_EACH) {
        checkpoint_each(run);
        return;
    }
    pthread_mutex_lock(&run->lock);
    full = run->pending_n >= STEPS_PER_REPORT;
    if (interval != IRONFLOW_CHECKPOINT_NONE && !full) {
        now = now_mono_ms();
        full = run->retry_ms == 0 && now - run->reported_ms >= interval;
        if (!full && run->flush_at_ms == 0 && !run->progress_off)
            due = run->flush_at_ms = run->reported_ms + interval;
    }
    pthread_mutex_unlock(&run->lock);
    if (full)
        (void)report_steps(run, run_conn(run), run_body(run)); /* its failure left them pending */
    else if (due != 0)
        worker_tick_at(run->worker, due);
}

static void put_failure(struct text *t, struct ironflow_run *run, bool retryable)
{
    text_addz(t, "{\"status\":\"failed\",\"error\":");
    run_put_error(t, run, retryable);
}

static void put_final(struct text *t, struct ironflow_run *run, int rc)
{
    t->n = 0;
    if (run->yield != NULL) {
        text_addz(t, "{\"status\":\"yielded\",\"yield\":");
        text_addz(t, run->yield);
    } else if (rc == IRONFLOW_OK) {
        text_addz(t, run->push ? "{\"status\":\"completed\",\"result\":"
                               : "{\"status\":\"completed\",\"output\":");
        text_addz(t, run->output != NULL ? run->output : "null");
    } else {
        put_failure(t, run, rc == IRONFLOW_RETRY);
    }
    put_tail(t, run, &run->pending, run->step_offset);
}

/* What the handler returned, when it makes no sense, becomes a failure. */
static int final_check(struct ironflow_run *run, int rc)
{
    if (run->yield != NULL)
        return IRONFLOW_YIELD;
    if (rc == IRONFLOW_OK && run->output != NULL &&
        !ironflow_json_valid(run->output, strlen(run->output))) {
        ironflow_run_error(run, "INVALID_OUTPUT", "the output of the function is not JSON");
        return IRONFLOW_FAIL;
    }
    if (rc == IRONFLOW_YIELD) {
        ironflow_run_error(run, "INVALID_YIELD", "the handler yielded without a wait");
        return IRONFLOW_FAIL;
    }
    if (rc != IRONFLOW_OK && !run->error_set)
        ironflow_run_error(run, NULL, "the handler failed");
    if (rc == IRONFLOW_UNREACHABLE)
        return IRONFLOW_RETRY;
    return rc == IRONFLOW_OK || rc == IRONFLOW_RETRY ? rc : IRONFLOW_FAIL;
}

void report_put_final(struct text *t, struct ironflow_run *run, int rc)
{
    rc = final_check(run, rc);
    if (rc == IRONFLOW_FAIL)
        run_compensate(run);
    put_final(t, run, rc);
}

/* No report may be under way, and a final one holds a bounded number of steps. */
static void final_settle(struct ironflow_run *run)
{
    pthread_mutex_lock(&run->lock);
    while (run->flushing)
        pthread_cond_wait(&run->flushed, &run->lock);
    run->flush_at_ms = 0;
    pthread_mutex_unlock(&run->lock);
    if (run->pending_n > STEPS_PER_REPORT)
        checkpoint_each(run);
    pthread_mutex_lock(&run->lock);
    run->progress_off = true; /* the ticker has nothing to do here any more */
    run->flush_at_ms = 0;
    pthread_mutex_unlock(&run->lock);
}

void report_final(struct ironflow_run *run, int rc)
{
    struct ironflow_worker *w = run->worker;
    struct text *body = run_body(run);
    int64_t pause_ms = RETRY_MS;
    bool replaced = false;

    rc = final_check(run, rc);
    if (rc == IRONFLOW_FAIL)
        run_compensate(run);
    if (w->stream != NULL) {
        if (!atomic_load(&run->lost))
            stream_final(w->stream, run, rc);
        return;
    }
    final_settle(run);
    put_final(body, run, rc);
    for (int tries = 1; !atomic_load(&run->lost); tries++) {
        enum report e = job_put(run, run_conn(run), "", body);

        if (e == REPORT_OK || e == REPORT_LOST)
            return;
        if (e == REPORT_REFUSED) {
            char why[256];

            error_text(conn_body(run_conn(run)), run->status, why, sizeof(why));
            worker_log(w, "run %s: the server refuses the report: %s", run->run_id, why);
            if (replaced)
                return;
            replaced = true; /* tell at least that it failed */
            run->yield = NULL;
            run->pending.n = 0;
            run->pending_n = 0;
            ironflow_run_error(run, "REPORT_REFUSED", "the server refused the report: %s", why);
            run_compensate(run);
            put_final(body, run, IRONFLOW_FAIL);
            continue;
        }
        if (tries == FINAL_TRIES) {
            worker_log(w, "run %s: no answer to the final report; its lease will end", run->run_id);
            return;
        }
        if (worker_pause(w, pause_ms))
            return;
        pause_ms *= 2;
    }
}
