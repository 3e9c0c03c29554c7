/* The multi-handle client. libcurl tells which sockets it waits for (on_socket) and when it wants
 * to be called again (on_timer); libuv watches them. Easy handles are kept for reuse with the
 * options that never change. Everything here runs on the loop's thread. */
#define CURL_DISABLE_TYPECHECK
#include "http/outbound.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/sync.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

enum { IDLE_HANDLES = 256, IDLE_CONNECTIONS = 1024, CONNECT_MS = 5000 };

/* Our view of the library: one pointer a function, found by name. */
static struct {
    CURLcode (*global_init)(long flags);
    CURL *(*init)(void);
    void (*cleanup)(CURL *easy);
    CURLcode (*setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*getinfo)(CURL *easy, CURLINFO info, ...);
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
} lib;

static struct {
    pthread_once_t once;
    bool ok;
    char why[200];
} loaded = { .once = PTHREAD_ONCE_INIT };

/* One transfer: an easy handle that is used again and again. */
struct outbound_call {
    struct outbound *o;
    CURL *easy;
    struct outbound_req *r; /* NULL: idle */
    struct curl_slist *headers;
    struct buf reply;
    bool refused, too_large;
    char why[CURL_ERROR_SIZE];
    struct outbound_call *prev, *next; /* of busy or idle */
};

struct watch {
    uv_poll_t poll;
    struct outbound *o;
    curl_socket_t fd;
};

struct outbound {
    struct loop *loop;
    CURLM *multi;
    uv_timer_t *timer;
    struct outbound_call *busy, *idle;
    size_t idle_n;
    bool stopping;
};

/* ---- the library ----------------------------------------------------------------------------- */

static void load(void)
{
    const struct {
        const char *name;
        void *slot;
    } symbols[] = {
        { "curl_global_init", &lib.global_init },
        { "curl_easy_init", &lib.init },
        { "curl_easy_cleanup", &lib.cleanup },
        { "curl_easy_setopt", &lib.setopt },
        { "curl_easy_getinfo", &lib.getinfo },
        { "curl_easy_strerror", &lib.strerror },
        { "curl_slist_append", &lib.slist_append },
        { "curl_slist_free_all", &lib.slist_free },
        { "curl_multi_init", &lib.multi_init },
        { "curl_multi_cleanup", &lib.multi_cleanup },
        { "curl_multi_setopt", &lib.multi_setopt },
        { "curl_multi_add_handle", &lib.multi_add },
        { "curl_multi_remove_handle", &lib.multi_remove },
        { "curl_multi_assign", &lib.multi_assign },
        { "curl_multi_socket_action", &lib.multi_action },
        { "curl_multi_info_read", &lib.multi_read },
    };
    void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL) {
        snprintf(loaded.why, sizeof(loaded.why), "%s", dlerror());
        return;
    }
    for (size_t i = 0; i < COUNT_OF(symbols); i++) {
        void *found = dlsym(handle, symbols[i].name);

        if (found == NULL) {
            snprintf(loaded.why, sizeof(loaded.why), "libcurl has no %s", symbols[i].name);
            return;
        }
        memcpy(symbols[i].slot, &found, sizeof(found));
    }
    loaded.ok = lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!loaded.ok)
        snprintf(loaded.why, sizeof(loaded.why), "libcurl does not start");
}

/* ---- the address policy ------------------------------------------------------------------------
 */

static bool v4_allowed(const uint8_t a[4])
{
    return !(a[0] == 169 && a[1] == 254);
}

static bool v6_allowed(const struct in6_addr *a)
{
    static const uint8_t metadata[16] = { 0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0,    0,
                                          0,    0,    0,    0,    0, 0, 0x02, 0x54 };
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

    if (IN6_IS_ADDR_LINKLOCAL(a) || memcmp(a->s6_addr, metadata, sizeof(metadata)) == 0)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(a) || memcmp(a->s6_addr, nat64, sizeof(nat64)) == 0)
        return v4_allowed(&a->s6_addr[12]);
    return true;
}

