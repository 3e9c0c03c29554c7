/* Histograms by function, and by function and step, behind one lock that is held for as long as it
 * takes to add the facts of one commit, or to copy the figures out. */
#include "svc/meters.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/sync.h"
#include "store/overview.h"
#include "svc/app.h"

const struct meter_bound meter_bounds[METER_BUCKETS] = {
    { 5, "0.005" },  { 10, "0.01" },  { 25, "0.025" }, { 50, "0.05" },    { 100, "0.1" },
    { 250, "0.25" }, { 500, "0.5" },  { 1000, "1" },   { 2500, "2.5" },   { 5000, "5" },
    { 10000, "10" }, { 30000, "30" }, { 60000, "60" }, { 300000, "300" },
};

struct step_entry {
    uint64_t by_status[STEP_STATUS_COUNT];
    struct histogram h;
    size_t name_n;
    char name[];
};

struct fn_entry {
    int64_t fn;
    struct histogram runs;
    struct map steps; /* name -> struct step_entry */
};

struct meters {
    struct mutex lock;
    struct map fns; /* function key -> struct fn_entry */
    size_t steps_n; /* in all of them */
    size_t named_n; /* those that count against the bound */
    uint64_t workers_lost;
};

struct meters *meters_new(void)
{
    struct meters *m = mem_zero(sizeof(*m));

    mutex_init(&m->lock);
    return m;
}

void meters_free(struct meters *m)
{
    struct fn_entry *f;

    if (!m)
        return;
    for (size_t i = 0; (f = map_next(&m->fns, &i)) != NULL;) {
        struct step_entry *s;

        for (size_t k = 0; (s = map_next(&f->steps, &k)) != NULL;)
            mem_free(s);
        map_done(&f->steps);
        mem_free(f);
    }
    map_done(&m->fns);
    mutex_done(&m->lock);
    mem_free(m);
}

static void histogram_add(struct histogram *h, int64_t ms)
{
    size_t k = 0;

    ms = ms < 0 ? 0 : ms;
    while (k < METER_BUCKETS && ms > meter_bounds[k].ms)
        k++;
    h->by_bucket[k]++;
    h->sum_ms += (uint64_t)ms;
}

static struct fn_entry *fn_of(struct meters *m, int64_t fn)
{
    struct fn_entry *f = map_get(&m->fns, (uint64_t)fn);

    if (!f) {
        f = mem_zero(sizeof(*f));
        f->fn = fn;
        map_put(&m->fns, (uint64_t)fn, f);
    }
    return f;
}

static struct step_entry *step_of(struct meters *m, struct fn_entry *f, str_t name)
{
    struct step_entry *s = map_get_str(&f->steps, name);

    if (s)
        return s;
    if (name.n > METER_NAME_BYTES_MAX || m->named_n >= METER_NAMES_MAX) {
        name = S("other");
        s = map_get_str(&f->steps, name);
        if (s)
            return s;
    } else {
        m->named_n++;
    }
    s = mem_zero(sizeof(*s) + name.n);
    s->name_n = name.n;
    memcpy(s->name, name.p, name.n);
    map_put_str(&f->steps, (str_t){ s->name, s->name_n }, s);
    m->steps_n++;
    return s;
}

static void add(struct meters *m, const struct meter_fact *fact)
{
    struct step_entry *s;

    switch (fact->kind) {
    case METER_RUN:
        histogram_add(&fn_of(m, fact->fn)->runs, fact->ms);
        break;
    case METER_STEP:
        s = step_of(m, fn_of(m, fact->fn), fact->name);
        s->by_status[fact->status]++;
        histogram_add(&s->h, fact->ms);
        break;
    case METER_WORKER_LOST:
        m->workers_lost++;
        break;
    }
}

