/* Reading the audit trail: of a run, oldest first, or of an environment, newest first. */
#include "engine/match.h"
#include "engine/wait.h"
#include "store/audit.h"
#include "store/events.h"
#include "store/runs.h"
#include "store/steps.h"
#include "svc/audit.h"
#include "svc/registry.h"

#define ROWS_PER_READ 16
#define LIST_PER_READ 64
#define VIEWS_MAX ((size_t)2 * (AUDIT_LIST_ROWS + LIST_PER_READ)) /* of the runs of two walks */
#define PAGE_BYTES ((size_t)8 << 20)

/* What the payloads of a run's entries tell. */
struct view {
    struct run run;
    str_t function_id, input;
    struct step *steps;
    size_t steps_n;
    /* Of its rows: the time before which none of their entries is. */
    struct view_row {
        int64_t id, clock;
    } * rows;
    size_t rows_n, rows_cap;
};

static err_t function_name(struct ctx *c, int64_t key, str_t *out)
{
    const struct registry *reg = NULL;
    const struct function *fn;

    TRY(svc_registry(c, &reg));
    fn = registry_by_key(reg, key);
    *out = fn ? fn->id : S("unknown");
    return ERR_OK;
}

static err_t view_load(struct ctx *c, int64_t run_id, struct view *v)
{
    struct event e = { 0 };
    err_t found;

    TRY(store_run_get(c, run_id, &v->run));
    TRY(function_name(c, v->run.fn, &v->function_id));
    found = store_event_get(c, v->run.event_id, &e);
    if (found != ERR_NOT_FOUND)
        TRY(found);
    v->input = e.data;
    return store_step_heads(c, run_id, &v->steps, &v->steps_n);
}

static const struct step *step_by(const struct view *v, int64_t id)
{
    for (size_t i = 0; i < v->steps_n; i++) {
        if (v->steps[i].id == id)
            return &v->steps[i];
    }
    return NULL;
}

/* v is NULL for an entry of no run. */
static err_t event_tell(struct ctx *c, const struct view *v, struct audit_event *ev)
{
    struct audit_about about = { 0 };
    struct event event = { 0 };
    err_t e;

    if (v == NULL) {
        TRY(function_name(c, ev->entry.a, &ev->function_id));
        about.function_id = ev->function_id;
        return audit_payload(c, &ev->entry, &about, &ev->payload);
    }
    ev->run_id = v->run.id;
    ev->function_id = v->function_id;
    about = (struct audit_about){ .run = &v->run,
                                  .function_id = v->function_id,
                                  .input = v->input,
                                  .step = step_by(v, ev->entry.step) };
    if (ev->entry.step != 0 && ev->entry.b != 0) { /* an event completed it */
        e = store_event_get(c, ev->entry.b, &event);
        if (e == ERR_OK)
            about.event = event_object_json(c, &event);
        else if (e != ERR_NOT_FOUND)
            return e;
    }
    return audit_payload(c, &ev->entry, &about, &ev->payload);
}

static bool wanted(const struct audit_filter *f, const struct audit_entry *e)
{
    return (f->type.n == 0 || str_eq(f->type, audit_type_word(e->type))) && e->at >= f->from_ms &&
           (f->to_ms == 0 || e->at < f->to_ms);
}

/* No entry is older than those of the rows before. */
static void clamp(struct audit_entry *list, size_t n, int64_t *clock)
{
    int64_t base = *clock;

    for (size_t i = 0; i < n; i++) {
        if (list[i].at < base)
            list[i].at = base;
        if (list[i].at > *clock)
            *clock = list[i].at;
    }
}

/* Calls fn for all rows of a run, oldest first. A trail may be larger than what a call should hold:
 * in fn c->arena is one that only a few rows share. */
static err_t rows_each(struct ctx *c, int64_t run_id,
                       err_t (*fn)(struct ctx *c, const struct audit_row *row, void *arg),
                       void *arg)
{
    struct arena *whole = c->arena, part;
    struct audit_row *rows = NULL;
    int64_t after = 0;
    err_t e = ERR_OK;
    size_t n = ROWS_PER_READ;

    arena_init(&part);
    c->arena = &part;
    while (e == ERR_OK && n == ROWS_PER_READ) {
        arena_reset(&part);
        e = store_audit_list(c, run_id, after, ROWS_PER_READ, &rows, &n);
        for (size_t i = 0; e == ERR_OK && i < n; i++) {
            after = rows[i].id;
            e = fn(c, &rows[i], arg);
        }
    }
    c->arena = whole;
    arena_done(&part);
    return e;
}

/* ---- of a run -------------------------------------------------------------------------------- */

