/* `ironflow invoke`: runs one function by its id. */
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/input.h"
#include "cli/out.h"
#include "cli/trigger.h"
#include "codec/json.h"

static err_t no_function(struct cli *cli)
{
    return err_set(cli->c, ERR_NOT_FOUND,
                   "no function \"%s\" is registered; see `ironflow function list`", cli->args[0]);
}

static int invoke_async(struct cli *cli, const struct trigger *t)
{
    str_t answer, ids;
    struct json_iter it;
    err_t e = trigger_async(cli, t, &answer);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (!json_get(answer, S("run_ids"), &ids))
        ids = S("[]");
    it = json_iter(ids);
    if (!json_next(&it))
        return cli_fail(cli, no_function(cli));
    if (cli_flag(cli, "json")) {
        out_json(answer);
        return 0;
    }
    printf("Invoked %s (event: " STR_FMT ")\n", cli->args[0],
           STR_ARG(out_clean(cli, json_text(cli, answer, "event_id", "eventId"))));
    out_line(cli, "Run ID", json_scalar(cli->c->arena, it.value));
    return 0;
}

/* What the command line calls a status of an RPC. */
static str_t status_word(struct cli *cli, str_t status)
{
    if (str_eq(status, S("RUN_STATUS_WAITING_FOR_CAPACITY")))
        return S("pending");
    return enum_word(cli, status, S("RUN_STATUS_"));
}

static int invoke_result(struct cli *cli, str_t result)
{
    struct run_result r = trigger_result(cli, result);

    out_toned(cli, r.ok ? TONE_GOOD : TONE_BAD, r.ok ? S("✓") : S("✗"));
    printf(" %s " STR_FMT " in " STR_FMT "ms\n", cli->args[0], STR_ARG(status_word(cli, r.status)),
           STR_ARG(r.duration_ms));
    if (r.text.n > 0)
        printf("  %s: " STR_FMT "\n", r.ok ? "Output" : "Error", STR_ARG(r.text));
    return r.ok ? 0 : 1;
}

static int invoke_sync(struct cli *cli, const struct trigger *t)
{
    bool json = cli_flag(cli, "json");
    str_t answer, results;
    struct json_iter it;
    err_t e;

    if (!json) {
        printf("Invoking %s (timeout: " STR_FMT ")...\n", cli->args[0],
               STR_ARG(trigger_timeout_text(cli)));
        fflush(stdout);
    }
    e = trigger_sync(cli, t, &answer);
    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (!json_get(answer, S("results"), &results))
        results = S("[]");
    it = json_iter(results);
    if (!json_next(&it))
        return cli_fail(cli, no_function(cli));
    if (!json)
        return invoke_result(cli, it.value);
    out_json(answer);
    return trigger_result(cli, it.value).ok ? 0 : 1;
}

static int cli_invoke(struct cli *cli)
{
    struct trigger t = { .event = str_printf(cli->c->arena, "ironflow.invoke.%s", cli->args[0]) };
    err_t e = trigger_read(cli, &t);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    return cli_flag(cli, "no-wait") ? invoke_async(cli, &t) : invoke_sync(cli, &t);
}

const struct cmd cmd_invoke = {
    .name = "invoke",
    .args = "<function-id>",
    .help = "Run one function and print its output.",
    .about = "Waits until the function has ended and exits with 1 when it failed or the time was\n"
             "up; with --no-wait it prints the run's id and ends at once.\n"
             "\n"
             "Data comes from exactly one of --data, --data-file and standard input (when piped).",
    .examples = "# Invoke and wait for the result\n"
                "ironflow invoke process-order --data '{\"order_id\": \"123\"}'\n"
                "# Fire and forget\n"
                "ironflow invoke send-notification --data '{\"user_id\": \"456\"}' --no-wait\n"
                "# With more time, input from a pipe\n"
                "cat complex-input.json | ironflow invoke generate-report --timeout 120s\n"
                "# JSON for scripts\n"
                "ironflow invoke process-order --json | jq '.results[0].output'",
    .opts =
        (const struct opt[]){ CLI_DATA_OPTS,
                              { 0, "no-wait", OPT_FLAG, NULL, NULL, "Do not wait for the result." },
                              { 't', "timeout", OPT_DURATION, "duration", "30s", "Longest wait." },
                              CLI_JSON_OPT,
                              CLI_SERVER_OPTS,
                              { 0 } },
    .run = cli_invoke,
};
