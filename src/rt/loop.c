/* The loop: libuv plus a mailbox. Senders push onto a lock-free stack; the loop's thread takes all
 * of it with one exchange and turns it round, so the messages of one sender stay in order. Only the
 * push that finds the stack empty wakes the loop. The mutex guards that wake-up against the end of
 * the loop, nothing else. */
#include "rt/loop.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/sync.h"

struct loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_prepare_t prepare;
    _Atomic(struct loop_msg *) inbox; /* newest first */
    struct loop_msg *ready;           /* taken, oldest first; the loop's thread */
    atomic_bool stop;
    atomic_bool running;
    pthread_t thread; /* valid while running */
    pthread_t own;    /* of loop_spawn */
    struct mutex wake_lock;
    bool closed; /* under wake_lock: the async handle is gone */
};

static void loop_close_handles(struct loop *l)
{
    mutex_lock(&l->wake_lock);
    bool first = !l->closed;
    l->closed = true;
    mutex_unlock(&l->wake_lock);
    if (first) {
        uv_close((uv_handle_t *)&l->async, NULL);
        uv_close((uv_handle_t *)&l->prepare, NULL);
    }
}

static void on_wake(uv_async_t *handle)
{
    struct loop *l = handle->data;
    bool stop = atomic_load(&l->stop);

    loop_drain(l);
    if (stop)
        loop_close_handles(l);
}

static void on_prepare(uv_prepare_t *handle)
{
    loop_drain(handle->data);
}

struct loop *loop_new(void)
{
    struct loop *l = mem_zero(sizeof(*l));

    mutex_init(&l->wake_lock);
    must(uv_loop_init(&l->uv) == 0);
    must(uv_async_init(&l->uv, &l->async, on_wake) == 0);
    must(uv_prepare_init(&l->uv, &l->prepare) == 0);
    must(uv_prepare_start(&l->prepare, on_prepare) == 0);
    uv_unref((uv_handle_t *)&l->prepare);
    l->async.data = l;
    l->prepare.data = l;
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    must(!atomic_load(&l->running));
    loop_close_handles(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    must(uv_loop_close(&l->uv) == 0);
    mutex_done(&l->wake_lock);
    mem_free(l);
}

void loop_run(struct loop *l)
{
    l->thread = pthread_self();
    atomic_store(&l->running, true);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    atomic_store(&l->running, false);
}

static void *loop_main(void *arg)
{
    loop_run(arg);
    return NULL;
}

void loop_spawn(struct loop *l, const char *name)
{
    thread_start(&l->own, name, loop_main, l);
}

void loop_join(struct loop *l)
{
    loop_stop(l);
    thread_join(l->own);
}

static void loop_wake(struct loop *l)
{
    mutex_lock(&l->wake_lock);
    if (!l->closed)
        uv_async_send(&l->async);
    mutex_unlock(&l->wake_lock);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stop, true);
    loop_wake(l);
}

void loop_post(struct loop *l, struct loop_msg *m)
{
    m->next = NULL;
    loop_post_list(l, m);
}

void loop_post_list(struct loop *l, struct loop_msg *first)
{
    struct loop_msg *top = NULL, *bottom = first, *old;

    while (first != NULL) { /* turned round, as the inbox has the newest first */
        struct loop_msg *next = first->next;

        first->next = top;
        top = first;
        first = next;
    }
    if (top == NULL)
        return;
    old = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    do {
        bottom->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&l->inbox, &old, top, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (old == NULL)
        loop_wake(l);
}

static void loop_take(struct loop *l)
{
    struct loop_msg *m = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acq_rel);

    while (m != NULL) {
        struct loop_msg *next = m->next;

        m->next = l->ready;
        l->ready = m;
        m = next;
    }
}

void loop_drain(struct loop *l)
{
    if (l->ready == NULL) { /* else a message's function called us: go on with its successors */
        if (atomic_load_explicit(&l->inbox, memory_order_acquire) == NULL)
            return;
        loop_take(l);
    }
    while (l->ready != NULL) {
        struct loop_msg *m = l->ready;

        l->ready = m->next; /* before fn, which may post m again */
        m->next = NULL;
        m->fn(m);
    }
}

bool loop_here(const struct loop *l)
{
    return atomic_load_explicit(&l->running, memory_order_acquire) &&
           pthread_equal(l->thread, pthread_self()) != 0;
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}
