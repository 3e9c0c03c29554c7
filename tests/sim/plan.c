/* What a handler does: decided by the run, so that every execution of it, by workers, on streams
 * and behind endpoints, agrees. */
#include "sim.h"
#include "svc/workers.h"

int plan_steps(const struct m_run *r)
{
    return 1 + (int)((uint64_t)r->id * 0x9e3779b97f4a7c15u >> 40) % SIM_STEPS_MAX;
}

enum plan { PLAN_RUN, PLAN_SLEEP, PLAN_WAIT, PLAN_INVOKE, PLAN_ASYNC };

static uint64_t plan_hash(const struct m_run *r, int step)
{
    return (uint64_t)r->id * 0xd6e8feb86659fd93u >> (step + 20);
}

static enum plan plan_of(const struct m_run *r, int step)
{
    static const enum plan plans[18] = { PLAN_SLEEP, PLAN_SLEEP,  PLAN_WAIT,
                                         PLAN_WAIT,  PLAN_INVOKE, PLAN_ASYNC };

    return plans[plan_hash(r, step) % 18];
}

bool plan_yields(const struct m_run *r, int step)
{
    return plan_of(r, step) != PLAN_RUN;
}

static str_t step_id(struct arena *a, const struct m_run *r, int step)
{
    return str_printf(a, STR_FMT ":s%d:0", STR_ARG(id_text(a, ID_RUN, r->id)), step);
}

uint32_t step_bit(int step)
{
    return 1u << step;
}

/* The first step that is neither completed nor executed; the number of steps when there is none. */
int plan_next(const struct hold *h)
{
    int i = 0, n = plan_steps(h->run);

    while (i < n && ((h->done | h->pending) & step_bit(i)) != 0)
        i++;
    return i;
}

struct hold *hold_new(struct sim *s, struct m_run *r, int64_t seq)
{
    struct hold *h = NEW(&s->keep, struct hold);

    h->run = r;
    h->seq = seq;
    h->job_id = job_id_text(&s->keep, r->id, seq);
    return h;
}

void hold_done(struct sim *s, struct hold *h, str_t id)
{
    for (int i = 0; i < SIM_STEPS_MAX; i++)
        if (str_eq(step_id(&s->scratch, h->run, i), id))
            h->done |= step_bit(i);
}

void plan_execute(struct sim *s, struct hold *h, int step)
{
    const struct m_step *m = model_step(s, h->run, step_id(&s->scratch, h->run, step));

    if (m->frozen && h->run->seq_max == h->seq && !h->run->ended && h->run->cancelled == 0)
        violation(s, "step " STR_FMT " is executed again", STR_ARG(m->id));
    h->pending |= step_bit(step);
}

/* ---- reports ----------------------------------------------------------------------------------
 */

/* The result of a step is new with every execution: which one is kept can be seen. */
void plan_fill(struct sim *s, const struct hold *h, uint32_t bits, struct report *out)
{
    struct arena *a = &s->keep;

    out->steps = NEW_N(a, struct report_step, SIM_STEPS_MAX);
    for (int i = 0; i < SIM_STEPS_MAX; i++) {
        struct report_step *st = &out->steps[out->steps_n];

        if ((bits & step_bit(i)) == 0)
            continue;
        st->id = step_id(a, h->run, i);
        st->name = str_printf(a, "s%d", i);
        st->type = S("invoke");
        st->status = S("completed");
        st->duration_ms = pick(s, 50);
        st->output =
            str_printf(a, "{\"by\":%lld,\"no\":%lld}", (long long)h->seq, (long long)s->ops_made);
        out->steps_n++;
    }
}

static void fill_invoke(struct sim *s, struct hold *h, int step, struct report *r)
{
    static const char *const targets[] = { "sim-a", "sim-b",  "sim-any",
                                           "sim-c", "nobody", "sim-push" };
    uint64_t hash = plan_hash(h->run, step) / 18;
    struct m_step *m = model_step(s, h->run, r->yield_step_id);

    if (m->mark == 0) {
        struct m_emit *emit = model_mark(s);

        emit->by = h->run;
        m->mark = emit->mark;
    }
    r->yield_type =
        plan_of(h->run, step) == PLAN_ASYNC ? S("invoke_function_async") : S("invoke_function");
    r->yield_function = str_from(targets[hash % COUNT_OF(targets)]);
    r->yield_input =
        str_printf(&s->keep, "{\"mark\":%lld,\"k\":%d}", (long long)m->mark, (int)(hash / 5 % 3));
    r->yield_timeout_ms = 500 + pick(s, 60000);
}

static void fill_wait(struct sim *s, const struct hold *h, int step, struct report *r)
{
    uint64_t hash = plan_hash(h->run, step) / 18;

    r->yield_type = S("wait_for_event");
    r->yield_event = hash % 4 == 0 ? S("*") : S("wake");
    if (hash % 4 == 1)
        r->yield_match = str_printf(&s->keep, "data.k == %d && has(data.pad)", (int)(hash / 4 % 3));
    else
        r->yield_match = S("data.k");
    if (hash % 4 == 2)
        r->yield_match_value = str_printf(&s->keep, "\"%d\"", (int)(hash / 4 % 3));
    r->yield_timeout_ms = 500 + pick(s, 400000);
}

static void fill_yield(struct sim *s, struct hold *h, struct report *r)
{
    int step = plan_next(h);

    r->yield_step_id = step_id(&s->keep, h->run, step);
    switch (plan_of(h->run, step)) {
    case PLAN_RUN: /* a ghost that gives up does not ask */
    case PLAN_SLEEP:
        r->yield_type = S("sleep");
        r->yield_until_ms = s->clock.virtual_ms + pick(s, chance(s, 50) ? 2000 : 200000) - 100;
        break;
    case PLAN_WAIT:
        fill_wait(s, h, step, r);
        break;
    case PLAN_INVOKE:
    case PLAN_ASYNC:
        fill_invoke(s, h, step, r);
        break;
    }
}

void plan_final(struct sim *s, struct hold *h, enum report_kind kind)
{
    struct report *r = &h->final;

    if (h->final_sent)
        return;
    *r = (struct report){ .kind = kind };
    plan_fill(s, h, h->pending, r);
    h->final_steps = h->pending;
    s->finals_made++;
    if (kind == REPORT_COMPLETED)
        r->output = str_printf(&s->keep, "{\"done\":%lld}", (long long)s->finals_made);
    if (kind == REPORT_FAILED) {
        r->error = str_printf(&s->keep, "{\"message\":\"e%lld\",\"code\":\"X\"}",
                              (long long)s->finals_made);
        r->retryable = chance(s, 85);
    }
    if (kind == REPORT_YIELDED)
        fill_yield(s, h, r);
    h->final_sent = true;
}
