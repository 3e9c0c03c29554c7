/* The HTTP/2 session of one connection, over nghttp2, which owns frames, compression and windows;
 * the only file that sees it. Requests and replies are in h2_stream.c. */
#include "http/h2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#define OUT_BYTES ((size_t)64 << 10)
/* The connection's window is so many of a stream. */
#define WINDOWS 4
/* Above this much of unsent replies a connection gets no further request. */
#define UNSENT_MAX ((uint64_t)64 << 20)
/* Frames that mean little (PING, SETTINGS, empty DATA and the like): at once, and a second. */
#define CALM_BURST 4096
#define CALM_PER_S 1024
/* Streams that the client resets. Ours end that way in the ordinary course of things; what they
 * leave behind is bounded by owed_n, in streams_max. */
#define RESET_BURST 10000
#define RESET_PER_S 1000
#define OWED_FACTOR 2
#define CONTINUATIONS_MAX 8
#define SETTINGS_MAX 32
#define ACKS_MAX 1000
#define CHOKED_FRAMES 2000

static const struct http_limits *h2_limits(const struct h2 *h2)
{
    return &h2->hl->server->o.limits;
}

/* Ends the session: GOAWAY is the last that is sent. */
static void h2_give_up(struct h2 *h2, enum h2_code code, const char *why)
{
    if (h2->ended)
        return;
    h2->ended = true;
    log_debug("connection given up", "remote=%s code=%u detail=\"%s\"", h2->conn->remote,
              (unsigned)code, why);
    (void)nghttp2_session_terminate_session(h2->session, (uint32_t)code);
    h2_wake(h2->conn);
}

/* ---- what h2_stream.c asks for ---- */

static nghttp2_nv nv(str_t name, str_t value)
{
    nghttp2_nv out = { .namelen = name.n, .valuelen = value.n };

    memcpy(&out.name, &name.p, sizeof(name.p));
    memcpy(&out.value, &value.p, sizeof(value.p));
    return out;
}

static str_t lower(struct arena *a, str_t s)
{
    char *p = arena_alloc(a, s.n);

    for (size_t i = 0; i < s.n; i++)
        p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
    return (str_t){ p, s.n };
}

/* Fields that belong to a connection of HTTP/1. */
static bool field_of_connection(str_t name)
{
    static const str_t names[] = { { "connection", 10 },
                                   { "keep-alive", 10 },
                                   { "proxy-connection", 16 },
                                   { "transfer-encoding", 17 },
                                   { "upgrade", 7 } };

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

/* Appends the fields that may be sent. */
static size_t fields_add(struct arena *a, const struct http_header *h, size_t n, nghttp2_nv *out)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        str_t name = lower(a, h[i].name);

        if (reply_header_ok(&h[i]) && !field_of_connection(name))
            out[k++] = nv(name, h[i].value);
    }
    return k;
}

/* The session wants up to n bytes of a reply. */
static ssize_t on_pull(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *arg)
{
    struct h2_stream *s = source->ptr;
    struct arena *a = &s->r->req.arena;
    enum h2_pulled pulled = H2_PULLED_SOME;

    (void)arg;
    n = h2_stream_pull(s, (char *)to, n, &pulled);
    if (pulled == H2_PULLED_NONE)
        return NGHTTP2_ERR_DEFERRED;
    if (pulled == H2_PULLED_LAST)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (pulled == H2_PULLED_LAST && s->trailers_n > 0) {
        nghttp2_nv *nva = NEW_N(a, nghttp2_nv, s->trailers_n);
        size_t k = fields_add(a, s->trailers, s->trailers_n, nva);

        if (k > 0 && nghttp2_submit_trailer(session, id, nva, k) == 0)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return (ssize_t)n;
}

void h2_submit(struct h2_stream *s, const struct http_res *res, str_t length, bool body)
{
    struct arena *a = &s->r->req.arena;
    nghttp2_nv *nva = NEW_N(a, nghttp2_nv, res->headers_n + 4);
    nghttp2_data_provider from = { .source = { .ptr = s }, .read_callback = on_pull };
    size_t n = 0;

    nva[n++] = nv(S(":status"), str_printf(a, "%d", res->status));
    if (res->type.n > 0 && res->status != 204 && res->status != 304)
        nva[n++] = nv(S("content-type"), res->type);
    if (length.n > 0)
        nva[n++] = nv(S("content-length"), length);
    nva[n++] = nv(S("date"), reply_date(s->h2->hl));
    n += fields_add(a, res->headers, res->headers_n, nva + n);
    if (nghttp2_submit_response(s->h2->session, s->id, nva, n, body ? &from : NULL) != 0)
        h2_reset(s, H2_INTERNAL_ERROR);
    h2_wake(s->h2->conn);
}

void h2_submit_continue(struct h2_stream *s)
{
    nghttp2_nv status = nv(S(":status"), S("100"));

    (void)nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1, NULL);
    h2_wake(s->h2->conn);
}