struct scan {
    const struct audit_filter *f;
    struct audit_trail *out;
    struct arena *arena; /* of out */
    struct view view;
    int64_t clock;
    size_t page_bytes;
};

/* Puts the entry on the page. */
static err_t event_take(struct ctx *c, struct scan *s, struct audit_event *ev)
{
    struct arena *part = c->arena;
    err_t e;

    c->arena = s->arena;
    e = event_tell(c, &s->view, ev);
    ev->entry.by = str_dup(s->arena, ev->entry.by);
    ev->entry.reason = str_dup(s->arena, ev->entry.reason);
    ev->entry.text = ev->entry.before = STR_NULL; /* the payload has them */
    c->arena = part;
    TRY(e);
    s->page_bytes += ev->payload.n;
    s->out->events[s->out->events_n++] = *ev;
    s->out->row = ev->row;
    s->out->ordinal = ev->ordinal;
    return ERR_OK;
}

static err_t row_scan(struct ctx *c, const struct audit_row *row, void *arg)
{
    struct scan *s = arg;
    const struct audit_filter *f = s->f;
    struct audit_trail *out = s->out;
    struct audit_entry *list = NULL;
    size_t n = 0;

    TRY(audit_unpack(c, row->pack, &list, &n));
    clamp(list, n, &s->clock);
    for (size_t i = 0; i < n; i++) {
        struct audit_event ev = { .row = row->id, .ordinal = (int64_t)i + 1, .entry = list[i] };

        if (!wanted(f, &ev.entry))
            continue;
        out->total++;
        if (ev.row < f->row || (ev.row == f->row && ev.ordinal <= f->ordinal))
            continue;
        out->more = (int64_t)out->events_n == f->limit || s->page_bytes > PAGE_BYTES;
        if (!out->more)
            TRY(event_take(c, s, &ev));
    }
    return ERR_OK;
}

err_t svc_audit_trail(struct ctx *c, int64_t run_id, const struct audit_filter *f,
                      struct audit_trail *out)
{
    struct audit_trail p = { .events = NEW_N(c->arena, struct audit_event, (size_t)f->limit + 1) };
    struct scan s = { .f = f, .out = &p, .arena = c->arena };

    must(f->limit > 0);
    TRY(view_load(c, run_id, &s.view));
    TRY(rows_each(c, run_id, row_scan, &s));
    *out = p;
    return ERR_OK;
}

/* ---- of an environment ----------------------------------------------------------------------- */

/* One walk from newer to older rows. */
struct listing {
    const struct audit_filter *f;
    struct audit_query query; /* query.before moves */
    struct audit_trail *out;
    bool take, count;
    size_t rows, bytes, page_bytes;
    struct view **views;
    size_t views_n;
};

static void row_note(struct arena *arena, struct view *v, int64_t id, int64_t clock)
{
    if (v->rows_n == v->rows_cap) {
        size_t cap = v->rows_cap ? v->rows_cap * 2 : 16;
        struct view_row *more = NEW_N(arena, struct view_row, cap);

        if (v->rows_n > 0)
            memcpy(more, v->rows, v->rows_n * sizeof(*more));
        v->rows = more;
        v->rows_cap = cap;
    }
    v->rows[v->rows_n++] = (struct view_row){ id, clock };
}

/* When the rows of a run begin, as its trail has it. */
struct clocks {
    struct listing *l;
    struct view *v;
    struct arena *arena; /* of v */
    int64_t clock;
};

static err_t row_clock(struct ctx *c, const struct audit_row *row, void *arg)
{
    struct clocks *k = arg;
    struct audit_entry *list = NULL;
    size_t n = 0;

    row_note(k->arena, k->v, row->id, k->clock);
    TRY(audit_unpack(c, row->pack, &list, &n));
    clamp(list, n, &k->clock);
    k->l->bytes += row->pack.n;
    return ERR_OK;
}

static err_t view_clocks(struct ctx *c, struct listing *l, struct view *v)
{
    struct clocks k = { .l = l, .v = v, .arena = c->arena };

    return rows_each(c, v->run.id, row_clock, &k);
}

static err_t view_of(struct ctx *c, struct listing *l, int64_t run_id, struct view **out)
{
    struct view *v;

    for (size_t i = l->views_n; i > 0; i--) {
        if (l->views[i - 1]->run.id == run_id) {
            *out = l->views[i - 1];
            return ERR_OK;
        }
    }
    must(l->views_n < VIEWS_MAX);
    v = NEW(c->arena, struct view);
    TRY(view_load(c, run_id, v));
    TRY(view_clocks(c, l, v));
    l->views[l->views_n++] = v;
    *out = v;
    return ERR_OK;
}

