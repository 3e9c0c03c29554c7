/* Options of `serve`: a flag beats its variable, a variable beats the file, the file beats the
 * default. The private variables IRONFLOW_*_MS shorten times for tests and beat all. */
#include "main/options.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/time.h"

/* What a stop gives to requests under way; and to a push, behind its timeout, for its report. */
enum { DRAIN_MS = 30000, REPORT_MS = 5000 };

static str_t env(const char *name)
{
    return str_from(getenv(name));
}

static err_t env_bool(struct ctx *c, const char *name, bool *out)
{
    str_t v = env(name);

    if (v.n == 0)
        return ERR_OK;
    if (str_eq(v, S("1")) || str_eq_nocase(v, S("true")))
        *out = true;
    else if (str_eq(v, S("0")) || str_eq_nocase(v, S("false")))
        *out = false;
    else
        return err_set(c, ERR_INVALID, "%s: expected true, false, 1 or 0, not " STR_FMT, name,
                       STR_ARG(v));
    return ERR_OK;
}

static err_t env_ms(struct ctx *c, const char *name, int64_t def, int64_t *out)
{
    str_t v = env(name);

    *out = def;
    if (v.n > 0 && (!str_to_i64(v, out) || *out <= 0))
        return err_set(c, ERR_INVALID, "%s: expected milliseconds, not " STR_FMT, name, STR_ARG(v));
    return ERR_OK;
}

/* Where settings come from. */
struct source {
    struct cli *cli;
    const struct config *file;
};

/* The flag if it was given, else the variable if it is not empty, else the file, else def. */
static str_t pick(const struct source *s, const char *flag, str_t variable, const char *key,
                  str_t def)
{
    str_t v;

    if (flag && cli_given(s->cli, flag))
        return cli_text(s->cli, flag);
    if (variable.n > 0)
        return variable;
    return config_get(s->file, key, &v) ? v : def;
}

/* The file was checked when it was read. */
static bool file_bool(const struct config *file, const char *key)
{
    str_t v;

    return config_get(file, key, &v) && str_eq(v, S("true"));
}

err_t options_file(struct cli *cli, struct config **out)
{
    *out = NULL;
    if (!cli_given(cli, "config"))
        return ERR_OK;
    if (cli_text(cli, "config").n == 0)
        return err_set(cli->c, ERR_INVALID, "--config: expected the path of a file");
    return config_read(cli->c, cli_text(cli, "config"), out);
}

err_t options_logging(struct cli *cli, const struct config *file)
{
    const struct source s = { cli, file };
    str_t said = cli->verbose ? S("debug") : STR_NULL;
    str_t word = env("LOG_LEVEL").n > 0 ? env("LOG_LEVEL") : said;
    str_t format =
        pick(&s, NULL, env("LOG_FORMAT"), "spec.observability.logging.format", S("json"));
    bool text = str_eq_nocase(format, S("text"));
    enum log_level level = LOG_INFO;

    word = pick(&s, NULL, word, "spec.observability.logging.level", S("info"));
    if (!log_level_parse(word, &level))
        return err_set(cli->c, ERR_INVALID,
                       "LOG_LEVEL: expected trace, debug, info, warn, error or fatal, not " STR_FMT,
                       STR_ARG(word));
    if (!text && !str_eq_nocase(format, S("json")))
        return err_set(cli->c, ERR_INVALID, "LOG_FORMAT: expected json or text, not " STR_FMT,
                       STR_ARG(format));
    log_setup(level, !text);
    return ERR_OK;
}

/* What the mission has and this release does not serve says so. */
static err_t refuse_later(const struct source *s, bool pg)
{
    static const char *const later[] = { "nats-url", "nats-creds", "pprof" };
    str_t nats = pick(s, "nats-url", env("NATS_URL"), "spec.nats.url", STR_NULL);

    if (nats.n > 0 && !pg)
        return err_set(s->cli->c, ERR_INVALID,
                       "--nats-url requires PostgreSQL: set IRONFLOW_DATABASE_URL");
    for (size_t i = 0; i < COUNT_OF(later); i++)
        if (cli_given(s->cli, later[i]))
            return err_set(s->cli->c, ERR_UNIMPLEMENTED, "--%s is not supported by this release",
                           later[i]);
    if (nats.n > 0)
        return err_set(s->cli->c, ERR_UNIMPLEMENTED, "%s is not supported by this release",
                       env("NATS_URL").n > 0 ? "NATS_URL" : "spec.nats.url");
    return ERR_OK;
}

/* The directory of a file, to put "/name" behind: empty for the root. */
static str_t dir_of(struct arena *a, str_t path)
{
    for (size_t i = path.n; i > 0; i--)
        if (path.p[i - 1] == '/')
            return str_dup(a, str_slice(path, 0, i - 1));
    return S(".");
}

