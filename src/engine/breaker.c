/* The rules of circuit breakers. Calls that were under way when it opened change nothing any more:
 * only the probe decides. */
#include "engine/breaker.h"

static const struct sm_row rows[] = {
    [BREAKER_CLOSED] = { "closed", SM_TO(BREAKER_OPEN), SM_START },
    [BREAKER_OPEN] = { "open", SM_TO(BREAKER_HALF_OPEN) | SM_TO(BREAKER_CLOSED), 0 },
    [BREAKER_HALF_OPEN] = { "half-open", SM_TO(BREAKER_OPEN) | SM_TO(BREAKER_CLOSED), 0 },
};
const struct sm breaker_sm = { "breaker", rows, BREAKER_HALF_OPEN + 1 };

enum breaker_answer breaker_ask(const struct breaker *b, int64_t now_ms)
{
    if (b->state == BREAKER_CLOSED)
        return BREAKER_ADMITS;
    return now_ms >= b->until ? BREAKER_PROBES : BREAKER_REFUSES;
}

static err_t move(struct ctx *c, struct breaker *b, enum breaker_state to)
{
    TRY(sm_move(c, &breaker_sm, (int)b->state, (int)to));
    b->state = to;
    b->probe = 0;
    return ERR_OK;
}

err_t breaker_probe(struct ctx *c, struct breaker *b, int64_t run_id, int64_t until)
{
    if (b->state != BREAKER_HALF_OPEN) /* else the last probe was lost */
        TRY(move(c, b, BREAKER_HALF_OPEN));
    b->probe = run_id;
    b->until = until;
    b->updated_at = c->now_ms;
    return ERR_OK;
}

static err_t failed(struct ctx *c, struct breaker *b, bool counts, int64_t open_ms)
{
    b->last_failure = c->now_ms;
    b->updated_at = c->now_ms;
    if (!counts)
        return ERR_OK;
    b->failures++;
    if (b->state == BREAKER_CLOSED && b->failures < BREAKER_FAILURES)
        return ERR_OK;
    b->until = c->now_ms + open_ms;
    return move(c, b, BREAKER_OPEN);
}

err_t breaker_result(struct ctx *c, struct breaker *b, int64_t run_id, bool ok, int64_t open_ms,
                     bool *changed, bool *wakes)
{
    bool counts =
        b->state == BREAKER_CLOSED || (b->state == BREAKER_HALF_OPEN && b->probe == run_id);
    enum breaker_state was = b->state;

    *changed = !ok || (counts && b->failures > 0);
    if (!ok)
        TRY(failed(c, b, counts, open_ms));
    else if (*changed)
        TRY(breaker_reset(c, b));
    *wakes = b->state != was;
    return ERR_OK;
}

err_t breaker_reset(struct ctx *c, struct breaker *b)
{
    if (b->state != BREAKER_CLOSED)
        TRY(move(c, b, BREAKER_CLOSED));
    b->failures = 0;
    b->until = 0;
    b->updated_at = c->now_ms;
    return ERR_OK;
}
