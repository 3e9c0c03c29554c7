/* What a worker on a stream says and hears, as JSON: the names of the stream's protocol from, and
 * to, what the rest of the library works with, which are those of polling. */
#include <stdio.h>
#include <stdlib.h>

#include "stream_priv.h"

/* ---- base64, for documents that travel as bytes ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(struct text *t, const char *p, size_t n)
{
    const unsigned char *at = (const unsigned char *)p;

    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)at[i] << 16 | (i + 1 < n ? (unsigned)at[i + 1] << 8 : 0) |
                     (i + 2 < n ? at[i + 2] : 0);

        text_char(t, digits[v >> 18]);
        text_char(t, digits[v >> 12 & 63]);
        text_char(t, i + 1 < n ? digits[v >> 6 & 63] : '=');
        text_char(t, i + 2 < n ? digits[v & 63] : '=');
    }
}

static void get_base64(struct text *t, const char *z)
{
    unsigned v = 0;
    int bits = 0;

    for (; *z != '\0' && *z != '='; z++) {
        const char *d = strchr(digits, *z);

        if (d == NULL)
            continue;
        v = (v << 6 | (unsigned)(d - digits)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            text_char(t, (char)(v >> bits & 0xff));
        }
    }
}

/* ---- what is heard ---- */

static void put_key(struct text *t, const char *name)
{
    if (t->n > 0 && t->p[t->n - 1] != '{')
        text_char(t, ',');
    text_char(t, '"');
    text_addz(t, name);
    text_addz(t, "\":");
}

static void put_value(struct text *t, const char *name, json_t value)
{
    if (value.p == NULL)
        return;
    put_key(t, name);
    text_add(t, value.p, value.n);
}

/* A payload: what is no object comes under the second name. */
static json_t payload(json_t object, const char *name, const char *value_name)
{
    json_t value = json_member(object, value_name);

    return value.p != NULL ? value : json_member(object, name);
}

/* "entityId" as "entity_id". */
static void put_snake_key(struct text *t, json_t key)
{
    text_addz(t, t->p[t->n - 1] != '{' ? "," : "");
    for (size_t i = 0; i < key.n; i++) {
        bool upper = key.p[i] >= 'A' && key.p[i] <= 'Z';

        if (upper)
            text_char(t, '_');
        text_char(t, upper ? (char)(key.p[i] - 'A' + 'a') : key.p[i]);
    }
    text_char(t, ':');
}

static void put_event(struct text *t, json_t event)
{
    put_key(t, "event");
    text_char(t, '{');
    for (struct json_walk w = json_walk(event); json_step(&w);) {
        bool data = w.key.n >= 6 && memcmp(w.key.p, "\"data", 5) == 0;

        if (data || memchr(w.key.p, '_', w.key.n) != NULL) /* given twice */
            continue;
        put_snake_key(t, w.key);
        text_add(t, w.value.p, w.value.n);
    }
    put_value(t, "data", payload(event, "data", "dataValue"));
    text_char(t, '}');
}

static void put_completed(struct text *t, json_t step, struct pool *pool)
{
    json_t error = json_member(step, "errorJson");
    struct text document = { 0 };

    text_addz(t, t->p[t->n - 1] != '[' ? ",{" : "{");
    put_value(t, "step_id", json_member(step, "stepId"));
    put_value(t, "name", json_member(step, "name"));
    put_value(t, "status", json_member(step, "status"));
    put_value(t, "output", payload(step, "output", "outputValue"));
    if (error.p != NULL) {
        get_base64(&document, json_pool_string(pool, error));
        if (ironflow_json_valid(text_z(&document), document.n))
            put_value(t, "error", (json_t){ document.p, document.n });
        text_done(&document);
    }
    text_char(t, '}');
}

