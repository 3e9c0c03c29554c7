/* Debounced functions: entries armed by events, fired by a job, seen and cancelled by operators
 * (spec engine-steps-flow 11). */
#pragma once

#include "engine/debounce.h"

/* Inside an emit: the event, which is stored, arms the entry of f or takes the place of an earlier
 * one. */
NODISCARD err_t debounce_note(struct ctx *c, const struct function *f, const struct event *e);

struct debounce_view {
    struct debounce_entry entry;
    str_t function_id;
};
/* READ. The armed entries of c->env, earliest first. */
NODISCARD err_t svc_debounce_list(struct ctx *c, struct debounce_view **out, size_t *n);
/* WRITE. Nothing fires; an entry that is not there is no error. */
NODISCARD err_t svc_debounce_cancel(struct ctx *c, str_t function_id, str_t key);
