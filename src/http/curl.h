/* libcurl, loaded when it is first needed: it alone costs half of all start-up time. curl.h of the
 * library gives constants and types; its functions are called through this table. */
#pragma once

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/ctx.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

struct curl_table {
    CURLcode (*global_init)(long flags);
    CURL *(*init)(void);
    void (*cleanup)(CURL *easy);
    void (*reset)(CURL *easy);
    CURLcode (*setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*getinfo)(CURL *easy, CURLINFO info, ...);
    CURLcode (*perform)(CURL *easy);
    const char *(*strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free)(struct curl_slist *list);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *m);
    CURLMcode (*multi_setopt)(CURLM *m, CURLMoption option, ...);
    CURLMcode (*multi_add)(CURLM *m, CURL *easy);
    CURLMcode (*multi_remove)(CURLM *m, CURL *easy);
    CURLMcode (*multi_assign)(CURLM *m, curl_socket_t fd, void *p);
    CURLMcode (*multi_action)(CURLM *m, curl_socket_t fd, int mask, int *running);
    CURLMsg *(*multi_read)(CURLM *m, int *left);
};

/* Filled by curl_load. */
extern struct curl_table curl;

/* Any thread. ERR_UNAVAILABLE when there is no libcurl. */
NODISCARD err_t curl_load(struct ctx *c);
