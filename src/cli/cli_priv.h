/* Shared inside src/cli: the parser, and the printers that are made from the command rows. */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"

#define CLI_DEPTH_MAX 4 /* command words */

struct cli_value {
    const struct opt *opt;
    str_t text;
};

struct cli_values {
    struct cli_value *items; /* in the order of the command line */
    size_t n;
};

/* Options that every command has; ends with a row without a name. */
extern const struct opt cli_global_opts[];

/* Fills cli->cmd, path, args, values and verbose from argv (without the program). *help is set when
 * help was asked for or cmd only groups others. ERR_INVALID with a text for people; then cli->cmd
 * is the row where reading stopped. */
NODISCARD err_t cli_parse(struct cli *cli, int argc, char **argv, bool *help);
/* The name nearest to word, NULL when none is near. Feed it the candidates one by one. */
struct suggest {
    str_t word;
    const char *best;
    size_t distance;
};
void suggest_try(struct suggest *s, const char *name);

/* The page of --help. */
void help_page(struct buf *b, const struct cmd *root, const struct cmd *cmd, const char *path);
/* "-d, --data <json>" */
void help_opt_name(struct buf *b, const struct opt *opt);
/* Options shown as needing a value. */
static inline bool opt_takes_value(const struct opt *opt)
{
    return opt->kind != OPT_FLAG;
}

/* Calls fn for every listed row below root, parents first, with its words ("" for root itself). */
typedef void (*cmd_visit_fn)(void *arg, const struct cmd *cmd, const char *path);
void cmd_visit(const struct cmd *root, cmd_visit_fn fn, void *arg);
/* The reference page docs/reference/cli.md. */
void reference_page(struct buf *b, const struct cmd *root);
/* A completion script for "bash", "zsh" or "fish"; false for another shell. */
bool completion_script(struct buf *b, const struct cmd *root, str_t shell);

/* Rows of `run` that stand in a file of their own. */
extern const struct cmd cmd_run_pause, cmd_run_paused_state, cmd_run_inject, cmd_run_resume;

/* The hidden row behind `make docs`; it stands beside the rows of root. */
extern const struct cmd cmd_docs;
