/* Connect's envelopes (wire/README "Streaming"). */
#include "codec/envelope.h"

enum { FLAG_COMPRESSED = 1 };

size_t envelope_size(str_t bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p;

    if (bytes.n < ENVELOPE_HEAD)
        return 0;
    return ((size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]) + ENVELOPE_HEAD;
}

enum envelope_found envelope_read(str_t bytes, size_t max, struct envelope *out)
{
    size_t size = envelope_size(bytes);

    if (size == 0)
        return ENVELOPE_PART;
    if (bytes.p[0] & FLAG_COMPRESSED)
        return ENVELOPE_COMPRESSED;
    if (bytes.p[0] != 0)
        return ENVELOPE_UNKNOWN;
    if (size - ENVELOPE_HEAD > max)
        return ENVELOPE_LARGE;
    if (size > bytes.n)
        return ENVELOPE_PART;
    *out = (struct envelope){ str_slice(bytes, ENVELOPE_HEAD, size), size };
    return ENVELOPE_MESSAGE;
}

size_t envelope_begin(struct buf *b, int flags)
{
    char head[ENVELOPE_HEAD] = { (char)flags };

    buf_append(b, (str_t){ head, ENVELOPE_HEAD });
    return b->n;
}

void envelope_end(struct buf *b, size_t from)
{
    size_t n = b->n - from;

    if (b->full)
        return;
    for (size_t i = 1; i < ENVELOPE_HEAD; i++)
        b->p[from - i] = (char)(n >> (8 * (i - 1)) & 0xff);
}
