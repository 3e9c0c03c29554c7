/* Allocation, reuse and growth of arenas. */
#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

#include "base/test.h"

static void allocations_are_aligned_and_apart(void **state)
{
    struct arena a;
    unsigned char *p[3000];

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < 3000; i++) {
        p[i] = arena_alloc(&a, i % 97 + 1);
        assert_int_equal((uintptr_t)p[i] % alignof(max_align_t), 0);
        memset(p[i], (int)(i & 255), i % 97 + 1);
    }
    for (size_t i = 0; i < 3000; i++) {
        for (size_t k = 0; k < i % 97 + 1; k++)
            assert_int_equal(p[i][k], i & 255);
    }
    arena_done(&a);
}

static void nothing_is_an_address(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a);
    assert_non_null(arena_alloc(&a, 0));
    assert_ptr_not_equal(arena_alloc(&a, 0), arena_alloc(&a, 0));
    arena_done(&a);
}

static void zero_clears_reused_memory(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a);
    for (int round = 0; round < 3; round++) {
        unsigned char *p = arena_zero(&a, 500);

        for (size_t i = 0; i < 500; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, 500);
        arena_reset(&a);
    }
    arena_done(&a);
}

static void reset_keeps_one_chunk(void **state)
{
    struct arena a;
    void *first;

    (void)state;
    arena_init(&a);
    first = arena_alloc(&a, 100);
    assert_true(a.used >= 100);
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    arena_done(&a);
    assert_null(a.head);
    /* It may be used again. */
    assert_non_null(arena_alloc(&a, 100));
    arena_done(&a);
}

static void reset_gives_huge_chunks_back(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a);
    memset(arena_alloc(&a, 8 << 20), 1, 8 << 20);
    arena_reset(&a);
    assert_null(a.head);
    memset(arena_alloc(&a, 10), 1, 10);
    arena_done(&a);
}

static void a_large_block_leaves_the_chunk_in_use(void **state)
{
    struct arena a;
    char *at;

    (void)state;
    arena_init(&a);
    (void)arena_alloc(&a, 16);
    at = a.at;
    memset(arena_alloc(&a, 1 << 20), 1, 1 << 20);
    assert_ptr_equal(a.at, at);
    assert_ptr_equal(arena_alloc(&a, 16), at);
    arena_done(&a);
}

static void extend_works_on_the_newest_only(void **state)
{
    struct arena a;
    char *p, *q;

    (void)state;
    arena_init(&a);
    p = arena_alloc(&a, 20);
    assert_true(arena_extend(&a, p, 20, 200));
    memset(p, 1, 200);
    q = arena_alloc(&a, 20);
    assert_true(q >= p + 200);
    assert_false(arena_extend(&a, p, 200, 300));
    assert_false(arena_extend(&a, q, 20, 1 << 20));
    assert_true(arena_extend(&a, q, 20, 20));
    arena_done(&a);
}

static void new_gives_typed_cleared_memory(void **state)
{
    struct point {
        int x, y;
    };
    struct arena a;
    struct point *many;

    (void)state;
    arena_init(&a);
    assert_int_equal(NEW(&a, struct point)->y, 0);
    many = NEW_N(&a, struct point, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(many[i].x + many[i].y, 0);
    arena_done(&a);
}

struct trace {
    char text[8];
    size_t n;
};

static struct trace trace;

static void note(void *arg)
{
    trace.text[trace.n++] = *(const char *)arg;
}

static void defers_run_once_newest_first(void **state)
{
    struct arena a;

    (void)state;
    trace = (struct trace){ 0 };
    arena_init(&a);
    arena_defer(&a, note, arena_zero(&a, 1));
    arena_reset(&a);
    assert_int_equal(trace.n, 1);
    for (const char *p = "abc"; *p != '\0'; p++) {
        char *copy = arena_alloc(&a, 1);

        *copy = *p;
        arena_defer(&a, note, copy);
    }
    arena_done(&a);
    assert_int_equal(trace.n, 4);
    assert_memory_equal(trace.text + 1, "cba", 3);
    arena_done(&a);
    assert_int_equal(trace.n, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(nothing_is_an_address),
        cmocka_unit_test(zero_clears_reused_memory),
        cmocka_unit_test(reset_keeps_one_chunk),
        cmocka_unit_test(reset_gives_huge_chunks_back),
        cmocka_unit_test(a_large_block_leaves_the_chunk_in_use),
        cmocka_unit_test(extend_works_on_the_newest_only),
        cmocka_unit_test(new_gives_typed_cleared_memory),
        cmocka_unit_test(defers_run_once_newest_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
