/* Data from a flag, a file or a pipe, and metadata from flags. */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "codec/json.h"

#define INPUT_BYTES_MAX ((size_t)64 << 20)
#define PIPE_WAIT_MS 100 /* for the first byte, when data was given by other means */

static err_t read_all(struct ctx *c, int fd, const char *name, str_t *out)
{
    struct buf b;

    buf_init_arena(&b, c->arena, INPUT_BYTES_MAX);
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(c, ERR_INVALID, "cannot read %s: %s", name, strerror(errno));
        if (n == 0)
            break;
        buf_append(&b, (str_t){ chunk, (size_t)n });
        if (b.full)
            return err_set(c, ERR_TOO_LARGE, "%s is larger than 64 MiB", name);
    }
    *out = buf_str(&b);
    return ERR_OK;
}

static err_t read_file(struct ctx *c, const char *path, str_t *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    err_t e;

    if (fd < 0)
        return err_set(c, ERR_INVALID, "cannot read %s: %s", path, strerror(errno));
    e = read_all(c, fd, path, out);
    (void)close(fd);
    return e;
}

/* Whether a pipe beside --data or --data-file carries something. Scripts often leave an open,
 * silent one there, so its end is not waited for. */
static bool pipe_speaks(const struct cli *cli)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    char byte;

    if (!cli->env->stdin_piped || poll(&p, 1, PIPE_WAIT_MS) <= 0 || (p.revents & POLLIN) == 0)
        return false;
    return read(STDIN_FILENO, &byte, 1) == 1;
}

/* "line 2, column 5" */
static str_t place_of(struct arena *a, str_t text, size_t at)
{
    size_t line = 1, column = 1;

    for (size_t i = 0; i < at && i < text.n; i++) {
        column = text.p[i] == '\n' ? 1 : column + 1;
        line += text.p[i] == '\n';
    }
    return str_printf(a, "line %zu, column %zu", line, column);
}

static err_t check_json(struct cli *cli, str_t text, const char *source, str_t *out)
{
    struct json_error e;

    if (json_check(text, out, &e))
        return ERR_OK;
    return err_set(cli->c, ERR_INVALID, "%s is not valid JSON: %s at byte %zu (" STR_FMT ")",
                   source, e.what, e.at, STR_ARG(place_of(cli->c->arena, text, e.at)));
}

err_t input_data(struct cli *cli, str_t *out)
{
    bool flag = cli_given(cli, "data"), file = cli_given(cli, "data-file");
    const char *source = "--data";
    str_t text = S("{}");

    if (flag && file)
        return err_set(cli->c, ERR_INVALID, "give --data or --data-file, not both");
    if ((flag || file) && pipe_speaks(cli))
        return err_set(cli->c, ERR_INVALID,
                       "data comes from %s and from standard input; give only one of them",
                       flag ? "--data" : "--data-file");
    if (flag) {
        text = cli_text(cli, "data");
    } else if (file) {
        source = str_z(cli->c->arena, cli_text(cli, "data-file"));
        TRY(read_file(cli->c, source, &text));
    } else if (cli->env->stdin_piped) {
        source = "standard input";
        TRY(read_all(cli->c, STDIN_FILENO, source, &text));
        if (str_trim(text).n == 0)
            text = S("{}"); /* nothing came through the pipe */
    }
    return check_json(cli, text, source, out);
}

err_t input_metadata(struct cli *cli, str_t *out)
{
    size_t n;
    const str_t *items = cli_list(cli, "metadata", &n);
    struct buf b;
    struct json_out w = { .b = &b };

    if (n == 0) {
        *out = STR_NULL;
        return ERR_OK;
    }
    buf_init_arena(&b, cli->c->arena, INPUT_BYTES_MAX);
    json_open(&w, '{');
    for (size_t i = 0; i < n; i++) {
        str_t value = items[i], key;
        bool again = false;

        if (str_index(value, '=') < 1)
            return err_set(cli->c, ERR_INVALID, "--metadata wants key=value, not \"" STR_FMT "\"",
                           STR_ARG(items[i]));
        if (!str_is_utf8(value))
            return err_set(cli->c, ERR_INVALID, "--metadata is not valid UTF-8");
        must(str_cut(&value, '=', &key));
        for (size_t k = i + 1; k < n && !again; k++)
            again = items[k].n > key.n && items[k].p[key.n] == '=' && str_starts(items[k], key);
        if (again)
            continue;
        json_key(&w, key);
        json_put_str(&w, value);
    }
    json_close(&w, '}');
    *out = buf_str(&b);
    return ERR_OK;
}
