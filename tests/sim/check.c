/* The tables against the model and against each other. check_idle looks at what is open, after
 * every step; check_all at everything, after every start and now and then. */
#include "engine/sm.h"
#include "sim.h"
#include "store/workers.h"

#define SWEEP_MS 2000 /* how often leases are looked at */
#define SLOT_KEPT_MS 1003

/* ---- idle
 * ---------------------------------------------------------------------------------------- */

static void idle_job(struct sim *s, const struct db_rows *r)
{
    int64_t now = s->clock.virtual_ms, id = db_int(r, 0), state = db_int(r, 1);
    struct m_run *run = model_run(s, id);
    str_t text = run_text(s, id);

    if (!run->created || run->ended)
        violation(s, "run " STR_FMT " has a queue row and is not open", STR_ARG(text));
    if (db_int(r, 4) < run->seq_max)
        violation(s, "run " STR_FMT ": its fence fell to %lld", STR_ARG(text),
                  (long long)db_int(r, 4));
    run->admitted = state == JOB_READY && run->state != JOB_READY && run->state != JOB_CLAIMED;
    run->state = state;
    run->ready_at = state == JOB_READY && db_int(r, 5) == 0 ? db_int(r, 2) : 0;
    run->ready_seq = db_int(r, 4);
    if (now <= s->late_until)
        return;
    if (state == JOB_CLAIMED && db_int(r, 3) <= now - SWEEP_MS - 1)
        violation(s, "run " STR_FMT ": its lease ran out %lld ms ago", STR_ARG(text),
                  (long long)(now - db_int(r, 3)));
    if (state == JOB_PARKED && db_int(r, 2) <= now && db_int(r, 6) != PAUSE_INJECTION)
        violation(s, "run " STR_FMT " should be awake for %lld ms", STR_ARG(text),
                  (long long)(now - db_int(r, 2)));
}

/* A parked poll with room beside a run that is ready: a wake-up was lost. */
static void idle_polls(struct sim *s, int64_t ready)
{
    static const struct sql q = { "SELECT count(*) FROM queue WHERE worker = $1 AND state = 1" };
    static const struct sql mine = { "SELECT count(*) FROM queue WHERE bound = $1 AND state = 0" };

    for (size_t i = 0; i < s->ops.n; i++) {
        const struct op *op = s->ops.items[i];
        int64_t worker;

        if (op->kind != OP_POLL || op->no < s->flipped)
            continue; /* it waits for the functions that were pulled when it came */
        worker = store_worker_key(&s->c, op->worker_id);
        if (ready == 0 && rows_number(s, &mine, ARGS(DB_INT(worker))) == 0)
            continue;
        if (!sim_catches(op->worker_id) &&
            s->clock.virtual_ms <= op->deadline - s->app.poll_hold_ms + SLOT_KEPT_MS)
            continue; /* its last slot is kept for a job that may come back */
        if (rows_number(s, &q, ARGS(DB_INT(worker))) < SIM_HOLDS)
            violation(s, "poll %lld of " STR_FMT " waits while %lld runs are ready",
                      (long long)op->no, STR_ARG(op->worker_id), (long long)ready);
    }
}

static void idle_waits(struct sim *s)
{
    for (size_t i = 0; i < s->ops.n; i++) {
        const struct op *op = s->ops.items[i];
        size_t ended = 0;

        if (op->kind != OP_WAIT)
            continue;
        for (size_t k = 0; k < op->ids_n; k++)
            ended += model_run(s, op->ids[k])->ended;
        if (ended == op->ids_n)
            violation(s, "call %lld waits for runs that have ended", (long long)op->no);
        if (op->deadline <= s->clock.virtual_ms)
            violation(s, "call %lld waits past its deadline", (long long)op->no);
    }
}

void check_idle(struct sim *s)
{
    static const struct sql q = {
        "SELECT q.run_id, q.state, q.ready_at, q.lease_until, "
        "q.execution_seq, q.bound, r.pause_reason, f.mode FROM queue q "
        "JOIN runs r ON r.id = q.run_id JOIN functions f ON f.key = q.fn"
    };
    static const struct sql timers = { "SELECT count(*) FROM timers WHERE due <= $1" };
    int64_t n = 0, ready = 0;
    struct db_rows r;

    if (!read_begin(s))
        return;
    if (rows_open(s, &q, ARGS_NONE, &r)) {
        for (; db_row(&r) && !s->failed; n++) {
            idle_job(s, &r);
            ready += db_int(&r, 1) == JOB_READY && db_int(&r, 5) == 0 && db_int(&r, 7) == MODE_PULL;
        }
        rows_close(s, &r);
    }
    if (n != s->open_runs)
        violation(s, "%lld queue rows for %lld open runs", (long long)n, (long long)s->open_runs);
    if (s->clock.virtual_ms > s->late_until &&
        rows_number(s, &timers, ARGS(DB_INT(s->clock.virtual_ms))) > 0)
        violation(s, "a timer is due and nobody fires it");
    idle_polls(s, ready);
    check_outcomes(s);
    check_push(s);
    check_streams(s, ready);
    check_due(s);
    if (s->checked != s->totals.commits + s->totals.crashes) {
        check_waits(s);
        check_flow(s);
        check_operators(s);
    }
    s->checked = s->totals.commits + s->totals.crashes;
    read_end(s);
    idle_waits(s);
}

