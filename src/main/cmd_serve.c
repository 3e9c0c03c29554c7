/* `ironflow serve`: options, boot, banner, signals, orderly end. Main thread; all others have the
 * signals blocked, so that they arrive here. */
#include "main/cmd_serve.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "main/banner.h"
#include "main/discovery.h"

enum { DRAIN_STEP_MS = 10 };

static const struct opt serve_opts[] = {
    { 'p', "port", OPT_INT, "number", "9123", "Port of the API; 0 picks a free one." },
    { 'd', "db", OPT_TEXT, "path", "ironflow.db",
      "SQLite file. IRONFLOW_DATABASE_URL selects PostgreSQL instead." },
    { 'o', "open", OPT_FLAG, NULL, NULL, "Open the dashboard in a browser." },
    { 0, "dev", OPT_FLAG, NULL, NULL, "Accept every request without a credential." },
    { 0, "nats-store-dir", OPT_TEXT, "path", NULL,
      "Directory of the message store; \"\" keeps messages in memory (NATS_STORE_DIR)." },
    { 0, "node-id", OPT_TEXT, "id", NULL, "Name of this node (IRONFLOW_NODE_ID)." },
    { 0, "bootstrap-key-file", OPT_TEXT, "path", NULL,
      "Where the first admin key is written; beside the database." },
    { 0, "durability", OPT_TEXT, "full|normal", "full",
      "full: every answer is on disk; normal: synced at checkpoints only." },
    { 'f', "config", OPT_TEXT, "path", NULL,
      "Configuration file, ironflow.yaml; flags and variables beat it." },
    { 0, "nats-url", OPT_TEXT, "url", NULL, "External NATS (not in this release)." },
    { 0, "nats-creds", OPT_TEXT, "path", NULL, "Credentials of NATS (not in this release)." },
    { 0, "pprof", OPT_FLAG, NULL, NULL, "Profiling port (not in this release)." },
    { 0, NULL, OPT_FLAG, NULL, NULL, NULL },
};

const struct cmd cmd_serve = {
    .name = "serve",
    .help = "Start the server.",
    .about =
        "Serves the API on one port until SIGINT or SIGTERM; then it finishes what runs, for at\n"
        "most 30 seconds, or as long as a push request may take. A second signal ends it at once.",
    .examples =
        "ironflow serve --dev\nironflow serve --port 8080 --db /var/lib/ironflow/ironflow.db\n"
        "ironflow serve -f ironflow.yaml",
    .opts = serve_opts,
    .run = cmd_serve_run,
    .own_log = true,
};

/* Few arenas and no hoarding: an idle server stays small. */
static void tune_memory(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

static void block_signals(sigset_t *set)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* Connections are files, those of clients and those to push endpoints. */
static void raise_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        log_warn("the limit of open files was not raised", "error=\"%s\"", strerror(errno));
}

static void open_browser(int port)
{
    char program[] = "xdg-open", url[64];
    char *argv[] = { program, url, NULL };
    pid_t pid;
    int failed;

    snprintf(url, sizeof(url), "http://localhost:%d", port);
    failed = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
    if (failed)
        log_warn("the browser was not opened", "url=%s error=\"%s\"", url, strerror(failed));
}

/* Requests in flight get their time; a second signal ends it. */
static bool drain(struct server *s, const sigset_t *set, int64_t ms)
{
    struct timespec step = { 0, DRAIN_STEP_MS * 1000000L };

    server_drain(s);
    for (int64_t waited = 0; server_busy(s) > 0 && waited < ms; waited += DRAIN_STEP_MS)
        if (sigtimedwait(set, NULL, &step) > 0)
            return false;
    return true;
}

static int fail(struct ctx *c, err_t e)
{
    fprintf(stderr, "Error: " STR_FMT "\n", STR_ARG(err_text(c, e)));
    return 1;
}

int cmd_serve_run(struct cli *cli)
{
    struct ctx *c = cli->c;
    struct options o;
    struct config *file = NULL;
    struct server *s = NULL;
    sigset_t signals;
    int sig;
    err_t e;

    tune_memory();
    e = options_file(cli, &file);
    if (e == ERR_OK)
        e = options_logging(cli, file);
    if (e == ERR_OK)
        e = options_read(cli, file, &o);
    if (e != ERR_OK)
        return fail(c, e);
    block_signals(&signals);
    raise_files();
    e = server_start(c, &o, &s);
    if (e != ERR_OK)
        return fail(c, e);
    if (o.dev)
        discovery_write(c, server_port(s)); /* who reads the banner may look for it */
    banner_print(c->arena, &o, s);
    log_info("server started", "port=%d version=%s node=" STR_FMT, server_port(s), IRONFLOW_VERSION,
             STR_ARG(o.node_id));
    malloc_trim(0);
    if (o.open)
        open_browser(server_port(s));
    while (sigwait(&signals, &sig) != 0)
        continue;
    if (o.dev)
        discovery_remove(c, server_port(s));
    log_info("shutting down", "signal=%s", sig == SIGINT ? "SIGINT" : "SIGTERM");
    if (!drain(s, &signals, options_drain_ms(&o))) {
        log_warn("second signal, ending at once", "in_flight=%zu", server_busy(s));
        _exit(1);
    }
    server_stop(s);
    log_info("server stopped", "");
    return 0;
}
