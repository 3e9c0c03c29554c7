/* Log lines: one write(2) each, so that lines of several threads never mix. What is logged may come
 * from a client: control characters and bad UTF-8 are replaced before they reach a terminal. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log_priv.h"
#include "base/time.h"

#define FIELDS_MAX 4096
#define LINE_MAX_BYTES ((size_t)64 * 1024)

struct level_row {
    str_t name, label, colour;
};

static const struct level_row levels[] = {
    [LOG_TRACE] = { { "trace", 5 }, { "TRACE", 5 }, { "\x1b[90m", 5 } },
    [LOG_DEBUG] = { { "debug", 5 }, { "DEBUG", 5 }, { "\x1b[36m", 5 } },
    [LOG_INFO] = { { "info", 4 }, { "INFO ", 5 }, { "\x1b[32m", 5 } },
    [LOG_WARN] = { { "warn", 4 }, { "WARN ", 5 }, { "\x1b[33m", 5 } },
    [LOG_ERROR] = { { "error", 5 }, { "ERROR", 5 }, { "\x1b[31m", 5 } },
    [LOG_FATAL] = { { "fatal", 5 }, { "FATAL", 5 }, { "\x1b[31m", 5 } },
};

/* Written once at start, before there are threads. */
static struct {
    enum log_level level;
    bool json, colour;
} setup = { .level = LOG_INFO };

void log_setup(enum log_level level, bool json)
{
    setup.level = level;
    setup.json = json;
    setup.colour = !json && isatty(STDERR_FILENO) == 1;
}

bool log_level_parse(str_t s, enum log_level *out)
{
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        if (str_eq_nocase(s, levels[i].name)) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level >= setup.level;
}

static bool is_name_char(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           ch == '_' || ch == '.';
}

/* Length of the field name at index at that '=' follows, or 0. */
static size_t name_at(str_t s, size_t at)
{
    size_t i = at;

    while (i < s.n && is_name_char(s.p[i]))
        i++;
    return i < s.n && s.p[i] == '=' ? i - at : 0;
}

/* True when a value may end at index at: at the end of the text, or before " name=". */
static bool field_ends(str_t s, size_t at)
{
    return at == s.n || (s.p[at] == ' ' && name_at(s, at + 1) != 0);
}

/* Values come unescaped, so a quote or a blank inside one ends it only where a field can end. */
bool log_field_next(str_t *rest, str_t *name, str_t *value)
{
    str_t s = str_trim(*rest);
    size_t n = name_at(s, 0);
    size_t from = n == 0 ? 0 : n + 1;
    size_t to;

    if (s.n == 0)
        return false;
    *name = n == 0 ? S("text") : str_slice(s, 0, n);
    if (n != 0 && from < s.n && s.p[from] == '"') {
        for (to = from + 1; to < s.n; to++) {
            if (s.p[to] == '"' && field_ends(s, to + 1)) {
                *value = str_slice(s, from + 1, to);
                *rest = str_slice(s, to + 1, s.n);
                return true;
            }
        }
    }
    for (to = from; !field_ends(s, to);)
        to++;
    *value = str_slice(s, from, to);
    *rest = str_slice(s, to, s.n);
    return true;
}

static void put_json(struct buf *b, str_t s)
{
    buf_char(b, '"');
    for (size_t i = 0; i < s.n;) {
        size_t step = str_utf8_step(s, i);

        if (step == 0) {
            buf_append(b, S("\\ufffd"));
            step = 1;
        } else if (s.p[i] == '"' || s.p[i] == '\\') {
            buf_char(b, '\\');
            buf_char(b, s.p[i]);
        } else if (s.p[i] == '\n') {
            buf_append(b, S("\\n"));
        } else if (str_is_control(s, i)) {
            unsigned char ch = (unsigned char)s.p[i + step - 1];

            buf_printf(b, "\\u%04x", ch);
        } else {
            buf_append(b, str_slice(s, i, i + step));
        }
        i += step;
    }
    buf_char(b, '"');
}

static void put_plain(struct buf *b, str_t s)
{
    for (size_t i = 0; i < s.n;) {
        size_t step = str_utf8_step(s, i);

        if (step == 0)
            buf_append(b, S("\xef\xbf\xbd"));
        else if (str_is_control(s, i))
            buf_char(b, ' ');
        else
            buf_append(b, str_slice(s, i, i + step));
        i += step == 0 ? 1 : step;
    }
}

static bool is_reserved(str_t name)
{
    return str_eq(name, S("time")) || str_eq(name, S("level")) || str_eq(name, S("msg"));
}

void log_format_json(struct buf *b, const struct log_line *line)
{
    str_t rest = line->fields;
    str_t name, value;

    buf_append(b, S("{\"time\":\""));
    time_rfc3339_ms(b, line->time_ms);
    buf_append(b, S("\",\"level\":"));
    put_json(b, levels[line->level].name);
    buf_append(b, S(",\"msg\":"));
    put_json(b, line->msg);
    while (log_field_next(&rest, &name, &value)) {
        buf_append(b, S(",\""));
        buf_append(b, name);
        /* A second member of that name would hide the line's own. */
        if (is_reserved(name))
            buf_char(b, '_');
        buf_append(b, S("\":"));
        put_json(b, value);
    }
    buf_append(b, S("}\n"));
}

void log_format_text(struct buf *b, const struct log_line *line, bool colour)
{
    const struct level_row *row = &levels[line->level];

    time_rfc3339(b, line->time_ms / 1000 * 1000);
    buf_char(b, ' ');
    if (colour)
        buf_append(b, row->colour);
    buf_append(b, row->label);
    if (colour)
        buf_append(b, S("\x1b[0m"));
    buf_char(b, ' ');
    put_plain(b, line->msg);
    if (line->fields.n != 0)
        buf_char(b, ' ');
    put_plain(b, line->fields);
    buf_char(b, '\n');
}

static void write_all(str_t s)
{
    while (s.n != 0) {
        ssize_t n = write(STDERR_FILENO, s.p, s.n);

        if (n < 0 && errno == EINTR)
            continue;
        /* There is nobody left to tell. */
        if (n <= 0)
            return;
        s = str_slice(s, (size_t)n, s.n);
    }
}

void log_write(enum log_level level, const char *msg, const char *fmt, ...)
{
    struct log_line line = { .level = level, .msg = str_from(msg) };
    char fields[FIELDS_MAX];
    int saved = errno;
    struct buf b;
    va_list ap;
    int n;

    if (!log_enabled(level))
        return;
    va_start(ap, fmt);
    n = vsnprintf(fields, sizeof(fields), fmt, ap);
    va_end(ap);
    must(n >= 0);
    line.fields = (str_t){ fields, (size_t)n < sizeof(fields) ? (size_t)n : sizeof(fields) - 1 };
    line.time_ms = clock_now(clock_system());
    buf_init(&b, LINE_MAX_BYTES);
    if (setup.json)
        log_format_json(&b, &line);
    else
        log_format_text(&b, &line, setup.colour);
    write_all(buf_str(&b));
    buf_done(&b);
    errno = saved;
}
