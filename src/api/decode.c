/* From a request to the message that its handler reads: content type, body, path and query. Runs on
 * the loop thread; what it makes are views of the request or lives in its arena. */
#include "api/api_priv.h"
#include "base/crypto.h"
#include "codec/url.h"

/* Names of another length cost no comparison of bytes, which is most of them. */
static void head_take(const struct http_header *h, struct api_head *out)
{
    static const struct {
        str_t name;
        size_t at;
    } known[] = {
        { { "authorization", 13 }, offsetof(struct api_head, authorization) },
        { { "content-type", 12 }, offsetof(struct api_head, content_type) },
        { { "content-encoding", 16 }, offsetof(struct api_head, content_encoding) },
        { { "x-ironflow-environment", 22 }, offsetof(struct api_head, environment) },
        { { "x-ironflow-run-id", 17 }, offsetof(struct api_head, run_id) },
        { { "origin", 6 }, offsetof(struct api_head, origin) },
        { { "cookie", 6 }, offsetof(struct api_head, cookie) },
        { { "connect-timeout-ms", 18 }, offsetof(struct api_head, timeout_ms) },
        { { "connect-protocol-version", 24 }, offsetof(struct api_head, protocol_version) },
        { { "idempotency-key", 15 }, offsetof(struct api_head, idempotency_key) },
        { { "access-control-request-method", 29 }, offsetof(struct api_head, preflight) },
    };

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eq(known[i].name, h->name)) {
            str_t *field = (str_t *)(void *)((char *)out + known[i].at);

            if (field->n == 0)
                *field = h->value;
            return;
        }
}

void api_head_read(const struct http_req *req, struct api_head *out)
{
    for (size_t i = 0; i < req->headers_n; i++)
        head_take(&req->headers[i], out);
}

/* The media type without parameters. */
static str_t media_type(str_t value)
{
    str_t head = value, rest = value;

    if (str_cut(&rest, ';', &head))
        return str_trim(head);
    return str_trim(value);
}

static bool is_json(str_t type)
{
    return str_eq_nocase(type, S("application/json"));
}

/* What `curl -d` says of any body; a real form is no JSON and fails as such. */
static bool is_form(str_t type)
{
    return str_eq_nocase(type, S("application/x-www-form-urlencoded"));
}

static bool identity(str_t encoding)
{
    return encoding.n == 0 || str_eq_nocase(encoding, S("identity"));
}

/* The two headers of Connect. */
err_t api_connect_head(struct ctx *c, struct api_call *a)
{
    str_t version = a->head.protocol_version, timeout = a->head.timeout_ms;
    int64_t ms = 0;

    if (version.n > 0 && !str_eq(version, S("1")))
        return err_set(c, ERR_INVALID, "connect-protocol-version: expected 1");
    a->strict = version.n > 0;
    if (timeout.n == 0)
        return ERR_OK;
    if (timeout.n > 10 || timeout.p[0] == '-' || timeout.p[0] == '+' || !str_to_i64(timeout, &ms))
        return err_set(c, ERR_INVALID, "connect-timeout-ms: expected at most 10 digits");
    c->deadline_ms = a->arrived_ms + ms;
    return ERR_OK;
}

static err_t decode_text(struct ctx *c, struct api_call *a, str_t text, void *msg)
{
    if (text.n == 0)
        return ERR_OK;
    if (a->binary)
        return pb_from_wire(c, a->ep->in, text, msg);
    return pb_from_json(c, a->ep->in, text, msg);
}

/* The message of a Connect GET. */
static err_t connect_get(struct ctx *c, struct api_call *a, void *msg)
{
    str_t encoding = STR_NULL, base64 = STR_NULL, compression = STR_NULL, text = STR_NULL, v;

    if (api_query(c, a, S("connect"), &v) && !str_eq(v, S("v1")))
        return err_set(c, ERR_INVALID, "connect: expected v1");
    (void)api_query(c, a, S("base64"), &base64);
    (void)api_query(c, a, S("compression"), &compression);
    if (!identity(compression))
        return err_set(c, ERR_UNIMPLEMENTED, "compression: only identity is supported");
    if (!api_query(c, a, S("encoding"), &encoding))
        return err_set(c, ERR_INVALID, "encoding: required, json or proto");
    a->binary = str_eq(encoding, S("proto"));
    if (!a->binary && !str_eq(encoding, S("json")))
        return err_set(c, ERR_INVALID, "encoding: expected json or proto");
    if (!api_query(c, a, S("message"), &text))
        return err_set(c, ERR_INVALID, "message: required, percent-encoded UTF-8 or base64");
    if (str_eq(base64, S("1")) && !base64_decode(c->arena, text, &text))
        return err_set(c, ERR_INVALID, "message: not valid base64");
    return decode_text(c, a, text, msg);
}

