/* How reported steps become rows: numbering, merging with what is stored, names. Pure. */
#pragma once

#include "engine/types.h"

#define STEPS_PER_REPORT_MAX 500

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
    YIELD_REOPEN /* it had failed: wait anew; *old was changed to sleep until until_ms */
};
enum yield_state step_yield_again(struct step *old, int64_t now_ms, int64_t until_ms);

/* The sleep is over. */
void step_wake(struct step *s, int64_t now_ms);

/* Name inside an SDK step id: the last but one part between unescaped colons, unescaped, with a
 * leading `compensate:` or `publish:` kept; the whole id when it has no such part. In the arena. */
str_t step_name_of(struct arena *a, str_t step_id);