/* ---- everything
 * ------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h ^= v;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static void all_events(struct sim *s)
{
    static const struct sql q = { "SELECT id, data, idempotency_key FROM events "
                                  "WHERE source NOT IN ('system', 'cron') ORDER BY id" };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (!s->failed && db_row(&r)) {
        int64_t id = db_int(&r, 0), mark = event_mark(db_str(&r, 1));
        struct m_emit *m = mark < 1 || mark > (int64_t)s->emits.n ? NULL : s->emits.items[mark - 1];

        if (!m) {
            violation(s, "an event that nobody emitted");
            break;
        }
        if (m->spoiled)
            violation(s, "mark %lld: something of a failed call is there", (long long)mark);
        if (m->by && m->by->resumed)
            continue; /* a child that failed has a successor */
        if (m->seen == s->scans || (m->acked && m->event_id != id))
            violation(s, "mark %lld has two events", (long long)mark);
        m->seen = s->scans;
        if (m->key == 0)
            continue;
        struct m_key *k = &s->keys[m->key];
        if (k->seen == s->scans || (k->acked && k->event_id != id))
            violation(s, "key %lld has two events", (long long)m->key);
        k->seen = s->scans;
    }
    rows_close(s, &r);
    for (size_t i = 0; i < s->emits.n; i++) {
        const struct m_emit *m = s->emits.items[i];

        if (m->acked && m->seen != s->scans)
            violation(s, "mark %lld: an acknowledged emit is lost", (long long)m->mark);
    }
}

/* Rows of terminal runs never change: the first hash stays. */
static void all_runs(struct sim *s, struct map *hashes)
{
    static const struct sql q = {
        "SELECT id, status, fn, event_id, attempt, output, error, worker, started_at, ended_at, "
        "updated_at, execution_seq, token, cancellation_cause FROM runs"
    };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (!s->failed && db_row(&r)) {
        struct m_run *run = model_run(s, db_int(&r, 0));
        enum run_status status = (enum run_status)db_int(&r, 1);
        str_t id = run_text(s, run->id);
        uint64_t h = 1;

        run->seen = s->scans;
        if (!run->created)
            violation(s, "run " STR_FMT " was never announced", STR_ARG(id));
        if (status != run->status && (run->ended || status != RUN_PENDING))
            violation(s, "run " STR_FMT " has status %d, its messages say %d", STR_ARG(id),
                      (int)status, (int)run->status);
        if (run->cancelled > 0 && status != RUN_CANCELLED)
            violation(s, "run " STR_FMT ": its cancel is lost", STR_ARG(id));
        if (db_int(&r, 11) > run->runnings)
            violation(s, "run " STR_FMT ": %lld segments, %lld messages", STR_ARG(id),
                      (long long)db_int(&r, 11), (long long)run->runnings);
        if (!run->ended)
            continue;
        if (db_int(&r, 11) < run->seq_max)
            violation(s, "run " STR_FMT " forgot who ended it", STR_ARG(id));
        for (int col = 1; col < 14; col++) {
            bool text = (col >= 5 && col <= 7) || col == 13;
            h = mix(h, text ? str_hash(db_str(&r, col)) : (uint64_t)db_int(&r, col));
        }
        uint64_t *kept = arena_alloc(&s->scratch, sizeof(*kept));
        *kept = h;
        (void)map_put(hashes, (uint64_t)run->id, kept);
    }
    rows_close(s, &r);
    for (size_t i = 0; i < s->order.n && !s->failed; i++) {
        const struct m_run *run = s->order.items[i];

        if (run->seen != s->scans)
            violation(s, "run " STR_FMT " is lost", STR_ARG(run_text(s, run->id)));
    }
}

static void all_steps(struct sim *s, const struct map *hashes)
{
    static const struct sql q = {
        "SELECT run_id, step_id, status, CASE WHEN event_ref IS NULL THEN output "
        "ELSE 'event ' || event_ref END, error, sequence, attempt, ended_at, wake_at, type "
        "FROM steps ORDER BY id"
    };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (!s->failed && db_row(&r)) {
        struct m_run *run = model_run(s, db_int(&r, 0));
        struct m_step *m = model_step(s, run, db_str(&r, 1));
        uint64_t *h = map_get(hashes, (uint64_t)run->id);

        m->seen = s->scans;
        if (m->frozen && (db_int(&r, 2) != STEP_COMPLETED || !str_eq(db_str(&r, 3), m->output)))
            violation(s, "step " STR_FMT " was acknowledged and changed", STR_ARG(m->id));
        for (int col = 1; h && col < 10; col++)
            *h = mix(*h, col == 1 || col == 3 || col == 4 ? str_hash(db_str(&r, col))
                                                          : (uint64_t)db_int(&r, col));
    }
    rows_close(s, &r);
}

