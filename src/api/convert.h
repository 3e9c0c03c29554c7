/* From the engine's values to the messages of the contract. Results live in c->arena. */
#pragma once

#include "engine/match.h"
#include "proto/ironflow.h"
#include "svc/events.h"

/* An id in its text form, empty for 0. */
str_t api_id(struct ctx *c, enum id_kind kind, int64_t id);
/* A list of run ids as texts. */
str_t *api_run_ids(struct ctx *c, const int64_t *ids, size_t n);
/* Parses the text of an id; ERR_NOT_FOUND when it cannot be one ("run not found"). */
NODISCARD err_t api_id_parse(struct ctx *c, enum id_kind kind, const char *what, str_t text,
                             int64_t *out);
/* An error document as it was reported; NULL when empty. Its message is never empty. */
struct pb_error *api_error(struct ctx *c, str_t json);

/* Whole runs, with the data and name of their events. In a transaction. */
NODISCARD err_t api_runs(struct ctx *c, const struct run *runs, size_t n, struct pb_run *out);
/* A step as REST and as RPC show it. */
void api_step_rest(struct ctx *c, const struct step *s, struct pb_rest_step *out);
void api_step(struct ctx *c, const struct step *s, struct pb_step *out);
/* The result of a synchronous emit for each run. In a transaction. */
NODISCARD err_t api_run_results(struct ctx *c, const struct run *runs, size_t n,
                                struct pb_run_result **out);
/* A function with its configuration. */
NODISCARD err_t api_function(struct ctx *c, const struct function *fn, struct pb_function *out);
