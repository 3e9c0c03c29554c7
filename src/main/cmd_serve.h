/* The row of `ironflow serve` in the command tree. */
#pragma once

#include "cli/tree.h"

extern const struct cmd cmd_serve;
/* Boots, serves until a signal, stops; returns the exit code. */
int cmd_serve_run(struct cli *cli);
