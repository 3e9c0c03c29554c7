/* Printing for people: tables, labelled lines, errors, and JSON values as text. */
#include "cli/out.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/time.h"
#include "codec/json.h"

#define TEXT_BYTES_MAX ((size_t)256 << 20)

static const char *const tone_codes[] = {
    [TONE_PLAIN] = "",
    [TONE_GOOD] = "\033[32m",
    [TONE_BAD] = "\033[31m",
    [TONE_BUSY] = "\033[33m",
};

void out_text(str_t text)
{
    if (text.n > 0)
        fwrite(text.p, 1, text.n, stdout);
}

void out_toned(struct cli *cli, enum tone tone, str_t text)
{
    bool colour = tone != TONE_PLAIN && cli->env->stdout_tty && !cli->env->no_color;

    if (colour)
        fputs(tone_codes[tone], stdout);
    out_text(text);
    if (colour)
        fputs("\033[0m", stdout);
}

str_t out_clean(struct cli *cli, str_t text)
{
    struct buf b;

    buf_init_arena(&b, cli->c->arena, TEXT_BYTES_MAX);
    for (size_t i = 0; i < text.n;) {
        size_t step = str_utf8_step(text, i);

        if (step == 0 || str_is_control(text, i))
            buf_char(&b, '?');
        else
            buf_append(&b, str_slice(text, i, i + step));
        i += step == 0 ? 1 : step;
    }
    return buf_str(&b);
}

void out_line(struct cli *cli, const char *label, str_t value)
{
    if (value.n > 0)
        printf("%s: " STR_FMT "\n", label, STR_ARG(out_clean(cli, value)));
}

void out_json(str_t body)
{
    out_text(body);
    if (!str_ends(body, S("\n")))
        out_text(S("\n"));
}

enum tone tone_of_status(str_t status)
{
    if (str_ends(status, S("completed")) || str_ends(status, S("COMPLETED")))
        return TONE_GOOD;
    if (str_ends(status, S("failed")) || str_ends(status, S("FAILED")) ||
        str_ends(status, S("timed_out")) || str_ends(status, S("TIMED_OUT")))
        return TONE_BAD;
    if (str_ends(status, S("cancelled")) || str_ends(status, S("CANCELLED")))
        return TONE_PLAIN;
    return TONE_BUSY;
}

int cli_fail(struct cli *cli, err_t e)
{
    bool colour = cli->env->stderr_tty && !cli->env->no_color;

    fflush(stdout); /* what was printed before stands before */
    fprintf(stderr, "%sError:%s " STR_FMT "\n", colour ? tone_codes[TONE_BAD] : "",
            colour ? "\033[0m" : "", STR_ARG(err_text(cli->c, e)));
    return 1;
}

void table_init(struct table *t, struct cli *cli, const char *const *heads, size_t columns)
{
    must(columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){ .cli = cli, .heads = heads, .columns = columns };
}

struct cell *table_row(struct table *t)
{
    struct cell *row;

    if (t->rows == t->cap) {
        size_t cap = t->cap == 0 ? 32 : t->cap * 2;
        struct cell *cells = NEW_N(t->cli->c->arena, struct cell, cap * t->columns);

        if (t->rows > 0)
            memcpy(cells, t->cells, t->rows * t->columns * sizeof(*cells));
        t->cells = cells;
        t->cap = cap;
    }
    row = &t->cells[t->rows++ * t->columns];
    return row;
}

/* Characters, not bytes. */
static size_t text_width(str_t text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.n; i++)
        width += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return width;
}

/* No line ends with blanks, also when its last cells are empty. */
static void print_row(const struct table *t, const struct cell *row, const size_t *widths)
{
    size_t n = t->columns;

    while (n > 0 && row[n - 1].text.n == 0)
        n--;
    for (size_t k = 0; k < n; k++) {
        out_toned(t->cli, row[k].tone, row[k].text);
        for (size_t w = text_width(row[k].text); k + 1 < n && w < widths[k] + 2; w++)
            fputs(" ", stdout);
    }
    fputs("\n", stdout);
}

void table_print(const struct table *t)
{
    struct cell heads[TABLE_COLUMNS_MAX];
    size_t widths[TABLE_COLUMNS_MAX];

    for (size_t k = 0; k < t->columns; k++) {
        heads[k] = (struct cell){ str_from(t->heads[k]), TONE_PLAIN };
        widths[k] = text_width(str_from(t->heads[k]));
        for (size_t i = 0; i < t->rows; i++) {
            struct cell *cell = &t->cells[i * t->columns + k];
            size_t width;

            cell->text = out_clean(t->cli, cell->text);
            width = text_width(cell->text);
            if (width > widths[k])
                widths[k] = width;
        }
    }
    print_row(t, heads, widths);
    for (size_t i = 0; i < t->rows; i++)
        print_row(t, &t->cells[i * t->columns], widths);
}

str_t json_text(struct cli *cli, str_t object, const char *key, const char *other_key)
{
    str_t value = STR_NULL;

    if (!json_get(object, str_from(key), &value) &&
        (other_key == NULL || !json_get(object, str_from(other_key), &value)))
        return STR_NULL;
    return json_type(value) == JSON_NULL ? STR_NULL : json_scalar(cli->c->arena, value);
}

str_t json_compact(struct cli *cli, str_t value)
{
    struct buf b;
    bool quoted = false;

    buf_init_arena(&b, cli->c->arena, TEXT_BYTES_MAX);
    for (size_t i = 0; i < value.n; i++) {
        char ch = value.p[i];

        if (quoted && ch == '\\') {
            buf_append(&b, str_slice(value, i, i + 2));
            i++;
            continue;
        }
        if (ch == '"')
            quoted = !quoted;
        if (quoted || (ch != ' ' && ch != '\n' && ch != '\r' && ch != '\t'))
            buf_char(&b, ch);
    }
    return buf_str(&b);
}

str_t enum_word(struct cli *cli, str_t word, str_t prefix)
{
    str_t rest = str_starts(word, prefix) ? str_slice(word, prefix.n, word.n) : word;
    struct buf b;

    buf_init_arena(&b, cli->c->arena, 256);
    for (size_t i = 0; i < rest.n; i++)
        buf_char(&b, rest.p[i] >= 'A' && rest.p[i] <= 'Z' ? (char)(rest.p[i] + ('a' - 'A'))
                                                          : rest.p[i]);
    return buf_str(&b);
}

str_t time_text(struct cli *cli, str_t time, bool rfc3339)
{
    struct buf b;
    int64_t ms;

    if (!time_parse(time, &ms))
        return time; /* show what came rather than nothing */
    ms -= (ms % 1000 + 1000) % 1000;
    buf_init_arena(&b, cli->c->arena, 64);
    time_rfc3339(&b, ms);
    if (!rfc3339) { /* 2006-01-02T15:04:05Z */
        b.p[10] = ' ';
        b.n = 19;
    }
    return buf_str(&b);
}
