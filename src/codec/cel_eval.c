/* The machine: one instruction after the other over a stack of values, without recursion. A fault
 * is a CEL_ERROR value that the operators pass on, so that && || and ?: can absorb it. */
#include "codec/cel_priv.h"

bool cel_charge(struct cel_run *r, size_t steps)
{
    if (steps > r->cost_left) {
        r->exhausted = true;
        r->cost_left = 0;
        return false;
    }
    r->cost_left -= steps;
    return true;
}

size_t cel_bytes_left(const struct cel_run *r)
{
    size_t steps = r->cost_left < (size_t)1 << 24 ? r->cost_left : (size_t)1 << 24;

    return (steps + 1) * CEL_STEP_BYTES;
}

struct cel_value *cel_items(struct cel_run *r, size_t n)
{
    if (n > cel_bytes_left(r) / sizeof(struct cel_value)) {
        r->exhausted = true;
        return NULL;
    }
    return arena_alloc(r->arena, n * sizeof(struct cel_value));
}

bool cel_charge_bytes(struct cel_run *r, size_t n)
{
    return cel_charge(r, n / 256);
}

/* As cel_charge for the bytes of a text that is about to be read. */
static bool charge_text(struct cel_run *r, const struct cel_value *v)
{
    return cel_charge_bytes(r, v->type == CEL_STRING || v->type == CEL_BYTES ? v->s.n : 0);
}

static bool is_true(const struct cel_value *v)
{
    return v->type == CEL_BOOL && v->boolean;
}

static bool is_false(const struct cel_value *v)
{
    return v->type == CEL_BOOL && !v->boolean;
}

/* The fault of two operands of && or ||, neither of which decides. */
static struct cel_value logic_error(const struct cel_value *a, const struct cel_value *b)
{
    if (a->type == CEL_ERROR)
        return *a;
    return b->type == CEL_ERROR ? *b : cel_no_overload();
}

static struct cel_value join_logic(enum cel_code op, const struct cel_value *a,
                                   const struct cel_value *b)
{
    if (op == CEL_OP_AND) {
        if (is_false(a) || is_false(b))
            return cel_bool(false);
        if (is_true(a) && is_true(b))
            return cel_bool(true);
    } else {
        if (is_true(a) || is_true(b))
            return cel_bool(true);
        if (is_false(a) && is_false(b))
            return cel_bool(false);
    }
    return logic_error(a, b);
}

static struct cel_value compare(struct cel_run *r, enum cel_code op, const struct cel_value *a,
                                const struct cel_value *b)
{
    enum cel_order order = charge_text(r, a) ? cel_compare(a, b) : CEL_UNLIKE;

    if (order == CEL_UNLIKE)
        return cel_no_overload();
    if (order == CEL_UNORDERED)
        return cel_bool(false);
    if (op == CEL_OP_LT)
        return cel_bool(order == CEL_LESS);
    if (op == CEL_OP_LE)
        return cel_bool(order != CEL_MORE);
    if (op == CEL_OP_GT)
        return cel_bool(order == CEL_MORE);
    return cel_bool(order != CEL_LESS);
}

static struct cel_value contains(struct cel_run *r, const struct cel_value *a,
                                 const struct cel_value *b)
{
    struct cel_value item;

    if (b->type == CEL_MAP)
        return cel_bool(cel_lookup(r, b, a, &item));
    if (b->type != CEL_LIST)
        return cel_no_overload();
    for (struct cel_iter it = cel_iter(b); cel_iter_next(r, &it, NULL, &item);)
        if (cel_equal(r, a, &item))
            return cel_bool(true);
    return cel_bool(false);
}

static struct cel_value two_operands(struct cel_run *r, enum cel_code op, const struct cel_value *a,
                                     const struct cel_value *b)
{
    if (op == CEL_OP_AND || op == CEL_OP_OR)
        return join_logic(op, a, b);
    if (a->type == CEL_ERROR)
        return *a;
    if (b->type == CEL_ERROR)
        return *b;
    if (op == CEL_OP_EQ || op == CEL_OP_NE)
        return cel_bool(cel_equal(r, a, b) == (op == CEL_OP_EQ));
    if (op == CEL_OP_IN)
        return contains(r, a, b);
    if (op == CEL_OP_INDEX)
        return cel_index(r, a, b);
    if (op >= CEL_OP_LT && op <= CEL_OP_GE)
        return compare(r, op, a, b);
    return cel_arith(r, op, a, b);
}

