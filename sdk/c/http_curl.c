/* The transport for https: one easy handle of libcurl, which keeps its connection open. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "ironflow_priv.h"

#define RESPONSE_BYTES_MAX ((size_t)256 << 20)

struct curl_conn {
    const struct server *s;
    CURL *easy;
    const struct request *r; /* the request that runs */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct curl_conn *curl_conn_new(const struct server *s)
{
    struct curl_conn *c = mem_new(sizeof(*c));

    (void)pthread_once(&once, start);
    c->s = s;
    c->easy = curl_easy_init();
    return c;
}

void curl_conn_free(struct curl_conn *c)
{
    if (c == NULL)
        return;
    curl_easy_cleanup(c->easy);
    free(c);
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    struct text *t = arg;

    if (t->n + size * n > RESPONSE_BYTES_MAX)
        return 0;
    text_add(t, p, size * n);
    return size * n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t x, curl_off_t y)
{
    const struct curl_conn *c = arg;

    (void)a, (void)b, (void)x, (void)y;
    return c->r->wake != NULL && atomic_load(c->r->wake) != 0;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    struct text t = { 0 };

    if (value == NULL || *value == '\0')
        return list;
    text_addz(&t, name);
    text_addz(&t, value);
    list = curl_slist_append(list, text_z(&t));
    text_done(&t);
    return list;
}

int curl_conn_send(struct curl_conn *c, const struct request *r, struct text *body, char *why,
                   size_t why_size)
{
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *list = NULL;
    struct text url = { 0 };
    long status = 0;
    CURLcode code;

    c->r = r;
    text_addz(&url, c->s->url);
    text_addz(&url, r->path);
    list = add_header(list, "Authorization: Bearer ", c->s->api_key);
    list = add_header(list, "X-Ironflow-Environment: ", c->s->environment);
    list = add_header(list, "Idempotency-Key: ", r->idempotency_key);
    list = add_header(list, "X-Ironflow-Run-ID: ", r->run_id);
    list = add_header(list, "Content-Type: ", r->body != NULL ? "application/json" : "");
    list = curl_slist_append(list, "Expect:");
    curl_easy_reset(c->easy);
    curl_easy_setopt(c->easy, CURLOPT_URL, text_z(&url));
    curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_USERAGENT, "ironflow-c");
    curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (r->body != NULL) {
        curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_n);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, r->body);
    }
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS,
                     r->timeout_ms > 0 ? r->timeout_ms : c->s->timeout_ms);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(c->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->easy, CURLOPT_XFERINFODATA, c);
    code = curl_easy_perform(c->easy);
    if (code == CURLE_OK)
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    else
        (void)snprintf(why, why_size, "%s: %s", c->s->url,
                       *detail != '\0' ? detail : curl_easy_strerror(code));
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(list);
    text_done(&url);
    return (int)status;
}
