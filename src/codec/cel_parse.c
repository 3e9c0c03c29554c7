/* The parser: expressions to code for a stack machine, in one pass. Operands stand before their
 * operator; what may be skipped stands behind a jump. The checks that belong to names happen as the
 * names are read: unknown variables and functions and wrong numbers of arguments are refused.
 * Expressions nest at most CEL_DEPTH_MAX deep, which bounds the recursion. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/cel_priv.h"

#define NO_OP SIZE_MAX
#define NAME_MAX_ 256

/* The item variable of a macro around. */
struct local {
    str_t name;
    uint8_t slot;
};

struct parse {
    struct cel_lex x;
    const struct cel_env *env;
    struct cel_build *b;
    size_t stack; /* values on the stack at this point */
    struct local locals[CEL_DEPTH_MAX];
    size_t locals_n;
    unsigned depth;
    size_t select_at; /* the select that the expression just read ends with, or NO_OP */
    size_t last_arg;  /* where the code of the last argument of the call just read begins */
    char detail[128]; /* an error text with a name in it */
};

static bool expression(struct parse *p);

static bool fail(struct parse *p, size_t at, const char *what)
{
    return cel_lex_fail(&p->x, at, what);
}

static bool fail_name(struct parse *p, size_t at, const char *what, str_t name)
{
    size_t n = strlen(what);

    if (p->x.what)
        return false;
    name.n = name.n < 64 ? name.n : 64;
    memcpy(p->detail, what, n);
    memcpy(p->detail + n, name.p, name.n);
    memcpy(p->detail + n + name.n, "'", 2);
    return fail(p, at, p->detail);
}

/* ---- writing ---- */

/* Appends an instruction that changes the height of the stack by so much; its index, or NO_OP. */
static size_t emit(struct parse *p, struct cel_op op, int height)
{
    struct cel_build *b = p->b;

    if (b->ops_n == CEL_NODES_MAX) {
        fail(p, p->x.tok.at, "expression is too large");
        return NO_OP;
    }
    p->stack = (size_t)((int64_t)p->stack + height);
    if (p->stack > b->stack_max)
        b->stack_max = p->stack;
    b->ops[b->ops_n] = op;
    return b->ops_n++;
}

static bool emit_plain(struct parse *p, enum cel_code code, uint32_t arg, int height)
{
    return emit(p, (struct cel_op){ .code = (uint8_t)code, .arg = arg }, height) != NO_OP;
}

static uint32_t add_const(struct parse *p, struct cel_value v)
{
    struct cel_build *b = p->b;

    if (b->consts_n == CEL_NODES_MAX) {
        fail(p, p->x.tok.at, "expression is too large");
        return 0;
    }
    b->consts[b->consts_n] = v;
    return (uint32_t)b->consts_n++;
}

static bool emit_const(struct parse *p, struct cel_value v)
{
    uint32_t at = add_const(p, v);

    return !p->x.what && emit_plain(p, CEL_OP_CONST, at, 1);
}

static bool emit_select(struct parse *p, str_t name, bool indexed)
{
    struct cel_op op = { .code = CEL_OP_SELECT, .argc = indexed, .arg = 0 };

    op.arg = add_const(p, cel_string(name));
    if (p->x.what)
        return false;
    p->select_at = emit(p, op, 0);
    return p->select_at != NO_OP;
}

static void patch(struct parse *p, size_t at)
{
    p->b->ops[at].arg = (uint32_t)p->b->ops_n;
}

/* ---- reading ---- */

static bool next(struct parse *p)
{
    return cel_lex_next(&p->x);
}

static bool is_char(const struct parse *p, char ch)
{
    return p->x.tok.kind == CEL_TOK_PUNCT && p->x.tok.ch == ch;
}

static bool expect(struct parse *p, char ch, const char *what)
{
    if (!is_char(p, ch))
        return fail(p, p->x.tok.at, what);
    return next(p);
}