void meters_add(struct meters *m, const struct meter_fact *facts, size_t n)
{
    mutex_lock(&m->lock);
    for (size_t i = 0; i < n; i++)
        add(m, &facts[i]);
    mutex_unlock(&m->lock);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The figures as they are copied out; position i of fns belongs to runs[i] or steps[i]. */
struct copy {
    struct run_meter *runs;
    struct step_meter *steps;
    int64_t *run_fns, *step_fns;
    size_t runs_n, steps_n;
};

static bool was_run(const struct histogram *h)
{
    for (size_t k = 0; k <= METER_BUCKETS; k++)
        if (h->by_bucket[k] > 0)
            return true;
    return false;
}

static void copy_steps(struct ctx *c, const struct fn_entry *f, struct copy *out)
{
    const struct step_entry *s;

    for (size_t i = 0; (s = map_next(&f->steps, &i)) != NULL;) {
        struct step_meter *to = &out->steps[out->steps_n];

        *to = (struct step_meter){ .name = str_dup(c->arena, (str_t){ s->name, s->name_n }),
                                   .h = s->h };
        memcpy(to->by_status, s->by_status, sizeof(to->by_status));
        out->step_fns[out->steps_n++] = f->fn;
    }
}

/* Under the lock. */
static void copy_out(struct ctx *c, const struct meters *m, struct copy *out)
{
    const struct fn_entry *f;

    out->runs = NEW_N(c->arena, struct run_meter, m->fns.n + 1);
    out->run_fns = NEW_N(c->arena, int64_t, m->fns.n + 1);
    out->steps = NEW_N(c->arena, struct step_meter, m->steps_n + 1);
    out->step_fns = NEW_N(c->arena, int64_t, m->steps_n + 1);
    for (size_t i = 0; (f = map_next(&m->fns, &i)) != NULL;) {
        copy_steps(c, f, out);
        if (!was_run(&f->runs))
            continue;
        out->runs[out->runs_n].h = f->runs;
        out->run_fns[out->runs_n++] = f->fn;
    }
}

static const struct function_name *name_of(const struct map *names, int64_t fn)
{
    return map_get(names, (uint64_t)fn);
}

/* Puts the names in, and leaves out what has none. */
static void put_names(const struct map *names, struct copy *k)
{
    size_t runs_n = 0, steps_n = 0;

    for (size_t i = 0; i < k->runs_n; i++) {
        const struct function_name *f = name_of(names, k->run_fns[i]);

        if (!f)
            continue;
        k->runs[runs_n] = k->runs[i];
        k->runs[runs_n].function_id = f->id;
        k->runs[runs_n++].environment = f->environment;
    }
    for (size_t i = 0; i < k->steps_n; i++) {
        const struct function_name *f = name_of(names, k->step_fns[i]);

        if (!f)
            continue;
        k->steps[steps_n] = k->steps[i];
        k->steps[steps_n++].function_id = f->id;
    }
    k->runs_n = runs_n;
    k->steps_n = steps_n;
}

static int run_order(const void *a, const void *b)
{
    const struct run_meter *x = a, *y = b;
    int by_env = str_cmp(x->environment, y->environment);

    return by_env != 0 ? by_env : str_cmp(x->function_id, y->function_id);
}

static int step_order(const void *a, const void *b)
{
    const struct step_meter *x = a, *y = b;
    int by_fn = str_cmp(x->function_id, y->function_id);

    return by_fn != 0 ? by_fn : str_cmp(x->name, y->name);
}

static void histogram_join(struct histogram *to, const struct histogram *h)
{
    for (size_t k = 0; k <= METER_BUCKETS; k++)
        to->by_bucket[k] += h->by_bucket[k];
    to->sum_ms += h->sum_ms;
}

/* Functions of one id in several environments are one here: the metric has no label for them. */
static size_t steps_join(struct step_meter *steps, size_t n)
{
    size_t have = 0;

    for (size_t i = 0; i < n; i++) {
        if (have > 0 && step_order(&steps[have - 1], &steps[i]) == 0) {
            for (size_t k = 0; k < STEP_STATUS_COUNT; k++)
                steps[have - 1].by_status[k] += steps[i].by_status[k];
            histogram_join(&steps[have - 1].h, &steps[i].h);
        } else {
            steps[have++] = steps[i];
        }
    }
    return have;
}

static err_t names_read(struct ctx *c, struct map *out)
{
    struct function_name *list = NULL;
    size_t n = 0;

    TRY(store_function_names(c, &list, &n));
    for (size_t i = 0; i < n; i++)
        map_put(out, (uint64_t)list[i].key, &list[i]);
    return ERR_OK;
}

err_t svc_meters_read(struct ctx *c, struct meter_report *out)
{
    struct meters *m = app_of(c)->meters;
    struct map names = { 0 };
    struct copy k = { 0 };
    uint64_t lost;

    must(m != NULL);
    TRY(names_read(c, &names));
    mutex_lock(&m->lock);
    copy_out(c, m, &k);
    lost = m->workers_lost;
    mutex_unlock(&m->lock);
    put_names(&names, &k);
    map_done(&names);
    qsort(k.runs, k.runs_n, sizeof(*k.runs), run_order);
    qsort(k.steps, k.steps_n, sizeof(*k.steps), step_order);
    *out = (struct meter_report){ k.runs, k.steps, k.runs_n, steps_join(k.steps, k.steps_n), lost };
    return ERR_OK;
}
