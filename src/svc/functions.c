/* Use cases of registered functions. Every recorded change raises the version by one and appends
 * one entry to the stream ironflow:fn:{id}: entry N holds the function as it was at version N. */
#include "svc/functions.h"

#include "engine/function.h"
#include "engine/match.h"
#include "proto/ironflow.h"
#include "store/events.h"
#include "store/functions.h"
#include "svc/cron.h"
#include "svc/flow.h"
#include "svc/messages.h"
#include "svc/principal.h"
#include "svc/push.h"
#include "svc/registry.h"

#define HISTORY_DEFAULT 50
#define HISTORY_MAX 1000

static err_t not_found(struct ctx *c, str_t id)
{
    return err_set(c, ERR_NOT_FOUND, "function \"" STR_FMT "\" not found", STR_ARG(id));
}

static str_t stream_of(struct ctx *c, str_t id)
{
    return str_printf(c->arena, "ironflow:fn:" STR_FMT, STR_ARG(id));
}

/* The row to change, locked; deleted functions are not there. */
static err_t lock_live(struct ctx *c, str_t id, struct function *out)
{
    struct function f = { 0 };
    err_t e = store_function_lock(c, id, &f);

    if (e == ERR_NOT_FOUND || (e == ERR_OK && f.deleted))
        return not_found(c, id);
    TRY(e);
    TRY(function_decode(c, &f));
    *out = f;
    return ERR_OK;
}

/* The entry for a change of f, which is still as it was. */
static err_t record(struct ctx *c, const struct function *f, str_t type, str_t reason)
{
    struct function_record r = { .type = type,
                                 .actor = c->who == NULL ? STR_NULL : c->who->id,
                                 .reason = reason };
    struct event e = { .id = ctx_id(c),
                       .version = 1,
                       .source = S("system"),
                       .entity_type = S("function"),
                       .entity_version = f->version };

    TRY(function_snapshot(c, f, &r.snapshot));
    TRY(function_record_json(c, f, &r, &e.data));
    e.name = str_printf(c->arena, "ironflow.function." STR_FMT, STR_ARG(type));
    e.entity_id = stream_of(c, f->id);
    return store_event_add(c, &e);
}

/* Records `was`, stores what it became under the next version, and tells. */
static err_t change(struct ctx *c, const struct function *was, struct function *f, str_t type,
                    str_t reason)
{
    must(f->key == was->key);
    TRY(record(c, was, type, reason));
    f->version = was->version + 1;
    f->updated_at = c->now_ms;
    TRY(store_function_put(c, f, was->version));
    TRY(svc_registry_touch(c));
    TRY(flow_function_changed(c, was, f));
    TRY(cron_function_changed(c, was, f));
    push_function_changed(c, f);
    return message_entity(c, f->deleted ? TOPIC_FN_DELETED : TOPIC_FN_UPDATED, f->id);
}

/* A new function, or one that comes back after its deletion: then its numbers go on. */
static err_t create(struct ctx *c, const struct function *deleted, struct function *f)
{
    bool inserted = true;

    f->created_at = f->updated_at = c->now_ms;
    if (deleted != NULL) {
        f->key = deleted->key;
        f->version = deleted->version;
        TRY(store_function_put(c, f, deleted->version));
    } else {
        f->key = ctx_id(c);
        TRY(store_function_insert(c, f, &inserted));
    }
    if (!inserted)
        return ERR_RETRY; /* somebody registered the id since we looked */
    TRY(svc_registry_touch(c));
    TRY(cron_function_changed(c, NULL, f));
    return message_entity(c, TOPIC_FN_REGISTERED, f->id);
}

static err_t update(struct ctx *c, const struct function *was, struct function *f, str_t reason)
{
    struct function old = *was;
    bool same;

    f->key = was->key;
    f->version = was->version;
    f->status = was->status;
    f->invoked = was->invoked;
    f->created_at = was->created_at;
    f->updated_at = was->updated_at;
    TRY(function_same(c, was->config, f->config, &same));
    if (same) {
        *f = *was; /* also in the bytes of its metadata */
        return function_decode(c, f);
    }
    TRY(function_decode(c, &old));
    return change(c, &old, f, S("update"), reason);
}

err_t svc_function_register(struct ctx *c, const struct pb_register_function_request *in,
                            struct function *out, bool *created)
{
    struct function was = { 0 }, f = { 0 };
    err_t e;

    TRY(function_make(c, in, &f));
    e = store_function_lock(c, in->id, &was);
    if (e == ERR_OK && !was.deleted) {
        TRY(update(c, &was, &f, in->change_reason));
        *created = false;
    } else if (e == ERR_OK || e == ERR_NOT_FOUND) {
        TRY(create(c, e == ERR_OK ? &was : NULL, &f));
        *created = true;
    } else {
        return e;
    }
    *out = f;
    return ERR_OK;
}

err_t svc_function_get(struct ctx *c, str_t id, struct function *out)
{
    const struct registry *r;
    const struct function *f;

    TRY(svc_registry(c, &r));
    f = registry_by_id(r, id);
    if (f == NULL)
        return not_found(c, id);
    *out = *f;
    return ERR_OK;
}

static char lower(char ch)
{
    return ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
}

static bool contains_nocase(str_t s, str_t part)
{
    for (size_t i = 0; i + part.n <= s.n; i++) {
        size_t k = 0;

        while (k < part.n && lower(s.p[i + k]) == lower(part.p[k]))
            k++;
        if (k == part.n)
            return true;
    }
    return false;
}