static bool enter(struct parse *p)
{
    if (p->depth == CEL_DEPTH_MAX)
        return fail(p, p->x.tok.at, "expression nests too deep");
    p->depth++;
    return true;
}

/* ---- literals ---- */

static bool hex_to_u64(str_t s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n > 16)
        return false;
    for (size_t i = 0; i < s.n; i++)
        v = v << 4 | (uint64_t)str_hex_digit(s.p[i]);
    *out = v;
    return true;
}

static bool real_value(str_t s, bool negative, struct cel_value *out)
{
    char z[72];

    if (s.n + 2 > sizeof(z))
        return false;
    z[0] = negative ? '-' : '+';
    memcpy(z + 1, s.p, s.n);
    z[s.n + 1] = 0;
    *out = cel_double(strtod(z, NULL));
    return isfinite(out->d);
}

/* The value of a number as the lexer took it: 12, 0x1F, 12u, 1.5e3. A uint has no sign. */
static bool number_value(str_t s, bool negative, struct cel_value *out)
{
    bool hex = s.n > 2 && (s.p[1] | 0x20) == 'x';
    bool is_uint = (s.p[s.n - 1] | 0x20) == 'u';
    str_t digits = str_slice(s, hex ? 2 : 0, s.n - is_uint);
    uint64_t u = 0;

    if (!hex && (str_index(s, '.') >= 0 || str_index(s, 'e') >= 0 || str_index(s, 'E') >= 0))
        return real_value(s, negative, out);
    if (!(hex ? hex_to_u64(digits, &u) : str_to_u64(digits, &u)))
        return false;
    if (!is_uint && u > (uint64_t)INT64_MAX + negative)
        return false;
    *out = is_uint ? cel_uint(u) : cel_int(negative ? (int64_t)(0 - u) : (int64_t)u);
    return true;
}

static bool number(struct parse *p, bool negative)
{
    struct cel_value v;

    if (!number_value(p->x.tok.text, negative, &v))
        return fail(p, p->x.tok.at, "number is out of range");
    return emit_const(p, v) && next(p);
}

/* Expressions with commas up to `close`; the token behind it is current. */
static bool arguments(struct parse *p, char close, size_t *n)
{
    while (!is_char(p, close)) {
        size_t start = p->b->ops_n;

        if (!expression(p))
            return false;
        p->last_arg = start;
        ++*n;
        if (!is_char(p, ','))
            break;
        if (!next(p))
            return false;
        if (is_char(p, close) && close == ')')
            return fail(p, p->x.tok.at, "expected an expression");
    }
    return expect(p, close, close == ']' ? "expected ]" : "expected )");
}

static bool list(struct parse *p)
{
    size_t n = 0;

    return next(p) && arguments(p, ']', &n) && emit_plain(p, CEL_OP_LIST, (uint32_t)n, 1 - (int)n);
}

static bool map(struct parse *p)
{
    size_t n = 0;

    if (!next(p))
        return false;
    while (!is_char(p, '}')) {
        if (!expression(p) || !expect(p, ':', "expected :") || !expression(p))
            return false;
        n++;
        if (!is_char(p, ','))
            break;
        if (!next(p))
            return false;
    }
    return expect(p, '}', "expected }") && emit_plain(p, CEL_OP_MAP, (uint32_t)n, 1 - 2 * (int)n);
}

/* ---- names, calls, macros ---- */

/* `matches` with a constant pattern: the pattern is compiled now. */
static bool constant_pattern(struct parse *p, size_t at)
{
    struct cel_build *b = p->b;
    struct cel_value *v = &b->consts[b->ops[b->ops_n - 1].arg];
    const struct regex *re;
    const char *what;

    b->ops_n--;
    p->stack--;
    re = regex_compile(p->x.arena, v->s, &what);
    if (!re)
        return fail_name(p, at, "malformed pattern: '", str_from(what));
    b->pattern_bytes += regex_size(re);
    if (b->pattern_bytes > CEL_PATTERNS_BYTES_MAX)
        return fail(p, at, "patterns are too large");
    b->patterns[b->patterns_n].re = re;
    return emit_plain(p, CEL_OP_MATCHES, (uint32_t)b->patterns_n++, 0);
}

