/* The blocking client over libcurl's easy interface. One client keeps one connection alive and
 * belongs to one thread. */
#include "http/client.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/curl.h"

#define RESPONSE_BYTES_MAX ((size_t)256 << 20)

struct http_client {
    CURL *easy;
};

err_t http_client_new(struct ctx *c, struct http_client **out)
{
    struct http_client *h;

    TRY(curl_load(c));
    h = mem_zero(sizeof(*h));
    h->easy = curl.init();
    if (h->easy == NULL) {
        mem_free(h);
        return err_set(c, ERR_UNAVAILABLE, "libcurl does not start");
    }
    *out = h;
    return ERR_OK;
}

void http_client_free(struct http_client *h)
{
    if (h == NULL)
        return;
    curl.cleanup(h->easy);
    mem_free(h);
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    struct buf *b = arg;

    buf_append(b, (str_t){ p, size * n });
    return b->full ? 0 : size * n;
}

/* The headers in libcurl's list; an empty Expect keeps it from asking for 100-continue first. */
static struct curl_slist *client_headers(struct ctx *c, const struct http_header *headers, size_t n)
{
    struct curl_slist *list = curl.slist_append(NULL, "Expect:");
    bool typed = false;

    for (size_t i = 0; i < n; i++) {
        /* "name;" is how libcurl spells a header without value */
        const char *line =
            headers[i].value.n > 0
                ? str_z(c->arena, str_printf(c->arena, STR_FMT ": " STR_FMT,
                                             STR_ARG(headers[i].name), STR_ARG(headers[i].value)))
                : str_z(c->arena, str_printf(c->arena, STR_FMT ";", STR_ARG(headers[i].name)));

        typed |= str_eq_nocase(headers[i].name, S("content-type"));
        list = curl.slist_append(list, line);
    }
    return typed ? list : curl.slist_append(list, "Content-Type:");
}

static err_t check_headers(struct ctx *c, const struct http_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < headers[i].name.n + headers[i].value.n; k++) {
            str_t name = headers[i].name;
            char ch = k < name.n ? name.p[k] : headers[i].value.p[k - name.n];

            if (ch == '\r' || ch == '\n' || ch == '\0')
                return err_set(c, ERR_INVALID, "header " STR_FMT " holds a line end",
                               STR_ARG(name));
        }
    return ERR_OK;
}

/* A proxy from the environment is not meant for this machine. */
static bool is_local(str_t url)
{
    static const str_t hosts[] = { { "localhost", 9 }, { "127.", 4 }, { "[::1]", 5 } };
    ptrdiff_t at = str_find(url, S("://"));
    str_t host = at < 0 ? url : str_slice(url, (size_t)at + 3, url.n);

    for (size_t i = 0; i < COUNT_OF(hosts); i++)
        if (str_starts(host, hosts[i]))
            return true;
    return false;
}

static void client_setup(struct http_client *h, const char *method, const char *url, str_t body)
{
    CURL *e = h->easy;

    curl.reset(e); /* keeps the connection */
    curl.setopt(e, CURLOPT_URL, url);
    curl.setopt(e, CURLOPT_NOSIGNAL, 1L);
    if (is_local(str_from(url)))
        curl.setopt(e, CURLOPT_PROXY, "");
    curl.setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (body.n > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
        strcmp(method, "PATCH") == 0) {
        curl.setopt(e, CURLOPT_POST, 1L);
        curl.setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
        curl.setopt(e, CURLOPT_POSTFIELDS, body.n > 0 ? body.p : "");
    } else if (strcmp(method, "HEAD") == 0) {
        curl.setopt(e, CURLOPT_NOBODY, 1L);
    }
    curl.setopt(e, CURLOPT_CUSTOMREQUEST, method);
}

/* What went wrong, for people. */
static err_t client_fault(struct ctx *c, CURLcode code, const char *url, int64_t timeout_ms,
                          const char *why)
{
    switch ((int)code) {
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(c, ERR_DEADLINE, "no reply from %s within %lld ms", url,
                       (long long)timeout_ms);
    case CURLE_COULDNT_CONNECT:
        return err_set(c, ERR_UNAVAILABLE, "cannot reach %s: connection refused", url);
    case CURLE_COULDNT_RESOLVE_HOST:
        return err_set(c, ERR_UNAVAILABLE, "cannot reach %s: host not found", url);
    case CURLE_WRITE_ERROR:
        return err_set(c, ERR_TOO_LARGE, "the reply of %s is too large", url);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(c, ERR_INVALID, "not a usable URL: %s", url);
    default:
        return err_set(c, ERR_UNAVAILABLE, "cannot reach %s: %s (curl %d)", url,
                       why[0] != '\0' ? why : curl.strerror(code), (int)code);
    }
}

err_t http_client_send(struct ctx *c, struct http_client *h, const struct http_client_req *req,
                       struct http_client_res *out)
{
    const char *url = str_z(c->arena, req->url);
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *list;
    char *type = NULL;
    long status = 0;
    struct buf b;
    CURLcode code;

    TRY(check_headers(c, req->headers, req->headers_n));
    list = client_headers(c, req->headers, req->headers_n);
    buf_init_arena(&b, c->arena, RESPONSE_BYTES_MAX);
    client_setup(h, req->method, url, req->body);
    curl.setopt(h->easy, CURLOPT_HTTPHEADER, list);
    curl.setopt(h->easy, CURLOPT_TIMEOUT_MS, (long)req->timeout_ms);
    curl.setopt(h->easy, CURLOPT_ERRORBUFFER, why);
    curl.setopt(h->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl.setopt(h->easy, CURLOPT_WRITEDATA, &b);
    code = curl.perform(h->easy);
    curl.setopt(h->easy, CURLOPT_HTTPHEADER, NULL);
    curl.setopt(h->easy, CURLOPT_ERRORBUFFER, NULL);
    curl.slist_free(list);
    if (code != CURLE_OK)
        return client_fault(c, code, url, req->timeout_ms, why);
    curl.getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    curl.getinfo(h->easy, CURLINFO_CONTENT_TYPE, &type);
    out->status = (int)status;
    out->type = str_dup(c->arena, str_from(type));
    out->body = buf_str(&b);
    return ERR_OK;
}
