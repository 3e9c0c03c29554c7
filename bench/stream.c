/* A worker on streams that costs next to nothing itself: one thread, epoll, nghttp2, messages made
 * by hand in the binary codec. Prints one JSON object when SIGTERM ends it, and after `idle` is
 * complete one line more, so that a script knows.
 *
 *   stream PORT MODE CONNECTIONS SLOTS FUNCTION
 *
 *   steps  acknowledges a job, reports three steps and completes it; the answers to steps are not
 *          waited for
 *   sleep  yields until the event's data.at (ms), then completes and notes how late it came
 *   wait   yields until the event bench.wake, then completes
 *   idle   only registers */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW (16 << 20)
#define LATE_MAX 1000000

struct bytes {
    uint8_t *p;
    size_t n, cap, at; /* at: what was taken from the front */
};

struct view {
    const uint8_t *p;
    size_t n;
};

struct conn {
    int fd;
    nghttp2_session *session;
    int32_t stream;
    bool deferred, registered;
    struct bytes in, out; /* envelopes */
};

static struct {
    int port, epoll, slots;
    const char *mode, *function;
    size_t conns_n, registered, jobs;
    struct conn *conns;
    uint32_t *late_ms;
    size_t late_n;
    int64_t sequence;
} g;

static volatile sig_atomic_t stopped;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void put(struct bytes *b, const void *p, size_t n)
{
    if (b->at == b->n)
        b->at = b->n = 0;
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n);
        b->p = realloc(b->p, b->cap);
        if (b->p == NULL)
            die("memory");
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_varint(struct bytes *b, uint64_t v)
{
    uint8_t text[10];
    size_t n = 0;

    do {
        text[n++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        v >>= 7;
    } while (v > 0);
    put(b, text, n);
}

static void put_int(struct bytes *b, unsigned field, uint64_t v)
{
    put_varint(b, field << 3);
    put_varint(b, v);
}

static void put_view(struct bytes *b, unsigned field, struct view v)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, v.n);
    put(b, v.p, v.n);
}

static void put_text(struct bytes *b, unsigned field, const char *text)
{
    put_view(b, field, (struct view){ (const uint8_t *)text, strlen(text) });
}

static struct view view_of(const struct bytes *b)
{
    return (struct view){ b->p, b->n };
}

static uint64_t take_varint(struct view *v)
{
    uint64_t r = 0;

    for (int shift = 0; v->n > 0 && shift < 64; shift += 7) {
        uint8_t c = *v->p++;

        v->n--;
        r |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            break;
    }
    return r;
}

/* The last value of a field: a number in *number, or what *out shows. */
static bool field(struct view message, unsigned wanted, uint64_t *number, struct view *out)
{
    bool found = false;

    while (message.n > 0) {
        uint64_t key = take_varint(&message), value = 0;
        struct view at = { 0 };

        if ((key & 7) == 0) {
            value = take_varint(&message);
        } else {
            at.n = (key & 7) == 2 ? take_varint(&message) : (key & 7) == 1 ? 8 : 4;
            at.p = message.p;
            if (at.n > message.n)
                die("a message that is cut");
            message.p += at.n;
            message.n -= at.n;
        }
        if (key >> 3 != wanted)
            continue;
        found = true;
        *number = value;
        *out = at;
    }
    return found;
}

static struct view sub(struct view message, unsigned wanted)
{
    struct view out = { 0 };
    uint64_t number = 0;

    (void)field(message, wanted, &number, &out);
    return out;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* The envelope of a WorkerMessage that holds body in this field. */
static void say(struct conn *k, unsigned kind, struct bytes *body)
{
    static struct bytes message;
    uint8_t head[5] = { 0 };

    message.n = message.at = 0;
    put_view(&message, kind, view_of(body));
    for (int i = 0; i < 4; i++)
        head[1 + i] = (uint8_t)(message.n >> (24 - 8 * i));
    put(&k->out, head, sizeof(head));
    put(&k->out, message.p, message.n);
    body->n = body->at = 0;
}

/* {"name":true} as a Struct. */
static void put_struct(struct bytes *b, unsigned f, const char *name)
{
    static struct bytes value, entry;

    value.n = entry.n = 0;
    put_int(&value, 4, 1);
    put_text(&entry, 1, name);
    put_view(&entry, 2, view_of(&value));
    value.n = 0;
    put_view(&value, 1, view_of(&entry));
    put_view(b, f, view_of(&value));
}

struct job {
    struct view id, run_id, token;
    uint64_t seq;
};

static void put_fence(struct bytes *b, const struct job *j, unsigned seq)
{
    put_int(b, seq, j->seq);
    put_view(b, seq + 1, j->token);
}

static void put_step(struct bytes *b, const struct job *j, const char *name)
{
    char id[256];

    (void)snprintf(id, sizeof(id), "%.*s:%s:0", (int)j->run_id.n, (const char *)j->run_id.p, name);
    put_view(b, 1, j->id);
    put_text(b, 2, id);
}

static void say_completed(struct conn *k, const struct job *j)
{
    static struct bytes b;

    put_view(&b, 1, j->id);
    put_struct(&b, 2, "done");
    put_fence(&b, j, 4);
    say(k, 7, &b);
}

static void work_steps(struct conn *k, const struct job *j)
{
    static const char *const names[] = { "reserve", "charge", "ship" };
    static struct bytes b;

    put_view(&b, 1, j->id);
    put_fence(&b, j, 3);
    say(k, 9, &b);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        put_step(&b, j, names[i]);
        put_struct(&b, 3, names[i]);
        put_fence(&b, j, 5);
        say(k, 4, &b);
    }
    say_completed(k, j);
}

