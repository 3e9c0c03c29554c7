/* The workers of the tests: they serve until SIGTERM. */
#pragma once

#include <signal.h>
#include <stdio.h>

#include "ironflow.h"

static struct ironflow_worker *worker;

static void on_signal(int sig)
{
    (void)sig;
    ironflow_worker_stop(worker);
}

/* Returns what main returns. */
static int serve(const struct ironflow_worker_config *config,
                 const struct ironflow_function *functions, size_t n)
{
    int rc;

    worker = ironflow_worker_new(config);
    if (worker == NULL)
        return 2;
    for (size_t i = 0; i < n; i++)
        ironflow_worker_add(worker, &functions[i]);
    (void)signal(SIGTERM, on_signal);
    rc = ironflow_worker_run(worker);
    if (rc != IRONFLOW_OK)
        (void)fprintf(stderr, "%s\n", ironflow_worker_error(worker));
    ironflow_worker_free(worker);
    return rc == IRONFLOW_OK ? 0 : 1;
}
