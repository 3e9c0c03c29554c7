/* Lanes and actors: what they count is what the queue holds, nobody is admitted above a limit, and
 * nobody is overtaken in a line. Bursts and schedules: each starts one run, none is lost. */
#include "sim.h"

/* Counts that must be 0 whenever all is idle. A slot: holds has bit 1 for the actor, 2 for the
 * lane. */
static const struct {
    const char *what;
    struct sql q;
} nothings[] = {
    { "lanes that count other slots than their jobs hold",
      { "SELECT count(*) FROM lanes l WHERE l.admitted <> (SELECT count(*) FROM queue q "
        "WHERE q.fn = l.fn AND ((q.actor = l.key AND (q.holds & 1) = 1) "
        "OR (q.lane = l.key AND (q.holds & 2) = 2)))" } },
    { "lanes that count other jobs than stand in their line",
      { "SELECT count(*) FROM lanes l WHERE l.waiting <> (SELECT count(*) FROM queue q "
        "WHERE q.fn = l.fn AND q.waits = l.key)" } },
    { "jobs whose lane is not there",
      { "SELECT count(*) FROM queue q WHERE (q.waits <> 0 AND NOT EXISTS (SELECT 1 FROM lanes l "
        "WHERE l.fn = q.fn AND l.key = q.waits)) OR ((q.holds & 1) = 1 AND NOT EXISTS "
        "(SELECT 1 FROM lanes l WHERE l.fn = q.fn AND l.key = q.actor)) OR ((q.holds & 2) = 2 "
        "AND NOT EXISTS (SELECT 1 FROM lanes l WHERE l.fn = q.fn AND l.key = q.lane))" } },
    { "ready or claimed jobs without their slots",
      { "SELECT count(*) FROM queue WHERE state IN (0, 1) AND ((actor <> 0 AND (holds & 1) = 0) "
        "OR (lane <> 0 AND (holds & 2) = 0))" } },
    { "parked jobs that keep a slot",
      { "SELECT count(*) FROM queue WHERE state = 2 AND (holds <> 0 OR waits <> 0)" } },
    { "laned jobs that wait for nothing",
      { "SELECT count(*) FROM queue WHERE (state = 3) <> (waits <> 0)" } },
    { "actors with more than one run",
      { "SELECT count(*) FROM (SELECT fn FROM queue WHERE actor <> 0 AND state = 1 "
        "GROUP BY fn, actor HAVING count(*) > 1) t" } },
    { "lanes that nobody needs",
      { "SELECT count(*) FROM lanes WHERE admitted = 0 AND waiting = 0 AND worker = 0" } },
    { "jobs bound to a worker that is gone",
      { "SELECT count(*) FROM queue q WHERE q.bound <> 0 AND NOT EXISTS "
        "(SELECT 1 FROM workers w WHERE w.key = q.bound)" } },
    { "bursts that end behind their longest wait",
      { "SELECT count(*) FROM debounces WHERE (fires_max <> 0 AND fires_at > fires_max) "
        "OR fires_at < armed_at" } },
    { "bursts whose event is gone",
      { "SELECT count(*) FROM debounces d WHERE NOT EXISTS (SELECT 1 FROM events e "
        "WHERE e.id = d.event_id)" } },
    { "events that started a function twice",
      { "SELECT count(*) FROM (SELECT fn FROM runs GROUP BY fn, event_id HAVING count(*) > 1) "
        "t" } },
    { "ticks that were fired twice",
      { "SELECT count(*) FROM (SELECT name FROM events WHERE source = 'cron' GROUP BY name, data "
        "HAVING count(*) > 1) t" } },
    { "ticks that started nothing",
      { "SELECT count(*) FROM events e WHERE source = 'cron' AND NOT EXISTS (SELECT 1 FROM runs r "
        "WHERE r.event_id = e.id)" } },
};

