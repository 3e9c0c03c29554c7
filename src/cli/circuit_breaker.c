/* `ironflow circuit-breaker`: lists and resets the circuit breakers of push endpoints. */
#include <stdio.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"

static err_t breakers(struct cli *cli, str_t *answer, str_t *list)
{
    struct api_req req = { .method = "GET", .path = S("/api/v1/circuit-breakers") };

    TRY(api_call(cli, &req, answer));
    if (!json_get(*answer, S("circuit_breakers"), list) || json_type(*list) != JSON_ARRAY)
        return err_set(cli->c, ERR_INTERNAL, "the server's answer is no list");
    return ERR_OK;
}

/* "function|endpoint"; ids of functions hold no bar. */
static void key_split(str_t key, str_t *fn, str_t *endpoint)
{
    ptrdiff_t at = str_index(key, '|');

    *fn = at < 0 ? key : str_slice(key, 0, (size_t)at);
    *endpoint = at < 0 ? STR_NULL : str_slice(key, (size_t)at + 1, key.n);
}

static enum tone tone_of_state(str_t state)
{
    if (str_eq(state, S("closed")))
        return TONE_GOOD;
    return str_eq(state, S("open")) ? TONE_BAD : TONE_BUSY;
}

static int cli_circuit_breaker_list(struct cli *cli)
{
    static const char *const heads[] = { "FUNCTION_ID", "ENDPOINT", "STATE", "FAILS",
                                         "LAST_FAILURE" };
    struct table t;
    str_t answer, list;
    err_t e = breakers(cli, &answer, &list);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (cli_flag(cli, "json")) {
        out_json(answer);
        return 0;
    }
    table_init(&t, cli, heads, COUNT_OF(heads));
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct cell *row = table_row(&t);

        key_split(json_text(cli, it.value, "key", NULL), &row[0].text, &row[1].text);
        row[2].text = json_text(cli, it.value, "state", NULL);
        row[2].tone = tone_of_state(row[2].text);
        row[3].text = json_text(cli, it.value, "failures", NULL);
        row[4].text = json_text(cli, it.value, "last_failure", NULL);
    }
    table_print(&t);
    return 0;
}

static err_t reset_one(struct cli *cli, str_t key)
{
    struct api_req req = { .method = "POST" };
    str_t answer;

    req.path = api_path(cli, "/api/v1/circuit-breakers/", str_z(cli->c->arena, key), "/reset");
    TRY(api_call(cli, &req, &answer));
    printf("Reset circuit breaker " STR_FMT "\n", STR_ARG(out_clean(cli, key)));
    return ERR_OK;
}

/* A URL stands for every breaker on it, a function id for every one of the function. */
static err_t reset_matching(struct cli *cli, str_t wanted)
{
    bool url = str_find(wanted, S("://")) >= 0;
    str_t answer, list;
    size_t n = 0;

    TRY(breakers(cli, &answer, &list));
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        str_t key = json_text(cli, it.value, "key", NULL), fn, endpoint;

        key_split(key, &fn, &endpoint);
        if (!str_eq(url ? endpoint : fn, wanted))
            continue;
        TRY(reset_one(cli, key));
        n++;
    }
    if (n > 0)
        return ERR_OK;
    return err_set(cli->c, ERR_NOT_FOUND,
                   "no circuit breaker %s " STR_FMT ": see ironflow "
                   "circuit-breaker list",
                   url ? "protects" : "belongs to function", STR_ARG(wanted));
}

static int cli_circuit_breaker_reset(struct cli *cli)
{
    err_t e = reset_matching(cli, str_from(cli->args[0]));

    return e == ERR_OK ? 0 : cli_fail(cli, e);
}

static const struct cmd cmd_circuit_breaker_list = {
    .name = "list",
    .help = "List all circuit breakers.",
    .examples = "ironflow circuit-breaker list\nironflow circuit-breaker list --json\n"
                "ironflow circuit-breaker list -s http://localhost:9000",
    .opts = (const struct opt[]){ CLI_JSON_OPT, CLI_SERVER_OPTS, { 0 } },
    .run = cli_circuit_breaker_list,
};

static const struct cmd cmd_circuit_breaker_reset = {
    .name = "reset",
    .args = "<endpoint-url|function-id>",
    .help = "Close a circuit breaker and let the runs go that it held back.",
    .about = "An argument with :// is an endpoint, and every breaker on it is reset. Anything\n"
             "else is a function, and every breaker of it is reset.",
    .examples = "ironflow circuit-breaker reset https://my-app.example.com/api/handler\n"
                "ironflow circuit-breaker reset my-function-id",
    .opts = (const struct opt[]){ CLI_SERVER_OPTS, { 0 } },
    .run = cli_circuit_breaker_reset,
};

const struct cmd cmd_circuit_breaker = {
    .name = "circuit-breaker",
    .alias = "cb",
    .help = "List and reset the circuit breakers of push endpoints.",
    .subs =
        (const struct cmd *const[]){ &cmd_circuit_breaker_list, &cmd_circuit_breaker_reset, NULL },
};
