/* A worker of the C library on a stream, for tests/sdk/stream.test.mjs:
 *
 *   stream_worker URL LOG ID [each]
 *
 * What its steps do is one line each in LOG. With `each` a step is durable before the next one
 * starts. It serves until SIGTERM. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve.h"

#define BIG ((size_t)5 << 20)

static const char *log_path;
static int log_fd;

/* One line by one write, which O_APPEND keeps whole. */
static void tell(struct ironflow_run *run, const char *what)
{
    char line[160];
    int n = snprintf(line, sizeof(line), "%s %s\n", ironflow_run_id(run), what);

    if (n < 0 || write(log_fd, line, (size_t)n) != n)
        abort();
}

static int tells(struct ironflow_run *run, void *arg, const char **output)
{
    tell(run, arg);
    *output = ironflow_run_printf(run, "{\"did\":\"%s\"}", (const char *)arg);
    return IRONFLOW_OK;
}

/* Until the file LOG.open is there, or the run is lost. */
static int gate(struct ironflow_run *run)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s.open", log_path);
    while (access(path, F_OK) != 0) {
        if (ironflow_run_lost(run)) {
            tell(run, "lost");
            return IRONFLOW_LOST;
        }
        (void)poll(NULL, 0, 5);
    }
    return IRONFLOW_OK;
}

/* A step, the gate, a step. */
static int gated(struct ironflow_run *run, void *arg)
{
    static char before[] = "before", after[] = "after";
    int rc = ironflow_step_run(run, "before", tells, before, NULL);

    (void)arg;
    if (rc == IRONFLOW_OK)
        rc = gate(run);
    if (rc == IRONFLOW_OK)
        rc = ironflow_step_run(run, "after", tells, after, NULL);
    if (rc == IRONFLOW_OK)
        ironflow_run_output(run, "[1,\"two\",null]");
    return rc;
}

/* Outputs that no server takes: too large, not UTF-8. */
static int big(struct ironflow_run *run, void *arg)
{
    char *text = ironflow_run_alloc(run, BIG + 3);

    (void)arg;
    memset(text, 'a', BIG + 2);
    text[0] = text[BIG + 1] = '"';
    text[BIG + 2] = '\0';
    ironflow_run_output(run, text);
    return IRONFLOW_OK;
}

static int latin(struct ironflow_run *run, void *arg)
{
    (void)arg;
    ironflow_run_output(run, "\"caf\xe9\"");
    return IRONFLOW_OK;
}

static int bad_wait(struct ironflow_run *run, void *arg)
{
    static const struct ironflow_wait wait = { .event = "s.x", .match = "data.a ==" };

    (void)arg;
    return ironflow_wait_for_event(run, "odd", &wait, NULL);
}

/* A wait for a number, then a step; the outputs of steps may be anything. */
static int number(struct ironflow_run *run, void *arg)
{
    static const struct ironflow_wait wait = {
        .event = "s.number", .match = "data.n", .match_value = "7", .timeout_ms = 60000
    };
    const char *event = NULL;
    int rc = ironflow_wait_for_event(run, "seven", &wait, &event);
    struct ironflow_json said;

    (void)arg;
    if (rc != IRONFLOW_OK)
        return rc;
    said = ironflow_json_at(event, "data");
    ironflow_run_output(run, ironflow_run_printf(run, "{\"got\":%.*s,\"mine\":%s}", (int)said.n,
                                                 said.p, ironflow_run_event(run)));
    return IRONFLOW_OK;
}

static int fails(struct ironflow_run *run, void *arg)
{
    (void)arg;
    ironflow_run_error(run, "NOT_NOW", "try %d", ironflow_run_attempt(run));
    return IRONFLOW_RETRY;
}

int main(int argc, char **argv)
{
    static const char *const on_gate[] = { "s.gate", NULL }, *on_big[] = { "s.big", NULL },
                             *on_latin[] = { "s.latin", NULL }, *on_wait[] = { "s.wait", NULL },
                             *on_seven[] = { "s.seven", NULL }, *on_fails[] = { "s.fails", NULL };
    static const struct ironflow_cancel_on cancel_on[] = { { "s.stop", "data.id" }, { 0 } };
    const struct ironflow_function functions[] = {
        { .id = "s-gate", .events = on_gate, .handler = gated, .flow = { .cancel_on = cancel_on } },
        { .id = "s-big", .events = on_big, .handler = big },
        { .id = "s-latin", .events = on_latin, .handler = latin },
        { .id = "s-wait", .events = on_wait, .handler = bad_wait },
        { .id = "s-seven", .events = on_seven, .handler = number },
        { .id = "s-fails", .events = on_fails, .handler = fails, .retry = { 2, 10, 10, 1 } },
    };
    struct ironflow_worker_config config = { .client = { .url = argv[1] },
                                             .max_concurrent = 4,
                                             .heartbeat_ms = 300,
                                             .transport = IRONFLOW_STREAM };
    int rc;

    if (argc < 4)
        return 2;
    log_path = argv[2];
    config.id = argv[3];
    config.checkpoint_ms = argc > 4 ? IRONFLOW_CHECKPOINT_EACH : 0;
    log_fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return 2;
    rc = serve(&config, functions, sizeof(functions) / sizeof(functions[0]));
    (void)close(log_fd);
    return rc;
}
