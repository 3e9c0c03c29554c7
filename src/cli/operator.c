/* `ironflow run pause | paused-state | inject | resume`: looking into a run, and changing it. */
#include <stdio.h>

#include "base/buf.h"
#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"

#define RPC "/ironflow.v1.IronflowService/"
#define BODY_MAX ((size_t)8 << 20)

/* A body with the members whose values are not empty. */
struct member {
    const char *key;
    str_t value;
};

static err_t body_make(struct cli *cli, const struct member *members, size_t n, str_t *out)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, cli->c->arena, BODY_MAX);
    json_open(&w, '{');
    for (size_t i = 0; i < n; i++) {
        if (members[i].value.n == 0)
            continue;
        if (!str_is_utf8(members[i].value))
            return err_set(cli->c, ERR_INVALID, "%s is not valid UTF-8", members[i].key);
        json_key(&w, str_from(members[i].key));
        json_put_str(&w, members[i].value);
    }
    json_close(&w, '}');
    if (b.full)
        return err_set(cli->c, ERR_TOO_LARGE, "the request is larger than %zu MiB", BODY_MAX >> 20);
    *out = buf_str(&b);
    return ERR_OK;
}

static err_t post(struct cli *cli, str_t path, const struct member *members, size_t n, str_t *out)
{
    struct api_req req = { .method = "POST", .path = path };

    TRY(body_make(cli, members, n, &req.body));
    return api_call(cli, &req, out);
}

static int cli_run_pause(struct cli *cli)
{
    struct member run = { "run_id", str_from(cli->args[0]) };
    str_t answer;
    err_t e = post(cli, S(RPC "PauseRun"), &run, 1, &answer);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    printf("Run " STR_FMT ": " STR_FMT "\n", STR_ARG(out_clean(cli, run.value)),
           STR_ARG(out_clean(cli, json_text(cli, answer, "status", NULL))));
    return 0;
}

/* A member that holds JSON as text. */
static str_t json_inside(struct cli *cli, str_t object, const char *key, const char *other)
{
    str_t text = json_text(cli, object, key, other), value;
    struct json_error e;

    return json_check(text, &value, &e) ? json_compact(cli, value) : text;
}

static void paused_print(struct cli *cli, str_t answer)
{
    static const char *const heads[] = { "ID", "NAME", "INJECTED", "OUTPUT" };
    struct table t;
    str_t list;

    out_line(cli, "Pause reason", json_text(cli, answer, "pause_reason", "pauseReason"));
    out_line(cli, "Next step", json_text(cli, answer, "next_step_hint", "nextStepHint"));
    printf("\n");
    table_init(&t, cli, heads, COUNT_OF(heads));
    if (json_get(answer, S("steps"), &list))
        for (struct json_iter it = json_iter(list); json_next(&it);) {
            struct cell *row = table_row(&t);

            row[0].text = json_text(cli, it.value, "id", NULL);
            row[1].text = json_text(cli, it.value, "name", NULL);
            row[2].text =
                str_eq(json_text(cli, it.value, "injected", NULL), S("true")) ? S("yes") : S("");
            row[3].text = json_inside(cli, it.value, "output", NULL);
        }
    table_print(&t);
}

static int cli_run_paused_state(struct cli *cli)
{
    struct member run = { "run_id", str_from(cli->args[0]) };
    struct api_req req = { .method = "POST", .path = S(RPC "GetPausedState") };
    err_t e = body_make(cli, &run, 1, &req.body);

    return e == ERR_OK ? api_show(cli, &req, paused_print) : cli_fail(cli, e);
}

static int cli_run_inject(struct cli *cli)
{
    struct member members[] = { { "run_id", str_from(cli->args[0]) },
                                { "step_id", str_from(cli->args[1]) },
                                { "new_output", cli_text(cli, "output") },
                                { "reason", cli_text(cli, "reason") } };
    struct json_error je;
    str_t answer, value, before;
    err_t e;

    if (members[2].value.n == 0)
        return cli_fail(cli, err_set(cli->c, ERR_INVALID, "--output is required"));
    if (!json_check(members[2].value, &value, &je))
        return cli_fail(cli, err_set(cli->c, ERR_INVALID,
                                     "--output is not valid JSON: %s at byte %zu", je.what, je.at));
    e = post(cli, S(RPC "InjectStepOutput"), members, COUNT_OF(members), &answer);
    if (e != ERR_OK)
        return cli_fail(cli, e);
    printf("Injected step " STR_FMT "\n",
           STR_ARG(out_clean(cli, json_text(cli, answer, "step_id", "stepId"))));
    before = out_clean(cli, json_inside(cli, answer, "previous_output", "previousOutput"));
    printf("Previous output:%s" STR_FMT "\n", before.n > 0 ? " " : "", STR_ARG(before));
    return 0;
}

static int cli_run_resume(struct cli *cli)
{
    struct member members[] = { { "run_id", str_from(cli->args[0]) },
                                { "from_step", cli_text(cli, "from-step") } };
    str_t run;
    err_t e = post(cli, S("/api/v1/runs/resume"), members, COUNT_OF(members), &run);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    printf("Resumed run " STR_FMT " (status: " STR_FMT ")\n",
           STR_ARG(out_clean(cli, json_text(cli, run, "id", NULL))),
           STR_ARG(out_clean(cli, json_text(cli, run, "status", NULL))));
    return 0;
}

const struct cmd cmd_run_pause = {
    .name = "pause",
    .args = "<run-id>",
    .help = "Pause a run at its next step boundary.",
    .about = "A run that sleeps or waits for an event is paused at once; one that executes is\n"
             "flagged, and paused when its worker reports the next step.",
    .examples = "ironflow run pause run_abc123",
    .opts = (const struct opt[]){ CLI_SERVER_OPTS, { 0 } },
    .run = cli_run_pause,
};

const struct cmd cmd_run_paused_state = {
    .name = "paused-state",
    .args = "<run-id>",
    .help = "Show the steps of a paused run and their outputs.",
    .examples = "ironflow run paused-state run_abc123\n"
                "ironflow run paused-state run_abc123 --json",
    .opts = (const struct opt[]){ CLI_JSON_OPT, CLI_SERVER_OPTS, { 0 } },
    .run = cli_run_paused_state,
};

const struct cmd cmd_run_inject = {
    .name = "inject",
    .args = "<run-id> <step-id>",
    .help = "Change the output of a completed step of a paused run.",
    .examples = "ironflow run inject run_abc123 step_002 --output '{\"total\":89.99}'\n"
                "ironflow run inject run_abc123 step_002 --output '{\"fixed\": true}' "
                "--reason \"wrong price\"",
    .opts = (const struct opt[]){ { 0, "output", OPT_TEXT, "json", NULL,
                                    "New output of the step (required)." },
                                  { 0, "reason", OPT_TEXT, "text", NULL, "Why it is changed." },
                                  CLI_SERVER_OPTS,
                                  { 0 } },
    .run = cli_run_inject,
};

const struct cmd cmd_run_resume = {
    .name = "resume",
    .args = "<run-id>",
    .help = "Go on with a paused or failed run.",
    .about =
        "Completed steps keep their results, unless --from-step names a step: it and all later\n"
        "ones run again.",
    .examples = "ironflow run resume run_abc123\n"
                "ironflow run resume run_abc123 --from-step step_002",
    .opts = (const struct opt[]){ { 0, "from-step", OPT_TEXT, "step-id", NULL,
                                    "Run this step and all later ones again." },
                                  CLI_SERVER_OPTS,
                                  { 0 } },
    .run = cli_run_resume,
};
