/* Requests and answers of push mode. Bodies are printed as JavaScript would print them: handlers
 * behind a JSON parser check the signature over a body that they have printed again. */
#include "jobs/push_wire.h"

#include "base/crypto.h"
#include "base/time.h"
#include "codec/json.h"
#include "codec/proto.h"
#include "engine/sm.h"
#include "svc/update.h"

#define WHY_MAX 300

/* ---- the request ----------------------------------------------------------------------------- */

static void put_text(struct json_out *w, str_t key, str_t value)
{
    if (value.n == 0)
        return;
    json_key(w, key);
    json_put_str(w, value);
}

static void put_id(struct ctx *c, struct json_out *w, str_t key, enum id_kind kind, int64_t id)
{
    json_key(w, key);
    json_put_str(w, id_text(c->arena, kind, id));
}

static void put_event(struct ctx *c, struct json_out *w, const struct event *e)
{
    struct buf when;

    buf_init_arena(&when, c->arena, 64);
    time_rfc3339_ms(&when, id_ms(e->id));
    json_key(w, S("event"));
    json_open(w, '{');
    put_id(c, w, S("id"), ID_EVENT, e->id);
    put_text(w, S("name"), e->name);
    json_key(w, S("data"));
    json_put_js(w, c->arena, e->data);
    put_text(w, S("timestamp"), buf_str(&when));
    json_key(w, S("version"));
    json_put_i64(w, e->version > 0 ? e->version : 1);
    put_text(w, S("source"), e->source);
    put_text(w, S("idempotency_key"), e->idempotency_key);
    if (e->metadata.n > 0 && json_type(e->metadata) == JSON_OBJECT) {
        json_key(w, S("metadata"));
        json_put_js(w, c->arena, e->metadata);
    }
    json_close(w, '}');
}

static void put_step(struct ctx *c, struct json_out *w, const struct step *s)
{
    json_open(w, '{');
    put_text(w, S("id"), s->step_id);
    put_text(w, S("name"), s->name);
    put_text(w, S("status"), sm_name(&step_sm, (int)s->status));
    if (s->status == STEP_COMPLETED && s->output.n > 0) {
        json_key(w, S("output"));
        json_put_js(w, c->arena, s->output);
    }
    if (s->status != STEP_COMPLETED)
        put_text(w, S("error"), s->error);
    json_close(w, '}');
}

void push_body(struct ctx *c, const struct assignment *a, struct buf *b)
{
    struct json_out w = { .b = b };

    json_open(&w, '{');
    put_id(c, &w, S("run_id"), ID_RUN, a->claim.job.run_id);
    put_text(&w, S("function_id"), a->function_id);
    json_key(&w, S("attempt"));
    json_put_i64(&w, a->claim.run.attempt);
    put_event(c, &w, &a->event);
    json_key(&w, S("steps"));
    json_open(&w, '[');
    for (size_t i = 0; i < a->steps_n; i++)
        put_step(c, &w, &a->steps[i]);
    json_close(&w, ']');
    json_close(&w, '}');
}

str_t push_signature(struct arena *a, str_t key, int64_t now_s, str_t body)
{
    str_t t = str_printf(a, "%lld", (long long)now_s);
    const str_t timed[] = { t, S("."), body };
    uint8_t plain[SHA256_SIZE], dated[SHA256_SIZE];
    str_t first, second;

    crypto_hmac_sha256(key, &body, 1, plain);
    crypto_hmac_sha256(key, timed, COUNT_OF(timed), dated);
    first = crypto_hex(a, plain, sizeof(plain));
    second = crypto_hex(a, dated, sizeof(dated));
    return str_printf(a, "sha256=" STR_FMT ",t=" STR_FMT ",v1=" STR_FMT, STR_ARG(first), STR_ARG(t),
                      STR_ARG(second));
}

/* ---- the answer ------------------------------------------------------------------------------ */

err_t push_answer(struct ctx *c, str_t body, struct report *out)
{
    struct pb_rest_job_update in = { 0 };
    struct report r = { 0 };
    str_t result;

    TRY(pb_from_json(c, &pb_rest_job_update_desc, body, &in));
    TRY(report_kind_parse(c, in.status, &r.kind));
    if (r.kind == REPORT_PROGRESS)
        return err_set(c, ERR_INVALID, "status: expected completed, failed or yielded");
    in.has_step_offset = false;
    TRY(report_from_update(c, &in, &r));
    r.output = json_get(str_trim(body), S("result"), &result) ? result : STR_NULL;
    *out = r;
    return ERR_OK;
}