bool outbound_address_allowed(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, address, sizeof(in));
        return v4_allowed((const uint8_t *)&in.sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, address, sizeof(in6));
        return v6_allowed(&in6.sin6_addr);
    }
    return false;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct outbound_call *call = arg;

    if (purpose != CURLSOCKTYPE_IPCXN || !outbound_address_allowed(&address->addr)) {
        call->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- the end of a call -------------------------------------------------------------------------
 */

static enum outbound_end end_of(const struct outbound_call *call, CURLcode code)
{
    if (call->too_large)
        return OUTBOUND_TOO_LARGE;
    if (call->refused && code != CURLE_OK)
        return OUTBOUND_REFUSED;
    switch ((int)code) {
    case CURLE_OK:
        return OUTBOUND_REPLY;
    case CURLE_OPERATION_TIMEDOUT:
        return OUTBOUND_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return OUTBOUND_TOO_LARGE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return OUTBOUND_CONNECT;
    case CURLE_URL_MALFORMAT:
        return OUTBOUND_UNUSABLE;
    default: /* an answer that is no HTTP is CURLE_UNSUPPORTED_PROTOCOL */
        return OUTBOUND_BROKEN;
    }
}

static void list_add(struct outbound_call **list, struct outbound_call *call)
{
    call->prev = NULL;
    call->next = *list;
    if (*list != NULL)
        (*list)->prev = call;
    *list = call;
}

static void list_del(struct outbound_call **list, struct outbound_call *call)
{
    if (call->next != NULL)
        call->next->prev = call->prev;
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        *list = call->next;
}

static void call_free(struct outbound_call *call)
{
    lib.cleanup(call->easy);
    mem_free(call);
}

/* Takes the transfer off its request and keeps the handle. */
static void call_idle(struct outbound_call *call)
{
    struct outbound *o = call->o;

    lib.multi_remove(o->multi, call->easy);
    lib.slist_free(call->headers);
    call->headers = NULL;
    call->r = NULL;
    list_del(&o->busy, call);
    if (o->idle_n >= IDLE_HANDLES) {
        call_free(call);
        return;
    }
    list_add(&o->idle, call);
    o->idle_n++;
}

static void call_end(struct outbound_call *call, CURLcode code)
{
    struct outbound_req *r = call->r;
    long status = 0;

    r->end = call->o->stopping ? OUTBOUND_STOPPED : end_of(call, code);
    if (r->end == OUTBOUND_REPLY) {
        lib.getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        r->status = (int)status;
        r->reply = buf_str(&call->reply);
    } else {
        r->why = str_dup(r->arena, str_from(call->why[0] != '\0' ? call->why : lib.strerror(code)));
    }
    call_idle(call);
    r->call = NULL;
    r->done(r);
}

static void ended(struct outbound *o)
{
    struct outbound_call *call;
    CURLMsg *msg;
    CURLcode code;
    int left;

    while ((msg = lib.multi_read(o->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        code = msg->data.result; /* msg is gone with the handle */
        lib.getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call_end(call, code);
    }
}

/* ---- libuv ----------------------------------------------------------------------------------- */

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct outbound *o = w->o;
    int mask = 0, running;

    loop_drain(o->loop);
    if (o->stopping)
        return;
    if (status < 0)
        mask = CURL_CSELECT_ERR;
    if ((events & UV_READABLE) != 0)
        mask |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        mask |= CURL_CSELECT_OUT;
    lib.multi_action(o->multi, w->fd, mask, &running);
    ended(o);
}

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle);
}

static void on_time(uv_timer_t *timer)
{
    struct outbound *o = timer->data;
    int running;

    lib.multi_action(o->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    ended(o);
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct outbound *o = arg;

    (void)multi;
    if (ms < 0)
        uv_timer_stop(o->timer);
    else
        uv_timer_start(o->timer, on_time, (uint64_t)ms, 0);
    return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct outbound *o = arg;
    struct watch *w = known;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w == NULL)
            return 0;
        uv_poll_stop(&w->poll);
        uv_close((uv_handle_t *)&w->poll, on_closed);
        lib.multi_assign(o->multi, fd, NULL);
        return 0;
    }
    if (w == NULL) {
        w = mem_zero(sizeof(*w));
        w->o = o;
        w->fd = fd;
        w->poll.data = w;
        if (uv_poll_init_socket(loop_uv(o->loop), &w->poll, fd) != 0) {
            mem_free(w);
            return -1;
        }
        lib.multi_assign(o->multi, fd, w);
    }
    if ((what & CURL_POLL_IN) != 0)
        events |= UV_READABLE;
    if ((what & CURL_POLL_OUT) != 0)
        events |= UV_WRITABLE;
    uv_poll_start(&w->poll, events, on_ready);
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    struct outbound_call *call = arg;

    buf_append(&call->reply, (str_t){ p, size * n });
    if (!call->reply.full)
        return size * n;
    call->too_large = true;
    return 0;
}

