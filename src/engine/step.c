/* Step rows: one per (run, step id); completed ones are the memory of the run and never change. */
#include "engine/step.h"

#include "base/buf.h"
#include "engine/sm.h"

static const str_t type_words[STEP_TYPE_COUNT] = {
    [STEP_INVOKE] = { "invoke", 6 },
    [STEP_SLEEP] = { "sleep", 5 },
    [STEP_WAIT_FOR_EVENT] = { "wait_for_event", 14 },
    [STEP_COMPENSATE] = { "compensate", 10 },
    [STEP_INVOKE_FUNCTION] = { "invoke_function", 15 },
};

enum step_type step_type_parse(str_t word)
{
    for (int t = STEP_INVOKE; t < STEP_TYPE_COUNT; t++) {
        if (str_eq(type_words[t], word))
            return (enum step_type)t;
    }
    return STEP_INVOKE;
}

str_t step_type_word(enum step_type t)
{
    return t >= STEP_INVOKE && t < STEP_TYPE_COUNT ? type_words[t] : type_words[STEP_INVOKE];
}

bool step_status_parse(str_t word, enum step_status *out)
{
    if (str_eq(word, S("completed")))
        *out = STEP_COMPLETED;
    else if (str_eq(word, S("failed")))
        *out = STEP_FAILED;
    else
        return false;
    return true;
}

enum step_change step_merge(struct step *old, const struct step *report)
{
    struct step merged = *report;

    if (old->patched_at != 0 || !sm_may(&step_sm, (int)old->status, (int)report->status))
        return STEP_UNCHANGED;
    merged.id = old->id;
    merged.run_id = old->run_id;
    merged.step_id = old->step_id;
    merged.sequence = old->sequence;
    merged.attempt = old->attempt + 1;
    merged.input = old->input;
    *old = merged;
    return STEP_REPLACED;
}

bool step_is_open(const struct step *s)
{
    return s->status == STEP_SLEEPING || s->status == STEP_WAITING;
}

enum yield_state step_yield_again(struct step *old, const struct step *fresh)
{
    must(step_is_open(fresh));
    if (old->status == STEP_COMPLETED)
        return YIELD_DONE;
    if (old->status == fresh->status && old->type == fresh->type)
        return YIELD_PARK;
    old->type = fresh->type;
    old->status = fresh->status;
    old->attempt++;
    old->output = STR_NULL;
    old->error = STR_NULL;
    old->event_ref = 0;
    old->duration_ms = 0;
    old->started_at = fresh->started_at;
    old->ended_at = 0;
    old->wake_at = fresh->wake_at;
    return YIELD_REOPEN;
}

bool step_invoke_failed(const struct step *s)
{
    return s->type == STEP_INVOKE_FUNCTION &&
           (s->status == STEP_FAILED || s->status == STEP_TIMED_OUT);
}

static void wait_end(struct step *s, enum step_status status, int64_t now_ms)
{
    must(step_is_open(s));
    s->status = status;
    s->ended_at = now_ms;
    s->duration_ms = s->started_at > 0 && now_ms > s->started_at ? now_ms - s->started_at : 0;
}

void step_wake(struct step *s, int64_t now_ms)
{
    wait_end(s, STEP_COMPLETED, now_ms);
}

void step_wait_failed(struct step *s, enum step_status status, str_t error, int64_t now_ms)
{
    must(status == STEP_FAILED || status == STEP_TIMED_OUT);
    wait_end(s, status, now_ms);
    s->error = error;
}

/* Start of the part that ends before `end`: after the last colon that no backslash escapes. */
static size_t part_start(str_t id, size_t end)
{
    for (size_t i = end; i > 0; i--) {
        size_t slashes = 0;

        if (id.p[i - 1] != ':')
            continue;
        while (slashes < i - 1 && id.p[i - 2 - slashes] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return i;
    }
    return 0;
}

str_t step_name_of(struct arena *a, str_t step_id)
{
    size_t last = part_start(step_id, step_id.n), from;
    struct buf b;
    str_t head;

    if (last < 2)
        return step_id;
    from = part_start(step_id, last - 1);
    head = str_slice(step_id, 0, from);
    if (str_ends(head, S(":compensate:")))
        from -= S("compensate:").n;
    else if (str_ends(head, S(":publish:")))
        from -= S("publish:").n;
    buf_init_arena(&b, a, step_id.n);
    for (size_t i = from; i < last - 1; i++) {
        if (step_id.p[i] == '\\' && i + 1 < last - 1)
            i++;
        buf_char(&b, step_id.p[i]);
    }
    return buf_str(&b);
}
