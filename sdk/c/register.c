/* A function as the server registers it. */
#include <stdio.h>
#include <string.h>

#include "worker_priv.h"

static void put_retry(struct text *t, const struct ironflow_retry *r)
{
    char factor[32];
    bool comma = false;

    text_addz(t, ",\"retry\":{");
    if (r->max_attempts > 0) {
        text_addz(t, "\"maxAttempts\":");
        text_i64(t, r->max_attempts);
        comma = true;
    }
    if (r->initial_delay_ms > 0) {
        text_addz(t, comma ? ",\"initialDelayMs\":" : "\"initialDelayMs\":");
        text_i64(t, r->initial_delay_ms);
        comma = true;
    }
    if (r->max_delay_ms > 0) {
        text_addz(t, comma ? ",\"maxDelayMs\":" : "\"maxDelayMs\":");
        text_i64(t, r->max_delay_ms);
        comma = true;
    }
    if (r->backoff_factor > 0) {
        (void)snprintf(factor, sizeof(factor), "%.6g", r->backoff_factor);
        text_addz(t, comma ? ",\"backoffFactor\":" : "\"backoffFactor\":");
        text_addz(t, factor);
    }
    text_char(t, '}');
}

/* A member with a text, when there is one. */
static void put_member(struct text *t, const char *name, const char *value, bool *comma)
{
    if (value == NULL)
        return;
    text_addz(t, *comma ? ",\"" : "\"");
    text_addz(t, name);
    text_addz(t, "\":");
    text_quote(t, value, strlen(value));
    *comma = true;
}

static void put_triggers(struct text *t, const struct ironflow_function *f)
{
    const struct ironflow_trigger *g = f->flow.triggers;
    bool first = true;

    text_addz(t, ",\"triggers\":[");
    for (const char *const *e = f->events; e != NULL && *e != NULL; e++) {
        text_addz(t, first ? "{\"event\":" : ",{\"event\":");
        text_quote(t, *e, strlen(*e));
        text_char(t, '}');
        first = false;
    }
    for (; g != NULL && (g->event != NULL || g->cron != NULL); g++) {
        bool comma = false;

        text_addz(t, first ? "{" : ",{");
        put_member(t, "event", g->event, &comma);
        put_member(t, "expression", g->expression, &comma);
        put_member(t, "cron", g->cron, &comma);
        text_char(t, '}');
        first = false;
    }
    text_char(t, ']');
}

static void put_cancel_on(struct text *t, const struct ironflow_cancel_on *c)
{
    text_addz(t, ",\"cancelOn\":[");
    for (bool first = true; c->event != NULL; c++, first = false) {
        bool comma = false;

        text_addz(t, first ? "{" : ",{");
        put_member(t, "event", c->event, &comma);
        put_member(t, "match", c->match, &comma);
        text_char(t, '}');
    }
    text_char(t, ']');
}

static void put_flow(struct text *t, const struct ironflow_flow *flow)
{
    bool comma = true;

    if (flow->concurrency_limit > 0) {
        text_addz(t, ",\"concurrency\":{\"limit\":");
        text_i64(t, flow->concurrency_limit);
        put_member(t, "key", flow->concurrency_key, &comma);
        text_char(t, '}');
    }
    if (flow->debounce_ms > 0) {
        text_addz(t, ",\"debounce\":{\"period_ms\":");
        text_i64(t, flow->debounce_ms);
        put_member(t, "key", flow->debounce_key, &comma);
        if (flow->debounce_max_ms > 0) {
            text_addz(t, ",\"max_wait_ms\":");
            text_i64(t, flow->debounce_max_ms);
        }
        text_char(t, '}');
    }
    put_member(t, "actorKey", flow->actor_key, &comma);
    if (flow->cancel_on != NULL)
        put_cancel_on(t, flow->cancel_on);
}

void function_text(struct text *t, const struct ironflow_function *f)
{
    const char *name = f->name != NULL ? f->name : f->id;

    t->n = 0;
    text_addz(t, "{\"id\":");
    text_quote(t, f->id, strlen(f->id));
    text_addz(t, ",\"name\":");
    text_quote(t, name, strlen(name));
    if (f->description != NULL) {
        text_addz(t, ",\"description\":");
        text_quote(t, f->description, strlen(f->description));
    }
    text_addz(t, ",\"preferredMode\":\"EXECUTION_MODE_PULL\"");
    put_triggers(t, f);
    put_retry(t, &f->retry);
    put_flow(t, &f->flow);
    text_char(t, '}');
}
