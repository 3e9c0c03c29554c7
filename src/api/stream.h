/* Connect streams: envelopes in and out over a streaming request, in both codecs. A stream belongs
 * to its request's loop thread. */
#pragma once

#include "api/call.h"
#include "base/buf.h"

/* The largest message that a client may send. */
#define STREAM_MESSAGE_MAX ((size_t)4 << 20)

/* How messages are written; a copy may go to other threads. */
struct stream_codec {
    bool binary, strict;
    const struct pb_message *out;
};

struct stream {
    struct api *api;
    struct api_call *a; /* credential, headers, endpoint */
    struct http_req *req;
    struct stream_codec codec;

    /* Set by the route's handler, which finds the stream as a->stream. */
    void *user;
    /* One message of the client, a view for the time of the call. */
    void (*on_message)(struct stream *s, str_t payload);
    /* All that has come was handed over; may be NULL. */
    void (*on_batch)(struct stream *s);
    /* The client sends no more. */
    void (*on_end)(struct stream *s);
    /* The client is gone, or did what the protocol forbids: the stream is not the handler's after
     * this call. */
    void (*on_gone)(struct stream *s);
    /* All that was sent is with the connection; may be NULL. */
    void (*on_room)(struct stream *s);
    /* The server is about to stop. */
    void (*on_drain)(struct stream *s);

    /* stream.c's own */
    struct buf in, out; /* what has come and goes, from in_at and out_at */
    size_t in_at, out_at;
    size_t owed;    /* bytes not yet given back to the client's window */
    size_t counted; /* of `in`, in the bound on all streams */
    bool full;      /* the connection has no room */
    bool held;      /* no messages, please */
    bool ended;     /* the client's side */
    bool end_told;
    bool leaving;               /* gone; its last messages are handled */
    bool closing;               /* the end is in `out` */
    bool busy;                  /* inside a callback of the request */
    struct stream_timer *timer; /* of a call with a deadline */
    struct stream *prev, *next; /* of its loop */
};

/* The way of a streaming request whose caller is known, or to be found out (a->resolve). */
void api_stream_open(struct api_call *a);
/* The server drains: tells the streams that begin with `first`. */
void api_streams_drain(struct stream *first);

/* Sends a message laid out as the RPC's response. */
void stream_send(struct stream *s, const void *msg);
/* Appends the envelope of a message to b, to be sent later; for any thread. */
void stream_put(struct buf *b, const struct stream_codec *k, const void *msg);
/* Sends envelopes. */
void stream_send_raw(struct stream *s, str_t envelopes);
/* True while something that was sent waits for the client. */
bool stream_backed(const struct stream *s);
/* Stops the messages, or lets them come again (within this call). */
void stream_hold(struct stream *s, bool held);
/* Ends the stream, with an error unless it is ERR_OK; it is not the caller's any more. */
void stream_close(struct stream *s, err_t e, str_t text);
