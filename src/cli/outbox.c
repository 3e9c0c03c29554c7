/* `ironflow outbox dlq`: dead letters. Here no environment is assumed: whoever looks for lost
 * messages must not look into the wrong one. */
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"
#include "codec/url.h"

static err_t environment(struct cli *cli, str_t *out)
{
    str_t env = cli_text(cli, "env");

    if (env.n == 0)
        env = cli->env->environment;
    if (env.n == 0)
        return err_set(cli->c, ERR_INVALID,
                       "no environment is assumed here: name one with --env or IRONFLOW_ENV");
    *out = env;
    return ERR_OK;
}

/* The path of one event's dead letters. */
static str_t letter_path(struct cli *cli, str_t env, const char *tail)
{
    struct buf b;

    buf_init_arena(&b, cli->c->arena, (size_t)1 << 20);
    buf_append(&b, api_path(cli, "/api/v1/outbox/dead-letter/", cli->args[0], tail));
    buf_append(&b, S("?env="));
    url_encode(&b, env);
    return buf_str(&b);
}

static void list_print(struct cli *cli, str_t answer)
{
    static const char *const heads[] = { "EVENT_ID", "TOPIC",   "KIND",
                                         "ATTEMPTS", "DEAD_AT", "LAST_ERROR" };
    struct table t;
    str_t list;

    table_init(&t, cli, heads, COUNT_OF(heads));
    if (json_get(answer, S("items"), &list))
        for (struct json_iter it = json_iter(list); json_next(&it);) {
            struct cell *row = table_row(&t);

            row[0].text = json_text(cli, it.value, "event_id", NULL);
            row[1].text = json_text(cli, it.value, "topic", NULL);
            row[2].text = json_text(cli, it.value, "kind", NULL);
            row[3].text = json_text(cli, it.value, "attempts", NULL);
            row[4].text = time_text(cli, json_text(cli, it.value, "dead_at", NULL), true);
            row[5].text = json_text(cli, it.value, "last_error", NULL);
        }
    table_print(&t);
}

static int cli_dlq_list(struct cli *cli)
{
    struct api_req req = { .method = "GET" };
    int64_t limit = cli_int(cli, "limit"), offset = cli_int(cli, "offset");
    struct buf path;
    str_t env = STR_NULL;
    err_t e = environment(cli, &env);

    if (e == ERR_OK && (limit < 1 || limit > 500))
        e = err_set(cli->c, ERR_INVALID, "--limit must be between 1 and 500");
    if (e == ERR_OK && offset < 0)
        e = err_set(cli->c, ERR_INVALID, "--offset must not be negative");
    buf_init_arena(&path, cli->c->arena, (size_t)1 << 20);
    buf_append(&path, S("/api/v1/outbox/dead-letter?env="));
    url_encode(&path, env);
    buf_printf(&path, "&limit=%lld&offset=%lld", (long long)limit, (long long)offset);
    req.path = buf_str(&path);
    return e == ERR_OK ? api_show(cli, &req, list_print) : cli_fail(cli, e);
}

static int cli_dlq_requeue(struct cli *cli)
{
    struct api_req req = { .method = "POST" };
    str_t answer, env = STR_NULL;
    err_t e = environment(cli, &env);

    req.path = letter_path(cli, env, "/requeue");
    if (e == ERR_OK)
        e = api_call(cli, &req, &answer);
    if (e != ERR_OK)
        return cli_fail(cli, e);
    printf("Requeued " STR_FMT "\n", STR_ARG(out_clean(cli, str_from(cli->args[0]))));
    return 0;
}

/* Asks on the terminal; anything but y is a no. */
static bool confirmed(struct cli *cli)
{
    char line[16] = "";

    fprintf(stderr, "Delete the dead letters of " STR_FMT " for good? [y/N] ",
            STR_ARG(out_clean(cli, str_from(cli->args[0]))));
    fflush(stderr);
    if (fgets(line, sizeof(line), stdin) == NULL)
        return false;
    return line[0] == 'y' || line[0] == 'Y';
}

static err_t discard(struct cli *cli)
{
    struct api_req req = { .method = "DELETE" };
    str_t answer, env = STR_NULL;

    TRY(environment(cli, &env));
    if (!cli_flag(cli, "yes") && !isatty(STDIN_FILENO))
        return err_set(cli->c, ERR_INVALID,
                       "nothing was deleted: there is no terminal to ask on; use --yes");
    if (!cli_flag(cli, "yes") && !confirmed(cli))
        return err_set(cli->c, ERR_INVALID, "nothing was deleted");
    req.path = letter_path(cli, env, "");
    return api_call(cli, &req, &answer);
}

static int cli_dlq_discard(struct cli *cli)
{
    err_t e = discard(cli);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    printf("Discarded " STR_FMT "\n", STR_ARG(out_clean(cli, str_from(cli->args[0]))));
    return 0;
}

static const struct cmd cmd_dlq_list = {
    .name = "list",
    .help = "List dead letters, newest first.",
    .examples = "ironflow outbox dlq list --env prod\n"
                "IRONFLOW_ENV=prod ironflow outbox dlq list\n"
                "ironflow outbox dlq list --env prod --json | jq '.items[].event_id'",
    .opts =
        (const struct opt[]){ { 0, "limit", OPT_INT, "n", "50", "Most rows to return, 1 to 500." },
                              { 0, "offset", OPT_INT, "n", "0", "Rows to skip." },
                              CLI_JSON_OPT,
                              CLI_SERVER_OPTS,
                              { 0 } },
    .run = cli_dlq_list,
};

static const struct cmd cmd_dlq_requeue = {
    .name = "requeue",
    .args = "<event-id>",
    .help = "Publish the dead letters of an event again.",
    .examples = "ironflow outbox dlq requeue evt_abc123 --env prod",
    .opts = (const struct opt[]){ CLI_SERVER_OPTS, { 0 } },
    .run = cli_dlq_requeue,
};

static const struct cmd cmd_dlq_discard = {
    .name = "discard",
    .args = "<event-id>",
    .help = "Delete the dead letters of an event; the event stays.",
    .examples = "ironflow outbox dlq discard evt_abc123 --env prod\n"
                "ironflow outbox dlq discard evt_abc123 --env prod --yes",
    .opts = (const struct opt[]){ { 0, "yes", OPT_FLAG, NULL, NULL, "Do not ask." },
                                  CLI_SERVER_OPTS,
                                  { 0 } },
    .run = cli_dlq_discard,
};

static const struct cmd cmd_dlq = {
    .name = "dlq",
    .help = "List, requeue or discard messages that could not be published.",
    .about = "A message lands here when it was refused ten times. There is no default environment.",
    .subs = (const struct cmd *const[]){ &cmd_dlq_list, &cmd_dlq_requeue, &cmd_dlq_discard, NULL },
};

const struct cmd cmd_outbox = {
    .name = "outbox",
    .help = "Inspect messages that could not be published.",
    .subs = (const struct cmd *const[]){ &cmd_dlq, NULL },
};
