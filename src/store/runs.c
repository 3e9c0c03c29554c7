/* SQL of the table runs. */
#include "store/runs.h"

#include "db/db.h"
#include "engine/sm.h"
#include "store/rows.h"

#define RUN_COLS                                                                                   \
    "r.id, r.fn, r.event_id, r.status, r.mode, r.attempt, r.max_attempts, r.fn_version, "          \
    "r.worker, r.actor, r.output, r.error, r.pause_requested, r.pause_reason, "                    \
    "r.cancellation_cause, r.parent_run, r.parent_step, r.started_at, r.ended_at, r.updated_at, "  \
    "r.execution_seq, r.token, r.recording, r.resume_from"

static void run_read(const struct db_rows *r, struct run *out)
{
    *out = (struct run){
        .id = db_int(r, 0),
        .fn = db_int(r, 1),
        .event_id = db_int(r, 2),
        .status = (enum run_status)db_int(r, 3),
        .mode = (enum exec_mode)db_int(r, 4),
        .attempt = db_int(r, 5),
        .max_attempts = db_int(r, 6),
        .fn_version = db_int(r, 7),
        .worker = db_str(r, 8),
        .actor = db_str(r, 9),
        .output = db_str(r, 10),
        .error = db_str(r, 11),
        .pause_requested = db_int(r, 12) != 0,
        .pause_reason = (enum pause_reason)db_int(r, 13),
        .cancellation_cause = db_str(r, 14),
        .parent_run = db_int(r, 15),
        .parent_step = db_str(r, 16),
        .started_at = db_int(r, 17),
        .ended_at = db_int(r, 18),
        .updated_at = db_int(r, 19),
        .execution_seq = db_int(r, 20),
        .token = db_int(r, 21),
        .recording = db_int(r, 22),
        .resume_from = db_str(r, 23),
    };
}

err_t store_run_add(struct ctx *c, const struct run *run)
{
    static const struct sql q = {
        "INSERT INTO runs (id, env, fn, event_id, status, mode, attempt, max_attempts, fn_version, "
        "actor, pause_requested, pause_reason, parent_run, parent_step, started_at, ended_at, "
        "updated_at, execution_seq, token, recording) VALUES ($1, $env, $2, $3, $4, $5, $6, $7, "
        "$8, "
        "$9, 0, 0, $10, $11, 0, 0, $12, 0, 0, $13)"
    };

    return db_exec(
        c, &q,
        ARGS(DB_INT(run->id), DB_INT(run->fn), DB_INT(run->event_id), DB_INT(run->status),
             DB_INT(run->mode), DB_INT(run->attempt), DB_INT(run->max_attempts),
             DB_INT(run->fn_version), DB_TEXT_OR_NULL(run->actor), DB_INT_OR_NULL(run->parent_run),
             DB_TEXT_OR_NULL(run->parent_step), DB_INT(run->updated_at), DB_INT(run->recording)),
        NULL);
}

err_t store_run_get(struct ctx *c, int64_t id, struct run *out)
{
    static const struct sql q = { "SELECT " RUN_COLS
                                  " FROM runs r WHERE r.id = $1 AND r.env = $env" };
    struct db_rows r;
    bool found;

    TRY(db_query(c, &q, ARGS(DB_INT(id)), &r));
    found = db_row(&r);
    if (found)
        run_read(&r, out);
    TRY(db_end(&r));
    return found ? ERR_OK : err_set(c, ERR_NOT_FOUND, "run not found");
}

/* A run and its queue row change together under the lock of the latter. */
static err_t moved(struct ctx *c, const struct run *run, enum run_status from, int64_t changed)
{
    str_t word = sm_name(&run_sm, (int)from);

    if (changed == 1)
        return ERR_OK;
    return err_set(c, ERR_INTERNAL, "run %lld is not " STR_FMT " as its queue row says",
                   (long long)run->id, STR_ARG(word));
}