static err_t decode_rpc(struct ctx *c, struct api_call *a, void *msg)
{
    str_t type = media_type(a->head.content_type);

    if (str_eq(a->req->method, S("GET")))
        return connect_get(c, a, msg);
    a->binary = str_eq_nocase(type, S("application/proto"));
    if (!a->binary && !is_json(type))
        return err_set(c, ERR_MEDIA_TYPE,
                       "content type: expected application/json or application/proto");
    return decode_text(c, a, a->req->body, msg);
}

static err_t decode_rest(struct ctx *c, struct api_call *a, void *msg)
{
    str_t rest = a->req->query, type = media_type(a->head.content_type);
    struct url_param p;
    int more;

    if (a->req->body.n > 0 && !str_eq(a->req->method, S("GET"))) {
        if (type.n > 0 && !is_json(type) && !is_form(type))
            return err_set(c, ERR_MEDIA_TYPE, "content type: expected application/json");
        TRY(decode_text(c, a, a->req->body, msg));
    }
    while ((more = url_query_next(c->arena, &rest, &p)) > 0)
        if (p.value.n > 0)
            TRY(pb_set_text(c, a->ep->in, p.name, p.value, msg));
    if (more < 0)
        return err_set(c, ERR_INVALID, "query: malformed escape or not UTF-8");
    for (size_t i = 0; i < a->ep->params_n; i++)
        TRY(pb_set_text(c, a->ep->in, a->ep->params[i], a->params[i], msg));
    return ERR_OK;
}

/* One path segment: UTF-8 without control characters. */
static err_t decode_segment(struct ctx *c, str_t raw, str_t *out)
{
    str_t text = STR_NULL;

    if (!url_decode(c->arena, raw, false, &text))
        return err_set(c, ERR_INVALID, "path: malformed escape or not UTF-8");
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return err_set(c, ERR_INVALID, "path: control character");
    *out = text;
    return ERR_OK;
}

err_t api_decode(struct ctx *c, struct api_call *a)
{
    void *msg;

    if (a->rpc)
        TRY(api_connect_head(c, a));
    for (size_t i = 0; i < a->ep->params_n; i++)
        TRY(decode_segment(c, a->match.params[i], &a->params[i]));
    if (!a->ep->in || !a->ep->route->run)
        return ERR_OK;
    if (!identity(a->head.content_encoding))
        return err_set(c, ERR_UNIMPLEMENTED, "content-encoding: only identity is supported");
    msg = pb_new(c->arena, a->ep->in);
    a->in = msg;
    return a->rpc ? decode_rpc(c, a, msg) : decode_rest(c, a, msg);
}

str_t api_param(const struct api_call *a, const char *name)
{
    for (size_t i = 0; i < a->ep->params_n; i++)
        if (str_eq(a->ep->params[i], str_from(name)))
            return a->params[i];
    return STR_NULL;
}

bool api_query(struct ctx *c, const struct api_call *a, str_t name, str_t *out)
{
    str_t rest = a->req->query;
    struct url_param p;

    while (url_query_next(c->arena, &rest, &p) > 0)
        if (str_eq(p.name, name)) {
            *out = p.value;
            return true;
        }
    return false;
}

err_t api_limit(struct ctx *c, const char *field, int64_t value, int64_t def, int64_t max,
                int64_t *out)
{
    if (value < 0)
        return err_set(c, ERR_INVALID, "%s: must not be negative", field);
    *out = value == 0 ? def : value > max ? max : value;
    return ERR_OK;
}
