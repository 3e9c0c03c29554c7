/* One statement text for both databases: $n and $env become what the database numbers by itself,
 * {macros} its own words. Quoted text and comments pass unchanged. Pure; any thread. */
#include <string.h>

#include "db/db_priv.h"

struct macro {
    const char *name;
    const char *text[2]; /* by enum db_kind */
};

static const struct macro macros[] = {
    { "for_update", { "", "FOR UPDATE" } },
    { "skip_locked", { "", "FOR UPDATE SKIP LOCKED" } },
    { "blob", { "BLOB", "BYTEA" } },
    { "strict", { "WITHOUT ROWID", "" } },
    { "id", { "INTEGER PRIMARY KEY", "BIGINT PRIMARY KEY" } },
    { "text", { "TEXT", "TEXT COLLATE \"C\"" } },
};

static bool is_word(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           ch == '_';
}

static size_t word_len(str_t s)
{
    size_t n = 0;

    while (n < s.n && is_word(s.p[n]))
        n++;
    return n;
}

/* Length of the quoted text or comment that s begins with, or 0. */
static size_t opaque_len(str_t s)
{
    char first = s.p[0];

    if (first == '\'' || first == '"') {
        ptrdiff_t end = str_index(str_slice(s, 1, s.n), first);
        return end < 0 ? s.n : (size_t)end + 2;
    }
    if (str_starts(s, S("--"))) {
        ptrdiff_t end = str_index(s, '\n');
        return end < 0 ? s.n : (size_t)end;
    }
    if (str_starts(s, S("/*"))) {
        ptrdiff_t end = str_find(s, S("*/"));
        return end < 0 ? s.n : (size_t)end + 2;
    }
    return 0;
}

/* The highest $n decides the number of $env, so it must be known before anything is written. */
static int highest_arg(str_t s)
{
    int highest = 0;

    while (s.n > 0) {
        size_t skip = opaque_len(s);
        if (skip == 0 && s.p[0] == '$') {
            str_t digits = str_slice(s, 1, 1 + word_len(str_slice(s, 1, s.n)));
            int64_t n = 0;
            if (str_to_i64(digits, &n) && n > highest && n <= DB_ARGS_MAX)
                highest = (int)n;
        }
        s = str_slice(s, skip > 0 ? skip : 1, s.n);
    }
    return highest;
}

static err_t put_param(struct ctx *c, enum db_kind kind, str_t word, struct buf *out,
                       struct db_text *info)
{
    int64_t n = 0;

    if (str_eq(word, S("env"))) {
        info->env_param = info->args + 1;
        n = info->env_param;
    } else if (!str_to_i64(word, &n) || n < 1 || n > DB_ARGS_MAX) {
        return err_set(c, ERR_INTERNAL, "bad SQL parameter $" STR_FMT, STR_ARG(word));
    }
    buf_char(out, kind == DB_SQLITE ? '?' : '$');
    buf_i64(out, n);
    return ERR_OK;
}

static err_t put_macro(struct ctx *c, enum db_kind kind, str_t word, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(macros); i++) {
        if (str_eq(word, str_from(macros[i].name))) {
            buf_append(out, str_from(macros[i].text[kind]));
            return ERR_OK;
        }
    }
    return err_set(c, ERR_INTERNAL, "unknown SQL macro {" STR_FMT "}", STR_ARG(word));
}

err_t db_text_expand(struct ctx *c, enum db_kind kind, str_t text, struct buf *out,
                     struct db_text *info)
{
    str_t s = text;

    *info = (struct db_text){ .args = highest_arg(text) };
    while (s.n > 0) {
        size_t skip = opaque_len(s);
        str_t rest = str_slice(s, 1, s.n);
        size_t word = word_len(rest);
        if (skip > 0) {
            buf_append(out, str_slice(s, 0, skip));
        } else if (s.p[0] == '$' && word > 0) {
            TRY(put_param(c, kind, str_slice(rest, 0, word), out, info));
            skip = 1 + word;
        } else if (s.p[0] == '{' && word < rest.n && rest.p[word] == '}') {
            TRY(put_macro(c, kind, str_slice(rest, 0, word), out));
            skip = word + 2;
        } else {
            buf_char(out, s.p[0]);
            skip = 1;
        }
        s = str_slice(s, skip, s.n);
    }
    if (out->full)
        return err_set(c, ERR_INTERNAL, "SQL text is longer than %d bytes", DB_TEXT_BYTES_MAX);
    return ERR_OK;
}