err_t store_run_claimed(struct ctx *c, const struct run *run, enum run_status from)
{
    static const struct sql q = {
        "UPDATE runs SET status = $3, worker = $4, updated_at = $5, "
        "started_at = CASE WHEN started_at = 0 THEN $5 ELSE started_at END "
        "WHERE id = $1 AND env = $env AND status = $2"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(run->id), DB_INT(from), DB_INT(run->status), DB_TEXT(run->worker),
                     DB_INT(run->updated_at)),
                &n));
    return moved(c, run, from, n);
}

err_t store_run_status(struct ctx *c, const struct run *run, enum run_status from)
{
    static const struct sql q = { "UPDATE runs SET status = $3, updated_at = $4 "
                                  "WHERE id = $1 AND env = $env AND status = $2" };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(run->id), DB_INT(from), DB_INT(run->status), DB_INT(run->updated_at)),
                &n));
    return moved(c, run, from, n);
}

err_t store_run_move(struct ctx *c, const struct run *run, enum run_status from)
{
    static const struct sql q = {
        "UPDATE runs SET status = $3, attempt = $4, error = $5, pause_requested = $6, "
        "pause_reason = $7, updated_at = $8 WHERE id = $1 AND env = $env AND status = $2"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(run->id), DB_INT(from), DB_INT(run->status), DB_INT(run->attempt),
                     DB_BLOB_OR_NULL(run->error), DB_INT(run->pause_requested),
                     DB_INT(run->pause_reason), DB_INT(run->updated_at)),
                &n));
    return moved(c, run, from, n);
}

