/* How reported steps become rows: numbering, merging with what is stored, names. Pure. */
#pragma once

#include "engine/types.h"

#define STEPS_PER_REPORT_MAX 500
#define STEP_ID_MAX 1024

/* "invoke" and so on; unknown or empty is STEP_INVOKE. */
enum step_type step_type_parse(str_t word);
str_t step_type_word(enum step_type t);
/* Only "completed" and "failed" can be reported; false on other words. */
bool step_status_parse(str_t word, enum step_status *out);

enum step_change { STEP_UNCHANGED, STEP_REPLACED };
/* Merges a new report of the same step into the stored row *old: keeps its id and first sequence,
 * raises the attempt. A completed row, and one that somebody patched, stays as it is. */
enum step_change step_merge(struct step *old, const struct step *report);

/* A yield on a step that is stored already. */
enum yield_state {
    YIELD_PARK,  /* still open: wait on with the first deadline */
    YIELD_DONE,  /* its result is there: go on at once */
    YIELD_REOPEN /* it had failed: wait anew; *old became what fresh says */
};
enum yield_state step_yield_again(struct step *old, const struct step *fresh);

/* The sleep or the wait is over: completed. */
void step_wake(struct step *s, int64_t now_ms);
/* What was waited for failed (STEP_FAILED) or did not come (STEP_TIMED_OUT). */
void step_wait_failed(struct step *s, enum step_status status, str_t error, int64_t now_ms);
bool step_is_open(const struct step *s);
/* An invoke that has ended without a result. */
bool step_invoke_failed(const struct step *s);

/* Name inside an SDK step id: the last but one part between unescaped colons, unescaped, with a
 * leading `compensate:` or `publish:` kept; the whole id when it has no such part. In the arena. */
str_t step_name_of(struct arena *a, str_t step_id);
