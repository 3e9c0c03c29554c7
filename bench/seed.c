/* Fills a stopped server's SQLite file with finished runs of function bench-old (three steps each)
 * and queued ones of bench-idle that nobody serves, to measure whether figures stay flat as data
 * grows.
 *
 *   seed FILE FINISHED QUEUED */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sqlite3 *db;

static void check(int code, const char *what)
{
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW) {
        fprintf(stderr, "seed: %s: %s\n", what, sqlite3_errmsg(db));
        exit(1);
    }
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *s = NULL;

    check(sqlite3_prepare_v2(db, sql, -1, &s, NULL), sql);
    return s;
}

static void run(sqlite3_stmt *s, int n, const int64_t *values)
{
    for (int i = 0; i < n; i++)
        check(sqlite3_bind_int64(s, i + 1, values[i]), "bind");
    check(sqlite3_step(s), "step");
    check(sqlite3_reset(s), "reset");
}

static int64_t one(const char *sql)
{
    sqlite3_stmt *s = prepare(sql);
    int64_t v = 0;

    if (sqlite3_step(s) != SQLITE_ROW) {
        fprintf(stderr, "seed: no row: %s\n", sql);
        exit(1);
    }
    v = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return v;
}

struct statements {
    sqlite3_stmt *event, *run, *step, *queue;
};

static void add_run(struct statements *s, int64_t id, int64_t fn, int queued)
{
    int64_t status = queued ? 7 : 3, ended = queued ? 0 : 1;

    run(s->event, 1, (int64_t[]){ id });
    run(s->run, 4, (int64_t[]){ id, fn, status, ended });
    if (queued) {
        run(s->queue, 2, (int64_t[]){ id, fn });
        return;
    }
    for (int64_t i = 0; i < 3; i++)
        run(s->step, 4, (int64_t[]){ id - 3 + i, id, i, id * 3 + i });
}

int main(int argc, char **argv)
{
    struct statements s = { 0 };
    int64_t finished = 0, queued = 0, old = 0, idle = 0, first = 0;

    if (argc != 4)
        return 1;
    finished = strtoll(argv[2], NULL, 10);
    queued = strtoll(argv[3], NULL, 10);
    check(sqlite3_open(argv[1], &db), "open");
    check(sqlite3_exec(db, "PRAGMA synchronous=OFF; PRAGMA cache_size=-200000; BEGIN", NULL, NULL,
                       NULL),
          "begin");
    old = one("SELECT key FROM functions WHERE id = 'bench-old'");
    idle = one("SELECT key FROM functions WHERE id = 'bench-idle'");
    /* Ids grow with time: these lie before every id that a server of today makes. */
    first = one("SELECT min(key) FROM functions") / 2;
    s.event = prepare("INSERT INTO events (id, env, name, data, version, source) "
                      "VALUES (?1, 1, 'bench.old', '{\"n\":1}', 1, 'api')");
    s.run = prepare("INSERT INTO runs (id, env, fn, event_id, status, mode, attempt, max_attempts, "
                    "fn_version, output, pause_requested, pause_reason, started_at, ended_at, "
                    "updated_at, execution_seq, token) VALUES (?1, 1, ?2, ?1, ?3, 2, 1, 3, 1, "
                    "'{\"done\":true}', 0, 0, ?4, ?4, ?4, 1, 1)");
    s.step =
        prepare("INSERT INTO steps (id, env, run_id, step_hash, step_id, name, type, sequence, "
                "status, output, attempt, duration_ms, started_at, ended_at, wake_at, "
                "patched_at) VALUES (?1, 1, ?2, ?4, 'run:step:' || ?3, 'step', 1, ?3, 3, "
                "'{\"step\":\"x\",\"ok\":true}', 1, 1, 1, 1, 0, 0)");
    s.queue = prepare("INSERT INTO queue (run_id, env, fn, state, ready_at, lease_until, "
                      "execution_seq, token, worker, acked, reported, step_next) "
                      "VALUES (?1, 1, ?2, 0, 1, 0, 0, 0, 0, 0, 0, 0)");
    for (int64_t i = 0; i < finished; i++)
        add_run(&s, first + i * 8, old, 0);
    for (int64_t i = 0; i < queued; i++)
        add_run(&s, first + (finished + i) * 8, idle, 1);
    check(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), "commit");
    sqlite3_finalize(s.event);
    sqlite3_finalize(s.run);
    sqlite3_finalize(s.step);
    sqlite3_finalize(s.queue);
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