static bool passes(const struct function_filter *f, const struct function *fn)
{
    if (fn->deleted)
        return false;
    if (f->status == 0 ? fn->status == FN_ARCHIVED : (int64_t)fn->status != f->status)
        return false;
    if (f->mode != 0 && (int64_t)fn->mode != f->mode)
        return false;
    return f->name.n == 0 || contains_nocase(fn->id, f->name) || contains_nocase(fn->name, f->name);
}

err_t svc_function_list(struct ctx *c, const struct function_filter *f, struct function **out,
                        size_t *n, int64_t *total)
{
    const struct registry *r;
    struct function *list;
    int64_t seen = 0;
    size_t have = 0;

    if (f->limit < 0)
        return err_set(c, ERR_INVALID, "limit: must not be negative");
    if (f->offset < 0)
        return err_set(c, ERR_INVALID, "offset: must not be negative");
    TRY(svc_registry(c, &r));
    list = NEW_N(c->arena, struct function, registry_count(r));
    for (size_t i = 0; i < registry_count(r); i++) {
        const struct function *fn = registry_at(r, i);

        if (!passes(f, fn))
            continue;
        if (seen >= f->offset && (f->limit == 0 || (int64_t)have < f->limit))
            list[have++] = *fn;
        seen++;
    }
    *out = list;
    *n = have;
    *total = seen;
    return ERR_OK;
}

err_t svc_function_set_status(struct ctx *c, str_t id, enum fn_status status, struct function *out)
{
    struct function was = { 0 }, f;

    if (status != FN_ACTIVE && status != FN_PAUSED && status != FN_ARCHIVED)
        return err_set(c, ERR_INVALID, "status: must be active, paused or archived");
    TRY(lock_live(c, id, &was));
    f = was;
    f.status = status;
    if (status != was.status)
        TRY(change(c, &was, &f, S("status_change"), STR_NULL));
    *out = f;
    return ERR_OK;
}

err_t svc_function_delete(struct ctx *c, str_t id)
{
    struct function was = { 0 }, f;

    TRY(lock_live(c, id, &was));
    f = was;
    f.deleted = true;
    return change(c, &was, &f, S("delete"), STR_NULL);
}

err_t svc_function_mark_invoked(struct ctx *c, int64_t key)
{
    bool changed;

    TRY(store_function_mark_invoked(c, key, &changed));
    return changed ? svc_registry_touch(c) : ERR_OK;
}

/* ---- history --------------------------------------------------------------------------------- */

static err_t read_change(struct ctx *c, const struct event *e, struct function_change *out)
{
    struct function_record r = { 0 };

    TRY(function_record_read(c, e->data, &r));
    *out = (struct function_change){ .event_id = e->id,
                                     .version = e->entity_version,
                                     .snapshot = r.snapshot,
                                     .actor = r.actor,
                                     .reason = r.reason,
                                     .type = r.type,
                                     .recorded_at = id_ms(e->id) };
    return ERR_OK;
}

err_t svc_function_history(struct ctx *c, str_t id, int64_t from_version, int64_t limit,
                           struct function_change **out, size_t *n, bool *more)
{
    struct function_change *list;
    const struct registry *r;
    struct event *events;
    size_t have;

    if (limit < 0 || from_version < 0)
        return err_set(c, ERR_INVALID, "%s: must not be negative",
                       limit < 0 ? "limit" : "from_version");
    if (limit == 0)
        limit = HISTORY_DEFAULT;
    if (limit > HISTORY_MAX)
        limit = HISTORY_MAX;
    TRY(store_function_records(c, stream_of(c, id), from_version, limit + 1, &events, &have));
    if (have == 0) {
        TRY(svc_registry(c, &r));
        if (registry_ever(r, id) == NULL)
            return not_found(c, id);
    }
    *more = have > (size_t)limit;
    if (*more)
        have = (size_t)limit;
    list = NEW_N(c->arena, struct function_change, have);
    for (size_t i = 0; i < have; i++)
        TRY(read_change(c, &events[i], &list[i]));
    *out = list;
    *n = have;
    return ERR_OK;
}

/* The live configuration as an entry: no change of it is recorded yet. */
static err_t live_change(struct ctx *c, const struct function *f, struct function_change *out)
{
    struct function_change change = { .version = f->version, .recorded_at = f->updated_at };

    TRY(function_snapshot(c, f, &change.snapshot));
    *out = change;
    return ERR_OK;
}

/* The function at a version that is over. */
static err_t past_change(struct ctx *c, str_t id, int64_t version, struct function_change *out)
{
    struct event event = { 0 };
    err_t e = store_function_record_get(c, stream_of(c, id), version, &event);

    if (e == ERR_NOT_FOUND)
        return err_set(c, ERR_NOT_FOUND, "function \"" STR_FMT "\" has no version %lld",
                       STR_ARG(id), (long long)version);
    TRY(e);
    return read_change(c, &event, out);
}

err_t svc_function_at(struct ctx *c, str_t id, int64_t version, struct function_change *out)
{
    const struct function *live;
    const struct registry *r;

    TRY(svc_registry(c, &r));
    live = registry_by_id(r, id);
    if (live != NULL && live->version == version)
        return live_change(c, live, out);
    if (live == NULL && registry_ever(r, id) == NULL)
        return not_found(c, id);
    return past_change(c, id, version, out);
}

err_t svc_function_rollback(struct ctx *c, str_t id, int64_t version, str_t reason,
                            struct function *out)
{
    struct function_change target = { 0 };
    struct function was = { 0 }, f;

    TRY(lock_live(c, id, &was));
    if (version == was.version)
        TRY(live_change(c, &was, &target));
    else
        TRY(past_change(c, id, version, &target));
    f = was;
    TRY(function_restore(c, target.snapshot, &f));
    TRY(change(c, &was, &f, S("rollback"), reason));
    *out = f;
    return ERR_OK;
}
