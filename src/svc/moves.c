/* Writes what engine/run decided. */
#include "svc/moves.h"

#include "engine/sm.h"
#include "store/queue.h"
#include "store/runs.h"
#include "store/timers.h"
#include "svc/audit.h"
#include "svc/batch.h"
#include "svc/children.h"
#include "svc/flow.h"
#include "svc/messages.h"
#include "svc/waits.h"
#include "txn/txn.h"

#define FOLLOW_MAX 64

err_t run_lock(struct ctx *c, int64_t id, struct run *run, struct job *job, bool *open)
{
    TRY(store_queue_get(c, id, job, open));
    TRY(store_run_get(c, id, run));
    if (!*open && !sm_final(&run_sm, (int)run->status))
        return err_set(c, ERR_RETRY, "the run is being resumed");
    return ERR_OK;
}

/* The topic that announces a status; false: none (a run that waits for a worker again). */
static bool topic_of(enum run_status s, enum run_topic *out)
{
    switch (s) {
    case RUN_COMPLETED:
        *out = TOPIC_RUN_COMPLETED;
        return true;
    case RUN_FAILED:
        *out = TOPIC_RUN_FAILED;
        return true;
    case RUN_CANCELLED:
        *out = TOPIC_RUN_CANCELLED;
        return true;
    case RUN_RUNNING:
    case RUN_WAITING:
    case RUN_PAUSED:
        *out = TOPIC_RUN_UPDATED;
        return true;
    case RUN_PENDING:
    case RUN_STATUS_COUNT:
        break;
    }
    return false;
}

static err_t timer_set(struct ctx *c, const struct timer *wanted)
{
    struct timer t = *wanted;

    t.id = ctx_id(c);
    t.env = c->env;
    TRY(store_timer_add(c, &t));
    signal_add(c, SIG_TIMER, 0);
    return ERR_OK;
}

/* Everything but the two rows. */
static err_t move_announce(struct ctx *c, const struct run *run, const struct job *job,
                           const struct run_move *m, str_t note)
{
    enum run_topic topic;

    if ((int)m->timer.kind != 0)
        TRY(timer_set(c, &m->timer));
    if (topic_of(run->status, &topic))
        TRY(message_run_note(c, topic, run, note));
    TRY(audit_run(c, run, job, m->from, STR_NULL));
    svc_count_run(c, run->fn, (int64_t)m->from, (int64_t)run->status);
    if (m->ready)
        flow_signal(c, job);
    if (m->ended)
        signal_add(c, SIG_RUN_ENDED, run->id);
    return ERR_OK;
}

/* *out: the job as its lanes leave it. */
static err_t job_write(struct ctx *c, const struct job *job, const struct run_move *m,
                       struct job *out)
{
    *out = *job;
    if (m->ended)
        TRY(store_queue_del(c, job->run_id));
    else
        TRY(store_queue_put(c, job));
    return flow_settle(c, out, m->ended);
}

static err_t move_write(struct ctx *c, const struct run *run, const struct job *job,
                        const struct run_move *m, str_t note)
{
    struct job settled;

    must(run->id == job->run_id);
    if (m->ended)
        TRY(store_run_end(c, run, m->from));
    else
        TRY(store_run_move(c, run, m->from));
    TRY(job_write(c, job, m, &settled));
    return move_announce(c, run, &settled, m, note);
}

/* Up a chain of invokes, where one failure may end one run after the other. */
err_t run_ended_follow(struct ctx *c, int64_t run_id, int64_t watch)
{
    for (int steps = 0;; steps++) {
        struct child_news news = { 0 };

        if ((watch & WATCH_ROWS) != 0)
            TRY(store_waits_del(c, run_id, 0));
        if ((watch & WATCH_PARENT) == 0)
            return ERR_OK;
        if (steps == FOLLOW_MAX)
            return wake_later(c, run_id);
        TRY(child_ended(c, run_id, &news));
        if (!news.moves)
            return ERR_OK;
        TRY(move_write(c, &news.run, &news.job, &news.move, STR_NULL));
        if (!news.move.ended)
            return ERR_OK;
        run_id = news.run.id;
        watch = news.job.watch;
    }
}

err_t run_moved(struct ctx *c, const struct run *run, const struct job *job,
                const struct run_move *m, str_t note)
{
    TRY(move_write(c, run, job, m, note));
    return m->ended && job->watch != 0 ? run_ended_follow(c, run->id, job->watch) : ERR_OK;
}

err_t run_moved_light(struct ctx *c, const struct run *run, const struct job *job,
                      const struct run_move *m)
{
    struct job settled;

    must(run->id == job->run_id);
    if (m->ended)
        TRY(store_run_end(c, run, m->from));
    else
        TRY(store_run_status(c, run, m->from));
    TRY(job_write(c, job, m, &settled));
    TRY(move_announce(c, run, &settled, m, STR_NULL));
    return m->ended && job->watch != 0 ? run_ended_follow(c, run->id, job->watch) : ERR_OK;
}