static struct outbound_call *call_new(struct outbound *o)
{
    struct outbound_call *call = mem_zero(sizeof(*call));
    CURL *e = lib.init();

    must(e != NULL);
    call->o = o;
    call->easy = e;
    lib.setopt(e, CURLOPT_PRIVATE, call);
    lib.setopt(e, CURLOPT_NOSIGNAL, 1L);
    lib.setopt(e, CURLOPT_PROXY, "");
    lib.setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    lib.setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    lib.setopt(e, CURLOPT_USERAGENT, "ironflow/" IRONFLOW_VERSION);
    lib.setopt(e, CURLOPT_POST, 1L);
    lib.setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    lib.setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)OUTBOUND_REPLY_MAX);
    lib.setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    lib.setopt(e, CURLOPT_WRITEDATA, call);
    lib.setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    lib.setopt(e, CURLOPT_OPENSOCKETDATA, call);
    lib.setopt(e, CURLOPT_ERRORBUFFER, call->why);
    return call;
}

static struct curl_slist *headers_of(const struct outbound_req *r)
{
    struct curl_slist *list = lib.slist_append(NULL, "Expect:");

    for (size_t i = 0; i < r->headers_n; i++) {
        str_t name = r->headers[i].name, value = r->headers[i].value;

        list = lib.slist_append(list, str_z(r->arena, str_printf(r->arena, STR_FMT ": " STR_FMT,
                                                                 STR_ARG(name), STR_ARG(value))));
    }
    return list;
}

void outbound_send(struct outbound *o, struct outbound_req *r)
{
    struct outbound_call *call = o->idle;

    must(!o->stopping);
    if (call != NULL) {
        list_del(&o->idle, call);
        o->idle_n--;
    } else {
        call = call_new(o);
    }
    list_add(&o->busy, call);
    call->r = r;
    r->call = call;
    call->refused = call->too_large = false;
    call->why[0] = '\0';
    call->headers = headers_of(r);
    buf_init_arena(&call->reply, r->arena, OUTBOUND_REPLY_MAX);
    lib.setopt(call->easy, CURLOPT_URL, r->url);
    lib.setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    lib.setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    lib.setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
    lib.setopt(call->easy, CURLOPT_POSTFIELDS, r->body.n > 0 ? r->body.p : "");
    must(lib.multi_add(o->multi, call->easy) == CURLM_OK); /* from here on the timer fires */
}

/* ---- from birth to death -----------------------------------------------------------------------
 */

err_t outbound_new(struct ctx *c, struct loop *loop, struct outbound **out)
{
    struct outbound *o;

    pthread_once(&loaded.once, load);
    if (!loaded.ok)
        return err_set(c, ERR_UNAVAILABLE, "cannot load libcurl (package libcurl4): %s",
                       loaded.why);
    o = mem_zero(sizeof(*o));
    o->loop = loop;
    o->multi = lib.multi_init();
    must(o->multi != NULL);
    o->timer = mem_zero(sizeof(*o->timer));
    must(uv_timer_init(loop_uv(loop), o->timer) == 0);
    o->timer->data = o;
    lib.multi_setopt(o->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    lib.multi_setopt(o->multi, CURLMOPT_SOCKETDATA, o);
    lib.multi_setopt(o->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    lib.multi_setopt(o->multi, CURLMOPT_TIMERDATA, o);
    lib.multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    *out = o;
    return ERR_OK;
}

void outbound_free(struct outbound *o)
{
    struct outbound_call *call;

    if (o == NULL)
        return;
    o->stopping = true;
    while (o->busy != NULL)
        call_end(o->busy, CURLE_ABORTED_BY_CALLBACK);
    while ((call = o->idle) != NULL) {
        list_del(&o->idle, call);
        call_free(call);
    }
    lib.multi_cleanup(o->multi);
    uv_timer_stop(o->timer);
    uv_close((uv_handle_t *)o->timer, on_timer_closed);
    mem_free(o);
}
