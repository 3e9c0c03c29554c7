/* What emits and invokes were answered with, against the rows: each event once, its runs, its key.
 */
#include "codec/json.h"
#include "sim.h"

int64_t event_mark(str_t data)
{
    str_t v;
    int64_t mark = 0;

    if (!json_get(data, S("mark"), &v) || !str_to_i64(v, &mark))
        return 0;
    return mark;
}

static int64_t stored_mark(struct sim *s, int64_t event_id)
{
    static const struct sql q = { "SELECT data FROM events WHERE id = $1" };
    struct db_rows r;
    int64_t mark = 0;

    if (!rows_open(s, &q, ARGS(DB_INT(event_id)), &r))
        return 0;
    if (db_row(&r))
        mark = event_mark(db_str(&r, 0));
    rows_close(s, &r);
    return mark;
}

/* Which functions the event name starts; the wildcard of function 2 takes one token. */
static uint32_t starts(str_t name)
{
    if (str_eq(name, S("sim.a")))
        return 1u << 0 | 1u << 2;
    if (str_eq(name, S("sim.b")))
        return 1u << 1 | 1u << 2;
    if (str_eq(name, S("sim.d"))) /* and function 4, later */
        return 1u << 2;
    if (str_eq(name, S("sim.p")))
        return 1u << 2 | 1u << SIM_PUSH;
    if (str_eq(name, S("sim.q")))
        return 1u << 2 | 1u << SIM_FLIP;
    return str_starts(name, S("sim.c.")) ? 1u << 3 : 0;
}

int model_fn(const struct sim *s, int64_t key)
{
    for (int i = 0; i < SIM_FNS; i++)
        if (s->fns[i].key == key)
            return i;
    return -1;
}

/* A fresh event starts one run for each active function that wants it. */
static void check_started(struct sim *s, const struct op *op, size_t i)
{
    static const struct sql q = { "SELECT fn FROM runs WHERE id = $1" };
    const struct emitted *e = &op->out[i];
    uint32_t want = op->kind == OP_INVOKE ? 1u << op->fn : starts(op->emits[i].name), got = 0;

    for (int f = 0; f < SIM_FNS; f++)
        if (s->fns[f].status != FN_ACTIVE)
            want &= ~(1u << f);
    for (size_t r = 0; r < e->runs_n; r++) {
        int f = model_fn(s, rows_number(s, &q, ARGS(DB_INT(e->runs[r]))));

        if (f < 0 || (got & 1u << f) != 0)
            violation(s, "an emit started a run of no function, or two of one");
        else
            got |= 1u << f;
    }
    if (got != want)
        violation(s, "emit " STR_FMT " started the functions %x, not %x",
                  STR_ARG(op->emits[i].name), got, want);
}

static void key_answer(struct sim *s, const struct op *op, size_t i)
{
    struct m_key *k = &s->keys[op->keys[i]];
    const struct emitted *e = &op->out[i];

    if (!k->acked) {
        k->acked = true;
        k->event_id = e->event_id;
        k->runs_n = e->runs_n;
        k->runs = NEW_N(&s->keep, int64_t, e->runs_n + 1);
        for (size_t r = 0; r < e->runs_n; r++)
            k->runs[r] = e->runs[r];
        return;
    }
    bool same = k->event_id == e->event_id && k->runs_n == e->runs_n;
    for (size_t r = 0; same && r < e->runs_n; r++)
        same = k->runs[r] == e->runs[r];
    if (!same)
        violation(s, "key %lld answered with another event or other runs", (long long)op->keys[i]);
}

void model_emitted(struct sim *s, const struct op *op, size_t i)
{
    const struct emitted *e = &op->out[i];
    struct m_emit *m;
    int64_t mark;

    s->totals.emits++;
    if (!read_begin(s))
        return;
    mark = stored_mark(s, e->event_id);
    if (mark == op->marks[i]) {
        check_started(s, op, i);
        check_woken(s, op, i);
    }
    read_end(s);
    if (mark < 1 || mark > (int64_t)s->emits.n) {
        violation(s, "an acknowledged event is not there");
        return;
    }
    m = s->emits.items[mark - 1];
    if (mark != op->marks[i] && (op->keys[i] == 0 || m->key != op->keys[i]))
        violation(s, "an emit was answered with the event of another");
    if (m->acked && m->event_id != e->event_id)
        violation(s, "mark %lld has two events", (long long)mark);
    for (size_t r = 0; r < e->runs_n; r++)
        model_run(s, e->runs[r])->acked = true;
    m->acked = true;
    m->event_id = e->event_id;
    if (op->keys[i] != 0)
        key_answer(s, op, i);
}
