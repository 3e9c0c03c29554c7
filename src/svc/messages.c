/* Writes messages as compact records into the batch of the transaction, and walks them again. */
#include "svc/messages.h"

#include "base/crypto.h"
#include "store/log.h"
#include "svc/audit.h"
#include "svc/batch_priv.h"
#include "svc/outbox.h"
#include "svc/records.h"

/* ---- writing --------------------------------------------------------------------------------- */

static void put_u64(struct buf *b, uint64_t v)
{
    char raw[8];

    for (int i = 0; i < 8; i++)
        raw[i] = (char)(uint8_t)(v >> (8 * i));
    buf_append(b, (str_t){ raw, 8 });
}

static void put_varint(struct buf *b, uint64_t v)
{
    while (v >= 0x80) {
        buf_char(b, (char)(uint8_t)(v | 0x80));
        v >>= 7;
    }
    buf_char(b, (char)(uint8_t)v);
}

/* Two bits of a 64-bit filter for a prefix of tokens. */
static uint64_t filter_bits(str_t prefix)
{
    uint64_t h = str_hash(prefix);

    return (1ull << (h & 63)) | (1ull << ((h >> 32) & 63));
}

uint64_t message_filter(str_t topic)
{
    uint64_t filter = 0;
    size_t tokens = 0;

    for (size_t i = 0; i <= topic.n && tokens < 3; i++) {
        if (i < topic.n && topic.p[i] != '.')
            continue;
        filter |= filter_bits(str_slice(topic, 0, i));
        tokens++;
    }
    return filter;
}

static struct batch *record_begin(struct ctx *c, enum record_kind kind)
{
    struct batch *b = batch_of(c);

    if (b->records.n == 0) {
        buf_char(&b->records, RECORDS_VERSION);
        put_u64(&b->records, (uint64_t)c->now_ms);
    }
    buf_char(&b->records, (char)kind);
    put_varint(&b->records, (uint64_t)c->env);
    b->count++;
    return b;
}

static err_t record_end(struct ctx *c, const struct batch *b)
{
    if (b->records.full)
        return err_set(c, ERR_TOO_LARGE, "the messages of one transaction are too many");
    return ERR_OK;
}

int64_t message_next_pos(const struct ctx *c)
{
    const struct batch *b = batch_of(c);

    return b->numbered ? b->first_pos + b->count : 0;
}

err_t message_event(struct ctx *c, const struct event *e, int64_t *pos)
{
    int64_t at = message_next_pos(c);
    struct batch *b = batch_of(c);
    str_t why = b->numbered ? outbox_refusal(c, e) : STR_NULL; /* else the relay asks */

    if (why.n > 0) {
        *pos = 0;
        return outbox_keep(c, e->id, why);
    }
    b = record_begin(c, RECORD_EVENT);
    put_u64(&b->records, (uint64_t)e->id);
    b->filter |= message_filter(str_printf(c->arena, "events:" STR_FMT, STR_ARG(e->name)));
    *pos = at;
    return record_end(c, b);
}

/* Run and step topics begin alike: system.run.{id} */
static void filter_run(struct batch *b, int64_t run_id)
{
    char text[sizeof("system.run.") + ID_TEXT_MAX];
    struct buf topic = { .p = text, .cap = sizeof(text), .max = sizeof(text) };

    buf_append(&topic, S("system.run."));
    id_print(&topic, ID_RUN, run_id);
    b->filter |= message_filter(buf_str(&topic));
}

/* The whole time since its creation: of a run that ends well no more than its id is loaded. */
static void run_fact(struct ctx *c, enum run_topic t, const struct run *run)
{
    if (t == TOPIC_RUN_COMPLETED || t == TOPIC_RUN_FAILED || t == TOPIC_RUN_CANCELLED)
        batch_fact(c, &(struct meter_fact){
                          .kind = METER_RUN, .fn = run->fn, .ms = c->now_ms - id_ms(run->id) });
}

