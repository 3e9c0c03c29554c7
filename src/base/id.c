/* Making, printing and reading ids; see the header for the layout. */
#include "base/id.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"

#define EPOCH_MS 1577836800000 /* 2020-01-01T00:00:00Z */
#define MS_SHIFT 22
#define SLOT_SHIFT 12
#define SLOT_MAX 1023
#define COUNT_MAX 4095
#define MS_MAX (INT64_MAX >> MS_SHIFT)
#define DIGITS 13

static const str_t prefixes[ID_KIND_COUNT] = {
    [ID_RUN] = { "run_", 4 }, [ID_EVENT] = { "evt_", 4 }, [ID_STEP] = { "step_", 5 },
    [ID_JOB] = { "job_", 4 }, [ID_OUTBOX] = { "ob_", 3 }, [ID_AUDIT] = { "aud_", 4 },
};

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* Value plus one of each digit; 0 for every other byte. */
static const unsigned char values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['g'] = 17, ['h'] = 18, ['j'] = 19, ['k'] = 20, ['m'] = 21, ['n'] = 22, ['p'] = 23, ['q'] = 24,
    ['r'] = 25, ['s'] = 26, ['t'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
};

static int64_t first_of(int64_t ms, int64_t slot)
{
    return (ms << MS_SHIFT) | (slot << SLOT_SHIFT);
}

static int64_t since_epoch(int64_t now_ms)
{
    if (now_ms <= EPOCH_MS)
        return 0;
    return now_ms - EPOCH_MS < MS_MAX ? now_ms - EPOCH_MS : MS_MAX;
}

int64_t id_next(struct id_gen *g, int64_t now_ms)
{
    int64_t ms = since_epoch(now_ms);
    int64_t last_ms = g->last >> MS_SHIFT;
    int64_t id;

    must(g->slot >= 0 && g->slot <= SLOT_MAX);
    if (ms < last_ms)
        ms = last_ms;
    id = first_of(ms, g->slot);
    if (id <= g->last) {
        bool same_slot = ((g->last >> SLOT_SHIFT) & SLOT_MAX) == g->slot;

        if (same_slot && (g->last & COUNT_MAX) < COUNT_MAX)
            id = g->last + 1;
        else
            id = first_of(last_ms + 1, g->slot);
    }
    must(id > g->last);
    g->last = id;
    return id;
}

int64_t id_ms(int64_t id)
{
    return (id >> MS_SHIFT) + EPOCH_MS;
}

int64_t id_from_ms(int64_t ms)
{
    return first_of(since_epoch(ms), 0);
}

/* Writes at most ID_TEXT_MAX bytes and returns how many. */
static size_t format(char *out, enum id_kind kind, int64_t id)
{
    str_t prefix = prefixes[kind];

    must(id >= 0);
    memcpy(out, prefix.p, prefix.n);
    for (size_t i = 0; i < DIGITS; i++)
        out[prefix.n + i] = alphabet[((uint64_t)id >> (5 * (DIGITS - 1 - i))) & 31];
    return prefix.n + DIGITS;
}

str_t id_text(struct arena *a, enum id_kind kind, int64_t id)
{
    char *p = arena_alloc(a, ID_TEXT_MAX);

    return (str_t){ p, format(p, kind, id) };
}

void id_print(struct buf *b, enum id_kind kind, int64_t id)
{
    char text[ID_TEXT_MAX];

    buf_append(b, (str_t){ text, format(text, kind, id) });
}

bool id_parse(enum id_kind kind, str_t s, int64_t *out)
{
    str_t prefix = prefixes[kind];
    uint64_t id = 0;

    if (s.n != prefix.n + DIGITS || !str_starts(s, prefix))
        return false;
    /* 13 digits are 65 bits: the first may only be 0 to 7 for a positive id. */
    if (s.p[prefix.n] > '7')
        return false;
    for (size_t i = prefix.n; i < s.n; i++) {
        unsigned value = values[(unsigned char)s.p[i]];

        if (value == 0)
            return false;
        id = id << 5 | (value - 1);
    }
    if (id == 0)
        return false;
    *out = (int64_t)id;
    return true;
}
