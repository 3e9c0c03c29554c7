/* A worker's message about a job, decoded from its JSON shape, as a report: the same for pull
 * updates and for the answers of push endpoints. */
#pragma once

#include "codec/proto.h"
#include "proto/ironflow.h"
#include "svc/workers.h"

/* Everything but kind, which is set, and fence. ERR_INVALID names the field. Views of *in. */
NODISCARD err_t report_from_update(struct ctx *c, const struct pb_rest_job_update *in,
                                   struct report *out);
/* ERR_INVALID: not progress, completed, failed or yielded. */
NODISCARD err_t report_kind_parse(struct ctx *c, str_t word, enum report_kind *out);