static struct cel_value select(struct cel_run *r, struct cel_op op, const struct cel_value *v)
{
    str_t name = r->p->consts[op.arg].s;
    struct cel_value out;
    bool found;

    if (v->type == CEL_ERROR)
        return *v;
    if (v->type != CEL_MAP)
        return cel_no_overload();
    found = cel_field(r, v, name, &out);
    if (op.code == CEL_OP_HAS)
        return cel_bool(found);
    return found ? out : cel_error_at(r, "no such key", name);
}

static struct cel_value make_list(struct cel_run *r, const struct cel_value *items, size_t n)
{
    struct cel_value *p;

    for (size_t i = 0; i < n; i++)
        if (items[i].type == CEL_ERROR)
            return items[i];
    p = cel_items(r, n);
    if (!p)
        return cel_no_overload();
    for (size_t i = 0; i < n; i++)
        p[i] = items[i];
    return cel_list(p, n);
}

static struct cel_value make_map(struct cel_run *r, const struct cel_value *items, size_t n)
{
    struct cel_entry *p;
    struct cel_value map, found;

    for (size_t i = 0; i < 2 * n; i++)
        if (items[i].type == CEL_ERROR)
            return items[i];
    p = arena_alloc(r->arena, n * sizeof(*p));
    for (size_t i = 0; i < n; i++) {
        struct cel_value key = items[2 * i];

        if (key.type != CEL_BOOL && key.type != CEL_INT && key.type != CEL_UINT &&
            key.type != CEL_STRING)
            return cel_error("unsupported key type");
        map = cel_map(p, i);
        if (cel_lookup(r, &map, &key, &found))
            return cel_error("repeated key");
        p[i] = (struct cel_entry){ key, items[2 * i + 1] };
    }
    return cel_map(p, n);
}

static struct cel_value call(struct cel_run *r, struct cel_op op, const struct cel_value *args)
{
    for (size_t i = 0; i < op.argc; i++)
        if (args[i].type == CEL_ERROR || !charge_text(r, &args[i]))
            return args[i];
    return cel_functions[op.arg].fn(r, args, op.argc);
}

static struct cel_value matches(struct cel_run *r, struct cel_op op, const struct cel_value *v)
{
    int found;

    if (v->type == CEL_ERROR)
        return *v;
    if (v->type != CEL_STRING)
        return cel_no_overload();
    found = regex_search(r->arena, r->p->patterns[op.arg].re, v->s, &r->cost_left);
    r->exhausted |= found < 0;
    return cel_bool(found > 0);
}

/* A jump; the index of the next instruction. The condition is on top of the stack. */
static size_t jump(struct cel_run *r, struct cel_op op, size_t at)
{
    const struct cel_value *top = &r->stack[r->n - 1];

    if (op.code == CEL_OP_JUMP)
        return op.arg;
    if (op.code == CEL_OP_AND_JUMP)
        return is_false(top) ? op.arg : at + 1;
    if (op.code == CEL_OP_OR_JUMP)
        return is_true(top) ? op.arg : at + 1;
    if (top->type != CEL_BOOL) { /* the jump that ends the first branch leads behind the second */
        if (top->type != CEL_ERROR)
            r->stack[r->n - 1] = cel_no_overload();
        return r->p->ops[op.arg - 1].arg;
    }
    r->n--;
    return top->boolean ? at + 1 : op.arg;
}

static struct cel_value variable(const struct cel_run *r, size_t i)
{
    struct cel_value v = r->vars[i];

    return v.type == CEL_ERROR && v.s.n == 0 ? cel_error("variable has no value") : v;
}

/* Replaces the n values on top of the stack. */
static void replace(struct cel_run *r, size_t n, struct cel_value v)
{
    r->n -= n;
    r->stack[r->n++] = v;
}

