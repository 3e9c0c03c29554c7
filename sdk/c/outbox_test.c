/* What is said again after a reconnect, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stream_priv.h"

static const struct job_ref ref = { "run_1", "job_1", "" };

static uint64_t put(struct outbox *o, enum said kind, const char *step_id, const char *z)
{
    struct text t = { 0 };
    uint64_t no;

    text_addz(&t, z);
    no = outbox_put(o, kind, &ref, step_id, &t, true);
    text_done(&t);
    return no;
}

/* What is handed over now, without the heads of the envelopes. */
static void pulls(struct outbox *o, const char *want)
{
    char bytes[256], got[256];
    size_t n = outbox_pull(o, bytes, sizeof(bytes)), at = 0, used = 0;

    while (at < n) {
        size_t size = (size_t)(unsigned char)bytes[at + 4];

        memcpy(got + used, bytes + at + 5, size);
        used += size;
        at += 5 + size;
    }
    got[used] = '\0';
    assert_string_equal(got, want);
}

static void what_is_not_answered_is_said_again(void **state)
{
    struct outbox o;
    uint64_t no;

    (void)state;
    assert_true(outbox_init(&o));
    put(&o, SAID_PLAIN, NULL, "a");
    put(&o, SAID_STEP, "s", "b");
    pulls(&o, "ab");
    assert_false(outbox_unheard(&o, &no)); /* b has an answer of its own */
    put(&o, SAID_YIELD, "y", "c");
    put(&o, SAID_PLAIN, NULL, "d");
    pulls(&o, "cd");
    assert_true(outbox_unheard(&o, &no));
    assert_int_equal(no, 4);
    outbox_settle(&o, outbox_step(&o, "s")->no); /* answers a, too */
    assert_null(outbox_step(&o, "s"));
    outbox_rewind(&o, false);
    assert_null(outbox_first_sent(&o));
    put(&o, SAID_PLAIN, NULL, "e");
    pulls(&o, "cde");
    outbox_settle(&o, 5);
    assert_false(outbox_unheard(&o, &no));
    assert_true(outbox_wait(&o, 5, 0));
    assert_false(outbox_wait(&o, 6, 0));
    outbox_done(&o);
}

static void a_message_that_was_torn_begins_again(void **state)
{
    struct outbox o;
    char part[3];

    (void)state;
    assert_true(outbox_init(&o));
    put(&o, SAID_PLAIN, NULL, "a");
    assert_int_equal(outbox_pull(&o, part, sizeof(part)), 3);
    assert_true(outbox_torn(&o));
    outbox_rewind(&o, false);
    assert_false(outbox_torn(&o));
    pulls(&o, "a");
    outbox_done(&o);
}

static void suspects_go_one_by_one(void **state)
{
    struct outbox o;

    (void)state;
    assert_true(outbox_init(&o));
    put(&o, SAID_PLAIN, NULL, "a");
    put(&o, SAID_PLAIN, NULL, "b");
    pulls(&o, "ab");
    put(&o, SAID_PLAIN, NULL, "c");
    outbox_rewind(&o, true);
    assert_true(outbox_careful(&o));
    pulls(&o, "a");
    pulls(&o, "");
    assert_true(outbox_doze(&o));
    outbox_settle(&o, 1);
    assert_false(outbox_doze(&o));
    pulls(&o, "b");
    outbox_settle(&o, 2);
    assert_false(outbox_careful(&o)); /* c was never sent with them */
    pulls(&o, "c");
    outbox_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_answered_is_said_again),
        cmocka_unit_test(a_message_that_was_torn_begins_again),
        cmocka_unit_test(suspects_go_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
