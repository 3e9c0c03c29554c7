/* The process under test: opened, run on this thread, crashed and started again from its files. A
 * crash comes right before or right after a commit (kill) or within any write of the disk (power);
 * whoever waited for an answer then never hears one. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../power/vfs_torn.h"
#include "api/api_priv.h"
#include "db/db_fault.h"
#include "jobs/jobs.h"
#include "jobs/push.h"
#include "sim.h"
#include "store/migrations.h"
#include "svc/access.h"
#include "svc/batch.h"
#include "svc/registry.h"

enum {
    TURNS_MAX = 20000,
    OPEN_TRIES = 50,
    DISK_OPS_PER_COMMIT = 5,
    FAULT_CALLS = 40,
    FAULT_LATE_MS = 1001, /* how long a job waits after an error */
};

#define START_MS 1767225600000
#define CHECKPOINT_BYTES (200 << 10)

/* The linker puts it in the place of the real one: the time of the seed that runs. */
static const struct clock *now_of;

int64_t __wrap_clock_mono_ns(void);

int64_t __wrap_clock_mono_ns(void)
{
    return now_of->virtual_ms * 1000000;
}

struct sim *sim_of(void *app)
{
    return (struct sim *)(void *)((char *)app - offsetof(struct sim, app));
}

/* Faults are meant for the engine: off while we look, and while it starts. */
static void fault_off(struct sim *s)
{
    if (s->fault_at > 0 && db_fault_calls() >= s->fault_at)
        s->totals.faults++;
    s->fault_at = 0;
    db_fault_at(0, ERR_OK);
}

/* ---- hooks of txn -----------------------------------------------------------------------------
 */

static err_t on_begin(struct ctx *c)
{
    if (sim_of(c->app)->down)
        return err_set(c, ERR_UNAVAILABLE, "the process is dead");
    return svc_batch_begin(c);
}

static err_t on_before_commit(struct ctx *c)
{
    struct sim *s = sim_of(c->app);

    TRY(svc_batch_before_commit(c));
    s->commit_hit = db_writes(c) > 0;
    if (s->commit_hit && s->crash_before && s->crash_in == 1) {
        s->down = true;
        return err_set(c, ERR_UNAVAILABLE, "killed before the commit");
    }
    return ERR_OK;
}

static void on_after(struct ctx *c, bool committed)
{
    struct sim *s = sim_of(c->app);

    svc_batch_after(c, committed);
    if (!committed || !s->commit_hit)
        return;
    s->totals.commits++;
    if (s->crash_in > 0 && --s->crash_in == 0)
        s->down = true;
}

static void on_signal(void *app, const struct signal *sig)
{
    struct sim *s = sim_of(app);

    if (sig->sig == SIG_ACCESS)
        svc_access_forget(s->app.access);
    if (sig->sig == SIG_REGISTRY && s->push)
        push_functions_changed(s->push);
}

static void on_fatal(void *app, const char *what)
{
    struct sim *s = sim_of(app);

    note(s, "the disk failed: %s", what);
    if (s->o.crash == SIM_KILL)
        violation(s, "the disk failed without a reason: %s", what);
    s->down = true;
}

/* ---- calls -------------------------------------------------------------------------------------
 */

static void op_end(struct op *op)
{
    struct sim *s = op->s;

    for (size_t i = 0; i < s->ops.n; i++) {
        if (s->ops.items[i] == op) {
            vec_swap_remove(&s->ops, i);
            break;
        }
    }
    arena_done(&op->arena);
    mem_free(op);
}

static bool power_is_out(const struct sim *s)
{
    return s->o.crash == SIM_POWER && vfs_torn_is_down();
}

static void op_done(struct call *call)
{
    struct op *op = call->arg;
    struct sim *s = op->s;
    err_t e = call->result;
    bool lost = e == ERR_UNAVAILABLE || e == ERR_UNCERTAIN || e == ERR_CANCELED ||
                (e == ERR_INTERNAL && s->faulty);

    if (s->down || lost) {
        if (!s->down && e != ERR_CANCELED && !s->stopping && !s->faulty && !power_is_out(s))
            violation(s, "call %lld refused without a crash: " STR_FMT, (long long)op->no,
                      STR_ARG(err_text(&call->ctx, e)));
        if (e != ERR_CANCELED || s->down)
            s->totals.unknown++;
        op_unknown(s, op);
    } else {
        op_reply(s, op);
    }
    op_end(op);
}

