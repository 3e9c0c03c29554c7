/* What emit and invoke share: sending an event and reading what its runs came to. */
#pragma once

#include "cli/tree.h"

struct trigger {
    str_t event, data, metadata; /* JSON; metadata may be empty */
    int64_t version;             /* 0: not sent */
};

/* Fills data and metadata from the options. */
NODISCARD err_t trigger_read(struct cli *cli, struct trigger *t);
/* POST /api/v1/events; *out is its answer. */
NODISCARD err_t trigger_async(struct cli *cli, const struct trigger *t, str_t *out);
/* TriggerSync for --timeout; the request itself may take 5 s longer. */
NODISCARD err_t trigger_sync(struct cli *cli, const struct trigger *t, str_t *out);
/* --timeout as people write it: "30s". */
str_t trigger_timeout_text(struct cli *cli);

/* One of TriggerSync's results, clean for a terminal. */
struct run_result {
    bool ok; /* completed */
    str_t function_id, status, duration_ms;
    str_t text; /* the output's JSON, or what went wrong */
};
struct run_result trigger_result(struct cli *cli, str_t result);
