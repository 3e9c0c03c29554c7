/* `ironflow run`: lists, shows and cancels runs. */
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"
#include "codec/url.h"

static void query_add(struct buf *b, const char *name, str_t value)
{
    if (value.n == 0)
        return;
    buf_printf(b, "&%s=", name);
    url_encode(b, value);
}

static void list_print(struct cli *cli, str_t answer)
{
    static const char *const heads[] = { "ID", "FUNCTION", "STATUS", "STARTED" };
    struct table t;
    str_t list;

    table_init(&t, cli, heads, COUNT_OF(heads));
    if (json_get(answer, S("runs"), &list))
        for (struct json_iter it = json_iter(list); json_next(&it);) {
            struct cell *row = table_row(&t);

            row[0].text = json_text(cli, it.value, "id", NULL);
            row[1].text = json_text(cli, it.value, "function_id", "functionId");
            row[2].text = json_text(cli, it.value, "status", NULL);
            row[2].tone = tone_of_status(row[2].text);
            row[3].text =
                time_text(cli, json_text(cli, it.value, "started_at", "startedAt"), false);
        }
    table_print(&t);
}

static int cli_run_list(struct cli *cli)
{
    struct api_req req = { .method = "GET" };
    struct buf path;

    if (cli_int(cli, "limit") < 1)
        return cli_fail(cli, err_set(cli->c, ERR_INVALID, "--limit must be at least 1"));
    buf_init_arena(&path, cli->c->arena, (size_t)1 << 20);
    buf_printf(&path, "/api/v1/runs?limit=%lld", (long long)cli_int(cli, "limit"));
    query_add(&path, "function_id", cli_text(cli, "function"));
    query_add(&path, "status", cli_text(cli, "status"));
    req.path = buf_str(&path);
    return api_show(cli, &req, list_print);
}

/* From start to end, "" while one of them is missing. */
static str_t run_duration(struct cli *cli, str_t started, str_t ended)
{
    int64_t from, to;
    struct buf b;

    if (!time_parse(started, &from) || !time_parse(ended, &to))
        return STR_NULL;
    buf_init_arena(&b, cli->c->arena, 64);
    duration_print(&b, to > from ? to - from : 0);
    return buf_str(&b);
}

static void run_print(struct cli *cli, str_t run)
{
    str_t started, ended, error;

    started = json_text(cli, run, "started_at", "startedAt");
    ended = json_text(cli, run, "ended_at", "endedAt");
    out_line(cli, "ID", json_text(cli, run, "id", NULL));
    out_line(cli, "Function", json_text(cli, run, "function_id", "functionId"));
    out_line(cli, "Status", json_text(cli, run, "status", NULL));
    out_line(cli, "Mode", json_text(cli, run, "execution_mode", "executionMode"));
    out_line(cli, "Event", json_text(cli, run, "event_id", "eventId"));
    out_line(cli, "Started", time_text(cli, started, true));
    out_line(cli, "Ended", time_text(cli, ended, true));
    out_line(cli, "Duration", run_duration(cli, started, ended));
    if (json_get(run, S("error"), &error) && json_type(error) == JSON_OBJECT)
        out_line(cli, "Error", json_text(cli, error, "message", NULL));
}

static int cli_run_get(struct cli *cli)
{
    struct api_req req = { .method = "GET",
                           .path = api_path(cli, "/api/v1/runs/", cli->args[0], "") };

    return api_show(cli, &req, run_print);
}

static void steps_print(struct cli *cli, str_t answer)
{
    static const char *const heads[] = { "STEP", "TYPE", "STATUS", "DURATION", "OUTPUT" };
    struct table t;
    str_t list;

    table_init(&t, cli, heads, COUNT_OF(heads));
    if (json_get(answer, S("steps"), &list))
        for (struct json_iter it = json_iter(list); json_next(&it);) {
            struct cell *row = table_row(&t);
            str_t output;

            row[0].text = json_text(cli, it.value, "name", NULL);
            row[1].text = json_text(cli, it.value, "step_type", NULL);
            row[2].text = json_text(cli, it.value, "status", NULL);
            row[2].tone = tone_of_status(row[2].text);
            row[3].text = str_printf(cli->c->arena, STR_FMT "ms",
                                     STR_ARG(json_text(cli, it.value, "duration_ms", NULL)));
            if (json_get(it.value, S("output"), &output))
                row[4].text = json_compact(cli, output);
        }
    table_print(&t);
}

