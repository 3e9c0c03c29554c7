/* Compensations: what undoes the steps of a run that fails for good, the last one first. They are
 * steps of type compensate, remembered like others, so that each completes once. */
#include <stdio.h>

#include "worker_priv.h"

struct compensation {
    const char *id, *name, *step;
    ironflow_step_fn fn;
    void *arg;
    struct compensation *next; /* registered before */
};

int ironflow_compensate(struct ironflow_run *run, const char *step, ironflow_step_fn fn, void *arg)
{
    struct compensation *c;
    int rc = run_blocked(run);

    if (rc != IRONFLOW_OK)
        return rc;
    c = pool_alloc(&run->pool, sizeof(*c));
    *c = (struct compensation){ .fn = fn, .arg = arg };
    c->name = ironflow_run_printf(run, "compensate:%s", step);
    c->step = c->name + strlen("compensate:");
    c->id = run_step_id(run, c->name);
    pthread_mutex_lock(&run->root->lock);
    c->next = run->root->undo;
    run->root->undo = c;
    pthread_mutex_unlock(&run->root->lock);
    return IRONFLOW_OK;
}

void run_compensate(struct ironflow_run *run)
{
    char code[sizeof(run->error_code)], why[sizeof(run->error_text)];
    bool set = run->error_set;

    memcpy(code, run->error_code, sizeof(code));
    memcpy(why, run->error_text, sizeof(why));
    while (run->undo != NULL && !atomic_load(&run->lost)) {
        const struct compensation *c = run->undo;
        struct step s = { .id = c->id, .name = c->name, .compensation_for = c->step };

        run->undo = c->next;
        if (map_find(&run->completed, c->id, strlen(c->id)) == NULL)
            (void)step_execute(run, &s, c->fn, c->arg); /* its failure is recorded */
    }
    memcpy(run->error_code, code, sizeof(code));
    memcpy(run->error_text, why, sizeof(why));
    run->error_set = set;
}
