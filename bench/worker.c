/* The bench's worker: one function of three small steps over the C client library. It serves the
 * event bench.<mode>.
 *
 *   worker URL final|progress|stream SLOTS
 *
 * final: the steps travel in the final report; progress: each is reported before the next one
 * starts; stream: over a stream, where each is reported and nobody waits for the answer. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ironflow.h"

static struct ironflow_worker *the_worker;

static void on_signal(int sig)
{
    (void)sig;
    ironflow_worker_stop(the_worker);
}

static int small_step(struct ironflow_run *run, void *arg, const char **output)
{
    *output = ironflow_run_printf(run, "{\"step\":\"%s\",\"ok\":true}", (const char *)arg);
    return IRONFLOW_OK;
}

static int three_steps(struct ironflow_run *run, void *arg)
{
    static char names[3][8] = { "reserve", "charge", "ship" };

    (void)arg;
    for (int i = 0; i < 3; i++) {
        int r = ironflow_step_run(run, names[i], small_step, names[i], NULL);
        if (r != IRONFLOW_OK)
            return r;
    }
    ironflow_run_output(run, "{\"done\":true}");
    return IRONFLOW_OK;
}

int main(int argc, char **argv)
{
    const char *events[2] = { NULL, NULL };
    struct ironflow_worker_config config = { 0 };
    struct ironflow_function f = { .handler = three_steps, .events = events };
    char event[64], id[64];
    int result = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: worker URL final|progress|stream SLOTS\n");
        return 1;
    }
    snprintf(event, sizeof(event), "bench.%s", argv[2]);
    snprintf(id, sizeof(id), "bench-%s", argv[2]);
    events[0] = event;
    f.id = id;
    config.client.url = argv[1];
    config.max_concurrent = (int)strtol(argv[3], NULL, 10);
    config.ack_after_ms = 1000;
    if (strcmp(argv[2], "progress") == 0)
        config.checkpoint_ms = IRONFLOW_CHECKPOINT_EACH;
    if (strcmp(argv[2], "final") == 0)
        config.checkpoint_ms = IRONFLOW_CHECKPOINT_NONE;
    if (strcmp(argv[2], "stream") == 0)
        config.transport = IRONFLOW_STREAM;
    the_worker = ironflow_worker_new(&config);
    if (the_worker == NULL)
        return 1;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    ironflow_worker_add(the_worker, &f);
    result = ironflow_worker_run(the_worker);
    if (result != IRONFLOW_OK)
        fprintf(stderr, "worker: %s\n", ironflow_worker_error(the_worker));
    ironflow_worker_free(the_worker);
    return result == IRONFLOW_OK ? 0 : 1;
}
