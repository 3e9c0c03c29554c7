/* `ironflow completion`: scripts for bash, zsh and fish, made from the command rows. Each script
 * walks the words typed so far to the command they name (kept as " run list") and offers what it
 * takes. */
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/out.h"

#define SCRIPT_BYTES_MAX ((size_t)4 << 20)

struct script {
    struct buf *b;
    bool first;
};

/* Inside single quotes of sh and zsh. */
static void quote_sh(struct buf *b, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_append(b, S("'\\''"));
        else
            buf_char(b, *text);
    }
}

/* Inside single quotes of fish. */
static void quote_fish(struct buf *b, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            buf_char(b, '\\');
        buf_char(b, *text);
    }
}

/* The commands as alternatives of a case pattern: " run"|" run list". */
static void put_pattern(void *arg, const struct cmd *cmd, const char *path)
{
    struct script *s = arg;

    (void)cmd;
    if (path[0] == '\0')
        return;
    buf_printf(s->b, "%s\" %s\"", s->first ? "" : "|", path);
    s->first = false;
}

static void put_patterns(struct buf *b, const struct cmd *root)
{
    struct script s = { b, true };

    cmd_visit(root, put_pattern, &s);
}

/* ---- bash ---- */

static void bash_words(struct buf *b, const struct opt *opts, bool values)
{
    for (const struct opt *o = opts; o != NULL && o->name != NULL; o++) {
        if (values && !opt_takes_value(o))
            continue;
        buf_printf(b, " --%s", o->name);
        if (values && o->letter != 0)
            buf_printf(b, " -%c", o->letter);
    }
}

static void bash_cmd(void *arg, const struct cmd *cmd, const char *path)
{
    struct buf *b = ((struct script *)arg)->b;

    buf_printf(b, "    \"%s%s\")\n        words=\"", path[0] == '\0' ? "" : " ", path);
    for (const struct cmd *const *s = cmd->subs; s != NULL && *s != NULL; s++)
        if (!(*s)->hidden)
            buf_printf(b, "%s ", (*s)->name);
    bash_words(b, cmd->opts, false);
    bash_words(b, cli_global_opts, false);
    buf_append(b, S("\"\n        values=\""));
    bash_words(b, cmd->opts, true);
    bash_words(b, cli_global_opts, true);
    buf_append(b, S(" \"\n        ;;\n"));
}