/* Behind '(': arguments and the call itself. member: the receiver is on the stack. */
static bool call(struct parse *p, str_t name, size_t at, bool member)
{
    const struct cel_op *last;
    size_t n = member;
    bool named;
    int found;

    (void)cel_function_find(name, member, 0, &named);
    if (!named)
        return fail_name(p, at, "unknown function '", name);
    if (!arguments(p, ')', &n))
        return false;
    found = n > UINT8_MAX ? -1 : cel_function_find(name, member, n, &named);
    if (found < 0)
        return fail_name(p, at, "wrong number of arguments of '", name);
    last = &p->b->ops[p->b->ops_n - 1]; /* of at least one: `matches` has arguments */
    if (cel_functions[found].fn == cel_fn_matches && p->last_arg + 1 == p->b->ops_n &&
        last->code == CEL_OP_CONST && p->b->consts[last->arg].type == CEL_STRING)
        return constant_pattern(p, at);
    return emit(p,
                (struct cel_op){ .code = CEL_OP_CALL, .argc = (uint8_t)n, .arg = (uint32_t)found },
                1 - (int)n) != NO_OP;
}

/* Behind "has(": the select that the argument ends with becomes a test. */
static bool has(struct parse *p)
{
    size_t at = p->x.tok.at;

    if (!expression(p))
        return false;
    if (p->select_at == NO_OP || p->select_at + 1 != p->b->ops_n ||
        p->b->ops[p->select_at].argc != 0)
        return fail(p, at, "has() needs a field selection");
    p->b->ops[p->select_at].code = CEL_OP_HAS;
    return expect(p, ')', "expected )");
}

static bool macro_name(str_t s, enum cel_macro *out)
{
    static const char *const names[] = { "all", "exists", "exists_one", "filter", "map" };

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_eq(s, str_from(names[i]))) {
            *out = (enum cel_macro)i;
            return true;
        }
    *out = CEL_EXISTS_ONE;
    return str_eq(s, S("existsOne"));
}

static struct cel_op loop_op(enum cel_code code, enum cel_macro m, uint8_t slot, size_t arg)
{
    return (struct cel_op){ (uint8_t)code, (uint8_t)m, 0, slot, (uint32_t)arg };
}

/* The body of a macro: what is computed for each item. */
static bool macro_body(struct parse *p, enum cel_macro m, uint8_t slot, size_t turn)
{
    if (!expression(p))
        return false;
    if (m == CEL_COLLECT && is_char(p, ','))
        if (emit(p, loop_op(CEL_OP_LOOP_TEST, m, slot, turn), -1) == NO_OP || !next(p) ||
            !expression(p))
            return false;
    return emit(p, loop_op(CEL_OP_LOOP_STEP, m, slot, turn), -1) != NO_OP &&
           expect(p, ')', "expected )");
}

/* Behind "range.all(": `item, expression)`. */
static bool macro(struct parse *p, enum cel_macro m)
{
    uint8_t slot = (uint8_t)p->locals_n;
    size_t loop, turn;

    if (p->x.tok.kind != CEL_TOK_IDENT || p->x.tok.reserved)
        return fail(p, p->x.tok.at, "expected the name of an item");
    if (p->locals_n == CEL_DEPTH_MAX)
        return fail(p, p->x.tok.at, "expression nests too deep");
    p->locals[p->locals_n++] = (struct local){ p->x.tok.text, slot };
    if (p->locals_n > p->b->loops_max)
        p->b->loops_max = p->locals_n;
    if (!next(p) || !expect(p, ',', "expected ,"))
        return false;
    loop = emit(p, loop_op(CEL_OP_LOOP, m, slot, 0), -1);
    turn = emit(p, loop_op(CEL_OP_LOOP_NEXT, m, slot, 0), 0);
    if (turn == NO_OP || !macro_body(p, m, slot, turn))
        return false;
    patch(p, loop);
    patch(p, turn);
    p->locals_n--;
    return emit(p, loop_op(CEL_OP_LOOP_END, m, slot, 0), 1) != NO_OP;
}

