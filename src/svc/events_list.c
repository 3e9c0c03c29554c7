/* Pages of events, newest first. A page token is base64 of "<ms>|<event id>"; ids carry their time
 * and are unique, so comparing ids alone neither skips nor repeats within a millisecond, and what
 * arrives between two pages moves neither. */
#include "base/crypto.h"
#include "store/events.h"
#include "store/overview.h"
#include "svc/batch.h"
#include "svc/events.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX 1000
#define TOTAL_MAX 10000
/* A page ends early rather than hold more: many clients may read their pages slowly. */
#define PAGE_BYTES ((size_t)4 << 20)

static str_t token_of(struct ctx *c, int64_t id)
{
    str_t text = id_text(c->arena, ID_EVENT, id);

    return base64_encode(
        c->arena, str_printf(c->arena, "%lld|" STR_FMT, (long long)id_ms(id), STR_ARG(text)));
}

static err_t token_read(struct ctx *c, const char *field, str_t token, int64_t *out)
{
    str_t text, ms;
    int64_t at, id;

    if (base64_decode(c->arena, token, &text) && str_cut(&text, '|', &ms) && str_to_i64(ms, &at) &&
        id_parse(ID_EVENT, text, &id) && id > 0 && id < INT64_MAX && id_ms(id) == at) {
        *out = id;
        return ERR_OK;
    }
    return err_set(c, ERR_INVALID, "%s: not a page token of this server", field);
}

/* The ids of [since, until). */
static void set_times(struct event_range *range, const struct event_filter *f)
{
    if (f->since_ms != 0)
        range->from = id_from_ms(f->since_ms);
    if (f->until_ms != 0)
        range->to = id_from_ms(f->until_ms);
}

static void reverse(struct event *events, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        struct event swap = events[i];

        events[i] = events[n - 1 - i];
        events[n - 1 - i] = swap;
    }
}

/* key: the id that the page was asked from, 0 for the first page. */
static void set_cursors(struct ctx *c, struct event_page *p, bool before, bool more, int64_t key)
{
    p->has_next = before || more;
    p->has_prev = before ? more : key != 0;
    if (p->has_next)
        p->next_cursor = token_of(c, p->n > 0 ? p->events[p->n - 1].id : key + 1);
    if (p->has_prev)
        p->prev_cursor = token_of(c, p->n > 0 ? p->events[0].id : key - 1);
}

static err_t set_total(struct ctx *c, struct event_page *p)
{
    int64_t total;

    TRY(store_total_of(c, COUNT_EVENTS, &total));
    p->approx_capped = total > TOTAL_MAX;
    p->approx_total = p->approx_capped ? TOTAL_MAX : total;
    return ERR_OK;
}

err_t svc_event_list(struct ctx *c, const struct event_filter *f, struct event_page *out)
{
    struct event_range range = {
        .to = INT64_MAX, .name = f->name, .sources = f->sources, .bytes_max = PAGE_BYTES
    };
    int64_t limit = f->limit == 0 ? LIMIT_DEFAULT : f->limit > LIMIT_MAX ? LIMIT_MAX : f->limit;
    struct event_page p = { 0 };
    int64_t key = 0;
    bool more, cut = false;

    if (f->limit < 0)
        return err_set(c, ERR_INVALID, "limit: must not be negative");
    if (f->cursor.n > 0 && f->before.n > 0)
        return err_set(c, ERR_INVALID, "cursor: not together with before");
    set_times(&range, f);
    if (f->cursor.n > 0) {
        TRY(token_read(c, "cursor", f->cursor, &key));
        range.to = key < range.to ? key : range.to;
    } else if (f->before.n > 0) {
        TRY(token_read(c, "before", f->before, &key));
        range.from = key + 1 > range.from ? key + 1 : range.from;
        range.ascending = true;
    }
    TRY(store_events_page(c, &range, limit + 1, &p.events, &p.n, &cut));
    more = cut || p.n > (size_t)limit;
    if (p.n > (size_t)limit)
        p.n = (size_t)limit;
    if (range.ascending)
        reverse(p.events, p.n);
    set_cursors(c, &p, range.ascending, more, key);
    TRY(set_total(c, &p));
    *out = p;
    return ERR_OK;
}