/* Runs the instruction at `at`; the index of the next one. */
static size_t step(struct cel_run *r, size_t at)
{
    struct cel_op op = r->p->ops[at];
    struct cel_value *top = r->stack + r->n;

    switch ((enum cel_code)op.code) {
    case CEL_OP_CONST:
        replace(r, 0, r->p->consts[op.arg]);
        break;
    case CEL_OP_VAR:
        replace(r, 0, variable(r, op.arg));
        break;
    case CEL_OP_LOCAL:
        replace(r, 0, cel_loop_at(r, op.slot)->item);
        break;
    case CEL_OP_SELECT:
    case CEL_OP_HAS:
        replace(r, 1, select(r, op, top - 1));
        break;
    case CEL_OP_LIST:
        replace(r, op.arg, make_list(r, top - op.arg, op.arg));
        break;
    case CEL_OP_MAP:
        replace(r, 2 * (size_t)op.arg, make_map(r, top - 2 * (size_t)op.arg, op.arg));
        break;
    case CEL_OP_NOT:
        if (top[-1].type == CEL_BOOL)
            top[-1].boolean = !top[-1].boolean;
        else if (top[-1].type != CEL_ERROR)
            top[-1] = cel_no_overload();
        break;
    case CEL_OP_NEGATE:
        top[-1] = cel_negate(top - 1);
        break;
    case CEL_OP_CALL:
        replace(r, op.argc, call(r, op, top - op.argc));
        break;
    case CEL_OP_MATCHES:
        replace(r, 1, matches(r, op, top - 1));
        break;
    case CEL_OP_JOIN:
        break;
    case CEL_OP_AND_JUMP:
    case CEL_OP_OR_JUMP:
    case CEL_OP_ELSE_JUMP:
    case CEL_OP_JUMP:
        return jump(r, op, at);
    case CEL_OP_LOOP:
    case CEL_OP_LOOP_NEXT:
    case CEL_OP_LOOP_TEST:
    case CEL_OP_LOOP_STEP:
    case CEL_OP_LOOP_END:
        return cel_loop_op(r, op, at);
    case CEL_OP_INDEX:
    case CEL_OP_ADD:
    case CEL_OP_SUB:
    case CEL_OP_MUL:
    case CEL_OP_DIV:
    case CEL_OP_MOD:
    case CEL_OP_EQ:
    case CEL_OP_NE:
    case CEL_OP_LT:
    case CEL_OP_LE:
    case CEL_OP_GT:
    case CEL_OP_GE:
    case CEL_OP_IN:
    case CEL_OP_AND:
    case CEL_OP_OR:
        replace(r, 2, two_operands(r, (enum cel_code)op.code, top - 2, top - 1));
        break;
    }
    return at + 1;
}

/* As cel_eval, without the detail of an error. */
static err_t run(struct ctx *c, const struct cel_program *p, const struct cel_value *vars,
                 struct cel_value *out)
{
    struct cel_value local[16] = { 0 };
    struct cel_run r = { .arena = c->arena, .p = p, .vars = vars, .cost_left = p->cost_max };

    r.stack =
        p->stack_max <= COUNT_OF(local) ? local : NEW_N(c->arena, struct cel_value, p->stack_max);
    if (p->loops_max > 0)
        r.loops = NEW_N(c->arena, struct cel_loop, p->loops_max);
    for (size_t at = 0; at < p->ops_n && !r.exhausted && cel_charge(&r, 1);) {
        size_t used = c->arena->used;

        at = step(&r, at);
        cel_charge(&r, (c->arena->used - used) / CEL_STEP_BYTES);
    }
    if (r.exhausted)
        return ERR_OUT_OF_RANGE;
    must(r.n == 1);
    *out = r.stack[0];
    return ERR_OK;
}

err_t cel_eval(struct ctx *c, const struct cel_program *p, const struct cel_value *vars,
               struct cel_value *out)
{
    if (run(c, p, vars, out) == ERR_OK)
        return ERR_OK;
    return err_set(c, ERR_OUT_OF_RANGE, "the expression took more than %zu steps", p->cost_max);
}

bool cel_match(struct ctx *c, const struct cel_program *p, const struct cel_value *vars)
{
    struct cel_value v;

    return run(c, p, vars, &v) == ERR_OK && is_true(&v);
}
