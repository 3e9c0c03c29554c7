/* Entry of the command line: reads argv, shows help, runs the command, reports mistakes. */
#include "cli/cli.h"

#include <stdio.h>

#include "base/log.h"
#include "cli/cli_priv.h"
#include "cli/out.h"

#define HELP_BYTES_MAX ((size_t)1 << 20)

/* LOG_LEVEL beats --verbose, which beats the quiet default. `serve` sets its own. */
static void logging_setup(const struct cli *cli)
{
    enum log_level level = cli->verbose ? LOG_DEBUG : LOG_WARN;

    if (cli->env->log_level.n > 0 && !log_level_parse(cli->env->log_level, &level))
        fprintf(stderr,
                "Warning: LOG_LEVEL \"" STR_FMT "\" is unknown; one of trace, debug, info, "
                "warn, error, fatal\n",
                STR_ARG(cli->env->log_level));
    log_setup(level, false);
}

static void print_help(struct cli *cli)
{
    struct buf b;

    buf_init_arena(&b, cli->c->arena, HELP_BYTES_MAX);
    help_page(&b, cli->root, cli->cmd, cli->path);
    must(!b.full);
    out_text(buf_str(&b));
}

static int usage_error(struct cli *cli, err_t e)
{
    const char *blank = cli->path[0] == '\0' ? "" : " ";

    (void)cli_fail(cli, e);
    fprintf(stderr, "See \"%s%s%s --help\".\n", cli->root->name, blank, cli->path);
    return 1;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
    bool help = false;
    err_t e = cli_parse(cli, argc > 0 ? argc - 1 : 0, argv + (argc > 0), &help);

    if (e != ERR_OK)
        return usage_error(cli, e);
    if (!cli->cmd->own_log)
        logging_setup(cli);
    if (help) {
        print_help(cli);
        return 0;
    }
    return cli->cmd->run(cli);
}

int cli_main(const struct cmd *root, int argc, char **argv, const struct cli_env *env)
{
    struct arena arena;
    struct ctx c = { .arena = &arena, .clock = clock_system() };
    struct cli cli = { .c = &c, .env = env, .root = root };
    int code;

    arena_init(&arena);
    c.now_ms = clock_now(c.clock);
    code = dispatch(&cli, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "Error: cannot write to standard output\n");
        code = 1;
    }
    arena_done(&arena);
    return code;
}
