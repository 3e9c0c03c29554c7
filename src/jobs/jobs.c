/* Keeps the jobs going: each is one long call of txn that runs a slice, goes on behind the commit,
 * and parks while nothing is due. A slice that fails ends the call; it is submitted again for a
 * second later, also when not even its transaction could begin. What is shared between threads is
 * atomic. */
#include "jobs/jobs.h"

#include <stdatomic.h>

#include "base/log.h"
#include "base/mem.h"
#include "txn/txn.h"

#define AFTER_ERROR_MS 1000
#define ERRORS_PER_LINE 30 /* the log of a database that is away must not grow with the outage */

struct job {
    struct call call;
    struct arena arena;
    struct jobs *all;
    const struct job_spec *spec;
    int errors;       /* since it last went on; of the thread that has the call */
    bool ran;         /* its run came to an end, and none has failed since */
    atomic_bool lost; /* could not be submitted: txn had too much to do */
};

struct jobs {
    struct txn *txn;
    atomic_bool stopping;
    atomic_size_t refs; /* calls under way, and the owner */
    size_t n;
    struct job *items;
};

static void jobs_unref(struct jobs *j)
{
    if (atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    for (size_t i = 0; i < j->n; i++)
        arena_done(&j->items[i].arena);
    mem_free(j->items);
    mem_free(j);
}

static err_t job_run(struct ctx *c);
static void job_done(struct call *call);

static void job_submit(struct job *job, int64_t delay_ms)
{
    struct jobs *all = job->all;

    atomic_fetch_add(&all->refs, 1);
    arena_reset(&job->arena);
    call_init(&job->call, CALL_WRITE, job_run, job, &job->arena);
    job->call.done = job_done;
    if ((delay_ms > 0 ? txn_submit_after(all->txn, &job->call, delay_ms)
                      : txn_submit(all->txn, &job->call)) == ERR_OK)
        return;
    atomic_store(&job->lost, true);
    jobs_unref(all);
}

/* Any job that runs takes care of those that could not be submitted. */
static void jobs_recover(struct jobs *all)
{
    for (size_t i = 0; i < all->n; i++) {
        if (atomic_exchange(&all->items[i].lost, false))
            job_submit(&all->items[i], 0);
    }
}

static err_t job_park(struct ctx *c, const struct job *job, int64_t due)
{
    static const int64_t any;

    return txn_park(c, SIG_TIMER, &any, job->spec->wakes_on_timer ? 1 : 0,
                    due == INT64_MAX ? 0 : due);
}

static err_t job_run(struct ctx *c)
{
    struct job *job = c->call->arg;
    int64_t due = INT64_MAX;

    if (atomic_load(&job->all->stopping))
        return err_set(c, ERR_CANCELED, "stopping");
    jobs_recover(job->all);
    arena_reset(c->arena);
    c->env = 0;
    if (job->ran)
        job->errors = 0;
    job->ran = false;
    TRY(job->spec->step(c, &due));
    job->ran = true;
    if (due <= c->now_ms)
        return txn_next(c, CALL_WRITE, job_run);
    return job_park(c, job, due);
}

/* The call ended: the server stops, or the slice failed. */
static void job_done(struct call *call)
{
    struct job *job = call->arg;
    struct jobs *all = job->all;
    str_t text = err_text(&call->ctx, call->result);

    if (!atomic_load(&all->stopping)) {
        if (job->errors++ % ERRORS_PER_LINE == 0)
            log_error("job failed", "job=%s error=\"" STR_FMT "\"", job->spec->name, STR_ARG(text));
        job->ran = false;
        job_submit(job, AFTER_ERROR_MS);
    }
    jobs_unref(all);
}

err_t jobs_start(struct ctx *c, struct txn *t, struct jobs **out)
{
    struct jobs *j = mem_zero(sizeof(*j));

    (void)c;
    j->txn = t;
    j->n = job_specs_n;
    j->items = mem_zero(j->n * sizeof(*j->items));
    atomic_init(&j->refs, 1);
    for (size_t i = 0; i < j->n; i++) {
        struct job *job = &j->items[i];

        arena_init(&job->arena);
        job->all = j;
        job->spec = &job_specs[i];
    }
    for (size_t i = 0; i < j->n; i++)
        job_submit(&j->items[i], 0);
    *out = j;
    return ERR_OK;
}

void jobs_stop(struct jobs *j)
{
    if (!j)
        return;
    atomic_store(&j->stopping, true);
    jobs_unref(j);
}
