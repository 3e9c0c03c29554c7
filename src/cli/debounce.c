/* `ironflow debounce`: lists and cancels pending debounce entries. */
#include <stdio.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"
#include "codec/url.h"

static err_t entries(struct cli *cli, str_t *out)
{
    struct api_req req = { .method = "GET", .path = S("/api/v1/debounce/entries") };

    TRY(api_call(cli, &req, out));
    if (json_type(*out) != JSON_ARRAY)
        return err_set(cli->c, ERR_INTERNAL, "the server's answer is no list");
    return ERR_OK;
}

static int cli_debounce_list(struct cli *cli)
{
    static const char *const heads[] = { "FUNCTION_ID", "KEY", "FIRES_AT", "PERIOD_MS",
                                         "EVENT_ID" };
    struct table t;
    str_t list;
    err_t e = entries(cli, &list);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (cli_flag(cli, "json")) {
        out_json(list);
        return 0;
    }
    table_init(&t, cli, heads, COUNT_OF(heads));
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct cell *row = table_row(&t);

        row[0].text = json_text(cli, it.value, "function_id", NULL);
        row[1].text = json_text(cli, it.value, "debounce_key", NULL);
        row[2].text = json_text(cli, it.value, "fires_at", NULL);
        row[3].text = json_text(cli, it.value, "period_ms", NULL);
        row[4].text = json_text(cli, it.value, "event_id", NULL);
    }
    table_print(&t);
    return 0;
}

/* The environment, by its id, of the only entry with this function and key. */
static err_t find_env(struct cli *cli, str_t fn, str_t key, str_t *out)
{
    str_t list, env = STR_NULL;
    size_t n = 0;

    TRY(entries(cli, &list));
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        str_t other;

        if (!str_eq(json_text(cli, it.value, "function_id", NULL), fn) ||
            !str_eq(json_text(cli, it.value, "debounce_key", NULL), key))
            continue;
        other = json_text(cli, it.value, "environment_id", NULL);
        if (n > 0 && str_eq(other, env))
            continue;
        env = other;
        n++;
    }
    if (n == 0)
        return err_set(cli->c, ERR_NOT_FOUND,
                       "no pending entry of function \"" STR_FMT "\" has this key: "
                       "see ironflow debounce list",
                       STR_ARG(fn));
    if (n > 1)
        return err_set(cli->c, ERR_CONFLICT,
                       "several environments have such an entry: name one with --env");
    *out = env;
    return ERR_OK;
}

static void path_add(struct buf *b, str_t segment)
{
    buf_char(b, '/');
    url_encode(b, segment);
}

static int cli_debounce_cancel(struct cli *cli)
{
    struct api_req req = { .method = "DELETE" };
    str_t fn = str_from(cli->args[0]), key = str_from(cli->args[1]);
    str_t env = STR_NULL, answer;
    struct buf path;
    err_t e;

    if (!str_is_utf8(key))
        return cli_fail(cli, err_set(cli->c, ERR_INVALID, "the key is not valid UTF-8"));
    e = find_env(cli, fn, key, &env);
    if (e != ERR_OK)
        return cli_fail(cli, e);
    buf_init_arena(&path, cli->c->arena, (size_t)1 << 20);
    buf_append(&path, S("/api/v1/debounce/entries"));
    path_add(&path, env);
    path_add(&path, fn);
    path_add(&path, base64url_encode(cli->c->arena, key));
    req.path = buf_str(&path);
    e = api_call(cli, &req, &answer);
    if (e != ERR_OK)
        return cli_fail(cli, e);
    printf("Cancelled debounce entry " STR_FMT " (key: " STR_FMT ")\n", STR_ARG(out_clean(cli, fn)),
           STR_ARG(out_clean(cli, key)));
    return 0;
}

static const struct cmd cmd_debounce_list = {
    .name = "list",
    .help = "List pending debounce entries, earliest first.",
    .examples = "ironflow debounce list\nironflow debounce list --json",
    .opts = (const struct opt[]){ CLI_JSON_OPT, CLI_SERVER_OPTS, { 0 } },
    .run = cli_debounce_list,
};

static const struct cmd cmd_debounce_cancel = {
    .name = "cancel",
    .args = "<function-id> <debounce-key>",
    .help = "Cancel one pending entry without firing it.",
    .about = "The next event with this key begins a new window. When several environments have\n"
             "such an entry, --env says which is meant.",
    .examples = "ironflow debounce cancel my-fn-id user-42\n"
                "ironflow debounce cancel my-fn-id \"build:repo-7\" --env env_default\n"
                "ironflow debounce cancel my-fn-id \"key.with.dots\"",
    .opts = (const struct opt[]){ CLI_SERVER_OPTS, { 0 } },
    .run = cli_debounce_cancel,
};

const struct cmd cmd_debounce = {
    .name = "debounce",
    .help = "List and cancel pending debounce entries.",
    .subs = (const struct cmd *const[]){ &cmd_debounce_list, &cmd_debounce_cancel, NULL },
};
