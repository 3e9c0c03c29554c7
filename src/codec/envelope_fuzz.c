/* A stream of any bytes must come to the same messages and the same end however it is cut. The
 * first byte is the size of the pieces. */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "codec/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAYLOAD_MAX 300

struct reading {
    size_t messages, bytes, at;
    uint64_t hash;
    enum envelope_found end;
};

/* Takes what is whole in the first n bytes, which stand at the end of a block of their own. */
static void read_upto(struct reading *r, str_t all, size_t n)
{
    char *copy = mem_alloc(n + 1);
    struct envelope e;

    memcpy(copy + 1, all.p, n);
    while (r->end == ENVELOPE_PART || r->end == ENVELOPE_MESSAGE) {
        str_t left = { copy + 1 + r->at, n - r->at };

        r->end = envelope_read(left, PAYLOAD_MAX, &e);
        if (r->end != ENVELOPE_MESSAGE)
            break;
        must(e.size == envelope_size(left) && e.size <= left.n);
        must(e.payload.n == e.size - ENVELOPE_HEAD && e.payload.n <= PAYLOAD_MAX);
        r->at += e.size;
        r->messages++;
        r->bytes += e.payload.n;
        r->hash = r->hash * 31 + str_hash(e.payload);
    }
    mem_free(copy);
}

static void write_again(str_t payload)
{
    struct envelope e;
    struct buf b;
    size_t from;

    buf_init(&b, payload.n + ENVELOPE_HEAD);
    from = envelope_begin(&b, 0);
    buf_append(&b, payload);
    envelope_end(&b, from);
    must(!b.full && envelope_read(buf_str(&b), payload.n, &e) == ENVELOPE_MESSAGE);
    must(str_eq(e.payload, payload) && e.size == b.n);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step = size > 0 && data[0] > 0 ? data[0] : 1;
    str_t all = { (const char *)data + (size > 0), size - (size > 0) };
    struct reading whole = { 0 }, cut = { 0 };

    read_upto(&whole, all, all.n);
    for (size_t n = 0; n < all.n; n += step)
        read_upto(&cut, all, n);
    read_upto(&cut, all, all.n);
    must(whole.messages == cut.messages && whole.bytes == cut.bytes && whole.hash == cut.hash);
    must(whole.at == cut.at && whole.end == cut.end);
    write_again(all);
    return 0;
}
