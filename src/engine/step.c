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

enum yield_state step_yield_again(struct step *old, int64_t now_ms, int64_t until_ms)
{
    if (old->status == STEP_COMPLETED)
        return YIELD_DONE;
    if (old->status == STEP_SLEEPING)
        return YIELD_PARK;
    old->type = STEP_SLEEP;
    old->status = STEP_SLEEPING;
    old->attempt++;
    old->output = STR_NULL;
    old->error = STR_NULL;
    old->duration_ms = 0;
    old->started_at = now_ms;
    old->ended_at = 0;
    old->wake_at = until_ms;
    return YIELD_REOPEN;
}

void step_wake(struct step *s, int64_t now_ms)
{
    must(s->status == STEP_SLEEPING);
    s->status = STEP_COMPLETED;
    s->ended_at = now_ms;
    s->duration_ms = s->started_at > 0 && now_ms > s->started_at ? now_ms - s->started_at : 0;
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
