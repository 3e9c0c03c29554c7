/* Log lines as JSON and as text, and what reaches stderr. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>

#include "base/log_priv.h"
#include "base/sync.h"
#include "base/test.h"

#define NOW 1777708800123 /* 2026-05-02T08:00:00.123Z */

static void check_json(const char *fields, const char *want)
{
    struct log_line line = { NOW, LOG_INFO, S("m"), str_from(fields) };
    str_t start = S("{\"time\":\"2026-05-02T08:00:00.123Z\",\"level\":\"info\",\"msg\":\"m\"");
    struct buf b;

    buf_init(&b, 100000);
    log_format_json(&b, &line);
    assert_true(str_starts(buf_str(&b), start));
    assert_str(str_slice(buf_str(&b), start.n, b.n), want);
    buf_done(&b);
}

static void fields_become_string_members(void **state)
{
    (void)state;
    check_json("", "}\n");
    check_json("port=9123", ",\"port\":\"9123\"}\n");
    check_json("port=1 db=a/b.db", ",\"port\":\"1\",\"db\":\"a/b.db\"}\n");
    check_json("err=\"no such file\" n=2", ",\"err\":\"no such file\",\"n\":\"2\"}\n");
    check_json("a= b=\"\"", ",\"a\":\"\",\"b\":\"\"}\n");
    check_json("a.b_c=x=y", ",\"a.b_c\":\"x=y\"}\n");
}

static void nothing_is_lost_of_awkward_values(void **state)
{
    (void)state;
    check_json("err=\"he said \"no\" twice\" n=2",
               ",\"err\":\"he said \\\"no\\\" twice\",\"n\":\"2\"}\n");
    check_json("err=no such file n=2", ",\"err\":\"no such file\",\"n\":\"2\"}\n");
    check_json("err=\"unfinished n=2", ",\"err\":\"\\\"unfinished\",\"n\":\"2\"}\n");
    check_json("just words", ",\"text\":\"just words\"}\n");
    check_json("words a=1", ",\"text\":\"words\",\"a\":\"1\"}\n");
    check_json("=x", ",\"text\":\"=x\"}\n");
    check_json("level=9 msg=x", ",\"level_\":\"9\",\"msg_\":\"x\"}\n");
}

static void json_is_escaped(void **state)
{
    (void)state;
    check_json("a=\\\n\x01\x7f\xc2\x85\xff\xc3\xa9",
               ",\"a\":\"\\\\\\n\\u0001\\u007f\\u0085\\ufffd\xc3\xa9\"}\n");
}

static void check_text(enum log_level level, const char *fields, bool colour, const char *want)
{
    struct log_line line = { NOW, level, S("server started"), str_from(fields) };
    struct buf b;

    buf_init(&b, 1000);
    log_format_text(&b, &line, colour);
    assert_str(buf_str(&b), want);
    buf_done(&b);
}

static void text_lines(void **state)
{
    (void)state;
    check_text(LOG_INFO, "port=1", false, "2026-05-02T08:00:00Z INFO  server started port=1\n");
    check_text(LOG_ERROR, "", false, "2026-05-02T08:00:00Z ERROR server started\n");
    check_text(LOG_WARN, "a=\x1b[2J\nb\xff", false,
               "2026-05-02T08:00:00Z WARN  server started a= [2J b\xef\xbf\xbd\n");
    check_text(LOG_INFO, "", true, "2026-05-02T08:00:00Z \x1b[32mINFO \x1b[0m server started\n");
}

static void levels_have_names(void **state)
{
    enum log_level level = LOG_TRACE;

    (void)state;
    assert_true(log_level_parse(S("WaRn"), &level));
    assert_int_equal(level, LOG_WARN);
    assert_true(log_level_parse(S("trace"), &level));
    assert_int_equal(level, LOG_TRACE);
    assert_true(log_level_parse(S("fatal"), &level));
    assert_false(log_level_parse(S("warning"), &level));
    assert_false(log_level_parse(S(""), &level));
    assert_int_equal(level, LOG_FATAL);
}

/* Runs fn with stderr in a pipe and returns what was written, at most size bytes. */
static size_t captured(void (*fn)(void), char *out, size_t size)
{
    int saved = dup(STDERR_FILENO);
    int ends[2];
    ssize_t n;

    assert_true(saved >= 0);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    fn();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    n = read(ends[0], out, size);
    assert_int_equal(close(ends[0]) + close(ends[1]) + close(saved), 0);
    return n < 0 ? 0 : (size_t)n;
}

static void write_some(void)
{
    log_setup(LOG_WARN, true);
    errno = ENOENT;
    log_info("not this", "a=%d", 1);
    log_warn("this", "a=%d b=\"%s\"", 1, "x y");
    log_error("and this", "");
    assert_int_equal(errno, ENOENT);
}

static void lines_below_the_level_are_not_written(void **state)
{
    char out[1000];
    size_t n = captured(write_some, out, sizeof(out));
    str_t rest = { out, n };
    str_t line = STR_NULL;

    (void)state;
    assert_true(str_cut(&rest, '\n', &line));
    assert_true(
        str_ends(line, S("\"level\":\"warn\",\"msg\":\"this\",\"a\":\"1\",\"b\":\"x y\"}")));
    assert_true(str_cut(&rest, '\n', &line));
    assert_true(str_ends(line, S("\"level\":\"error\",\"msg\":\"and this\"}")));
    assert_int_equal(rest.n, 0);
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_WARN));
}

static void write_much(void)
{
    log_setup(LOG_INFO, true);
    log_info("long", "a=%05000d", 1);
}

static void long_fields_are_cut_and_the_line_stays_whole(void **state)
{
    static char out[20000];
    size_t n = captured(write_much, out, sizeof(out));

    (void)state;
    assert_in_range(n, 4096, 4300);
    assert_true(str_ends((str_t){ out, n }, S("0\"}\n")));
}

static void write_to_a_pipe(void)
{
    log_setup(LOG_INFO, false);
    log_info("plain", "");
}

static void a_pipe_gets_no_colours(void **state)
{
    char out[200];
    size_t n = captured(write_to_a_pipe, out, sizeof(out));

    (void)state;
    assert_str(str_slice((str_t){ out, n }, 20, n), " INFO  plain\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_become_string_members),
        cmocka_unit_test(nothing_is_lost_of_awkward_values),
        cmocka_unit_test(json_is_escaped),
        cmocka_unit_test(text_lines),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(long_fields_are_cut_and_the_line_stays_whole),
        cmocka_unit_test(a_pipe_gets_no_colours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
