/* A worker of the C library with functions that wait, for tests/sdk/flow.test.mjs. It serves until
 * SIGTERM, over a stream if SDK_STREAM is set. */
#include <stdlib.h>
#include <string.h>

#include "serve.h"

/* Waits for the approval of its own order, then says who gave it. */
static int approval(struct ironflow_run *run, void *arg)
{
    static const struct ironflow_wait wait = { .event = "c.approved", .match = "data.order" };
    const char *event = NULL;
    char by[64];
    int rc = ironflow_wait_for_event(run, "approve.order", &wait, &event);

    (void)arg;
    if (rc != IRONFLOW_OK)
        return rc;
    if (!ironflow_json_string(event, "data.by", by, sizeof(by)))
        return IRONFLOW_FAIL;
    ironflow_run_output(run, ironflow_run_printf(run, "{\"by\":\"%s\"}", by));
    return IRONFLOW_OK;
}

static int too_late(struct ironflow_run *run, void *arg)
{
    static const struct ironflow_wait wait = { .event = "c.never", .timeout_ms = 200 };

    (void)arg;
    return ironflow_wait_for_event(run, "never", &wait, NULL);
}

/* Doubles n; refuses what is negative, takes for ever over what is 0. */
static int twice(struct ironflow_run *run, void *arg)
{
    int64_t n = 0;

    (void)arg;
    (void)ironflow_json_int(ironflow_run_input(run), "n", &n);
    if (n < 0) {
        ironflow_run_error(run, "NEGATIVE", "too little");
        return IRONFLOW_FAIL;
    }
    if (n == 0)
        return ironflow_sleep(run, "long", 3600000);
    ironflow_run_output(run, ironflow_run_printf(run, "%lld", (long long)n * 2));
    return IRONFLOW_OK;
}

/* Invokes `twice` with its own input and tells what came of it. */
static int parent(struct ironflow_run *run, void *arg)
{
    const char *out = NULL;
    int rc = ironflow_invoke_function(run, "c-twice", ironflow_run_input(run), 400, &out);

    (void)arg;
    if (rc == IRONFLOW_FAIL)
        out = "\"caught\"";
    else if (rc != IRONFLOW_OK)
        return rc;
    ironflow_run_output(run, ironflow_run_printf(run, "{\"got\":%s}", out));
    return IRONFLOW_OK;
}

static int async(struct ironflow_run *run, void *arg)
{
    const char *child = NULL;
    int rc = ironflow_invoke_async(run, "c-twice", "{\"n\":4}", &child);

    (void)arg;
    if (rc != IRONFLOW_OK)
        return rc;
    ironflow_run_output(run, ironflow_run_printf(run, "{\"child\":\"%s\"}", child));
    return IRONFLOW_OK;
}

int main(int argc, char **argv)
{
    static const char *const on_approval[] = { "c.approval", NULL },
                             *on_late[] = { "c.late", NULL }, *on_parent[] = { "c.parent", NULL },
                             *on_async[] = { "c.async", NULL };
    const struct ironflow_function functions[] = {
        { .id = "c-approval", .events = on_approval, .handler = approval },
        { .id = "c-late", .events = on_late, .handler = too_late },
        { .id = "c-parent", .events = on_parent, .handler = parent },
        { .id = "c-async", .events = on_async, .handler = async },
        { .id = "c-twice", .handler = twice },
    };
    struct ironflow_worker_config config = { .client = { .url = argc > 1 ? argv[1] : NULL } };

    if (getenv("SDK_STREAM") != NULL)
        config.transport = IRONFLOW_STREAM;
    return serve(&config, functions, sizeof(functions) / sizeof(functions[0]));
}
