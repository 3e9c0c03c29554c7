/* Tests: a run that has just been made, with its job, and time under the test's hand. */
#pragma once

#include "base/test.h"
#include "engine/operator.h"
#include "engine/run.h"

#define NOW 1767225600000

struct world {
    struct arena arena;
    struct rng rng;
    struct id_gen ids;
    struct ctx c;
    struct run run;
    struct job job;
    struct run_move move;
    enum pause_answer answer;
};

static inline int setup(void **state)
{
    static const struct function f = {
        .key = 6, .version = 2, .mode = MODE_PULL, .retry = { 3, 1000, 300000, 2.0 }
    };
    static const struct event e = { .id = 5 };
    struct world *w = test_calloc(1, sizeof(*w));

    arena_init(&w->arena);
    rng_seed(&w->rng, 1);
    w->c = (struct ctx){ .arena = &w->arena, .rng = &w->rng, .ids = &w->ids, .now_ms = NOW };
    run_create(&w->c, &f, &e, &w->run, &w->job);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;

    arena_done(&w->arena);
    test_free(w);
    return 0;
}

static inline void claim(struct world *w)
{
    assert_int_equal(run_claim(&w->c, &w->run, &w->job, 77, w->c.now_ms + 30000, &w->move), ERR_OK);
}
