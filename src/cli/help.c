/* The pages of --help, made from the command rows. */
#include "cli/cli_priv.h"

void help_opt_name(struct buf *b, const struct opt *opt)
{
    if (opt->letter != 0)
        buf_printf(b, "-%c, ", opt->letter);
    else
        buf_append(b, S("    "));
    buf_printf(b, "--%s", opt->name);
    if (opt_takes_value(opt))
        buf_printf(b, " <%s>", opt->value);
}

static void pad(struct buf *b, size_t from, size_t width)
{
    for (size_t n = b->n - from; n < width; n++)
        buf_char(b, ' ');
}

static size_t opts_width(const struct opt *opts)
{
    char text[128];
    size_t width = 0;

    for (const struct opt *o = opts; o != NULL && o->name != NULL; o++) {
        struct buf b = { .p = text, .cap = sizeof(text), .max = sizeof(text) };

        help_opt_name(&b, o);
        if (b.n > width)
            width = b.n;
    }
    return width;
}

static void help_opts(struct buf *b, const char *title, const struct opt *opts)
{
    size_t width = opts_width(opts);

    if (opts == NULL || opts->name == NULL)
        return;
    buf_printf(b, "\n%s:\n", title);
    for (const struct opt *o = opts; o->name != NULL; o++) {
        size_t from;

        buf_append(b, S("  "));
        from = b->n;
        help_opt_name(b, o);
        pad(b, from, width + 2);
        buf_append(b, str_from(o->help));
        if (o->kind == OPT_LIST)
            buf_append(b, S(" May be repeated."));
        if (o->def != NULL)
            buf_printf(b, " (default %s)", o->def);
        buf_char(b, '\n');
    }
}

static void help_subs(struct buf *b, const struct cmd *cmd)
{
    size_t width = 0;

    if (cmd->subs == NULL)
        return;
    for (const struct cmd *const *s = cmd->subs; *s != NULL; s++)
        if (!(*s)->hidden && str_from((*s)->name).n > width)
            width = str_from((*s)->name).n;
    buf_append(b, S("\nCommands:\n"));
    for (const struct cmd *const *s = cmd->subs; *s != NULL; s++) {
        size_t from;

        if ((*s)->hidden)
            continue;
        buf_append(b, S("  "));
        from = b->n;
        buf_append(b, str_from((*s)->name));
        pad(b, from, width + 2);
        buf_append(b, str_from((*s)->help));
        buf_char(b, '\n');
    }
}

static void help_lines(struct buf *b, const char *title, const char *text)
{
    str_t rest = str_from(text), line;

    if (rest.n == 0)
        return;
    if (title != NULL)
        buf_printf(b, "\n%s:\n", title);
    else
        buf_char(b, '\n');
    while (str_cut(&rest, '\n', &line)) {
        if (title != NULL && line.n > 0)
            buf_append(b, S("  "));
        buf_append(b, line);
        buf_char(b, '\n');
    }
}

void help_page(struct buf *b, const struct cmd *root, const struct cmd *cmd, const char *path)
{
    const char *blank = path[0] == '\0' ? "" : " ";

    buf_printf(b, "%s\n\nUsage:\n  %s%s%s", cmd->help, root->name, blank, path);
    if (cmd->subs != NULL)
        buf_append(b, S(" <command>"));
    if (cmd->args != NULL)
        buf_printf(b, " %s", cmd->args);
    if (cmd->opts != NULL || cmd->subs != NULL)
        buf_append(b, S(" [flags]"));
    buf_char(b, '\n');
    help_lines(b, NULL, cmd->about);
    help_subs(b, cmd);
    help_opts(b, "Flags", cmd->opts);
    help_opts(b, "Global flags", cli_global_opts);
    help_lines(b, "Examples", cmd->examples);
    if (cmd->subs != NULL)
        buf_printf(b, "\nUse \"%s%s%s <command> --help\" for more about a command.\n", root->name,
                   blank, path);
}
