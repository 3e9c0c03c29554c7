/* An event loop and its mailbox, over libuv. One thread runs a loop; any thread may post to it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct loop;

/* A message in the mailbox, embedded in what it carries; fn runs on the loop's thread. It may be
 * posted again from fn on. */
struct loop_msg {
    struct loop_msg *next;
    void (*fn)(struct loop_msg *m);
};

struct loop *loop_new(void);
/* After loop_run has returned, or when it never ran. NULL is allowed. */
void loop_free(struct loop *l);
/* Runs until loop_stop; returns when all handles are closed, which is their owners' business. */
void loop_run(struct loop *l);
/* The same on a thread of its own, until loop_join, which stops it and waits for its end. */
void loop_spawn(struct loop *l, const char *name);
void loop_join(struct loop *l);
/* Any thread. Messages posted before are delivered first; what is posted later may be dropped. */
void loop_stop(struct loop *l);
/* Any thread; messages of one sender arrive in order. A loop drains its mailbox before its sockets.
 * Many posts make one wake-up. */
void loop_post(struct loop *l, struct loop_msg *m);
/* On the loop's thread: delivers what is in the mailbox now. Socket callbacks call it first, so
 * that a message posted before some bytes were sent is also seen before them. */
void loop_drain(struct loop *l);
/* Posts a chain of messages linked by next, first to last, with one wake-up. */
void loop_post_list(struct loop *l, struct loop_msg *first);
/* True on the loop's own thread. */
bool loop_here(const struct loop *l);
uv_loop_t *loop_uv(struct loop *l);
