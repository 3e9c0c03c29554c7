/* Mutex, condition and threads; failures are bugs and abort. Locks live in base, rt, db, txn, bus.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mutex {
    pthread_mutex_t m;
};
struct cond {
    pthread_cond_t c;
};

void mutex_init(struct mutex *m);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);
void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
/* False when timeout_ms passed without a signal. */
bool cond_wait_for(struct cond *c, struct mutex *m, int64_t timeout_ms);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
/* Starts a named thread (at most 15 characters); stack of 1 MiB; signals are blocked in it. */
void thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg);
void thread_join(pthread_t t);
