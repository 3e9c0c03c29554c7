/* Emitting, invoking and reading events. */
#pragma once

#include "engine/types.h"

struct emit {
    str_t name;
    str_t data;      /* checked JSON; empty becomes {} */
    str_t metadata;  /* checked JSON object or empty */
    int64_t version; /* 0 becomes 1; negative is ERR_INVALID */
    str_t idempotency_key;
    str_t source;   /* "api" */
    int64_t run_id; /* X-Ironflow-Run-ID, or 0 */
    bool sync;      /* the caller waits for the runs */
};
struct emitted {
    int64_t event_id;
    int64_t *runs;
    size_t runs_n;
};

/* WRITE. Stores the event and one run for each function it starts (spec engine.md section 4);
 * debounced ones start later. ERR_INVALID names the field, ERR_EXISTS: the key belongs to another
 * flow, ERR_PRECONDITION: in->sync, and a function is debounced. */
NODISCARD err_t svc_emit(struct ctx *c, const struct emit *in, struct emitted *out);
/* WRITE. Starts just this function through ironflow.invoke.<id>, bypassing debounce. ERR_NOT_FOUND,
 * ERR_PRECONDITION when it is paused or archived, ERR_EXISTS for a key of another flow or function.
 */
NODISCARD err_t svc_invoke(struct ctx *c, str_t function_id, const struct emit *in,
                           struct emitted *out);
/* WRITE. ERR_NOT_FOUND, ERR_INVALID for the whole when one is bad; results in input order. */
NODISCARD err_t svc_emit_batch(struct ctx *c, const struct emit *in, size_t n, struct emitted *out);

/* WRITE. The event of a schedule: starts just its owner, debounced or not. */
NODISCARD err_t svc_emit_tick(struct ctx *c, const struct function *f, str_t name, str_t data,
                              struct emitted *out);
/* WRITE. One more run of f for a stored event. */
NODISCARD err_t svc_run_start(struct ctx *c, const struct function *f, const struct event *e,
                              int64_t fn_version, int64_t *run_id);

struct child_start {
    str_t function_id;
    str_t input; /* JSON or empty */
    int64_t parent_run;
    str_t parent_step;
};
/* WRITE. Starts a function for a step of another run, which learns of its end. ERR_NOT_FOUND,
 * ERR_PRECONDITION when it is paused or archived; nothing was written then. */
NODISCARD err_t svc_child_start(struct ctx *c, const struct child_start *in, int64_t *run_id);

/* READ. ERR_NOT_FOUND. */
NODISCARD err_t svc_event_get(struct ctx *c, int64_t id, struct event *out);

struct event_filter {
    str_t name;
    str_t sources;              /* comma list */
    int64_t since_ms, until_ms; /* inclusive, exclusive; 0: open */
    int64_t limit;
    str_t cursor, before; /* page tokens */
};
struct event_page {
    struct event *events;
    size_t n;
    str_t next_cursor, prev_cursor; /* empty: no page that way */
    bool has_next, has_prev;
    int64_t approx_total;
    bool approx_capped;
};
/* READ. Newest first, keyset pages (spec data-1 section 2.4). ERR_INVALID for a bad token. */
NODISCARD err_t svc_event_list(struct ctx *c, const struct event_filter *f, struct event_page *out);
