/* What a filter may name, and what its names mean. */
#include "engine/filter.h"

#include <stdatomic.h>

#include "base/mem.h"

/* Steps of one evaluation, about a millisecond: filters run where writes wait. */
#define FILTER_COST_MAX 20000

struct filter {
    atomic_int refs;
    struct cel_program *program;
};

enum { NAME_EVENT, NAME_NAME, NAME_DATA, NAME_METADATA, NAME_VERSION, NAME_SOURCE, NAME_TIMESTAMP };
#define NAMES (NAME_TIMESTAMP + 1)

static const str_t names[NAMES] = {
    [NAME_EVENT] = { "event", 5 },        [NAME_NAME] = { "name", 4 },
    [NAME_DATA] = { "data", 4 },          [NAME_METADATA] = { "metadata", 8 },
    [NAME_VERSION] = { "version", 7 },    [NAME_SOURCE] = { "source", 6 },
    [NAME_TIMESTAMP] = { "timestamp", 9 }
};

err_t filter_new(struct ctx *c, str_t expression, struct filter **out)
{
    const struct cel_env env = { names, NAMES, FILTER_COST_MAX };
    struct cel_program *program = NULL;
    struct filter *f;

    TRY(cel_compile(c, expression, &env, &program));
    f = mem_zero(sizeof(*f));
    atomic_init(&f->refs, 1);
    f->program = program;
    *out = f;
    return ERR_OK;
}

struct filter *filter_ref(struct filter *f)
{
    atomic_fetch_add(&f->refs, 1);
    return f;
}

void filter_unref(struct filter *f)
{
    if (f == NULL || atomic_fetch_sub(&f->refs, 1) > 1)
        return;
    cel_free(f->program);
    mem_free(f);
}

static void view_make(struct ctx *c, const struct event *e, struct filter_event *v)
{
    struct cel_value *vars = v->vars;

    vars[NAME_NAME] = cel_string(e->name);
    vars[NAME_DATA] = cel_json(c->arena, e->data.n > 0 ? e->data : S("{}"));
    vars[NAME_METADATA] = cel_json(c->arena, e->metadata.n > 0 ? e->metadata : S("{}"));
    vars[NAME_VERSION] = cel_int(e->version);
    vars[NAME_SOURCE] = cel_string(e->source);
    vars[NAME_TIMESTAMP] = cel_time_ms(e->id != 0 ? id_ms(e->id) : c->now_ms);
    for (size_t i = NAME_EVENT + 1; i < NAMES; i++)
        v->parts[i - 1] = (struct cel_entry){ cel_string(names[i]), vars[i] };
    vars[NAME_EVENT] = cel_map(v->parts, NAMES - 1);
    v->made = true;
}

bool filter_match(struct ctx *c, const struct filter *f, const struct event *e,
                  struct filter_event *view)
{
    _Static_assert(NAMES <= COUNT_OF(view->vars), "room for every name");
    if (!view->made)
        view_make(c, e, view);
    return cel_match(c, f->program, view->vars);
}
