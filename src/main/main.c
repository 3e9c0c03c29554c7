/* The program: the root of the command tree and the environment, nothing else. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "main/cmd_serve.h"

static const struct cmd *const commands[] = {
    &cmd_serve, &cmd_emit,   &cmd_invoke,   &cmd_function,
    &cmd_run,   &cmd_server, &cmd_debounce, &cmd_circuit_breaker,
    &cmd_audit, &cmd_outbox, &cmd_version,  &cmd_completion,
    NULL
};

static const struct cmd root = {
    .name = "ironflow",
    .help = "Durable workflows in one binary.",
    .subs = commands,
};

static str_t env(const char *name)
{
    return str_from(getenv(name));
}

int main(int argc, char **argv)
{
    struct cli_env e = {
        .server_url = env("IRONFLOW_URL"),
        .api_key = env("IRONFLOW_API_KEY"),
        .environment = env("IRONFLOW_ENV"),
        .log_level = env("LOG_LEVEL"),
        .stdin_piped = !isatty(STDIN_FILENO),
        .stdout_tty = isatty(STDOUT_FILENO) == 1,
        .stderr_tty = isatty(STDERR_FILENO) == 1,
        .no_color = env("NO_COLOR").n > 0,
    };

    if (e.server_url.n == 0)
        e.server_url = env("IRONFLOW_SERVER_URL");
    return cli_main(&root, argc, argv, &e);
}
