/* Entry to the command line: parses, dispatches, prints errors for people. */
#pragma once

#include "cli/tree.h"

/* Runs argv against the tree below root and returns the exit code: 0 success, 1 error. */
int cli_main(const struct cmd *root, int argc, char **argv, const struct cli_env *env);

/* The rows of the client commands; main puts `serve` beside them in its root row. */
extern const struct cmd cmd_emit, cmd_invoke, cmd_function, cmd_run, cmd_server, cmd_version,
    cmd_completion, cmd_debounce, cmd_circuit_breaker, cmd_audit, cmd_outbox;
