/* Circuit breakers: list and reset. */
#include "svc/breakers.h"

#include "engine/match.h"
#include "store/breakers.h"
#include "svc/registry.h"
#include "txn/txn.h"

#define LIST_MAX 100000

static err_t view(struct ctx *c, struct breaker *list, size_t n, struct breaker_view **out)
{
    struct breaker_view *views = NEW_N(c->arena, struct breaker_view, n + 1);
    const struct registry *reg = NULL;
    int64_t env = c->env;

    for (size_t i = 0; i < n; i++) {
        const struct function *f;

        if (reg == NULL || c->env != list[i].env) {
            c->env = list[i].env;
            TRY(svc_registry(c, &reg));
        }
        f = registry_by_key(reg, list[i].fn);
        views[i].function_id = f != NULL ? f->id : STR_NULL;
        views[i].b = list[i];
        if (list[i].state == BREAKER_OPEN && breaker_ask(&list[i], c->now_ms) == BREAKER_PROBES)
            views[i].b.state = BREAKER_HALF_OPEN;
    }
    c->env = env;
    *out = views;
    return ERR_OK;
}

err_t svc_breaker_list(struct ctx *c, struct breaker_view **out, size_t *n)
{
    struct breaker *list = NULL;
    size_t have = 0;

    TRY(store_breaker_list(c, LIST_MAX, &list, &have));
    TRY(view(c, list, have, out));
    *n = have;
    return ERR_OK;
}

err_t svc_breaker_list_all(struct ctx *c, struct breaker_view **out, size_t *n)
{
    int64_t env = c->env;
    err_t e;

    c->env = 0;
    e = svc_breaker_list(c, out, n);
    c->env = env;
    return e;
}

err_t svc_breaker_reset(struct ctx *c, str_t key)
{
    ptrdiff_t cut = str_index(key, '|');
    const struct registry *reg = NULL;
    const struct function *f = NULL;
    struct breaker b = { 0 };

    TRY(svc_registry(c, &reg));
    if (cut > 0)
        f = registry_ever(reg, str_slice(key, 0, (size_t)cut));
    if (f != NULL)
        TRY(store_breaker_get(c, f->key, str_slice(key, (size_t)cut + 1, key.n), true, &b));
    if (b.updated_at == 0)
        return err_set(c, ERR_NOT_FOUND, "no circuit breaker has the key " STR_FMT, STR_ARG(key));
    TRY(breaker_reset(c, &b));
    TRY(store_breaker_put(c, &b));
    signal_add(c, SIG_RUN_READY, f->key);
    return ERR_OK;
}