static const char *failure_code(struct ctx *c, const struct outbound_req *r, bool invalid)
{
    switch (r->end) {
    case OUTBOUND_REPLY:
        if (invalid)
            return "PUSH_INVALID_RESPONSE";
        return str_z(c->arena, str_printf(c->arena, "PUSH_HTTP_%d", r->status));
    case OUTBOUND_TIMEOUT:
        return "PUSH_TIMEOUT";
    case OUTBOUND_CONNECT:
        return "PUSH_CONNECT_FAILED";
    case OUTBOUND_BROKEN:
        return "PUSH_CONNECTION_BROKEN";
    case OUTBOUND_TOO_LARGE:
        return "PUSH_RESPONSE_TOO_LARGE";
    case OUTBOUND_REFUSED:
        return "PUSH_ADDRESS_REFUSED";
    case OUTBOUND_UNUSABLE:
        return "PUSH_URL_UNUSABLE";
    case OUTBOUND_STOPPED:
        break;
    }
    return "PUSH_STOPPED";
}

/* What an error answer of a handler says, cut to a sensible length. */
static str_t answer_said(struct ctx *c, str_t body)
{
    str_t value, message, text = STR_NULL;
    struct json_error e;

    if (!json_check(body, &value, &e) || !json_path(value, S("error.message"), &message) ||
        !json_string(c->arena, message, &text))
        return STR_NULL;
    if (text.n > WHY_MAX)
        text.n = WHY_MAX;
    while (text.n > 0 && !str_is_utf8(text))
        text.n--;
    return text;
}

static str_t failure_text(struct ctx *c, const struct outbound_req *r, const char *invalid)
{
    str_t said;

    switch (r->end) {
    case OUTBOUND_REPLY:
        if (invalid != NULL)
            return str_printf(c->arena, "the endpoint's answer is not valid: %s", invalid);
        said = answer_said(c, r->reply);
        return str_printf(c->arena, "the endpoint answered with status %d%s" STR_FMT, r->status,
                          said.n > 0 ? ": " : "", STR_ARG(said));
    case OUTBOUND_TIMEOUT:
        return str_printf(c->arena, "the endpoint did not answer within %lld ms",
                          (long long)r->timeout_ms);
    case OUTBOUND_CONNECT:
    case OUTBOUND_BROKEN:
    case OUTBOUND_UNUSABLE:
        return str_printf(c->arena, "the endpoint cannot be called: " STR_FMT, STR_ARG(r->why));
    case OUTBOUND_TOO_LARGE:
        return str_printf(c->arena, "the endpoint's answer is larger than %zu MiB",
                          OUTBOUND_REPLY_MAX >> 20);
    case OUTBOUND_REFUSED:
        return S("the endpoint's address is not allowed: link-local and metadata addresses are "
                 "refused");
    case OUTBOUND_STOPPED:
        break;
    }
    return S("the server stops");
}

static struct report failure(struct ctx *c, str_t message, const char *code, bool retryable)
{
    struct json_out w;
    struct buf b;

    buf_init_arena(&b, c->arena, 1 << 16);
    w = (struct json_out){ .b = &b };
    json_open(&w, '{');
    json_key(&w, S("message"));
    json_put_str(&w, message);
    json_key(&w, S("code"));
    json_put_str(&w, str_from(code));
    json_key(&w, S("retryable"));
    json_put_bool(&w, retryable);
    json_close(&w, '}');
    return (struct report){ .kind = REPORT_FAILED, .error = buf_str(&b), .retryable = retryable };
}

void push_failure(struct ctx *c, const struct outbound_req *r, const char *invalid,
                  struct report *out)
{
    *out = failure(c, failure_text(c, r, invalid), failure_code(c, r, invalid != NULL), true);
}

void push_too_large(struct ctx *c, struct report *out)
{
    str_t message =
        str_printf(c->arena, "the run's event and the outputs of its steps are larger than %zu MiB",
                   PUSH_BODY_MAX >> 20);

    *out = failure(c, message, "PUSH_REQUEST_TOO_LARGE", false);
}