/* What is due is fired, unless a fault holds its job up. */
void check_due(struct sim *s)
{
    static const struct sql late = { "SELECT (SELECT count(*) FROM debounces WHERE fires_at <= $1) "
                                     "+ (SELECT count(*) FROM crons WHERE next_at <= $1)" };
    int64_t now = s->clock.virtual_ms;

    /* both look once a second */
    if (now > s->late_until && rows_number(s, &late, ARGS(DB_INT(now - 1000))) > 0)
        violation(s, "a burst or a tick is due and nobody fires it");
}

bool check_flow_held(struct sim *s)
{
    static const struct sql q = { "SELECT count(*) FROM debounces" };
    bool held = false;

    if (read_begin(s)) {
        held = rows_number(s, &q, ARGS_NONE) > 0;
        read_end(s);
    }
    return held;
}

/* No lane was ever larger than the larger of its function's limits. */
static void limits(struct sim *s)
{
    static const struct sql q = {
        "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM queue "
        "WHERE fn = $1 AND lane <> 0 AND state = 1 GROUP BY lane) t"
    };

    for (int i = 0; i < SIM_FNS && !s->failed; i++) {
        int64_t most = sim_limits[i][0] > sim_limits[i][1] ? sim_limits[i][0] : sim_limits[i][1];
        int64_t n = sim_limits[i][0] == 0 || sim_limits[i][1] == 0
                        ? 0
                        : rows_number(s, &q, ARGS(DB_INT(s->fns[i].key)));

        if (n > most)
            violation(s, "%lld runs in a lane of %lld", (long long)n, (long long)most);
    }
}

/* The line is one of ready_at: whoever was admitted since the last look was before all who still
 * wait. Others have kept their slot, or have come back to it. */
static void overtaken(struct sim *s)
{
    static const struct sql q = {
        "SELECT late.run_id, first.run_id FROM queue late JOIN queue first ON first.fn = late.fn "
        "AND first.waits = late.lane WHERE late.state = 0 AND late.actor = 0 AND first.state = 3 "
        "AND first.ready_at < late.ready_at"
    };
    struct db_rows r;

    if (!rows_open(s, &q, ARGS_NONE, &r))
        return;
    while (!s->failed && db_row(&r))
        if (model_run(s, db_int(&r, 0))->admitted)
            violation(s, "run " STR_FMT " was overtaken in its lane",
                      STR_ARG(run_text(s, db_int(&r, 1))));
    rows_close(s, &r);
}

void check_flow(struct sim *s)
{
    for (size_t i = 0; i < COUNT_OF(nothings) && !s->failed; i++) {
        int64_t n = rows_number(s, &nothings[i].q, ARGS_NONE);

        if (n != 0)
            violation(s, "%lld %s", (long long)n, nothings[i].what);
    }
    if (!s->failed)
        overtaken(s);
    if (!s->failed)
        limits(s);
}

void check_flow_end(struct sim *s)
{
    /* the last event of a key has had its run; the key is the lane in the data */
    static const struct sql lost = {
        "SELECT count(*) FROM events e WHERE name = 'sim.d' AND NOT EXISTS (SELECT 1 FROM runs r "
        "WHERE r.event_id = e.id AND r.fn = $1) AND NOT EXISTS (SELECT 1 FROM events n "
        "WHERE n.name = 'sim.d' AND n.id > e.id AND (instr(n.data, CAST('\"lane\":0' AS BLOB)) > "
        "0) "
        "= (instr(e.data, CAST('\"lane\":0' AS BLOB)) > 0))"
    };
    static const struct sql used = { "SELECT count(*) FROM lanes WHERE admitted + waiting > 0" };

    if (rows_number(s, &used, ARGS_NONE) != 0)
        violation(s, "a slot is left behind");
    if (rows_number(s, &lost, ARGS(DB_INT(s->fns[SIM_HELD].key))) != 0)
        violation(s, "the last event of a burst started nothing");
}
