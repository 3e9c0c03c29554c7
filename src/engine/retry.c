/* How long a failed run waits for its next attempt. */
#include "engine/retry.h"

struct retry_policy retry_default(void)
{
    return (struct retry_policy){
        .max_attempts = 3, .initial_delay_ms = 1000, .max_delay_ms = 300000, .backoff_factor = 2.0
    };
}

int64_t retry_delay_ms(const struct retry_policy *p, int64_t attempt)
{
    double max = (double)(p->max_delay_ms > 0 ? p->max_delay_ms : 0);
    double delay = (double)(p->initial_delay_ms > 0 ? p->initial_delay_ms : 0);

    must(attempt >= 1);
    for (int64_t i = 1; i < attempt && delay < max && p->backoff_factor > 1.0; i++)
        delay *= p->backoff_factor;
    return (int64_t)(delay < max ? delay : max);
}
