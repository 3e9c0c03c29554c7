/* The log, followed as it grows: positions without a gap, sound rows, and for every run its
 * messages complete and in order. */
#include "codec/json.h"
#include "engine/sm.h"
#include "sim.h"
#include "store/log.h"
#include "svc/messages.h"
#include "svc/records.h"

enum { ROWS = 200 };

/* What the messages said of one step. */
struct m_step_row {
    bool completed;
};

/* From one announced status to the next: moves to pending and the return of a holder are silent. */
static bool follows(enum run_status from, enum run_status to)
{
    static const enum run_status hidden[] = { RUN_PENDING, RUN_RUNNING };

    if (sm_may(&run_sm, (int)from, (int)to))
        return true;
    for (size_t i = 0; i < COUNT_OF(hidden); i++)
        if (sm_may(&run_sm, (int)from, (int)hidden[i]) && sm_may(&run_sm, (int)hidden[i], (int)to))
            return true;
    return false;
}

static bool status_fits(enum run_topic t, enum run_status status)
{
    switch (t) {
    case TOPIC_RUN_CREATED:
        return status == RUN_PENDING;
    case TOPIC_RUN_UPDATED:
        return status == RUN_RUNNING || status == RUN_WAITING || status == RUN_PAUSED;
    case TOPIC_RUN_RESUMED:
        return status == RUN_RUNNING;
    case TOPIC_RUN_COMPLETED:
        return status == RUN_COMPLETED;
    case TOPIC_RUN_FAILED:
        return status == RUN_FAILED;
    case TOPIC_RUN_CANCELLED:
        return status == RUN_CANCELLED;
    }
    return false;
}

static void see_run(struct sim *s, const struct record *rec)
{
    struct m_run *r = model_run(s, rec->id);
    enum run_topic t = (enum run_topic)rec->topic;
    enum run_status status = (enum run_status)rec->status;
    str_t id = run_text(s, r->id), word = run_topic_word(t);

    if (!status_fits(t, status))
        violation(s, "run " STR_FMT " " STR_FMT " with status %d", STR_ARG(id), STR_ARG(word),
                  (int)status);
    if ((t == TOPIC_RUN_CREATED) == r->created)
        violation(s, "run " STR_FMT ": message " STR_FMT " out of order", STR_ARG(id),
                  STR_ARG(word));
    if (t == TOPIC_RUN_RESUMED && r->status == RUN_FAILED) {
        r->ended = false;
        r->hashed = false;
        s->open_runs++;
    }
    if (r->ended)
        violation(s, "run " STR_FMT ": message " STR_FMT " after its end", STR_ARG(id),
                  STR_ARG(word));
    if (t == TOPIC_RUN_CREATED) {
        r->created = true;
        s->open_runs++;
        s->totals.runs++;
        if (r->fn < 0)
            r->fn = model_fn(s, rec->fn);
    } else if (!follows(r->status, status)) {
        violation(s, "run " STR_FMT ": status %d after %d", STR_ARG(id), (int)status,
                  (int)r->status);
    }
    r->status = status;
    r->held = status == RUN_PAUSED && rec->pause_reason == PAUSE_INJECTION;
    r->runnings += status == RUN_RUNNING;
    if (sm_final(&run_sm, (int)status)) {
        r->ended = true;
        r->ended_at = s->turn;
        s->open_runs--;
    }
}

static void see_step(struct sim *s, const struct record *rec)
{
    struct m_run *r = model_run(s, rec->run);
    struct m_step_row *row = map_get(&s->step_rows, (uint64_t)rec->id);
    enum step_topic t = (enum step_topic)rec->topic;
    bool changed = t == TOPIC_STEP_PATCHED || t == TOPIC_STEP_INJECTED;
    str_t id = run_text(s, r->id), word = step_topic_word(t);

    if (!r->created || (r->ended && !(changed && r->status == RUN_FAILED)))
        violation(s, "run " STR_FMT ": a step message %s", STR_ARG(id),
                  r->ended ? "after its end" : "before its creation");
    if ((t == TOPIC_STEP_CREATED) != (row == NULL))
        violation(s, "run " STR_FMT ": step message " STR_FMT " out of order", STR_ARG(id),
                  STR_ARG(word));
    if (row && row->completed && !changed && !r->rerun)
        violation(s, "run " STR_FMT ": step message " STR_FMT " after completed", STR_ARG(id),
                  STR_ARG(word));
    if (!row) {
        row = NEW(&s->keep, struct m_step_row);
        (void)map_put(&s->step_rows, (uint64_t)rec->id, row);
    }
    if (t == TOPIC_STEP_COMPLETED || changed)
        row->completed = true;
}