err_t message_run_note(struct ctx *c, enum run_topic t, const struct run *run, str_t note)
{
    struct batch *b = record_begin(c, RECORD_RUN);

    run_fact(c, t, run);
    buf_char(&b->records, (char)t);
    buf_char(&b->records, (char)run->status);
    buf_char(&b->records, (char)run->pause_reason);
    put_u64(&b->records, (uint64_t)run->id);
    put_varint(&b->records, (uint64_t)run->fn);
    put_varint(&b->records, note.n);
    buf_append(&b->records, note);
    filter_run(b, run->id);
    return record_end(c, b);
}

err_t message_run(struct ctx *c, enum run_topic t, const struct run *run)
{
    return message_run_note(c, t, run, STR_NULL);
}

static void step_fact(struct ctx *c, enum step_topic t, const struct step *s, int64_t fn)
{
    struct meter_fact f = { METER_STEP, s->status, fn, s->duration_ms, s->name };

    if (t != TOPIC_STEP_COMPLETED && t != TOPIC_STEP_FAILED)
        return;
    if (f.ms == 0 && s->started_at > 0 && s->ended_at > s->started_at)
        f.ms = s->ended_at - s->started_at;
    batch_fact(c, &f);
}

err_t message_step(struct ctx *c, enum step_topic t, const struct step *step, int64_t fn)
{
    struct batch *b = record_begin(c, RECORD_STEP);

    step_fact(c, t, step, fn);
    buf_char(&b->records, (char)t);
    buf_char(&b->records, (char)step->status);
    put_u64(&b->records, (uint64_t)step->id);
    put_u64(&b->records, (uint64_t)step->run_id);
    put_varint(&b->records, (uint64_t)fn);
    filter_run(b, step->run_id);
    TRY(record_end(c, b));
    return audit_step(c, t, step);
}

static struct batch *entity_put(struct ctx *c, enum entity_topic t, str_t id)
{
    struct batch *b = record_begin(c, RECORD_ENTITY);
    bool worker = t >= TOPIC_WORKER_CONNECTED;

    buf_char(&b->records, (char)t);
    put_varint(&b->records, id.n);
    buf_append(&b->records, id);
    b->filter |= message_filter(
        str_printf(c->arena, "system.%s." STR_FMT, worker ? "worker" : "function", STR_ARG(id)));
    return b;
}

err_t message_entity(struct ctx *c, enum entity_topic t, str_t id)
{
    if (t == TOPIC_WORKER_DISCONNECTED)
        batch_fact(c, &(struct meter_fact){ .kind = METER_WORKER_LOST });
    return record_end(c, entity_put(c, t, id));
}

err_t message_worker_health(struct ctx *c, str_t id, int64_t health)
{
    struct batch *b = entity_put(c, TOPIC_WORKER_HEALTH, id);

    buf_char(&b->records, (char)health);
    return record_end(c, b);
}

/* ---- walking --------------------------------------------------------------------------------- */

static bool get_byte(struct record_reader *r, uint8_t *out)
{
    if (r->at == r->end)
        return false;
    *out = *r->at++;
    return true;
}

static bool get_u64(struct record_reader *r, int64_t *out)
{
    uint64_t v = 0;

    if (r->end - r->at < 8)
        return false;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)r->at[i] << (8 * i);
    r->at += 8;
    *out = (int64_t)v;
    return true;
}

static bool get_varint(struct record_reader *r, int64_t *out)
{
    uint64_t v = 0;
    uint8_t byte;

    for (int shift = 0; shift < 64; shift += 7) {
        if (!get_byte(r, &byte))
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = (int64_t)v;
            return true;
        }
    }
    return false;
}

static bool get_text(struct record_reader *r, str_t *out)
{
    int64_t n;

    if (!get_varint(r, &n) || n < 0 || n > r->end - r->at)
        return false;
    *out = (str_t){ (const char *)r->at, (size_t)n };
    r->at += n;
    return true;
}