static void bash_script(struct buf *b, const struct cmd *root)
{
    struct script s = { b, true };

    buf_printf(b, "# bash completion for %s\n_%s() {\n", root->name, root->name);
    buf_append(b, S("    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                    "    local at=\"\" words=\"\" values=\"\" i\n"
                    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                    "        case \"$at ${COMP_WORDS[i]}\" in\n        "));
    put_patterns(b, root);
    buf_append(b, S(") at=\"$at ${COMP_WORDS[i]}\" ;;\n        esac\n    done\n"
                    "    case \"$at\" in\n"));
    cmd_visit(root, bash_cmd, &s);
    buf_append(b, S("    esac\n    COMPREPLY=()\n"
                    "    case \"$values\" in\n    *\" $prev \"*) return ;;\n    esac\n"
                    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"));
    buf_printf(b, "complete -o default -F _%s %s\n", root->name, root->name);
}

/* ---- zsh ---- */

static void zsh_item(struct buf *b, const char *dashes, const char *name, const char *help)
{
    buf_printf(b, "            '%s%s:", dashes, name);
    quote_sh(b, help);
    buf_append(b, S("'\n"));
}

static void zsh_cmd(void *arg, const struct cmd *cmd, const char *path)
{
    struct buf *b = ((struct script *)arg)->b;

    buf_printf(b, "    \"%s%s\")\n        subs=(\n", path[0] == '\0' ? "" : " ", path);
    for (const struct cmd *const *s = cmd->subs; s != NULL && *s != NULL; s++)
        if (!(*s)->hidden)
            zsh_item(b, "", (*s)->name, (*s)->help);
    buf_append(b, S("        )\n        opts=(\n"));
    for (const struct opt *o = cmd->opts; o != NULL && o->name != NULL; o++)
        zsh_item(b, "--", o->name, o->help);
    for (const struct opt *o = cli_global_opts; o->name != NULL; o++)
        zsh_item(b, "--", o->name, o->help);
    buf_append(b, S("        )\n        ;;\n"));
}

static void zsh_script(struct buf *b, const struct cmd *root)
{
    struct script s = { b, true };

    buf_printf(b, "#compdef %s\n# zsh completion for %s\n_%s() {\n", root->name, root->name,
               root->name);
    buf_append(b, S("    local at=\"\" word\n    local -a subs opts\n"
                    "    for word in ${words[2,CURRENT-1]}; do\n"
                    "        case \"$at $word\" in\n        "));
    put_patterns(b, root);
    buf_append(b, S(") at=\"$at $word\" ;;\n        esac\n    done\n    case \"$at\" in\n"));
    cmd_visit(root, zsh_cmd, &s);
    buf_append(b, S("    esac\n"
                    "    if [[ $PREFIX == -* ]]; then\n"
                    "        _describe -o option opts\n"
                    "    elif (( ${#subs} )); then\n"
                    "        _describe command subs\n"
                    "    else\n"
                    "        _files\n"
                    "    fi\n}\n"));
    /* read as a file of $fpath, or sourced */
    buf_printf(b,
               "if [[ $funcstack[1] == _%s ]]; then\n    _%s \"$@\"\nelse\n"
               "    compdef _%s %s\nfi\n",
               root->name, root->name, root->name, root->name);
}

/* ---- fish ---- */

static void fish_opt(struct buf *b, const struct opt *o)
{
    if (o->letter != 0)
        buf_printf(b, " -s %c", o->letter);
    buf_printf(b, " -l %s%s -d '", o->name, opt_takes_value(o) ? " -r" : "");
    quote_fish(b, o->help);
    buf_append(b, S("'\n"));
}

static void fish_cmd(void *arg, const struct cmd *cmd, const char *path)
{
    struct buf *b = ((struct script *)arg)->b;
    const char *blank = path[0] == '\0' ? "" : " ";

    for (const struct cmd *const *s = cmd->subs; s != NULL && *s != NULL; s++) {
        if ((*s)->hidden)
            continue;
        buf_printf(b, "complete -c ironflow -n '__ironflow_at \"%s%s\"' -f -a %s -d '", blank, path,
                   (*s)->name);
        quote_fish(b, (*s)->help);
        buf_append(b, S("'\n"));
    }
    for (const struct opt *o = cmd->opts; o != NULL && o->name != NULL; o++) {
        buf_printf(b, "complete -c ironflow -n '__ironflow_at \"%s%s\"'", blank, path);
        fish_opt(b, o);
    }
}

static void fish_script(struct buf *b, const struct cmd *root)
{
    struct script s = { b, true };
    size_t from;

    buf_append(b, S("# fish completion for ironflow\nfunction __ironflow_at\n    set -l at \"\"\n"
                    "    for word in (commandline -opc)[2..]\n"
                    "        switch \"$at $word\"\n            case "));
    from = b->n;
    put_patterns(b, root);
    for (size_t i = from; i < b->n; i++)
        if (b->p[i] == '|')
            b->p[i] = ' ';
    buf_append(b, S("\n                set at \"$at $word\"\n        end\n    end\n"
                    "    test \"$at\" = \"$argv[1]\"\nend\n"));
    for (const struct opt *o = cli_global_opts; o->name != NULL; o++) {
        buf_append(b, S("complete -c ironflow"));
        fish_opt(b, o);
    }
    cmd_visit(root, fish_cmd, &s);
}

bool completion_script(struct buf *b, const struct cmd *root, str_t shell)
{
    if (str_eq(shell, S("bash")))
        bash_script(b, root);
    else if (str_eq(shell, S("zsh")))
        zsh_script(b, root);
    else if (str_eq(shell, S("fish")))
        fish_script(b, root);
    else
        return false;
    must(!b->full);
    return true;
}

static int cli_completion(struct cli *cli)
{
    struct buf b;

    buf_init_arena(&b, cli->c->arena, SCRIPT_BYTES_MAX);
    if (!completion_script(&b, cli->root, str_from(cli->args[0])))
        return cli_fail(cli,
                        err_set(cli->c, ERR_INVALID,
                                "no completion for \"%s\"; one of bash, zsh, fish", cli->args[0]));
    out_text(buf_str(&b));
    return 0;
}

const struct cmd cmd_completion = {
    .name = "completion",
    .args = "<shell>",
    .help = "Print a completion script for bash, zsh or fish.",
    .examples = "# bash, for this user\n"
                "ironflow completion bash > ~/.local/share/bash-completion/completions/ironflow\n"
                "# zsh, into a folder of $fpath\n"
                "ironflow completion zsh > ~/.zsh/completions/_ironflow\n"
                "# fish\n"
                "ironflow completion fish > ~/.config/fish/completions/ironflow.fish",
    .run = cli_completion,
};
