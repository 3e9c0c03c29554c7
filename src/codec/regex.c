/* The matcher: all threads of the pattern advance together over the text, each instruction at most
 * once a position, so that the time is bounded by their product. */
#include "codec/regex.h"

#include "codec/regex_priv.h"

size_t regex_size(const struct regex *re)
{
    return sizeof(*re) + re->ranges_n * sizeof(struct regex_range) +
           re->insts_n * sizeof(struct regex_inst);
}

/* One search. Lists hold indexes of instructions. */
struct run {
    const struct regex *re;
    const struct regex_inst *insts;
    str_t text;
    uint32_t *now, *next, *stack, *seen; /* seen[i]: last position, plus one, that reached i */
    size_t now_n, next_n, work;
};

static bool is_word(str_t text, size_t at)
{
    char ch = at < text.n ? text.p[at] : ' ';

    return (ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') || ch == '_';
}

static bool holds(str_t text, size_t at, enum regex_assert what)
{
    bool word = is_word(text, at) != (at > 0 && is_word(text, at - 1));

    switch (what) {
    case REGEX_TEXT_BEGIN:
        return at == 0;
    case REGEX_TEXT_END:
        return at == text.n;
    case REGEX_LINE_BEGIN:
        return at == 0 || text.p[at - 1] == '\n';
    case REGEX_LINE_END:
        return at == text.n || text.p[at] == '\n';
    case REGEX_WORD:
        return word;
    case REGEX_NOT_WORD:
        return !word;
    }
    return false;
}

static void push(struct run *r, size_t *n, uint32_t pc, size_t at)
{
    if (r->seen[pc] == at + 1)
        return;
    r->seen[pc] = (uint32_t)at + 1;
    r->stack[(*n)++] = pc;
}

/* Follows everything that consumes nothing from pc on; true when the pattern is complete. */
static bool reach(struct run *r, uint32_t pc, size_t at)
{
    size_t n = 0;

    push(r, &n, pc, at);
    while (n > 0) {
        uint32_t i = r->stack[--n];
        struct regex_inst in = r->insts[i];

        r->work++;
        switch ((enum regex_op)in.op) {
        case REGEX_MATCH:
            return true;
        case REGEX_SPLIT:
            push(r, &n, i + (uint32_t)in.y, at);
            push(r, &n, i + (uint32_t)in.x, at);
            break;
        case REGEX_JUMP:
            push(r, &n, i + (uint32_t)in.x, at);
            break;
        case REGEX_ASSERT:
            if (holds(r->text, at, (enum regex_assert)in.x))
                push(r, &n, i + 1, at);
            break;
        case REGEX_CHAR:
        case REGEX_CLASS:
        case REGEX_ANY:
        case REGEX_LINE:
            r->now[r->now_n++] = i;
            break;
        }
    }
    return false;
}

static bool in_class(const struct regex *re, struct regex_inst in, int32_t ch)
{
    const struct regex_range *p = re->ranges + in.x;
    size_t lo = 0, hi = (size_t)in.y;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (ch > p[mid].hi)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < (size_t)in.y && ch >= p[lo].lo;
}

static bool takes(const struct run *r, struct regex_inst in, int32_t ch)
{
    if (in.op == REGEX_CHAR)
        return ch == in.x;
    if (in.op == REGEX_CLASS)
        return in_class(r->re, in, ch);
    return in.op == REGEX_ANY || ch != '\n';
}

int32_t regex_point(str_t text, size_t *at)
{
    size_t n = str_utf8_step(text, *at);
    const unsigned char *p = (const unsigned char *)text.p + *at;
    int32_t ch = p[0];

    *at += n ? n : 1;
    if (n == 0)
        return 0xFFFD;
    if (n > 1)
        ch &= 0x7F >> n;
    for (size_t i = 1; i < n; i++)
        ch = ch << 6 | (p[i] & 0x3F);
    return ch;
}

static bool charge(size_t *budget, size_t steps)
{
    if (*budget < steps) {
        *budget = 0;
        return false;
    }
    *budget -= steps;
    return true;
}

int regex_search(struct arena *a, const struct regex *re, str_t text, size_t *budget)
{
    struct run r = { .re = re, .insts = regex_insts(re), .text = text };
    size_t at = 0;

    if (text.n >= UINT32_MAX || !charge(budget, re->insts_n / 8 + 1))
        return -1;
    r.now = arena_alloc(a, re->insts_n * 3 * sizeof(uint32_t));
    r.next = r.now + re->insts_n;
    r.stack = r.next + re->insts_n;
    r.seen = arena_zero(a, re->insts_n * sizeof(uint32_t));
    for (;;) {
        size_t here = at;
        int32_t ch;

        r.now_n = 0;
        for (size_t i = 0; i < r.next_n; i++)
            if (reach(&r, r.next[i], here))
                return 1;
        if (reach(&r, 0, here))
            return 1;
        if (at == text.n)
            return 0;
        if (!charge(budget, r.work / 8))
            return -1;
        r.work %= 8;
        ch = regex_point(text, &at);
        r.next_n = 0;
        for (size_t i = 0; i < r.now_n; i++)
            if (takes(&r, r.insts[r.now[i]], ch))
                r.next[r.next_n++] = r.now[i] + 1;
    }
}