void h2_reset(struct h2_stream *s, enum h2_code code)
{
    (void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, (uint32_t)code);
    h2_wake(s->h2->conn);
}

void h2_resume(struct h2_stream *s)
{
    (void)nghttp2_session_resume_data(s->h2->session, s->id);
}

void h2_open_window(struct h2_stream *s, size_t of_stream, size_t of_all)
{
    if (of_stream > 0)
        (void)nghttp2_session_consume_stream(s->h2->session, s->id, of_stream);
    if (of_all > 0)
        (void)nghttp2_session_consume_connection(s->h2->session, of_all);
    if (of_stream > 0 || of_all > 0)
        h2_wake(s->h2->conn);
}

bool h2_window_shut(const struct h2_stream *s)
{
    return nghttp2_session_get_remote_window_size(s->h2->session) <= 0 ||
           nghttp2_session_get_stream_remote_window_size(s->h2->session, s->id) <= 0;
}

/* ---- callbacks of nghttp2, while bytes are read ---- */

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* A client may say a lot that means little and costs us an answer or a look; not without end. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
    struct h2 *h2 = arg;
    int64_t now = conn_now(h2->conn);

    (void)session;
    if (hd->type != NGHTTP2_CONTINUATION)
        h2->head_ms = INT64_MAX;
    if (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_WINDOW_UPDATE ||
        (hd->type == NGHTTP2_DATA && (hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM))))
        return 0;
    h2->calm += (now - h2->calm_ms) * CALM_PER_S / 1000;
    h2->calm_ms = now;
    if (h2->calm > CALM_BURST)
        h2->calm = CALM_BURST;
    if (--h2->calm < 0)
        h2_give_up(h2, H2_CALM, "too many control frames");
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    int32_t id = frame->hd.stream_id;

    h2->head_ms = conn_now(h2->conn) + h2_limits(h2)->header_ms;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h2->owed_n >= OWED_FACTOR * h2_limits(h2)->streams_max || h2->unsent > UNSENT_MAX) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    (void)nghttp2_session_set_stream_user_data(session, id, h2_stream_new(h2, id));
    return 0;
}

static str_t view(nghttp2_rcbuf *b)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(b);

    return (str_t){ (const char *)v.base, v.len };
}

/* Fields of the head; those behind a body (trailers) mean nothing to us. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);

    (void)flags;
    (void)arg;
    if (s != NULL && frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2_head_field(s, view(name), view(value));
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);

    (void)name;
    (void)value;
    (void)flags;
    (void)arg;
    if (s != NULL && frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2_head_fault(s, 400, "malformed request: invalid character in a header field");
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    struct h2 *h2 = arg;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    if (frame->hd.type == NGHTTP2_SETTINGS && !h2->settled) {
        h2->settled = true;
        h2->deadline_ms = conn_now(h2->conn) + h2_limits(h2)->idle_ms;
    } else if (frame->hd.type == NGHTTP2_HEADERS) {
        h2->head_ms = INT64_MAX;
        if (s != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            h2_stream_head(s, end);
        else if (s != NULL && end)
            h2_stream_ended(s);
    } else if (frame->hd.type == NGHTTP2_DATA && s != NULL && end) {
        h2_stream_ended(s);
    }
    return 0;
}

/* A head that is refused as a whole; its stream is reset. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *arg)
{
    struct h2 *h2 = arg;

    (void)session;
    log_debug("frame refused", "remote=%s type=%d detail=\"%s\"", h2->conn->remote, frame->hd.type,
              nghttp2_strerror(code));
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2->head_ms = INT64_MAX;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *arg)
{
    struct h2_stream *s = stream_of(session, id);

    (void)flags;
    (void)arg;
    if (s != NULL)
        h2_stream_piece(s, (str_t){ (const char *)data, n });
    else
        (void)nghttp2_session_consume(session, id, n);
    return 0;
}

/* ---- and while they are written ---- */

/* A reply that ends before its request: the client need not go on. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);

    (void)arg;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && s != NULL && !s->whole)
        h2_reset(s, H2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct h2_stream *s = stream_of(session, id);

    (void)code;
    (void)arg;
    if (s != NULL)
        h2_stream_closed(s);
    return 0;
}

/* ---- the session ---- */

static void *session_alloc(size_t n, void *arg)
{
    (void)arg;
    return mem_alloc(n);
}

static void session_free(void *p, void *arg)
{
    (void)arg;
    mem_free(p);
}

