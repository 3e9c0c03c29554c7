/* From the outcome of a call to the reply: status, body in the asked encoding, headers. On the loop
 * thread. */
#include "api/api_priv.h"
#include "api/errors.h"
#include "api/handlers.h"
#include "base/log.h"
#include "svc/principal.h"

#define BODY_MAX ((size_t)256 << 20)
#define JSON S("application/json")

enum { HEADERS_MAX = 8 };

struct reply {
    struct http_res res;
    struct http_header headers[HEADERS_MAX];
};

static void header(struct reply *r, str_t name, str_t value)
{
    must(r->res.headers_n < HEADERS_MAX);
    r->headers[r->res.headers_n++] = (struct http_header){ name, value };
}

/* Who asks from another site gets leave; the answer to a call with a credential names the site. */
static void cors(struct reply *r, const struct api_head *h, bool preflight)
{
    if (h->origin.n == 0)
        return;
    if (preflight || h->authorization.n > 0 || h->cookie.n > 0) {
        header(r, S("access-control-allow-origin"), h->origin);
        header(r, S("vary"), S("Origin"));
    } else {
        header(r, S("access-control-allow-origin"), S("*"));
    }
    header(r, S("access-control-expose-headers"), S("ETag"));
}

size_t api_cors(const struct api_head *head, struct http_header *out)
{
    struct reply r = { 0 };

    cors(&r, head, false);
    memcpy(out, r.headers, r.res.headers_n * sizeof(*out));
    return r.res.headers_n;
}

static struct reply *reply_new(struct arena *a)
{
    struct reply *r = NEW(a, struct reply);

    r->res.headers = r->headers;
    return r;
}

void api_preflight(struct http_req *req, const struct api_head *head)
{
    struct reply *r = reply_new(&req->arena);

    r->res.status = 204;
    cors(r, head, true);
    if (head->origin.n > 0) {
        header(r, S("access-control-allow-methods"), S("GET, POST, PUT, PATCH, DELETE, OPTIONS"));
        header(r, S("access-control-allow-headers"),
               S("Authorization, Content-Type, X-Ironflow-Environment, X-Ironflow-Org, "
                 "X-Ironflow-Run-ID, Idempotency-Key, If-Match, If-None-Match, "
                 "Connect-Protocol-Version, Connect-Timeout-Ms"));
        header(r, S("access-control-max-age"), S("600"));
    }
    http_reply(req, &r->res);
}

static str_t allow_text(struct arena *a, unsigned allow)
{
    struct buf b;

    buf_init_arena(&b, a, 256);
    for (enum api_method m = 0; m < METHOD_COUNT; m++)
        if (allow & (1u << m)) {
            if (b.n > 0)
                buf_append(&b, S(", "));
            buf_append(&b, str_from(router_method_name(m)));
        }
    return buf_str(&b);
}

/* HTTP status of an error: on Connect by its code, save for those that never reached an RPC. */
static int status_of(const struct api_call *a, err_t e)
{
    if (!a->rpc || e == ERR_METHOD || e == ERR_MEDIA_TYPE)
        return err_http(e);
    return api_rpc_status(e);
}

static void render_error(struct api_call *a, err_t e, struct reply *r)
{
    struct ctx *c = &a->call.ctx;
    struct buf b;

    if (e == ERR_INTERNAL)
        log_error("request failed", "method=" STR_FMT " path=%s error=\"" STR_FMT "\"",
                  STR_ARG(a->req->method), a->ep->route->path, STR_ARG(err_text(c, e)));
    buf_init_arena(&b, c->arena, BODY_MAX);
    api_error_json(&b, a->rpc, e, err_text(c, e));
    r->res.status = status_of(a, e);
    r->res.type = JSON;
    r->res.body = buf_str(&b);
    if (e == ERR_UNAUTHENTICATED)
        header(r, S("www-authenticate"), S("Bearer"));
    if (e == ERR_METHOD)
        header(r, S("allow"), allow_text(c->arena, a->match.allow));
    if (r->res.status == 503)
        header(r, S("retry-after"), S("1"));
    if (e == ERR_UNIMPLEMENTED && a->head.content_encoding.n > 0)
        header(r, S("accept-encoding"), S("identity"));
}

static enum pb_style style_of(const struct api_call *a)
{
    if (a->rpc)
        return a->strict ? PB_RPC_STRICT : PB_RPC;
    return a->ep->route->flags & ROUTE_BOTH ? PB_REST_BOTH : PB_REST;
}

static err_t render(struct api_call *a, struct reply *r)
{
    struct ctx *c = &a->call.ctx;
    struct buf b;

    r->res.status = a->status ? a->status : 200;
    if (a->text.p) {
        r->res.type = a->text_type;
        r->res.body = a->text;
        return ERR_OK;
    }
    if (r->res.status == 204 || !a->out_desc)
        return ERR_OK;
    buf_init_arena(&b, c->arena, BODY_MAX);
    r->res.type = a->binary ? S("application/proto") : JSON;
    if (a->binary)
        pb_to_wire(&b, a->out_desc, a->out);
    else
        pb_to_json(&b, a->out_desc, a->out, style_of(a));
    if (b.full)
        return err_set(c, ERR_TOO_LARGE,
                       "the answer is larger than %zu MiB: ask for a smaller page", BODY_MAX >> 20);
    r->res.body = buf_str(&b);
    return ERR_OK;
}

void api_finish(struct api_call *a, err_t e)
{
    struct ctx *c = &a->call.ctx;
    struct reply *r = reply_new(c->arena);
    struct api *api = a->api;
    const struct endpoint *ep = a->ep;
    struct held_claims *claims = NULL;
    int64_t arrived_ns = a->arrived_ns;
    int status;
    bool delivered;

    if (e == ERR_CANCELED && a->drained) {
        a->status = 204;
        e = ERR_OK;
    }
    if (e != ERR_OK && (ep->route->flags & ROUTE_PROBE) && !(a->early != ERR_OK)) {
        api_probe_failed(a, err_text(c, e));
        e = ERR_OK;
    }
    if (ep->route->flags & ROUTE_HELD)
        claims = api_claims_keep(a);
    if (e == ERR_OK && api->metrics && a->emitted_n > 0)
        api_metrics_emitted(api->metrics, c->who->env_id, a->emitted, a->emitted_n);
    if (e == ERR_OK && a->log_msg)
        log_info(a->log_msg, "%s", a->log_fields);
    if (e == ERR_OK)
        e = render(a, r);
    if (e != ERR_OK)
        render_error(a, e, r);
    cors(r, &a->head, false);
    if (ep->route->flags & ROUTE_HEAD)
        header(r, S("cache-control"), S("no-store"));
    status = r->res.status;
    log_debug("request", "method=" STR_FMT " path=\"" STR_FMT "\" status=%d",
              STR_ARG(a->req->method), STR_ARG(a->req->path), status);
    delivered = http_reply(a->req, &r->res) && e == ERR_OK;
    /* The request, and with it the call, is gone from here on. */
    api_claims_settle(api, claims, delivered);
    if (api->metrics)
        api_metrics_count(api->metrics, ep, status, clock_mono_ns() - arrived_ns);
}

str_t api_error_body(struct arena *a, int status, const char *detail)
{
    struct buf b;

    buf_init_arena(&b, a, 4096);
    api_error_json(&b, false, api_error_of_status(status), str_from(detail));
    return buf_str(&b);
}
