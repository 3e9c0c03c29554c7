/* The wiring: which parts there are, in which order they start and stop. Runs on the main thread.
 */
#include "main/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/server.h"
#include "jobs/jobs.h"
#include "jobs/push.h"
#include "main/keyfile.h"
#include "store/ids.h"
#include "store/migrations.h"
#include "store/nodes.h"
#include "svc/access.h"
#include "svc/batch.h"
#include "svc/meters.h"
#include "svc/registry.h"
#include "txn/txn.h"

enum { FATAL_REPLY_MS = 500, STOP_REPLY_MS = 2000 };
/* Each executor makes ids of its own. */
enum { PG_THREADS = 4, ID_SLOTS = 1024 };

struct server {
    struct app app;
    struct arena arena;
    struct db *db;
    struct txn *txn;
    struct jobs *jobs;
    _Atomic(struct push *) push;
    struct api *api;
    struct http_server *http;
    str_t first_key;
    bool key_stored;
};

int server_port(const struct server *s)
{
    return http_server_port(s->http);
}

str_t server_first_key(const struct server *s)
{
    return s->first_key;
}

bool server_key_stored(const struct server *s)
{
    return s->key_stored;
}

static void pause_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&t, NULL);
}

static void wait_idle(const struct server *s, int64_t ms)
{
    for (int64_t waited = 0; s->http && http_server_busy(s->http) > 0 && waited < ms; waited += 5)
        pause_ms(5);
}

/* The disk failed under us. What is on it is the truth now, and only a new process may read it. The
 * replies in flight, all of them refusals, get a moment to leave. */
static void on_fatal(void *app, const char *what)
{
    struct server *s = (struct server *)app;

    log_write(LOG_FATAL, "storage failed, ending", "what=\"%s\"", what);
    wait_idle(s, FATAL_REPLY_MS);
    _exit(1);
}

static void on_signal(void *app, const struct signal *sig)
{
    struct server *s = (struct server *)app;

    if (sig->sig == SIG_ACCESS)
        svc_access_forget(s->app.access);
    if (sig->sig == SIG_REGISTRY && s->push != NULL)
        push_functions_changed(s->push);
}

static err_t open_database(struct ctx *c, struct server *s, const struct options *o,
                           struct db_conn **writer)
{
    bool pg = o->database_url.n > 0;
    struct db_opts opts = { .kind = pg ? DB_PG : DB_SQLITE,
                            .path = pg ? o->database_url : o->db_path,
                            .durability = o->durability };

    TRY(db_open(c, &opts, &s->db));
    s->app.db_kind = opts.kind;
    TRY(db_conn_open(c, s->db, true, writer));
    return db_migrate(c, *writer, store_migrations, store_migrations_n);
}

/* Where new ids begin: after every id in use, also when the clock went back, and, among the servers
 * of one PostgreSQL, in slots that no earlier start used lately; txn passes over those of servers
 * that live. */
static err_t id_origin(struct ctx *c, const struct server *s, struct txn_opts *t)
{
    int64_t number = 0;

    TRY(store_id_last(c, &t->id_last));
    if (s->app.db_kind == DB_PG)
        TRY(store_node_number(c, &number));
    t->slot = number * PG_THREADS % ID_SLOTS;
    return ERR_OK;
}

static err_t id_origin_tx(struct ctx *c, const struct server *s, struct db_conn *conn,
                          struct txn_opts *t)
{
    err_t e;

    TRY(db_begin(c, conn, true));
    e = id_origin(c, s, t);
    if (e == ERR_OK)
        return db_commit(c);
    db_rollback(c);
    return e;
}

/* SQLite: two readers beside the writer. PostgreSQL: executors. */
static err_t start_txn(struct ctx *c, struct server *s, struct db_conn *writer)
{
    struct txn_opts t = {
        .db = s->db,
        .writer = writer,
        .threads = s->app.db_kind == DB_PG ? PG_THREADS : 2,
        .hooks = { svc_batch_begin, svc_batch_before_commit, svc_batch_after, on_signal, on_fatal },
        .app = &s->app,
        .name = s->app.node_id,
    };
    err_t e = id_origin_tx(c, s, writer, &t);

    if (e != ERR_OK) {
        db_conn_close(writer);
        return e;
    }
    TRY(txn_new(c, &t, &s->txn));
    s->app.txn = s->txn;
    s->app.node_id = txn_name(s->txn);
    return ERR_OK;
}

struct boot {
    str_t path, key, key_id;
    bool stored;
};

/* The key is in its file before the commit: a crash between the two leaves a file whose key the
 * next start replaces, never a database whose only key nobody knows. */
static err_t boot_run(struct ctx *c)
{
    struct boot *b = c->call->arg;

    b->key = b->key_id = STR_NULL;
    b->stored = false;
    TRY(svc_batch_recover(c));
    TRY(svc_access_bootstrap(c, &b->key, &b->key_id));
    if (b->key.n == 0)
        return ERR_OK;
    b->stored = keyfile_write(c, b->path, b->key, b->key_id) == ERR_OK;
    if (!b->stored)
        log_error("the bootstrap key file was not written",
                  "path=\"" STR_FMT "\" error=\"" STR_FMT "\"", STR_ARG(b->path),
                  STR_ARG(err_text(c, ERR_UNAVAILABLE)));
    return ERR_OK;
}

