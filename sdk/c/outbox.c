/* What the worker has said and the server has not answered yet, in order. A message leaves when
 * it, or a later one, is answered; after a reconnect those that are left are handed over again. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "stream_priv.h"

#define ENVELOPE_HEAD 5
#define BYTES_MAX ((size_t)8 << 20)

bool outbox_init(struct outbox *o)
{
    *o = (struct outbox){ 0 };
    o->last = &o->first;
    pthread_mutex_init(&o->lock, NULL);
    o->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return o->wake_fd >= 0;
}

void outbox_done(struct outbox *o)
{
    outbox_settle(o, UINT64_MAX);
    if (o->wake_fd >= 0)
        (void)close(o->wake_fd);
    pthread_mutex_destroy(&o->lock);
}

/* ---- putting ---- */

static const char *copy(char **at, const char *z)
{
    size_t n = strlen(z) + 1;
    char *to = memcpy(*at, z, n);

    *at += n;
    return to;
}

/* One block of memory: the message, its envelope, the texts. */
static struct message *message_new(enum said kind, const struct job_ref *ref, const char *step_id,
                                   const struct text *json)
{
    size_t n = ENVELOPE_HEAD + json->n;
    struct message *m = mem_new(sizeof(*m) + n + strlen(ref->run_id) + strlen(ref->job_id) +
                                strlen(ref->fence) + (step_id != NULL ? strlen(step_id) : 0) + 4);
    char *at = (char *)(m + 1);

    m->kind = kind;
    m->n = n;
    m->bytes = at;
    for (int i = 4; i > 0; i--)
        at[i] = (char)(json->n >> (8 * (4 - i)) & 0xff);
    memcpy(at + ENVELOPE_HEAD, json->p, json->n);
    at += n;
    m->ref.run_id = copy(&at, ref->run_id);
    m->ref.job_id = copy(&at, ref->job_id);
    m->ref.fence = copy(&at, ref->fence);
    m->step_id = step_id != NULL ? copy(&at, step_id) : NULL;
    return m;
}

uint64_t outbox_put(struct outbox *o, enum said kind, const struct job_ref *ref,
                    const char *step_id, const struct text *json, bool wake)
{
    struct message *m = message_new(kind, ref, step_id, json);
    uint64_t no, one = 1;
    bool dozing;

    pthread_mutex_lock(&o->lock);
    no = m->no = ++o->put_no;
    *o->last = m;
    o->last = &m->next;
    if (o->unsent == NULL)
        o->unsent = m;
    o->bytes += m->n;
    dozing = o->dozing && wake;
    if (dozing)
        o->dozing = false;
    pthread_mutex_unlock(&o->lock);
    if (dozing && write(o->wake_fd, &one, sizeof(one)) < 0) {
        /* the counter is full: it is readable already */
    }
    return no;
}

/* ---- handing over ---- */

/* A careful outbox waits for the answer to what it sent. Under the lock. */
static bool may_send(const struct outbox *o)
{
    return o->unsent != NULL &&
           (o->first->no > o->careful_no || o->first == o->unsent || o->handed > 0);
}

size_t outbox_pull(struct outbox *o, char *to, size_t n)
{
    size_t used = 0;

    pthread_mutex_lock(&o->lock);
    while (used < n && may_send(o)) {
        size_t part = o->unsent->n - o->handed;

        part = part < n - used ? part : n - used;
        memcpy(to + used, o->unsent->bytes + o->handed, part);
        used += part;
        o->handed += part;
        if (o->handed < o->unsent->n)
            break;
        o->sent_no = o->unsent->no;
        o->sent_kind = o->unsent->kind;
        o->unsent = o->unsent->next;
        o->handed = 0;
    }
    pthread_mutex_unlock(&o->lock);
    return used;
}

bool outbox_doze(struct outbox *o)
{
    bool dozing;

    pthread_mutex_lock(&o->lock);
    dozing = o->dozing = !may_send(o);
    pthread_mutex_unlock(&o->lock);
    return dozing;
}

bool outbox_torn(struct outbox *o)
{
    bool torn;

    pthread_mutex_lock(&o->lock);
    torn = o->handed > 0;
    pthread_mutex_unlock(&o->lock);
    return torn;
}

