/* Rows of the audit trail: packs of entries, one row for what a transaction did to a run. */
#pragma once

#include "engine/types.h"

struct audit_row {
    int64_t id; /* drawn by the database, growing */
    int64_t env, run_id;
    str_t pack;
};

/* expires_at 0: none. */
NODISCARD err_t store_audit_add(struct ctx *c, int64_t run_id, int64_t expires_at, str_t pack);
/* Rows of a run behind a key, oldest first. */
NODISCARD err_t store_audit_list(struct ctx *c, int64_t run_id, int64_t after, int64_t limit,
                                 struct audit_row **out, size_t *n);
struct audit_query {
    int64_t run_id, fn; /* 0: any; rows of no run are there for every fn */
    int64_t before;     /* rows with smaller keys */
};
/* Rows of the environment, newest first. */
NODISCARD err_t store_audit_page(struct ctx *c, const struct audit_query *q, int64_t limit,
                                 struct audit_row **out, size_t *n);
/* run.recording; 0 when there is no such run. */
NODISCARD err_t store_run_recording(struct ctx *c, int64_t run_id, int64_t *out);

/* Rows of all environments whose time is over, without packs. */
NODISCARD err_t store_audit_expired(struct ctx *c, int64_t now_ms, int64_t limit,
                                    struct audit_row **out, size_t *n);
/* The row does not expire by itself any more. */
NODISCARD err_t store_audit_keep(struct ctx *c, int64_t id);
/* Deletes the oldest rows of a run, at most limit; *n says how many. */
NODISCARD err_t store_audit_del(struct ctx *c, int64_t run_id, int64_t limit, int64_t *n);
