/* Text that grows, memory of an execution, and time. Out of memory ends the process: a worker that
 * cannot allocate cannot report either. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ironflow_priv.h"

#define POOL_CHUNK_BYTES ((size_t)16 << 10)
#define ALIGNMENT ((size_t)16)

static void *mem_or_die(void *p)
{
    if (p == NULL) {
        fputs("ironflow: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_new(size_t n)
{
    return mem_or_die(calloc(1, n > 0 ? n : 1));
}

char *mem_strdup(const char *z)
{
    return mem_or_die(strdup(z));
}

void text_reserve(struct text *t, size_t more)
{
    size_t cap = t->cap < 256 ? 256 : t->cap;

    if (t->cap - t->n > more)
        return;
    while (cap - t->n <= more)
        cap *= 2;
    t->p = mem_or_die(realloc(t->p, cap));
    t->cap = cap;
}

void text_add(struct text *t, const char *p, size_t n)
{
    text_reserve(t, n);
    if (n > 0)
        memcpy(t->p + t->n, p, n);
    t->n += n;
}

void text_addz(struct text *t, const char *z)
{
    text_add(t, z, strlen(z));
}

void text_char(struct text *t, char ch)
{
    text_reserve(t, 1);
    t->p[t->n++] = ch;
}

void text_i64(struct text *t, int64_t v)
{
    char digits[24];
    size_t n = sizeof(digits);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        digits[--n] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (v < 0)
        digits[--n] = '-';
    text_add(t, digits + n, sizeof(digits) - n);
}

char *text_z(struct text *t)
{
    text_reserve(t, 1);
    t->p[t->n] = '\0';
    return t->p;
}

void text_done(struct text *t)
{
    free(t->p);
    *t = (struct text){ 0 };
}

/* Length of the well-formed UTF-8 sequence at p, 0 when there is none. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    if (len == 0 || p[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

static void quote_special(struct text *t, unsigned char ch)
{
    static const char hex[] = "0123456789abcdef";
    static const char names[] = "btn\0fr"; /* from 0x08 */

    if (ch == '"' || ch == '\\') {
        text_char(t, '\\');
        text_char(t, (char)ch);
    } else if (ch >= 0x08 && ch <= 0x0d && ch != 0x0b) {
        text_char(t, '\\');
        text_char(t, names[ch - 0x08]);
    } else {
        text_add(t, "\\u00", 4);
        text_char(t, hex[ch >> 4]);
        text_char(t, hex[ch & 15]);
    }
}

void text_quote(struct text *t, const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t i = 0;

    text_char(t, '"');
    while (i < n) {
        size_t from = i, step;

        while (i < n && u[i] >= 0x20 && u[i] < 0x80 && u[i] != '"' && u[i] != '\\')
            i++;
        text_add(t, p + from, i - from);
        if (i == n)
            break;
        step = utf8_step(u + i, n - i);
        if (step > 1)
            text_add(t, p + i, step);
        else if (step == 0)
            text_add(t, "\xef\xbf\xbd", 3);
        else
            quote_special(t, u[i]);
        i += step == 0 ? 1 : step;
    }
    text_char(t, '"');
}

void text_url(struct text *t, const char *z)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *z != '\0'; z++) {
        unsigned char ch = (unsigned char)*z;

        if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
            (ch < 0x80 && strchr("-._~", ch) != NULL)) {
            text_char(t, *z);
        } else {
            text_char(t, '%');
            text_char(t, hex[ch >> 4]);
            text_char(t, hex[ch & 15]);
        }
    }
}

/* ---- memory of an execution ---- */

struct pool_chunk {
    struct pool_chunk *next;
    size_t n;
    _Alignas(16) char bytes[];
};

void *pool_alloc(struct pool *p, size_t n)
{
    size_t size = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *at;

    if (size < n)
        mem_or_die(NULL);
    if (p->at == NULL || (size_t)(p->end - p->at) < size) {
        size_t bytes = size > POOL_CHUNK_BYTES ? size : POOL_CHUNK_BYTES;
        struct pool_chunk *chunk = mem_or_die(malloc(sizeof(*chunk) + bytes));

        chunk->next = p->head;
        chunk->n = bytes;
        p->head = chunk;
        p->at = chunk->bytes;
        p->end = chunk->bytes + bytes;
    }
    at = p->at;
    p->at += size;
    return at;
}

char *pool_dup(struct pool *p, const char *text, size_t n)
{
    char *copy = pool_alloc(p, n + 1);

    if (n > 0)
        memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

void pool_reset(struct pool *p)
{
    while (p->head != NULL && (p->head->next != NULL || p->head->n > POOL_CHUNK_BYTES)) {
        struct pool_chunk *next = p->head->next;

        free(p->head);
        p->head = next;
    }
    p->at = p->head != NULL ? p->head->bytes : NULL;
    p->end = p->head != NULL ? p->head->bytes + p->head->n : NULL;
}

void pool_done(struct pool *p)
{
    pool_reset(p);
    free(p->head);
    *p = (struct pool){ 0 };
}

void pool_join(struct pool *to, struct pool *from)
{
    struct pool_chunk *last = from->head;

    if (to->head == NULL) {
        *to = *from;
    } else if (last != NULL) { /* behind the chunk that `to` takes from */
        while (last->next != NULL)
            last = last->next;
        last->next = to->head->next;
        to->head->next = from->head;
    }
    *from = (struct pool){ 0 };
}

/* ---- time ---- */

static int64_t clock_ms(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t now_unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t now_mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static void put_digits(char *at, int64_t v, int n)
{
    while (n > 0) {
        at[--n] = (char)('0' + v % 10);
        v /= 10;
    }
}

/* Days since 1970-01-01 to the proleptic Gregorian date (Hinnant's algorithm). */
void text_time(struct text *t, int64_t unix_ms)
{
    int64_t ms = (unix_ms % 86400000 + 86400000) % 86400000;
    int64_t z = (unix_ms - ms) / 86400000 + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    char out[] = "0000-00-00T00:00:00.000Z";

    put_digits(out, year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, day, 2);
    put_digits(out + 11, ms / 3600000, 2);
    put_digits(out + 14, ms / 60000 % 60, 2);
    put_digits(out + 17, ms / 1000 % 60, 2);
    put_digits(out + 20, ms % 1000, 3);
    text_add(t, out, sizeof(out) - 1);
}
