/* The parser: patterns to code in one pass. A piece of code has relative jumps only, is entered at
 * its first instruction and left behind its last, so that pieces may be moved and copied. Groups
 * nest at most REGEX_DEPTH_MAX deep. */
#include <string.h>

#include "codec/regex_priv.h"

struct parse {
    struct arena *arena;
    str_t rest;
    const char *what; /* the first error */
    struct regex_inst *insts;
    size_t n, cap;
    struct regex_set classes; /* the ranges of all classes */
    bool fold, lines, dot_all;
    unsigned depth;
};

static bool fail(struct parse *s, const char *what)
{
    if (!s->what)
        s->what = what;
    return false;
}

static bool room(struct parse *s, size_t more)
{
    size_t cap = s->cap ? s->cap : 16;
    struct regex_inst *p;

    if (s->n + more > REGEX_CODE_MAX)
        return fail(s, "pattern is too large");
    if (s->n + more <= s->cap)
        return true;
    while (cap < s->n + more)
        cap *= 2;
    p = arena_alloc(s->arena, cap * sizeof(*p));
    if (s->n > 0)
        memcpy(p, s->insts, s->n * sizeof(*p));
    s->insts = p;
    s->cap = cap;
    return true;
}

static bool put(struct parse *s, enum regex_op op, int32_t x, int32_t y)
{
    if (!room(s, 1))
        return false;
    s->insts[s->n++] = (struct regex_inst){ (int32_t)op, x, y };
    return true;
}

/* Puts a split before the piece that begins at `at`. */
static bool put_before(struct parse *s, size_t at, int32_t x, int32_t y)
{
    if (!room(s, 1))
        return false;
    memmove(s->insts + at + 1, s->insts + at, (s->n - at) * sizeof(*s->insts));
    s->insts[at] = (struct regex_inst){ REGEX_SPLIT, x, y };
    s->n++;
    return true;
}

static bool next_is(const struct parse *s, char ch)
{
    return s->rest.n > 0 && s->rest.p[0] == ch;
}

static void skip(struct parse *s, size_t n)
{
    s->rest = str_slice(s->rest, n, s->rest.n);
}

static bool take(struct parse *s, const char *text)
{
    if (!str_starts(s->rest, str_from(text)))
        return false;
    skip(s, strlen(text));
    return true;
}

static int32_t take_point(struct parse *s)
{
    size_t n = 0;
    int32_t ch = regex_point(s->rest, &n);

    skip(s, n);
    return ch;
}

/* ---- characters and classes ---- */

static bool put_set(struct parse *s, struct regex_set *set, bool negate)
{
    size_t at = s->classes.n;

    if (s->fold)
        regex_set_fold(set);
    regex_set_finish(set, negate);
    if (set->n == 1 && set->p[0].lo == set->p[0].hi)
        return put(s, REGEX_CHAR, set->p[0].lo, 0);
    if (at + set->n > REGEX_CODE_MAX)
        return fail(s, "pattern is too large");
    for (size_t i = 0; i < set->n; i++)
        regex_set_add(&s->classes, set->p[i].lo, set->p[i].hi);
    return put(s, REGEX_CLASS, (int32_t)at, (int32_t)set->n);
}

static bool put_char(struct parse *s, int32_t ch)
{
    struct regex_set set = { .arena = s->arena };

    if (!s->fold)
        return put(s, REGEX_CHAR, ch, 0);
    regex_set_add(&set, ch, ch);
    return put_set(s, &set, false);
}

