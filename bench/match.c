/* The trigger match alone, against a registry of N functions of which eight in ten have an exact
 * name and the others a pattern. Prints microseconds of a match that finds one function, and of one
 * that finds none.
 *
 *   match N */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "engine/match.h"

enum { ROUNDS = 200000 };

static str_t trigger(struct arena *a, int i)
{
    switch (i % 10) {
    case 8:
        return str_printf(a, "team%d.*.done%d", i % 100, i);
    case 9:
        return str_printf(a, "team%d.thing%d.>", i % 100, i);
    default:
        return str_printf(a, "team%d.thing%d.done", i % 100, i);
    }
}

static struct registry *functions(struct arena *a, int n)
{
    struct function *fns = NEW_N(a, struct function, (size_t)n);

    for (int i = 0; i < n; i++) {
        fns[i] = (struct function){ .key = i + 1, .status = FN_ACTIVE, .version = 1 };
        fns[i].id = fns[i].name = str_printf(a, "f%d", i);
        fns[i].triggers = NEW_N(a, struct trigger, 1);
        fns[i].triggers_n = 1;
        fns[i].triggers[0].event = trigger(a, i);
    }
    return registry_new(fns, (size_t)n, 1);
}

/* Microseconds of one match. */
static double cost(const struct registry *r, int n, const char *end, size_t wanted)
{
    struct arena a;
    struct ctx c = { .arena = &a };
    int64_t spent = 0;

    arena_init(&a);
    for (int i = 0; i < ROUNDS; i++) {
        int f = (int)((int64_t)i * 7919 % n) / 10 * 10; /* those are exact, and everywhere */
        struct event e = { 0 };
        const struct function **found = NULL;
        size_t found_n = 0;
        char text[64];
        int64_t from;

        (void)snprintf(text, sizeof(text), "team%d.thing%d.%s", f % 100, f, end);
        e.name = str_from(text);
        from = clock_mono_ns();
        registry_match(&c, r, &e, &found, &found_n);
        spent += clock_mono_ns() - from;
        if (found_n != wanted) {
            fprintf(stderr, "match: %s starts %zu functions\n", text, found_n);
            exit(1);
        }
        arena_reset(&a);
    }
    arena_done(&a);
    return (double)spent / ROUNDS / 1000;
}

int main(int argc, char **argv)
{
    struct registry *r;
    struct arena a;
    int n = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;

    if (n < 10)
        return 1;
    arena_init(&a);
    r = functions(&a, n);
    printf("{\"hit_us\":%.3f,", cost(r, n, "done", 1));
    printf("\"none_us\":%.3f}\n", cost(r, n, "failed", 0));
    registry_free(r);
    arena_done(&a);
    return 0;
}
