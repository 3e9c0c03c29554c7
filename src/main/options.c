/* Options of `serve`: a flag beats its variable, a variable beats the default. The private
 * variables IRONFLOW_*_MS shorten times for tests. */
#include "main/options.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/time.h"

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

err_t options_logging(struct cli *cli)
{
    str_t word = env("LOG_LEVEL"), format = env("LOG_FORMAT");
    bool text = str_eq_nocase(format, S("text"));
    enum log_level level = cli->verbose ? LOG_DEBUG : LOG_INFO;

    if (word.n > 0 && !log_level_parse(word, &level))
        return err_set(cli->c, ERR_INVALID,
                       "LOG_LEVEL: expected trace, debug, info, warn, error or fatal, not " STR_FMT,
                       STR_ARG(word));
    if (format.n > 0 && !text && !str_eq_nocase(format, S("json")))
        return err_set(cli->c, ERR_INVALID, "LOG_FORMAT: expected json or text, not " STR_FMT,
                       STR_ARG(format));
    log_setup(level, !text);
    return ERR_OK;
}

/* Flags of the mission that this release does not serve say so. */
static err_t refuse_later(struct cli *cli)
{
    static const char *const later[] = { "nats-url", "nats-creds", "config", "pprof" };

    bool nats = cli_given(cli, "nats-url") || env("NATS_URL").n > 0;

    if (nats && env("IRONFLOW_DATABASE_URL").n == 0)
        return err_set(cli->c, ERR_INVALID,
                       "--nats-url requires PostgreSQL: set IRONFLOW_DATABASE_URL");
    for (size_t i = 0; i < COUNT_OF(later); i++)
        if (cli_given(cli, later[i]))
            return err_set(cli->c, ERR_UNIMPLEMENTED, "--%s is not supported by this release",
                           later[i]);
    if (env("NATS_URL").n > 0)
        return err_set(cli->c, ERR_UNIMPLEMENTED, "NATS_URL is not supported by this release");
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

static err_t read_store_dir(struct cli *cli, struct options *o)
{
    struct ctx *c = cli->c;
    const char *v = getenv("NATS_STORE_DIR");

    if (cli_given(cli, "nats-store-dir")) {
        o->store_dir = cli_text(cli, "nats-store-dir");
    } else if (v && v[0]) {
        o->store_dir = str_from(v);
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

static void read_key_file(struct cli *cli, struct options *o)
{
    struct arena *a = cli->c->arena;
    str_t tmp = env("TMPDIR"), dir;

    if (cli_given(cli, "bootstrap-key-file")) {
        o->key_file = cli_text(cli, "bootstrap-key-file");
        return;
    }
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
    TRY(env_ms(c, "IRONFLOW_HEADER_MS", 0, &o->header_ms));
    TRY(env_ms(c, "IRONFLOW_BODY_MS", 0, &o->body_ms));
    TRY(env_ms(c, "IRONFLOW_OUTBOX_BACKOFF_MS", 1000, &o->outbox_backoff_ms));
    o->refused_events = env("IRONFLOW_REFUSED_EVENTS");
    return env_ms(c, "IRONFLOW_POLL_HOLD_MS", 20000, &o->poll_hold_ms);
}

static err_t read_push(struct ctx *c, struct options *o)
{
    o->signing_key = env("IRONFLOW_SIGNING_KEY");
    TRY(env_ms(c, "IRONFLOW_PUSH_TIMEOUT_MS", 10000, &o->push_timeout_ms));
    TRY(env_ms(c, "IRONFLOW_PUSH_STALE_MS", 120000, &o->push_stale_ms));
    TRY(env_ms(c, "IRONFLOW_BREAKER_MS", 60000, &o->breaker_open_ms));
    if (o->push_timeout_ms > o->push_stale_ms / 4 * 3)
        return err_set(c, ERR_INVALID,
                       "the push timeout of %lld ms is too long: a push is given up after %lld ms, "
                       "and a quarter of that must be left",
                       (long long)o->push_timeout_ms, (long long)o->push_stale_ms);
    return ERR_OK;
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

err_t options_read(struct cli *cli, struct options *out)
{
    struct ctx *c = cli->c;
    int64_t port = cli_int(cli, "port");
    struct options o = { 0 };

    TRY(refuse_later(cli));
    if (port < 0 || port > 65535)
        return err_set(c, ERR_INVALID, "--port: expected 0 to 65535, not %lld", (long long)port);
    o.port = (int)port;
    o.db_path = cli_text(cli, "db");
    if (o.db_path.n == 0)
        return err_set(c, ERR_INVALID, "--db: a path is required");
    o.database_url = env("IRONFLOW_DATABASE_URL");
    o.dev = cli_flag(cli, "dev");
    o.open = cli_flag(cli, "open");
    o.node_id = cli_given(cli, "node-id") ? cli_text(cli, "node-id") : env("IRONFLOW_NODE_ID");
    if (o.node_id.n == 0)
        o.node_id = random_id(c->arena);
    TRY(read_durability(cli, &o));
    TRY(read_store_dir(cli, &o));
    read_key_file(cli, &o);
    TRY(env_bool(c, "IRONFLOW_METRICS_ENABLED", &o.metrics));
    TRY(read_times(c, &o));
    TRY(read_push(c, &o));
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
