/* Any text: what parses is a tree whose lines lie in the text and whose mappings name a key once.
 */
#include <stdlib.h>

#include "base/must.h"
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct yaml_node *n, int lines)
{
    const struct yaml_node *open[YAML_DEPTH_MAX];
    int depth = 0;

    for (;;) {
        must(n->line >= 1 && n->line <= lines);
        must(n->kind != YAML_SCALAR || n->first == NULL);
        if (n->first) {
            must(depth < YAML_DEPTH_MAX);
            open[depth++] = n;
            n = n->first;
            continue;
        }
        while (depth > 0 && n->next == NULL)
            n = open[--depth];
        if (depth == 0)
            return;
        n = n->next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct ctx c = { .arena = &arena };
    struct yaml_node *root = NULL;
    int lines = 2;

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80;
    arena_init(&arena);
    if (yaml_parse(&c, (str_t){ (const char *)data, size }, &root) == ERR_OK)
        check(root, lines);
    arena_done(&arena);
    return 0;
}
