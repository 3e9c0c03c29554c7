/* The multi-handle client. libcurl tells which sockets it waits for (on_socket) and when it wants
 * to be called again (on_timer); libuv watches them. Easy handles are kept for reuse with the
 * options that never change. Everything here runs on the loop's thread. */
#include "http/outbound.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "http/curl.h"

enum { IDLE_HANDLES = 256, IDLE_CONNECTIONS = 1024, CONNECT_MS = 5000 };

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

/* ---- the address policy ---- */

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

/* ---- the end of a call ---- */

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
    curl.cleanup(call->easy);
    mem_free(call);
}

/* Takes the transfer off its request and keeps the handle. */
static void call_idle(struct outbound_call *call)
{
    struct outbound *o = call->o;

    curl.multi_remove(o->multi, call->easy);
    curl.slist_free(call->headers);
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

    must(r != NULL);
    r->end = call->o->stopping ? OUTBOUND_STOPPED : end_of(call, code);
    if (r->end == OUTBOUND_REPLY) {
        curl.getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        r->status = (int)status;
        r->reply = buf_str(&call->reply);
    } else {
        r->why =
            str_dup(r->arena, str_from(call->why[0] != '\0' ? call->why : curl.strerror(code)));
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

    while ((msg = curl.multi_read(o->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        code = msg->data.result; /* msg is gone with the handle */
        curl.getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call_end(call, code);
    }
}

/* ---- libuv ---- */

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
    curl.multi_action(o->multi, w->fd, mask, &running);
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

    curl.multi_action(o->multi, CURL_SOCKET_TIMEOUT, 0, &running);
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
        curl.multi_assign(o->multi, fd, NULL);
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
        curl.multi_assign(o->multi, fd, w);
    }
    if ((what & CURL_POLL_IN) != 0)
        events |= UV_READABLE;
    if ((what & CURL_POLL_OUT) != 0)
        events |= UV_WRITABLE;
    uv_poll_start(&w->poll, events, on_ready);
    return 0;
}

/* ---- sending ---- */

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
    CURL *e = curl.init();

    must(e != NULL);
    call->o = o;
    call->easy = e;
    curl.setopt(e, CURLOPT_PRIVATE, call);
    curl.setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl.setopt(e, CURLOPT_PROXY, "");
    curl.setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl.setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl.setopt(e, CURLOPT_USERAGENT, "ironflow/" IRONFLOW_VERSION);
    curl.setopt(e, CURLOPT_POST, 1L);
    curl.setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl.setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)OUTBOUND_REPLY_MAX);
    curl.setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl.setopt(e, CURLOPT_WRITEDATA, call);
    curl.setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl.setopt(e, CURLOPT_OPENSOCKETDATA, call);
    curl.setopt(e, CURLOPT_ERRORBUFFER, call->why);
    return call;
}

static struct curl_slist *headers_of(const struct outbound_req *r)
{
    struct curl_slist *list = curl.slist_append(NULL, "Expect:");

    for (size_t i = 0; i < r->headers_n; i++) {
        str_t name = r->headers[i].name, value = r->headers[i].value;

        list = curl.slist_append(list, str_z(r->arena, str_printf(r->arena, STR_FMT ": " STR_FMT,
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
    curl.setopt(call->easy, CURLOPT_URL, r->url);
    curl.setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    curl.setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    curl.setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
    curl.setopt(call->easy, CURLOPT_POSTFIELDS, r->body.n > 0 ? r->body.p : "");
    must(curl.multi_add(o->multi, call->easy) == CURLM_OK); /* from here on the timer fires */
}

/* ---- from birth to death ---- */

err_t outbound_new(struct ctx *c, struct loop *loop, struct outbound **out)
{
    struct outbound *o;

    TRY(curl_load(c));
    o = mem_zero(sizeof(*o));
    o->loop = loop;
    o->multi = curl.multi_init();
    must(o->multi != NULL);
    o->timer = mem_zero(sizeof(*o->timer));
    must(uv_timer_init(loop_uv(loop), o->timer) == 0);
    o->timer->data = o;
    curl.multi_setopt(o->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl.multi_setopt(o->multi, CURLMOPT_SOCKETDATA, o);
    curl.multi_setopt(o->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl.multi_setopt(o->multi, CURLMOPT_TIMERDATA, o);
    curl.multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
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
    curl.multi_cleanup(o->multi);
    uv_timer_stop(o->timer);
    uv_close((uv_handle_t *)o->timer, on_timer_closed);
    mem_free(o);
}
