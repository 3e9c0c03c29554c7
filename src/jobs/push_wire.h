/* What goes over the wire in push mode: the request, its signature, the answer (spec engine-push 2
 * to 4). */
#pragma once

#include "base/buf.h"
#include "http/outbound.h"
#include "svc/push.h"

#define PUSH_SIGNATURE_HEADER "X-Ironflow-Signature"
#define PUSH_BODY_MAX ((size_t)64 << 20)

/* The body. b is full when it is larger than its maximum. */
void push_body(struct ctx *c, const struct assignment *a, struct buf *b);
/* The failure of a run whose body is larger. */
void push_too_large(struct ctx *c, struct report *out);
/* Value of the signature header: one for the JavaScript client, then one with a time for the
 * others. */
str_t push_signature(struct arena *a, str_t key, int64_t now_s, str_t body);
/* The answer with status 200 as a report. ERR_INVALID when it is none. Views of body. */
NODISCARD err_t push_answer(struct ctx *c, str_t body, struct report *out);
/* The failure of a call that got no such answer; invalid: why the answer is none, or NULL. */
void push_failure(struct ctx *c, const struct outbound_req *r, const char *invalid,
                  struct report *out);