static void *session_zero(size_t n, size_t size, void *arg)
{
    (void)arg;
    return mem_zero(n * size); /* nghttp2's own small numbers */
}

static void *session_resize(void *p, size_t n, void *arg)
{
    (void)arg;
    return mem_resize(p, n);
}

static nghttp2_option *session_option(void)
{
    nghttp2_option *o = NULL;

    must(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_stream_reset_rate_limit(o, RESET_BURST, RESET_PER_S);
    nghttp2_option_set_max_continuations(o, CONTINUATIONS_MAX);
    nghttp2_option_set_max_settings(o, SETTINGS_MAX);
    nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
    return o;
}

static nghttp2_session_callbacks *session_callbacks(void)
{
    nghttp2_session_callbacks *cb = NULL;

    must(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return cb;
}

static void session_settle(struct h2 *h2)
{
    const struct http_limits *l = h2_limits(h2);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)l->streams_max },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)l->window_bytes },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)l->header_bytes_max },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
    };

    must(nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) ==
         0);
    must(nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                               (int32_t)(l->window_bytes * WINDOWS)) == 0);
}

struct h2 *h2_new(struct conn *conn)
{
    static nghttp2_mem mem = { .malloc = session_alloc,
                               .free = session_free,
                               .calloc = session_zero,
                               .realloc = session_resize };
    struct h2 *h2 = mem_zero(sizeof(*h2));
    nghttp2_option *option = session_option();
    nghttp2_session_callbacks *callbacks = session_callbacks();

    h2->conn = conn;
    h2->hl = conn->hl;
    must(nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    h2->deadline_ms = conn_now(conn) + h2_limits(h2)->header_ms;
    h2->head_ms = INT64_MAX;
    h2->calm = CALM_BURST;
    h2->calm_ms = conn_now(conn);
    session_settle(h2);
    if (h2->hl->draining)
        h2_drain(h2);
    return h2;
}

void h2_free(struct h2 *h2)
{
    if (h2 == NULL)
        return;
    must(h2->streams == NULL);
    nghttp2_session_del(h2->session);
    mem_free(h2);
}

void h2_input(struct h2 *h2, str_t in)
{
    ssize_t n;

    if (h2->broken)
        return;
    n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)in.p, in.n);
    if (n >= 0)
        return;
    log_debug("connection broken off", "remote=%s detail=\"%s\"", h2->conn->remote,
              nghttp2_strerror((int)n));
    h2->broken = true;
}

void h2_output(struct h2 *h2, struct buf *b)
{
    const uint8_t *p = NULL;
    ssize_t n = 1;

    while (b->n < OUT_BYTES && !h2->broken && n > 0) {
        n = nghttp2_session_mem_send(h2->session, &p);
        if (n > 0)
            buf_append(b, (str_t){ (const char *)p, (size_t)n });
        if (n < 0 || b->full) {
            log_error("HTTP/2 session failed", "code=%d", (int)n);
            h2->broken = true;
        }
    }
    h2_streams_room(h2);
}

bool h2_over(const struct h2 *h2)
{
    bool write = nghttp2_session_want_write(h2->session) != 0;

    if (h2->broken)
        return true;
    return !write && (nghttp2_session_want_read(h2->session) == 0 || (h2->eof && h2->open_n == 0));
}

bool h2_choked(const struct h2 *h2)
{
    return nghttp2_session_get_outbound_queue_size(h2->session) > CHOKED_FRAMES;
}

void h2_half_closed(struct h2 *h2)
{
    h2->eof = true;
    h2_streams_half_close(h2);
}

/* A first GOAWAY refuses nothing yet, so that requests on their way are still served; the last one
 * follows with the next sweep. */
void h2_drain(struct h2 *h2)
{
    if (h2->draining)
        return;
    h2->draining = true;
    if (h2->open_n == 0)
        h2_give_up(h2, H2_NO_ERROR, "the server drains");
    else
        (void)nghttp2_submit_shutdown_notice(h2->session);
    h2_wake(h2->conn);
}

void h2_expire(struct h2 *h2)
{
    int64_t now = conn_now(h2->conn);

    if (h2->head_ms <= now) {
        h2_give_up(h2, H2_CALM, "the request header did not arrive in time");
    } else if (!h2->settled && h2->deadline_ms <= now) {
        h2_give_up(h2, H2_SETTINGS_TIMEOUT, "no settings");
    } else if (h2->streams == NULL && h2->deadline_ms <= now) {
        h2_give_up(h2, H2_NO_ERROR, "idle");
    } else if (h2->draining && !h2->final && !h2->ended) {
        h2->final = true;
        (void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(h2->session),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        h2_wake(h2->conn);
    }
    h2_streams_expire(h2);
}