/* Runs what every start does inside the database, and keeps the first key. */
static err_t bootstrap(struct ctx *c, struct server *s, const struct options *o)
{
    struct boot b = { .path = o->key_file };
    struct call call;
    err_t e;

    call_init(&call, CALL_WRITE, boot_run, &b, &s->arena);
    call.ctx.app = &s->app;
    e = txn_run(s->txn, &call);
    if (e != ERR_OK)
        return err_set(c, e, STR_FMT, STR_ARG(err_text(&call.ctx, e)));
    s->first_key = b.key;
    s->key_stored = b.stored;
    return ERR_OK;
}

/* Messages are kept in the database; the directory is made because the operator was promised one.
 */
static err_t make_store_dir(struct ctx *c, str_t dir)
{
    if (dir.n == 0)
        return ERR_OK;
    if (mkdir(str_z(c->arena, dir), 0700) != 0 && errno != EEXIST)
        return err_set(c, ERR_UNAVAILABLE, "cannot create the message store " STR_FMT ": %s",
                       STR_ARG(dir), strerror(errno));
    return ERR_OK;
}

/* "::" takes IPv4 as well; "localhost" is ::1 for many clients. */
static const char *any_host(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return "0.0.0.0";
    close(fd);
    return "::";
}

static err_t start_http(struct ctx *c, struct server *s, const struct options *o)
{
    struct api_opts api = { &s->app, o->metrics };
    struct http_server_opts http = { .host = any_host(),
                                     .port = o->port,
                                     .loops = 2,
                                     .limits = { .header_ms = o->header_ms, .body_ms = o->body_ms },
                                     .handler = api_handle,
                                     .wants_stream = api_wants_stream,
                                     .error_body = api_error_body };

    s->api = api_new(&api);
    http.arg = s->api;
    return http_server_start(c, &http, &s->http);
}

/* A first boot that gets no further has made the key all the same: the message says where it is. */
static err_t announce_key(struct ctx *c, const struct server *s, const struct options *o, err_t e)
{
    str_t why = str_dup(c->arena, err_text(c, e));

    if (e == ERR_OK || s->first_key.n == 0)
        return e;
    if (s->key_stored)
        return err_set(c, e, STR_FMT " (the database is new; its admin key is in " STR_FMT ")",
                       STR_ARG(why), STR_ARG(o->key_file));
    return err_set(c, e, STR_FMT " (the database is new; its admin key is " STR_FMT ")",
                   STR_ARG(why), STR_ARG(s->first_key));
}

static err_t start_all(struct ctx *c, struct server *s, const struct options *o)
{
    struct db_conn *writer = NULL;
    err_t e = open_database(c, s, o, &writer);

    if (e != ERR_OK) {
        if (writer)
            db_conn_close(writer);
        return e;
    }
    TRY(start_txn(c, s, writer)); /* takes the connection over, also when it fails */
    TRY(bootstrap(c, s, o));
    TRY(make_store_dir(c, o->store_dir));
    TRY(jobs_start(c, s->txn, &s->jobs));
    s->push = push_start(&s->app);
    return announce_key(c, s, o, start_http(c, s, o));
}

err_t server_start(struct ctx *c, const struct options *o, struct server **out)
{
    struct server *s = mem_zero(sizeof(*s));
    err_t e;

    arena_init(&s->arena);
    s->app = (struct app){
        .registry = registry_cache_new(),
        .access = access_cache_new(),
        .meters = o->metrics ? meters_new() : NULL,
        .dev = o->dev,
        .started_at = clock_now(clock_system()),
        .node_id = o->node_id,
        .lease_ms = o->lease_ms,
        .lease_claim_ms = o->lease_claim_ms,
        .grace_ms = o->grace_ms,
        .poll_hold_ms = o->poll_hold_ms,
        .worker_ttl_ms = o->worker_ttl_ms,
        .refused_events = o->refused_events,
        .outbox_backoff_ms = o->outbox_backoff_ms,
        .push_timeout_ms = o->push_timeout_ms,
        .push_stale_ms = o->push_stale_ms,
        .breaker_open_ms = o->breaker_open_ms,
        .signing_key = o->signing_key,
    };
    c->app = &s->app;
    e = start_all(c, s, o);
    c->app = NULL;
    if (e != ERR_OK) {
        server_stop(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

void server_drain(struct server *s)
{
    api_drain(s->api);
    http_server_drain(s->http);
    push_drain(s->push);
}

size_t server_busy(const struct server *s)
{
    return http_server_busy(s->http) + push_busy(s->push);
}

void server_stop(struct server *s)
{
    if (!s)
        return;
    if (s->jobs)
        jobs_stop(s->jobs);
    push_stop(s->push);
    if (s->txn)
        txn_stop(s->txn);
    push_free(s->push);
    s->push = NULL;
    wait_idle(s, STOP_REPLY_MS);
    if (s->http)
        http_server_stop(s->http);
    api_free(s->api);
    if (s->txn)
        txn_free(s->txn);
    if (s->db)
        db_close(s->db);
    registry_cache_free(s->app.registry);
    access_cache_free(s->app.access);
    meters_free(s->app.meters);
    arena_done(&s->arena);
    mem_free(s);
}