err_t store_run_end(struct ctx *c, const struct run *run, enum run_status from)
{
    static const struct sql q = {
        "UPDATE runs SET status = $3, output = $4, error = $5, cancellation_cause = $6, "
        "pause_requested = 0, pause_reason = 0, ended_at = $7, updated_at = $7, "
        "execution_seq = $8, token = $9 WHERE id = $1 AND env = $env AND status = $2"
    };
    int64_t n = 0;

    TRY(db_exec(c, &q,
                ARGS(DB_INT(run->id), DB_INT(from), DB_INT(run->status),
                     DB_BLOB_OR_NULL(run->output), DB_BLOB_OR_NULL(run->error),
                     DB_TEXT_OR_NULL(run->cancellation_cause), DB_INT(run->ended_at),
                     DB_INT(run->execution_seq), DB_INT(run->token)),
                &n));
    return moved(c, run, from, n);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* One status as a bit of the mask $4; both databases shift and mask alike when told the types. */
#define STATUS_IN_MASK                                                                             \
    "((CAST(1 AS BIGINT) << CAST(r.status AS INTEGER)) & CAST($4 AS BIGINT)) <> 0"
#define RUN_RANGE "r.env = $env AND r.id >= $1 AND r.id < $2 AND " STATUS_IN_MASK
#define ANY_FN " AND ($3 = 0 OR r.fn = $3)"
#define THIS_FN " AND r.fn = $3"
#define PAGE(id) " ORDER BY " id " DESC LIMIT $5 OFFSET $6"

/* Open runs are found through the queue, rare statuses through their index: among a million
 * completed ones a scan for them would be long. CROSS JOIN keeps SQLite to the order written; the
 * words are spelled out to match the partial index. */
#define FROM_RUNS "FROM runs r WHERE " RUN_RANGE
#define FROM_OPEN                                                                                  \
    "FROM queue q CROSS JOIN runs r WHERE r.id = q.run_id AND q.run_id >= $1 AND q.run_id < $2 "   \
    "AND q.env = $env AND r.env = $env AND " STATUS_IN_MASK
#define FROM_RARE "FROM runs r WHERE r.status = $7 AND r.status IN (4, 5, 6, 8) AND " RUN_RANGE

enum list_plan { LIST_ENV, LIST_FN, LIST_OPEN, LIST_RARE, LIST_PLANS };

static const struct sql list_sql[LIST_PLANS] = {
    [LIST_ENV] = { "SELECT " RUN_COLS " " FROM_RUNS ANY_FN PAGE("r.id") },
    [LIST_FN] = { "SELECT " RUN_COLS " " FROM_RUNS THIS_FN PAGE("r.id") },
    [LIST_OPEN] = { "SELECT " RUN_COLS " " FROM_OPEN ANY_FN PAGE("q.run_id") },
    [LIST_RARE] = { "SELECT " RUN_COLS " " FROM_RARE ANY_FN PAGE("r.id") },
};
#define COUNT_OF_ROWS(from)                                                                        \
    {                                                                                              \
        "SELECT count(*) FROM (SELECT 1 " from " LIMIT $5) counted"                                \
    }
static const struct sql count_sql[LIST_PLANS] = {
    [LIST_ENV] = COUNT_OF_ROWS(FROM_RUNS ANY_FN),
    [LIST_FN] = COUNT_OF_ROWS(FROM_RUNS THIS_FN),
    [LIST_OPEN] = COUNT_OF_ROWS(FROM_OPEN ANY_FN),
    [LIST_RARE] = COUNT_OF_ROWS(FROM_RARE ANY_FN),
};

#define BIT(s) (1u << (s))
static const uint32_t open_bits =
    BIT(RUN_RUNNING) | BIT(RUN_PAUSED) | BIT(RUN_PENDING) | BIT(RUN_WAITING);
static const uint32_t rare_bits =
    BIT(RUN_FAILED) | BIT(RUN_CANCELLED) | BIT(RUN_PAUSED) | BIT(RUN_WAITING);

static enum list_plan list_plan(const struct run_query *q)
{
    bool single = (q->statuses & (q->statuses - 1)) == 0;

    if (q->statuses != 0 && single && (q->statuses & rare_bits) != 0)
        return LIST_RARE;
    if (q->statuses != 0 && (q->statuses & ~open_bits) == 0)
        return LIST_OPEN;
    return q->fn != 0 ? LIST_FN : LIST_ENV;
}

static int64_t single_status(uint32_t statuses)
{
    int64_t s = 0;

    while (statuses > 1) {
        statuses >>= 1;
        s++;
    }
    return s;
}

/* The arguments of every plan; which of them a text uses differs. */
static size_t list_args(const struct run_query *q, enum list_plan plan, struct db_val *v)
{
    v[0] = DB_INT(q->from_id);
    v[1] = DB_INT(q->before_id > 0 ? q->before_id : INT64_MAX);
    v[2] = DB_INT(q->fn);
    v[3] = DB_INT(q->statuses != 0 ? (int64_t)q->statuses : (int64_t)UINT32_MAX);
    v[4] = DB_INT(q->limit);
    v[5] = DB_INT(q->offset);
    v[6] = DB_INT(single_status(q->statuses));
    return plan == LIST_RARE ? 7 : 6;
}

err_t store_run_list(struct ctx *c, const struct run_query *q, struct run **out, size_t *n)
{
    enum list_plan plan = list_plan(q);
    struct rows_of rows = ROWS_OF(struct run);
    struct db_val v[7];
    struct db_args args = { v, list_args(q, plan, v) };
    struct db_rows r;

    TRY(db_query(c, &list_sql[plan], args, &r));
    while (db_row(&r))
        run_read(&r, rows_next(c, &rows));
    TRY(db_end(&r));
    *out = rows.items;
    *n = rows.n;
    return ERR_OK;
}

err_t store_run_count(struct ctx *c, const struct run_query *q, int64_t max, int64_t *out)
{
    enum list_plan plan = list_plan(q);
    struct db_val v[7];
    struct db_args args = { v, list_args(q, plan, v) };

    v[4] = DB_INT(max);
    if (plan != LIST_RARE)
        args.n = 5;
    return row_int(c, &count_sql[plan], args, 0, out);
}
