/* The mailbox: order, wake-ups, the end of a loop, and many senders at once. */
#include "rt/loop.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/sync.h"
#include "base/test.h"

#define SENDERS 4
#define EACH 20000

struct fixture {
    struct loop *loop;
    pthread_t thread;
    size_t next[SENDERS]; /* loop's thread: the number that must come next */
    size_t received;
};

struct note {
    struct loop_msg msg;
    struct fixture *f;
    size_t sender, number;
};

static void *run(void *arg)
{
    struct fixture *f = arg;

    loop_run(f->loop);
    return NULL;
}

static void on_note(struct loop_msg *m)
{
    struct note *n = (struct note *)m;
    struct fixture *f = n->f;

    must(loop_here(f->loop));
    must(n->number == f->next[n->sender]);
    f->next[n->sender]++;
    f->received++;
}

static struct note *notes_new(struct fixture *f, size_t sender, size_t count)
{
    struct note *notes = mem_zero(sizeof(*notes) * count);

    for (size_t i = 0; i < count; i++)
        notes[i] = (struct note){ { NULL, on_note }, f, sender, i };
    return notes;
}

static void messages_posted_before_stop_are_delivered_in_order(void **state)
{
    struct fixture f = { .loop = loop_new() };
    struct note *notes = notes_new(&f, 0, EACH);

    (void)state;
    for (size_t i = 0; i < EACH / 2; i++)
        loop_post(f.loop, &notes[i].msg); /* before it runs */
    assert_false(loop_here(f.loop));
    thread_start(&f.thread, "loop", run, &f);
    for (size_t i = EACH / 2; i < EACH; i++)
        loop_post(f.loop, &notes[i].msg);
    loop_stop(f.loop);
    thread_join(f.thread);
    assert_int_equal(f.received, EACH);
    mem_free(notes);
    loop_free(f.loop);
}

static void lists_keep_their_order(void **state)
{
    struct fixture f = { .loop = loop_new() };
    struct note *notes = notes_new(&f, 0, 100);

    (void)state;
    thread_start(&f.thread, "loop", run, &f);
    for (size_t i = 0; i < 100; i += 10) {
        for (size_t k = i; k < i + 9; k++)
            notes[k].msg.next = &notes[k + 1].msg;
        notes[i + 9].msg.next = NULL;
        loop_post_list(f.loop, &notes[i].msg);
    }
    loop_post_list(f.loop, NULL);
    loop_stop(f.loop);
    thread_join(f.thread);
    assert_int_equal(f.received, 100);
    mem_free(notes);
    loop_free(f.loop);
}

struct sender {
    struct fixture *f;
    struct note *notes;
    pthread_t thread;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;

    for (size_t i = 0; i < EACH; i++)
        loop_post(s->f->loop, &s->notes[i].msg);
    return NULL;
}

static void many_senders_lose_nothing(void **state)
{
    struct fixture f = { .loop = loop_new() };
    struct sender senders[SENDERS];

    (void)state;
    thread_start(&f.thread, "loop", run, &f);
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .f = &f, .notes = notes_new(&f, i, EACH) };
        thread_start(&senders[i].thread, "sender", send_all, &senders[i]);
    }
    for (size_t i = 0; i < SENDERS; i++)
        thread_join(senders[i].thread);
    loop_stop(f.loop);
    thread_join(f.thread);
    assert_int_equal(f.received, (size_t)SENDERS * EACH);
    for (size_t i = 0; i < SENDERS; i++)
        mem_free(senders[i].notes);
    loop_free(f.loop);
}

struct again {
    struct loop_msg msg;
    struct loop *loop;
    size_t left;
};

static void on_again(struct loop_msg *m)
{
    struct again *a = (struct again *)m;

    if (--a->left == 0)
        loop_stop(a->loop);
    else
        loop_post(a->loop, m);
}

static void message_may_be_posted_again_from_its_function(void **state)
{
    struct again a = { .msg = { NULL, on_again }, .loop = loop_new(), .left = 1000 };

    (void)state;
    loop_post(a.loop, &a.msg);
    loop_run(a.loop);
    assert_int_equal(a.left, 0);
    loop_free(a.loop);
}

static void on_drain_inside(struct loop_msg *m)
{
    struct note *n = (struct note *)m;

    loop_drain(n->f->loop); /* delivers the successors, in order */
    assert_int_equal(n->f->received, 10);
    loop_stop(n->f->loop);
}

static void drain_inside_a_message_keeps_the_order(void **state)
{
    struct fixture f = { .loop = loop_new() };
    struct note *notes = notes_new(&f, 0, 10);
    struct note first = { { NULL, on_drain_inside }, &f, 0, 0 };

    (void)state;
    loop_post(f.loop, &first.msg);
    for (size_t i = 0; i < 10; i++)
        loop_post(f.loop, &notes[i].msg);
    loop_run(f.loop);
    assert_int_equal(f.received, 10);
    mem_free(notes);
    loop_free(f.loop);
}

static void loop_that_never_ran_can_be_freed(void **state)
{
    struct fixture f = { .loop = loop_new() };
    struct note *notes = notes_new(&f, 0, 1);

    (void)state;
    loop_post(f.loop, &notes[0].msg);
    loop_free(f.loop);
    loop_free(NULL);
    mem_free(notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_posted_before_stop_are_delivered_in_order),
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(many_senders_lose_nothing),
        cmocka_unit_test(message_may_be_posted_again_from_its_function),
        cmocka_unit_test(drain_inside_a_message_keeps_the_order),
        cmocka_unit_test(loop_that_never_ran_can_be_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
