/* Messages that were refused: a second try publishes the event anew, at the end of the log. */
#include "svc/outbox.h"

#include "store/events.h"
#include "store/outbox.h"
#include "svc/app.h"
#include "svc/messages.h"
#include "svc/upkeep.h"

#define ATTEMPTS_MAX 10
#define BACKOFF_MAX_MS (5LL * 60 * 1000)
#define LOOK_EVERY_MS 1000

str_t outbox_refusal(struct ctx *c, const struct event *e)
{
    str_t prefix = app_of(c)->refused_events;

    if (prefix.n == 0 || !str_starts(e->name, prefix))
        return STR_NULL;
    return str_printf(c->arena, "injected: events that begin with " STR_FMT " are refused",
                      STR_ARG(prefix));
}

/* Before the next try, after so many. */
static int64_t backoff_ms(const struct ctx *c, int64_t attempts)
{
    int64_t ms = app_of(c)->outbox_backoff_ms;

    for (int64_t i = 1; i < attempts && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

err_t outbox_keep(struct ctx *c, int64_t event_id, str_t why)
{
    struct outbox_row row = { .id = ctx_id(c),
                              .event_id = event_id,
                              .attempts = 1,
                              .next_at = c->now_ms + backoff_ms(c, 1),
                              .last_error = why };

    return store_outbox_add(c, &row);
}

static err_t publish(struct ctx *c, const struct outbox_row *row, const struct event *e)
{
    int64_t pos = 0;

    TRY(store_outbox_del(c, row->id));
    TRY(message_event(c, e, &pos));
    return pos > 0 ? store_event_set_seq(c, e->id, pos) : ERR_OK; /* else the relay will */
}

static err_t try_again(struct ctx *c, const struct outbox_row *was)
{
    struct outbox_row row = *was;
    struct event e = { 0 };
    err_t found = store_event_get(c, row.event_id, &e);
    str_t why;

    if (found == ERR_NOT_FOUND)
        return store_outbox_del(c, row.id);
    TRY(found);
    why = outbox_refusal(c, &e);
    if (why.n == 0)
        return publish(c, &row, &e);
    row.attempts++;
    row.last_error = why;
    row.next_at = c->now_ms + backoff_ms(c, row.attempts);
    if (row.attempts >= ATTEMPTS_MAX)
        row.dead_at = c->now_ms;
    return store_outbox_put(c, &row);
}

err_t svc_outbox_retry(struct ctx *c, int64_t *next_due)
{
    struct outbox_row *rows = NULL;
    size_t n = 0;

    TRY(store_outbox_due(c, c->now_ms, UPKEEP_SLICE, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        c->env = rows[i].env;
        TRY(try_again(c, &rows[i]));
    }
    c->env = 0;
    *next_due = n > 0 ? c->now_ms : c->now_ms + LOOK_EVERY_MS;
    return ERR_OK;
}

err_t svc_dead_letters(struct ctx *c, int64_t limit, int64_t offset, struct dead_letter **out,
                       size_t *n)
{
    struct outbox_row *rows = NULL;
    struct dead_letter *list;
    size_t count = 0;

    TRY(store_outbox_dead(c, limit, offset, &rows, &count));
    list = NEW_N(c->arena, struct dead_letter, count + 1);
    for (size_t i = 0; i < count; i++) {
        err_t e = store_event_get(c, rows[i].event_id, &list[i].event);

        if (e != ERR_NOT_FOUND)
            TRY(e);
        list[i].event.id = rows[i].event_id;
        list[i].id = rows[i].id;
        list[i].attempts = rows[i].attempts;
        list[i].dead_at = rows[i].dead_at;
        list[i].last_error = rows[i].last_error;
    }
    *out = list;
    *n = count;
    return ERR_OK;
}

static err_t any_or_none(struct ctx *c, int64_t n)
{
    return n > 0 ? ERR_OK : err_set(c, ERR_NOT_FOUND, "no dead letter of this event");
}

err_t svc_dead_letter_requeue(struct ctx *c, int64_t event_id)
{
    int64_t n = 0;

    TRY(store_outbox_requeue(c, event_id, c->now_ms, &n));
    return any_or_none(c, n);
}

err_t svc_dead_letter_discard(struct ctx *c, int64_t event_id)
{
    int64_t n = 0;

    TRY(store_outbox_discard(c, event_id, &n));
    return any_or_none(c, n);
}