struct op *op_new(struct sim *s, enum op_kind kind)
{
    struct op *op = mem_zero(sizeof(*op));

    arena_init(&op->arena);
    op->s = s;
    op->kind = kind;
    op->no = ++s->ops_made;
    vec_push(&s->ops, op);
    return op;
}

void op_submit(struct op *op, enum call_kind kind, err_t (*run)(struct ctx *c))
{
    struct sim *s = op->s;

    call_init(&op->call, kind, run, op, &op->arena);
    op->call.ctx.env = ENV_DEFAULT_KEY;
    op->call.done = op_done;
    if (s->open && txn_submit(s->txn, &op->call) == ERR_OK)
        return;
    op_unknown(s, op);
    op_end(op);
}

/* ---- files -------------------------------------------------------------------------------------
 */

static const char *const suffixes[] = { "", "-wal", "-shm", "-journal", ".lock" };

static void file_name(const struct sim *s, const char *suffix, const char *more, char *out,
                      size_t max)
{
    (void)snprintf(out, max, "%s%s%s", s->path, suffix, more);
}

static void file_copy(const char *from, const char *to)
{
    static char block[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC), out;
    ssize_t n;

    (void)unlink(to);
    if (in < 0)
        return;
    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(out >= 0);
    while ((n = read(in, block, sizeof(block))) > 0)
        must(write(out, block, (size_t)n) == n);
    must(n == 0);
    (void)close(in);
    (void)close(out);
}

/* What kill -9 leaves behind: the files as they are now, before anything is closed. */
static void files_keep(const struct sim *s)
{
    char from[128], to[128];

    for (size_t i = 0; i < 2; i++) {
        file_name(s, suffixes[i], "", from, sizeof(from));
        file_name(s, suffixes[i], ".keep", to, sizeof(to));
        file_copy(from, to);
    }
}

static void files_restore(const struct sim *s)
{
    char from[128], to[128];

    for (size_t i = 0; i < 2; i++) {
        file_name(s, suffixes[i], ".keep", from, sizeof(from));
        file_name(s, suffixes[i], "", to, sizeof(to));
        (void)unlink(to);
        (void)rename(from, to);
    }
    file_name(s, "-shm", "", to, sizeof(to));
    (void)unlink(to);
}

/* ---- start and end ------------------------------------------------------------------------------
 */

static void app_init(struct sim *s)
{
    s->app = (struct app){ .db_kind = DB_SQLITE,
                           .registry = registry_cache_new(),
                           .access = access_cache_new(),
                           .dev = true,
                           .started_at = s->clock.virtual_ms,
                           .node_id = S("sim"),
                           .lease_ms = 90000,
                           .lease_claim_ms = 30000,
                           .grace_ms = 30000,
                           .poll_hold_ms = 20000,
                           .worker_ttl_ms = 90000,
                           .push_timeout_ms = 10000,
                           .push_stale_ms = 120000,
                           .breaker_open_ms = 60000 };
    s->c = (struct ctx){
        .arena = &s->scratch, .clock = &s->clock, .env = ENV_DEFAULT_KEY, .app = &s->app
    };
}

struct boot {
    str_t key, key_id;
};

static err_t boot_run(struct ctx *c)
{
    struct boot *b = c->call->arg;

    TRY(svc_batch_recover(c));
    return svc_access_bootstrap(c, &b->key, &b->key_id);
}

/* The same steps as the server's start. */
static err_t start(struct sim *s)
{
    struct db_opts d = { .path = str_from(s->path),
                         .durability = s->o.durability,
                         .vfs = s->o.crash == SIM_POWER ? VFS_TORN : NULL,
                         .checkpoint_bytes = CHECKPOINT_BYTES };
    struct ctx *c = &s->c;
    struct boot b = { 0 };
    struct call call;

    TRY(db_open(c, &d, &s->db));
    TRY(db_conn_open(c, s->db, true, &s->writer));
    TRY(db_migrate(c, s->writer, store_migrations, store_migrations_n));
    struct txn_opts t = { .db = s->db,
                          .writer = s->writer,
                          .clock = &s->clock,
                          .hooks = { on_begin, on_before_commit, on_after, on_signal, on_fatal },
                          .app = &s->app,
                          .seed = rng_u64(&s->rng) | 1 };
    TRY(txn_new(c, &t, &s->txn));
    s->app.txn = s->txn;
    call_init(&call, CALL_WRITE, boot_run, &b, &s->scratch);
    TRY(txn_run(s->txn, &call));
    TRY(db_conn_open(c, s->db, false, &s->reader));
    TRY(jobs_start(c, s->txn, &s->jobs));
    s->push = push_new(&s->app, s->loop);
    s->closing = false;
    return ERR_OK;
}

