/* The forms of a function that leave the engine: the public message, the snapshot of history, and
 * the text that two configurations are compared by. Pure. */
#include <stdlib.h>

#include "codec/json.h"
#include "engine/function_priv.h"
#include "engine/match.h"

#define FORM_MAX ((size_t)32 << 20)

/* ---- comparing: metadata with sorted keys ---------------------------------------------------- */

struct member {
    str_t key, value;
    size_t at; /* where it stood: equal keys keep their order */
};

/* An open object or array of the walk. */
struct frame {
    struct json_iter it;
    enum json_type type;
    str_t key;
    struct member *members;
    size_t n, cap;
};

static int member_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = str_cmp(x->key, y->key);

    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static str_t requote(struct ctx *c, str_t json)
{
    struct buf b;
    str_t s;

    if (!json_string(c->arena, json, &s))
        return json;
    buf_init_arena(&b, c->arena, FORM_MAX);
    json_quote(&b, s);
    return buf_str(&b);
}

static void frame_add(struct ctx *c, struct frame *f, str_t key, str_t value)
{
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 8 : f->cap * 2;
        struct member *members = NEW_N(c->arena, struct member, cap);

        if (f->n > 0)
            memcpy(members, f->members, f->n * sizeof(*members));
        f->members = members;
        f->cap = cap;
    }
    f->members[f->n] = (struct member){ .key = key, .value = value, .at = f->n };
    f->n++;
}

static str_t frame_text(struct ctx *c, struct frame *f)
{
    bool object = f->type == JSON_OBJECT;
    struct buf b;

    if (object && f->n > 1)
        qsort(f->members, f->n, sizeof(*f->members), member_order);
    buf_init_arena(&b, c->arena, FORM_MAX);
    buf_char(&b, object ? '{' : '[');
    for (size_t i = 0; i < f->n; i++) {
        if (i > 0)
            buf_char(&b, ',');
        if (object) {
            buf_append(&b, f->members[i].key);
            buf_char(&b, ':');
        }
        buf_append(&b, f->members[i].value);
    }
    buf_char(&b, object ? '}' : ']');
    return buf_str(&b);
}

static bool is_container(str_t value)
{
    enum json_type t = json_type(value);

    return t == JSON_OBJECT || t == JSON_ARRAY;
}

/* The value without blanks, keys of objects in order. The text was checked, so its depth is
 * bounded. */
static str_t canonical(struct ctx *c, str_t value)
{
    struct frame *frames = NEW_N(c->arena, struct frame, JSON_DEPTH_MAX + 1);
    size_t depth = 1;

    if (!is_container(value))
        return requote(c, value);
    frames[0] = (struct frame){ .it = json_iter(value), .type = json_type(value) };
    for (;;) {
        struct frame *f = &frames[depth - 1];
        str_t key = STR_NULL, text;

        if (json_next(&f->it)) {
            if (f->type == JSON_OBJECT)
                key = requote(c, (str_t){ f->it.key.p - 1, f->it.key.n + 2 });
            if (!is_container(f->it.value) || depth > JSON_DEPTH_MAX) {
                frame_add(c, f, key, requote(c, f->it.value));
                continue;
            }
            frames[depth++] = (struct frame){ .it = json_iter(f->it.value),
                                              .type = json_type(f->it.value),
                                              .key = key };
            continue;
        }
        text = frame_text(c, f);
        if (--depth == 0)
            return text;
        frame_add(c, f - 1, f->key, text);
    }
}

/* The text that is equal for equal configurations, whichever release wrote them. */
static err_t compare_text(struct ctx *c, str_t config, str_t *out)
{
    struct pb_register_function_request r = { 0 };

    TRY(config_decode(c, config, &r));
    if (r.metadata.n > 0)
        r.metadata = canonical(c, r.metadata);
    if (str_eq(r.metadata, S("{}")))
        r.metadata = STR_NULL;
    return config_encode(c, &r, out);
}

err_t function_same(struct ctx *c, str_t config_a, str_t config_b, bool *out)
{
    str_t a, b;

    if (str_eq(config_a, config_b)) {
        *out = true;
        return ERR_OK;
    }
    TRY(compare_text(c, config_a, &a));
    TRY(compare_text(c, config_b, &b));
    *out = str_eq(a, b);
    return ERR_OK;
}

/* ---- the public message ---------------------------------------------------------------------- */

/* The triggers of the configuration and, once it was invoked directly, the one that this uses. */
static void put_triggers(struct ctx *c, const struct function *f,
                         const struct pb_register_function_request *r, struct pb_function *out)
{
    str_t invoke;

    out->triggers = r->triggers;
    out->triggers_n = r->triggers_n;
    if (!f->invoked)
        return;
    invoke = str_printf(c->arena, INVOKE_PREFIX STR_FMT, STR_ARG(f->id));
    for (size_t i = 0; i < r->triggers_n; i++)
        if (str_eq(r->triggers[i].event, invoke))
            return;
    out->triggers = NEW_N(c->arena, struct pb_trigger, r->triggers_n + 1);
    for (size_t i = 0; i < r->triggers_n; i++)
        out->triggers[i] = r->triggers[i];
    out->triggers[out->triggers_n++].event = invoke;
}

