/* The client's calls: emit, invoke, runs. */
#include <stdio.h>
#include <stdlib.h>

#include "ironflow_priv.h"

#define SYNC_SLACK_MS 5000
#define SYNC_DEFAULT_MS 30000

struct ironflow_client {
    struct server server;
    struct conn *conn;
    struct text body;
    int status;
    char why[512];
};

struct ironflow_client *ironflow_client_new(const struct ironflow_config *config)
{
    struct ironflow_client *c = mem_new(sizeof(*c));

    if (!server_init(&c->server, config)) {
        ironflow_client_free(c);
        return NULL;
    }
    c->conn = conn_new(&c->server);
    return c;
}

void ironflow_client_free(struct ironflow_client *c)
{
    if (c == NULL)
        return;
    conn_free(c->conn);
    server_done(&c->server);
    text_done(&c->body);
    free(c);
}

const char *ironflow_client_error(const struct ironflow_client *c)
{
    return c->why;
}

int ironflow_client_status(const struct ironflow_client *c)
{
    return c->status;
}

static int client_send(struct ironflow_client *c, struct request *r)
{
    c->status = conn_send(c->conn, r);
    if (c->status == 0) {
        (void)snprintf(c->why, sizeof(c->why), "%s", conn_error(c->conn));
        return IRONFLOW_UNREACHABLE;
    }
    if (c->status >= 200 && c->status < 300)
        return IRONFLOW_OK;
    error_text(conn_body(c->conn), c->status, c->why, sizeof(c->why));
    return IRONFLOW_REFUSED;
}

static int client_invalid(struct ironflow_client *c, const char *why)
{
    c->status = 0;
    (void)snprintf(c->why, sizeof(c->why), "%s", why);
    return IRONFLOW_FAIL;
}

static bool is_json(const char *text)
{
    return ironflow_json_valid(text, strlen(text));
}

/* A header must not hold line ends. */
static bool key_is_sendable(const char *key)
{
    return key == NULL || (*key != '\0' && strpbrk(key, "\r\n") == NULL);
}

static void put_member(struct text *t, const char *name, const char *json)
{
    text_char(t, t->p[t->n - 1] == '{' ? ' ' : ',');
    text_quote(t, name, strlen(name));
    text_char(t, ':');
    text_addz(t, json);
}

static void put_string(struct text *t, const char *name, const char *value)
{
    put_member(t, name, "");
    text_quote(t, value, strlen(value));
}

static void put_int(struct text *t, const char *name, int64_t value)
{
    put_member(t, name, "");
    text_i64(t, value);
}

/* What all kinds of emitting check and send. */
static int put_event(struct ironflow_client *c, const char *data_key, const char *data,
                     const struct ironflow_emit_options *o)
{
    if (!is_json(data))
        return client_invalid(c, "data is not valid JSON");
    if (o->metadata != NULL && !is_json(o->metadata))
        return client_invalid(c, "metadata is not valid JSON");
    put_member(&c->body, data_key, data);
    if (o->metadata != NULL)
        put_member(&c->body, "metadata", o->metadata);
    if (o->version > 0)
        put_int(&c->body, "version", o->version);
    return IRONFLOW_OK;
}

/* The ids of an answer, in either spelling. */
static void read_emitted(json_t body, struct ironflow_emitted *out)
{
    json_t ids = json_member(body, "run_ids"), one = json_member(body, "run_id");
    struct pool pool = { 0 };
    size_t n = 0;

    *out = (struct ironflow_emitted){ 0 };
    (void)snprintf(out->event_id, sizeof(out->event_id), "%s",
                   json_pool_string(&pool, json_member(body, "event_id")));
    for (struct json_walk w = json_walk(ids); json_step(&w);)
        n++;
    out->run_ids = mem_new((n + 1) * sizeof(*out->run_ids));
    for (struct json_walk w = json_walk(ids); json_step(&w);)
        out->run_ids[out->run_count++] = mem_strdup(json_pool_string(&pool, w.value));
    if (one.p != NULL && out->run_count == 0)
        out->run_ids[out->run_count++] = mem_strdup(json_pool_string(&pool, one));
    pool_done(&pool);
}

void ironflow_emitted_done(struct ironflow_emitted *e)
{
    for (size_t i = 0; i < e->run_count; i++)
        free(e->run_ids[i]);
    free(e->run_ids);
    *e = (struct ironflow_emitted){ 0 };
}

static int send_emit(struct ironflow_client *c, struct request *r, struct ironflow_emitted *out)
{
    int rc;

    text_char(&c->body, '}');
    r->body = text_z(&c->body);
    r->body_n = c->body.n;
    rc = client_send(c, r);
    if (rc == IRONFLOW_OK && out != NULL) {
        json_t body = conn_body(c->conn);

        read_emitted(json_value(body.p, body.n), out);
    }
    return rc;
}

static const struct ironflow_emit_options no_options;

int ironflow_emit(struct ironflow_client *c, const char *name, const char *data,
                  const struct ironflow_emit_options *options, struct ironflow_emitted *out)
{
    const struct ironflow_emit_options *o = options != NULL ? options : &no_options;
    struct request r = { .method = "POST", .path = "/api/v1/events" };
    int rc;

    c->body.n = 0;
    text_char(&c->body, '{');
    put_string(&c->body, "name", name);
    if (o->idempotency_key != NULL)
        put_string(&c->body, "idempotency_key", o->idempotency_key);
    r.repeatable = o->idempotency_key != NULL;
    rc = put_event(c, "data", data != NULL ? data : "{}", o);
    return rc == IRONFLOW_OK ? send_emit(c, &r, out) : rc;
}

