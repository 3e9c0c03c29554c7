/* Waits, children and cancel specs: what must hold whenever nothing is under way, and after each
 * acknowledged event. On SQLite the keys of waits and events come from one growing sequence. */
#include "codec/json.h"
#include "engine/wait.h"
#include "sim.h"

/* Counts that must be 0. */
static const struct {
    const char *what;
    struct sql q;
} nothings[] = {
    { "rows in waits of runs that have ended",
      { "SELECT count(*) FROM waits w WHERE NOT EXISTS "
        "(SELECT 1 FROM queue q WHERE q.run_id = w.run_id)" } },
    { "rows in waits of steps that do not wait",
      { "SELECT count(*) FROM waits w WHERE w.kind = 1 AND NOT EXISTS "
        "(SELECT 1 FROM steps s WHERE s.id = w.step AND s.status = 6)" } },
    { "steps that wait for an event without a row",
      { "SELECT count(*) FROM steps s JOIN queue q ON q.run_id = s.run_id WHERE s.type = 3 "
        "AND s.status = 6 AND NOT EXISTS (SELECT 1 FROM waits w WHERE w.step = s.id)" } },
    { "steps that wait, of runs that do not wait for them",
      { "SELECT count(*) FROM steps s JOIN queue q ON q.run_id = s.run_id WHERE s.status = 6 "
        "AND q.wait_step NOT IN (s.id, 0)" } },
    { "steps that wait for a child that has ended",
      { "SELECT count(*) FROM steps s JOIN queue q ON q.run_id = s.run_id "
        "JOIN runs r ON r.id = s.child_run "
        "WHERE s.type = 5 AND s.status = 6 AND r.status IN (3, 4, 5)" } },
    { "steps whose child does not name them",
      { "SELECT count(*) FROM steps s LEFT JOIN runs r ON r.id = s.child_run "
        "AND r.parent_run = s.run_id AND r.parent_step = s.step_id "
        "WHERE s.child_run IS NOT NULL AND r.id IS NULL" } },
    { "completed waits without an event",
      { "SELECT count(*) FROM steps s LEFT JOIN events e ON e.id = s.event_ref "
        "WHERE s.type = 3 AND s.status = 3 AND s.patched_at = 0 AND e.id IS NULL" } },
    { "steps that an event completed before they waited",
      { "SELECT count(*) FROM steps s WHERE s.type = 3 AND s.event_ref <= s.id" } },
};

/* Only a run that was resumed may invoke a step's function again. */
static void check_children(struct sim *s)
{
    static const struct sql q = { "SELECT parent_run FROM runs WHERE parent_run IS NOT NULL "
                                  "GROUP BY parent_run, parent_step HAVING count(*) > 1" };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (!s->failed && db_row(&r)) {
        if (!model_run(s, db_int(&r, 0))->resumed)
            violation(s, "a step of run " STR_FMT " has two children",
                      STR_ARG(run_text(s, db_int(&r, 0))));
    }
    rows_close(s, &r);
}

void check_waits(struct sim *s)
{
    static const struct sql wakes = { "SELECT count(*) FROM wakes" };

    for (size_t i = 0; i < COUNT_OF(nothings) && !s->failed; i++) {
        int64_t n = rows_number(s, &nothings[i].q, ARGS_NONE);

        if (n != 0)
            violation(s, "%lld %s", (long long)n, nothings[i].what);
    }
    check_children(s);
    if (s->clock.virtual_ms > s->late_until && rows_number(s, &wakes, ARGS_NONE) != 0)
        violation(s, "an event has whom to wake, and nobody does it");
}

void check_waits_end(struct sim *s)
{
    static const struct sql left = { "SELECT (SELECT count(*) FROM waits) + "
                                     "(SELECT count(*) FROM wakes)" };
    static const struct sql woken = { "SELECT count(*) FROM steps WHERE event_ref IS NOT NULL" };
    static const struct sql late = { "SELECT count(*) FROM steps WHERE status = 7" };
    static const struct sql children = { "SELECT count(*) FROM runs WHERE parent_run <> 0" };
    static const struct sql stopped = { "SELECT count(*) FROM runs "
                                        "WHERE cancellation_cause = 'cancel-on-event'" };

    check_waits(s);
    if (rows_number(s, &left, ARGS_NONE) != 0)
        violation(s, "a wait or a wake is left behind");
    s->totals.woken = rows_number(s, &woken, ARGS_NONE);
    s->totals.late = rows_number(s, &late, ARGS_NONE);
    s->totals.children = rows_number(s, &children, ARGS_NONE);
    s->totals.stopped = rows_number(s, &stopped, ARGS_NONE);
}

static str_t k_of(struct sim *s, str_t data)
{
    str_t v;

    return json_get(data, S("k"), &v) ? json_scalar(&s->scratch, v) : STR_NULL;
}

void check_woken(struct sim *s, const struct op *op, size_t i)
{
    static const struct sql q = {
        "SELECT count(*) FROM waits WHERE id < $1 AND ((event = $2 AND path = '=k' AND value = $3) "
        "OR (event = $2 AND path = '~k' AND value = 'n' || $3) "
        "OR (event = '' AND path = '=k' AND value = $3 AND $2 NOT LIKE '%.%')) "
        "AND NOT EXISTS (SELECT 1 FROM wakes)"
    };
    str_t k = k_of(s, op->emits[i].data);

    if (op->kind == OP_INVOKE)
        return;
    if (rows_number(s, &q,
                    ARGS(DB_INT(op->out[i].event_id), DB_TEXT(op->emits[i].name), DB_TEXT(k))) != 0)
        violation(s, "event " STR_FMT " with k " STR_FMT " left somebody waiting",
                  STR_ARG(op->emits[i].name), STR_ARG(k));
}

void check_event_output(struct sim *s, const struct assignment *a, const struct step *st)
{
    str_t data, want, text;

    if (!json_get(st->output, S("data"), &data)) {
        violation(s, "step " STR_FMT " is handed out without its event", STR_ARG(st->step_id));
        return;
    }
    if (json_get(st->input, S("match_value"), &want))
        text = json_scalar(&s->scratch, want);
    else if (json_get(st->input, S("match"), &want) && str_find(want, S("==")) >= 0)
        text = str_slice(want, sizeof("\"data.k == ") - 1, sizeof("\"data.k == "));
    else
        text = k_of(s, a->event.data);
    if (!str_eq(k_of(s, data), text))
        violation(s, "step " STR_FMT " waited for k " STR_FMT " and got " STR_FMT,
                  STR_ARG(st->step_id), STR_ARG(text), STR_ARG(st->output));
}

bool sim_catches(str_t worker_id)
{
    return worker_id.n > 1 && (worker_id.p[1] & 1) != 0;
}
