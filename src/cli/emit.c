/* `ironflow emit`: sends an event, and with --wait shows what the runs came to. */
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/input.h"
#include "cli/out.h"
#include "cli/trigger.h"
#include "codec/json.h"

static int emit_async(struct cli *cli, const struct trigger *t)
{
    struct json_iter it;
    str_t answer, ids;
    size_t n = 0;
    struct buf list;
    err_t e = trigger_async(cli, t, &answer);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (cli_flag(cli, "json")) {
        out_json(answer);
        return 0;
    }
    printf("Event emitted: " STR_FMT " (" STR_FMT ")\n",
           STR_ARG(out_clean(cli, json_text(cli, answer, "event_id", "eventId"))),
           STR_ARG(out_clean(cli, t->event)));
    if (!json_get(answer, S("run_ids"), &ids))
        return 0;
    buf_init_arena(&list, cli->c->arena, (size_t)64 << 20);
    for (it = json_iter(ids); json_next(&it); n++) {
        buf_append(&list, n > 0 ? S(", ") : S(""));
        buf_append(&list, json_scalar(cli->c->arena, it.value));
    }
    if (n > 0)
        printf("Triggered %zu run(s): " STR_FMT "\n", n, STR_ARG(out_clean(cli, buf_str(&list))));
    return 0;
}

/* One line a run; false when it did not complete. */
static bool emit_result(struct cli *cli, str_t result)
{
    struct run_result r = trigger_result(cli, result);

    out_toned(cli, r.ok ? TONE_GOOD : TONE_BAD, r.ok ? S("✓") : S("✗"));
    printf(" " STR_FMT " ", STR_ARG(r.function_id));
    out_toned(cli, tone_of_status(r.status), r.status);
    printf(" " STR_FMT "ms", STR_ARG(r.duration_ms));
    if (r.text.n > 0)
        printf(" " STR_FMT, STR_ARG(r.text));
    printf("\n");
    return r.ok;
}

static int emit_wait(struct cli *cli, const struct trigger *t)
{
    bool ok = true, json = cli_flag(cli, "json");
    str_t answer, results;
    size_t n = 0;
    err_t e;

    if (!json) {
        printf("Emitting event \"" STR_FMT "\" and waiting for completion (timeout: " STR_FMT
               ")...\n",
               STR_ARG(out_clean(cli, t->event)), STR_ARG(trigger_timeout_text(cli)));
        fflush(stdout);
    }
    e = trigger_sync(cli, t, &answer);
    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (json)
        out_json(answer);
    if (json_get(answer, S("results"), &results))
        for (struct json_iter it = json_iter(results); json_next(&it); n++)
            ok = (json ? trigger_result(cli, it.value).ok : emit_result(cli, it.value)) && ok;
    if (n == 0 && !json)
        printf("No function matched the event.\n");
    return ok ? 0 : 1;
}

static int cli_emit(struct cli *cli)
{
    struct trigger t = { .event = str_from(cli->args[0]), .version = cli_int(cli, "version") };
    err_t e = trigger_read(cli, &t);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    return cli_flag(cli, "wait") ? emit_wait(cli, &t) : emit_async(cli, &t);
}

const struct cmd cmd_emit = {
    .name = "emit",
    .args = "<event-name>",
    .help = "Emit an event; every function whose trigger matches it starts a run.",
    .about =
        "Prints the event's id and the runs it started, then ends. With --wait it stays until\n"
        "every run has ended and exits with 1 when one failed or the time was up.\n"
        "\n"
        "Data comes from exactly one of --data, --data-file and standard input (when piped).",
    .examples = "# Emit with inline data\n"
                "ironflow emit order.placed --data '{\"order_id\": \"123\", \"total\": 99.99}'\n"
                "# Emit from a file, or from a pipe\n"
                "ironflow emit user.signup --data-file ./test-user.json\n"
                "echo '{\"batch_id\": \"daily\"}' | ironflow emit cron.daily\n"
                "# Wait for all runs to complete\n"
                "ironflow emit order.placed --data '{\"order_id\": \"123\"}' --wait --timeout 2m\n"
                "# JSON for scripts\n"
                "ironflow emit order.placed --wait --json | jq '.results[0]'\n"
                "# Attach metadata\n"
                "ironflow emit order.placed -m source=cli -m env=dev",
    .opts =
        (const struct opt[]){
            CLI_DATA_OPTS,
            { 'w', "wait", OPT_FLAG, NULL, NULL, "Wait until all matched runs have ended." },
            { 't', "timeout", OPT_DURATION, "duration", "30s", "Longest wait, with --wait." },
            { 0, "version", OPT_INT, "n", "1", "Version of the event's schema." },
            CLI_JSON_OPT,
            CLI_SERVER_OPTS,
            { 0 } },
    .run = cli_emit,
};
