/* The command tree: constant rows, from which come the parser, --help, the completions and the
 * reference page. A feature adds a row. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"

struct cli;

enum opt_kind { OPT_FLAG, OPT_TEXT, OPT_INT, OPT_DURATION, OPT_LIST };

struct opt {
    char letter;      /* 0: none */
    const char *name; /* "data-file"; NULL ends the list */
    enum opt_kind kind;
    const char *value; /* placeholder, "path"; NULL for flags */
    const char *def;   /* shown as the default; NULL: none */
    const char *help;
};

struct cmd {
    const char *name;
    const char *alias; /* or NULL */
    const char
        *args; /* "<run-id>"; NULL: none; "[x]" optional; only full words in <> are required */
    const char *help;     /* one line */
    const char *about;    /* paragraphs, or NULL */
    const char *examples; /* lines, or NULL */
    const struct opt *opts;
    const struct cmd *const *subs; /* NULL-terminated, or NULL */
    int (*run)(struct cli *cli);   /* exit code; NULL: only subcommands */
    bool hidden;                   /* works, but is not listed */
    bool own_log;                  /* sets the log up by itself */
};

/* Environment variables as main read them; empty views where unset. */
struct cli_env {
    str_t server_url; /* IRONFLOW_URL, else IRONFLOW_SERVER_URL */
    str_t api_key, environment;
    str_t log_level;
    bool stdin_piped, stdout_tty, stderr_tty, no_color;
};

/* One parsed invocation: what a command's run function sees. */
struct cli {
    struct ctx *c; /* arena for everything */
    const struct cli_env *env;
    const struct cmd *root, *cmd;
    const char *path;        /* the words that lead to cmd: "run list" */
    const char *const *args; /* positional, args_n of them */
    int args_n;
    bool verbose;
    struct cli_values *values;
};

/* What the options of the row cli->cmd were given as. opt is a name from that row, or of a global
 * option. */
bool cli_given(const struct cli *cli, const char *opt); /* the user wrote it */
bool cli_flag(const struct cli *cli, const char *opt);
str_t cli_text(const struct cli *cli, const char *opt); /* value, else default, else empty */
int64_t cli_int(const struct cli *cli, const char *opt);
int64_t cli_duration_ms(const struct cli *cli, const char *opt);
/* Values of a repeatable option in order, in the arena. */
const str_t *cli_list(const struct cli *cli, const char *opt, size_t *n);
