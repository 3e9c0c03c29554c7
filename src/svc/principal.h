/* Who calls: resolved once per request, before its use case. */
#pragma once

#include "base/str.h"

enum principal_kind { PRINCIPAL_DEV, PRINCIPAL_KEY };

struct principal {
    enum principal_kind kind;
    str_t id;     /* "ak_..."; empty in dev mode */
    str_t org_id; /* "org_default" */
    str_t roles;  /* comma list */
    int64_t env;  /* key's own environment, 0: any of the organization */
    str_t env_id; /* the environment selected for this request (its key is c->env): "env_default" */
};

/* Who asks, as it is kept. */
static inline str_t principal_name(const struct principal *who)
{
    return who != NULL && who->id.n > 0 ? who->id : S("system");
}