static void stop(struct sim *s)
{
    s->open = false;
    streams_break(s);
    push_stop(s->push);
    if (s->jobs)
        jobs_stop(s->jobs);
    if (s->txn)
        txn_stop(s->txn); /* the last answers are still read and checked */
    loop_drain(s->loop);
    streams_free(s);
    push_free(s->push);
    s->push = NULL;
    if (s->reader)
        db_conn_close(s->reader);
    if (s->txn)
        txn_free(s->txn);
    else if (s->writer)
        db_conn_close(s->writer);
    if (s->db)
        db_close(s->db);
    s->reader = s->writer = NULL;
    s->jobs = NULL;
    s->txn = NULL;
    s->db = NULL;
    arena_reset(&s->scratch); /* gives back what it borrowed from the registry */
    registry_cache_free(s->app.registry);
    access_cache_free(s->app.access);
    s->app.registry = NULL;
    s->app.access = NULL;
}

/* When it will end: a number of commits, or of changes of the disk. */
static void arm(struct sim *s)
{
    int64_t in = s->o.commits_per_crash > 0 && !s->draining
                     ? 1 + pick(s, 2 * (int64_t)s->o.commits_per_crash)
                     : 0;

    s->crash_in = 0;
    if (s->o.crash == SIM_POWER) {
        vfs_torn_crash_after(in * DISK_OPS_PER_COMMIT);
        return;
    }
    s->crash_in = in;
    s->crash_before = chance(s, 25);
}

/* Everything in memory is thrown away; the disk is what a crash leaves of it. */
static void die(struct sim *s)
{
    fault_off(s);
    s->faulty = false;
    s->down = true;
    s->totals.crashes++;
    note(s, "---- crash %lld", (long long)s->totals.crashes);
    if (s->o.crash == SIM_POWER)
        vfs_torn_crash();
    else
        files_keep(s);
    stop(s);
    if (s->o.crash == SIM_POWER)
        vfs_torn_restore(rng_u64(&s->rng));
    else
        files_restore(s);
    s->down = false;
}

static void open_again(struct sim *s)
{
    bool early = s->o.crash == SIM_POWER && chance(s, 20); /* the power may go in the start, too */

    for (int tries = 0; tries < OPEN_TRIES && !s->open && !s->failed; tries++) {
        s->clock.virtual_ms += 5;
        app_init(s);
        if (early)
            arm(s);
        err_t e = start(s);
        if (e == ERR_OK) {
            s->open = true;
        } else if (s->down || power_is_out(s)) {
            die(s);
        } else {
            violation(s, "it does not start: " STR_FMT, STR_ARG(err_text(&s->c, e)));
            stop(s);
        }
        early = false;
    }
    if (!s->open && !s->failed)
        violation(s, "it does not start in %d tries", OPEN_TRIES);
    if (s->open)
        arm(s);
}

void world_make(struct sim *s)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    (void)snprintf(s->dir, sizeof(s->dir), "%s/ironflow-sim-XXXXXX", base);
    must(mkdtemp(s->dir) != NULL);
    (void)snprintf(s->path, sizeof(s->path), "%s/db", s->dir);
    clock_init_virtual(&s->clock, START_MS);
    arena_init(&s->scratch);
    s->loop = loop_new();
    s->api = mem_zero(sizeof(*s->api));
    s->api->app = &s->app;
    now_of = &s->clock;
    if (s->o.crash == SIM_POWER)
        vfs_torn_set_up();
    open_again(s);
}

void world_free(struct sim *s)
{
    char name[128];

    s->stopping = true;
    if (s->open)
        stop(s);
    if (s->o.crash == SIM_POWER) {
        struct vfs_torn_stats t = vfs_torn_stats();

        s->totals.kept = t.kept;
        s->totals.dropped = t.dropped;
        s->totals.torn = t.torn;
        vfs_torn_tear_down();
    }
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        file_name(s, suffixes[i], "", name, sizeof(name));
        (void)unlink(name);
    }
    (void)rmdir(s->dir);
    endpoints_free(s);
    vec_done(&s->links);
    mem_free(s->api);
    loop_free(s->loop);
    arena_done(&s->scratch);
}

