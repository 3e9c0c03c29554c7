/* Finds libcurl and its functions by name, once for the process. */
#include "http/curl.h"

#include <stdio.h>

#include "base/dynlib.h"
#include "base/must.h"
#include "base/sync.h"

struct curl_table curl;

static struct {
    pthread_once_t once;
    bool ok;
    char why[200];
} loaded = { .once = PTHREAD_ONCE_INIT };

static void load(void)
{
    const struct dynlib_symbol symbols[] = {
        { "curl_global_init", &curl.global_init },
        { "curl_easy_init", &curl.init },
        { "curl_easy_cleanup", &curl.cleanup },
        { "curl_easy_reset", &curl.reset },
        { "curl_easy_setopt", &curl.setopt },
        { "curl_easy_getinfo", &curl.getinfo },
        { "curl_easy_perform", &curl.perform },
        { "curl_easy_strerror", &curl.strerror },
        { "curl_slist_append", &curl.slist_append },
        { "curl_slist_free_all", &curl.slist_free },
        { "curl_multi_init", &curl.multi_init },
        { "curl_multi_cleanup", &curl.multi_cleanup },
        { "curl_multi_setopt", &curl.multi_setopt },
        { "curl_multi_add_handle", &curl.multi_add },
        { "curl_multi_remove_handle", &curl.multi_remove },
        { "curl_multi_assign", &curl.multi_assign },
        { "curl_multi_socket_action", &curl.multi_action },
        { "curl_multi_info_read", &curl.multi_read },
    };

    if (!dynlib_load("libcurl.so.4", symbols, COUNT_OF(symbols), loaded.why, sizeof(loaded.why)))
        return;
    loaded.ok = curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!loaded.ok)
        snprintf(loaded.why, sizeof(loaded.why), "libcurl does not start");
}

err_t curl_load(struct ctx *c)
{
    must(pthread_once(&loaded.once, load) == 0);
    if (loaded.ok)
        return ERR_OK;
    return err_set(c, ERR_UNAVAILABLE, "cannot load libcurl (package libcurl4): %s", loaded.why);
}
