/* Circuit breakers: list, reset. */
#include "svc/breakers.h"

#include "api/convert.h"
#include "api/handlers.h"
#include "base/time.h"
#include "codec/json.h"

#define LIST_BYTES_MAX ((size_t)64 << 20)

static void put_breaker(struct ctx *c, struct json_out *w, const struct breaker_view *v)
{
    struct buf when;

    json_open(w, '{');
    json_key(w, S("key"));
    json_put_str(w, str_printf(c->arena, STR_FMT "|" STR_FMT, STR_ARG(v->function_id),
                               STR_ARG(v->b.endpoint)));
    json_key(w, S("state"));
    json_put_str(w, sm_name(&breaker_sm, (int)v->b.state));
    json_key(w, S("failures"));
    json_put_i64(w, v->b.failures);
    if (v->b.last_failure > 0) {
        buf_init_arena(&when, c->arena, 64);
        time_rfc3339(&when, v->b.last_failure);
        json_key(w, S("last_failure"));
        json_put_str(w, buf_str(&when));
    }
    json_close(w, '}');
}

err_t api_breaker_list(struct ctx *c, struct api_call *a)
{
    struct breaker_view *views = NULL;
    struct buf b;
    struct json_out w = { .b = &b };
    size_t n = 0;

    TRY(svc_breaker_list(c, &views, &n));
    buf_init_arena(&b, c->arena, LIST_BYTES_MAX);
    json_open(&w, '{');
    json_key(&w, S("circuit_breakers"));
    json_open(&w, '[');
    for (size_t i = 0; i < n; i++)
        put_breaker(c, &w, &views[i]);
    json_close(&w, ']');
    json_close(&w, '}');
    if (b.full)
        return err_set(c, ERR_TOO_LARGE, "the circuit breakers are larger than %zu MiB",
                       LIST_BYTES_MAX >> 20);
    a->text = buf_str(&b);
    a->text_type = S("application/json");
    return ERR_OK;
}

err_t api_breaker_reset(struct ctx *c, struct api_call *a)
{
    TRY(svc_breaker_reset(c, api_param(a, "key")));
    a->text = S("{\"status\":\"reset\"}");
    a->text_type = S("application/json");
    return ERR_OK;
}
