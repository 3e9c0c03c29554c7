/* What `serve` was told, by flags, environment and configuration file. */
#pragma once

#include "cli/tree.h"
#include "main/config.h"
#include "svc/app.h"

struct options {
    int port;
    str_t db_path;      /* SQLite */
    str_t database_url; /* PostgreSQL when not empty */
    enum db_durability durability;
    str_t store_dir; /* empty: messages are kept in memory only */
    str_t node_id;
    str_t key_file; /* where the first key goes */
    bool dev, open, metrics;
    int64_t lease_ms, lease_claim_ms, grace_ms, poll_hold_ms, worker_ttl_ms;
    int64_t header_ms, body_ms; /* 0: the server's default */
    str_t refused_events;       /* for tests: messages of such events are refused */
    int64_t outbox_backoff_ms;
    int64_t push_timeout_ms, push_stale_ms, breaker_open_ms;
    str_t signing_key;
};

/* The file of --config; *out is NULL without one. ERR_INVALID, ERR_UNIMPLEMENTED. */
NODISCARD err_t options_file(struct cli *cli, struct config **out);
/* Reads and checks everything; file may be NULL. ERR_INVALID, ERR_UNIMPLEMENTED with a text for
 * people. Views point into the arena of cli->c or into the environment. */
NODISCARD err_t options_read(struct cli *cli, const struct config *file, struct options *out);
/* LOG_LEVEL, LOG_FORMAT, --verbose and the file. */
NODISCARD err_t options_logging(struct cli *cli, const struct config *file);
/* How long a stop waits for what is under way: push requests may take their whole timeout. */
int64_t options_drain_ms(const struct options *o);
/* A URL with its password hidden, for people and logs. */
str_t options_masked_url(struct arena *a, str_t url);