bool records_open(struct record_reader *r, str_t records)
{
    uint8_t version;

    *r = (struct record_reader){ .at = (const uint8_t *)records.p,
                                 .end = (const uint8_t *)records.p + records.n };
    return records.n > 0 && get_byte(r, &version) && version == RECORDS_VERSION &&
           get_u64(r, &r->at_ms);
}

static bool record_body(struct record_reader *r, struct record *out)
{
    switch (out->kind) {
    case RECORD_EVENT:
        return get_u64(r, &out->id);
    case RECORD_RUN:
        return get_byte(r, &out->topic) && out->topic <= TOPIC_RUN_CANCELLED &&
               get_byte(r, &out->status) && get_byte(r, &out->pause_reason) &&
               get_u64(r, &out->id) && get_varint(r, &out->fn) && get_text(r, &out->text);
    case RECORD_STEP:
        return get_byte(r, &out->topic) && out->topic <= TOPIC_STEP_INJECTED &&
               get_byte(r, &out->status) && get_u64(r, &out->id) && get_u64(r, &out->run) &&
               get_varint(r, &out->fn);
    case RECORD_ENTITY:
        return get_byte(r, &out->topic) && out->topic <= TOPIC_WORKER_HEALTH &&
               get_text(r, &out->text) &&
               (out->topic != TOPIC_WORKER_HEALTH || get_byte(r, &out->status));
    }
    return false;
}

int records_next(struct record_reader *r, struct record *out)
{
    uint8_t kind;

    if (!get_byte(r, &kind))
        return 0;
    *out = (struct record){ .kind = (enum record_kind)kind };
    return get_varint(r, &out->env) && record_body(r, out) ? 1 : -1;
}

err_t message_row_check(struct ctx *c, const struct log_row *row)
{
    if (crypto_crc32c(0, row->records.p, row->records.n) == row->crc)
        return ERR_OK;
    return err_set(c, ERR_INTERNAL, "log row %lld at position %lld is damaged", (long long)row->id,
                   (long long)row->first_pos);
}

err_t message_each_event(struct ctx *c, str_t records,
                         err_t (*fn)(struct ctx *c, int64_t env, int64_t id, int64_t nth,
                                     void *arg),
                         void *arg)
{
    struct record_reader r;
    struct record rec;
    int more = -1;

    if (!records_open(&r, records))
        return err_set(c, ERR_INTERNAL, "a log row has an unknown form");
    for (int64_t nth = 0; (more = records_next(&r, &rec)) > 0; nth++) {
        if (rec.kind == RECORD_EVENT)
            TRY(fn(c, rec.env, rec.id, nth, arg));
    }
    return more == 0 ? ERR_OK : err_set(c, ERR_INTERNAL, "a log row is malformed");
}

err_t message_filter_events(struct ctx *c, str_t records,
                            err_t (*keep)(struct ctx *c, int64_t env, int64_t id, bool *out),
                            str_t *out, int64_t *count)
{
    struct record_reader r;
    struct record rec;
    struct buf b;
    int64_t left = 0;
    int more = -1;

    if (!records_open(&r, records))
        return err_set(c, ERR_INTERNAL, "a log row has an unknown form");
    buf_init_arena(&b, c->arena, records.n + 1);
    buf_append(&b, (str_t){ records.p, (size_t)((const char *)r.at - records.p) });
    for (const uint8_t *from = r.at; (more = records_next(&r, &rec)) > 0; from = r.at) {
        bool kept = true;

        if (rec.kind == RECORD_EVENT)
            TRY(keep(c, rec.env, rec.id, &kept));
        if (!kept)
            continue;
        buf_append(&b, (str_t){ (const char *)from, (size_t)(r.at - from) });
        left++;
    }
    if (more != 0)
        return err_set(c, ERR_INTERNAL, "a log row is malformed");
    *out = buf_str(&b);
    *count = left;
    return ERR_OK;
}
