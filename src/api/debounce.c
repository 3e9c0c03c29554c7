/* Pending debounce entries: list, cancel. */
#include "svc/debounce.h"

#include "api/convert.h"
#include "api/handlers.h"
#include "base/crypto.h"
#include "base/time.h"
#include "codec/json.h"
#include "svc/principal.h"

#define LIST_BYTES_MAX ((size_t)256 << 20)

static void put_time(struct ctx *c, struct json_out *w, str_t key, int64_t ms)
{
    struct buf b;

    buf_init_arena(&b, c->arena, 64);
    time_rfc3339_ms(&b, ms);
    json_key(w, key);
    json_put_str(w, buf_str(&b));
}

static void put_entry(struct ctx *c, struct json_out *w, const struct debounce_view *v)
{
    json_open(w, '{');
    json_key(w, S("environment_id"));
    json_put_str(w, c->who->env_id);
    json_key(w, S("function_id"));
    json_put_str(w, v->function_id);
    json_key(w, S("debounce_key"));
    json_put_str(w, v->entry.key);
    json_key(w, S("event_id"));
    json_put_str(w, api_id(c, ID_EVENT, v->entry.event_id));
    json_key(w, S("function_version"));
    json_put_i64(w, v->entry.fn_version);
    json_key(w, S("period_ms"));
    json_put_i64(w, v->entry.period_ms);
    put_time(c, w, S("armed_at"), v->entry.armed_at);
    put_time(c, w, S("fires_at"), v->entry.fires_at);
    json_close(w, '}');
}

/* A bare array, as the clients read it. */
err_t api_debounce_list(struct ctx *c, struct api_call *a)
{
    struct debounce_view *views = NULL;
    struct buf b;
    struct json_out w = { .b = &b };
    size_t n = 0;

    TRY(svc_debounce_list(c, &views, &n));
    buf_init_arena(&b, c->arena, LIST_BYTES_MAX);
    json_open(&w, '[');
    for (size_t i = 0; i < n; i++)
        put_entry(c, &w, &views[i]);
    json_close(&w, ']');
    if (b.full)
        return err_set(c, ERR_TOO_LARGE, "the entries are larger than %zu MiB",
                       LIST_BYTES_MAX >> 20);
    a->text = buf_str(&b);
    a->text_type = S("application/json");
    return ERR_OK;
}

/* The path's last segment is the key in base64url; nothing there is the empty key. */
err_t api_debounce_cancel(struct ctx *c, struct api_call *a)
{
    str_t env = api_param(a, "envID"), fn = api_param(a, "fnID"), text = api_param(a, "key");
    str_t key = STR_NULL;

    if (env.n == 0 || fn.n == 0)
        return err_set(c, ERR_INVALID, "environment and function are required");
    if (text.n > 0 && (!base64_decode(c->arena, text, &key) || !str_is_utf8(key)))
        return err_set(c, ERR_INVALID, "the key is not base64url");
    if (!str_eq(env, c->who->env_id))
        return err_set(c, ERR_FORBIDDEN, "the entry belongs to another environment");
    TRY(svc_debounce_cancel(c, fn, key));
    a->status = 204;
    return ERR_OK;
}