/* What a dotted name can stand for. */
struct meaning {
    enum { NOTHING, LOCAL, VARIABLE, TYPE, FUNCTION } kind;
    uint32_t arg;
    struct cel_value type;
    struct cel_lex after; /* the place behind the name */
    str_t name;
};

static void look_up(struct parse *p, str_t name, struct meaning *m)
{
    struct cel_value type;
    bool named = false;

    if (is_char(p, '('))
        (void)cel_function_find(name, false, 0, &named);
    if (named) {
        *m = (struct meaning){ .kind = FUNCTION, .after = p->x };
        return;
    }
    for (size_t i = 0; i < p->env->n; i++)
        if (str_eq(p->env->names[i], name)) {
            *m = (struct meaning){ .kind = VARIABLE, .arg = (uint32_t)i, .after = p->x };
            return;
        }
    if (cel_type_find(name, &type))
        *m = (struct meaning){ .kind = TYPE, .type = type, .after = p->x };
}

/* Reads `a.b.c` as far as it names something known; the longest such name wins. */
static bool resolve(struct parse *p, char text[NAME_MAX_], bool locals, struct meaning *m)
{
    str_t name = { text, 0 };

    for (;;) {
        str_t part = p->x.tok.text;

        if (name.n + part.n + 1 >= NAME_MAX_)
            break;
        memcpy(text + name.n, part.p, part.n);
        name.n += part.n;
        if (!next(p))
            return false;
        for (size_t i = p->locals_n; locals && i > 0; i--)
            if (str_eq(p->locals[i - 1].name, name)) {
                *m = (struct meaning){ .kind = LOCAL, .arg = p->locals[i - 1].slot, .after = p->x };
                return true;
            }
        look_up(p, name, m);
        if (m->kind != NOTHING && m->name.n == 0)
            m->name = name;
        if (!is_char(p, '.'))
            break;
        text[name.n++] = '.';
        if (!next(p) || p->x.tok.kind != CEL_TOK_IDENT)
            break;
        locals = false;
    }
    return true;
}

static bool identifier(struct parse *p, bool rooted)
{
    struct cel_token tok = p->x.tok;
    struct cel_lex start = p->x;
    struct meaning m = { .kind = NOTHING };
    char text[NAME_MAX_];
    size_t op;

    if (tok.reserved)
        return fail_name(p, tok.at, "reserved name '", tok.text);
    if (!rooted && str_eq(tok.text, S("has"))) {
        if (!next(p))
            return false;
        if (is_char(p, '('))
            return next(p) && has(p);
        p->x = start;
    }
    (void)resolve(p, text, !rooted, &m);
    if (p->x.what && m.kind == NOTHING)
        return false;
    p->x = m.kind == NOTHING ? start : m.after;
    switch (m.kind) {
    case LOCAL:
        op = emit(p, (struct cel_op){ .code = CEL_OP_LOCAL, .slot = (uint8_t)m.arg }, 1);
        return op != NO_OP;
    case VARIABLE:
        return emit_plain(p, CEL_OP_VAR, m.arg, 1);
    case TYPE:
        return emit_const(p, m.type);
    case FUNCTION:
        return next(p) && call(p, m.name, tok.at, false);
    case NOTHING:
        break;
    }
    if (next(p) && is_char(p, '('))
        return fail_name(p, tok.at, "unknown function '", tok.text);
    return fail_name(p, tok.at, "unknown name '", tok.text);
}

/* ---- operators ---- */

