/* Maps against an array as the model. */
#include "base/map.h"

#include "base/arena.h"
#include "base/rng.h"
#include "base/test.h"

#define KEYS 512

static void an_empty_map_has_nothing(void **state)
{
    struct map m = { 0 };
    size_t i = 0;

    (void)state;
    assert_null(map_get(&m, 1));
    assert_null(map_del(&m, 1));
    assert_null(map_get_str(&m, S("a")));
    assert_null(map_del_str(&m, S("a")));
    assert_null(map_next(&m, &i));
    map_done(&m);
}

static void put_replaces(void **state)
{
    struct map m = { 0 };
    int a, b;

    (void)state;
    assert_null(map_put(&m, 0, &a));
    assert_ptr_equal(map_put(&m, 0, &b), &a);
    assert_ptr_equal(map_get(&m, 0), &b);
    assert_int_equal(m.n, 1);
    assert_ptr_equal(map_del(&m, 0), &b);
    assert_null(map_get(&m, 0));
    assert_int_equal(m.n, 0);
    map_done(&m);
}

/* Compared with an array, over enough random steps that every probe chain is broken somewhere. */
static void it_behaves_like_an_array(void **state)
{
    static char values[2];
    void *model[KEYS] = { 0 };
    struct map m = { 0 };
    struct rng r;
    size_t n = 0;

    (void)state;
    rng_seed(&r, 42);
    for (int step = 0; step < 200000; step++) {
        uint64_t key = rng_below(&r, KEYS);
        void *value = &values[rng_below(&r, 2)];

        /* Phases that mostly fill and mostly empty it. */
        if (rng_below(&r, 10) < (step / 5000 % 2 == 0 ? 7u : 3u)) {
            assert_ptr_equal(map_put(&m, key << 22, value), model[key]);
            n += model[key] == NULL;
            model[key] = value;
        } else {
            assert_ptr_equal(map_del(&m, key << 22), model[key]);
            n -= model[key] != NULL;
            model[key] = NULL;
        }
        key = rng_below(&r, KEYS);
        assert_ptr_equal(map_get(&m, key << 22), model[key]);
        assert_int_equal(m.n, n);
    }
    for (uint64_t key = 0; key < KEYS; key++)
        assert_ptr_equal(map_get(&m, key << 22), model[key]);
    map_done(&m);
}

static void string_keys(void **state)
{
    struct arena a;
    struct map m = { 0 };
    str_t names[1000];

    (void)state;
    arena_init(&a);
    for (int i = 0; i < 1000; i++) {
        names[i] = str_printf(&a, "name-%d", i);
        assert_null(map_put_str(&m, names[i], &names[i]));
    }
    assert_null(map_put_str(&m, STR_NULL, &a));
    assert_ptr_equal(map_get_str(&m, S("")), &a);
    for (int i = 0; i < 1000; i += 2)
        assert_ptr_equal(map_del_str(&m, str_printf(&a, "name-%d", i)), &names[i]);
    for (int i = 0; i < 1000; i++) {
        void *found = map_get_str(&m, str_printf(&a, "name-%d", i));

        assert_ptr_equal(found, i % 2 == 0 ? NULL : &names[i]);
    }
    assert_int_equal(m.n, 501);
    map_done(&m);
    arena_done(&a);
}

static void iteration_sees_each_once(void **state)
{
    struct map m = { 0 };
    int seen[100] = { 0 };
    size_t count = 0;
    int *v;

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        map_put(&m, i, &seen[i]);
    for (size_t i = 0; (v = map_next(&m, &i)) != NULL; count++)
        (*v)++;
    assert_int_equal(count, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing), cmocka_unit_test(put_replaces),
        cmocka_unit_test(it_behaves_like_an_array), cmocka_unit_test(string_keys),
        cmocka_unit_test(iteration_sees_each_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
