/* The keys of ironflow.yaml as a table, and the walk that compares a file with it. */
#include "main/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/time.h"
#include "codec/yaml.h"
#include "main/file.h"

#define VALUE_MAX ((size_t)64 << 10)

enum key_type { KEY_TEXT, KEY_PORT, KEY_BOOL, KEY_DURATION, KEY_LATER };

/* Keys that are KEY_LATER may stand there empty; with a value they are refused. */
static const struct key {
    const char *name;
    enum key_type type;
} keys[] = {
    { "apiVersion", KEY_TEXT },
    { "kind", KEY_TEXT },
    { "metadata.name", KEY_TEXT },
    { "spec.port", KEY_PORT },
    { "spec.storage.driver", KEY_TEXT },
    { "spec.storage.path", KEY_TEXT },
    { "spec.storage.url", KEY_TEXT },
    { "spec.storage.pool.maxConns", KEY_LATER },
    { "spec.storage.pool.minConns", KEY_LATER },
    { "spec.nats.url", KEY_TEXT },
    { "spec.nats.storeDir", KEY_TEXT },
    { "spec.nats.credsFile", KEY_LATER },
    { "spec.cluster.nodeId", KEY_TEXT },
    { "spec.cluster.staleClaimThreshold", KEY_DURATION },
    { "spec.engine.pushTimeout", KEY_DURATION },
    { "spec.auth.devMode", KEY_BOOL },
    { "spec.auth.signingKey", KEY_TEXT },
    { "spec.auth.bootstrapKeyFile", KEY_TEXT },
    { "spec.auth.masterKey", KEY_LATER },
    { "spec.auth.jwtSecret", KEY_LATER },
    { "spec.license", KEY_LATER },
    { "spec.observability.metrics.enabled", KEY_BOOL },
    { "spec.observability.logging.level", KEY_TEXT },
    { "spec.observability.logging.format", KEY_TEXT },
    { "spec.observability.tracing.endpoint", KEY_LATER },
    { "spec.observability.tracing.sampleRate", KEY_LATER },
    { "spec.observability.tracing.serviceName", KEY_LATER },
    { "spec.observability.tracing.insecure", KEY_LATER },
    { "spec.platform", KEY_LATER },
};

struct config {
    str_t path;
    struct {
        bool given;
        str_t text;
    } values[COUNT_OF(keys)];
};

bool config_get(const struct config *cfg, const char *key, str_t *out)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (strcmp(keys[i].name, key) != 0)
            continue;
        if (cfg == NULL || !cfg->values[i].given)
            return false;
        *out = cfg->values[i].text;
        return true;
    }
    must(false);
    return false;
}

/* ---- variables ------------------------------------------------------------------------------- */

/* "NAME" or "NAME:-default", what stands between the braces. */
static bool variable(struct ctx *c, str_t inside, str_t *out)
{
    ptrdiff_t at = str_find(inside, S(":-"));
    str_t name = at < 0 ? inside : str_slice(inside, 0, (size_t)at);
    const char *value = getenv(str_z(c->arena, name));

    if (value != NULL && (at < 0 || value[0] != '\0'))
        *out = str_from(value);
    else if (at >= 0)
        *out = str_slice(inside, (size_t)at + 2, inside.n);
    else
        return false;
    return true;
}

/* ${VAR}, ${VAR:-default} and $$ in a scalar; a bare $ is text. */
static err_t expand(struct ctx *c, str_t text, str_t *out)
{
    struct buf b;
    str_t value;
    size_t i = 0;

    buf_init_arena(&b, c->arena, VALUE_MAX);
    while (i < text.n) {
        str_t rest = str_slice(text, i, text.n);
        ptrdiff_t end = str_starts(rest, S("${")) ? str_index(rest, '}') : -1;

        if (str_starts(rest, S("$$"))) {
            buf_char(&b, '$');
            i += 2;
        } else if (end < 0) {
            buf_char(&b, text.p[i++]);
        } else if (variable(c, str_slice(rest, 2, (size_t)end), &value)) {
            buf_append(&b, value);
            i += (size_t)end + 1;
        } else {
            return err_set(c, ERR_INVALID, STR_FMT "} is not set",
                           STR_ARG(str_slice(rest, 0, (size_t)end)));
        }
    }
    if (b.full)
        return err_set(c, ERR_INVALID, "longer than %zu KiB", VALUE_MAX >> 10);
    *out = buf_str(&b);
    return ERR_OK;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* The error so far, with its place before it. */
static err_t at_key(struct ctx *c, const struct config *cfg, const struct yaml_node *n, str_t key,
                    err_t e)
{
    str_t why = str_dup(c->arena, err_text(c, e));

    return err_set(c, e, STR_FMT ":%d: " STR_FMT ": " STR_FMT, STR_ARG(cfg->path), n->line,
                   STR_ARG(key), STR_ARG(why));
}

static err_t type_check(struct ctx *c, enum key_type type, str_t text)
{
    int64_t v;

    switch (type) {
    case KEY_PORT:
        if (!str_to_i64(text, &v) || v < 1 || v > 65535)
            return err_set(c, ERR_INVALID, "expected 1 to 65535, not " STR_FMT, STR_ARG(text));
        break;
    case KEY_BOOL:
        if (!str_eq(text, S("true")) && !str_eq(text, S("false")))
            return err_set(c, ERR_INVALID, "expected true or false, not " STR_FMT, STR_ARG(text));
        break;
    case KEY_DURATION:
        if (!duration_parse(text, &v) || v == 0)
            return err_set(c, ERR_INVALID, "expected a duration such as 10s, not " STR_FMT,
                           STR_ARG(text));
        break;
    case KEY_LATER:
        if (text.n > 0)
            return err_set(c, ERR_UNIMPLEMENTED, "not supported by this release");
        break;
    case KEY_TEXT:
        break;
    }
    return ERR_OK;
}

static err_t value_take(struct ctx *c, struct config *cfg, size_t i, const struct yaml_node *n)
{
    str_t text = STR_NULL;

    if (n->null)
        return ERR_OK;
    if (n->kind != YAML_SCALAR)
        return keys[i].type == KEY_LATER
                   ? err_set(c, ERR_UNIMPLEMENTED, "not supported by this release")
                   : err_set(c, ERR_INVALID, "expected a value, not a list or a mapping");
    TRY(expand(c, n->text, &text));
    TRY(type_check(c, keys[i].type, text));
    cfg->values[i].given = true;
    cfg->values[i].text = text;
    return ERR_OK;
}

/* Names those that may stand in its place. */
static err_t unknown_key(struct ctx *c, str_t path, str_t key)
{
    str_t above = str_slice(path, 0, path.n - key.n), last = STR_NULL;
    struct buf b;

    buf_init_arena(&b, c->arena, VALUE_MAX);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        str_t rest = str_from(keys[i].name), word;

        if (keys[i].type == KEY_LATER || !str_starts(rest, above))
            continue;
        rest = str_slice(rest, above.n, rest.n);
        if (!str_cut(&rest, '.', &word) || str_eq(word, last))
            continue;
        buf_printf(&b, "%s" STR_FMT, last.n > 0 ? ", " : "", STR_ARG(word));
        last = word;
    }
    return err_set(c, ERR_INVALID, "unknown key; expected one of " STR_FMT, STR_ARG(buf_str(&b)));
}