static bool primary(struct parse *p)
{
    struct cel_token tok = p->x.tok;

    p->select_at = NO_OP;
    if (tok.kind == CEL_TOK_CONST)
        return emit_const(p, tok.value) && next(p);
    if (tok.kind == CEL_TOK_NUMBER)
        return number(p, false);
    if (tok.kind == CEL_TOK_IDENT)
        return identifier(p, false);
    if (is_char(p, '.')) {
        if (!next(p))
            return false;
        if (p->x.tok.kind == CEL_TOK_IDENT)
            return identifier(p, true);
        return fail(p, p->x.tok.at, "expected a name");
    }
    if (is_char(p, '('))
        return next(p) && expression(p) && expect(p, ')', "expected )");
    if (is_char(p, '['))
        return list(p);
    if (is_char(p, '{'))
        return map(p);
    return fail(p, tok.at, "expected an expression");
}

/* Behind '.': a field, a method or a macro of what is on the stack. */
static bool dot(struct parse *p)
{
    struct cel_token tok = p->x.tok;
    enum cel_macro m;

    if (tok.kind != CEL_TOK_IDENT && tok.kind != CEL_TOK_QUOTED)
        return fail(p, tok.at, "expected a field name");
    if (!next(p))
        return false;
    if (!is_char(p, '(') || tok.kind == CEL_TOK_QUOTED)
        return emit_select(p, tok.text, false);
    if (!next(p))
        return false;
    if (macro_name(tok.text, &m))
        return macro(p, m);
    return call(p, tok.text, tok.at, true);
}

/* Behind '['. A constant string in brackets is a field like any other. */
static bool index_of(struct parse *p)
{
    size_t before = p->b->ops_n;
    const struct cel_op *last;

    if (!expression(p) || !expect(p, ']', "expected ]"))
        return false;
    last = &p->b->ops[p->b->ops_n - 1];
    if (p->b->ops_n == before + 1 && last->code == CEL_OP_CONST &&
        p->b->consts[last->arg].type == CEL_STRING) {
        p->b->ops_n--;
        p->stack--;
        return emit_select(p, p->b->consts[last->arg].s, true);
    }
    return emit_plain(p, CEL_OP_INDEX, 0, -1);
}

/* primary and what follows it */
static bool member(struct parse *p, bool (*first)(struct parse *p))
{
    if (!first(p))
        return false;
    for (;;) {
        bool ok;

        if (is_char(p, '.'))
            ok = next(p) && dot(p);
        else if (is_char(p, '['))
            ok = next(p) && index_of(p);
        else if (is_char(p, '{'))
            return fail(p, p->x.tok.at, "messages are not supported");
        else
            return true;
        if (!ok)
            return false;
    }
}

static bool negative_number(struct parse *p)
{
    p->select_at = NO_OP;
    return number(p, true);
}

static bool unary(struct parse *p)
{
    char sign = is_char(p, '!') ? '!' : is_char(p, '-') ? '-' : 0;
    bool odd = false;
    size_t at = p->x.tok.at;

    if (!sign)
        return member(p, primary);
    for (; is_char(p, sign); odd = !odd)
        if (!next(p))
            return false;
    if (is_char(p, '!') || is_char(p, '-'))
        return fail(p, at, "! and - do not mix");
    if (sign == '-' && odd && p->x.tok.kind == CEL_TOK_NUMBER &&
        (p->x.tok.text.p[p->x.tok.text.n - 1] | 0x20) != 'u')
        return member(p, negative_number);
    if (!member(p, primary))
        return false;
    /* A double sign still checks the type of its operand. */
    for (int i = odd ? 1 : 2; i > 0; i--)
        if (!emit_plain(p, sign == '!' ? CEL_OP_NOT : CEL_OP_NEGATE, 0, 0))
            return false;
    return true;
}