char *message_assignment(json_t job)
{
    struct text t = { 0 };
    struct pool pool = { 0 };

    text_char(&t, '{');
    put_value(&t, "job_id", json_member(job, "jobId"));
    put_value(&t, "run_id", json_member(job, "runId"));
    put_value(&t, "function_id", json_member(job, "functionId"));
    put_value(&t, "attempt", json_member(job, "attempt"));
    put_event(&t, json_member(job, "event"));
    put_key(&t, "completed_steps");
    text_char(&t, '[');
    for (struct json_walk w = json_walk(json_member(job, "completedSteps")); json_step(&w);)
        put_completed(&t, w.value, &pool);
    text_char(&t, ']');
    put_key(&t, "execution_seq"); /* 64 bits come as text */
    text_addz(&t, json_pool_string(&pool, json_member(job, "executionSeq")));
    put_value(&t, "lease_token", json_member(job, "leaseToken"));
    text_char(&t, '}');
    pool_done(&pool);
    return text_z(&t);
}

/* ---- what is said ---- */

static void put_string(struct text *t, const char *name, const char *z)
{
    put_key(t, name);
    text_quote(t, z, strlen(z));
}

/* {"kind":{"jobId":... */
static void open_job(struct text *t, const char *kind, const struct job_ref *ref)
{
    text_addz(t, "{\"");
    text_addz(t, kind);
    text_addz(t, "\":{");
    put_string(t, "jobId", ref->job_id);
}

static void close_job(struct text *t, const struct job_ref *ref)
{
    if (*ref->fence != '\0') {
        text_char(t, ',');
        text_addz(t, ref->fence);
    }
    text_addz(t, "}}");
}

/* The protocol knows objects and, in another member, all else; null is left out. */
static void put_output(struct text *t, const char *json)
{
    json_t value = json_value(json, strlen(json));

    if (value.n > 0 && value.p[0] != 'n')
        put_value(t, value.p[0] == '{' ? "output" : "outputValue", value);
}

void message_register(struct text *t, const struct ironflow_worker *w)
{
    text_addz(t, "{\"register\":{");
    put_string(t, "workerId", w->id);
    put_string(t, "hostname", w->host);
    put_key(t, "functionIds");
    text_char(t, '[');
    for (size_t i = 0; i < w->functions_n; i++) {
        text_addz(t, i > 0 ? "," : "");
        text_quote(t, w->functions[i].id, strlen(w->functions[i].id));
    }
    text_char(t, ']');
    put_key(t, "maxConcurrentJobs");
    text_i64(t, w->config.max_concurrent);
    text_addz(t, ",\"version\":{\"sdk\":\"c\",\"runtime\":\"c17\"}}}");
}

void message_step(struct text *t, const struct ironflow_run *run, const struct step *s)
{
    struct job_ref ref = run_ref(run);

    open_job(t, s->output != NULL ? "stepCompleted" : "stepFailed", &ref);
    put_string(t, "stepId", s->id);
    if (s->output != NULL) {
        put_output(t, s->output);
    } else {
        put_key(t, "error");
        run_put_error(t, run, s->retryable);
    }
    put_key(t, "durationMs");
    text_i64(t, s->ended_ms > s->started_ms ? s->ended_ms - s->started_ms : 0);
    close_job(t, &ref);
}

void message_ack(struct text *t, const struct job_ref *ref)
{
    open_job(t, "jobAck", ref);
    put_string(t, "runId", ref->run_id);
    close_job(t, ref);
}

void message_nack(struct text *t, const struct job_ref *ref)
{
    open_job(t, "jobNack", ref);
    put_string(t, "runId", ref->run_id);
    put_string(t, "reason", "JOB_NACK_REASON_DRAINING");
    close_job(t, ref);
}

void message_refused(struct text *t, const struct job_ref *ref, const char *why)
{
    open_job(t, "jobFailed", ref);
    text_addz(t, ",\"error\":{\"message\":");
    text_quote(t, why, strlen(why));
    text_addz(t, ",\"code\":\"REPORT_REFUSED\",\"retryable\":false}");
    close_job(t, ref);
}

