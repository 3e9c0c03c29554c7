/* Many workers, emitters and repeated keys at once, with the threads of txn: every run is done
 * once, and the log has no gap and no run out of order. SQLite in a file; PostgreSQL too when
 * IRONFLOW_TEST_PG_URL names one. */
#include <stdatomic.h>

#include "base/map.h"
#include "base/sync.h"
#include "svc/svc_fixture.h"

#define EMITTERS 4
#define EMITS 60
#define WORKERS 6
#define KEYS 10

struct race {
    struct sim *s;
    struct txn *t;
    atomic_int completed, refused;
    atomic_bool stop;
    atomic_int_fast64_t answers[KEYS]; /* the event of each key */
};

struct actor {
    struct race *race;
    pthread_t thread;
    struct arena arena;
    int number;
};

/* Runs one operation of this thread and waits; errors end the test. */
static err_t act(struct actor *a, struct op *op, enum call_kind kind, err_t (*run)(struct ctx *c))
{
    op->sim = a->race->s;
    call_init(&op->call, kind, run, op, &a->arena);
    op->call.ctx.env = ENV_DEFAULT_KEY;
    return txn_run(a->race->t, &op->call);
}

static void must_act(struct actor *a, struct op *op, enum call_kind kind,
                     err_t (*run)(struct ctx *c))
{
    err_t e = act(a, op, kind, run);

    if (e != ERR_OK) {
        print_error("%d: %s\n", (int)e, op->call.ctx.err.text);
        abort();
    }
}

static void *emitter(void *arg)
{
    struct actor *a = arg;

    for (int i = 0; i < EMITS; i++) {
        struct op op = { .emit = { .name = S("e") } };
        int_fast64_t none = 0;

        arena_reset(&a->arena);
        if (i < KEYS)
            op.emit.idempotency_key = str_printf(&a->arena, "key-%d", i);
        must_act(a, &op, CALL_WRITE, op_emit);
        if (op.emitted.runs_n != 1)
            abort();
        /* every emitter uses each key once; all must get the same answer */
        if (i < KEYS &&
            !atomic_compare_exchange_strong(&a->race->answers[i], &none, op.emitted.event_id) &&
            none != op.emitted.event_id)
            abort();
    }
    return NULL;
}

static void *worker(void *arg)
{
    struct actor *a = arg;
    char id[16];

    (void)snprintf(id, sizeof(id), "w%d", a->number);
    while (!atomic_load(&a->race->stop)) {
        struct op poll = { .worker = str_from(id), .available = 3 };

        arena_reset(&a->arena);
        poll.deadline_ms = clock_now(clock_system()) + 200;
        must_act(a, &poll, CALL_WRITE, op_poll);
        for (size_t i = 0; i < poll.n; i++) {
            const struct job *job = &poll.claims[i].job;
            struct op op = { .worker = poll.worker };

            op.id = job->run_id;
            op.job = job_id_text(&a->arena, job->run_id, job->execution_seq);
            op.fence =
                (struct fence){ job->execution_seq, lease_token_text(&a->arena, job->token) };
            op.report.fence = op.fence;
            must_act(a, &op, CALL_WRITE, op_ack);
            op.report.kind = REPORT_COMPLETED;
            must_act(a, &op, CALL_WRITE, op_report);
            must_act(a, &op, CALL_WRITE, op_report); /* repeated */
            atomic_fetch_add(&a->race->completed, 1);
        }
    }
    return NULL;
}

static void actors(struct race *r, struct actor *list, int n, void *(*fn)(void *arg), bool start)
{
    for (int i = 0; i < n; i++) {
        if (start) {
            list[i] = (struct actor){ .race = r, .number = i };
            arena_init(&list[i].arena);
            thread_start(&list[i].thread, "actor", fn, &list[i]);
        } else {
            thread_join(list[i].thread);
            arena_done(&list[i].arena);
        }
    }
}

/* Exactly these runs, each completed by its only segment. */
static void check_runs(struct sim *s, size_t wanted)
{
    struct op *l = sim_op(s);

    l->filter = (struct run_filter){ .limit = 10000 };
    sim_ok(s, sim_run(l, CALL_READ, op_run_list));
    assert_int_equal(l->n, wanted);
    assert_int_equal(l->total, wanted);
    for (size_t i = 0; i < l->n; i++) {
        assert_int_equal(l->runs[i].status, RUN_COMPLETED);
        assert_int_equal(l->runs[i].execution_seq, 1);
    }
}

/* Of every run: created, updated, completed, at positions that grow; and no position is missing. */
static void check_log(struct sim *s, size_t runs)
{
    static const char *const words[] = { ".created", ".updated", ".completed" };
    struct op *m = sim_messages(s, 1);
    struct map seen = { 0 };
    size_t ended = 0;

    for (size_t i = 0; i < m->n; i++) {
        str_t topic = m->messages[i].topic;
        str_t run;
        size_t step;

        assert_int_equal(m->messages[i].pos, (int64_t)i + 1);
        if (!str_starts(topic, S("system.run.")))
            continue;
        run = str_slice(topic, 0, S("system.run.run_0123456789012").n);
        step = (size_t)(uintptr_t)map_get_str(&seen, run);
        assert_in_range(step, 0, 2);
        assert_true(str_ends(topic, str_from(words[step])));
        (void)map_put_str(&seen, run, (void *)(uintptr_t)(step + 1));
        ended += step == 2;
    }
    assert_int_equal(ended, runs);
    map_done(&seen);
}

static void everything_happens_once(void **state)
{
    struct sim *s = sim_new(true);
    struct race r = { .s = s };
    struct actor emitters[EMITTERS], workers[WORKERS];
    size_t wanted = EMITTERS * (EMITS - KEYS) + KEYS;
    struct txn_opts o = { .db = s->db,
                          .threads = 4,
                          .hooks = { svc_batch_begin, svc_batch_before_commit, svc_batch_after,
                                     NULL, sim_fatal },
                          .app = &s->app };

    (void)state;
    s->clock.virtual_ms = clock_now(clock_system());
    sim_function(s, "{\"id\":\"f\",\"triggers\":[{\"event\":\"e\"}]}");
    for (int i = 0; i < WORKERS; i++)
        sim_worker(s, str_z(&s->arena, str_printf(&s->arena, "w%d", i)), "[\"f\"]", 5);
    /* the same database under a txn with threads */
    txn_stop(s->t);
    txn_free(s->t);
    assert_int_equal(txn_new(&s->c, &o, &r.t), ERR_OK);
    actors(&r, workers, WORKERS, worker, true);
    actors(&r, emitters, EMITTERS, emitter, true);
    actors(&r, emitters, EMITTERS, emitter, false);
    while (atomic_load(&r.completed) < (int)wanted)
        (void)usleep(1000);
    atomic_store(&r.stop, true);
    actors(&r, workers, WORKERS, worker, false);
    txn_stop(r.t);
    txn_free(r.t);
    s->clock.virtual_ms = clock_now(clock_system());
    sim_schema(s, false);
    check_runs(s, wanted);
    check_log(s, wanted);
    sim_free(s);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(everything_happens_once) };

SIM_MAIN(tests, getenv("IRONFLOW_TEST_PG_URL"))