/* A key of the table, or the beginning of one: then its members are to be looked at. */
static err_t member_take(struct ctx *c, struct config *cfg, str_t path, const struct yaml_node *n,
                         bool *inside)
{
    str_t dotted = str_printf(c->arena, STR_FMT ".", STR_ARG(path));
    bool begins = false;

    *inside = false;
    for (size_t i = 0; i < COUNT_OF(keys) && str_index(n->key, '.') < 0; i++) {
        str_t name = str_from(keys[i].name);

        if (str_eq(name, path))
            return value_take(c, cfg, i, n);
        begins |= str_starts(name, dotted);
    }
    if (!begins)
        return unknown_key(c, path, n->key);
    if (n->kind != YAML_MAP && !n->null)
        return err_set(c, ERR_INVALID, "expected a mapping");
    *inside = n->kind == YAML_MAP;
    return ERR_OK;
}

/* The table is three levels deep at most below "spec", and nothing deeper is entered. */
static err_t walk(struct ctx *c, struct config *cfg, const struct yaml_node *root)
{
    struct {
        const struct yaml_node *next;
        str_t path;
    } levels[8] = { { root->first, STR_NULL } };
    size_t depth = 1;

    while (depth > 0) {
        const struct yaml_node *n = levels[depth - 1].next;
        str_t above = levels[depth - 1].path, path;
        bool inside = false;
        err_t e;

        if (n == NULL) {
            depth--;
            continue;
        }
        levels[depth - 1].next = n->next;
        path = above.n == 0
                   ? n->key
                   : str_printf(c->arena, STR_FMT "." STR_FMT, STR_ARG(above), STR_ARG(n->key));
        e = member_take(c, cfg, path, n, &inside);
        if (e != ERR_OK)
            return at_key(c, cfg, n, path, e);
        if (!inside)
            continue;
        must(depth < COUNT_OF(levels));
        levels[depth].next = n->first;
        levels[depth++].path = path;
    }
    return ERR_OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

static err_t head_check(struct ctx *c, const struct config *cfg)
{
    str_t version = STR_NULL, kind = STR_NULL;

    if (!config_get(cfg, "apiVersion", &version) || !str_eq(version, S("ironflow/v1")))
        return err_set(c, ERR_INVALID, STR_FMT ": apiVersion must be ironflow/v1",
                       STR_ARG(cfg->path));
    if (!config_get(cfg, "kind", &kind) ||
        (!str_eq(kind, S("Server")) && !str_eq(kind, S("Cluster")) && !str_eq(kind, S("Platform"))))
        return err_set(c, ERR_INVALID, STR_FMT ": kind must be Server, Cluster or Platform",
                       STR_ARG(cfg->path));
    if (!str_eq(kind, S("Server")))
        return err_set(c, ERR_UNIMPLEMENTED,
                       STR_FMT ": kind " STR_FMT
                               " needs external NATS, which is not supported by this release",
                       STR_ARG(cfg->path), STR_ARG(kind));
    return ERR_OK;
}

err_t config_read(struct ctx *c, str_t path, struct config **out)
{
    struct config *cfg = NEW(c->arena, struct config);
    struct yaml_node *root = NULL;
    str_t text = STR_NULL, why;
    err_t e;

    cfg->path = path;
    TRY(file_read(c, path, YAML_TEXT_MAX, &text));
    e = yaml_parse(c, text, &root);
    if (e != ERR_OK) {
        why = str_dup(c->arena, err_text(c, e));
        return err_set(c, e, STR_FMT ": " STR_FMT, STR_ARG(path), STR_ARG(why));
    }
    if (root->kind != YAML_MAP && !root->null)
        return err_set(c, ERR_INVALID, STR_FMT ": expected a mapping", STR_ARG(path));
    TRY(walk(c, cfg, root));
    TRY(head_check(c, cfg));
    *out = cfg;
    return ERR_OK;
}