/* data.at of the event, a Struct with this one member. */
static int64_t due_of(struct view job)
{
    struct view value = sub(sub(sub(sub(job, 4), 3), 1), 2), number = sub(value, 2);
    double at = 0;

    if (number.n == sizeof(at))
        memcpy(&at, number.p, sizeof(at));
    return (int64_t)at;
}

static void work_sleep(struct conn *k, const struct job *j, int64_t due, bool again)
{
    static struct bytes b, until, sleep;
    int64_t late = now_ms() - due;

    if (again) {
        if (g.late_n < LATE_MAX)
            g.late_ms[g.late_n++] = late > 0 ? (uint32_t)late : 0;
        say_completed(k, j);
        return;
    }
    until.n = sleep.n = 0;
    put_int(&until, 1, (uint64_t)due / 1000);
    put_int(&until, 2, (uint64_t)due % 1000 * 1000000);
    put_view(&sleep, 1, view_of(&until));
    put_step(&b, j, "nap");
    put_view(&b, 3, view_of(&sleep));
    put_fence(&b, j, 5);
    say(k, 6, &b);
}

static void work_wait(struct conn *k, const struct job *j, bool again)
{
    static struct bytes b, wait;

    if (again) {
        say_completed(k, j);
        return;
    }
    wait.n = 0;
    put_text(&wait, 1, "bench.wake");
    put_step(&b, j, "woken");
    put_view(&b, 4, view_of(&wait));
    put_fence(&b, j, 5);
    say(k, 6, &b);
}

static void on_job(struct conn *k, struct view m)
{
    struct job j = { .id = sub(m, 1), .run_id = sub(m, 2), .token = sub(m, 10) };
    struct view none;
    bool again = sub(m, 5).p != NULL;

    (void)field(m, 9, &j.seq, &none);
    g.jobs++;
    if (strcmp(g.mode, "sleep") == 0)
        work_sleep(k, &j, due_of(m), again);
    else if (strcmp(g.mode, "wait") == 0)
        work_wait(k, &j, again);
    else
        work_steps(k, &j);
}

static void on_message(struct conn *k, struct view m)
{
    struct view job = sub(m, 2);

    if (job.p != NULL) {
        on_job(k, job);
    } else if (sub(m, 1).p != NULL && !k->registered) {
        k->registered = true;
        g.registered++;
    }
}

static void say_register(struct conn *k)
{
    static struct bytes b;
    char id[64];

    (void)snprintf(id, sizeof(id), "bench-%d-%zu", (int)getpid(), (size_t)(k - g.conns));
    put_text(&b, 1, id);
    put_text(&b, 2, "bench");
    put_text(&b, 3, g.function);
    put_int(&b, 4, (uint64_t)g.slots);
    say(k, 1, &b);
}

/* ---- the session ----------------------------------------------------------------------------- */

static ssize_t on_send_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
    struct conn *k = user;
    size_t left = k->out.n - k->out.at;

    (void)s, (void)id, (void)flags, (void)source;
    if (left == 0) {
        k->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    n = left < n ? left : n;
    memcpy(to, k->out.p + k->out.at, n);
    k->out.at += n;
    return (ssize_t)n;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user)
{
    struct conn *k = user;
    struct bytes *in = &k->in;

    (void)s, (void)flags, (void)id;
    put(in, p, n);
    while (in->n - in->at >= 5) {
        const uint8_t *e = in->p + in->at;
        size_t size = (size_t)e[1] << 24 | (size_t)e[2] << 16 | (size_t)e[3] << 8 | e[4];

        if (in->n - in->at < 5 + size)
            break;
        if (e[0] != 0) {
            fprintf(stderr, "the stream ended: %.*s\n", (int)size, (const char *)e + 5);
            exit(1);
        }
        on_message(k, (struct view){ e + 5, size });
        in->at += 5 + size;
    }
    if (in->at > 0) {
        memmove(in->p, in->p + in->at, in->n - in->at);
        in->n -= in->at;
        in->at = 0;
    }
    return 0;
}