static bool is_alnum(int32_t ch)
{
    return (ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z');
}

/* Behind "\x": two digits, or any number of them in braces. */
static bool take_hex(struct parse *s, int32_t *out)
{
    bool braces = take(s, "{");
    int32_t v = 0;
    size_t n = 0;

    while (s->rest.n > 0 && str_hex_digit(s->rest.p[0]) >= 0 && (braces || n < 2)) {
        v = v * 16 + str_hex_digit(s->rest.p[0]);
        if (v > REGEX_POINT_MAX)
            return fail(s, "escape is no character");
        skip(s, 1);
        n++;
    }
    if (n == 0 || (!braces && n != 2) || (braces && !take(s, "}")))
        return fail(s, "malformed \\x escape");
    *out = v;
    return true;
}

/* Behind the backslash: an escape that stands for one character. */
static bool take_escape(struct parse *s, int32_t *out)
{
    static const char from[] = "afnrtv", into[] = "\a\f\n\r\t\v";
    const char *at;
    int32_t ch;

    if (s->rest.n == 0)
        return fail(s, "trailing backslash");
    ch = take_point(s);
    at = ch > 0 && ch < 128 ? strchr(from, ch) : NULL;
    if (at)
        *out = (unsigned char)into[at - from];
    else if (ch == 'x')
        return take_hex(s, out);
    else if (ch == '0')
        for (*out = 0; s->rest.n > 0 && s->rest.p[0] >= '0' && s->rest.p[0] <= '7' && *out < 32;
             skip(s, 1))
            *out = *out * 8 + (s->rest.p[0] - '0');
    else if (ch > ' ' && ch < 127 && !is_alnum(ch) && ch != '_')
        *out = ch; /* punctuation */
    else
        return fail(s, "unknown escape");
    return true;
}

/* One member of a class or one end of its range. */
static bool take_member(struct parse *s, int32_t *out)
{
    if (s->rest.n == 0)
        return fail(s, "missing ]");
    if (take(s, "\\"))
        return take_escape(s, out);
    *out = take_point(s);
    return true;
}

/* A named class inside brackets or a \d: 1 taken, 0 none here, -1 malformed. */
static int take_named(struct parse *s, struct regex_set *set)
{
    ptrdiff_t end;

    if (str_starts(s->rest, S("[:"))) {
        end = str_find(s->rest, S(":]"));
        if (end < 2 || !regex_set_posix(set, str_slice(s->rest, 2, (size_t)end))) {
            fail(s, "unknown class name");
            return -1;
        }
        skip(s, (size_t)end + 2);
        return 1;
    }
    if (s->rest.n >= 2 && s->rest.p[0] == '\\' && regex_set_perl(set, s->rest.p[1])) {
        skip(s, 2);
        return 1;
    }
    return 0;
}

/* Behind '['. */
static bool parse_class(struct parse *s)
{
    struct regex_set set = { .arena = s->arena };
    bool negate = take(s, "^");

    for (bool first = true; first || !next_is(s, ']'); first = false) {
        int named = take_named(s, &set);
        int32_t lo = 0, hi;

        if (named < 0)
            return false;
        if (named > 0)
            continue;
        if (!take_member(s, &lo))
            return false;
        hi = lo;
        if (next_is(s, '-') && s->rest.n > 1 && s->rest.p[1] != ']') {
            skip(s, 1);
            if (!take_member(s, &hi))
                return false;
        }
        if (hi < lo)
            return fail(s, "class range out of order");
        regex_set_add(&set, lo, hi);
    }
    skip(s, 1);
    return put_set(s, &set, negate);
}

/* ---- atoms ---- */

static bool parse_alternatives(struct parse *s);

/* Behind "(?": a flag group or the head of a group. 1: a group's body follows, 0: flags only, -1.
 */
static int parse_flags(struct parse *s)
{
    bool on = true;

    if (take(s, "P<") || take(s, "<")) {
        ptrdiff_t end = str_index(s->rest, '>');

        if (end <= 0 || next_is(s, '=') || next_is(s, '!')) {
            fail(s, "malformed group");
            return -1;
        }
        skip(s, (size_t)end + 1);
        return 1;
    }
    for (; s->rest.n > 0; skip(s, 1))
        switch (s->rest.p[0]) {
        case 'i':
            s->fold = on;
            break;
        case 'm':
            s->lines = on;
            break;
        case 's':
            s->dot_all = on;
            break;
        case 'U': /* which of two matches is preferred does not matter here */
            break;
        case '-':
            on = false;
            break;
        case ':':
        case ')':
            on = s->rest.p[0] == ':';
            skip(s, 1);
            return on;
        default:
            fail(s, "unknown group");
            return -1;
        }
    fail(s, "missing )");
    return -1;
}

/* Behind '('. */
static bool parse_group(struct parse *s, bool *atom)
{
    bool fold = s->fold, lines = s->lines, dot_all = s->dot_all;
    int body = take(s, "?") ? parse_flags(s) : 1;

    if (body < 0)
        return false;
    *atom = body > 0;
    if (body == 0)
        return true; /* the flags hold to the end of the group around */
    if (++s->depth > REGEX_DEPTH_MAX)
        return fail(s, "groups nest too deep");
    if (!parse_alternatives(s))
        return false;
    if (!take(s, ")"))
        return fail(s, "missing )");
    s->depth--;
    s->fold = fold;
    s->lines = lines;
    s->dot_all = dot_all;
    return true;
}

/* Behind the backslash, outside of classes. */
static bool parse_escape(struct parse *s)
{
    static const char letters[] = "AzbB";
    static const enum regex_assert asserts[] = { REGEX_TEXT_BEGIN, REGEX_TEXT_END, REGEX_WORD,
                                                 REGEX_NOT_WORD };
    struct regex_set set = { .arena = s->arena };
    char ch = s->rest.n > 0 ? s->rest.p[0] : 0;
    const char *at = ch ? strchr(letters, ch) : NULL;
    int32_t point = 0;

    if (at) {
        skip(s, 1);
        return put(s, REGEX_ASSERT, (int32_t)asserts[at - letters], 0);
    }
    if (regex_set_perl(&set, ch)) {
        skip(s, 1);
        return put_set(s, &set, false);
    }
    return take_escape(s, &point) && put_char(s, point);
}

/* Behind "\Q", up to "\E" or the end; the last character alone is the atom that a repetition takes.
 */
static bool parse_quoted(struct parse *s, size_t *start)
{
    while (s->rest.n > 0 && !str_starts(s->rest, S("\\E"))) {
        *start = s->n;
        if (!put_char(s, take_point(s)))
            return false;
    }
    take(s, "\\E");
    return true;
}

static bool parse_atom(struct parse *s, bool *atom, size_t *start)
{
    *atom = true;
    *start = s->n;
    if (take(s, "("))
        return parse_group(s, atom);
    if (take(s, "["))
        return parse_class(s);
    if (take(s, "."))
        return put(s, s->dot_all ? REGEX_ANY : REGEX_LINE, 0, 0);
    if (take(s, "^"))
        return put(s, REGEX_ASSERT, s->lines ? REGEX_LINE_BEGIN : REGEX_TEXT_BEGIN, 0);
    if (take(s, "$"))
        return put(s, REGEX_ASSERT, s->lines ? REGEX_LINE_END : REGEX_TEXT_END, 0);
    if (take(s, "\\Q"))
        return parse_quoted(s, start);
    if (take(s, "\\"))
        return parse_escape(s);
    if (next_is(s, '*') || next_is(s, '+') || next_is(s, '?'))
        return fail(s, "nothing to repeat");
    return put_char(s, take_point(s));
}

/* ---- repetition ---- */

static bool take_number(str_t *rest, int32_t *out)
{
    size_t n = 0;

    *out = 0;
    for (; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9'; n++)
        if (*out <= REGEX_REPEAT_MAX)
            *out = *out * 10 + (rest->p[n] - '0');
    *rest = str_slice(*rest, n, rest->n);
    return n > 0;
}

/* "{2}", "{2,}", "{2,5}"; other text that begins with a brace is literal, as RE2 has it. max -1: no
 * end. */
static bool take_bounds(struct parse *s, int32_t *min, int32_t *max)
{
    str_t rest = str_slice(s->rest, 1, s->rest.n);

    if (!take_number(&rest, min))
        return false;
    *max = *min;
    if (rest.n > 0 && rest.p[0] == ',') {
        rest = str_slice(rest, 1, rest.n);
        if (!take_number(&rest, max))
            *max = -1;
    }
    if (rest.n == 0 || rest.p[0] != '}')
        return false;
    s->rest = str_slice(rest, 1, rest.n);
    return true;
}

static bool copy_piece(struct parse *s, size_t start, size_t n)
{
    if (!room(s, n))
        return false;
    memcpy(s->insts + s->n, s->insts + start, n * sizeof(*s->insts));
    s->n += n;
    return true;
}

/* Writes the piece from start on out as {min,max}. */
static bool repeat(struct parse *s, size_t start, int32_t min, int32_t max)
{
    size_t n = s->n - start, last = start;
    int32_t len = (int32_t)n;

    if (min > REGEX_REPEAT_MAX || max > REGEX_REPEAT_MAX)
        return fail(s, "repetition count is too large");
    if (max >= 0 && max < min)
        return fail(s, "repetition bounds out of order");
    if (max == 0)
        s->n = start;
    if (max == 0 || n == 0)
        return true;
    for (int32_t i = 1; i < min; i++) {
        last = s->n;
        if (!copy_piece(s, start, n))
            return false;
    }
    if (max < 0 && min > 0)
        return put(s, REGEX_SPLIT, (int32_t)last - (int32_t)s->n, 1);
    if (max < 0)
        return put_before(s, start, 1, len + 2) && put(s, REGEX_JUMP, -(len + 1), 0);
    if (min == 0) { /* the first copy is optional itself */
        if (!put_before(s, start, 1, len + 1))
            return false;
        start++;
        min = 1;
    }
    for (int32_t i = min; i < max; i++)
        if (!put(s, REGEX_SPLIT, 1, len + 1) || !copy_piece(s, start, n))
            return false;
    return true;
}

static bool parse_repeat(struct parse *s, bool atom, size_t start)
{
    int32_t min = 0, max = -1;

    if (take(s, "+"))
        min = 1;
    else if (take(s, "?"))
        max = 1;
    else if (!(next_is(s, '{') && take_bounds(s, &min, &max)) && !take(s, "*"))
        return true;
    if (!atom)
        return fail(s, "nothing to repeat");
    take(s, "?"); /* lazy: the same language */
    if (next_is(s, '*') || next_is(s, '+') || next_is(s, '?'))
        return fail(s, "repetition of a repetition");
    return repeat(s, start, min, max);
}

/* Alternatives up to ')' or the end: each branch but the last stands behind a split to the next and
 * ends with a jump to the end. The jumps are chained through x until the end is known. */
static bool parse_alternatives(struct parse *s)
{
    size_t branch = s->n, jump = 0;
    bool jumps = false;

    while (s->rest.n > 0 && !next_is(s, ')')) {
        size_t start;
        bool atom;

        if (take(s, "|")) {
            if (!put_before(s, branch, 1, (int32_t)(s->n - branch) + 2) ||
                !put(s, REGEX_JUMP, jumps ? (int32_t)jump : -1, 0))
                return false;
            jump = s->n - 1;
            jumps = true;
            branch = s->n;
            continue;
        }
        if (!parse_atom(s, &atom, &start) || !parse_repeat(s, atom, start))
            return false;
    }
    while (jumps) {
        int32_t before = s->insts[jump].x;

        s->insts[jump].x = (int32_t)(s->n - jump);
        jumps = before >= 0;
        jump = jumps ? (size_t)before : 0;
    }
    return true;
}

struct regex *regex_compile(struct arena *a, str_t pattern, const char **what)
{
    struct parse s = { .arena = a, .rest = pattern, .classes = { .arena = a } };
    struct regex *re;

    *what = "pattern is too long";
    if (pattern.n > REGEX_TEXT_MAX)
        return NULL;
    *what = "pattern is not UTF-8";
    if (!str_is_utf8(pattern))
        return NULL;
    if (parse_alternatives(&s) && s.rest.n > 0)
        fail(&s, "unexpected )");
    if (!s.what)
        (void)put(&s, REGEX_MATCH, 0, 0);
    *what = s.what;
    if (s.what)
        return NULL;
    re = arena_alloc(a, sizeof(*re) + s.classes.n * sizeof(struct regex_range) +
                            s.n * sizeof(struct regex_inst));
    re->insts_n = s.n;
    re->ranges_n = s.classes.n;
    if (s.classes.n > 0)
        memcpy(re->ranges, s.classes.p, s.classes.n * sizeof(struct regex_range));
    memcpy(re->ranges + s.classes.n, s.insts, s.n * sizeof(struct regex_inst));
    return re;
}
