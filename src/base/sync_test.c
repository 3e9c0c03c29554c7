/* Locks, conditions and threads. */
#include "base/sync.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/test.h"

struct shared {
    struct mutex m;
    struct cond c;
    int count;
    bool go;
};

static void shared_init(struct shared *s)
{
    *s = (struct shared){ 0 };
    mutex_init(&s->m);
    cond_init(&s->c);
}

static void shared_done(struct shared *s)
{
    cond_done(&s->c);
    mutex_done(&s->m);
}

static void *count_up(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < 10000; i++) {
        mutex_lock(&s->m);
        s->count++;
        mutex_unlock(&s->m);
    }
    return NULL;
}

static void a_mutex_excludes(void **state)
{
    struct shared s;
    pthread_t t[4];

    (void)state;
    shared_init(&s);
    for (int i = 0; i < 4; i++)
        thread_start(&t[i], "count", count_up, &s);
    for (int i = 0; i < 4; i++)
        thread_join(t[i]);
    assert_int_equal(s.count, 40000);
    shared_done(&s);
}

static void *wait_for_go(void *arg)
{
    struct shared *s = arg;

    mutex_lock(&s->m);
    while (!s->go)
        cond_wait(&s->c, &s->m);
    s->count++;
    cond_signal(&s->c);
    mutex_unlock(&s->m);
    return NULL;
}

static void a_broadcast_wakes_all(void **state)
{
    struct shared s;
    pthread_t t[3];

    (void)state;
    shared_init(&s);
    for (int i = 0; i < 3; i++)
        thread_start(&t[i], "wait", wait_for_go, &s);
    mutex_lock(&s.m);
    s.go = true;
    cond_broadcast(&s.c);
    while (s.count < 3)
        assert_true(cond_wait_for(&s.c, &s.m, 60000));
    mutex_unlock(&s.m);
    for (int i = 0; i < 3; i++)
        thread_join(t[i]);
    shared_done(&s);
}

static void waiting_ends_after_the_timeout(void **state)
{
    struct shared s;
    int64_t start = clock_mono_ns();

    (void)state;
    shared_init(&s);
    mutex_lock(&s.m);
    while (cond_wait_for(&s.c, &s.m, 20))
        continue;
    assert_true(clock_mono_ns() - start >= 20 * 1000000);
    assert_false(cond_wait_for(&s.c, &s.m, 0));
    assert_false(cond_wait_for(&s.c, &s.m, -5));
    mutex_unlock(&s.m);
    shared_done(&s);
}

struct look {
    struct shared s;
    char name[16];
    bool term_blocked, segv_blocked;
};

static void *look_at_itself(void *arg)
{
    struct look *look = arg;
    sigset_t mask;

    mutex_lock(&look->s.m);
    while (!look->s.go)
        cond_wait(&look->s.c, &look->s.m);
    mutex_unlock(&look->s.m);
    (void)pthread_getname_np(pthread_self(), look->name, sizeof(look->name));
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    look->term_blocked = sigismember(&mask, SIGTERM) == 1;
    look->segv_blocked = sigismember(&mask, SIGSEGV) == 1;
    return NULL;
}

static void threads_have_names_and_no_signals(void **state)
{
    struct look look = { 0 };
    sigset_t mask;
    pthread_t t;

    (void)state;
    shared_init(&look.s);
    thread_start(&t, "fifteen-letters", look_at_itself, &look);
    mutex_lock(&look.s.m);
    look.s.go = true;
    cond_signal(&look.s.c);
    mutex_unlock(&look.s.m);
    thread_join(t);
    assert_string_equal(look.name, "fifteen-letters");
    assert_true(look.term_blocked);
    assert_false(look.segv_blocked);
    /* The starting thread keeps its own mask. */
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
    shared_done(&look.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_excludes),
        cmocka_unit_test(a_broadcast_wakes_all),
        cmocka_unit_test(waiting_ends_after_the_timeout),
        cmocka_unit_test(threads_have_names_and_no_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
