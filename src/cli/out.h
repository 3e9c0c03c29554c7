/* What people read: tables, labelled lines, errors. Results go to stdout, the rest to stderr;
 * colours only where a terminal shows them. */
#pragma once

#include "cli/tree.h"

enum tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_BUSY };

/* Prints text as it is. */
void out_text(str_t text);
/* "Label: value"; nothing when the value is empty. Control characters in value show as '?'. */
void out_line(struct cli *cli, const char *label, str_t value);
/* The API's answer as it came, on its own line. */
void out_json(str_t body);
/* The text in a colour, on a terminal only. */
void out_toned(struct cli *cli, enum tone tone, str_t text);
/* The tone of a run or step status, in either spelling. */
enum tone tone_of_status(str_t status);
/* Text that came from elsewhere, without control characters, in the arena. */
str_t out_clean(struct cli *cli, str_t text);
/* Prints the error and how to get help; returns the exit code 1. */
int cli_fail(struct cli *cli, err_t e);

struct cell {
    str_t text;
    enum tone tone;
};

#define TABLE_COLUMNS_MAX 12

struct table {
    struct cli *cli;
    const char *const *heads;
    size_t columns, rows, cap;
    struct cell *cells;
};

/* heads has `columns` entries and outlives the table. */
void table_init(struct table *t, struct cli *cli, const char *const *heads, size_t columns);
/* A new row to fill; the pointer is valid until the next call. */
struct cell *table_row(struct table *t);
/* Two blanks between columns, none at the end of a line. */
void table_print(const struct table *t);

/* ---- values of JSON answers for people ---- */

/* Text of the member under either key ("" when absent or null). */
str_t json_text(struct cli *cli, str_t object, const char *key, const char *other_key);
/* The JSON without blanks between its tokens. */
str_t json_compact(struct cli *cli, str_t value);
/* "completed" of "RUN_STATUS_COMPLETED"; other words as they are, in lower case. */
str_t enum_word(struct cli *cli, str_t word, str_t prefix);
/* An RFC 3339 time as "2006-01-02 15:04:05", or with rfc3339 in whole seconds; UTC. */
str_t time_text(struct cli *cli, str_t time, bool rfc3339);
