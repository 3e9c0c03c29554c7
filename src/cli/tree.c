/* Reads a command line against the rows: finds the command, its options and its arguments. Options
 * may stand before and after arguments; the global ones also before the command words. */
#include "cli/tree.h"

#include <string.h>

#include "base/time.h"
#include "cli/cli_priv.h"

const struct opt cli_global_opts[] = {
    { 'v', "verbose", OPT_FLAG, NULL, NULL, "Log requests and other details to stderr." },
    { 0, "as-org", OPT_TEXT, "org-id", NULL, "Act inside an organization (platform users)." },
    { 'h', "help", OPT_FLAG, NULL, NULL, "Show help for the command." },
    { 0 },
};

struct parse {
    struct cli *cli;
    struct cli_value *values;
    const char **args;
    struct buf path;
    int argc, at;
    char **argv;
    bool only_args, help;
};

static const struct opt *opt_by_name(const struct opt *opts, str_t name)
{
    for (const struct opt *o = opts; o != NULL && o->name != NULL; o++)
        if (str_eq(str_from(o->name), name))
            return o;
    return NULL;
}

static const struct opt *opt_by_letter(const struct opt *opts, char letter)
{
    for (const struct opt *o = opts; o != NULL && o->name != NULL; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

/* The command's own options win over the global ones. */
static const struct opt *opt_find(const struct cmd *cmd, str_t name)
{
    const struct opt *own = opt_by_name(cmd->opts, name);

    return own != NULL ? own : opt_by_name(cli_global_opts, name);
}

static err_t opt_unknown(struct parse *p, str_t shown, str_t name)
{
    struct suggest s = { .word = name };

    for (const struct opt *o = p->cli->cmd->opts; o != NULL && o->name != NULL; o++)
        suggest_try(&s, o->name);
    for (const struct opt *o = cli_global_opts; o->name != NULL; o++)
        suggest_try(&s, o->name);
    if (s.best != NULL)
        return err_set(p->cli->c, ERR_INVALID, "unknown option " STR_FMT "; did you mean --%s?",
                       STR_ARG(shown), s.best);
    return err_set(p->cli->c, ERR_INVALID, "unknown option " STR_FMT, STR_ARG(shown));
}

static err_t value_check(struct ctx *c, const struct opt *opt, str_t text)
{
    int64_t n;

    switch (opt->kind) {
    case OPT_FLAG:
        if (!str_eq(text, S("true")) && !str_eq(text, S("false")))
            return err_set(c, ERR_INVALID, "--%s takes no value, or true or false", opt->name);
        break;
    case OPT_INT:
        if (!str_to_i64(text, &n))
            return err_set(c, ERR_INVALID, "--%s wants a whole number, not \"" STR_FMT "\"",
                           opt->name, STR_ARG(text));
        break;
    case OPT_DURATION:
        if (!duration_parse(text, &n))
            return err_set(c, ERR_INVALID,
                           "--%s wants a duration such as 30s or 1m30s, not \"" STR_FMT "\"",
                           opt->name, STR_ARG(text));
        break;
    case OPT_TEXT:
    case OPT_LIST:
        break;
    }
    return ERR_OK;
}

static err_t value_add(struct parse *p, const struct opt *opt, str_t text)
{
    struct cli_values *v = p->cli->values;

    TRY(value_check(p->cli->c, opt, text));
    v->items[v->n++] = (struct cli_value){ opt, text };
    if (opt == &cli_global_opts[0])
        p->cli->verbose = str_eq(text, S("true"));
    if (str_eq(str_from(opt->name), S("help")))
        p->help = str_eq(text, S("true"));
    return ERR_OK;
}

/* The value of an option that stands in the next word. */
static err_t value_next(struct parse *p, const struct opt *opt)
{
    if (p->at >= p->argc)
        return err_set(p->cli->c, ERR_INVALID, "--%s wants a value: --%s <%s>", opt->name,
                       opt->name, opt->value);
    return value_add(p, opt, str_from(p->argv[p->at++]));
}

static err_t parse_long(struct parse *p, str_t word)
{
    str_t rest = str_slice(word, 2, word.n), name = STR_NULL;
    bool equals = str_index(rest, '=') >= 0;
    const struct opt *opt;

    err_ignore(str_cut(&rest, '=', &name) ? ERR_OK : ERR_INVALID, "\"--\" does not come here");
    opt = opt_find(p->cli->cmd, name);
    if (opt == NULL)
        return opt_unknown(p, str_slice(word, 0, 2 + name.n), name);
    if (equals)
        return value_add(p, opt, rest);
    if (!opt_takes_value(opt))
        return value_add(p, opt, S("true"));
    return value_next(p, opt);
}

/* "-w", "-wv", "-t 5s", "-t5s", "-t=5s" */
static err_t parse_short(struct parse *p, str_t word)
{
    for (size_t i = 1; i < word.n; i++) {
        const struct opt *opt = opt_by_letter(p->cli->cmd->opts, word.p[i]);
        str_t rest = str_slice(word, i + 1, word.n);

        if (opt == NULL)
            opt = opt_by_letter(cli_global_opts, word.p[i]);
        if (opt == NULL)
            return opt_unknown(p, word, str_slice(word, 1, word.n));
        if (rest.n > 0 && rest.p[0] == '=')
            return value_add(p, opt, str_slice(rest, 1, rest.n));
        if (opt_takes_value(opt))
            return rest.n > 0 ? value_add(p, opt, rest) : value_next(p, opt);
        TRY(value_add(p, opt, S("true")));
    }
    return ERR_OK;
}

static const struct cmd *sub_find(const struct cmd *cmd, str_t word)
{
    for (const struct cmd *const *s = cmd->subs; s != NULL && *s != NULL; s++)
        if (str_eq(str_from((*s)->name), word) ||
            ((*s)->alias != NULL && str_eq(str_from((*s)->alias), word)))
            return *s;
    return NULL;
}

static err_t parse_command(struct parse *p, str_t word)
{
    struct cli *cli = p->cli;
    const struct cmd *sub = sub_find(cli->cmd, word);
    struct suggest s = { .word = word };

    if (sub == NULL && cli->cmd == cli->root && str_eq(word, str_from(cmd_docs.name)))
        sub = &cmd_docs;
    if (sub != NULL) {
        cli->cmd = sub;
        if (p->path.n > 0)
            buf_char(&p->path, ' ');
        buf_append(&p->path, str_from(sub->name));
        return ERR_OK;
    }
    if (cli->cmd == cli->root && str_eq(word, S("help"))) {
        p->help = true;
        return ERR_OK;
    }
    for (const struct cmd *const *i = cli->cmd->subs; *i != NULL; i++)
        if (!(*i)->hidden)
            suggest_try(&s, (*i)->name);
    if (s.best != NULL)
        return err_set(cli->c, ERR_INVALID, "unknown command \"" STR_FMT "\"; did you mean %s?",
                       STR_ARG(word), s.best);
    return err_set(cli->c, ERR_INVALID, "unknown command \"" STR_FMT "\"", STR_ARG(word));
}

static err_t parse_word(struct parse *p, str_t word)
{
    struct cli *cli = p->cli;

    if (!p->only_args && str_eq(word, S("--"))) {
        p->only_args = true;
        return ERR_OK;
    }
    if (!p->only_args && cli->cmd == cli->root && str_eq(word, S("--version")))
        return parse_command(p, S("version"));
    if (!p->only_args && str_starts(word, S("--")))
        return parse_long(p, word);
    if (!p->only_args && word.n > 1 && word.p[0] == '-')
        return parse_short(p, word);
    if (cli->cmd->subs != NULL && cli->args_n == 0 && !p->only_args)
        return parse_command(p, word);
    p->args[cli->args_n++] = word.p;
    return ERR_OK;
}

/* Required arguments are the words in <>; a word that ends with ... takes any number. */
static err_t check_args(struct cli *cli)
{
    str_t rest = str_from(cli->cmd->args), word;
    int at = 0;
    bool many = false;

    while (str_cut(&rest, ' ', &word)) {
        if (at >= cli->args_n && str_starts(word, S("<")))
            return err_set(cli->c, ERR_INVALID, "missing argument " STR_FMT, STR_ARG(word));
        many = str_ends(word, S("..."));
        at++;
    }
    if (cli->args_n > at && !many)
        return err_set(cli->c, ERR_INVALID, "unexpected argument \"%s\"", cli->args[at]);
    return ERR_OK;
}

err_t cli_parse(struct cli *cli, int argc, char **argv, bool *help)
{
    struct arena *a = cli->c->arena;
    struct parse p = { .cli = cli, .argc = argc, .argv = argv };
    size_t letters = 1;
    err_t e = ERR_OK;

    for (int i = 0; i < argc; i++) /* a bundle holds at most one option a letter */
        letters += strlen(argv[i]) + 1;
    cli->values = NEW(a, struct cli_values);
    cli->values->items = NEW_N(a, struct cli_value, letters);
    p.args = NEW_N(a, const char *, argc + 1);
    buf_init_arena(&p.path, a, 256);
    cli->cmd = cli->root;
    cli->args = p.args;
    while (e == ERR_OK && p.at < argc)
        e = parse_word(&p, str_from(argv[p.at++]));
    cli->path = str_z(a, buf_str(&p.path));
    TRY(e);
    *help = p.help || cli->cmd->run == NULL;
    return *help ? ERR_OK : check_args(cli);
}

/* The last value of the option, NULL when it was not given. */
static const struct cli_value *value_last(const struct cli *cli, const char *name)
{
    for (size_t i = cli->values->n; i > 0; i--)
        if (strcmp(cli->values->items[i - 1].opt->name, name) == 0)
            return &cli->values->items[i - 1];
    return NULL;
}

bool cli_given(const struct cli *cli, const char *opt)
{
    return value_last(cli, opt) != NULL;
}

str_t cli_text(const struct cli *cli, const char *opt)
{
    const struct cli_value *v = value_last(cli, opt);
    const struct opt *row = opt_find(cli->cmd, str_from(opt));

    must(row != NULL);
    return v != NULL ? v->text : str_from(row->def);
}

bool cli_flag(const struct cli *cli, const char *opt)
{
    return str_eq(cli_text(cli, opt), S("true"));
}

int64_t cli_int(const struct cli *cli, const char *opt)
{
    int64_t n = 0;

    must(str_to_i64(cli_text(cli, opt), &n)); /* given values were checked, defaults are ours */
    return n;
}

int64_t cli_duration_ms(const struct cli *cli, const char *opt)
{
    int64_t ms = 0;

    must(duration_parse(cli_text(cli, opt), &ms));
    return ms;
}

const str_t *cli_list(const struct cli *cli, const char *opt, size_t *n)
{
    str_t *list = NEW_N(cli->c->arena, str_t, cli->values->n + 1);

    *n = 0;
    for (size_t i = 0; i < cli->values->n; i++)
        if (strcmp(cli->values->items[i].opt->name, opt) == 0)
            list[(*n)++] = cli->values->items[i].text;
    return list;
}

static void visit(const struct cmd *cmd, const char *path, cmd_visit_fn fn, void *arg)
{
    fn(arg, cmd, path);
    for (const struct cmd *const *s = cmd->subs; s != NULL && *s != NULL; s++) {
        char words[256];
        struct buf b = { .p = words, .cap = sizeof(words), .max = sizeof(words) };

        if ((*s)->hidden)
            continue;
        buf_append(&b, str_from(path));
        if (b.n > 0)
            buf_char(&b, ' ');
        buf_append(&b, str_from((*s)->name));
        buf_char(&b, '\0');
        must(!b.full);
        visit(*s, words, fn, arg); /* as deep as our rows, not as the input */
    }
}

void cmd_visit(const struct cmd *root, cmd_visit_fn fn, void *arg)
{
    visit(root, "", fn, arg);
}