static void put_function(struct ctx *c, const struct function *f,
                         const struct pb_register_function_request *r, struct pb_function *out)
{
    *out = (struct pb_function){ .id = f->id,
                                 .name = r->name,
                                 .description = r->description,
                                 .retry = r->retry,
                                 .timeout_ms = r->timeout_ms,
                                 .concurrency = r->concurrency,
                                 .preferred_mode = (int32_t)f->mode,
                                 .endpoint_url = r->endpoint_url,
                                 .actor_key = r->actor_key,
                                 .status = (int32_t)f->status,
                                 .version = f->version,
                                 .created_at = f->created_at,
                                 .updated_at = f->updated_at,
                                 .recording = r->recording,
                                 .recording_retention = r->recording_retention,
                                 .metadata = r->metadata,
                                 .debounce = r->debounce,
                                 .cancel_on = r->cancel_on,
                                 .cancel_on_n = r->cancel_on_n,
                                 .recording_profile = r->recording_profile };
    put_triggers(c, f, r, out);
}

err_t function_to_pb(struct ctx *c, const struct function *f, struct pb_function *out)
{
    struct pb_register_function_request r = { 0 };

    TRY(config_decode(c, f->config, &r));
    put_function(c, f, &r, out);
    return ERR_OK;
}

/* ---- history --------------------------------------------------------------------------------- */

err_t function_snapshot(struct ctx *c, const struct function *f, str_t *out)
{
    struct pb_register_function_request r = { 0 };
    struct function plain = *f;
    struct pb_function pb;
    struct json_out w;
    struct buf b;

    plain.invoked = false; /* the mark is no part of the configuration */
    TRY(config_decode(c, f->config, &r));
    put_function(c, &plain, &r, &pb);
    buf_init_arena(&b, c->arena, FORM_MAX);
    pb_to_json(&b, &pb_function_desc, &pb, PB_RPC);
    if (r.secrets_n > 0 && !b.full) {
        must(b.n > 2 && b.p[b.n - 1] == '}');
        b.n--;
        w = (struct json_out){ .b = &b, .comma = true };
        json_key(&w, S("secrets"));
        json_open(&w, '[');
        for (size_t i = 0; i < r.secrets_n; i++)
            json_put_str(&w, r.secrets[i]);
        json_close(&w, ']');
        buf_char(&b, '}');
    }
    if (b.full)
        return err_set(c, ERR_TOO_LARGE, "the configuration is too large for the history");
    *out = buf_str(&b);
    return ERR_OK;
}

err_t function_record_json(struct ctx *c, const struct function *f, const struct function_record *r,
                           str_t *out)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, FORM_MAX);
    json_open(&w, '{');
    json_key(&w, S("function_id"));
    json_put_str(&w, f->id);
    json_key(&w, S("change_type"));
    json_put_str(&w, r->type);
    json_key(&w, S("change_reason"));
    json_put_str(&w, r->reason);
    json_key(&w, S("actor_id"));
    json_put_str(&w, r->actor);
    json_key(&w, S("function_snapshot"));
    json_put_raw(&w, r->snapshot);
    json_close(&w, '}');
    if (b.full)
        return err_set(c, ERR_TOO_LARGE, "the configuration is too large for the history");
    *out = buf_str(&b);
    return ERR_OK;
}

static err_t record_field(struct ctx *c, str_t json, str_t key, str_t *out)
{
    str_t value;

    if (!json_get(json, key, &value) || !json_string(c->arena, value, out))
        return err_set(c, ERR_INTERNAL, "a stored history entry cannot be read");
    return ERR_OK;
}

err_t function_record_read(struct ctx *c, str_t json, struct function_record *out)
{
    struct function_record r = { 0 };

    TRY(record_field(c, json, S("change_type"), &r.type));
    TRY(record_field(c, json, S("change_reason"), &r.reason));
    TRY(record_field(c, json, S("actor_id"), &r.actor));
    if (!json_get(json, S("function_snapshot"), &r.snapshot))
        return err_set(c, ERR_INTERNAL, "a stored history entry cannot be read");
    *out = r;
    return ERR_OK;
}

err_t function_restore(struct ctx *c, str_t snapshot, struct function *f)
{
    struct pb_register_function_request r = { 0 };
    struct function restored = *f;
    str_t status;

    if (json_get(snapshot, S("status"), &status) &&
        str_eq(status, S("\"FUNCTION_STATUS_ARCHIVED\"")))
        return err_set(c, ERR_INVALID, "the function was archived at this version");
    TRY(config_decode(c, snapshot, &r));
    TRY(config_encode(c, &r, &restored.config));
    TRY(function_decode(c, &restored));
    *f = restored;
    return ERR_OK;
}
