/* A row of the audit trail as a damaged disk might give it: refused, or entries that render. */
#include "base/must.h"
#include "engine/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = { .id = 1, .event_id = 2 };
    struct audit_about about = { .run = &run, .function_id = S("f"), .input = S("{}") };
    struct audit_entry *list = NULL;
    struct arena arena;
    struct ctx c = { .arena = &arena };
    size_t n = 0;
    str_t payload;

    arena_init(&arena);
    if (audit_unpack(&c, (str_t){ (const char *)data, size }, &list, &n) == ERR_OK) {
        for (size_t i = 0; i < n; i++) {
            must(i == 0 || list[i - 1].at <= list[i].at);
            must(audit_payload(&c, &list[i], &about, &payload) == ERR_OK);
        }
    }
    arena_done(&arena);
    return 0;
}