/* The row of an event knows the position of its message. */
static void see_event(struct sim *s, const struct record *rec, int64_t pos)
{
    static const struct sql q = { "SELECT seq FROM events WHERE id = $1" };

    if (rows_number(s, &q, ARGS(DB_INT(rec->id))) != pos)
        violation(s, "an event does not know its position %lld", (long long)pos);
}

static void see_row(struct sim *s, const struct log_row *row)
{
    struct record_reader reader;
    struct record rec;
    int64_t n = 0;
    int more = -1;

    if (row->first_pos != s->next_pos || row->last_pos != row->first_pos + row->count - 1)
        violation(s, "the log goes on at %lld to %lld, not at %lld", (long long)row->first_pos,
                  (long long)row->last_pos, (long long)s->next_pos);
    if (message_row_check(&s->c, row) != ERR_OK)
        violation(s, "%s", s->c.err.text);
    if (!records_open(&reader, row->records)) {
        violation(s, "a log row has no known form");
        return;
    }
    for (; !s->failed && (more = records_next(&reader, &rec)) > 0; n++) {
        if (rec.kind == RECORD_RUN)
            see_run(s, &rec);
        else if (rec.kind == RECORD_STEP)
            see_step(s, &rec);
        else if (rec.kind == RECORD_EVENT)
            see_event(s, &rec, row->first_pos + n);
    }
    if (!s->failed && (more != 0 || n != row->count))
        violation(s, "a log row holds %lld records, not %lld", (long long)n, (long long)row->count);
    s->next_pos = row->last_pos + 1;
    s->totals.messages += n;
}

void check_log(struct sim *s)
{
    size_t n = 1;

    while (n > 0 && !s->failed) {
        struct log_row *rows = NULL;
        struct ctx *c = read_begin(s);

        if (!c)
            return;
        n = 0;
        if (store_log_read(c, s->next_pos, ROWS, &rows, &n) != ERR_OK)
            violation(s, "reading the log: %s", c->err.text);
        for (size_t i = 0; i < n && !s->failed; i++)
            see_row(s, &rows[i]);
        read_end(s);
    }
}

/* ---- as subscribers would see it
 * ----------------------------------------------------------------- */

static err_t rendered(struct ctx *c, const struct message *m, void *arg)
{
    struct sim *s = arg;

    (void)c;
    if (m->pos != s->render_pos)
        violation(s, "message %lld is rendered as %lld", (long long)s->render_pos,
                  (long long)m->pos);
    if (m->json.n == 0 || json_type(m->json) != JSON_OBJECT)
        violation(s, "message " STR_FMT " has no object", STR_ARG(m->topic));
    if (!str_starts(m->topic, S("events:")) && !str_starts(m->topic, S("system.")))
        violation(s, "message with topic " STR_FMT, STR_ARG(m->topic));
    s->render_pos++;
    return ERR_OK;
}

void check_render(struct sim *s)
{
    while (s->render_pos < s->next_pos && !s->failed) {
        struct log_row *rows = NULL;
        struct ctx *c = read_begin(s);
        size_t n = 0;

        if (!c)
            return;
        if (store_log_read(c, s->render_pos, ROWS, &rows, &n) != ERR_OK)
            violation(s, "reading the log: %s", c->err.text);
        if (n > 0 && rows[0].first_pos > s->render_pos)
            s->render_pos = rows[0].first_pos; /* older ones were past their retention */
        for (size_t i = 0; i < n && !s->failed; i++)
            if (message_each(c, rows[i].records, rows[i].first_pos, rendered, s) != ERR_OK)
                violation(s, "rendering: %s", c->err.text);
        read_end(s);
        if (n == 0)
            break;
    }
}
