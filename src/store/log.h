/* Rows of the log: the messages of one transaction each. Outbox and message log at once. */
#pragma once

#include "engine/types.h"

struct log_row {
    int64_t id;                  /* drawn by the database */
    int64_t first_pos, last_pos; /* 0: not yet numbered */
    int64_t end_bytes;           /* bytes of all records up to and with this row */
    int64_t created_at, count;
    uint32_t crc;    /* CRC-32C of records */
    uint64_t filter; /* svc/messages.h */
    str_t records;
};

NODISCARD err_t store_log_add(struct ctx *c, const struct log_row *row);
/* The newest numbered row without its records; *found is false while the log is empty. */
NODISCARD err_t store_log_last(struct ctx *c, struct log_row *out, bool *found);
/* Rows whose last position is at least from, in order of position, with records. */
NODISCARD err_t store_log_read(struct ctx *c, int64_t from, int64_t limit, struct log_row **out,
                               size_t *n);

/* PostgreSQL: one relay in the cluster; the lock ends with the transaction. *got: this is it. */
NODISCARD err_t store_log_relay_lock(struct ctx *c, bool *got);
/* Rows without positions, by key, with records. */
NODISCARD err_t store_log_unnumbered(struct ctx *c, int64_t limit, struct log_row **out, size_t *n);
/* Writes records, count and checksum of a row without positions; or deletes it. */
NODISCARD err_t store_log_rewrite(struct ctx *c, const struct log_row *row);
NODISCARD err_t store_log_drop(struct ctx *c, int64_t id);
/* Writes positions and end_bytes. */
NODISCARD err_t store_log_number(struct ctx *c, const struct log_row *row);

/* The oldest numbered rows, without records. */
NODISCARD err_t store_log_oldest(struct ctx *c, int64_t limit, struct log_row **out, size_t *n);
/* Deletes the numbered rows with positions up to last_pos. */
NODISCARD err_t store_log_del(struct ctx *c, int64_t last_pos);