static bool has_file(const struct options *o)
{
    return o->database_url.n == 0 && !str_eq(o->db_path, S(":memory:"));
}

/* From a file the message store is in memory unless it names a directory (spec operations 2.1). */
static err_t read_store_dir(const struct source *s, struct options *o)
{
    struct ctx *c = s->cli->c;
    bool told = cli_given(s->cli, "nats-store-dir") || env("NATS_STORE_DIR").n > 0 || s->file;

    if (told) {
        o->store_dir =
            pick(s, "nats-store-dir", env("NATS_STORE_DIR"), "spec.nats.storeDir", STR_NULL);
    } else if (has_file(o)) {
        str_t dir = dir_of(c->arena, o->db_path);

        o->store_dir = str_printf(c->arena, STR_FMT "/ironflow-nats", STR_ARG(dir));
    } else {
        return err_set(c, ERR_INVALID,
                       "--nats-store-dir is required with %s: name a directory for messages, or "
                       "keep them in memory with --nats-store-dir=\"\"",
                       o->database_url.n > 0 ? "PostgreSQL" : "--db :memory:");
    }
    return ERR_OK;
}

static void read_key_file(const struct source *s, struct options *o)
{
    struct arena *a = s->cli->c->arena;
    str_t tmp = env("TMPDIR"), dir;

    o->key_file = pick(s, "bootstrap-key-file", STR_NULL, "spec.auth.bootstrapKeyFile", STR_NULL);
    if (o->key_file.n > 0)
        return;
    dir = has_file(o) ? dir_of(a, o->db_path) : tmp.n > 0 ? tmp : S("/tmp");
    o->key_file = str_printf(a, STR_FMT "/.ironflow_bootstrap_key.json", STR_ARG(dir));
}

/* A random UUID, version 4. */
static str_t random_id(struct arena *a)
{
    uint8_t r[16];

    rng_secret(r, sizeof(r));
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    return str_printf(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                      r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11],
                      r[12], r[13], r[14], r[15]);
}

static err_t read_times(struct ctx *c, struct options *o)
{
    TRY(env_ms(c, "IRONFLOW_LEASE_MS", 90000, &o->lease_ms));
    TRY(env_ms(c, "IRONFLOW_LEASE_CLAIM_MS", 30000, &o->lease_claim_ms));
    TRY(env_ms(c, "IRONFLOW_GRACE_MS", 30000, &o->grace_ms));
    TRY(env_ms(c, "IRONFLOW_WORKER_MS", 90000, &o->worker_ttl_ms));
    TRY(env_ms(c, "IRONFLOW_HEADER_MS", 0, &o->header_ms));
    TRY(env_ms(c, "IRONFLOW_BODY_MS", 0, &o->body_ms));
    TRY(env_ms(c, "IRONFLOW_OUTBOX_BACKOFF_MS", 1000, &o->outbox_backoff_ms));
    o->refused_events = env("IRONFLOW_REFUSED_EVENTS");
    return env_ms(c, "IRONFLOW_POLL_HOLD_MS", 20000, &o->poll_hold_ms);
}

/* A duration of the file, or def. */
static int64_t file_ms(const struct config *file, const char *key, int64_t def)
{
    int64_t ms = def;
    str_t v;

    if (config_get(file, key, &v))
        must(duration_parse(v, &ms));
    return ms;
}

static err_t read_push(const struct source *s, struct options *o)
{
    struct ctx *c = s->cli->c;
    str_t stale = env("IRONFLOW_STALE_CLAIM_THRESHOLD");
    int64_t timeout_ms = file_ms(s->file, "spec.engine.pushTimeout", 10000);
    int64_t stale_ms = file_ms(s->file, "spec.cluster.staleClaimThreshold", 120000);

    if (stale.n > 0 && (!duration_parse(stale, &stale_ms) || stale_ms == 0))
        return err_set(
            c, ERR_INVALID,
            "IRONFLOW_STALE_CLAIM_THRESHOLD: expected a duration such as 2m, not " STR_FMT,
            STR_ARG(stale));
    o->signing_key = pick(s, NULL, env("IRONFLOW_SIGNING_KEY"), "spec.auth.signingKey", STR_NULL);
    TRY(env_ms(c, "IRONFLOW_PUSH_TIMEOUT_MS", timeout_ms, &o->push_timeout_ms));
    TRY(env_ms(c, "IRONFLOW_PUSH_STALE_MS", stale_ms, &o->push_stale_ms));
    TRY(env_ms(c, "IRONFLOW_BREAKER_MS", 60000, &o->breaker_open_ms));
    if (o->push_timeout_ms > o->push_stale_ms / 4 * 3)
        return err_set(c, ERR_INVALID,
                       "the push timeout of %lld ms is too long: a push is given up after %lld ms, "
                       "and a quarter of that must be left",
                       (long long)o->push_timeout_ms, (long long)o->push_stale_ms);
    return ERR_OK;
}

