/* An expression, and behind a NUL the JSON of `data`. Whatever compiles is evaluated twice, alike;
 * the equalities that it reports hold whenever it does. */
#include "base/must.h"
#include "codec/cel_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIXED                                                                                      \
    "{\"a\":1,\"b\":[1,2.5,\"x\",null,true],\"c\":{\"d\":\"2026-05-02T08:00:00Z\",\"e\":{}}}"

#define NAME(lit)                                                                                  \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }
static const str_t names[] = { NAME("event"), NAME("data"), NAME("name"), NAME("now") };

/* The value at the path, as an index would look it up. */
static struct cel_value follow(struct cel_run *r, const struct cel_equality *e)
{
    struct cel_value v = { 0 };

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_eq(names[i], e->path[0]))
            v = r->vars[i];
    for (size_t i = 1; i < e->path_n; i++)
        must(v.type == CEL_MAP && cel_field(r, &v, e->path[i], &v));
    return v;
}

static void check_equalities(struct ctx *c, const struct cel_program *p,
                             const struct cel_value *vars)
{
    struct cel_run r = { .arena = c->arena, .p = p, .vars = vars, .cost_left = SIZE_MAX };
    const struct cel_equality *e;
    size_t n;

    e = cel_equalities(p, &n);
    for (size_t i = 0; i < n; i++) {
        struct cel_value v = follow(&r, &e[i]);

        must(cel_equal(&r, &v, &e[i].value));
    }
}

static void evaluate(struct ctx *c, str_t text, const struct cel_value *vars)
{
    struct cel_env env = { names, COUNT_OF(names), 20000 };
    struct cel_program *p;
    struct cel_value one = { 0 }, two = { 0 };
    err_t e = cel_compile(c, text, &env, &p);

    if (e != ERR_OK) {
        must(e == ERR_INVALID && str_index(str_from(c->err.text), ':') > 0);
        return;
    }
    e = cel_eval(c, p, vars, &one);
    must(e == ERR_OK || e == ERR_OUT_OF_RANGE);
    must(cel_eval(c, p, vars, &two) == e && one.type == two.type);
    if (one.type == CEL_BOOL)
        must(one.boolean == two.boolean);
    must(cel_match(c, p, vars) == (one.type == CEL_BOOL && one.boolean));
    if (one.type == CEL_BOOL && one.boolean)
        check_equalities(c, p, vars);
    cel_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t text = { (const char *)data, size }, json = S(FIXED);
    ptrdiff_t split = str_index(text, 0);
    struct cel_value vars[COUNT_OF(names)] = { 0 };
    struct cel_entry entry;
    struct json_error error;
    struct arena arena;
    struct ctx c = { .arena = &arena };

    arena_init(&arena);
    if (split >= 0) {
        json = str_slice(text, (size_t)split + 1, text.n);
        text = str_slice(text, 0, (size_t)split);
    }
    if (json_check(json, &json, &error)) {
        vars[1] = cel_json(&arena, json);
        entry = (struct cel_entry){ cel_string(S("data")), vars[1] };
        vars[0] = cel_map(&entry, 1);
        vars[2] = cel_string(S("order.placed"));
        vars[3] = cel_time_ms(1777708800123);
        evaluate(&c, text, vars);
    }
    arena_done(&arena);
    return 0;
}