static int cli_run_steps(struct cli *cli)
{
    struct api_req req = { .method = "GET",
                           .path = api_path(cli, "/api/v1/runs/", cli->args[0], "/steps") };

    return api_show(cli, &req, steps_print);
}

static int cli_run_cancel(struct cli *cli)
{
    struct api_req req = { .method = "POST",
                           .path = api_path(cli, "/api/v1/runs/", cli->args[0], "/cancel") };
    struct buf b;
    struct json_out w = { .b = &b };
    str_t run, reason = cli_text(cli, "reason");
    err_t e;

    if (!str_is_utf8(reason))
        return cli_fail(cli, err_set(cli->c, ERR_INVALID, "--reason is not valid UTF-8"));
    buf_init_arena(&b, cli->c->arena, (size_t)1 << 20);
    json_open(&w, '{');
    if (reason.n > 0) {
        json_key(&w, S("reason"));
        json_put_str(&w, reason);
    }
    json_close(&w, '}');
    req.body = buf_str(&b);
    e = api_call(cli, &req, &run);
    if (e != ERR_OK)
        return cli_fail(cli, e);
    printf("Canceled run " STR_FMT " (status: " STR_FMT ")\n",
           STR_ARG(out_clean(cli, json_text(cli, run, "id", NULL))),
           STR_ARG(out_clean(cli, json_text(cli, run, "status", NULL))));
    return 0;
}

static const struct cmd cmd_run_list = {
    .name = "list",
    .help = "List runs, newest first.",
    .examples = "ironflow run list\n"
                "ironflow run list --function stripe-handler --status failed\n"
                "ironflow run list --limit 10 --json",
    .opts =
        (const struct opt[]){
            { 0, "function", OPT_TEXT, "id", NULL, "Only runs of this function." },
            { 0, "status", OPT_TEXT, "status", NULL,
              "Only this status: pending, running, waiting, paused, completed, failed, cancelled; "
              "several with commas." },
            { 0, "limit", OPT_INT, "n", "50", "Most runs to return." },
            CLI_JSON_OPT,
            CLI_SERVER_OPTS,
            { 0 } },
    .run = cli_run_list,
};

static const struct cmd cmd_run_get = {
    .name = "get",
    .args = "<run-id>",
    .help = "Show one run.",
    .examples = "ironflow run get run_abc123\nironflow run get run_abc123 --json | jq .output",
    .opts = (const struct opt[]){ CLI_JSON_OPT, CLI_SERVER_OPTS, { 0 } },
    .run = cli_run_get,
};

static const struct cmd cmd_run_steps = {
    .name = "steps",
    .args = "<run-id>",
    .help = "List the steps of a run in their order.",
    .examples = "ironflow run steps run_abc123",
    .opts = (const struct opt[]){ CLI_JSON_OPT, CLI_SERVER_OPTS, { 0 } },
    .run = cli_run_steps,
};

static const struct cmd cmd_run_cancel = {
    .name = "cancel",
    .args = "<run-id>",
    .help = "Cancel a run that has not ended.",
    .examples = "ironflow run cancel run_abc123\n"
                "ironflow run cancel run_abc123 --reason \"no longer needed\"",
    .opts = (const struct opt[]){ { 0, "reason", OPT_TEXT, "text", NULL, "Why it is cancelled." },
                                  CLI_SERVER_OPTS,
                                  { 0 } },
    .run = cli_run_cancel,
};

const struct cmd cmd_run = {
    .name = "run",
    .help = "List, inspect, cancel, pause and resume runs.",
    .subs = (const struct cmd *const[]){ &cmd_run_list, &cmd_run_get, &cmd_run_steps,
                                         &cmd_run_cancel, &cmd_run_pause, &cmd_run_paused_state,
                                         &cmd_run_inject, &cmd_run_resume, NULL },
};
