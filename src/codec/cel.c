/* Programs: compiled text in one block, and the equalities that an index can use. */
#include "codec/cel.h"

#include <string.h>

#include "base/mem.h"
#include "codec/cel_priv.h"

/* ---- equalities ---- */

struct range {
    size_t from, to; /* instructions */
};

/* A variable and selects of fields, and nothing else. */
static bool is_path(const struct cel_op *ops, struct range r)
{
    if (r.from >= r.to || ops[r.from].code != CEL_OP_VAR)
        return false;
    for (size_t i = r.from + 1; i < r.to; i++)
        if (ops[i].code != CEL_OP_SELECT)
            return false;
    return true;
}

static bool is_const(const struct cel_op *ops, struct range r)
{
    return r.to == r.from + 1 && ops[r.from].code == CEL_OP_CONST;
}

/* The code of one equality: its path and constant in either order. */
static bool is_equality(const struct cel_op *ops, struct range r, struct range *path,
                        struct range *value)
{
    if (r.to < r.from + 3 || ops[r.to - 1].code != CEL_OP_EQ)
        return false;
    *value = (struct range){ r.to - 2, r.to - 1 };
    *path = (struct range){ r.from, r.to - 2 };
    if (is_const(ops, *value) && is_path(ops, *path))
        return true;
    *value = (struct range){ r.from, r.from + 1 };
    *path = (struct range){ r.from + 1, r.to - 1 };
    return is_const(ops, *value) && is_path(ops, *path);
}

static void add_equality(struct arena *a, const struct cel_build *b, const struct cel_env *env,
                         struct range path, struct range value, struct cel_equality *out)
{
    str_t *names = NEW_N(a, str_t, path.to - path.from);

    names[0] = env->names[b->ops[path.from].arg];
    for (size_t i = path.from + 1; i < path.to; i++)
        names[i - path.from] = b->consts[b->ops[i].arg].s;
    *out = (struct cel_equality){ names, path.to - path.from, b->consts[b->ops[value.from].arg] };
}

/* Takes the operands of the outermost && apart; out has room for one in three instructions. */
static size_t find_equalities(struct arena *a, const struct cel_build *b, const struct cel_env *env,
                              struct cel_equality *out)
{
    struct range open[CEL_DEPTH_MAX * 2];
    size_t open_n = 1, n = 0;

    open[0] = (struct range){ 0, b->ops_n };
    while (open_n > 0) {
        struct range r = open[--open_n], path, value;
        struct cel_op last = b->ops[r.to - 1];

        if (last.code == CEL_OP_AND && open_n + 2 <= COUNT_OF(open)) {
            open[open_n++] = (struct range){ r.from, last.arg };
            open[open_n++] = (struct range){ last.arg + 1, r.to - 1 };
        } else if (is_equality(b->ops, r, &path, &value)) {
            add_equality(a, b, env, path, value, &out[n++]);
        }
    }
    return n;
}

const struct cel_equality *cel_equalities(const struct cel_program *p, size_t *n)
{
    *n = p->equalities_n;
    return p->equalities;
}

/* ---- the block ---- */

/* Memory is handed out from `at`; a measuring pass has no base and only counts. */
struct block {
    char *base;
    size_t at;
};

static void *place(struct block *k, const void *from, size_t n)
{
    char *to = k->base ? k->base + k->at : NULL;

    if (to && n > 0)
        memcpy(to, from, n);
    k->at += (n + 15) & ~(size_t)15;
    return to;
}

static str_t place_str(struct block *k, str_t s)
{
    return (str_t){ place(k, s.p, s.n), s.n };
}

static struct cel_value place_value(struct block *k, struct cel_value v)
{
    if (v.type == CEL_STRING || v.type == CEL_BYTES)
        v.s = place_str(k, v.s);
    return v;
}

static void place_all(struct block *k, const struct cel_build *b, struct cel_program *p,
                      const struct cel_equality *equalities)
{
    struct cel_program *head = place(k, p, sizeof(*p));
    struct cel_value *consts;
    struct cel_pattern *patterns;
    struct cel_equality *eq;

    p->ops = place(k, b->ops, b->ops_n * sizeof(*b->ops));
    p->consts = consts = place(k, b->consts, b->consts_n * sizeof(*b->consts));
    for (size_t i = 0; i < b->consts_n; i++) {
        struct cel_value v = place_value(k, b->consts[i]);

        if (consts)
            consts[i] = v;
    }
    patterns = place(k, b->patterns, b->patterns_n * sizeof(*b->patterns));
    p->patterns = patterns;
    for (size_t i = 0; i < b->patterns_n; i++) {
        const struct regex *re = place(k, b->patterns[i].re, regex_size(b->patterns[i].re));

        if (patterns)
            patterns[i].re = re;
    }
    p->equalities = eq = place(k, equalities, p->equalities_n * sizeof(*equalities));
    for (size_t i = 0; i < p->equalities_n; i++) {
        struct cel_equality e = equalities[i];
        str_t *path = place(k, e.path, e.path_n * sizeof(*e.path));

        for (size_t j = 0; j < e.path_n; j++) {
            str_t name = place_str(k, e.path[j]);

            if (path)
                path[j] = name;
        }
        e.path = path;
        e.value = place_value(k, e.value);
        if (eq)
            eq[i] = e;
    }
    if (head)
        *head = *p;
}

err_t cel_compile(struct ctx *c, str_t text, const struct cel_env *env, struct cel_program **out)
{
    struct cel_build *b = arena_alloc(c->arena, sizeof(*b));
    struct cel_program p = { .cost_max = env->cost_max ? env->cost_max : CEL_COST_MAX };
    struct cel_equality *equalities;
    struct block k = { 0 };

    b->ops_n = b->consts_n = b->patterns_n = b->pattern_bytes = b->stack_max = b->loops_max = 0;
    TRY(cel_parse(c, text, env, b));
    equalities = NEW_N(c->arena, struct cel_equality, b->ops_n / 3 + 1);
    p.ops_n = b->ops_n;
    p.consts_n = b->consts_n;
    p.patterns_n = b->patterns_n;
    p.stack_max = b->stack_max;
    p.loops_max = b->loops_max;
    p.vars_n = env->n;
    p.equalities_n = find_equalities(c->arena, b, env, equalities);
    place_all(&k, b, &p, equalities);
    k.base = mem_alloc(k.at);
    k.at = 0;
    place_all(&k, b, &p, equalities);
    *out = (struct cel_program *)(void *)k.base;
    return ERR_OK;
}

void cel_free(struct cel_program *p)
{
    mem_free(p);
}