static int64_t clock_before(const struct view *v, int64_t row)
{
    for (size_t i = v->rows_n; i > 0; i--) {
        if (v->rows[i - 1].id == row)
            return v->rows[i - 1].clock;
    }
    return 0;
}

/* Its time as the trail of its run has it, which costs a look at that. */
static err_t entry_time(struct ctx *c, struct listing *l, struct audit_event *ev, struct view **v)
{
    int64_t clock;

    if (ev->run_id == 0)
        return ERR_OK;
    TRY(view_of(c, l, ev->run_id, v));
    clock = clock_before(*v, ev->row);
    if (ev->entry.at < clock)
        ev->entry.at = clock;
    return ERR_OK;
}

static bool page_full(const struct listing *l)
{
    return (int64_t)l->out->events_n == l->f->limit || l->page_bytes > PAGE_BYTES;
}

static err_t entry_list(struct ctx *c, struct listing *l, struct audit_event *ev)
{
    bool timed = l->f->from_ms != 0 || l->f->to_ms != 0, full = l->take && page_full(l);
    struct audit_trail *out = l->out;
    struct view *v = NULL;

    if (l->f->type.n > 0 && !str_eq(l->f->type, audit_type_word(ev->entry.type)))
        return ERR_OK;
    if (ev->run_id == 0 && l->query.fn != 0 && ev->entry.a != l->query.fn)
        return ERR_OK;
    if (timed || (l->take && !full))
        TRY(entry_time(c, l, ev, &v));
    if (timed && !wanted(l->f, &ev->entry))
        return ERR_OK;
    if (l->count)
        out->total++;
    if (!l->take)
        return ERR_OK;
    out->more |= full;
    if (full)
        return ERR_OK;
    TRY(event_tell(c, v, ev));
    l->page_bytes += ev->payload.n;
    out->events[out->events_n++] = *ev;
    out->row = ev->row;
    out->ordinal = ev->ordinal;
    return ERR_OK;
}

static err_t row_list(struct ctx *c, struct listing *l, const struct audit_row *row)
{
    const struct audit_filter *f = l->f;
    struct audit_entry *list = NULL;
    size_t n = 0;

    TRY(audit_unpack(c, row->pack, &list, &n));
    for (size_t i = n; i > 0; i--) {
        struct audit_event ev = {
            .row = row->id, .ordinal = (int64_t)i, .run_id = row->run_id, .entry = list[i - 1]
        };

        if (l->take && f->row == ev.row && ev.ordinal >= f->ordinal)
            continue;
        TRY(entry_list(c, l, &ev));
    }
    l->rows++;
    l->bytes += row->pack.n;
    return ERR_OK;
}

/* Nothing that is left to read would change the answer. */
static bool list_over(const struct listing *l)
{
    return !l->count && l->out->more;
}

static err_t list_walk(struct ctx *c, struct listing *l)
{
    struct audit_row *rows = NULL;
    size_t n = LIST_PER_READ;

    while (n == LIST_PER_READ && !list_over(l)) {
        if (l->rows >= AUDIT_LIST_ROWS || l->bytes > AUDIT_LIST_BYTES) {
            if (l->take && !l->out->more) { /* the next page goes on here */
                l->out->more = true;
                l->out->row = l->query.before;
                l->out->ordinal = 1;
            }
            return ERR_OK;
        }
        TRY(store_audit_page(c, &l->query, LIST_PER_READ, &rows, &n));
        for (size_t i = 0; i < n && !list_over(l); i++)
            TRY(row_list(c, l, &rows[i]));
        if (n > 0)
            l->query.before = rows[n - 1].id;
    }
    return ERR_OK;
}

err_t svc_audit_list(struct ctx *c, int64_t run_id, str_t function_id, const struct audit_filter *f,
                     struct audit_trail *out)
{
    struct audit_trail p = { .events = NEW_N(c->arena, struct audit_event, (size_t)f->limit + 1) };
    struct listing l = { .f = f, .out = &p, .query.run_id = run_id, .query.before = INT64_MAX };
    const struct registry *reg = NULL;
    const struct function *fn;

    must(f->limit > 0);
    l.views = NEW_N(c->arena, struct view *, VIEWS_MAX);
    if (function_id.n > 0) {
        TRY(svc_registry(c, &reg));
        fn = registry_ever(reg, function_id);
        if (fn == NULL) {
            *out = p;
            return ERR_OK;
        }
        l.query.fn = fn->key;
    }
    l.count = true;
    l.take = f->row == 0;
    TRY(list_walk(c, &l));
    if (f->row != 0) {
        l.count = false;
        l.take = true;
        l.rows = l.bytes = 0;
        l.query.before = f->row + 1;
        TRY(list_walk(c, &l));
    }
    *out = p;
    return ERR_OK;
}
