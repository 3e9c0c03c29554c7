/* A worker of the C library with branches and compensations, for tests/sdk/branch.test.mjs:
 *
 *   branch_worker URL LOG [hang | closed]
 *
 * What its steps do is one line each in LOG. With `hang` some steps never end, with `closed`
 * nothing is refunded. Each step is durable before its branch goes on. It serves until SIGTERM,
 * over a stream if SDK_STREAM is set. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve.h"

#define ITEMS 6
#define MANY 300

static int log_fd;
static bool hang, closed;

/* One line by one write, which O_APPEND keeps whole. */
static void tell(const char *what, const char *which)
{
    char line[128];
    int n = snprintf(line, sizeof(line), "%s %s\n", what, which);

    if (n < 0 || write(log_fd, line, (size_t)n) != n)
        abort();
}

static int tells(struct ironflow_run *run, void *arg, const char **output)
{
    tell(ironflow_run_id(run), arg);
    *output = "true";
    return IRONFLOW_OK;
}

static int hangs(struct ironflow_run *run, void *arg, const char **output)
{
    tell("hangs", arg);
    while (hang)
        (void)pause();
    return tells(run, arg, output);
}

/* Two steps; the second one of the last two items hangs. */
static int item(struct ironflow_run *branch, size_t index, void *arg)
{
    const char *first = ironflow_run_printf(branch, "first-%zu", index);
    const char *second = ironflow_run_printf(branch, "second-%zu", index);
    int rc;

    (void)arg;
    rc = ironflow_step_run(branch, "first", tells, (void *)(uintptr_t)first, NULL);
    if (rc == IRONFLOW_OK)
        rc = ironflow_step_run(branch, "second", index + 2 < ITEMS ? tells : hangs,
                               (void *)(uintptr_t)second, NULL);
    ironflow_run_output(branch, ironflow_run_printf(branch, "%zu", index));
    return rc;
}

static int crash(struct ironflow_run *run, void *arg)
{
    static const struct ironflow_map map = { .count = ITEMS, .fn = item };
    const char *outs[ITEMS];
    int rc = ironflow_map(run, "items", &map, outs);

    (void)arg;
    if (rc == IRONFLOW_OK)
        ironflow_run_output(run, ironflow_run_printf(run, "[%s,%s]", outs[0], outs[ITEMS - 1]));
    return rc;
}

static int sleeper(struct ironflow_run *branch, void *arg)
{
    int rc = ironflow_step_run(branch, "before", tells, arg, NULL);

    if (rc == IRONFLOW_OK)
        rc = ironflow_sleep(branch, "nap", 100);
    return rc == IRONFLOW_OK ? ironflow_step_run(branch, "after", tells, arg, NULL) : rc;
}

static int asker(struct ironflow_run *branch, void *arg)
{
    static const struct ironflow_wait wait = { .event = "c.answer", .match = "data.order" };
    const char *event = NULL;
    int rc = ironflow_wait_for_event(branch, "answer", &wait, &event);
    struct ironflow_json said;

    (void)arg;
    if (rc != IRONFLOW_OK)
        return rc;
    said = ironflow_json_at(event, "data.said");
    ironflow_run_output(branch, ironflow_run_printf(branch, "%.*s", (int)said.n, said.p));
    return IRONFLOW_OK;
}

/* Two sleeps and a wait side by side. */
static int fan(struct ironflow_run *run, void *arg)
{
    static char a[] = "a", b[] = "b";
    static const struct ironflow_branch branches[] = { { sleeper, a },
                                                       { asker, NULL },
                                                       { sleeper, b } };
    const char *outs[3];
    int rc = ironflow_parallel(run, "fan", branches, 3, outs);

    (void)arg;
    if (rc == IRONFLOW_OK)
        ironflow_run_output(run, outs[1]);
    return rc;
}

static int three_steps(struct ironflow_run *branch, size_t index, void *arg)
{
    int rc = IRONFLOW_OK;

    (void)index;
    for (int i = 0; i < 3 && rc == IRONFLOW_OK; i++)
        rc = ironflow_step_run(branch, "s", tells, arg, NULL);
    return rc;
}

static int many(struct ironflow_run *run, void *arg)
{
    static char name[] = "many";
    static const struct ironflow_map map = { .count = MANY, .fn = three_steps, .arg = name };

    (void)arg;
    return ironflow_map(run, "m", &map, NULL);
}

static int refund(struct ironflow_run *run, void *arg, const char **output)
{
    if (closed) {
        ironflow_run_error(run, "BANK", "the bank is closed");
        return IRONFLOW_RETRY;
    }
    return hangs(run, arg, output);
}

/* Fails after two steps that can be undone: for good, or with "again" for another attempt. */
static int saga(struct ironflow_run *run, void *arg)
{
    static char charge[] = "charge", reserve[] = "reserve", undo_charge[] = "refund",
                undo_reserve[] = "release";
    int rc = ironflow_step_run(run, charge, tells, charge, NULL);

    (void)arg;
    if (rc == IRONFLOW_OK)
        rc = ironflow_compensate(run, charge, refund, undo_charge);
    if (rc == IRONFLOW_OK)
        rc = ironflow_step_run(run, reserve, tells, reserve, NULL);
    if (rc == IRONFLOW_OK)
        rc = ironflow_compensate(run, reserve, tells, undo_reserve);
    if (rc != IRONFLOW_OK)
        return rc;
    ironflow_run_error(run, "SOLD_OUT", "nothing left");
    return ironflow_json_at(ironflow_run_input(run), "again").p != NULL ? IRONFLOW_RETRY
                                                                        : IRONFLOW_FAIL;
}

int main(int argc, char **argv)
{
    static const char *const on_crash[] = { "c.crash", NULL }, *on_fan[] = { "c.fan", NULL },
                             *on_many[] = { "c.many", NULL }, *on_saga[] = { "c.saga", NULL };
    const struct ironflow_function functions[] = {
        { .id = "c-crash", .events = on_crash, .handler = crash },
        { .id = "c-fan", .events = on_fan, .handler = fan },
        { .id = "c-many", .events = on_many, .handler = many },
        { .id = "c-saga", .events = on_saga, .handler = saga, .retry = { 2, 10, 10, 1 } },
    };
    struct ironflow_worker_config config = { .client = { .url = argc > 1 ? argv[1] : NULL },
                                             .checkpoint_ms = IRONFLOW_CHECKPOINT_EACH };
    int rc;

    if (getenv("SDK_STREAM") != NULL)
        config.transport = IRONFLOW_STREAM;
    hang = argc > 3 && strcmp(argv[3], "hang") == 0;
    closed = argc > 3 && strcmp(argv[3], "closed") == 0;
    log_fd = argc > 2 ? open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (log_fd < 0)
        return 2;
    rc = serve(&config, functions, sizeof(functions) / sizeof(functions[0]));
    (void)close(log_fd);
    return rc;
}
