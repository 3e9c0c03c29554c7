/* Text to tokens, one at a time. */
#include <string.h>

#include "codec/cel_priv.h"

bool cel_lex_fail(struct cel_lex *x, size_t at, const char *what)
{
    if (!x->what) {
        x->what = what;
        x->what_at = at;
    }
    return false;
}

static char at(const struct cel_lex *x, size_t ahead)
{
    return x->at + ahead < x->text.n ? x->text.p[x->at + ahead] : 0;
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool is_hex(char ch)
{
    return str_hex_digit(ch) >= 0;
}

static bool is_letter(char ch)
{
    return ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') || ch == '_';
}

static void skip_blanks(struct cel_lex *x)
{
    for (;;) {
        char ch = at(x, 0);

        if (ch == '/' && at(x, 1) == '/')
            while (x->at < x->text.n && x->text.p[x->at] != '\n')
                x->at++;
        else if (ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r' || ch == '\f')
            x->at++;
        else
            return;
    }
}

static bool digits(struct cel_lex *x, bool (*is)(char))
{
    size_t start = x->at;

    while (is(at(x, 0)))
        x->at++;
    return x->at > start;
}

/* 12, 0x1F, 12u, 1.5, .5, 1e3: the value is made by the parser, which knows the sign. */
static bool number(struct cel_lex *x)
{
    size_t start = x->at;
    bool whole = true;

    x->tok.kind = CEL_TOK_NUMBER;
    if (at(x, 0) == '0' && (at(x, 1) | 0x20) == 'x') {
        x->at += 2;
        if (!digits(x, is_hex))
            return cel_lex_fail(x, start, "malformed number");
    } else {
        digits(x, is_digit);
        if (at(x, 0) == '.' && is_digit(at(x, 1))) {
            whole = false;
            x->at++;
            digits(x, is_digit);
        }
        if ((at(x, 0) | 0x20) == 'e') {
            whole = false;
            x->at += 1 + (size_t)(at(x, 1) == '+' || at(x, 1) == '-');
            if (!digits(x, is_digit))
                return cel_lex_fail(x, start, "malformed number");
        }
    }
    if (whole && (at(x, 0) | 0x20) == 'u')
        x->at++;
    x->tok.text = str_slice(x->text, start, x->at);
    if (is_letter(at(x, 0)) || is_digit(at(x, 0)))
        return cel_lex_fail(x, start, "malformed number");
    return true;
}

static const char *const reserved[] = { "as",   "break",    "const",     "continue", "else",
                                        "for",  "function", "if",        "import",   "let",
                                        "loop", "package",  "namespace", "return",   "var",
                                        "void", "while" };

static bool name(struct cel_lex *x)
{
    size_t start = x->at;
    str_t s;

    while (is_letter(at(x, 0)) || is_digit(at(x, 0)))
        x->at++;
    s = str_slice(x->text, start, x->at);
    x->tok.kind = CEL_TOK_IDENT;
    x->tok.text = s;
    if (str_eq(s, S("in")))
        x->tok.kind = CEL_TOK_IN;
    if (str_eq(s, S("true")) || str_eq(s, S("false")) || str_eq(s, S("null"))) {
        x->tok.kind = CEL_TOK_CONST;
        x->tok.value = s.p[0] == 'n' ? cel_null() : cel_bool(s.p[0] == 't');
    }
    for (size_t i = 0; i < COUNT_OF(reserved); i++)
        x->tok.reserved |= str_eq(s, str_from(reserved[i]));
    return true;
}

static bool quoted_name(struct cel_lex *x)
{
    size_t start = ++x->at;

    while (is_letter(at(x, 0)) || is_digit(at(x, 0)) || (at(x, 0) && strchr(".-/ ", at(x, 0))))
        x->at++;
    x->tok.kind = CEL_TOK_QUOTED;
    x->tok.text = str_slice(x->text, start, x->at);
    if (at(x, 0) != '`' || x->at == start)
        return cel_lex_fail(x, start - 1, "malformed quoted name");
    x->at++;
    return true;
}

/* A quoted literal with its prefixes; *is tells whether there is one here. */
static bool string(struct cel_lex *x, bool *is)
{
    bool raw = false, bytes = false;
    size_t n = 0;

    while (n < 2 && at(x, n)) {
        char ch = (char)(at(x, n) | 0x20);

        if (ch == 'r' && !raw)
            raw = true;
        else if (ch == 'b' && !bytes)
            bytes = true;
        else
            break;
        n++;
    }
    *is = at(x, n) == '"' || at(x, n) == '\'';
    if (!*is)
        return false;
    x->at += n;
    return cel_lex_string(x, raw, bytes);
}

static bool punctuation(struct cel_lex *x)
{
    static const struct {
        char text[3];
        enum cel_tok kind;
    } pairs[] = {
        { "&&", CEL_TOK_AND }, { "||", CEL_TOK_OR }, { "==", CEL_TOK_EQ },
        { "!=", CEL_TOK_NE },  { "<=", CEL_TOK_LE }, { ">=", CEL_TOK_GE },
    };
    char ch = at(x, 0);

    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        if (ch == pairs[i].text[0] && at(x, 1) == pairs[i].text[1]) {
            x->tok.kind = pairs[i].kind;
            x->at += 2;
            return true;
        }
    if (ch == 0 || !strchr("()[]{}.,?:!-+*/%<>", ch))
        return cel_lex_fail(x, x->at, "unexpected character");
    x->tok.kind = CEL_TOK_PUNCT;
    x->tok.ch = ch;
    x->at++;
    return true;
}

bool cel_lex_next(struct cel_lex *x)
{
    bool is, ok;

    if (x->what)
        return false;
    skip_blanks(x);
    x->tok = (struct cel_token){ .at = x->at };
    if (x->at == x->text.n) {
        x->tok.kind = CEL_TOK_END;
        return true;
    }
    ok = string(x, &is);
    if (is)
        return ok;
    if (is_digit(at(x, 0)) || (at(x, 0) == '.' && is_digit(at(x, 1))))
        return number(x);
    if (is_letter(at(x, 0)))
        return name(x);
    if (at(x, 0) == '`')
        return quoted_name(x);
    return punctuation(x);
}