/* The binary operator that the current token is: 0 none, else how strongly it binds. */
static int binary_op(const struct parse *p, enum cel_code *code)
{
    static const struct {
        char ch;
        int binds;
        enum cel_code code;
    } chars[] = {
        { '<', 3, CEL_OP_LT },  { '>', 3, CEL_OP_GT },  { '+', 4, CEL_OP_ADD },
        { '-', 4, CEL_OP_SUB }, { '*', 5, CEL_OP_MUL }, { '/', 5, CEL_OP_DIV },
        { '%', 5, CEL_OP_MOD },
    };
    static const struct {
        enum cel_tok tok;
        int binds;
        enum cel_code code;
    } words[] = {
        { CEL_TOK_OR, 1, CEL_OP_OR }, { CEL_TOK_AND, 2, CEL_OP_AND }, { CEL_TOK_EQ, 3, CEL_OP_EQ },
        { CEL_TOK_NE, 3, CEL_OP_NE }, { CEL_TOK_LE, 3, CEL_OP_LE },   { CEL_TOK_GE, 3, CEL_OP_GE },
        { CEL_TOK_IN, 3, CEL_OP_IN },
    };

    for (size_t i = 0; i < COUNT_OF(chars); i++)
        if (is_char(p, chars[i].ch)) {
            *code = chars[i].code;
            return chars[i].binds;
        }
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (p->x.tok.kind == words[i].tok) {
            *code = words[i].code;
            return words[i].binds;
        }
    return 0;
}

/* Operators that bind at least as strongly as `least`; recursion only to a higher level. */
static bool binary(struct parse *p, int least)
{
    enum cel_code code = CEL_OP_ADD;
    int binds;

    if (!unary(p))
        return false;
    while ((binds = binary_op(p, &code)) >= least && binds > 0) {
        bool logic = code == CEL_OP_AND || code == CEL_OP_OR;
        size_t jump = 0;

        if (logic) {
            enum cel_code skip = code == CEL_OP_AND ? CEL_OP_AND_JUMP : CEL_OP_OR_JUMP;

            jump = emit(p, (struct cel_op){ .code = (uint8_t)skip }, 0);
            if (jump == NO_OP)
                return false;
        }
        if (!next(p) || !binary(p, binds + 1))
            return false;
        if (!emit_plain(p, code, (uint32_t)jump, -1))
            return false;
        if (logic)
            patch(p, jump);
    }
    return true;
}

/* condition ? then : otherwise, to the right */
static bool conditional(struct parse *p)
{
    size_t skip, end;

    if (!binary(p, 1))
        return false;
    if (!is_char(p, '?'))
        return true;
    skip = emit(p, (struct cel_op){ .code = CEL_OP_ELSE_JUMP }, -1);
    if (skip == NO_OP || !next(p) || !expression(p) || !expect(p, ':', "expected :"))
        return false;
    end = emit(p, (struct cel_op){ .code = CEL_OP_JUMP }, -1);
    if (end == NO_OP)
        return false;
    patch(p, skip);
    if (!expression(p))
        return false;
    patch(p, end);
    return emit_plain(p, CEL_OP_JOIN, 0, 0);
}

static bool expression(struct parse *p)
{
    bool ok = enter(p) && conditional(p);

    p->depth--;
    return ok;
}

static err_t bad(struct ctx *c, str_t text, size_t at, const char *what)
{
    size_t line = 1, column = 1;

    for (size_t i = 0; i < at && i < text.n; i++) {
        column += ((unsigned char)text.p[i] & 0xC0) != 0x80;
        if (text.p[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return err_set(c, ERR_INVALID, "%zu:%zu: %s", line, column, what);
}

err_t cel_parse(struct ctx *c, str_t text, const struct cel_env *env, struct cel_build *b)
{
    struct parse *p = NEW(c->arena, struct parse);

    p->x = (struct cel_lex){ .arena = c->arena, .text = text };
    p->env = env;
    p->b = b;
    p->select_at = NO_OP;
    if (text.n > CEL_TEXT_MAX)
        return bad(c, text, 0, "expression is longer than 8192 bytes");
    if (!str_is_utf8(text))
        return bad(c, text, 0, "expression is not UTF-8");
    if (next(p) && expression(p) && p->x.tok.kind != CEL_TOK_END)
        fail(p, p->x.tok.at, "unexpected text behind the expression");
    if (p->x.what)
        return bad(c, text, p->x.what_at, p->x.what);
    return ERR_OK;
}