static void conn_write(struct conn *k)
{
    const uint8_t *p;
    ssize_t n;

    if (k->deferred && k->out.at < k->out.n) {
        k->deferred = false;
        (void)nghttp2_session_resume_data(k->session, k->stream);
    }
    while ((n = nghttp2_session_mem_send(k->session, &p)) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t wrote = write(k->fd, p + at, (size_t)(n - at));

            if (wrote < 0)
                die("write");
            at += wrote;
        }
    }
}

static void conn_read(struct conn *k)
{
    static uint8_t in[256 << 10];
    ssize_t n = read(k->fd, in, sizeof(in));

    if (n <= 0 && stopped)
        return;
    if (n <= 0)
        die("the server closed a connection");
    if (nghttp2_session_mem_recv(k->session, in, (size_t)n) < 0)
        die("HTTP/2");
}

#define HEADER(name, value)                                                                        \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,             \
            sizeof(value) - 1, NGHTTP2_NV_FLAG_NONE                                                \
    }

static void conn_begin(struct conn *k, nghttp2_session_callbacks *callbacks)
{
    static const nghttp2_nv head[] = {
        HEADER(":method", "POST"),
        HEADER(":scheme", "http"),
        HEADER(":authority", "127.0.0.1"),
        HEADER(":path", "/ironflow.v1.WorkerService/Connect"),
        HEADER("content-type", "application/connect+proto"),
        HEADER("connect-protocol-version", "1"),
    };
    nghttp2_settings_entry window = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW };
    nghttp2_data_provider body = { .read_callback = on_send_body };

    if (nghttp2_session_client_new(&k->session, callbacks, k) != 0)
        die("session");
    (void)nghttp2_submit_settings(k->session, NGHTTP2_FLAG_NONE, &window, 1);
    (void)nghttp2_session_set_local_window_size(k->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
    k->stream =
        nghttp2_submit_request(k->session, NULL, head, sizeof(head) / sizeof(*head), &body, NULL);
    say_register(k);
    conn_write(k);
}

static void conn_open(struct conn *k, nghttp2_session_callbacks *callbacks)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)g.port) };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = k };
    int one = 1;

    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    k->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (k->fd < 0 || connect(k->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        die("connect");
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(g.epoll, EPOLL_CTL_ADD, k->fd, &event) != 0)
        die("epoll_ctl");
    conn_begin(k, callbacks);
}

/* ---- */

static void turn(void)
{
    struct epoll_event events[256];
    int n = epoll_wait(g.epoll, events, 256, 1000);

    if (n < 0 && errno != EINTR)
        die("epoll_wait");
    for (int i = 0; i < n; i++) {
        conn_read(events[i].data.ptr);
        conn_write(events[i].data.ptr);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report(void)
{
    size_t n = g.late_n;

    printf("{\"jobs\":%zu,\"registered\":%zu", g.jobs, g.registered);
    if (n > 0) {
        qsort(g.late_ms, n, sizeof(*g.late_ms), by_value);
        printf(",\"woken\":%zu,\"late_p50_ms\":%u,\"late_p99_ms\":%u,\"late_max_ms\":%u", n,
               g.late_ms[n / 2], g.late_ms[n * 99 / 100], g.late_ms[n - 1]);
    }
    printf("}\n");
}

static bool arguments(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: stream PORT steps|sleep|wait|idle CONNECTIONS SLOTS FUNCTION\n");
        return false;
    }
    g.port = (int)strtol(argv[1], NULL, 10);
    g.mode = argv[2];
    g.conns_n = strtoul(argv[3], NULL, 10);
    g.slots = (int)strtol(argv[4], NULL, 10);
    g.function = argv[5];
    g.epoll = epoll_create1(0);
    g.conns = calloc(g.conns_n, sizeof(*g.conns));
    g.late_ms = calloc(LATE_MAX, sizeof(*g.late_ms));
    return g.epoll >= 0 && g.conns != NULL && g.late_ms != NULL;
}

int main(int argc, char **argv)
{
    nghttp2_session_callbacks *callbacks = NULL;

    if (!arguments(argc, argv) || nghttp2_session_callbacks_new(&callbacks) != 0)
        return 1;
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    signal(SIGTERM, on_signal);
    for (size_t i = 0; i < g.conns_n && !stopped; i++) {
        conn_open(&g.conns[i], callbacks);
        while (g.registered + 256 < i && !stopped) /* the server need not hear all at once */
            turn();
    }
    while (!stopped)
        turn();
    report();
    return 0;
}