void message_heartbeat(struct text *t, const char *worker_id, int active,
                       const struct job_ref *refs, size_t n)
{
    text_addz(t, "{\"heartbeat\":{");
    put_string(t, "workerId", worker_id);
    put_key(t, "activeJobs");
    text_i64(t, active);
    put_key(t, "jobs");
    text_char(t, '[');
    for (size_t i = 0; i < n; i++) {
        text_addz(t, i > 0 ? ",{" : "{");
        put_string(t, "jobId", refs[i].job_id);
        put_string(t, "runId", refs[i].run_id);
        if (*refs[i].fence != '\0') {
            text_char(t, ',');
            text_addz(t, refs[i].fence);
        }
        text_char(t, '}');
    }
    text_addz(t, "]}}");
}

/* ---- yields ---- */

static void put_document(struct text *t, const char *name, json_t value)
{
    if (value.p == NULL)
        return;
    put_key(t, name);
    text_char(t, '"');
    put_base64(t, value.p, value.n);
    text_char(t, '"');
}

/* What the event must have there. The protocol's value is a text: of anything else it takes an
 * expression. */
static void put_match(struct text *t, json_t match, json_t value, struct pool *pool)
{
    const char *path = json_pool_string(pool, match);
    struct text e = { 0 };

    if (match.p == NULL || value.p == NULL || value.p[0] == '"') {
        put_value(t, "matchExpression", match);
        put_value(t, "matchValue", value);
        return;
    }
    text_addz(&e, strncmp(path, "data.", 5) == 0 ? "" : "data.");
    text_addz(&e, path);
    text_addz(&e, " == ");
    text_add(&e, value.p, value.n);
    put_string(t, "matchExpression", text_z(&e));
    text_done(&e);
}

static void put_wait(struct text *t, json_t filter, struct pool *pool)
{
    json_t timeout = json_member(filter, "timeout");

    text_addz(t, ",\"waitEvent\":{");
    put_value(t, "eventName", json_member(filter, "event"));
    put_match(t, json_member(filter, "match"), json_member(filter, "match_value"), pool);
    if (timeout.p != NULL) { /* "500ms" from now on */
        put_key(t, "timeout");
        text_char(t, '"');
        text_time(t, now_unix_ms() + strtoll(json_pool_string(pool, timeout), NULL, 10));
        text_char(t, '"');
    }
    text_char(t, '}');
}

static void put_yield(struct text *t, json_t yield, struct pool *pool)
{
    const char *type = json_pool_string(pool, json_member(yield, "type"));

    if (strcmp(type, "sleep") == 0) {
        text_addz(t, ",\"sleep\":{");
        put_value(t, "until", json_member(yield, "until"));
        text_char(t, '}');
    } else if (strcmp(type, "wait_for_event") == 0) {
        put_wait(t, json_member(yield, "event_filter"), pool);
    } else {
        text_addz(t, strcmp(type, "invoke_function") == 0 ? ",\"invokeFunction\":{"
                                                          : ",\"invokeFunctionAsync\":{");
        put_value(t, "functionId", json_member(yield, "function_id"));
        put_document(t, "inputJson", json_member(yield, "input"));
        put_value(t, "invokeTimeoutMs", json_member(yield, "invoke_timeout_ms"));
        text_char(t, '}');
    }
}

void message_final(struct text *t, const struct ironflow_run *run, int rc)
{
    struct job_ref ref = run_ref(run);
    struct pool pool = { 0 };

    if (run->yield != NULL) {
        json_t yield = json_value(run->yield, strlen(run->yield));

        open_job(t, "stepYielded", &ref);
        put_value(t, "stepId", json_member(yield, "step_id"));
        put_yield(t, yield, &pool);
    } else if (rc == IRONFLOW_OK) {
        open_job(t, "jobCompleted", &ref);
        put_output(t, run->output != NULL ? run->output : "null");
    } else {
        open_job(t, "jobFailed", &ref);
        put_key(t, "error");
        run_put_error(t, run, rc == IRONFLOW_RETRY);
    }
    close_job(t, &ref);
    pool_done(&pool);
}
