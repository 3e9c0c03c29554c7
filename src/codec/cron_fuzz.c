/* Eight bytes of time, then the text: what parses must fire, later than asked, and nothing earlier.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *what = NULL;
    struct cron c;
    int64_t after, next, again;

    if (size < 8)
        return 0;
    memcpy(&after, data, 8);
    after = (int64_t)((uint64_t)after % UINT64_C(250000000000000)); /* before the year 9900 */
    if (!cron_parse((str_t){ (const char *)data + 8, size - 8 }, &c, &what)) {
        must(what);
        return 0;
    }
    must(cron_next(&c, after, &next) && next > after);
    must(cron_next(&c, next - 1, &again) && again == next);
    return 0;
}
