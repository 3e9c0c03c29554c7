/* Calls to the server's API as the commands make them. */
#pragma once

#include "cli/tree.h"

#define CLI_TIMEOUT_MS 30000

struct api_req {
    const char *method;
    str_t path; /* "/api/v1/runs" */
    str_t body; /* JSON, or empty */
    int64_t timeout_ms;
};

/* Options of every command that talks to a server, for its row. */
/* clang-format off */
#define CLI_SERVER_OPTS \
    { 's', "server", OPT_TEXT, "url", NULL, \
      "Server to talk to (else IRONFLOW_SERVER_URL, else http://localhost:9123)." }, \
    { 0, "env", OPT_TEXT, "name", NULL, "Environment to work in (else IRONFLOW_ENV)." }
#define CLI_JSON_OPT \
    { 0, "json", OPT_FLAG, NULL, NULL, "Print the server's answer as JSON." }
/* clang-format on */

/* The server's URL without a final slash: --server, the environment, the default. ERR_INVALID. */
NODISCARD err_t api_server(struct cli *cli, str_t *out);
/* Sends and waits. *out is the JSON of a 2xx answer, in the arena; empty after a 204. Every other
 * outcome is an error whose text says what to do next. */
NODISCARD err_t api_call(struct cli *cli, const struct api_req *req, str_t *out);
/* What most commands do: sends, and prints the answer as it came with --json, else with print.
 * Returns the exit code. */
int api_show(struct cli *cli, const struct api_req *req,
             void (*print)(struct cli *cli, str_t answer));
/* "/api/v1/runs/" and the escaped id and tail. */
str_t api_path(struct cli *cli, const char *head, const char *id, const char *tail);
