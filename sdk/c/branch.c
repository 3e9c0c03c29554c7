/* Branches of a run: parallel and map. They run on threads that live as long as the call, the
 * caller's among them. A branch is a run of its own to its handler; what it completes is recorded
 * in the root at once, whatever becomes of its siblings. */
#include <stdio.h>
#include <stdlib.h>

#include "worker_priv.h"

#define AT_ONCE 16

struct fan {
    struct ironflow_run *parent;
    const char *name, *scope;               /* scope: without the number of the branch */
    const struct ironflow_branch *branches; /* or map */
    const struct ironflow_map *map;
    size_t count;
    const char **outputs;
    atomic_size_t next;
    atomic_bool failed; /* no further branch starts */
};

/* One thread and what came of its branches. */
struct lane {
    struct fan *fan;
    pthread_t thread;
    struct ironflow_run run; /* of the branch that runs */
    char *yield;             /* the last one */
    uint64_t yield_at;
    int rc; /* IRONFLOW_OK, or the worst failure */
    size_t failed;
    char error_code[64], error_text[1024];
};

static void branch_begin(struct lane *l, size_t index)
{
    struct ironflow_run *run = &l->run;
    const struct ironflow_run *parent = l->fan->parent;
    struct text t = { 0 };

    text_addz(&t, l->fan->scope);
    text_char(&t, ':');
    text_i64(&t, (int64_t)index);
    run->worker = parent->worker;
    run->root = parent->root;
    run->function = parent->function;
    run->run_id = parent->run_id;
    run->job_id = parent->job_id;
    run->input = parent->input;
    run->event = parent->event;
    run->attempt = parent->attempt;
    run->scope = pool_dup(&run->pool, t.p, t.n);
    run->output = NULL;
    run->yield = NULL;
    run->error_set = false;
    text_done(&t);
}

/* A failure for good before one that may be tried again, then the one of the first branch. */
static bool fails_before(int rc, size_t index, int other_rc, size_t other)
{
    if (rc == IRONFLOW_OK || other_rc == IRONFLOW_OK)
        return other_rc == IRONFLOW_OK && rc != IRONFLOW_OK;
    return rc != other_rc ? rc == IRONFLOW_FAIL : index < other;
}

static void branch_failed(struct lane *l, size_t index, int rc)
{
    struct ironflow_run *run = &l->run;

    rc = rc == IRONFLOW_RETRY || rc == IRONFLOW_UNREACHABLE ? IRONFLOW_RETRY : IRONFLOW_FAIL;
    if (!run->error_set)
        ironflow_run_error(run, NULL, "branch %zu of \"%s\" failed", index, l->fan->name);
    atomic_store(&l->fan->failed, true);
    if (!fails_before(rc, index, l->rc, l->failed))
        return;
    l->rc = rc;
    l->failed = index;
    memcpy(l->error_code, run->error_code, sizeof(l->error_code));
    memcpy(l->error_text, run->error_text, sizeof(l->error_text));
}

static void branch_end(struct lane *l, size_t index, int rc)
{
    struct ironflow_run *run = &l->run;

    if (rc == IRONFLOW_LOST)
        atomic_store(&run->root->lost, true);
    if (atomic_load(&run->root->lost))
        return;
    if (run->yield != NULL) {
        if (run->yield_at > l->yield_at) {
            l->yield = run->yield;
            l->yield_at = run->yield_at;
        }
        return;
    }
    if (rc == IRONFLOW_YIELD)
        ironflow_run_error(run, "INVALID_YIELD", "branch %zu of \"%s\" yielded without a wait",
                           index, l->fan->name);
    if (rc != IRONFLOW_OK)
        branch_failed(l, index, rc);
    else if (l->fan->outputs != NULL)
        l->fan->outputs[index] = run->output != NULL ? run->output : "null";
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    struct fan *f = l->fan;

    while (!atomic_load(&f->failed) && !atomic_load(&f->parent->root->lost)) {
        size_t i = atomic_fetch_add(&f->next, 1);
        int rc;

        if (i >= f->count)
            break;
        branch_begin(l, i);
        rc = f->map != NULL ? f->map->fn(&l->run, i, f->map->arg)
                            : f->branches[i].fn(&l->run, f->branches[i].arg);
        branch_end(l, i, rc);
    }
    return NULL;
}

/* What came of all: lost, then the last yield, then the first failure. */
static int fan_join(struct fan *f, struct lane *lanes, int n)
{
    struct ironflow_run *run = f->parent;
    const struct lane *failed = NULL, *yielded = NULL;

    run->forked = false;
    for (int i = 0; i < n; i++) {
        struct lane *l = &lanes[i];

        pool_join(&run->pool, &l->run.pool);
        conn_free(l->run.conn);
        if (l->yield != NULL && (yielded == NULL || l->yield_at > yielded->yield_at))
            yielded = l;
        if (fails_before(l->rc, l->failed, failed != NULL ? failed->rc : IRONFLOW_OK,
                         failed != NULL ? failed->failed : 0))
            failed = l;
    }
    if (atomic_load(&run->root->lost))
        return IRONFLOW_LOST;
    if (yielded != NULL) {
        run->yield = yielded->yield;
        run->yield_at = yielded->yield_at;
        return IRONFLOW_YIELD;
    }
    if (failed == NULL)
        return IRONFLOW_OK;
    ironflow_run_error(run, failed->error_code, "%s", failed->error_text);
    return failed->rc;
}

static int fan_run(struct fan *f, int at_once)
{
    int n = 1, most = at_once > 0 ? at_once : AT_ONCE, rc;
    struct lane *lanes;

    if ((size_t)most > f->count)
        most = (int)f->count;
    lanes = mem_new((size_t)most * sizeof(*lanes));
    f->parent->forked = true;
    for (int i = 0; i < most; i++)
        lanes[i].fan = f;
    while (n < most && pthread_create(&lanes[n].thread, NULL, lane_main, &lanes[n]) == 0)
        n++; /* when there are no more threads, fewer do it */
    (void)lane_main(&lanes[0]);
    for (int i = 1; i < n; i++)
        pthread_join(lanes[i].thread, NULL);
    rc = fan_join(f, lanes, n);
    free(lanes);
    return rc;
}

static int fan_begin(struct fan *f, int at_once)
{
    struct ironflow_run *run = f->parent;
    int rc = run_blocked(run);
    struct text t = { 0 };

    if (rc != IRONFLOW_OK)
        return rc;
    for (size_t i = 0; f->outputs != NULL && i < f->count; i++)
        f->outputs[i] = NULL;
    if (f->count == 0)
        return IRONFLOW_OK;
    run_put_name(&t, run, f->name);
    f->scope = pool_dup(&run->pool, t.p, t.n);
    text_done(&t);
    return fan_run(f, at_once);
}

int ironflow_parallel(struct ironflow_run *run, const char *name,
                      const struct ironflow_branch *branches, size_t count, const char **outputs)
{
    struct fan f = {
        .parent = run, .name = name, .branches = branches, .count = count, .outputs = outputs
    };

    return fan_begin(&f, 0);
}

int ironflow_map(struct ironflow_run *run, const char *name, const struct ironflow_map *map,
                 const char **outputs)
{
    struct fan f = {
        .parent = run, .name = name, .map = map, .count = map->count, .outputs = outputs
    };

    return fan_begin(&f, map->max_concurrent);
}
