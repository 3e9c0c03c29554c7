/* Dead letters of the outbox: list, requeue, discard. */
#include "svc/outbox.h"

#include "api/convert.h"
#include "api/handlers.h"
#include "svc/principal.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500, OFFSET_MAX = 10000 };

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void letter_out(struct ctx *c, const struct dead_letter *d, struct pb_rest_dead_letter *out)
{
    *out = (struct pb_rest_dead_letter){
        .id = api_id(c, ID_OUTBOX, d->id),
        .event_id = api_id(c, ID_EVENT, d->event.id),
        .entity_id = d->event.entity_id,
        .topic = d->event.name,
        .kind = S("events"),
        .environment_id = c->who->env_id,
        .created_at = id_ms(d->id),
        .dead_at = d->dead_at,
        .attempts = d->attempts,
        .last_error = d->last_error,
        .payload = d->event.data,
        .metadata = d->event.metadata,
    };
}

/* Which environment is meant must be said: a default could hide the rows that are looked for. */
err_t api_dead_letter_list(struct ctx *c, struct api_call *a)
{
    const struct pb_rest_dead_letters_query *in = a->in;
    struct pb_rest_dead_letter_list *out = a->out;
    struct dead_letter *list = NULL;

    if (a->cred.environment.n == 0)
        return err_set(c, ERR_INVALID,
                       "environment: required, as header X-Ironflow-Environment or as env");
    out->limit = in->has_limit ? clamp(in->limit, 1, LIMIT_MAX) : LIMIT_DEFAULT;
    out->offset = clamp(in->offset, 0, OFFSET_MAX);
    TRY(svc_dead_letters(c, out->limit, out->offset, &list, &out->items_n));
    out->items = NEW_N(c->arena, struct pb_rest_dead_letter, out->items_n + 1);
    for (size_t i = 0; i < out->items_n; i++)
        letter_out(c, &list[i], &out->items[i]);
    return ERR_OK;
}

static err_t event_of(struct ctx *c, const struct api_call *a,
                      struct pb_rest_dead_letter_answer *out, int64_t *id)
{
    str_t text = api_param(a, "eventID");

    TRY(api_id_parse(c, ID_EVENT, "dead letter", text, id));
    out->event_id = text;
    return ERR_OK;
}

err_t api_dead_letter_requeue(struct ctx *c, struct api_call *a)
{
    struct pb_rest_dead_letter_answer *out = a->out;
    int64_t id = 0;

    TRY(event_of(c, a, out, &id));
    out->result = S("requeued");
    return svc_dead_letter_requeue(c, id);
}

err_t api_dead_letter_discard(struct ctx *c, struct api_call *a)
{
    struct pb_rest_dead_letter_answer *out = a->out;
    int64_t id = 0;

    TRY(event_of(c, a, out, &id));
    out->result = S("discarded");
    return svc_dead_letter_discard(c, id);
}
