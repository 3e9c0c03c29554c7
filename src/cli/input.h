/* What users hand to emit and invoke: JSON data and metadata. */
#pragma once

#include "cli/tree.h"

/* Options of every command that takes data, for its row. */
/* clang-format off */
#define CLI_DATA_OPTS \
    { 'd', "data", OPT_TEXT, "json", NULL, "Data as JSON; {} when no source is given." }, \
    { 'f', "data-file", OPT_TEXT, "path", NULL, "Read the data from a JSON file." }, \
    { 'm', "metadata", OPT_LIST, "key=value", NULL, "Metadata to attach." }
/* clang-format on */

/* The JSON from exactly one of --data, --data-file and standard input when something is piped; {}
 * from none. ERR_INVALID names the place of a mistake. */
NODISCARD err_t input_data(struct cli *cli, str_t *out);
/* --metadata as a JSON object of strings; empty when none was given. The last of two equal keys
 * counts. */
NODISCARD err_t input_metadata(struct cli *cli, str_t *out);
