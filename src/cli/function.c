/* `ironflow function`: what is registered. */
#include <stdio.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"

/* Event names, or the schedule where a trigger has no event; joined by commas. */
static str_t function_triggers(struct cli *cli, str_t function)
{
    struct buf b;
    str_t triggers;

    buf_init_arena(&b, cli->c->arena, (size_t)1 << 20);
    if (json_get(function, S("triggers"), &triggers))
        for (struct json_iter it = json_iter(triggers); json_next(&it);) {
            str_t text = json_text(cli, it.value, "event", NULL);

            buf_append(&b, b.n > 0 ? S(",") : S(""));
            buf_append(&b, text.n > 0 ? text : json_text(cli, it.value, "cron", NULL));
        }
    return buf_str(&b);
}

static str_t function_mode(struct cli *cli, str_t function)
{
    return enum_word(cli, json_text(cli, function, "preferredMode", "preferred_mode"),
                     S("EXECUTION_MODE_"));
}

static void list_print(struct cli *cli, str_t answer)
{
    static const char *const heads[] = { "ID", "TRIGGERS", "MODE" };
    struct table t;
    str_t list;

    table_init(&t, cli, heads, COUNT_OF(heads));
    if (json_get(answer, S("functions"), &list))
        for (struct json_iter it = json_iter(list); json_next(&it);) {
            struct cell *row = table_row(&t);

            row[0].text = json_text(cli, it.value, "id", NULL);
            row[1].text = function_triggers(cli, it.value);
            row[2].text = function_mode(cli, it.value);
        }
    table_print(&t);
}

static int cli_function_list(struct cli *cli)
{
    int64_t limit = cli_int(cli, "limit");
    struct api_req req = { .method = "GET" };

    if (limit < 1)
        return cli_fail(cli, err_set(cli->c, ERR_INVALID, "--limit must be at least 1"));
    req.path = str_printf(cli->c->arena, "/api/v1/functions?limit=%lld", (long long)limit);
    return api_show(cli, &req, list_print);
}

static void function_print(struct cli *cli, str_t answer)
{
    out_line(cli, "ID", json_text(cli, answer, "id", NULL));
    out_line(cli, "Name", json_text(cli, answer, "name", NULL));
    out_line(cli, "Description", json_text(cli, answer, "description", NULL));
    out_line(cli, "Mode", function_mode(cli, answer));
    out_line(cli, "Endpoint", json_text(cli, answer, "endpointUrl", "endpoint_url"));
    out_line(cli, "Triggers", function_triggers(cli, answer));
}

static int cli_function_get(struct cli *cli)
{
    struct api_req req = { .method = "POST",
                           .path = S("/ironflow.v1.IronflowService/GetFunction") };
    struct buf b;
    struct json_out w = { .b = &b };

    if (!str_is_utf8(str_from(cli->args[0])))
        return cli_fail(cli, err_set(cli->c, ERR_INVALID, "the id is not valid UTF-8"));
    buf_init_arena(&b, cli->c->arena, (size_t)1 << 20);
    json_open(&w, '{');
    json_key(&w, S("id"));
    json_put_str(&w, str_from(cli->args[0]));
    json_close(&w, '}');
    req.body = buf_str(&b);
    return api_show(cli, &req, function_print);
}

static const struct cmd cmd_function_list = {
    .name = "list",
    .help = "List the registered functions with their triggers and mode.",
    .examples = "ironflow function list\nironflow function list --json | jq '.functions[].id'",
    .opts = (const struct opt[]){ { 0, "limit", OPT_INT, "n", "100", "Most functions to return." },
                                  CLI_JSON_OPT,
                                  CLI_SERVER_OPTS,
                                  { 0 } },
    .run = cli_function_list,
};

static const struct cmd cmd_function_get = {
    .name = "get",
    .args = "<function-id>",
    .help = "Show one function.",
    .examples = "ironflow function get stripe-handler\nironflow function get stripe-handler --json",
    .opts = (const struct opt[]){ CLI_JSON_OPT, CLI_SERVER_OPTS, { 0 } },
    .run = cli_function_get,
};

const struct cmd cmd_function = {
    .name = "function",
    .help = "List and inspect registered functions.",
    .subs = (const struct cmd *const[]){ &cmd_function_list, &cmd_function_get, NULL },
};
