/* `ironflow server info`: is it up, which version, how busy. */
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"

struct info {
    str_t server, version, status, uptime, toolchain, functions, runs, workers;
};

/* Versions and counts from Info; health and uptime, which only the server's clock knows, from the
 * overview. Zero counts may be absent from an RPC answer. */
static err_t info_get(struct cli *cli, struct info *out)
{
    struct api_req info = { .method = "POST",
                            .path = S("/ironflow.v1.IronflowService/Info"),
                            .body = S("{}") };
    struct api_req overview = { .method = "GET", .path = S("/api/v1/overview") };
    str_t a, b;
    int64_t seconds = 0;
    struct buf uptime;

    TRY(api_server(cli, &out->server));
    TRY(api_call(cli, &info, &a));
    TRY(api_call(cli, &overview, &b));
    err_ignore(str_to_i64(json_text(cli, b, "uptime_seconds", NULL), &seconds) ? ERR_OK
                                                                               : ERR_INVALID,
               "an uptime that is no number shows as 0s");
    buf_init_arena(&uptime, cli->c->arena, 64);
    duration_print(&uptime, seconds * 1000);
    out->version = json_text(cli, a, "version", NULL);
    out->status = json_text(cli, b, "status", NULL);
    out->uptime = buf_str(&uptime);
    out->toolchain = json_text(cli, a, "goVersion", "go_version");
    out->functions = json_text(cli, a, "functionCount", "function_count");
    out->runs = json_text(cli, a, "activeRuns", "active_runs");
    out->workers = json_text(cli, a, "connectedWorkers", "connected_workers");
    return ERR_OK;
}

static void put_count(struct json_out *w, str_t key, str_t count)
{
    int64_t n = 0;

    json_key(w, key);
    json_put_i64(w, str_to_i64(count, &n) ? n : 0);
}

static void info_json(struct cli *cli, const struct info *i)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, cli->c->arena, (size_t)1 << 20);
    json_open(&w, '{');
    json_key(&w, S("server"));
    json_put_str(&w, i->server);
    json_key(&w, S("version"));
    json_put_str(&w, i->version);
    json_key(&w, S("status"));
    json_put_str(&w, i->status);
    json_key(&w, S("uptime"));
    json_put_str(&w, i->uptime);
    json_key(&w, S("go"));
    json_put_str(&w, i->toolchain);
    put_count(&w, S("functions"), i->functions);
    put_count(&w, S("runs"), i->runs);
    put_count(&w, S("workers"), i->workers);
    json_close(&w, '}');
    out_json(buf_str(&b));
}

static void count_line(struct cli *cli, const char *label, str_t count, const char *what)
{
    out_line(cli, label,
             str_printf(cli->c->arena, STR_FMT " %s", STR_ARG(count.n > 0 ? count : S("0")), what));
}

static int cli_server_info(struct cli *cli)
{
    struct info i = { 0 };
    err_t e = info_get(cli, &i);

    if (e != ERR_OK)
        return cli_fail(cli, e);
    if (cli_flag(cli, "json")) {
        info_json(cli, &i);
        return 0;
    }
    out_line(cli, "Server", i.server);
    out_line(cli, "Version", i.version);
    out_line(cli, "Status", i.status);
    out_line(cli, "Uptime", i.uptime);
    out_line(cli, "Go", i.toolchain);
    count_line(cli, "Functions", i.functions, "registered");
    count_line(cli, "Runs", i.runs, "active");
    count_line(cli, "Workers", i.workers, "connected");
    return 0;
}

static const struct cmd cmd_server_info = {
    .name = "info",
    .help = "Show the server's health, version and load.",
    .examples = "ironflow server info\n"
                "ironflow server info --json\n"
                "ironflow server info --server http://localhost:9000",
    .opts = (const struct opt[]){ { 0, "json", OPT_FLAG, NULL, NULL, "Print JSON." },
                                  CLI_SERVER_OPTS,
                                  { 0 } },
    .run = cli_server_info,
};

const struct cmd cmd_server = {
    .name = "server",
    .help = "Look at the server.",
    .subs = (const struct cmd *const[]){ &cmd_server_info, NULL },
};
