/* The macros that walk over a list or the keys of a map. all and exists absorb errors like && and
 * ||; the others end with the first. */
#include <string.h>

#include "codec/cel_priv.h"

/* Ends the loop with this result. */
static size_t finish(struct cel_loop *l, struct cel_value v, size_t end)
{
    l->result = v;
    return end;
}

static size_t begin(struct cel_run *r, struct cel_op op, size_t at)
{
    struct cel_loop *l = cel_loop_at(r, op.slot);

    *l = (struct cel_loop){ .range = r->stack[--r->n] };
    if (l->range.type == CEL_ERROR)
        return finish(l, l->range, op.arg);
    if (l->range.type != CEL_LIST && l->range.type != CEL_MAP)
        return finish(l, cel_no_overload(), op.arg);
    l->iter = cel_iter(&l->range);
    if (op.macro == CEL_ALL || op.macro == CEL_EXISTS)
        l->result = cel_bool(op.macro == CEL_ALL);
    return at + 1;
}

static size_t advance(struct cel_run *r, struct cel_op op, size_t at)
{
    struct cel_loop *l = cel_loop_at(r, op.slot);
    bool map = l->range.type == CEL_MAP;

    if (cel_iter_next(r, &l->iter, map ? &l->item : NULL, map ? NULL : &l->item))
        return at + 1;
    if (op.macro == CEL_EXISTS_ONE)
        l->result = cel_bool(l->found == 1);
    if (op.macro == CEL_FILTER || op.macro == CEL_COLLECT)
        l->result = cel_list(l->items, l->items_n);
    return op.arg;
}

static void collect(struct cel_run *r, struct cel_loop *l, struct cel_value v)
{
    if (l->items_n == l->items_cap) {
        size_t cap = l->items_cap ? l->items_cap * 2 : 8;
        struct cel_value *p = arena_alloc(r->arena, cap * sizeof(*p));

        if (l->items_n > 0)
            memcpy(p, l->items, l->items_n * sizeof(*p));
        l->items = p;
        l->items_cap = cap;
    }
    l->items[l->items_n++] = v;
}

/* The condition of a map with three arguments, or of filter and exists_one: whether the item
 * counts. -1 ends the loop with an error. */
static int counts(struct cel_loop *l, const struct cel_value *v)
{
    if (v->type == CEL_BOOL)
        return v->boolean;
    l->result = v->type == CEL_ERROR ? *v : cel_no_overload();
    return -1;
}

/* Joins the value of one item to the result; true when the loop may end. */
static bool join(struct cel_run *r, struct cel_op op, struct cel_value v)
{
    struct cel_loop *l = cel_loop_at(r, op.slot);
    bool wanted = op.macro == CEL_EXISTS; /* the value that decides */
    int yes;

    switch ((enum cel_macro)op.macro) {
    case CEL_ALL:
    case CEL_EXISTS:
        if (v.type == CEL_BOOL && v.boolean == wanted) {
            l->result = v;
            return true;
        }
        if (v.type != CEL_BOOL && l->result.type != CEL_ERROR)
            l->result = v.type == CEL_ERROR ? v : cel_no_overload();
        return false;
    case CEL_EXISTS_ONE:
    case CEL_FILTER:
        yes = counts(l, &v);
        if (yes > 0 && op.macro == CEL_FILTER)
            collect(r, l, l->item);
        l->found += yes > 0;
        return yes < 0;
    case CEL_COLLECT:
        if (v.type == CEL_ERROR)
            l->result = v;
        else
            collect(r, l, v);
        return v.type == CEL_ERROR;
    }
    return true;
}

size_t cel_loop_op(struct cel_run *r, struct cel_op op, size_t at)
{
    struct cel_loop *l = cel_loop_at(r, op.slot);
    size_t end = r->p->ops[op.arg].arg; /* of the LOOP_NEXT that TEST and STEP name */
    int yes;

    if (op.code == CEL_OP_LOOP)
        return begin(r, op, at);
    if (op.code == CEL_OP_LOOP_NEXT)
        return advance(r, op, at);
    if (op.code == CEL_OP_LOOP_STEP)
        return join(r, op, r->stack[--r->n]) ? end : op.arg;
    if (op.code == CEL_OP_LOOP_TEST) {
        yes = counts(l, &r->stack[--r->n]);
        return yes > 0 ? at + 1 : yes < 0 ? end : op.arg;
    }
    r->stack[r->n++] = l->result;
    return at + 1;
}
