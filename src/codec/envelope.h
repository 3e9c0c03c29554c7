/* The envelopes of Connect streams: one byte of flags and four of length before each payload. */
#pragma once

#include "base/buf.h"

#define ENVELOPE_HEAD 5
#define ENVELOPE_FLAG_END 2

enum envelope_found {
    ENVELOPE_PART,       /* more bytes are needed */
    ENVELOPE_MESSAGE,    /* out is set */
    ENVELOPE_COMPRESSED, /* no compression was agreed on */
    ENVELOPE_UNKNOWN,    /* other flags: of a reply, or of a later protocol */
    ENVELOPE_LARGE       /* the payload is larger than max */
};
struct envelope {
    str_t payload; /* a view of what was read */
    size_t size;   /* with the head */
};
/* The envelope of a request that bytes begin with. A bad one is known by its head. */
enum envelope_found envelope_read(str_t bytes, size_t max, struct envelope *out);
/* The bytes that the envelope at the beginning has when it is whole; 0: its head is not there. */
size_t envelope_size(str_t bytes);

/* Appends the head of an envelope; the payload follows, then envelope_end with what was returned
 * fills in the length. A full buffer is left as it is. */
size_t envelope_begin(struct buf *b, int flags);
void envelope_end(struct buf *b, size_t from);
