/* Waits for events and for other functions. Each is a step that is yielded: the handler returns,
 * and finds the result when it starts again. */
#include <stdio.h>

#include "worker_priv.h"

/* A step that was yielded before: its result, or nothing yet. */
static const char *result_of(struct ironflow_run *run, const char *id)
{
    struct map_entry *done = map_find(&run->root->completed, id, strlen(id));

    if (done == NULL)
        return NULL;
    return done->value.p != NULL ? pool_dup(&run->pool, done->value.p, done->value.n) : "null";
}

static void yield_open(struct text *t, const char *id, const char *type)
{
    text_addz(t, "{\"step_id\":");
    text_quote(t, id, strlen(id));
    text_addz(t, ",\"type\":\"");
    text_addz(t, type);
    text_char(t, '"');
}

static int yield_close(struct ironflow_run *run, struct text *t)
{
    text_char(t, '}');
    return run_yield(run, t);
}

static void put_member(struct text *t, const char *key, const char *value)
{
    if (value == NULL)
        return;
    text_addz(t, key);
    text_quote(t, value, strlen(value));
}

/* JSON that the handler gives, checked before it is sent. */
static int json_given(struct ironflow_run *run, const char *what, const char *json)
{
    if (json == NULL || ironflow_json_valid(json, strlen(json)))
        return IRONFLOW_OK;
    ironflow_run_error(run, "INVALID_INPUT", "%s is not JSON", what);
    return IRONFLOW_FAIL;
}

/* ---- events ---- */

int ironflow_wait_for_event(struct ironflow_run *run, const char *name,
                            const struct ironflow_wait *wait, const char **event)
{
    int rc = run_blocked(run);
    struct text t = { 0 };
    const char *id, *found;

    if (rc == IRONFLOW_OK)
        rc = json_given(run, "match_value", wait->match_value);
    if (rc != IRONFLOW_OK)
        return rc;
    id = run_step_id(run, name);
    found = result_of(run, id);
    if (found != NULL) {
        if (event != NULL)
            *event = found;
        return IRONFLOW_OK;
    }
    yield_open(&t, id, "wait_for_event");
    put_member(&t, ",\"event_filter\":{\"event\":", wait->event);
    put_member(&t, ",\"match\":", wait->match);
    if (wait->match_value != NULL) {
        text_addz(&t, ",\"match_value\":");
        text_addz(&t, wait->match_value);
    }
    if (wait->timeout_ms > 0) {
        text_addz(&t, ",\"timeout\":\"");
        text_i64(&t, wait->timeout_ms);
        text_addz(&t, "ms\"");
    }
    text_char(&t, '}');
    return yield_close(run, &t);
}

/* ---- functions ---- */

/* An invoke without a result: why, in words. */
static int failed_before(struct ironflow_run *run, const char *id, const char *function_id)
{
    struct map_entry *failed = map_find(&run->root->failed, id, strlen(id));
    const char *why;

    if (failed == NULL)
        return IRONFLOW_OK;
    why = json_pool_string(&run->pool, json_member(failed->value, "message"));
    ironflow_run_error(run, "INVOKE_FAILED", "invoke of %s failed: %s", function_id,
                       *why != '\0' ? why : "unknown error");
    return IRONFLOW_FAIL;
}

/* IRONFLOW_OK: *found is the result of an earlier yield. */
static int invoke(struct ironflow_run *run, const char *type, const char *function_id,
                  const char *input, int64_t timeout_ms, const char **found)
{
    int rc = run_blocked(run);
    struct text t = { 0 };
    const char *id;

    if (rc == IRONFLOW_OK)
        rc = json_given(run, "the input", input);
    if (rc != IRONFLOW_OK)
        return rc;
    id = run_step_id(run, function_id);
    *found = result_of(run, id);
    if (*found != NULL)
        return IRONFLOW_OK;
    rc = failed_before(run, id, function_id);
    if (rc != IRONFLOW_OK)
        return rc;
    yield_open(&t, id, type);
    put_member(&t, ",\"function_id\":", function_id);
    text_addz(&t, ",\"input\":");
    text_addz(&t, input != NULL ? input : "{}");
    if (timeout_ms > 0) {
        text_addz(&t, ",\"invoke_timeout_ms\":");
        text_i64(&t, timeout_ms);
    }
    return yield_close(run, &t);
}

int ironflow_invoke_function(struct ironflow_run *run, const char *function_id, const char *input,
                             int64_t timeout_ms, const char **output)
{
    const char *found = NULL;
    int rc = invoke(run, "invoke_function", function_id, input, timeout_ms, &found);

    if (rc == IRONFLOW_OK && output != NULL)
        *output = found;
    return rc;
}

int ironflow_invoke_async(struct ironflow_run *run, const char *function_id, const char *input,
                          const char **run_id)
{
    const char *found = NULL;
    int rc = invoke(run, "invoke_function_async", function_id, input, 0, &found);
    json_t result;

    if (rc != IRONFLOW_OK || run_id == NULL)
        return rc;
    result = json_value(found, strlen(found));
    *run_id = json_pool_string(&run->pool, json_member(result, "run_id"));
    return IRONFLOW_OK;
}