bool outbox_unheard(struct outbox *o, uint64_t *no)
{
    bool unheard;

    pthread_mutex_lock(&o->lock);
    unheard = o->first != o->unsent && o->sent_kind != SAID_STEP;
    *no = o->sent_no;
    pthread_mutex_unlock(&o->lock);
    return unheard;
}

const struct message *outbox_first_sent(struct outbox *o)
{
    const struct message *m;

    pthread_mutex_lock(&o->lock);
    m = o->first != o->unsent ? o->first : NULL;
    pthread_mutex_unlock(&o->lock);
    return m;
}

/* ---- waiting ---- */

/* A thread that waits. Each has a condition of its own, so that an answer wakes nobody else. */
struct waiter {
    pthread_cond_t done;
    uint64_t no;
    struct waiter *next;
};

static bool is_done(const struct outbox *o, uint64_t no)
{
    if (no == OUTBOX_ALL)
        return o->first == NULL;
    return no == OUTBOX_ROOM ? o->bytes <= BYTES_MAX : o->settled_no >= no;
}

/* Under the lock. */
static void wake_waiters(const struct outbox *o)
{
    for (struct waiter *w = o->waiters; w != NULL; w = w->next)
        if (is_done(o, w->no))
            pthread_cond_signal(&w->done);
}

static void waiter_wait(struct outbox *o, struct waiter *w, int64_t ms)
{
    int64_t at = now_mono_ms() + ms;
    struct timespec end = { .tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000 };
    struct waiter **link;

    w->next = o->waiters;
    o->waiters = w;
    while (!is_done(o, w->no) && pthread_cond_timedwait(&w->done, &o->lock, &end) != ETIMEDOUT)
        ;
    for (link = &o->waiters; *link != w;)
        link = &(*link)->next;
    *link = w->next;
}

bool outbox_wait(struct outbox *o, uint64_t no, int64_t ms)
{
    struct waiter w = { .no = no };
    pthread_condattr_t attr;
    bool done;

    pthread_mutex_lock(&o->lock);
    done = is_done(o, no);
    if (!done) {
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&w.done, &attr);
        pthread_condattr_destroy(&attr);
        waiter_wait(o, &w, ms);
        pthread_cond_destroy(&w.done);
        done = is_done(o, no);
    }
    pthread_mutex_unlock(&o->lock);
    return done;
}

/* ---- answers ---- */

const struct message *outbox_step(struct outbox *o, const char *step_id)
{
    const struct message *m;

    pthread_mutex_lock(&o->lock);
    m = o->first;
    while (m != o->unsent && (m->step_id == NULL || strcmp(m->step_id, step_id) != 0))
        m = m->next;
    m = m != o->unsent ? m : NULL;
    pthread_mutex_unlock(&o->lock);
    return m;
}

void outbox_settle(struct outbox *o, uint64_t no)
{
    struct message *gone, *m;

    pthread_mutex_lock(&o->lock);
    gone = m = o->first;
    while (m != NULL && m->no <= no) {
        o->bytes -= m->n;
        o->settled_no = m->no;
        if (o->unsent == m) { /* nobody sends it any more */
            o->unsent = m->next;
            o->handed = 0;
        }
        m = m->next;
    }
    o->first = m;
    if (m == NULL)
        o->last = &o->first;
    wake_waiters(o);
    pthread_mutex_unlock(&o->lock);
    while (gone != m) {
        struct message *next = gone->next;

        free(gone);
        gone = next;
    }
}

void outbox_rewind(struct outbox *o, bool careful)
{
    pthread_mutex_lock(&o->lock);
    if (careful)
        for (const struct message *m = o->first; m != o->unsent; m = m->next)
            o->careful_no = m->no;
    o->unsent = o->first;
    o->handed = 0;
    pthread_mutex_unlock(&o->lock);
}

bool outbox_careful(struct outbox *o)
{
    bool careful;

    pthread_mutex_lock(&o->lock);
    careful = o->first != NULL && o->first->no <= o->careful_no;
    pthread_mutex_unlock(&o->lock);
    return careful;
}
