/* Messages to topics, as steps: a message is published once and its answer remembered. The step's
 * id goes along as idempotency key, for a worker that dies between the answer and its report. */
#include <stdio.h>

#include "worker_priv.h"

#define KEY_BYTES_MAX 255

struct publish {
    struct step step;
    const char *topic, *data;
};

static void put_publish(struct text *t, const struct publish *p)
{
    json_t data = json_value(p->data, strlen(p->data));

    text_addz(t, "{\"topic\":");
    text_quote(t, p->topic, strlen(p->topic));
    text_addz(t, data.p[0] == '{' ? ",\"data\":" : ",\"dataValue\":");
    text_add(t, data.p, data.n);
    if (strlen(p->step.id) <= KEY_BYTES_MAX) {
        text_addz(t, ",\"idempotencyKey\":");
        text_quote(t, p->step.id, strlen(p->step.id));
    }
    text_char(t, '}');
}

/* {"eventId":"...","sequence":"..."} from the answer; sequence comes as text or as a number. */
static int published(struct ironflow_run *run, const struct publish *p, json_t body,
                     const char **output)
{
    json_t answer = body.n > 0 ? json_value(body.p, body.n) : body;
    json_t id = json_member(answer, "eventId"), sequence = json_member(answer, "sequence");
    bool quoted = sequence.n > 0 && sequence.p[0] == '"';

    if (id.n <= 2 || id.p[0] != '"') {
        ironflow_run_error(run, "PUBLISH_FAILED", "publish to %s: the answer has no eventId",
                           p->topic);
        return IRONFLOW_RETRY;
    }
    *output = ironflow_run_printf(run, "{\"eventId\":%.*s,\"sequence\":%s%.*s%s}", (int)id.n, id.p,
                                  quoted ? "" : "\"", sequence.n > 0 ? (int)sequence.n : 1,
                                  sequence.n > 0 ? sequence.p : "0", quoted ? "" : "\"");
    return IRONFLOW_OK;
}

/* A branch has a connection of its own, as the run's is used by one thread at a time; so has a
 * push handler, which has none otherwise. */
static struct conn *publish_conn(struct ironflow_run *run)
{
    if (run == run->root && !run->push)
        return run_conn(run);
    if (run->conn == NULL)
        run->conn = conn_new(&run->worker->server);
    return run->conn;
}

static int publish_step(struct ironflow_run *run, void *arg, const char **output)
{
    const struct publish *p = arg;
    struct conn *conn = publish_conn(run);
    struct request r = { .method = "POST",
                         .path = "/ironflow.v1.PubSubService/Publish",
                         .run_id = strpbrk(run->run_id, "\r\n") == NULL ? run->run_id : NULL,
                         .repeatable = strlen(p->step.id) <= KEY_BYTES_MAX };
    struct text body = { 0 };
    char why[512];
    int status;

    put_publish(&body, p);
    r.body = body.p;
    r.body_n = body.n;
    status = conn_send(conn, &r);
    text_done(&body);
    if (status >= 200 && status < 300)
        return published(run, p, conn_body(conn), output);
    if (status == 0)
        (void)snprintf(why, sizeof(why), "%s", conn_error(conn));
    else
        error_text(conn_body(conn), status, why, sizeof(why));
    ironflow_run_error(run, "PUBLISH_FAILED", "publish to %s: %s", p->topic, why);
    return status == 0 || status == 408 || status == 429 || (status >= 500 && status != 501)
               ? IRONFLOW_RETRY
               : IRONFLOW_FAIL;
}

int ironflow_publish(struct ironflow_run *run, const char *topic, const char *data,
                     struct ironflow_published *out)
{
    struct publish p = { .topic = topic, .data = data != NULL ? data : "{}" };
    const char *output = NULL;
    int rc = run_blocked(run);
    json_t result;

    if (rc != IRONFLOW_OK)
        return rc;
    if (!ironflow_json_valid(p.data, strlen(p.data))) {
        ironflow_run_error(run, "INVALID_INPUT", "publish to %s: the data is not JSON", topic);
        return IRONFLOW_FAIL;
    }
    p.step.name = ironflow_run_printf(run, "publish:%s", topic);
    rc = step_run(run, &p.step, publish_step, &p, &output);
    if (rc != IRONFLOW_OK || out == NULL)
        return rc;
    result = json_value(output, strlen(output));
    out->event_id = json_pool_string(&run->pool, json_member(result, "eventId"));
    out->sequence = json_pool_string(&run->pool, json_member(result, "sequence"));
    return IRONFLOW_OK;
}