static void recover(struct sim *s)
{
    open_again(s);
    if (!s->failed)
        actors_recover(s);
    if (!s->failed)
        check_all(s, true);
}

void world_crash(struct sim *s)
{
    die(s);
    recover(s);
}

void world_restart(struct sim *s)
{
    note(s, "---- restart");
    if (chance(s, 50)) {
        s->closing = true;
        push_drain(s->push);
        streams_drain(s);
        if (s->failed)
            return;
    }
    s->totals.restarts++;
    s->stopping = true;
    stop(s);
    s->stopping = false;
    if (s->down || power_is_out(s)) {
        s->totals.crashes++;
        if (s->o.crash == SIM_POWER)
            vfs_torn_restore(rng_u64(&s->rng));
        s->down = false;
    }
    recover(s);
}

/* ---- running ------------------------------------------------------------------------------------
 */

static void checkpoint(struct sim *s)
{
    err_t e;

    s->c.err.code = ERR_OK;
    e = db_checkpoint(&s->c, s->writer);
    if (e == ERR_FATAL)
        on_fatal(&s->app, "checkpoint");
    else if (e != ERR_OK && !power_is_out(s))
        violation(s, "checkpoint: " STR_FMT, STR_ARG(err_text(&s->c, e)));
}

/* Now and then one call of the database fails, as a full disk or a foreign lock would make it. */
static void fault_arm(struct sim *s)
{
    static const err_t errors[] = { ERR_UNAVAILABLE, ERR_RETRY, ERR_INTERNAL };

    if (s->draining || s->o.commits_per_crash == 0 || !chance(s, 5))
        return;
    s->faulty = true;
    s->fault_at = 1 + pick(s, FAULT_CALLS);
    s->late_until = s->clock.virtual_ms + FAULT_LATE_MS;
    db_fault_at(s->fault_at, errors[pick(s, COUNT_OF(errors))]);
    note(s, "---- a fault of the database");
}

static void fault_disarm(struct sim *s)
{
    fault_off(s);
    s->faulty = false;
}

/* One turn of the transactions, and mostly what its calls' owners do then; false: all is idle. */
static bool turn(struct sim *s)
{
    struct txn_stats stats;
    int64_t due;
    bool more;

    s->turn++;
    more = txn_step(s->txn, &due);
    if (more && !s->down)
        checkpoint(s);
    if (s->down || power_is_out(s)) {
        world_crash(s);
        return true;
    }
    if (more && chance(s, 20))
        return true; /* they come late */
    loop_drain(s->loop);
    txn_stats(s->txn, &stats);
    return more || stats.waiting > 0;
}

void world_settle(struct sim *s)
{
    int turns = 0;

    fault_arm(s);
    s->settled = s->turn;
    while (!s->failed && turn(s))
        if (++turns > TURNS_MAX)
            violation(s, "it does not come to rest");
    fault_disarm(s);
    if (!s->failed)
        check_log(s);
    if (!s->failed)
        check_idle(s);
}

struct ctx *read_begin(struct sim *s)
{
    struct ctx *c = &s->c;
    err_t e;

    must(c->tx == NULL);
    fault_off(s);
    c->err.code = ERR_OK;
    e = db_begin(c, s->reader, false);
    if (e != ERR_OK)
        violation(s, "reading: " STR_FMT, STR_ARG(err_text(c, e)));
    c->now_ms = s->clock.virtual_ms;
    return e == ERR_OK ? c : NULL;
}

void read_end(struct sim *s)
{
    db_rollback(&s->c);
    arena_reset(&s->scratch);
}

bool rows_open(struct sim *s, const struct sql *q, struct db_args args, struct db_rows *r)
{
    err_t e = db_query(&s->c, q, args, r);

    if (e != ERR_OK)
        violation(s, "%.60s: " STR_FMT, q->text, STR_ARG(err_text(&s->c, e)));
    return e == ERR_OK;
}

void rows_close(struct sim *s, struct db_rows *r)
{
    err_t e = db_end(r);

    if (e != ERR_OK)
        violation(s, "reading rows: " STR_FMT, STR_ARG(err_text(&s->c, e)));
}

int64_t rows_number(struct sim *s, const struct sql *q, struct db_args args)
{
    struct db_rows r;
    int64_t n = 0;

    if (!rows_open(s, q, args, &r))
        return 0;
    if (db_row(&r))
        n = db_int(&r, 0);
    rows_close(s, &r);
    return n;
}
