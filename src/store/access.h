/* Organizations, projects, environments and API keys. These tables stand above the environments. */
#pragma once

#include "db/db.h"

struct environment {
    int64_t key;
    str_t id, org_id, project_id, name;
    int64_t created_at;
};

struct api_key {
    str_t id, org_id;
    int64_t env; /* 0: any of the organization */
    str_t name, prefix;
    str_t hash; /* hex of SHA-256 */
    str_t roles;
    int64_t created_at, expires_at, last_used_at;
};

/* *inserted is false when the id exists. */
NODISCARD err_t store_organization_insert(struct ctx *c, str_t id, str_t name, bool *inserted);
NODISCARD err_t store_project_insert(struct ctx *c, str_t id, str_t org_id, str_t name);
NODISCARD err_t store_environment_insert(struct ctx *c, const struct environment *e);
/* ERR_NOT_FOUND without a detail. id_or_name: an id wins. */
NODISCARD err_t store_environment_find(struct ctx *c, str_t org_id, str_t id_or_name,
                                       struct environment *out);
/* The organization's default environment: the one created first. */
NODISCARD err_t store_environment_first(struct ctx *c, str_t org_id, struct environment *out);
NODISCARD err_t store_environment_by_key(struct ctx *c, int64_t key, struct environment *out);

NODISCARD err_t store_api_key_insert(struct ctx *c, const struct api_key *k);
/* ERR_NOT_FOUND without a detail. */
NODISCARD err_t store_api_key_by_hash(struct ctx *c, str_t hash, struct api_key *out);
/* Remembers a use unless one of the last minute is known; *changed says which. */
NODISCARD err_t store_api_key_used(struct ctx *c, str_t id, int64_t at_ms, bool *changed);
