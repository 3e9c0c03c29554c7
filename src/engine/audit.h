/* The audit trail of a recorded run (spec engine-ops section 5): its entries, the packed form in
 * which one transaction's entries are kept in a row, and their payloads. Pure. */
#pragma once

#include "base/buf.h"
#include "engine/types.h"

enum audit_type {
    AUDIT_RUN_CREATED = 1,
    AUDIT_RUN_STATUS,
    AUDIT_RUN_PAUSED,
    AUDIT_RUN_RESUMED,
    AUDIT_STEP_CREATED,
    AUDIT_STEP_STARTED,
    AUDIT_STEP_COMPLETED,
    AUDIT_STEP_FAILED,
    AUDIT_STEP_PATCHED,
    AUDIT_STEP_INJECTED,
    AUDIT_SAGA_STARTED,
    AUDIT_SAGA_COMPLETED,
    AUDIT_SAGA_FAILED,
    AUDIT_DEBOUNCE_CANCELLED, /* of no run: a is the function, b the event, text the key */
    AUDIT_TYPE_COUNT
};

struct audit_entry {
    enum audit_type type;
    int64_t at;
    int64_t step; /* record id, 0: the run */
    /* of a status: from and to; of a step: its type, duration or attempt, and the event that is its
     * output */
    int64_t a, b;
    /* text: why a run moved; output or error; the new result of a step, and then what it was
     * before, who changed it and why */
    str_t text, before, by, reason;
};

/* "run.created" and so on. */
str_t audit_type_word(enum audit_type t);
/* Appends an entry to a pack; an empty pack gets its head. */
void audit_pack(struct buf *pack, const struct audit_entry *e);

/* Walks a pack; it comes from disk, so every length is checked. */
struct audit_reader {
    const uint8_t *at, *end;
};
/* False when the pack has an unknown form. */
bool audit_open(struct audit_reader *r, str_t pack);
/* 1: an entry, 0: the end, -1: malformed. */
int audit_next(struct audit_reader *r, struct audit_entry *out);
/* The entries of a pack in the order of their times, where those are equal in that of the pack.
 * ERR_INTERNAL. */
NODISCARD err_t audit_unpack(struct ctx *c, str_t pack, struct audit_entry **out, size_t *n);

/* Why a run moved, as its trail says; job is its queue row afterwards. */
str_t audit_reason(const struct run *run, const struct job *job, enum run_status from);

/* What a payload tells beside its entry. */
struct audit_about {
    const struct run *run;    /* NULL for entries of no run */
    str_t function_id, input; /* input: JSON, of the event */
    const struct step *step;  /* its name and SDK id; NULL when it is gone */
    str_t event;              /* the event that is the output of the step, as JSON */
};
/* The payload as JSON. */
NODISCARD err_t audit_payload(struct ctx *c, const struct audit_entry *e,
                              const struct audit_about *about, str_t *out);
