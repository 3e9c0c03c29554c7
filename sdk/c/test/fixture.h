/* For tests: a run without a server. What it records stays pending. */
#pragma once

#include <stdlib.h>

#include "worker_priv.h"

struct fixture {
    struct ironflow_worker *worker;
    struct ironflow_run *run;
};

/* completed: the content of completed_steps, "" for none. */
static inline struct fixture fixture_new(const char *completed)
{
    struct ironflow_worker_config config = { .client = { .url = "http://127.0.0.1:1" },
                                             .checkpoint_ms = IRONFLOW_CHECKPOINT_NONE };
    struct fixture f = { .worker = ironflow_worker_new(&config) };
    struct text t = { 0 };

    text_addz(&t,
              "{\"job_id\":\"job_1\",\"run_id\":\"run_k\",\"attempt\":2,\"event\":{\"data\":[5]},"
              "\"execution_seq\":7,\"lease_token\":\"tok\",\"completed_steps\":[");
    text_addz(&t, completed);
    text_addz(&t, "]}");
    f.run = mem_new(sizeof(*f.run));
    f.run->worker = f.worker;
    pthread_mutex_init(&f.run->lock, NULL);
    pthread_cond_init(&f.run->flushed, NULL);
    f.run->json = text_z(&t);
    if (!run_begin(f.run, 0))
        abort();
    return f;
}

static inline void fixture_done(struct fixture *f)
{
    run_end(f->run);
    pool_done(&f->run->pool);
    text_done(&f->run->pending);
    free(f->run);
    ironflow_worker_free(f->worker);
}

/* The steps recorded so far as a JSON array; lives as long as the run. */
static inline const char *fixture_steps(struct fixture *f)
{
    return ironflow_run_printf(f->run, "[%.*s]", (int)f->run->pending.n,
                               f->run->pending.n > 0 ? f->run->pending.p : "");
}
