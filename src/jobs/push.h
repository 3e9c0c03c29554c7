/* Push dispatch: claims ready runs of push functions, calls their endpoints, reports what came
 * back. Any number of functions, one loop thread, no thread a call. */
#pragma once

#include "svc/app.h"

struct loop;
struct push;

/* Starts the thread, gives back what an earlier process had sent, and serves. */
struct push *push_start(struct app *app);
/* The same on a loop that its owner runs, who calls push_tick there once a second. */
struct push *push_new(struct app *app, struct loop *loop);
/* Submits again what could not be submitted. */
void push_tick(struct push *p);
/* Any thread; after a commit that changed functions. */
void push_functions_changed(struct push *p);
/* Any thread. No more claims; what is under way ends within the push timeout. */
void push_drain(struct push *p);
/* Requests under way, and outcomes that are not written yet. */
size_t push_busy(const struct push *p);
/* Gives up what is under way (it is sent again by the next start) and ends the thread; before
 * txn_stop. NULL is allowed. */
void push_stop(struct push *p);
/* Frees; after txn_stop. NULL is allowed. */
void push_free(struct push *p);
