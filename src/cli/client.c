/* The client side of the commands: where the server is, who we are, and what to tell people when it
 * does not answer as hoped. */
#include "cli/client.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "cli/out.h"
#include "codec/json.h"
#include "codec/url.h"
#include "http/client.h"

#define DEFAULT_SERVER S("http://localhost:9123")
#define HEADERS_MAX 4

err_t api_server(struct cli *cli, str_t *out)
{
    str_t url = cli_text(cli, "server");
    struct url parts;

    if (url.n == 0)
        url = cli->env->server_url;
    if (url.n == 0)
        url = DEFAULT_SERVER;
    while (str_ends(url, S("/")))
        url.n--;
    if (!url_parse(url, &parts) || str_index(url, '?') >= 0)
        return err_set(cli->c, ERR_INVALID,
                       "\"" STR_FMT "\" is no server URL; write it as http://host:9123",
                       STR_ARG(url));
    *out = url;
    return ERR_OK;
}

str_t api_path(struct cli *cli, const char *head, const char *id, const char *tail)
{
    struct buf b;

    buf_init_arena(&b, cli->c->arena, (size_t)1 << 20);
    buf_append(&b, str_from(head));
    url_encode(&b, str_from(id));
    buf_append(&b, str_from(tail));
    return buf_str(&b);
}

static size_t api_headers(struct cli *cli, struct http_header *headers)
{
    str_t env = cli_text(cli, "env");
    size_t n = 0;

    headers[n++] = (struct http_header){ S("content-type"), S("application/json") };
    headers[n++] = (struct http_header){ S("user-agent"), S("ironflow-cli/" IRONFLOW_VERSION) };
    if (cli->env->api_key.n > 0)
        headers[n++] =
            (struct http_header){ S("authorization"), str_printf(cli->c->arena, "Bearer " STR_FMT,
                                                                 STR_ARG(cli->env->api_key)) };
    if (env.n == 0)
        env = cli->env->environment;
    if (env.n > 0)
        headers[n++] = (struct http_header){ S("x-ironflow-environment"), env };
    return n;
}

/* The text of an error answer: Connect's `message`, REST's `error`, or what came. */
static str_t api_message(struct cli *cli, str_t body)
{
    struct json_error e;
    str_t value, text;

    if (json_check(body, &value, &e)) {
        text = json_text(cli, value, "message", "error");
        if (text.n > 0)
            return out_clean(cli, text);
    }
    return out_clean(cli, str_slice(body, 0, body.n < 200 ? body.n : 200));
}

/* Of what a server does not have, with the command that lists what it has. */
static str_t api_missing(struct cli *cli, str_t text)
{
    static const char *const lists[][2] = {
        { "run not found", "run list" },
        { "step not found", "run steps <run-id> --json" },
        { "function not found", "function list" },
        { "function \"", "function list" },
        { "dead letter", "outbox dlq list" },
    };

    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        if (str_find(text, str_from(lists[i][0])) >= 0)
            return str_printf(cli->c->arena, STR_FMT ": see ironflow %s", STR_ARG(text),
                              lists[i][1]);
    }
    return text.n > 0 ? text : S("the server does not know this");
}

static err_t api_refused(struct cli *cli, const struct http_client_res *res)
{
    str_t text = api_message(cli, res->body);
    struct ctx *c = cli->c;

    switch (res->status) {
    case 401:
        if (cli->env->api_key.n > 0)
            return err_set(c, ERR_UNAUTHENTICATED,
                           "the server does not accept the key in IRONFLOW_API_KEY: " STR_FMT
                           ". The first start of a server writes its admin key to "
                           ".ironflow_bootstrap_key.json beside its database.",
                           STR_ARG(text));
        return err_set(c, ERR_UNAUTHENTICATED,
                       "the server wants an API key: " STR_FMT
                       ". Set IRONFLOW_API_KEY. The first start of a server writes its admin key "
                       "to .ironflow_bootstrap_key.json beside its database (field \"key\").",
                       STR_ARG(text));
    case 403:
        return err_set(c, ERR_FORBIDDEN, "not allowed: " STR_FMT, STR_ARG(text));
    case 404:
        text = api_missing(cli, text);
        return err_set(c, ERR_NOT_FOUND, STR_FMT, STR_ARG(text));
    default:
        if (text.n == 0)
            return err_set(c, ERR_UNAVAILABLE, "the server answered with status %d", res->status);
        return err_set(c, ERR_UNAVAILABLE, STR_FMT " (status %d)", STR_ARG(text), res->status);
    }
}

static err_t api_unreached(struct cli *cli, err_t e)
{
    str_t why = str_dup(cli->c->arena, err_text(cli->c, e));

    if (e != ERR_UNAVAILABLE)
        return e;
    return err_set(cli->c, e,
                   STR_FMT ". Start a server with `ironflow serve`, or name another one with "
                           "--server or IRONFLOW_SERVER_URL.",
                   STR_ARG(why));
}

static err_t api_send(struct cli *cli, const struct http_client_req *req,
                      struct http_client_res *res)
{
    int64_t from_ns = clock_mono_ns();
    struct http_client *http = NULL;
    err_t e;

    TRY(http_client_new(cli->c, &http));
    e = http_client_send(cli->c, http, req, res);
    http_client_free(http);
    log_debug("request", "method=%s url=" STR_FMT " request_bytes=%zu status=%d bytes=%zu ms=%lld",
              req->method, STR_ARG(req->url), req->body.n, res->status, res->body.n,
              (long long)((clock_mono_ns() - from_ns) / 1000000));
    return e == ERR_OK ? ERR_OK : api_unreached(cli, e);
}

err_t api_call(struct cli *cli, const struct api_req *req, str_t *out)
{
    struct http_header headers[HEADERS_MAX];
    struct http_client_res res = { 0 };
    struct json_error bad = { 0 };
    str_t server = STR_NULL;
    struct http_client_req send = {
        .method = req->method,
        .headers = headers,
        .body = req->body,
        .timeout_ms = req->timeout_ms > 0 ? req->timeout_ms : CLI_TIMEOUT_MS,
    };

    if (cli_given(cli, "as-org"))
        return err_set(cli->c, ERR_UNIMPLEMENTED,
                       "--as-org needs stored platform credentials, and this release has no "
                       "platform login yet");
    TRY(api_server(cli, &server));
    send.url = str_printf(cli->c->arena, STR_FMT STR_FMT, STR_ARG(server), STR_ARG(req->path));
    send.headers_n = api_headers(cli, headers);
    TRY(api_send(cli, &send, &res));
    if (res.status < 200 || res.status > 299)
        return api_refused(cli, &res);
    if (res.status == 204) {
        *out = STR_NULL;
        return ERR_OK;
    }
    if (!json_check(res.body, out, &bad))
        return err_set(cli->c, ERR_UNAVAILABLE,
                       "the answer from " STR_FMT " is not JSON; is it an Ironflow server?",
                       STR_ARG(server));
    return ERR_OK;
}

int api_show(struct cli *cli, const struct api_req *req,
             void (*print)(struct cli *cli, str_t answer))
{
    str_t answer;
    err_t e = api_call(cli, req, &answer);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (cli_flag(cli, "json"))
        out_json(answer);
    else
        print(cli, answer);
    return 0;
}