static int copy_body(struct ironflow_client *c, struct request *r, char **out)
{
    int rc = client_send(c, r);

    if (rc == IRONFLOW_OK && out != NULL) {
        struct text t = { 0 };
        json_t body = conn_body(c->conn);

        text_add(&t, body.p, body.n);
        *out = text_z(&t);
    }
    return rc;
}

int ironflow_emit_sync(struct ironflow_client *c, const char *name, const char *data,
                       const struct ironflow_emit_options *options, char **out)
{
    const struct ironflow_emit_options *o = options != NULL ? options : &no_options;
    long wait_ms = o->timeout_ms > 0 ? o->timeout_ms : SYNC_DEFAULT_MS;
    struct request r = { .method = "POST",
                         .path = "/ironflow.v1.IronflowService/TriggerSync",
                         .timeout_ms = wait_ms + SYNC_SLACK_MS };
    json_t value = data != NULL ? json_value(data, strlen(data)) : (json_t){ "{}", 2 };
    int rc;

    c->body.n = 0;
    text_char(&c->body, '{');
    put_string(&c->body, "event", name);
    put_int(&c->body, "timeoutMs", wait_ms);
    if (o->idempotency_key != NULL)
        put_string(&c->body, "idempotencyKey", o->idempotency_key);
    r.repeatable = o->idempotency_key != NULL;
    rc = put_event(c, value.n > 0 && value.p[0] == '{' ? "data" : "dataValue",
                   data != NULL ? data : "{}", o);
    if (rc != IRONFLOW_OK)
        return rc;
    text_char(&c->body, '}');
    r.body = text_z(&c->body);
    r.body_n = c->body.n;
    return copy_body(c, &r, out);
}

int ironflow_invoke(struct ironflow_client *c, const char *function_id, const char *data,
                    const struct ironflow_emit_options *options, struct ironflow_emitted *out)
{
    const struct ironflow_emit_options *o = options != NULL ? options : &no_options;
    struct request r = { .method = "POST", .idempotency_key = o->idempotency_key };
    struct text path = { 0 };
    int rc;

    if (!key_is_sendable(o->idempotency_key))
        return client_invalid(c, "the idempotency key cannot be sent");
    r.repeatable = o->idempotency_key != NULL;
    text_addz(&path, "/api/v1/functions/");
    text_url(&path, function_id);
    text_addz(&path, "/invoke");
    r.path = text_z(&path);
    c->body.n = 0;
    text_char(&c->body, '{');
    rc = put_event(c, "data", data != NULL ? data : "{}", o);
    if (rc == IRONFLOW_OK)
        rc = send_emit(c, &r, out);
    text_done(&path);
    return rc;
}

static int get_path(struct ironflow_client *c, const char *run_id, const char *tail, char **out)
{
    struct request r = { .method = "GET", .repeatable = true };
    struct text path = { 0 };
    int rc;

    text_addz(&path, "/api/v1/runs/");
    text_url(&path, run_id);
    text_addz(&path, tail);
    r.path = text_z(&path);
    rc = copy_body(c, &r, out);
    text_done(&path);
    return rc;
}

int ironflow_run_get(struct ironflow_client *c, const char *run_id, char **out)
{
    return get_path(c, run_id, "", out);
}

int ironflow_run_steps(struct ironflow_client *c, const char *run_id, char **out)
{
    return get_path(c, run_id, "/steps", out);
}

static void put_query(struct text *path, const char *name, const char *value)
{
    if (value == NULL)
        return;
    text_char(path, strchr(text_z(path), '?') == NULL ? '?' : '&');
    text_addz(path, name);
    text_char(path, '=');
    text_url(path, value);
}

int ironflow_run_list(struct ironflow_client *c, const struct ironflow_run_filter *filter,
                      char **out)
{
    struct request r = { .method = "GET", .repeatable = true };
    struct text path = { 0 };
    char number[16];
    int rc;

    text_addz(&path, "/api/v1/runs");
    if (filter != NULL) {
        put_query(&path, "function_id", filter->function_id);
        put_query(&path, "status", filter->status);
        (void)snprintf(number, sizeof(number), "%d", filter->limit);
        put_query(&path, "limit", filter->limit > 0 ? number : NULL);
        (void)snprintf(number, sizeof(number), "%d", filter->offset);
        put_query(&path, "offset", filter->offset > 0 ? number : NULL);
    }
    r.path = text_z(&path);
    rc = copy_body(c, &r, out);
    text_done(&path);
    return rc;
}

int ironflow_run_cancel(struct ironflow_client *c, const char *run_id, const char *reason,
                        char **out)
{
    struct request r = { .method = "POST", .repeatable = true };
    struct text path = { 0 };
    int rc;

    text_addz(&path, "/api/v1/runs/");
    text_url(&path, run_id);
    text_addz(&path, "/cancel");
    r.path = text_z(&path);
    c->body.n = 0;
    text_char(&c->body, '{');
    if (reason != NULL)
        put_string(&c->body, "reason", reason);
    text_char(&c->body, '}');
    r.body = text_z(&c->body);
    r.body_n = c->body.n;
    rc = copy_body(c, &r, out);
    text_done(&path);
    return rc;
}
