/* What a function's cron triggers mean. */
#include "engine/tick.h"

#include "base/time.h"
#include "codec/cron.h"
#include "engine/match.h"

#define CRON_PREFIX "ironflow.cron."

bool tick_next(str_t cron, int64_t after_ms, int64_t *out)
{
    const char *what;
    struct cron parsed;

    return cron_parse(cron, &parsed, &what) && cron_next(&parsed, after_ms, out);
}

/* The trigger's event, unless it has none or a pattern, which is no name. */
static str_t tick_name(struct ctx *c, const struct function *f, const struct trigger *t)
{
    if (t->event.n > 0 && event_name_check(c, t->event) == ERR_OK)
        return t->event;
    return str_printf(c->arena, CRON_PREFIX STR_FMT, STR_ARG(f->id));
}

void ticks_of(struct ctx *c, const struct function *f, struct tick **out, size_t *n)
{
    struct tick *list = NEW_N(c->arena, struct tick, f->triggers_n + 1);
    bool ticks = !f->deleted && f->status == FN_ACTIVE;
    size_t have = 0;

    for (size_t i = 0; ticks && i < f->triggers_n; i++) {
        const struct trigger *t = &f->triggers[i];
        struct tick *tick = &list[have];

        *tick = (struct tick){ .fn = f->key, .ord = (int64_t)i, .env = c->env, .cron = t->cron };
        if (t->cron.n == 0 || !tick_next(t->cron, c->now_ms, &tick->next_at))
            continue;
        tick->event = tick_name(c, f, t);
        have++;
    }
    *out = list;
    *n = have;
}

int64_t function_next_run(const struct function *f, int64_t now_ms)
{
    int64_t first = 0, at;

    if (f->deleted || f->status != FN_ACTIVE)
        return 0;
    for (size_t i = 0; i < f->triggers_n; i++)
        if (f->triggers[i].cron.n > 0 && tick_next(f->triggers[i].cron, now_ms, &at) &&
            (first == 0 || at < first))
            first = at;
    return first;
}

str_t tick_data(struct ctx *c, int64_t at_ms)
{
    struct buf b;

    buf_init_arena(&b, c->arena, 80);
    buf_append(&b, S("{\"scheduled_at\":\""));
    time_rfc3339_ms(&b, at_ms);
    buf_append(&b, S("\"}"));
    return buf_str(&b);
}