static void all_hashes(struct sim *s, const struct map *hashes)
{
    for (size_t i = 0; i < s->order.n && !s->failed; i++) {
        struct m_run *run = s->order.items[i];
        const uint64_t *h = map_get(hashes, (uint64_t)run->id);

        for (const struct m_step *m = run->steps; m; m = m->next)
            if (m->frozen && m->seen != s->scans)
                violation(s, "step " STR_FMT " is lost", STR_ARG(m->id));
        if (!h)
            continue;
        if (run->hashed && run->hash != *h)
            violation(s, "run " STR_FMT " changed after its end", STR_ARG(run_text(s, run->id)));
        run->hashed = true;
        run->hash = *h;
    }
}

/* Counts that must be 0. */
static const struct {
    const char *what;
    struct sql q;
} nothings[] = {
    { "counters of runs that are not the truth",
      { "SELECT count(*) FROM (SELECT fn, kind, sum(n) AS n FROM (SELECT fn, kind, n FROM counters "
        "WHERE kind < 100 UNION ALL SELECT fn, status, -1 FROM runs) t GROUP BY fn, kind "
        "HAVING sum(n) <> 0) wrong" } },
    { "events beside their counter",
      { "SELECT (SELECT coalesce(sum(n), 0) FROM counters WHERE kind = 100) - "
        "(SELECT count(*) FROM events WHERE source <> 'system')" } },
    { "queue rows of ended runs",
      { "SELECT count(*) FROM queue q JOIN runs r ON r.id = q.run_id "
        "WHERE r.status IN (3, 4, 5)" } },
    { "open runs without a queue row",
      { "SELECT count(*) FROM runs r LEFT JOIN queue q ON r.id = q.run_id "
        "WHERE r.status NOT IN (3, 4, 5) AND q.run_id IS NULL" } },
    { "runs whose status is not that of their job",
      { "SELECT count(*) FROM queue q JOIN runs r ON r.id = q.run_id WHERE r.status <> CASE "
        "q.state "
        "WHEN 1 THEN 2 WHEN 2 THEN CASE WHEN q.reported IN (3, 4) OR r.pause_reason = 3 THEN 6 "
        "ELSE 8 END ELSE CASE WHEN (q.watch & 16) <> 0 THEN 2 ELSE 7 END END" } },
    { "parked jobs without a timer",
      { "SELECT count(*) FROM queue q JOIN runs r ON r.id = q.run_id WHERE q.state = 2 "
        "AND r.pause_reason <> 3 AND NOT EXISTS (SELECT 1 FROM timers t "
        "WHERE t.run_id = q.run_id AND t.execution_seq = q.execution_seq "
        "AND t.due = q.ready_at)" } },
    { "open steps of ended runs",
      { "SELECT count(*) FROM steps s JOIN runs r ON r.id = s.run_id "
        "WHERE r.status IN (3, 5) AND s.status IN (1, 2, 5, 6)" } },
    { "steps that share a sequence",
      { "SELECT count(*) FROM (SELECT run_id FROM steps GROUP BY run_id, sequence "
        "HAVING count(*) > 1) t" } },
};

static void check_integrity(struct sim *s)
{
    static const struct sql q = { "PRAGMA integrity_check" };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (db_row(&r)) {
        str_t line = db_str(&r, 0);

        if (!str_eq(line, S("ok")))
            violation(s, "the file is damaged: " STR_FMT, STR_ARG(line));
    }
    rows_close(s, &r);
}

void check_all(struct sim *s, bool integrity)
{
    struct map hashes = { 0 };

    check_log(s);
    if (s->failed || !read_begin(s))
        return;
    s->scans++;
    if (integrity)
        check_integrity(s);
    all_events(s);
    if (!s->failed)
        all_runs(s, &hashes);
    if (!s->failed)
        all_steps(s, &hashes);
    if (!s->failed)
        all_hashes(s, &hashes);
    for (size_t i = 0; i < COUNT_OF(nothings) && !s->failed; i++) {
        int64_t n = rows_number(s, &nothings[i].q, ARGS_NONE);

        if (n != 0)
            violation(s, "%lld %s", (long long)n, nothings[i].what);
    }
    map_done(&hashes);
    read_end(s);
    check_render(s);
}

/* Nothing is left to do: no run is open, no timer waits. */
void check_end(struct sim *s)
{
    static const struct sql timers = { "SELECT count(*) FROM timers" };
    static const struct sql sleeping = { "SELECT count(*) FROM steps s JOIN runs r "
                                         "ON r.id = s.run_id WHERE s.status = 5 "
                                         "AND r.status = 3" };

    check_all(s, true);
    if (s->failed || !read_begin(s))
        return;
    if (s->open_runs != 0)
        violation(s, "%lld runs did not end", (long long)s->open_runs);
    check_flow_end(s);
    check_trails(s);
    check_waits_end(s);
    if (rows_number(s, &timers, ARGS_NONE) != 0)
        violation(s, "a timer is left behind");
    if (rows_number(s, &sleeping, ARGS_NONE) != 0)
        violation(s, "a completed run has a sleeping step");
    read_end(s);
}
