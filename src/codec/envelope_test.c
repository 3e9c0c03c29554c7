/* Connect's envelopes. */
#include "codec/envelope.h"

#include "base/arena.h"
#include "base/must.h"
#include "base/test.h"

#define MAX 1000

static struct arena arena;

static void put(struct buf *b, int flags, str_t payload)
{
    size_t from = envelope_begin(b, flags);

    buf_append(b, payload);
    envelope_end(b, from);
}

static void a_message_is_found_and_its_size_told(void **state)
{
    struct envelope e;
    str_t two = S("\0\0\0\0\3abc\0\0\0\0\0");

    (void)state;
    assert_int_equal(envelope_read(two, MAX, &e), ENVELOPE_MESSAGE);
    assert_str(e.payload, "abc");
    assert_int_equal(e.size, 8);
    assert_int_equal(envelope_read(str_slice(two, 8, two.n), MAX, &e), ENVELOPE_MESSAGE);
    assert_int_equal(e.payload.n, 0);
    assert_int_equal(e.size, ENVELOPE_HEAD);
}

/* Whatever is missing at its end, an envelope is not whole, and never read beyond. */
static void cut_anywhere_it_is_not_whole(void **state)
{
    str_t text = S("\0\0\0\0\3abc");
    struct envelope e = { .size = 77 };

    (void)state;
    for (size_t n = 0; n < text.n; n++) {
        char *copy = arena_alloc(&arena, n + 1);

        memcpy(copy, text.p, n);
        assert_int_equal(envelope_read((str_t){ copy, n }, MAX, &e), ENVELOPE_PART);
        assert_int_equal(envelope_size((str_t){ copy, n }), n < ENVELOPE_HEAD ? 0 : text.n);
    }
    assert_int_equal(e.size, 77);
}

static void flags_and_length_are_judged_by_the_head(void **state)
{
    static const struct {
        str_t bytes;
        enum envelope_found want;
    } cases[] = {
        { { "\1\0\0\0\1", 5 }, ENVELOPE_COMPRESSED },
        { { "\3\0\0\0\1", 5 }, ENVELOPE_COMPRESSED }, /* compressed end */
        { { "\2\0\0\0\2", 5 }, ENVELOPE_UNKNOWN },    /* only replies have an end */
        { { "\4\0\0\0\1", 5 }, ENVELOPE_UNKNOWN },
        { { "\x80\0\0\0\1", 5 }, ENVELOPE_UNKNOWN },
        { { "\0\0\0\3\xe8", 5 }, ENVELOPE_PART }, /* 1000, the most */
        { { "\0\0\0\3\xe9", 5 }, ENVELOPE_LARGE },
        { { "\0\xff\xff\xff\xff", 5 }, ENVELOPE_LARGE },
        { { "\1\xff\xff\xff\xff", 5 }, ENVELOPE_COMPRESSED },
        { { "\1\0\0\0", 4 }, ENVELOPE_PART }, /* no word before the head is whole */
    };
    struct envelope e;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(envelope_read(cases[i].bytes, MAX, &e), cases[i].want);
    assert_int_equal(envelope_size(S("\0\xff\xff\xff\xff")), (size_t)UINT32_MAX + ENVELOPE_HEAD);
}

static void what_is_written_is_read_again(void **state)
{
    static const size_t sizes[] = { 0, 1, 255, 256, 65535, 65536, 70000 };
    char *text = arena_alloc(&arena, 70000);
    struct envelope e;
    struct buf b;
    str_t rest;

    (void)state;
    memset(text, 'x', 70000);
    buf_init_arena(&b, &arena, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        put(&b, 0, (str_t){ text, sizes[i] });
    put(&b, ENVELOPE_FLAG_END, S("{}"));
    rest = buf_str(&b);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_int_equal(envelope_read(rest, 70000, &e), ENVELOPE_MESSAGE);
        assert_int_equal(e.payload.n, sizes[i]);
        rest = str_slice(rest, e.size, rest.n);
    }
    assert_true(str_eq(rest, S("\2\0\0\0\2{}")));
}

static void a_full_buffer_stays_full(void **state)
{
    struct buf b;

    (void)state;
    buf_init_arena(&b, &arena, 8);
    put(&b, 0, S("abcd"));
    assert_true(b.full);
    put(&b, 0, S(""));
    assert_true(b.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_found_and_its_size_told),
        cmocka_unit_test(cut_anywhere_it_is_not_whole),
        cmocka_unit_test(flags_and_length_are_judged_by_the_head),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_full_buffer_stays_full),
    };
    int failed;

    arena_init(&arena);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
