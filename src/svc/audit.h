/* The audit trail of recorded runs (spec engine-ops section 5): what a transaction does to a run is
 * collected and becomes one row when it commits. Nothing is done for runs that are not recorded. */
#pragma once

#include "engine/audit.h"
#include "svc/messages.h"

/* What run.recording is, in the bits of job.watch. */
int64_t audit_watch(int64_t recording);
/* Says whether a run is recorded before its entries come, which saves asking its row. */
void audit_told(struct ctx *c, const struct job *job);

/* A run was made. */
NODISCARD err_t audit_created(struct ctx *c, const struct run *run);
/* A run moved, its job being what it is afterwards; reason: why, or empty for the usual one. */
NODISCARD err_t audit_run(struct ctx *c, const struct run *run, const struct job *job,
                          enum run_status from, str_t reason);
/* What message_step announces; it calls this. */
NODISCARD err_t audit_step(struct ctx *c, enum step_topic t, const struct step *step);
/* An operator has given a step another result: TOPIC_STEP_PATCHED or TOPIC_STEP_INJECTED. */
NODISCARD err_t audit_change(struct ctx *c, const struct run *run, const struct step *step,
                             enum step_topic t, str_t before, str_t reason);
/* An operator has cancelled a debounce entry; this is recorded for every function. */
NODISCARD err_t audit_debounce(struct ctx *c, int64_t fn, int64_t event_id, str_t key);
/* Writes the rows: svc_batch_before_commit calls it. */
NODISCARD err_t audit_write(struct ctx *c);

struct audit_filter {
    str_t type;             /* empty: all */
    int64_t from_ms, to_ms; /* inclusive, exclusive; 0: open */
    int64_t limit;          /* at least 1 */
    int64_t row, ordinal;   /* only entries behind this one, in the order of the list; 0: all */
};
/* An entry as it is read. Its place is what a filter takes to go on behind it. */
struct audit_event {
    int64_t row, ordinal;
    int64_t run_id; /* 0: of no run */
    str_t function_id;
    struct audit_entry entry;
    str_t payload; /* JSON */
};
struct audit_trail {
    struct audit_event *events;
    size_t events_n;
    int64_t total; /* that match, on all pages */
    bool more;
    int64_t row, ordinal; /* if more: where the next page begins */
};
/* READ. Of a run, oldest first; a page ends early behind 8 MiB of payloads. ERR_NOT_FOUND when the
 * environment has no such run. */
NODISCARD err_t svc_audit_trail(struct ctx *c, int64_t run_id, const struct audit_filter *f,
                                struct audit_trail *out);
/* READ. Of the environment, newest first; run_id 0 and an empty function_id: of all. A call reads
 * the newest AUDIT_LIST_ROWS rows, of AUDIT_LIST_BYTES, for the total and as many behind the cursor
 * for the page, which may therefore have fewer entries than its limit and still say more. */
NODISCARD err_t svc_audit_list(struct ctx *c, int64_t run_id, str_t function_id,
                               const struct audit_filter *f, struct audit_trail *out);
#define AUDIT_LIST_ROWS 4096
#define AUDIT_LIST_BYTES ((size_t)16 << 20)
