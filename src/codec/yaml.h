/* YAML as configuration files need it, over libyaml: one document of mappings, sequences and
 * scalars. Anchors, aliases and tags are refused, so a document is never larger than its text. */
#pragma once

#include "base/ctx.h"

enum { YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 10000 };
#define YAML_TEXT_MAX ((size_t)1 << 20)

enum yaml_kind { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml_node {
    enum yaml_kind kind;
    int line;                       /* from 1; of a member that of its key */
    str_t key;                      /* of a member of a mapping */
    str_t text;                     /* of a scalar, without quotes */
    bool null;                      /* a scalar that is empty, ~ or null, without quotes */
    struct yaml_node *first, *next; /* children, in order */
};

/* Parses the whole text; an empty one is a null. ERR_INVALID says what is wrong and in which line.
 * The tree lives in c->arena. */
NODISCARD err_t yaml_parse(struct ctx *c, str_t text, struct yaml_node **out);
