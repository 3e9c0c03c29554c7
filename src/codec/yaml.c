/* Builds the tree from the events of libyaml, with a stack of its own. */
#include "codec/yaml.h"

#include <yaml.h>

struct build {
    struct ctx *c;
    struct yaml_node *root;
    struct yaml_node *open[YAML_DEPTH_MAX]; /* the collections around the next node */
    struct yaml_node *last[YAML_DEPTH_MAX]; /* their last children */
    int depth;
    bool has_key; /* the key of the next member was read */
    str_t key;
    int key_line;
    int documents, nodes;
};

static err_t bad(const struct build *b, int line, const char *what)
{
    return err_set(b->c, ERR_INVALID, "line %d: %s", line, what);
}

static int line_of(const yaml_event_t *e)
{
    return (int)e->start_mark.line + 1;
}

static bool is_null(str_t text, yaml_scalar_style_t style)
{
    return style == YAML_PLAIN_SCALAR_STYLE &&
           (text.n == 0 || str_eq(text, S("~")) || str_eq_nocase(text, S("null")));
}

static err_t member_check(const struct build *b, const struct yaml_node *map)
{
    for (const struct yaml_node *m = map->first; m; m = m->next)
        if (str_eq(m->key, b->key))
            return err_set(b->c, ERR_INVALID, "line %d: " STR_FMT " was given in line %d already",
                           b->key_line, STR_ARG(b->key), m->line);
    return ERR_OK;
}

/* Puts a node into the innermost collection, or makes it the root. */
static err_t node_add(struct build *b, struct yaml_node *n)
{
    struct yaml_node *in = b->depth > 0 ? b->open[b->depth - 1] : NULL;

    if (++b->nodes > YAML_NODES_MAX)
        return bad(b, n->line, "too many values");
    if (in == NULL) {
        b->root = n;
        return ERR_OK;
    }
    if (in->kind == YAML_MAP) {
        if (!b->has_key)
            return bad(b, n->line, "a key must be a text");
        TRY(member_check(b, in));
        n->key = b->key;
        n->line = b->key_line;
        b->has_key = false;
    }
    if (in->first == NULL)
        in->first = n;
    else
        b->last[b->depth - 1]->next = n;
    b->last[b->depth - 1] = n;
    return ERR_OK;
}

static err_t scalar(struct build *b, const yaml_event_t *e)
{
    const struct yaml_node *in = b->depth > 0 ? b->open[b->depth - 1] : NULL;
    str_t text = { (const char *)e->data.scalar.value, e->data.scalar.length };
    struct yaml_node *n;

    text = str_dup(b->c->arena, text);
    if (in != NULL && in->kind == YAML_MAP && !b->has_key) {
        b->key = text;
        b->key_line = line_of(e);
        b->has_key = true;
        return ERR_OK;
    }
    n = NEW(b->c->arena, struct yaml_node);
    *n = (struct yaml_node){ .kind = YAML_SCALAR,
                             .line = line_of(e),
                             .text = text,
                             .null = is_null(text, e->data.scalar.style) };
    return node_add(b, n);
}

static err_t open_node(struct build *b, const yaml_event_t *e, enum yaml_kind kind)
{
    struct yaml_node *n;

    if (b->depth == YAML_DEPTH_MAX)
        return bad(b, line_of(e), "nested too deeply");
    n = NEW(b->c->arena, struct yaml_node);
    *n = (struct yaml_node){ .kind = kind, .line = line_of(e) };
    TRY(node_add(b, n));
    b->open[b->depth++] = n;
    return ERR_OK;
}

static err_t plain(const struct build *b, const yaml_event_t *e, const yaml_char_t *anchor,
                   const yaml_char_t *tag)
{
    if (anchor != NULL)
        return bad(b, line_of(e), "anchors are not supported");
    if (tag != NULL)
        return bad(b, line_of(e), "tags are not supported");
    return ERR_OK;
}

static err_t take(struct build *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return ++b->documents > 1 ? bad(b, line_of(e), "a second document begins here") : ERR_OK;
    case YAML_ALIAS_EVENT:
        return bad(b, line_of(e), "aliases are not supported");
    case YAML_SCALAR_EVENT:
        TRY(plain(b, e, e->data.scalar.anchor, e->data.scalar.tag));
        return scalar(b, e);
    case YAML_SEQUENCE_START_EVENT:
        TRY(plain(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag));
        return open_node(b, e, YAML_LIST);
    case YAML_MAPPING_START_EVENT:
        TRY(plain(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag));
        return open_node(b, e, YAML_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return ERR_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return ERR_OK;
}

static err_t parser_error(struct ctx *c, const yaml_parser_t *p)
{
    const char *problem = p->problem ? p->problem : "not YAML";

    if (p->error == YAML_READER_ERROR)
        return err_set(c, ERR_INVALID, "%s at byte %zu", problem, p->problem_offset);
    return err_set(c, ERR_INVALID, "line %d: %s", (int)p->problem_mark.line + 1, problem);
}

err_t yaml_parse(struct ctx *c, str_t text, struct yaml_node **out)
{
    struct build b = { .c = c };
    yaml_parser_t parser;
    err_t e = ERR_OK;
    bool over = false;

    if (text.n > YAML_TEXT_MAX)
        return err_set(c, ERR_INVALID, "larger than %zu MiB", YAML_TEXT_MAX >> 20);
    must(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.n > 0 ? text.p : ""),
                                 text.n);
    while (e == ERR_OK && !over) {
        yaml_event_t event;

        if (yaml_parser_parse(&parser, &event) != 1) {
            e = parser_error(c, &parser);
            break;
        }
        over = event.type == YAML_STREAM_END_EVENT;
        e = take(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (e != ERR_OK)
        return e;
    if (b.root == NULL) {
        b.root = NEW(c->arena, struct yaml_node);
        *b.root = (struct yaml_node){ .kind = YAML_SCALAR, .line = 1, .null = true };
    }
    *out = b.root;
    return ERR_OK;
}
