/* The log as a queue of messages on their way out: numbering on PostgreSQL, retention everywhere.
 */
#include "base/crypto.h"
#include "base/log.h"
#include "store/events.h"
#include "store/log.h"
#include "svc/app.h"
#include "svc/messages.h"
#include "svc/outbox.h"
#include "svc/upkeep.h"

#define RELAY_EVERY_MS 50
#define RETAIN_EVERY_MS 60000
#define RETAIN_AGE_MS (7LL * 24 * 3600 * 1000)
#define RETAIN_BYTES (512LL << 20)

/* The event's row learns the position of its message. */
static err_t event_numbered(struct ctx *c, int64_t env, int64_t id, int64_t nth, void *arg)
{
    const struct log_row *row = arg;

    c->env = env;
    return store_event_set_seq(c, id, row->first_pos + nth);
}

/* A message that is refused leaves its row: it is tried again alone, behind those that went on. */
static err_t event_accepted(struct ctx *c, int64_t env, int64_t id, bool *out)
{
    struct event e = { 0 };
    err_t found;
    str_t why;

    c->env = env;
    *out = true;
    found = store_event_get(c, id, &e);
    if (found == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(found);
    why = outbox_refusal(c, &e);
    *out = why.n == 0;
    return *out ? ERR_OK : outbox_keep(c, id, why);
}

/* The row without what is refused; one that is empty then is gone. */
static err_t row_sift(struct ctx *c, struct log_row *row)
{
    int64_t left = row->count;
    str_t records = row->records;

    TRY(message_filter_events(c, row->records, event_accepted, &records, &left));
    c->env = 0;
    if (left == row->count)
        return ERR_OK;
    row->records = records;
    row->count = left;
    row->crc = crypto_crc32c(0, records.p, records.n);
    return left > 0 ? store_log_rewrite(c, row) : store_log_drop(c, row->id);
}

/* A damaged row gets its positions, too, or it would stop all that follow; it is never served. */
static err_t row_number(struct ctx *c, struct log_row *row, const struct log_row *last)
{
    err_t sound;

    if (app_of(c)->refused_events.n > 0 && message_row_check(c, row) == ERR_OK)
        TRY(row_sift(c, row));
    if (row->count == 0)
        return ERR_OK;
    row->first_pos = last->last_pos + 1;
    row->last_pos = last->last_pos + row->count;
    row->end_bytes = last->end_bytes + (int64_t)row->records.n;
    sound = message_row_check(c, row);
    if (sound == ERR_OK)
        TRY(message_each_event(c, row->records, event_numbered, row));
    else
        log_error("log row damaged", "id=%lld position=%lld", (long long)row->id,
                  (long long)row->first_pos);
    c->env = 0;
    return store_log_number(c, row);
}

err_t svc_log_relay(struct ctx *c, int64_t *next_due)
{
    struct log_row *rows = NULL, last = { 0 };
    bool mine = false, found = false;
    size_t n = 0;

    if (app_of(c)->db_kind == DB_SQLITE) {
        *next_due = INT64_MAX;
        return ERR_OK;
    }
    TRY(store_log_relay_lock(c, &mine));
    if (mine)
        TRY(store_log_unnumbered(c, UPKEEP_SLICE, &rows, &n));
    if (n > 0)
        TRY(store_log_last(c, &last, &found));
    for (size_t i = 0; i < n; i++) {
        TRY(row_number(c, &rows[i], &last));
        if (rows[i].count > 0)
            last = rows[i];
    }
    *next_due = n > 0 ? c->now_ms : c->now_ms + RELAY_EVERY_MS;
    return ERR_OK;
}

err_t svc_log_retain(struct ctx *c, int64_t *next_due)
{
    struct log_row *rows = NULL, last = { 0 };
    int64_t upto = 0;
    bool found = false;
    size_t n = 0, cut = 0;

    *next_due = c->now_ms + RETAIN_EVERY_MS;
    TRY(store_log_last(c, &last, &found));
    if (!found)
        return ERR_OK;
    TRY(store_log_oldest(c, UPKEEP_SLICE, &rows, &n));
    while (cut < n && rows[cut].id != last.id &&
           (rows[cut].created_at < c->now_ms - RETAIN_AGE_MS ||
            rows[cut].end_bytes <= last.end_bytes - RETAIN_BYTES))
        upto = rows[cut++].first_pos;
    if (cut == 0)
        return ERR_OK;
    *next_due = c->now_ms;
    return store_log_del(c, upto);
}
