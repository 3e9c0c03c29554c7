/* pthreads whose failures abort. */
#include "base/sync.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/must.h"

#define STACK_BYTES ((size_t)1 << 20)

void mutex_init(struct mutex *m)
{
    must(pthread_mutex_init(&m->m, NULL) == 0);
}

void mutex_done(struct mutex *m)
{
    must(pthread_mutex_destroy(&m->m) == 0);
}

void mutex_lock(struct mutex *m)
{
    must(pthread_mutex_lock(&m->m) == 0);
}

void mutex_unlock(struct mutex *m)
{
    must(pthread_mutex_unlock(&m->m) == 0);
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;

    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&c->c, &attr) == 0);
    must(pthread_condattr_destroy(&attr) == 0);
}

void cond_done(struct cond *c)
{
    must(pthread_cond_destroy(&c->c) == 0);
}

void cond_wait(struct cond *c, struct mutex *m)
{
    must(pthread_cond_wait(&c->c, &m->m) == 0);
}

bool cond_wait_for(struct cond *c, struct mutex *m, int64_t timeout_ms)
{
    const int64_t year_ms = (int64_t)365 * 24 * 3600 * 1000;
    struct timespec until = { 0 };
    int rc;

    if (timeout_ms < 0)
        timeout_ms = 0;
    if (timeout_ms > year_ms)
        timeout_ms = year_ms;
    must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    rc = pthread_cond_timedwait(&c->c, &m->m, &until);
    must(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void cond_signal(struct cond *c)
{
    must(pthread_cond_signal(&c->c) == 0);
}

void cond_broadcast(struct cond *c)
{
    must(pthread_cond_broadcast(&c->c) == 0);
}

void thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
    pthread_attr_t attr;
    sigset_t all, before;

    must(strlen(name) <= 15);
    must(pthread_attr_init(&attr) == 0);
    must(pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
    /* Faults of the thread itself stay deliverable; all else is the main thread's to handle. */
    must(sigfillset(&all) == 0);
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        must(sigdelset(&all, faults[i]) == 0);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    must(pthread_create(t, &attr, fn, arg) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    must(pthread_attr_destroy(&attr) == 0);
    /* Only for debuggers: a thread that has ended already has no name to set. */
    (void)pthread_setname_np(*t, name);
}

void thread_join(pthread_t t)
{
    must(pthread_join(t, NULL) == 0);
}