/* The SQLite file, or the URL of PostgreSQL. */
static err_t read_storage(const struct source *s, struct options *o)
{
    struct ctx *c = s->cli->c;
    str_t url = STR_NULL, driver = STR_NULL;

    o->db_path = pick(s, "db", STR_NULL, "spec.storage.path", cli_text(s->cli, "db"));
    if (o->db_path.n == 0)
        return err_set(c, ERR_INVALID, "--db: a path is required");
    (void)config_get(s->file, "spec.storage.url", &url);
    (void)config_get(s->file, "spec.storage.driver", &driver);
    if (driver.n > 0 && !str_eq(driver, S("sqlite")) && !str_eq(driver, S("postgres")))
        return err_set(c, ERR_INVALID,
                       "spec.storage.driver: expected sqlite or postgres, not " STR_FMT,
                       STR_ARG(driver));
    if (url.n > 0 && (str_eq(driver, S("sqlite")) ||
                      !(str_starts(url, S("postgres://")) || str_starts(url, S("postgresql://")))))
        return err_set(c, ERR_INVALID,
                       "spec.storage.url: expected a postgres:// URL, with the driver postgres");
    if (str_eq(driver, S("postgres")) && url.n == 0 && env("IRONFLOW_DATABASE_URL").n == 0)
        return err_set(c, ERR_INVALID, "spec.storage.url: the driver postgres needs one");
    o->database_url = env("IRONFLOW_DATABASE_URL");
    if (o->database_url.n == 0 && !cli_given(s->cli, "db"))
        o->database_url = url;
    return ERR_OK;
}

int64_t options_drain_ms(const struct options *o)
{
    int64_t push_ms = o->push_timeout_ms + REPORT_MS;

    return push_ms > DRAIN_MS ? push_ms : DRAIN_MS;
}

static err_t read_durability(struct cli *cli, struct options *o)
{
    str_t word = cli_text(cli, "durability");

    if (str_eq(word, S("full")))
        o->durability = DB_FULL;
    else if (str_eq(word, S("normal")))
        o->durability = DB_NORMAL;
    else
        return err_set(cli->c, ERR_INVALID, "--durability: expected full or normal, not " STR_FMT,
                       STR_ARG(word));
    return ERR_OK;
}

err_t options_read(struct cli *cli, const struct config *file, struct options *out)
{
    const struct source s = { cli, file };
    struct ctx *c = cli->c;
    struct options o = { 0 };
    int64_t port;

    TRY(read_storage(&s, &o));
    TRY(refuse_later(&s, o.database_url.n > 0));
    if (!str_to_i64(pick(&s, "port", STR_NULL, "spec.port", cli_text(cli, "port")), &port) ||
        port < 0 || port > 65535)
        return err_set(c, ERR_INVALID, "--port: expected 0 to 65535, not %lld",
                       (long long)cli_int(cli, "port"));
    o.port = (int)port;
    o.dev = cli_flag(cli, "dev") || file_bool(file, "spec.auth.devMode");
    o.open = cli_flag(cli, "open");
    o.node_id = pick(&s, "node-id", env("IRONFLOW_NODE_ID"), "spec.cluster.nodeId", STR_NULL);
    if (o.node_id.n == 0)
        o.node_id = random_id(c->arena);
    TRY(read_durability(cli, &o));
    TRY(read_store_dir(&s, &o));
    read_key_file(&s, &o);
    o.metrics = file_bool(file, "spec.observability.metrics.enabled");
    TRY(env_bool(c, "IRONFLOW_METRICS_ENABLED", &o.metrics));
    TRY(read_times(c, &o));
    TRY(read_push(&s, &o));
    *out = o;
    return ERR_OK;
}

str_t options_masked_url(struct arena *a, str_t url)
{
    ptrdiff_t scheme = str_find(url, S("://")), at = str_index(url, '@'), colon;
    str_t user;

    if (scheme < 0 || at < scheme)
        return url;
    user = str_slice(url, (size_t)scheme + 3, (size_t)at);
    colon = str_index(user, ':');
    if (colon < 0)
        return url;
    return str_printf(
        a, STR_FMT "://" STR_FMT ":***" STR_FMT, STR_ARG(str_slice(url, 0, (size_t)scheme)),
        STR_ARG(str_slice(user, 0, (size_t)colon)), STR_ARG(str_slice(url, (size_t)at, url.n)));
}
